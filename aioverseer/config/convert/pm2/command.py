"""The command of an app of pm2: interpreter, its arguments, script, its arguments."""

from __future__ import annotations

import posixpath
import shlex
from typing import Any

from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.table_keys import TableKeys, is_list

__all__ = ["command_of", "words_of"]

_INTERPRETERS = {
    ".sh": "bash",
    ".py": "python3",
    ".rb": "ruby",
    ".php": "php",
    ".pl": "perl",
    ".js": "node",
    ".cjs": "node",
    ".mjs": "node",
    ".coffee": "coffee",
    ".ls": "lsc",
    ".ts": "bun",
    ".tsx": "bun",
}
"""Interpreters of pm2 by the ending of a script."""


def command_of(app: TableKeys, owner: str) -> list[str] | None:
    """Return the words of the command; None without a script.

    Args:
        app: Keys of the app, by the names of the table.
        owner: Our name of the service.
    """
    script = app.get("script")
    if not isinstance(script, str) or not script.strip():
        return None
    if " " in script:
        app.carried("script", f"{owner}.command, by bash")
        for key in ("args", "node_args", "exec_interpreter"):
            app.lost(key, "pm2 takes a script with blanks as a command line for bash, and ignores this")
        return ["bash", "-c", escaped(script)]
    before = words_of(app.get("node_args"))
    words = [*_interpreter(app, script, before, owner), script, *words_of(app.get("args"))]
    app.carried("script", f"{owner}.command")
    app.carried("args", f"{owner}.command")
    app.carried("node_args", f"{owner}.command")
    return [escaped(word) for word in words]


def _interpreter(app: TableKeys, script: str, before: list[str], owner: str) -> list[str]:
    given = app.get("exec_interpreter")
    if isinstance(given, str) and given:
        name, _at, version = given.partition("@")
        if given == "none":
            app.carried("exec_interpreter", "nothing, as the script is a program")
            return []
        if version:
            app.changed("exec_interpreter", f"{owner}.command; write the path of the version that you mean")
            return [name, *before]
        app.carried("exec_interpreter", f"{owner}.command")
        return [given, *before]
    ending = posixpath.splitext(script)[1]
    if ending in _INTERPRETERS:
        return [_INTERPRETERS[ending], *before]
    if before:
        return ["node", *before]
    if "/" in script:
        app.changed("script", f"{owner}.command; it is run as a program, so it needs a first line such as #!/bin/sh")
    return []


def words_of(given: Any) -> list[str]:
    """Return the words of a list, or of a text with blanks between them."""
    if is_list(given):
        return [str(each) for each in given if each is not None]
    if not isinstance(given, str):
        return []
    try:
        return shlex.split(given)
    except ValueError:  # a quote that is not closed
        return given.split()
