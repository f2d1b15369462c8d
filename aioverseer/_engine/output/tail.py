"""The tail: the last lines of a Service, which errors and failing tests show.

It is bounded in lines and bytes. Batches are kept as they arrive. ``Line`` objects are made on request, so a program
that writes much costs little.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from aioverseer.core.text.framing import shown
from aioverseer.core.text.lines import Line, make_lines

__all__ = ["TAIL_BYTES", "TAIL_LINES", "Tail"]

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
    is_framed: bool

    def lines(self, id: str) -> list[Line]:
        """Return the batch as lines of a service."""
        return make_lines(id, self.stream, self.texts, self.time, self.run, self.first)


_as_batch: Callable[[tuple[object, ...]], _Batch] = functools.partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType]  # generic over what _Batch says
    _Batch,
)
"""Makes a batch without the constructor of ``NamedTuple``, a Python function that takes twice the time."""


class Tail:
    """The last lines of a service, across its runs."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._lines = 0
        self._size = 0

    def remember(
        self,
        stream: str,
        run: int,
        time: datetime,
        batch: Sequence[str | bytes],
        first: int,
        *,
        is_framed: bool = False,
    ) -> None:
        """Add a batch, and drop old batches.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            run: Number of the run that wrote it.
            time: Time at which it was read.
            batch: Texts of the lines.
            first: Number of the first line in its service.
            is_framed: Whether they are items of another framing than lines.
        """
        texts = batch[-TAIL_LINES:]
        size = sum(map(len, texts))
        batches = self._batches
        if is_framed and size > TAIL_BYTES:
            texts = _that_fit(texts)
            size = sum(map(len, texts))
        first += len(batch) - len(texts)
        batches.append(_as_batch((stream, run, time, texts, size, first, is_framed)))
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
        """Return up to ``most`` of the last lines, oldest first. Items of another framing are cut and escaped."""
        lines = [
            line._replace(text=shown(line.text)) if batch.is_framed else line
            for batch in self._batches
            for line in batch.lines(id)
        ]
        first = max(0, len(lines) - min(most, TAIL_LINES))
        size = sum(len(line.text) for line in lines[first:])
        while size > TAIL_BYTES and first < len(lines) - 1:
            size -= len(lines[first].text)
            first += 1
        return lines[first:]

    def items(self, id: str, most: int) -> list[Line]:
        """Return the same with the items as they are, without frames that are too large to be remembered."""
        lines = [line for batch in self._batches for line in batch.lines(id) if type(line.text) is not _Excerpt]
        return lines[max(0, len(lines) - min(most, TAIL_LINES)) :]


class _Excerpt(str):
    """The beginning of a frame that is too large to be remembered."""

    __slots__ = ()


def _that_fit(frames: Sequence[str | bytes]) -> Sequence[str | bytes]:
    """Return the last frames that may be remembered together, or a part of the last one as text."""
    size, count = 0, 0
    for frame in reversed(frames):
        size += len(frame)
        if size > TAIL_BYTES:
            break
        count += 1
    return frames[-count:] if count else [_Excerpt(shown(frames[-1]))]
