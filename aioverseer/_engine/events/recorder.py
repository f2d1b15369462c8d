"""Recorder: writes the events of an overseer to a file, as lines of JSON. A thread writes, not the event loop."""

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

_PATIENCE = 10.0
"""Seconds that leaving waits for the last lines. Only a disk that does not respond takes longer."""

_BATCH = 500
"""Events that are made in one loop iteration, which takes some milliseconds."""


@exported_from("aioverseer")
class Recorder:
    """Appends each event to a file, in order. ``Overseer.record`` returns it.

    Attributes:
        path: The file.
        written: Number of events that are in the file.
        lost: Number of events that could not be written, or came too fast: the overseer remembers 10,000 events.
    """

    def __init__(self, path: str | PathLike, stream: EventStream) -> None:
        """Create a recorder. Use ``Overseer.record`` instead."""
        self.path = path.__fspath__() if isinstance(path, PathLike) else path
        self.written = 0
        self.lost = 0
        self._stream = stream
        self._complained = False
        self._task = asyncio.create_task(self._follow(), name=f"aioverseer record {self.path}")

    async def finish(self) -> asyncio.CancelledError | None:
        """Wait until all events are in the file, or counted as lost. A cancellation does not interrupt this.

        Returns:
            The last cancellation that came meanwhile, or None.
        """
        cancelled = await settle(self._task, within=_PATIENCE)
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
