"""Problem and ConfigError: what is wrong in a file, shown as a compiler shows it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from aioverseer import SpecError
from aioverseer.core.export import exported_from

__all__ = ["ConfigError", "Problem"]

_WIDEST = 160
"""Most characters of a line of a file that are shown."""


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file.

    Attributes:
        file: Path of the file, or another name of the source, such as ``-s web.instances=x``.
        line: Number of the line, from 1; None if there is none.
        column: Number of the character in the line, from 1; None if there is none.
        path: Keys and indexes that lead to the place in the file.
        message: Cause, and what to write.
        hint: Further advice, such as a name that was probably meant; None without one.
        text: Line of the file, with values of environment variables masked; empty if there is none.
        length: Number of characters of the line that are marked.
    """

    file: str
    line: int | None = None
    column: int | None = None
    path: tuple[str | int, ...] = ()
    message: str
    hint: str | None = None
    text: str = ""
    length: int = 1

    def __str__(self) -> str:
        """Return file, line, column and message, and below them the line with a mark."""
        where = ":".join(str(each) for each in (self.file, self.line, self.column) if each is not None)
        place = shown_path(self.path)
        said = f"{where}: {f'{place}: ' if place else ''}{self.message}"
        lines = [said if self.hint is None else f"{said}; {self.hint}"]
        if self.text and self.line is not None:
            lines += self._excerpt()
        return "\n".join(lines)

    def _excerpt(self) -> list[str]:
        gutter = f"{self.line:>5} | "
        text, start = self.text, (self.column or 1) - 1
        cut = max(0, min(start - _WIDEST // 2, len(text) - _WIDEST))
        text = ("" if cut == 0 else "...") + text[cut : cut + _WIDEST] + ("..." if len(text) > cut + _WIDEST else "")
        start += 3 - cut if cut else 0
        shown = "".join(each if each == "\t" or each.isprintable() else "\ufffd" for each in text)
        if self.column is None:
            return [f"{gutter}{shown}"]
        before, marked = shown[:start], shown[start : start + self.length]
        blanks = "".join(each if each == "\t" else " " * _width(each) for each in before)
        return [f"{gutter}{shown}", f"{' ' * (len(gutter) - 2)}| {blanks}{'^' * max(1, sum(map(_width, marked)))}"]


@exported_from("aioverseer.config")
class ConfigError(SpecError):
    """A file cannot be used.

    Attributes:
        problems: Everything that is wrong, in the order of the files and lines.
        option: None.
        value: None.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        given = tuple(problems)
        files = list(dict.fromkeys(problem.file for problem in given))
        self.problems = tuple(
            sorted(given, key=lambda problem: (files.index(problem.file), problem.line or 0, problem.column or 0))
        )
        count = len(self.problems)
        total = [f"{count} problems"] if count > 1 else []
        super().__init__("\n".join([*map(str, self.problems), *total]))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        """Pickle the error by its problems."""
        return type(self), (self.problems,)


def shown_path(path: Iterable[str | int]) -> str:
    """Return keys and indexes as TOML writes them: ``services.web.stop.steps[0]``."""
    text = ""
    for each in path:
        if isinstance(each, int):
            text += f"[{each}]"
        else:
            bare = each and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in each)
            text += f"{'.' if text else ''}{each if bare else _quoted(each)}"
    return text


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    text = "".join(each if each.isprintable() else f"\\U{ord(each):08X}" for each in escaped)
    return f'"{text}"'


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "FW" else 1
