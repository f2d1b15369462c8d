"""The form of the option ``listen`` as data: ``{"http": {"tcp": 8000}}``, in short ``{"http": "127.0.0.1:8000"}``."""

from __future__ import annotations

from typing import Any

from aioverseer.core.errors import SpecError
from aioverseer.core.options.forms import PLAIN, Form, Record, refused, table
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.listen import InheritedSocket, TcpSocket, UnixSocket
from aioverseer.core.options.listen_makers import inherited, tcp, unix

__all__ = ["HeldSocketForm"]


class _ModeForm(Form):
    """Mode bits, in octal digits."""

    def write(self, value: Any) -> Any:
        return f"{value:03o}"

    def read(self, data: Any, place: str) -> Any:
        try:
            return int(data, 8) if isinstance(data, str) else data
        except ValueError:
            raise refused(place, 'is no mode: write octal digits, for example "660"') from None


_KINDS: dict[str, tuple[type[HeldSocket], str, Record]] = {
    "tcp": (TcpSocket, "port", Record(tcp, {})),
    "unix": (UnixSocket, "path", Record(unix, {"mode": _ModeForm()})),
    "inherited": (InheritedSocket, "name", Record(inherited, {})),
}
"""Kind of socket, the argument that its name stands for, and its form."""


class HeldSocketForm(Form):
    """One socket by its kind, or an address as text: ``"127.0.0.1:8000"``, ``"[::1]:8000"``, a path."""

    def write(self, value: Any) -> Any:
        """Return an object with the kind and the arguments that are not at their defaults."""
        for name, (kind, first, form) in _KINDS.items():
            if isinstance(value, kind):
                return {name: PLAIN.write(getattr(value, first)), **form.write(value, first)}
        raise SpecError(f"listen={value!r} is no socket of aioverseer.listen", option="listen", value=value)

    def read(self, data: Any, place: str) -> Any:
        """Return the socket of an object or an address."""
        if isinstance(data, str):
            return _read_address(data, place)
        given = dict(table(data, place))
        for name, (_kind, first, form) in _KINDS.items():
            if name in given:
                return form.read({first: given.pop(name), **given}, f"{place}.{name}")
        raise refused(place, f"is no socket: there are {', '.join(_KINDS)}, for example {{'tcp': 8000}}")


def _read_address(text: str, place: str) -> HeldSocket:
    if text.startswith("@") or "/" in text:
        return unix(text)
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()):
        raise refused(place, "is no address: write for example '127.0.0.1:8000', '[::1]:8000' or '/run/web.sock'")
    return tcp(int(port), host=host[1:-1] if host.startswith("[") and host.endswith("]") else host)
