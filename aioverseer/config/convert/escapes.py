"""Text of other tools as text of our file, which gives ``$`` and a few words in braces a meaning."""

from __future__ import annotations

import re

__all__ = ["escaped", "escaped_path", "escaped_variables"]

_OURS = re.compile(r"\{(index|id|run|port|fd\.[^{}:]+|vars\.[^{}]+)\}")
_VARIABLE = re.compile(r"\{(vars\.[^{}]+)\}")
_DOLLAR = re.compile(r"\$(?=[{$])")


def escaped(text: str) -> str:
    """Return text that our file reads as this text: ``${`` becomes ``$${``, and ``{id}`` becomes ``{{id}}``.

    A ``$`` without a brace after it stays as it is, and so do all other braces.
    """
    return _OURS.sub(r"{{\1}}", _DOLLAR.sub("$$", text))


def escaped_variables(text: str) -> str:
    """Return text whose variables are text: ``${`` becomes ``$${``, and ``{vars.x}`` becomes ``{{vars.x}}``."""
    return _VARIABLE.sub(r"{{\1}}", _DOLLAR.sub("$$", text))


def escaped_path(text: str) -> str:
    """Return text for the path of a log, in which every brace is written twice."""
    return _DOLLAR.sub("$$", text).replace("{", "{{").replace("}", "}}")
