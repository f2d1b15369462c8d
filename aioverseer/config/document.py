"""Document: one file in TOML, parsed within limits."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from aioverseer.config.excerpts import problem_at
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.shapes import is_list, is_table
from aioverseer.config.syntax import syntax_problem

__all__ = ["Document", "parse"]

_MAX_DEPTH = 40
"""Tables and lists inside each other. The deepest option needs six."""
_MAX_PARTS = 100
"""Parts of one dotted key. The time that tomllib needs grows with their square."""

_DOTTED = re.compile(r"(?:\.[ \t]*+(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+)++")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file in TOML.

    Attributes:
        file: Path of the file, for messages; ``-s`` for settings of the command line.
        folder: Folder at which the paths in it begin.
        text: Text of the file.
        root: Keys that lead to our table: ``("tool", "aioverseer")`` in a ``pyproject.toml``.
        data: Our table.
        is_toml: Whether the text is TOML with the data in it, so that places in the text can be found.
    """

    file: str
    folder: str
    text: str = field(repr=False)
    root: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(repr=False)
    is_toml: bool = True

    def problem(
        self, path: tuple[str | int, ...], message: str, hint: str | None = None, *, of_key: bool = False
    ) -> Problem:
        """Return a problem at a place.

        Args:
            path: Keys and indexes that lead to the place in the file.
            message: Cause.
            hint: Advice.
            of_key: Whether the last key of the path is wrong, and not its value.
        """
        if not self.is_toml:
            return Problem(file=self.file, path=path, message=message, hint=hint)
        return problem_at(path, message, hint, text=self.text, file=self.file, of_key=of_key)


def parse(text: str, *, file: str, folder: str, root: tuple[str, ...] = ()) -> Document:
    """Return the document of a text.

    Args:
        text: Text of the file.
        file: Path of the file, for messages.
        folder: Folder at which the paths in it begin.
        root: Keys that lead to our table.

    Raises:
        ConfigError: If the text is not TOML, is nested too deeply, or has no table of ours.
    """
    for run in _DOTTED.finditer(text):
        if run[0].count(".") > _MAX_PARTS and _parts_of(run[0]) > _MAX_PARTS:
            _refuse(file, text, f"a key has more than {_MAX_PARTS} parts", "write shorter keys", at=run.start())
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_problem(error, text=text, file=file)]) from None
    except RecursionError:
        _raise(file, _TOO_DEEP, _FLAT)
    data: object = whole
    for key in root:
        data = data.get(key) if is_table(data) else None
    if not is_table(data):
        _raise(file, f"there is no table [{'.'.join(root)}]", "write it, or name another file")
    if _is_deeper(data, _MAX_DEPTH):
        _raise(file, _TOO_DEEP, _FLAT)
    return Document(file=file, folder=folder, text=text, root=root, data=data)


_TOO_DEEP = "tables and lists are nested too deeply"
_FLAT = f"nest them {_MAX_DEPTH} deep at most"


def _parts_of(run: str) -> int:
    """Return the number of parts of a dotted run, without the dots inside of quotes."""
    return re.sub(r"\"[^\"]*+\"|'[^']*+'", "x", run).count(".")


def _is_deeper(data: Mapping[str, Any], levels: int) -> bool:
    inner: list[Any] = [data]
    for _ in range(levels):
        inner = [
            each
            for outer in inner
            for each in (outer.values() if is_table(outer) else outer)
            if is_table(each) or is_list(each)
        ]
    return bool(inner)


def _refuse(file: str, text: str, message: str, hint: str, *, at: int) -> NoReturn:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    # Without the line itself: an index of such a key would take as long as its parse.
    raise ConfigError([Problem(file=file, line=line, column=column, message=message, hint=hint)])


def _raise(file: str, message: str, hint: str) -> NoReturn:
    raise ConfigError([Problem(file=file, message=message, hint=hint)])
