"""Lines and events as plain iterators that block the calling thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from aioverseer import Event, EventStream, Line, QueueShutDown, Subscription
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop

__all__ = ["ThreadedEvents", "ThreadedLines", "next_item"]

T = TypeVar("T")


def next_item(
    loop: Loop, taken: deque[T], more: Callable[[], Awaitable[Iterable[T]]], now: Callable[[], T | None]
) -> T:
    """Wait for the next item and return it.

    Args:
        loop: The loop.
        taken: Items that were taken before. It is filled on the loop, so an interrupt of the calling thread loses none.
        more: Coroutine function that waits for items and returns them. Safe to cancel.
        now: Function that returns the next item, or None for none, after the end of the loop.

    Raises:
        StopIteration: At the end. After the end of the loop that is once no item is left.
    """

    async def fill() -> None:
        taken.extend(await more())

    while True:
        with contextlib.suppress(IndexError):  # another thread may take items from it, too
            return taken.popleft()
        try:
            if loop.is_running:
                loop.run(fill)
                continue
            item = now()
        except (QueueShutDown, StopAsyncIteration, asyncio.QueueEmpty):
            item = None
        if item is None:
            raise StopIteration
        return item


@exported_from("aioverseer")
class ThreadedLines(Iterator[Line]):
    """The lines of services as a plain iterator that blocks the calling thread; see ``Subscription``."""

    def __init__(self, loop: Loop, subscription: Subscription) -> None:
        """Wrap a subscription. For ``lines()`` and ``logs()``."""
        self._loop = loop
        self._subscription = subscription
        self._taken: deque[Line] = deque()

    @property
    def missed(self) -> int:
        """Number of lines that were lost so far; ``Line.missed`` counts those just before a line."""
        return self._subscription.missed

    def __next__(self) -> Line:
        """Wait for the next line and return it."""
        return next_item(self._loop, self._taken, more=self._subscription.get_batch, now=self._subscription.get_nowait)

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
        self._taken: deque[Event] = deque()

    def __next__(self) -> Event:
        """Wait for the next event and return it."""
        return next_item(self._loop, self._taken, more=self._more, now=self._events.get_nowait)

    def get_nowait(self) -> Event | None:
        """Return the next event if it is there already, else None."""
        with contextlib.suppress(IndexError):
            return self._taken.popleft()
        return self._loop.call(self._events.get_nowait)

    async def _more(self) -> list[Event]:
        return [await anext(self._events)]
