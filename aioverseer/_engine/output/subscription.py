"""Subscription: the queue of lines of one of many readers, with its own size and overflow rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from aioverseer._engine.output.lasting_queue import LastingQueue, Readers
from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.text.lines import EXCESS_BYTES, LINE_COST, Line, with_missed

__all__ = ["Overflow", "Subscribers", "Subscription"]

Overflow = Literal["drop_oldest", "drop_newest", "block", "error"]
"""Treatment of lines that a subscriber has no room for."""

_OVERFLOWS = ("drop_oldest", "drop_newest", "block", "error")


@exported_from("aioverseer")
class Subscription(LastingQueue[Line]):
    """A subscriber's queue of lines, of one Service or of all services of an Overseer.

    Attributes:
        stream: ``"stdout"``, ``"stderr"``, or None for both.
        missed: Number of lines that this subscriber has lost so far. ``Line.missed`` counts those just before a line;
            lines that were lost after the last one are counted here alone.
    """

    def __init__(
        self, *, stream: str | None, size: int, overflow: Overflow, wants: Callable[[str], bool] | None = None
    ) -> None:
        """Create an empty subscription.

        Args:
            stream: ``"stdout"``, ``"stderr"``, or None for both.
            size: Number of lines that it holds.
            overflow: Treatment of lines beyond that.
            wants: Function of the id of a service: whether its lines are for this subscriber; None for all services.

        Raises:
            SpecError: If a value is invalid.
        """
        if stream not in (None, "stdout", "stderr"):
            raise SpecError(
                f'stream={stream!r} is unknown: pass "stdout", "stderr" or None',
                option="stream",
                value=stream,
            )
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise SpecError(f"size={size!r} is no number of lines, 1 or more", option="size", value=size)
        if overflow not in _OVERFLOWS:
            raise SpecError(
                f"overflow={overflow!r} is unknown: there are {', '.join(_OVERFLOWS)}",
                option="overflow",
                value=overflow,
            )
        super().__init__(size)
        self.stream = stream
        self.missed = 0
        self._missed_at_end = 0
        """Lines lost since the last line that was accepted: the next one tells of them."""
        self._overflow = overflow
        self._wants = wants
        self._excess = 0
        self._failure: Exception | None = None

    @property
    def lossless(self) -> bool:
        """Whether a full queue slows the program down instead of losing lines."""
        return self._overflow == "block"

    @property
    def blocked(self) -> bool:
        """Whether the queue is full and must not lose lines."""
        return self._blocked and self._overflow == "block"

    def fail(self, error: Exception) -> None:
        """End for good. Readers get the remaining lines, then the error."""
        self._failure = error
        self.shutdown()

    def takes(self, id: str, stream: str) -> bool:
        """Return whether lines of a service and stream are for this subscriber."""
        return (
            not self._closed
            and (self.stream is None or self.stream == stream)
            and (self._wants is None or self._wants(id))
        )

    def deliver(self, batch: Sequence[Line]) -> None:
        """Add the lines that there is room for, and treat the others by the overflow rule."""
        if self._shut:
            return
        if self._overflow == "block":
            if self._blocked and not self._accepts_excess(batch):
                self._drop_newest(batch)
            else:
                super().deliver(self._marked(batch))
            return
        if len(self._queue) + len(batch) <= self.maxsize:
            before = len(self._queue)
            self._queue.extend(self._marked(batch))
            self._settle(before)
            return
        match self._overflow:
            case "drop_oldest":
                self._drop_oldest(batch)
            case "drop_newest":
                self._drop_newest(batch)
            case _:
                self._fail(batch)

    def surplus(self, count: int) -> int:
        """Return how many of ``count`` new lines, from the first, would be dropped at once and need not be made."""
        return max(0, count - self.maxsize) if self._overflow == "drop_oldest" else 0

    def deliver_last(self, batch: Sequence[Line], skipped: int) -> None:
        """Add the last lines of a batch.

        Args:
            batch: The lines.
            skipped: Number of lines before them that were not made, of the ``surplus``. They count as missed.
        """
        if skipped == 0:
            self.deliver(batch)
        elif not self._shut:
            self._drop_oldest(batch, skipped)

    def _accepts_excess(self, batch: Sequence[Line]) -> bool:
        # A blocked subscriber stops the reading of pipes, except the pipe of a program that has ended: that end must
        # not wait for a reader that may never come. So a crash loop adds one pipe's content for each run, up to this
        # bound. The content of one pipe is always accepted, even if it alone exceeds the bound, as one full of newlines
        # does.
        accepts = self._excess < EXCESS_BYTES
        self._excess += sum(LINE_COST + len(line.text) for line in batch)
        return accepts

    def _make_room(self, taken: int) -> None:
        self._excess = 0
        super()._make_room(taken)

    def _marked(self, batch: Sequence[Line]) -> Sequence[Line]:
        """Return a batch whose first line tells of the lines that were lost before it."""
        if not (self._missed_at_end and batch):
            return batch
        missed, self._missed_at_end = self._missed_at_end, 0
        return [with_missed(batch[0], missed), *batch[1:]]

    def _drop_oldest(self, batch: Sequence[Line], skipped: int = 0) -> None:
        queue = self._queue
        before = len(queue)
        lost = before + skipped + len(batch) - self.maxsize
        old = min(lost, before)
        self.missed += lost
        self._missed_at_end += lost
        for _ in range(old):
            self._missed_at_end += queue.popleft().missed
        if queue:
            missed, self._missed_at_end = queue[0].missed + self._missed_at_end, 0
            queue[0] = with_missed(queue[0], missed)
        queue.extend(self._marked(batch[lost - old - skipped :]))
        self._settle(before)

    def _drop_newest(self, batch: Sequence[Line]) -> None:
        queue = self._queue
        before = len(queue)
        kept = batch[: max(0, self.maxsize - before)]
        queue.extend(self._marked(kept))
        lost = len(batch) - len(kept)
        self.missed += lost
        self._missed_at_end += lost
        self._settle(before)

    def _fail(self, batch: Sequence[Line]) -> None:
        before = len(self._queue)
        self._queue.extend(batch[: max(0, self.maxsize - before)])
        self._settle(before)
        self.fail(
            asyncio.QueueFull(
                f"this subscriber was more than {self.maxsize} lines behind: "
                "read faster, or choose another overflow rule"
            )
        )

    def _at_end(self) -> Exception:
        return self._failure or super()._at_end()


Subscribers = Readers[Subscription]
"""A weak set of subscriptions."""
