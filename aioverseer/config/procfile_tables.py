"""Lines of a Procfile as tables of ``aioverseer.toml``, which run as the Procfile itself does.

Commands that a Procfile cannot have, as they need a shell, get one.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from aioverseer import SpecError
from aioverseer.config.convert.escapes import escaped
from aioverseer.config.convert.references import Piece, joined
from aioverseer.config.problems import Problem
from aioverseer.config.procfile import BETWEEN, FIRST_PORT, LAST_PORT, lines_of, unquoted, words_of

__all__ = ["procfile_tables"]

_ASSIGNMENT = re.compile(r"\w+=")
_DUPLICATE = re.compile(r"\d*[<>]&[\d-]+")
"""Redirections such as ``2>&1``, which have the sign of an operator."""
_SEQUENCE = re.compile(r"&&|;")
_COMMENT = re.compile(r"(?<!\S)#.*")
_COMPOUND = re.compile(r"[|&()`]|(^|\s)([{}!]|if|for|while|until|case|do|done|then|fi|esac)(\s|$)")
"""Commands whose last program cannot take the place of the shell."""
_BUILTIN = re.compile(r"\s*(\.|:|\[|cd|exec|exit|export|set|source|test|trap|wait)(\s|$)")


def procfile_tables(
    text: str, *, path: str, first: int = FIRST_PORT
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """Return the tables of the services, and the lines that are none.

    Args:
        text: The text of the Procfile.
        path: The path of it, for messages.
        first: The port of the first service.
    """
    lines, problems = lines_of(text, path=path)
    tables: dict[str, dict[str, Any]] = {}
    for line, port in zip(lines, itertools.count(first, BETWEEN), strict=False):
        own = str(port) if port <= LAST_PORT else None
        table: dict[str, Any] = {"command": _command(line.command, own)}
        if own is not None:
            table["extra_env"] = {"PORT": own}
        tables[line.name] = table
    return tables, problems


def _command(command: str, port: str | None) -> list[str]:
    # Without a shell there is nothing that a word of the shell could act upon, and env sets variables.
    for plain in (command, re.sub(r"^exec\s+", "", command), f"env {command}"):
        try:
            return [joined(_pieces(parts, port)) for parts in words_of(plain)]
        except SpecError:
            if plain == command and not _ASSIGNMENT.match(command) and not command.startswith("exec"):
                break
    return ["sh", "-c", escaped(_with_exec(command))]


def _pieces(parts: list[re.Match[str] | str], port: str | None) -> list[Piece]:
    pieces: list[Piece] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(("text", part))
        elif part["name"] == "PORT" and port is not None:
            pieces.append(("text", port))
        else:
            default = "" if part["default"] is None else f":-{escaped(part['default'])}"
            pieces.append(("reference", f"${{{part['name']}{default}}}"))
    return pieces


def _with_exec(command: str) -> str:
    """Return a command for a shell that becomes its last program, so that signals reach it; the command itself else."""
    bare = _DUPLICATE.sub(lambda found: "x" * len(found[0]), unquoted(command))
    bare = _COMMENT.sub("", bare)
    start = max((found.end() for found in _SEQUENCE.finditer(bare)), default=0)
    last = bare[start:]
    if _COMPOUND.search(_SEQUENCE.sub("  ", bare)) or _BUILTIN.match(last) or not last.strip():
        return command
    start += len(last) - len(last.lstrip())
    return f"{command[:start]}{'exec env' if _ASSIGNMENT.match(bare, start) else 'exec'} {command[start:]}"
