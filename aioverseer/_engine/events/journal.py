"""Journal: a bounded log of events that any number of readers follow, each at its own pace.

All readers share one log, so a slow reader costs the others nothing, and memory stays bounded. The log holds records;
each reader makes Events of them.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

from aioverseer._aio.watchers import Watchers
from aioverseer.core.export import exported_from
from aioverseer.core.report.events import Event, EventRecord

__all__ = ["JOURNAL_SIZE", "EventStream", "Journal"]

JOURNAL_SIZE = 10_000
"""Events that are kept: some five megabytes at most. A slower reader learns how many events it has missed."""


class Journal:
    """The events of one overseer, in order.

    Attributes:
        seq: Number of the last event; 0 before the first.
        ended: Whether no further event comes.
    """

    def __init__(self, size: int | None = None) -> None:
        """Begin without events.

        Args:
            size: Number of events to keep; None for ``JOURNAL_SIZE``.
        """
        self.seq = 0
        self.ended = False
        self._records: deque[EventRecord] = deque(maxlen=JOURNAL_SIZE if size is None else size)
        self._watchers: Watchers[Journal] = Watchers()

    def append(self, record: EventRecord) -> None:
        """Add the next event and wake the readers."""
        self.seq = record.seq
        self._records.append(record)
        self._watchers.notify(self)

    def end(self) -> None:
        """End the readers once they have read everything."""
        self.ended = True
        self._watchers.notify(self)

    def reopen(self) -> None:
        """Go on after an end. New readers begin after the events so far."""
        self.ended = False

    def read(self, after: int) -> Event | None:
        """Return the first remembered event after number ``after``; None when there is none yet."""
        ahead = self.seq - after
        if ahead <= 0:
            return None
        records = self._records
        if ahead > len(records):
            oldest = records[0]
            return oldest.event(missed=oldest.seq - after - 1)
        return records[-ahead].event(missed=0)

    async def wait(self, after: int) -> None:
        """Wait for an event after number ``after``, or for the end. Safe to cancel."""
        await self._watchers.watch(self, lambda journal: journal.ended or journal.seq > after)


@exported_from("aioverseer")
class EventStream(AsyncIterator[Event]):
    """A reader of events: ``async for event in overseer.events()``.

    It begins with the first event after its creation, and ends when the overseer is left. The overseer remembers
    10,000 events. A reader that falls further behind loses the oldest ones; ``Event.missed`` of its next event counts
    them.
    """

    def __init__(self, journal: Journal, *, after: int, wants: Callable[[str], bool] | None = None) -> None:
        """Create a reader. Use ``Overseer.events`` instead.

        Args:
            journal: The journal.
            after: Number of the last event that is not read.
            wants: Function of the id of a service: whether its events are read; None for all services.
        """
        self._journal = journal
        self._after = after
        self._wants = wants
        self._missed = 0
        """Events lost before events that were skipped; the next one counts them."""

    def __aiter__(self) -> Self:
        """Return the stream itself."""
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event and return it; stop at the end. Safe to cancel: no event is lost."""
        while (event := self.get_nowait()) is None:
            if self._journal.ended:
                raise StopAsyncIteration
            await self._journal.wait(self._after)
        return event

    async def wait_for_event(self) -> bool:
        """Wait until ``get_nowait`` has an event; return False when no further one comes. Safe to cancel."""
        while True:
            await self._journal.wait(self._after)
            if self._skip() is not None:
                return True
            if self._journal.ended:
                return False

    def get_nowait(self) -> Event | None:
        """Return the next event, or None while there is none."""
        event = self._skip()
        if event is not None:
            self._after = event.seq
            if self._missed:
                event = dataclasses.replace(event, missed=event.missed + self._missed)
                self._missed = 0
        return event

    def _skip(self) -> Event | None:
        """Return the next event without taking it, and take those before it that are not wanted."""
        while (event := self._journal.read(self._after)) is not None:
            if self._wants is None or self._wants(event.id):
                return event
            self._after = event.seq
            self._missed += event.missed
        return None
