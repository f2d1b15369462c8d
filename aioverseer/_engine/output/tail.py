"""The tail: the last lines of a Service, which errors and failing tests show.

It is bounded in lines and bytes. Batches are kept as they arrive. ``Line`` objects are made on request, so a program
that writes much costs little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from aioverseer.core.text.lines import Line, make_lines

__all__ = ["TAIL_BYTES", "TAIL_LINES", "Tail", "TailSink"]

TAIL_LINES = 200
"""Number of lines that a Service remembers."""
TAIL_BYTES = 64 * 1024
"""Limit for all of them together, in bytes or characters. The last line is kept even if it is longer."""


class _Batch(NamedTuple):
    stream: str
    run: int
    time: datetime
    texts: Sequence[str | bytes]
    size: int
    first: int


class Tail:
    """The last lines of a service, across its runs."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._lines = 0
        self._size = 0

    def remember(self, stream: str, run: int, time: datetime, batch: Sequence[str | bytes], first: int) -> None:
        """Add a batch, and drop old batches.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            run: Number of the run that wrote it.
            time: Time at which it was read.
            batch: Texts of the lines.
            first: Number of the first line in its service.
        """
        texts = batch[-TAIL_LINES:]
        first += len(batch) - len(texts)
        size = sum(map(len, texts))
        batches = self._batches
        batches.append(_Batch(stream, run, time, texts, size, first))
        self._lines += len(texts)
        self._size += size
        # Only whole batches are dropped. lines() leaves out surplus lines of the oldest one.
        while len(batches) > 1:
            oldest = batches[0]
            if self._lines - len(oldest.texts) < TAIL_LINES and self._size - oldest.size < TAIL_BYTES:
                break
            batches.popleft()
            self._lines -= len(oldest.texts)
            self._size -= oldest.size

    def lines(self, id: str, most: int) -> list[Line]:
        """Return up to ``most`` of the last lines, oldest first."""
        lines = [
            line
            for batch in self._batches
            for line in make_lines(id, batch.stream, batch.texts, batch.time, batch.run, batch.first)
        ]
        first = max(0, len(lines) - min(most, TAIL_LINES))
        size = sum(len(line.text) for line in lines[first:])
        while size > TAIL_BYTES and first < len(lines) - 1:
            size -= len(lines[first].text)
            first += 1
        return lines[first:]


class TailSink:
    """A ``LineSink`` that remembers the last lines of one stream of a lone Process."""

    def __init__(self, tail: Tail, stream: str, now: Callable[[], datetime]) -> None:
        """Connect a stream to a tail.

        Args:
            tail: Tail of both streams.
            stream: ``"stdout"`` or ``"stderr"``.
            now: Source of the time of the lines.
        """
        self.on_room: Callable[[], None] | None = None
        self._tail = tail
        self._stream = stream
        self._now = now

    @property
    def blocked(self) -> bool:
        """False: the tail is bounded."""
        return False

    def deliver(self, batch: Sequence[Any]) -> None:
        """Remember the last lines of a batch."""
        self._tail.remember(self._stream, 1, self._now(), batch, 1)

    def end(self) -> None:
        """Do nothing."""
