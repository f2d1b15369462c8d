"""Recorder: the events of an overseer as lines of JSON in a file.

A thread writes, never the event loop. What is in an event is decided in ``core/events.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging

from aioverseer.core.events import Event
from aioverseer.core.paths import PathLike
from aioverseer.journal import EventStream
from aioverseer.system.waiting import settle

__all__ = ["Recorder"]

_log = logging.getLogger("aioverseer")

_END = 10.0
"""Seconds that leaving waits for the last lines; only a disk that does not answer takes longer."""


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
            batch = [event, *iter(self._stream.get_nowait, None)]
            self.lost += sum(one.missed for one in batch)
            try:
                # The file is opened each time: who has moved it away finds the next events in a new one.
                await asyncio.to_thread(_append, self.path, batch)
            except OSError as error:
                self.lost += len(batch)
                if not self._complained:
                    _log.warning(
                        "events cannot be written to %s: %s; those that are lost are counted", self.path, error
                    )
                self._complained = True
            else:
                self.written += len(batch)
                self._complained = False


def _append(path: str, events: list[Event]) -> None:
    text = "".join(f"{json.dumps(event.to_json())}\n" for event in events)
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
