"""The tail: a Service's memory of its last words, what errors and failing tests show.

It is bounded in lines and bytes, and costs a chatty program next to nothing: batches are kept as they came, and lines
are made of them when somebody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from aioverseer.core.text.lines import Line, make_lines

__all__ = ["TAIL_BYTES", "TAIL_LINES", "Tail"]

TAIL_LINES = 200
"""Last lines that a Service remembers: what errors and failing tests show."""
TAIL_BYTES = 64 * 1024
"""Bytes, or characters of text, that these lines may have together; the last line is kept whatever its size."""


class _Batch(NamedTuple):
    stream: str
    run: int
    time: datetime
    texts: Sequence[str | bytes]
    size: int


class Tail:
    """The last lines of a service, over all its runs."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._lines = 0
        self._size = 0

    def remember(self, stream: str, run: int, time: datetime, batch: Sequence[str | bytes]) -> None:
        """Take a batch, and forget what lies too far back."""
        texts = batch[-TAIL_LINES:]
        size = sum(map(len, texts))
        batches = self._batches
        batches.append(_Batch(stream, run, time, texts, size))
        self._lines += len(texts)
        self._size += size
        # Whole batches only: the rest of the oldest one is left out when somebody asks.
        while len(batches) > 1:
            first = batches[0]
            if self._lines - len(first.texts) < TAIL_LINES and self._size - first.size < TAIL_BYTES:
                break
            batches.popleft()
            self._lines -= len(first.texts)
            self._size -= first.size

    def lines(self, id: str, most: int) -> list[Line]:
        """Return up to ``most`` of the last lines, oldest first."""
        lines = [
            line for batch in self._batches for line in make_lines(id, batch.stream, batch.texts, batch.time, batch.run)
        ]
        first = max(0, len(lines) - min(most, TAIL_LINES))
        size = sum(len(line.text) for line in lines[first:])
        while size > TAIL_BYTES and first < len(lines) - 1:
            size -= len(lines[first].text)
            first += 1
        return lines[first:]
