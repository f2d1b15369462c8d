"""The sink that passes the lines of one service to one log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from aioverseer.core.text.lines import LINE_COST, Line

if TYPE_CHECKING:  # loaded by the overseer's assembly when a service has a log
    from aioverseer._system.logfile.writer import Backlog
    from aioverseer.core.text.log_format import Entry

__all__ = ["LogSink"]


class LogSink:
    """Takes the lines of one service for one log.

    Attributes:
        is_raw: Whether the log keeps the bytes of the program.
    """

    def __init__(
        self,
        id: str,
        streams: frozenset[str],
        backlog: Backlog,
        on_lost: Callable[[str, int], None],
        *,
        is_raw: bool = False,
    ) -> None:
        """Connect a service to a log.

        Args:
            id: Id of the service.
            streams: Streams whose lines go to the log.
            backlog: Backlog of the log.
            on_lost: Called with the id and a number of lines that the full backlog has refused.
            is_raw: Whether the log keeps the bytes of the program, and so gets lines of a ``RawLineSplitter``.
        """
        self.is_raw = is_raw
        self._id = id
        self._streams = streams
        self._backlog = backlog
        self._on_lost = on_lost
        self._dropped = 0
        self._dropped_at: datetime | None = None

    @property
    def blocked(self) -> bool:
        """Whether pipes must not be read until the log has caught up."""
        return self._backlog.blocked

    def takes(self, id: str, stream: str) -> bool:
        """Return whether lines of this service and stream are for this log."""
        return stream in self._streams and id == self._id

    def deliver(self, batch: Sequence[Line]) -> None:
        """Add lines to the backlog, or count them if it is full."""
        size = sum(map(len, [line.text for line in batch])) + LINE_COST * len(batch)
        entries: Sequence[Entry] = batch
        if self._dropped:
            entries = [self._backlog.gap(id=self._id, n=self._dropped, time=batch[0].time), *batch]
        if self._backlog.add(entries, size):
            self._dropped = 0
            return
        self._dropped += len(batch)
        self._dropped_at = batch[-1].time
        self._on_lost(self._id, len(batch))

    def shutdown(self) -> None:
        """Mark lines that were dropped at the end, and close the file until there is another line."""
        if self._dropped and self._dropped_at is not None:
            gap = self._backlog.gap(id=self._id, n=self._dropped, time=self._dropped_at)
            self._backlog.add([gap], 0, force=True)
            self._dropped = 0
        self._backlog.close()
