"""Problems at places of a text in TOML: the line, the column, and the line itself with its secrets masked."""

from __future__ import annotations

import functools
import re

from aioverseer.config.positions import Positions, Span, positions_in
from aioverseer.config.problems import Problem

__all__ = ["places_in", "problem_at", "problem_in_line"]

_SECRET = frozenset({"env", "extra_env", "stdin"})
"""Options whose values may be secrets."""
_LONGEST = 2 * 2**20
"""Characters of a text whose places are looked for. A longer text would take seconds."""
_SIGNS = re.compile(r"[^\s\"']")
_HEADER = re.compile(r"^[ \t]*\[([^\n]*)", re.MULTILINE)
_IS_SECRET = re.compile(rf"(?<![\w-])({'|'.join(sorted(_SECRET))})(?![\w-])")
_FIRST = re.compile(r"\s*(?:\"[^\"]*\"|'[^']*'|[\w-]*)")
_VALUE_SIGNS = re.compile(r"[^\s\"'=:{}\[\],]")

Path = tuple[str | int, ...]

_positions_in = functools.lru_cache(maxsize=8)(positions_in)
"""Cached form of ``positions_in``: each problem of a file asks for its places."""


@functools.lru_cache(maxsize=8)
def _secrets_in(positions: Positions) -> list[Span]:
    """Return the places of values that may be secrets."""
    return [
        place
        for path, place in positions.values.items()
        if not _SECRET.isdisjoint(path)
        # The values of a table or a list have places of their own; that of a dotted key is a key.
        and not positions.is_container(place)
        and positions.keys.get(path) != place
    ]


def places_in(text: str) -> Positions | None:
    """Return the places of a text, as far as it is valid; None for a text that is too long to look."""
    return _positions_in(text) if len(text) <= _LONGEST else None


def problem_at(
    path: Path, message: str, hint: str | None = None, *, text: str, file: str, of_key: bool = False
) -> Problem:
    """Return the problem at a place of a text.

    Args:
        path: Keys and indexes that lead to the place. For a place that is not in the text, the nearest one around it
            is shown.
        message: Cause, and what to write.
        hint: Further advice.
        text: Text of the file.
        file: Path of the file.
        of_key: Whether the last key of the path is wrong, and not its value.
    """
    positions = places_in(text)
    place = None if positions is None else positions.nearest(path, of_key=of_key)
    if positions is None or place is None:
        return Problem(file=file, path=path, message=message, hint=hint)
    line, column = positions.line_and_column(place.start)
    start, shown = positions.line(line)
    length = max(1, min(place.end, start + len(shown)) - place.start)
    return Problem(
        file=file,
        line=line,
        column=column,
        path=path,
        message=message,
        hint=hint,
        text=_masked(positions, start, shown),
        length=length,
    )


def problem_in_line(
    line: int, column: int, message: str, hint: str | None = None, *, text: str, file: str, length: int = 1
) -> Problem:
    """Return the problem of a text that is no TOML.

    Args:
        line: Number of the line, from 1.
        column: Number of the character, from 1.
        message: Cause, and what to write.
        hint: Further advice.
        text: Text of the file.
        file: Path of the file.
        length: Number of characters that are marked.
    """
    positions = places_in(text)
    if positions is None:
        return Problem(file=file, line=line, column=column, message=message, hint=hint)
    start, shown = positions.line(line)
    masked = _masked_rest(text[:start], _masked(positions, start, shown))
    return Problem(file=file, line=line, column=column, message=message, hint=hint, text=masked, length=length)


def _masked_rest(before: str, line: str) -> str:
    """Return a line that is no TOML, whose values have no places, with a star for each character of secrets.

    Args:
        before: Text before the line.
        line: The line, with the values masked that have places.
    """
    headers = _HEADER.findall(before)
    found = _FIRST.match(line) if headers and _IS_SECRET.search(headers[-1]) else _IS_SECRET.search(line)
    if found is None or line.lstrip().startswith("["):
        return line
    return line[: found.end()] + _VALUE_SIGNS.sub("*", line[found.end() :])


def _masked(positions: Positions, start: int, line: str) -> str:
    """Return a line with a star for each character of values that may be secrets."""
    end = start + len(line)
    signs = list(line)
    for place in _secrets_in(positions):
        for at in range(max(place.start, start), min(place.end, end)):
            if _SIGNS.match(line[at - start]):
                signs[at - start] = "*"
    return "".join(signs)
