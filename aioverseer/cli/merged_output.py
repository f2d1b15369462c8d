"""Lanes: what is to be written to standard output and to standard error, in the order in which it happened.

Each lane has a sink and a task of its own. What is older in the other lane goes first, but only for a moment: a
standard output that nobody reads must not hide the news. What is written is decided elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

import anyio

from aioverseer.cli.stream_writer import StreamWriter

__all__ = ["OutputLane"]

_ROOM = 256 * 1024
"""Bytes that wait in a lane before its feeders do."""

_MOMENT = 0.25
"""Seconds for which a lane waits for the other."""


class OutputLane:
    """What is to be written to one sink.

    Attributes:
        sink: Where it is written.
        written: How often something was written.
        failure: Why nothing can be written any more; None while it can.
    """

    def __init__(self, sink: StreamWriter, on_failure: Callable[[OSError], None]) -> None:
        """Make an empty lane.

        Args:
            sink: Where to write.
            on_failure: Called once, when the sink refuses to be written; all else is then thrown away.
        """
        self.sink = sink
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
        """When the oldest thing happened that is not yet written; None when all is."""
        return self._writing or (self._items[0][0] if self._items else None)

    @property
    def left(self) -> int:
        """How many items were not written; what is being written counts as one."""
        return len(self._items) + (self._writing is not None)

    async def changed(self) -> None:
        """Wait until something was put in, or was written."""
        await self._changed.wait()

    async def put(self, time: datetime, data: bytes) -> None:
        """Add what is to be written; wait while there is no room."""
        while self._size >= _ROOM and self.failure is None:
            await self._changed.wait()
        self.put_now(time, data)

    def put_now(self, time: datetime, data: bytes) -> None:
        """Add what is to be written, whether there is room or not."""
        if self.failure is None:
            self._items.append((time, data))
            self._size += len(data)
            self._tell()

    def end(self) -> None:
        """Take note that nothing more comes."""
        self._ended = True
        self._tell()

    async def run(self, other: OutputLane) -> None:
        """Write until the end, or until the sink fails."""
        while not (self._ended and not self._items):
            if not self._items:
                await self._changed.wait()
                continue
            first = self._items[0][0]
            with anyio.move_on_after(_MOMENT):
                while (oldest := other.oldest) is not None and oldest < first:
                    await other.changed()
            oldest = other.oldest
            await self._write(until=None if oldest is None or oldest < first else oldest)

    async def _write(self, until: datetime | None) -> None:
        """Write the first item, and those behind it that are not newer than what waits in the other lane."""
        items = self._items
        self._writing, data = items.popleft()
        parts = [data]
        while items and (until is None or items[0][0] <= until):
            parts.append(items.popleft()[1])
        self._size -= sum(map(len, parts))
        self._tell()
        try:
            await self.sink.write(b"".join(parts))
        except OSError as error:
            self.failure = error
            items.clear()
            self._size = 0
            self._on_failure(error)
        self._writing = None
        self.written += 1
        self._tell()

    def _tell(self) -> None:
        event, self._changed = self._changed, anyio.Event()
        event.set()
