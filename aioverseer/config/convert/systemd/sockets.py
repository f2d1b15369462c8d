"""The section Socket as held sockets."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.systemd.directives import Directives

__all__ = ["read_sockets"]


def read_sockets(keys: Directives, unit: str, place: str) -> dict[str, dict[str, Any]]:
    """Return the sockets in the form of ``listen``.

    Args:
        keys: Keys of the section.
        unit: Name of the unit, which is that of the socket where no key says another.
        place: Path of the service in our file.
    """
    name = keys.take("FileDescriptorName")
    if name is not None:
        keys.carried("FileDescriptorName", f"{place}.listen.{name}")
    mode = keys.take("SocketMode")
    if mode is not None:
        if re.fullmatch("0?[0-7]{1,3}", mode):
            keys.carried("SocketMode", f"{place}.listen, as mode of the file")
        else:
            keys.refuse("SocketMode", "is no mode: write octal digits, for example 0660")
            mode = None
    if keys.take("Backlog") is not None:
        keys.changed("Backlog", "it is long enough")
    removed = keys.switch("RemoveOnStop")
    if removed is not None:
        keys.carried("RemoveOnStop", "the file of a socket is removed when it is closed")
    accepts = keys.switch("Accept")
    values = keys.take_all("ListenStream")
    if accepts:
        for key, had in (("Accept", True), ("ListenStream", bool(values))):
            if had:
                keys.lost(key, "one program takes all connections: there is no program for each of them")
        return {}
    if accepts is False:
        keys.carried("Accept", "one program takes all connections")
    sockets = [_socket(value, mode or "666") for value in values]
    if None in sockets:
        keys.lost("ListenStream", "listen = takes a port, an address with a port, or a path")
    elif len(sockets) > 1:
        keys.changed("ListenStream", f"{place}.listen: each socket has a name of its own")
    elif sockets:
        keys.carried("ListenStream", f"{place}.listen")
    good = [each for each in sockets if each is not None]
    first = name or unit
    return {first if number == 1 else f"{first}-{number}": each for number, each in enumerate(good, 1)}


def _socket(text: str, mode: str) -> dict[str, Any] | None:
    if text.startswith("@"):
        return {"unix": escaped(text)}
    if text.startswith("/"):
        return {"unix": escaped(text), "mode": mode}
    host, colon, port = text.rpartition(":")
    if not port.isdecimal():
        return None
    if not colon:
        return {"tcp": int(port), "host": "::"}
    return {"tcp": int(port), "host": host[1:-1] if host.startswith("[") and host.endswith("]") else host}
