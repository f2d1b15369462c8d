"""Functions that make held sockets, with checks of their arguments; ``aioverseer.listen`` exports them."""

from __future__ import annotations

import ipaddress

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.listen import InheritedSocket, TcpSocket, UnixSocket
from aioverseer.core.options.numbers import expands
from aioverseer.core.typing import PathLike

__all__ = ["inherited", "tcp", "unix"]

_MAX_PATH = 107
"""Bytes of the path in the address of a UNIX socket, from ``unix(7)``."""

_PORTS = range(1, 1 << 16)
_MODES = range(0o1000)


@exported_from("aioverseer.listen")
def tcp(port: int, *, host: str = "127.0.0.1") -> HeldSocket:
    """Return a socket that listens on a TCP port.

    Args:
        port: Number of the port, 1 to 65535.
        host: Address of this machine, IPv4 or IPv6. ``"0.0.0.0"`` is every IPv4 address, ``"::"`` every address of
            both kinds.

    Raises:
        SpecError: If an argument has a wrong type or value.
    """
    if not isinstance(port, int) or isinstance(port, bool) or port not in _PORTS:
        raise _refused("tcp", "port", port, "is no port: pass 1 to 65535")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host) if isinstance(host, str) else None
    except ValueError:
        address = None
    if address is None:
        raise _refused("tcp", "host", host, 'is no address of this machine: pass for example "0.0.0.0" or "::1"')
    return TcpSocket(host=str(address), port=port)


@exported_from("aioverseer.listen")
def unix(path: str | PathLike, *, mode: int | None = None) -> HeldSocket:
    """Return a UNIX socket that listens.

    The overseer makes the file and removes it. A file that an earlier overseer has left is replaced, if nobody listens
    on it.

    Args:
        path: Path of the socket; a relative path begins at the folder in which the program runs. A leading ``@``
            means Linux's abstract namespace.
        mode: Mode bits of the file, such as ``0o660``: a client must be allowed to write. None leaves them to the umask
            of the host.

    Raises:
        SpecError: If ``path`` is empty or not text, or ``mode`` is no mode.
    """
    text = path.__fspath__() if isinstance(path, PathLike) else path
    if not isinstance(text, str) or not text or "\0" in text or text == "@":
        raise _refused("unix", "path", path, "is no path: pass a non-empty str or a pathlib.Path")
    if (why := expands(text)) is not None:
        raise _refused("unix", "path", path, why)
    # The length of a relative path, or of one with placeholders, is known when the socket is made.
    if text[0] in "/@" and "{" not in text and len(text.encode("utf-8", "surrogateescape")) > _MAX_PATH:
        raise _refused("unix", "path", path, f"has more than {_MAX_PATH} bytes, and no address is longer: shorten it")
    if mode is not None:
        if not isinstance(mode, int) or isinstance(mode, bool) or mode not in _MODES:
            raise _refused("unix", "mode", mode, "is no mode: pass for example 0o660")
        if text.startswith("@"):
            raise _refused("unix", "mode", mode, "is for a file: a name of the abstract namespace has no mode")
    return UnixSocket(path=text, mode=mode)


@exported_from("aioverseer.listen")
def inherited(name: str) -> HeldSocket:
    """Return a socket that systemd has passed to the host by a ``.socket`` unit.

    Args:
        name: Name in ``FileDescriptorName=``; by default systemd takes that of the unit, such as ``"web.socket"``.

    Raises:
        SpecError: If ``name`` is not text.
    """
    if not isinstance(name, str) or not name:
        raise _refused("inherited", "name", name, "is no text: pass the value of FileDescriptorName=")
    return InheritedSocket(name=name)


def _refused(kind: str, name: str, value: object, why: str) -> SpecError:
    return SpecError(f"listen.{kind}: {name}={value!r} {why}", option="listen", value=value)
