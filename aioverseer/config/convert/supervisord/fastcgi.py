"""The FastCGI programs of supervisord: one listening socket for all processes, as their standard input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aioverseer.config.convert.keys import Keys
from aioverseer.config.convert.supervisord.expressions import Expressions
from aioverseer.config.convert.supervisord.program import Program, read_program

__all__ = ["with_socket"]

_TCP = re.compile(r"tcp://(?P<host>[^\s:]+):(?P<port>\d{1,5})")
_AS_INPUT = ["sh", "-c", 'exec "$0" "$@" <&3 3<&-']
"""Words before the program that make descriptor 3, where the socket is, its standard input."""


def with_socket(
    keys: Keys,
    name: str,
    *,
    group: str,
    group_priority: int | None,
    words: Mapping[str, str],
    variables: Mapping[str, str],
) -> Program:
    """Return the service of a section ``fcgi-program``; the arguments are those of ``read_program``."""
    place = f"services.{name}.listen"
    text, mode = keys.take("socket"), keys.take("socket_mode")
    if keys.take("socket_owner") is not None:
        keys.lost(
            "socket_owner", "the socket belongs to the user who starts aioverseer: choose the mode so that it does"
        )
    if keys.take("socket_backlog") is not None:
        keys.changed("socket_backlog", "it is always long enough")
    program = read_program(keys, name, group=group, group_priority=group_priority, words=words, variables=variables)
    socket = _socket(keys, text, Expressions({**words, "program_name": name}, variables=variables), mode)
    if socket is not None:
        keys.changed("socket", f"{place}: the socket is descriptor 3, and a shell makes it the standard input")
    if mode is not None:
        keys.carried("socket_mode", f"{place}.fastcgi.mode")
    for options in program.services.values():
        options["command"] = [*_AS_INPUT, *options.get("command", [])]
        options["listen"] = {"fastcgi": socket}
    return program


def _socket(keys: Keys, text: str | None, expressions: Expressions, mode: str | None) -> dict[str, Any] | None:
    try:
        address = expressions.plain(text or "")
    except ValueError as error:
        keys.refuse("socket", str(error))
        return None
    if address.startswith("unix:///"):
        return {"unix": address.removeprefix("unix://"), "mode": mode or "700"}
    found = _TCP.fullmatch(address)
    if found is None:
        keys.refuse("socket", "is no socket: write tcp://HOST:PORT or unix:///PATH")
        return None
    return {"tcp": int(found["port"]), "host": found["host"]}
