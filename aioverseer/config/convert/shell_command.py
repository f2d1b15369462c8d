"""Command lines that a shell reads: the words of one that needs no shell."""

from __future__ import annotations

import re
import shlex

__all__ = ["plain_words"]

_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\\\!]*\"")
_SHELL = re.compile(r"[|&;<>()`$*?\[\]#~{}!\n\\\\\"']")
"""Signs that a shell may give a meaning, outside of quotes."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_BUILTINS = frozenset(
    ". : [ alias bg bind break builtin case cd command continue coproc declare dirs do done echo elif else enable esac "
    "eval exec exit export false fc fg fi for function getopts hash help history if in jobs let local logout popd "
    "printf pushd pwd read readonly return select set shift shopt source suspend test then time times trap true type "
    "typeset ulimit umask unalias unset until wait while".split()
)


def plain_words(command: str) -> list[str] | None:
    """Return the words of a command line that a shell would start as they are; None for one that needs the shell.

    Args:
        command: The command line.
    """
    stripped = command.strip()
    if _SHELL.search(_QUOTED.sub("", stripped)):
        return None
    try:
        words = shlex.split(stripped)
    except ValueError:
        return None
    if not words or _ASSIGNMENT.match(stripped) or words[0] in _BUILTINS:
        return None
    return words
