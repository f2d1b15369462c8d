"""Lines and events as plain iterators that block the calling thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TypeVar

from aioverseer import Event, EventStream, Line, LineQueue, QueueShutDown, Subscription
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop

__all__ = ["ThreadedEvents", "ThreadedLines", "fetch"]

T = TypeVar("T")


def fetch(loop: Loop, queue: LineQueue[T]) -> list[T]:
    """Wait for items of a queue and return them.

    Raises:
        StopIteration: At the end of the queue. After the end of the loop that is once it is empty.
    """
    try:
        return loop.run(queue.get_batch) if loop.is_running else [queue.get_nowait()]
    except (QueueShutDown, asyncio.QueueEmpty):
        raise StopIteration from None


@exported_from("aioverseer")
class ThreadedLines(Iterator[Line]):
    """The lines of services as a plain iterator that blocks the calling thread; see ``Subscription``."""

    def __init__(self, loop: Loop, subscription: Subscription) -> None:
        """Wrap a subscription. For ``lines()`` and ``logs()``."""
        self._loop = loop
        self._subscription = subscription
        self._batch: deque[Line] = deque()

    @property
    def missed(self) -> int:
        """Number of lines that were lost so far; ``Line.missed`` counts those just before a line."""
        return self._subscription.missed

    def __next__(self) -> Line:
        """Wait for the next line and return it."""
        if not self._batch:
            self._batch.extend(fetch(self._loop, self._subscription))
        return self._batch.popleft()

    def close(self) -> None:
        """End the iterator; its lines are no longer kept. Idempotent."""
        self._loop.call(self._subscription.close)


@exported_from("aioverseer")
class ThreadedEvents(Iterator[Event]):
    """The events of an overseer as a plain iterator that blocks the calling thread; see ``EventStream``."""

    def __init__(self, loop: Loop, events: EventStream) -> None:
        """Wrap a stream of events. For ``events()``."""
        self._loop = loop
        self._events = events

    def __next__(self) -> Event:
        """Wait for the next event and return it."""
        event = self._loop.run(self._next) if self._loop.is_running else self._events.get_nowait()
        if event is None:
            raise StopIteration
        return event

    def get_nowait(self) -> Event | None:
        """Return the next event if it is there already, else None."""
        return self._loop.call(self._events.get_nowait)

    async def _next(self) -> Event | None:
        return await anext(self._events, None)
