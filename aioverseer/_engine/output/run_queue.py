"""RunQueue: the items of one stream of a run of a service, for a reader that may come late, or never."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aioverseer._engine.output.output_queue import OutputQueue
from aioverseer.core.clock import Clock
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import LINE_COST

__all__ = ["RunQueue"]

T = TypeVar("T", bound=str | bytes)


class RunQueue(OutputQueue[T]):
    """A queue that is lossless from the first reading on, and holds no program up before.

    Until then it keeps nothing, or the last ``maxsize`` items. It ends with the run, not with the pipe: a program may
    close its output and live on, and the reader must find the end of the run known.

    Attributes:
        missed: Number of items that were dropped before the first reading, of those that were to be kept.
    """

    def __init__(
        self, spec: Spec, stream: str, *, clock: Clock, end_error: Callable[[str], Awaitable[Exception]] | None = None
    ) -> None:
        """Create a queue that keeps nothing yet; see ``OutputQueue`` for the arguments."""
        super().__init__(spec, stream, clock=clock, end_error=end_error)
        self.missed = 0
        self._keeps = False
        self._lossless = False
        self._was_read = False
        self._has_pipe = False
        self._pipe_ended = False
        self._run_ended = False

    @property
    def blocked(self) -> bool:
        """Whether the pipe is not read until half of the queue is free."""
        return self._lossless and self._blocked

    @property
    def waiting_bytes(self) -> int:
        """Bytes, or characters, of the items in the queue, and what these objects cost, about."""
        return sum(LINE_COST + len(item) for item in self._queue)

    def keep_recent(self) -> None:
        """Keep the last items from now on, until somebody reads."""
        self._keeps = True

    def keep_all(self) -> None:
        """Keep every item from now on: a reader is known."""
        self._keeps = self._lossless = True

    def relax(self) -> None:
        """Keep the last items alone, because the known reader has left, unless one has read already."""
        if self._was_read or not self._lossless:
            return
        if not self.is_untouched:
            self._begin_reading()
            return
        self.give_way()

    def give_way(self) -> None:
        """Keep the last items alone until the first reading, so that the pipe is read on; ``missed`` counts others."""
        self._lossless = False
        self._trim()
        if self.on_room is not None:
            self.on_room()

    def begin_pipe(self) -> None:
        """Note that a pipe delivers items: the queue does not end before it."""
        self._has_pipe = True

    def end(self) -> None:
        """End the pipe. The queue ends with the run."""
        self._has_pipe = False
        self._pipe_ended = True
        self._disconnect()
        if self._run_ended:
            super().end()

    @property
    def _is_complete(self) -> bool:
        return self._shut or self._pipe_ended

    def end_run(self) -> None:
        """End the run. The queue ends with the pipe, which survivors may hold."""
        self._run_ended = True
        if not self._has_pipe:
            super().end()

    def deliver(self, batch: Sequence[T]) -> None:
        """Add a batch of any size, if it is for keeping."""
        if self._lossless:
            super().deliver(batch)
        elif self._keeps and not self._shut:
            before = len(self._queue)
            self._queue.extend(batch)
            self._delivered += len(batch)
            self._settle(before)
            if self._most_bytes:
                self._is_over_after(batch)
            self._trim()

    def get_nowait(self) -> T:
        """Return the next item."""
        self._begin_reading()
        return super().get_nowait()

    async def _wait_for_line(self) -> None:
        self._begin_reading()
        await super()._wait_for_line()

    def _trim(self) -> None:
        self.missed += self._drop_oldest_surplus()
        # The first item that is taken must call _make_room, the one hook on the fast path of a reader.
        self._blocked = True
        self._low = self.maxsize

    def _make_room(self, taken: int) -> None:
        self._begin_reading()
        super()._make_room(taken)

    def _begin_reading(self) -> None:
        self._was_read = self._keeps = self._lossless = True
        super()._begin_reading()
