"""Standard output and standard error, written in the order of time across both.

Each of the two has a task and a writer of its own. A task lets older items of the other stream go first, but only for a
moment: messages on standard error must come out even if nobody reads standard output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

import anyio

from aioverseer.cli.stream_writer import StreamWriter

__all__ = ["MergedOutput"]

_MAX_QUEUED_BYTES = 256 * 1024
"""Queued bytes above which ``put`` waits."""

_MAX_WAIT = 0.25
"""Seconds for which older items of the other stream may go first."""


class MergedOutput:
    """One of the two streams, with the queue of its unwritten items.

    Attributes:
        writer: The standard stream.
        written: The number of writes so far.
        failure: The error of the write that failed; None while writing works.
    """

    def __init__(self, writer: StreamWriter, on_failure: Callable[[OSError], None]) -> None:
        """Make an empty queue.

        Args:
            writer: The standard stream.
            on_failure: Called once, when a write fails. All later items are discarded.
        """
        self.writer = writer
        self.written = 0
        self.failure: OSError | None = None
        self._on_failure = on_failure
        self._size = 0
        self._items: deque[tuple[datetime, bytes]] = deque()
        self._writing: datetime | None = None
        self._ended = False
        self._changed = anyio.Event()

    @property
    def oldest(self) -> datetime | None:
        """The time of the oldest item that is not yet written; None if there is none."""
        return self._writing or (self._items[0][0] if self._items else None)

    @property
    def unwritten(self) -> int:
        """The number of items that are not yet written. The write under way counts as one."""
        return len(self._items) + (self._writing is not None)

    async def changed(self) -> None:
        """Wait until an item was put in or written."""
        await self._changed.wait()

    async def put(self, time: datetime, data: bytes) -> None:
        """Add an item; wait while the queue is full."""
        while self._size >= _MAX_QUEUED_BYTES and self.failure is None:
            await self._changed.wait()
        self.put_now(time, data)

    def put_now(self, time: datetime, data: bytes) -> None:
        """Add an item, even if the queue is full."""
        if self.failure is None:
            self._items.append((time, data))
            self._size += len(data)
            self._notify()

    def end(self) -> None:
        """Let ``run`` return once the queue is empty."""
        self._ended = True
        self._notify()

    async def run(self, other: MergedOutput) -> None:
        """Write until the end, or until a write fails."""
        while not (self._ended and not self._items):
            if not self._items:
                await self._changed.wait()
                continue
            first = self._items[0][0]
            with anyio.move_on_after(_MAX_WAIT):
                while (oldest := other.oldest) is not None and oldest < first:
                    await other.changed()
            oldest = other.oldest
            await self._write(until=None if oldest is None or oldest < first else oldest)

    async def _write(self, until: datetime | None) -> None:
        """Write the first item, and the following ones that are no newer than the oldest item of the other stream."""
        items = self._items
        self._writing, data = items.popleft()
        parts = [data]
        while items and (until is None or items[0][0] <= until):
            parts.append(items.popleft()[1])
        self._size -= sum(map(len, parts))
        self._notify()
        try:
            await self.writer.write(b"".join(parts))
        except OSError as error:
            self.failure = error
            items.clear()
            self._size = 0
            self._on_failure(error)
        self._writing = None
        self.written += 1
        self._notify()

    def _notify(self) -> None:
        event, self._changed = self._changed, anyio.Event()
        event.set()
