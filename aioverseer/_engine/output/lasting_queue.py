"""LastingQueue: the queue of one reader of a service, over all its runs. Readers: a weak set of such queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import finalize, ref

from aioverseer._engine.output.line_queue import LineQueue

__all__ = ["LastingQueue", "Readers", "call_when_forgotten"]

T = TypeVar("T")


class LastingQueue(LineQueue[T]):
    """A queue that ends with its service, and continues when the service is started again."""

    def __init__(self, maxsize: int = 0) -> None:
        """Create an empty queue.

        Args:
            maxsize: Number of items at which it is full; 0 is no limit.
        """
        super().__init__(maxsize)
        self._closed = False
        self._holders: set[LastingQueue[T]] | None = None

    def close(self) -> None:
        """End for good and discard what is in the queue. Idempotent."""
        self.shutdown(immediate=True)

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """End for good: a later run of the service does not open the queue again.

        Args:
            immediate: Whether to discard the items that are still in it.
        """
        self._closed = True
        super().shutdown(immediate)

    def reopen(self) -> None:
        """Accept items again, because the service was started again."""
        if not self._closed:
            self._shut = False

    def hold_while_waiting(self, holders: set[LastingQueue[T]]) -> None:
        """Use this set for a strong reference while a reader waits, as there may be no other reference."""
        self._holders = holders

    async def _wait_for_line(self) -> None:
        holders = self._holders
        if holders is None:
            return await super()._wait_for_line()
        holders.add(self)
        try:
            await super()._wait_for_line()
        finally:
            # The event loop keeps a getter alive that was woken and has not run yet.
            if not self.has_waiter:
                holders.discard(self)


Q = TypeVar("Q", bound=LastingQueue[Any])


class Readers(Generic[Q]):
    """A weak set of queues, in the order in which they were added.

    Most sets are empty, and each restart checks that several times. A WeakSet is much slower at it.
    """

    def __init__(self) -> None:
        """Create an empty set."""
        # Changed by single operations only, as the garbage collector may run in any thread.
        self._refs: dict[ref[Q], None] = {}

    def add(self, queue: Q) -> None:
        """Add a queue."""
        self._refs[ref(queue, self._forget)] = None

    def clear(self) -> None:
        """Remove all queues."""
        self._refs.clear()

    def all(self) -> Sequence[Q]:
        """Return the queues that are still referenced, in order."""
        if not self._refs:
            return ()
        return [queue for known in list(self._refs) if (queue := known()) is not None]

    def _forget(self, known: ref[Q]) -> None:
        self._refs.pop(known, None)


def call_when_forgotten(queue: LastingQueue[T], callback: Callable[[], None]) -> None:
    """Call a function on the running event loop when a queue is garbage-collected without ``close()``."""
    # The garbage collector may run in any thread, and the event loop may be closed by then.
    finalize(queue, _call_soon, asyncio.get_running_loop(), callback).atexit = False


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
