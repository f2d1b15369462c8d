"""The journal: a bounded log of events that any number of readers follow, each at its own pace.

One log is shared by all readers, so a slow one costs the others nothing and memory stays bounded; what it missed is
told to it. It holds notes, and each reader makes its Events of them. Nothing in here knows what they mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Self

from aioverseer._aio.watchers import Watchers
from aioverseer.core.export import exported_from
from aioverseer.core.report.events import Event, EventRecord

__all__ = ["JOURNAL_SIZE", "EventStream", "Journal"]

JOURNAL_SIZE = 10_000
"""Events kept: some five megabytes at most. A reader further behind than that is told how many it missed."""


class Journal:
    """The events of one overseer, in order.

    Attributes:
        seq: Number of the last event; 0 when there was none yet.
    """

    def __init__(self, size: int | None = None) -> None:
        """Begin empty.

        Args:
            size: Events that are kept; None is ``JOURNAL_SIZE``.
        """
        self.seq = 0
        self.ended = False
        self._notes: deque[EventRecord] = deque(maxlen=JOURNAL_SIZE if size is None else size)
        self._watchers: Watchers[Journal] = Watchers()

    def append(self, note: EventRecord) -> None:
        """Add the next event, and wake the readers."""
        self.seq = note.seq
        self._notes.append(note)
        self._watchers.notify(self)

    def end(self) -> None:
        """Tell the readers that nothing more comes, once they have read what is there."""
        self.ended = True
        self._watchers.notify(self)

    def reopen(self) -> None:
        """Go on after an end; new readers begin behind what was there."""
        self.ended = False

    def read(self, after: int) -> Event | None:
        """Return the first event kept whose number is above ``after``; None when there is none yet."""
        behind = self.seq - after
        if behind <= 0:
            return None
        notes = self._notes
        if behind > len(notes):
            oldest = notes[0]
            return oldest.event(missed=oldest.seq - after - 1)
        return notes[-behind].event(missed=0)

    async def news(self, after: int) -> None:
        """Wait for an event whose number is above ``after``, or the end. Safe to cancel."""
        await self._watchers.watch(self, lambda journal: journal.ended or journal.seq > after)


@exported_from("aioverseer")
class EventStream(AsyncIterator[Event]):
    """One reader of a journal: ``async for event in overseer.events()``.

    It begins with the first event after it was made, and ends when the overseer has ended. An event's ``missed`` says
    how many were lost before it, should this reader ever fall further behind than the journal is long.
    """

    def __init__(self, journal: Journal, *, after: int) -> None:
        """Begin behind an event.

        Args:
            journal: What to read.
            after: Number of the event behind which to begin.
        """
        self._journal = journal
        self._after = after

    def __aiter__(self) -> Self:
        """Iterate over the events as they come."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event, waiting for it; stop at the end. Safe to cancel: no event is lost then."""
        while (event := self._journal.read(self._after)) is None:
            if self._journal.ended:
                raise StopAsyncIteration
            await self._journal.news(self._after)
        self._after = event.seq
        return event

    async def news(self) -> bool:
        """Wait for an event to get; return False when none comes any more. Safe to cancel, and nothing is taken."""
        await self._journal.news(self._after)
        return not self._journal.ended or self._journal.seq > self._after

    def get_nowait(self) -> Event | None:
        """Return the next event, or None when there is none at the moment."""
        event = self._journal.read(self._after)
        if event is not None:
            self._after = event.seq
        return event
