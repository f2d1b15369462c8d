"""Recorder: the events of an overseer as lines of JSON in a file.

A thread writes, never the event loop; see ``_system/logfile/append.py``. What is in an event is decided in
``core/report/events.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging

from aioverseer._aio.shield import settle
from aioverseer._engine.events.journal import EventStream
from aioverseer._system.logfile.append import append_lines
from aioverseer.core.export import exported_from
from aioverseer.core.report.events import Event
from aioverseer.core.typing import PathLike

__all__ = ["Recorder"]

_log = logging.getLogger("aioverseer")

_END = 10.0
"""Seconds that leaving waits for the last lines; only a disk that does not answer takes longer."""


_BATCH = 500
"""Events that are made in one step of the loop: some milliseconds."""


@exported_from("aioverseer")
class Recorder:
    """Appends each event to a file, in order; made by ``Overseer.record``.

    Attributes:
        path: The file.
        written: How many events are in it.
        lost: How many could not be written, or came faster than the journal of the overseer is long.
    """

    def __init__(self, path: str | PathLike, stream: EventStream) -> None:
        """Begin to follow; on a running event loop."""
        self.path = path.__fspath__() if isinstance(path, PathLike) else path
        self.written = 0
        self.lost = 0
        self._stream = stream
        self._complained = False
        self._task = asyncio.create_task(self._follow(), name=f"aioverseer record {self.path}")

    async def finish(self) -> asyncio.CancelledError | None:
        """Wait until all events are in the file, or counted as lost; the stream has ended. Goes on when cancelled."""
        cancelled = await settle(self._task, within=_END)
        if not self._task.done():
            self._task.cancel()
        return cancelled

    async def _follow(self) -> None:
        async for event in self._stream:
            batch = [event, *itertools.islice(iter(self._stream.get_nowait, None), _BATCH - 1)]
            self.lost += sum(one.missed for one in batch)
            written, error = await asyncio.to_thread(_append, self.path, batch)
            self.written += written
            self.lost += len(batch) - written
            if error is not None and not self._complained:
                _log.warning("events cannot be written to %s: %s; those that are lost are counted", self.path, error)
            self._complained = error is not None


def _append(path: str, events: list[Event]) -> tuple[int, OSError | None]:
    return append_lines(path, [f"{json.dumps(event.to_json())}\n".encode() for event in events])
