"""JSON as pm2 reads it, which evaluates the file as JavaScript: with comments, and commas before closing brackets."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from aioverseer.config.problems import ConfigError, Problem

__all__ = ["parse"]

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<comma>,)(?=(?:\s|//[^\n]*|/\*.*?(?:\*/|\Z))*[\]}])""",
    re.DOTALL,
)
_PROGRAM = re.compile(
    r"\A(?:\s|//[^\n]*|/\*.*?(?:\*/|\Z))*"
    r"(?:module\.exports|export\s|import\s|const\s|let\s|var\s|require\(|['\"]use )",
    re.DOTALL,
)
_AS_JSON = "write its value by: node -p 'JSON.stringify(require(\"./{name}\"))' > ecosystem.json"


def parse(text: str, *, path: str) -> Any:
    """Return the value of a file.

    Args:
        text: Text of the file.
        path: Path of the file, for messages.

    Raises:
        ConfigError: If the text is a program, or no JSON.
    """
    name = path.rsplit("/", 1)[-1]
    if name.endswith((".js", ".cjs", ".mjs", ".ts")) or _PROGRAM.match(text):
        _refuse(path, "this is a program in JavaScript, and only node can tell its value", _AS_JSON.format(name=name))
    try:
        # Each comment and comma gives way to blanks of its size, so that an error still names its place.
        return json.loads(_TOKEN.sub(_blank, text))
    except json.JSONDecodeError as error:
        said = f"{error.msg[:1].lower()}{error.msg[1:]}"
        _refuse(path, f"this is not JSON: {said}", "put keys and texts in double quotes", error.lineno, error.colno)
    except RecursionError:
        _refuse(path, "objects and lists are nested too deeply", "write them flat")


def _blank(found: re.Match[str]) -> str:
    return found[0] if found["text"] is not None else re.sub(r"[^\n]", " ", found[0])


def _refuse(path: str, message: str, hint: str, line: int | None = None, column: int | None = None) -> NoReturn:
    raise ConfigError([Problem(file=path, line=line, column=column, message=message, hint=hint)]) from None
