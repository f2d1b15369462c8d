"""The form of the option ``listen`` as data: ``{"http": {"tcp": 8000}}``, in short ``{"http": "127.0.0.1:8000"}``."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.core.options.flaws import refused
from aioverseer.core.options.form import Form
from aioverseer.core.options.forms import Kinds, Made, MappingOf, OrNone, Record
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.leaf_forms import PATH, TEXT, Text, Whole, text_like
from aioverseer.core.options.listen import InheritedSocket, TcpSocket, UnixSocket
from aioverseer.core.options.listen_makers import inherited, tcp, unix

__all__ = ["LISTEN", "MODE", "Mode"]

_HIGHEST = 0o777


class Mode(Form):
    """Mode bits, in octal digits; a number counts as it is."""

    _digits = re.compile("(?:0o)?[0-7]{1,4}")

    def write(self, value: Any) -> Any:
        """Return octal digits."""
        return f"{value:03o}"

    def read(self, data: Any) -> Any:
        """Return the bits."""
        number = data
        if isinstance(data, str):
            number = int(data.removeprefix("0o"), 8) if self._digits.fullmatch(data) else None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _HIGHEST:
            raise refused('is no mode: write octal digits, for example "022"')
        return number

    def schema(self) -> dict[str, Any]:
        """Return the schema of the digits."""
        number = {"type": "integer", "minimum": 0, "maximum": _HIGHEST}
        return {"anyOf": [text_like("(?:0o)?0?[0-7]{1,3}"), number]}


def _made_of(text: str) -> HeldSocket:
    if text.startswith("@") or "/" in text:
        return unix(text)
    host, _, port = text.rpartition(":")
    return tcp(int(port), host=host[1:-1] if host.startswith("[") and host.endswith("]") else host)


MODE = Mode()
_ADDRESS = Text(
    "address",
    pattern=r"@[^\u0000]+|[^\u0000@]*/[^\u0000]*|[^\u0000/@]*:[0-9]{1,5}",
    example='"127.0.0.1:8000", "[::1]:8000" or "/run/web.sock"',
)
_NAME = Text("name", pattern=r"(?!:)[ -9;-~]{1,255}", example="http, in printable ASCII without ':'")
_KINDS: dict[str, tuple[type, Form]] = {
    "tcp": (TcpSocket, Record(tcp, {"port": Whole(1, 65535), "host": TEXT}, called={"port": "tcp"})),
    "unix": (UnixSocket, Record(unix, {"path": PATH, "mode": OrNone(MODE)}, called={"path": "unix"})),
    "inherited": (InheritedSocket, Record(inherited, {"name": TEXT}, called={"name": "inherited"})),
}
LISTEN = MappingOf(
    Kinds(_KINDS, what="socket", example='"127.0.0.1:8000" or { tcp = 8000 }', address=Made(_ADDRESS, _made_of)), _NAME
)
"""Sockets by name: each by its kind, or an address as text."""
