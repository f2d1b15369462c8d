"""RecentQueue: a queue that keeps its last items and counts those it drops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aioverseer._engine.output.line_queue import LineQueue

__all__ = ["RecentQueue"]

T = TypeVar("T")


class RecentQueue(LineQueue[T]):
    """A queue that never blocks its source: the oldest items beyond ``maxsize`` are dropped.

    Attributes:
        missed: Number of items that were dropped so far.
    """

    def __init__(self, maxsize: int) -> None:
        """Create an empty queue.

        Args:
            maxsize: Number of items that it keeps.
        """
        super().__init__(maxsize)
        self.missed = 0

    def deliver(self, batch: Sequence[T]) -> None:
        """Add a batch of any size, and drop the oldest items that there is no room for."""
        if self._shut:
            return
        before = len(self._queue)
        self._queue.extend(batch)
        self._settle(before)
        self.missed += self._drop_oldest_surplus()
