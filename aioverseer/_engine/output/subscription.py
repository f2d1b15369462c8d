"""Subscription: the queue of one of many readers, with its own size and its rule for lines that it has no room for.

And Subscribers: those that somebody still holds. Who gives them lines never lives here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal
from weakref import finalize, ref

from aioverseer._engine.output.line_queue import LineQueue
from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.text.lines import EXCESS_BYTES, LINE_COST, Dropped, Line

__all__ = ["Overflow", "Subscribers", "Subscription", "release_when_forgotten"]

Overflow = Literal["drop_oldest", "drop_newest", "block", "error"]
"""What becomes of lines that a subscriber has no room for."""

_OVERFLOWS = ("drop_oldest", "drop_newest", "block", "error")


@exported_from("aioverseer")
class Subscription(LineQueue[Line | Dropped]):
    """One subscriber's lines of a Service, or of all services of an Overseer.

    Attributes:
        stream: ``"stdout"``, ``"stderr"``, or None for both.
        dropped: Lines that this subscriber has lost so far; each loss is also a ``Dropped`` in its place.
    """

    def __init__(
        self, *, stream: str | None, size: int, overflow: Overflow, wants: Callable[[str], bool] | None = None
    ) -> None:
        """Begin empty.

        Args:
            stream: One stream, or None for both.
            size: Lines that it holds.
            overflow: What becomes of lines beyond that.
            wants: Says of a service's id whether its lines are for this subscriber; None is all.

        Raises:
            SpecError: For a value that cannot be.
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
        self.dropped = 0
        self._overflow = overflow
        self._wants = wants
        self._excess = 0
        self._closed = False
        self._holders: set[Subscription] | None = None
        self._failure: Exception | None = None

    @property
    def lossless(self) -> bool:
        """Whether it slows the program rather than lose a line."""
        return self._overflow == "block"

    @property
    def blocked(self) -> bool:
        """Whether it has no room and nothing may be dropped for it."""
        return self._blocked and self._overflow == "block"

    def close(self) -> None:
        """Take no more lines and end; what is there is thrown away. Idempotent."""
        self.shutdown(immediate=True)

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """Take no more lines and end, for good: no later run opens it again.

        Args:
            immediate: Whether what is still there is thrown away.
        """
        self._closed = True
        super().shutdown(immediate)

    def fail(self, error: Exception) -> None:
        """End for good; who reads gets what is there, and then the error."""
        self._failure = error
        self.shutdown()

    def hold_while_waiting(self, holders: set[Subscription]) -> None:
        """Be held by this set while somebody waits for a line: nobody else may hold the one who waits."""
        self._holders = holders

    async def _wait_for_line(self) -> None:
        holders = self._holders
        if holders is None:
            return await super()._wait_for_line()
        holders.add(self)
        try:
            await super()._wait_for_line()
        finally:
            # A getter that was woken and has not run yet is held by its event loop.
            if not self._getters:
                holders.discard(self)

    def takes(self, id: str, stream: str) -> bool:
        """Whether lines of this service and stream are for this subscriber."""
        return (
            not self._closed
            and (self.stream is None or self.stream == stream)
            and (self._wants is None or self._wants(id))
        )

    def reopen(self) -> None:
        """Take lines again: the service has been started anew."""
        if not self._closed:
            self._shut = False

    def deliver(self, batch: Sequence[Line | Dropped]) -> None:
        """Take what there is room for; what becomes of the rest is said by ``overflow``."""
        if self._shut:
            return
        if self._overflow == "block":
            if self._blocked and not self._is_bearable(batch):
                self._drop_newest(batch)
            else:
                super().deliver(batch)
            return
        if len(self._queue) + len(batch) <= self.maxsize:
            before = len(self._queue)
            self._queue.extend(batch)
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
        """Return how many of so many new lines it would drop at once, from the first: they need not be made."""
        return max(0, count - self.maxsize) if self._overflow == "drop_oldest" else 0

    def deliver_last(self, batch: Sequence[Line], skipped: int) -> None:
        """Take the last lines of a batch; ``skipped``, of its ``surplus``, were never made. They count as dropped."""
        if skipped == 0:
            self.deliver(batch)
        elif not self._shut:
            self._drop_oldest(batch, skipped)

    def _is_bearable(self, batch: Sequence[Line | Dropped]) -> bool:
        # No pipe is read while this is blocked, but that of a program which has ended is emptied: its end is not to
        # wait for a reader that may never come. In a crash loop that is a pipe full for each run. Whatever one run
        # leaves is taken: a pipe of newlines alone counts for more than the bound.
        is_bearable = self._excess < EXCESS_BYTES
        self._excess += sum(LINE_COST + len(line.text) for line in batch if isinstance(line, Line))
        return is_bearable

    def _make_room(self, taken: int) -> None:
        self._excess = 0
        super()._make_room(taken)

    def _drop_oldest(self, batch: Sequence[Line | Dropped], skipped: int = 0) -> None:
        # The mark of what is lost stands first and takes no line's place.
        queue = self._queue
        before = len(queue)
        first = queue[0] if queue else None
        known = 0
        if isinstance(first, Dropped):
            known = first.n
            queue.popleft()
        lost = max(0, len(queue) + skipped + len(batch) - self.maxsize)
        old = min(lost, len(queue))
        for _ in range(old):
            queue.popleft()
        queue.extend(batch[max(0, lost - old - skipped) :])
        self.dropped += lost
        if known + lost:
            queue.appendleft(Dropped(known + lost))
        self._settle(before)

    def _drop_newest(self, batch: Sequence[Line | Dropped]) -> None:
        queue = self._queue
        before = len(queue)
        kept = batch[: max(0, self.maxsize - len(queue))]
        lost = len(batch) - len(kept)
        queue.extend(kept)
        self.dropped += lost
        last = queue[-1]
        if isinstance(last, Dropped):
            queue[-1] = Dropped(last.n + lost)
        else:
            queue.append(Dropped(lost))
        self._settle(before)

    def _fail(self, batch: Sequence[Line | Dropped]) -> None:
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


class Subscribers:
    """Subscriptions that somebody else holds; one that nobody holds any more is forgotten.

    A WeakSet takes thirty times as long to find out that it is empty, which most are, several times in each restart.
    """

    def __init__(self) -> None:
        """Begin without any."""
        # Changed by single operations only: the collector may run in any thread.
        self._refs: dict[ref[Subscription], None] = {}

    def add(self, subscription: Subscription) -> None:
        """Add one."""
        self._refs[ref(subscription, self._forget)] = None

    def clear(self) -> None:
        """Forget all."""
        self._refs.clear()

    def all(self) -> Sequence[Subscription]:
        """Return those that are held, in the order in which they came."""
        if not self._refs:
            return ()
        return [subscription for known in list(self._refs) if (subscription := known()) is not None]

    def _forget(self, known: ref[Subscription]) -> None:
        self._refs.pop(known, None)


def release_when_forgotten(subscription: Subscription, room: Callable[[], None]) -> None:
    """Let the pipes be read again when a lossless subscriber is dropped without ``close()``."""
    if subscription.lossless:
        # The collector may run in any thread, and the event loop may be gone by then.
        finalize(subscription, _call_soon, asyncio.get_running_loop(), room).atexit = False


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
