"""Lines and events as plain iterators, which wait in the calling thread.

What is in them, and what becomes of those that nobody takes, is decided where they come from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from aioverseer import Dropped, Event, EventStream, Line, QueueShutDown, Subscription
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop

__all__ = ["ThreadedEvents", "ThreadedLines"]


class ThreadedLines(Iterator[Line | Dropped]):
    """The lines of a ``Subscription`` as a plain iterator; waits in the calling thread."""

    def __init__(self, loop: Loop, subscription: Subscription) -> None:
        """Made by ``lines()`` and ``logs()``."""
        self._loop = loop
        self._subscription = subscription
        self._batch: deque[Line | Dropped] = deque()

    def __next__(self) -> Line | Dropped:
        """Return the next line, waiting for it; stop at the end."""
        if not self._batch:
            try:
                self._batch.extend(self._fetch())
            except (QueueShutDown, asyncio.QueueEmpty):
                raise StopIteration from None
        return self._batch.popleft()

    def close(self) -> None:
        """Take no more lines. Idempotent."""
        self._loop.ask(self._subscription.close)

    def _fetch(self) -> list[Line | Dropped]:
        if self._loop.is_used:
            return self._loop.run(self._subscription.get_batch)
        return [self._subscription.get_nowait()]


@exported_from("aioverseer")
class ThreadedEvents(Iterator[Event]):
    """The events of an ``EventStream`` as a plain iterator; waits in the calling thread."""

    def __init__(self, loop: Loop, events: EventStream) -> None:
        """Made by ``events()``."""
        self._loop = loop
        self._events = events

    def __next__(self) -> Event:
        """Return the next event, waiting for it; stop at the end."""
        event = self._loop.run(self._next) if self._loop.is_used else self._events.get_nowait()
        if event is None:
            raise StopIteration
        return event

    def get_nowait(self) -> Event | None:
        """Return the next event, or None when there is none at the moment."""
        return self._loop.ask(self._events.get_nowait)

    async def _next(self) -> Event | None:
        return await anext(self._events, None)
