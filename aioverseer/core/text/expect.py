"""TextSearch: the search for a pattern in the output of a program while it comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine, PartialBytes, PartialLine

__all__ = ["LONGEST_MATCH", "TextSearch", "without_beginning"]

LONGEST_MATCH = 64 * 1024
"""Characters of text that came earlier, in which a match may begin. Without it the time would grow with the square of
the output."""

_WITHOUT_END = (ContinuedLine, ContinuedBytes, PartialLine, PartialBytes)


class TextSearch:
    """The lines that have come, as one text in which a pattern is searched."""

    def __init__(self, pattern: re.Pattern[Any], *, end: Any) -> None:
        """Begin without lines.

        Args:
            pattern: Pattern of text, or of bytes if the lines are bytes.
            end: End of a line in the text.
        """
        self._pattern = pattern
        self._end = end
        self._older: list[Any] = []
        self._older_size = 0
        self._recent: Any = end[:0]

    @property
    def size(self) -> int:
        """Number of characters so far."""
        return self._older_size + len(self._recent)

    def add(self, items: Sequence[Any]) -> None:
        """Add lines and pieces of lines."""
        self._recent += self._end[:0].join(map(self._as_text, items))

    def search(self, unfinished: Any) -> re.Match[Any] | None:
        """Return the match in the lines so far and a line that has no end yet."""
        text: Any = self._recent + unfinished
        search = cast("Callable[..., re.Match[Any] | None]", self._pattern.search)
        found = search(text)
        if found is not None and self._older:
            # Search again in all of it, for the text before the match, and because the cut is no beginning.
            found = search(self._end[:0].join((*self._older, text)), self._older_size)
        if found is None and len(self._recent) > 2 * LONGEST_MATCH:
            cut = len(self._recent) - LONGEST_MATCH
            self._older.append(self._recent[:cut])
            self._older_size += cut
            self._recent = self._recent[cut:]
        return found

    def last(self, unfinished: Any, most: int) -> Any:
        """Return the last characters of the text."""
        return (self._recent + unfinished)[-most:]

    def rest_of(self, items: Sequence[Any], stop: int) -> tuple[list[Any], int]:
        """Return what a match has left.

        Args:
            items: All lines and pieces of the text.
            stop: End of the match in the text.

        Returns:
            The lines that follow the match, the first one without its beginning, and the number of characters that the
            match has taken of the unfinished line.
        """
        for place, item in enumerate(items):
            size = len(self._as_text(item))
            if size > stop:
                return [_cut(item, stop), *items[place + 1 :]], 0
            stop -= size
        return [], stop

    def _as_text(self, item: Any) -> Any:
        return item if isinstance(item, _WITHOUT_END) else item + self._end


def without_beginning(items: Sequence[Any], taken: int) -> tuple[list[Any], int]:
    """Return items without characters that were taken when their line had no end.

    Args:
        items: Lines and pieces, of which the first ones belong to that line.
        taken: Number of characters.

    Returns:
        The rest, and the number of characters that belong to later items.
    """
    rest = list(items)
    while taken and rest:
        first = rest[0]
        if isinstance(first, _WITHOUT_END) and len(first) <= taken:
            del rest[0]
            taken -= len(first)
        else:
            rest[0] = _cut(first, taken)
            taken = 0
    return rest, taken


def _cut(item: Any, start: int) -> Any:
    return type(item)(item[start:])
