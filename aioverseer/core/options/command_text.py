"""Commands that were written as one text: split into words as a shell does, without a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from aioverseer.core.export import exported_from
from aioverseer.core.options.flaws import refused

__all__ = ["split_command"]

_OPERATOR = re.compile(r"[|&;<>`]+|\$\(")
_COMMENT = re.compile(r"(?<!\S)#")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BUILTINS = frozenset({".", "cd", "exec", "export", "source"})
"""First words of commands that were written for a shell."""


@exported_from("aioverseer.forms")
def split_command(text: str) -> list[str]:
    """Return the words of a command, split as a shell does, with quotes and backslashes.

    Nothing is replaced: no ``~``, no ``*``, no variables.

    Args:
        text: The command.

    Raises:
        DataError: For syntax that only a shell understands, with what to write instead.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise refused(f"cannot be split into words ({str(error).lower()}): close every quote") from None
    if not words:
        raise refused("is no command: name a program")
    bare = "".join(_bare(text))
    if found := _OPERATOR.search(bare):
        raise refused(
            f"holds {found[0]!r}, and there is no shell here: write sh -c '...' around it, "
            "or put it in quotes if it is meant as it stands"
        )
    if _COMMENT.search(bare):
        raise refused("holds a '#': leave the comment out, or put the '#' in quotes")
    if _ASSIGNMENT.match(bare):
        raise refused(
            "begins with a variable, and there is no shell here: put it into extra_env, write env before it, "
            "or sh -c '...' around it"
        )
    if words[0] in _BUILTINS:
        raise refused(
            f"begins with {words[0]!r}, a word of the shell, and there is no shell here: leave it out, "
            "or write sh -c '...' around it"
        )
    return words


def _bare(command: str) -> Iterator[str]:
    """Yield the command with each quoted character, and each quote, replaced by a letter.

    Operators that are left in the result would be operators for a shell.
    """
    quote = ""
    escaped = False
    for character in command:
        if escaped:
            escaped = False
            yield "x"
        elif character == "\\" and quote != "'":
            escaped = True
            yield "x"
        elif quote:
            quote = "" if character == quote else quote
            yield "x"
        elif character in "'\"":
            quote = character
            yield "x"
        else:
            yield character
