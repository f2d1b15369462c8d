"""Sockets of circus: the section ``socket:NAME``."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.circus.variables import CircusVariables
from aioverseer.config.convert.keys import Keys

__all__ = ["read_socket"]

_LOST = {
    "interface": "a socket is bound to an address, not to a device",
    "proto": "a socket is a TCP or a UNIX socket",
    "so_reuseport": "all processes share one socket, so that no connection is lost when one of them ends",
    "use_papa": "there is no papa: the overseer holds the socket while the service restarts",
    "blocking": "the program sets the mode of its descriptor",
}


def read_socket(keys: Keys, variables: CircusVariables) -> dict[str, Any] | str | None:
    """Return a socket in the form of ``listen``; None for one of another type.

    Args:
        keys: Keys of the section.
        variables: Values of its variables.
    """
    for key, why in _LOST.items():
        if keys.take(key) is not None:
            keys.lost(key, why)
    for key, why in (("replace", "a file that nobody listens on is replaced"), ("backlog", "it is long enough")):
        if keys.take(key) is not None:
            keys.changed(key, why)
    kind = keys.take("type")
    is_stream = kind is None or kind.strip().upper() == "SOCK_STREAM"
    if kind is not None:
        (keys.carried if is_stream else keys.lost)("type", "listen = has stream sockets alone")
    socket = _address(keys, variables)
    for key in keys.rest():
        keys.take(key)
        keys.lost(key, "circus has no such key here, and ignores it")
    return socket if is_stream else None


def _address(keys: Keys, variables: CircusVariables) -> dict[str, Any] | str:
    family, path, umask = keys.take("family"), keys.take("path"), keys.take("umask")
    host, port = keys.take("host"), keys.take("port")
    place = "services.*.listen of those that use it"
    for key, value in (("family", family), ("host", host), ("port", port)):
        if value is not None:
            keys.carried(key, place if path is None else "nothing, as it has a path")
    if path is None:
        if umask is not None:
            keys.carried("umask", "nothing, as it has no path")
        at = variables.text(host or "localhost", index="1")
        text = variables.text(port or "8080", index="1")
        if text.isdecimal():
            return {"tcp": int(text), "host": at}
        return f"{'127.0.0.1' if at == 'localhost' else at}:{text}"
    keys.carried("path", place)
    if umask is None:
        return {"unix": variables.text(path, index="1")}
    if not re.fullmatch("0?[0-7]{1,3}", umask):
        keys.refuse("umask", "is no mask: write octal digits, for example 007")
    else:
        keys.carried("umask", f"{place}, as a mode")
    mode = 0o777 & ~int(umask, 8) if re.fullmatch("[0-7]+", umask) else 0o777
    return {"unix": variables.text(path, index="1"), "mode": f"{mode:03o}"}
