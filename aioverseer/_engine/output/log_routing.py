"""Logs: which files and loggers the lines of each service go to, and the sinks that take them there.

Files are opened, written and rotated in ``system/``, in a thread. What becomes of news about them is decided in
``_engine/events/publisher.py``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from aioverseer._aio.shield import settle
from aioverseer.core.errors import SpecError
from aioverseer.core.options.log import Log, LogBridge, LogFile
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import LINE_COST, Line

if TYPE_CHECKING:
    from aioverseer._system.logfile.writer import Backlog, LogWriter
    from aioverseer.core.text.log_format import Entry, Gap

# What writes is imported when there is something to write: most programs have no log, and it takes a sixth of the time
# that the import of this library takes.

__all__ = ["LogRouting", "LogSink"]

_log = logging.getLogger("aioverseer")

_END = 10.0
"""Seconds that leaving waits for the thread; only a disk that does not answer takes longer."""

_TOO_SLOW = "they could not be written in time"


class LogSink:
    """Takes the lines of one service to one log."""

    def __init__(self, id: str, streams: frozenset[str], backlog: Backlog, on_lost: Callable[[str, int], None]) -> None:
        """Connect a service to a log.

        Args:
            id: The service's id.
            streams: The streams whose lines it takes.
            backlog: The log's.
            on_lost: Called with the id and the number of lines that the log had no room for.
        """
        self._id = id
        self._streams = streams
        self._backlog = backlog
        self._on_lost = on_lost
        self._dropped = 0
        self._dropped_at: datetime | None = None

    @property
    def blocked(self) -> bool:
        """Whether the pipes are to be left alone until the log has caught up."""
        return self._backlog.blocked

    def takes(self, id: str, stream: str) -> bool:
        """Whether lines of this service and stream are for this log."""
        return stream in self._streams and id == self._id

    def deliver(self, batch: Sequence[Line]) -> None:
        """Hand lines over to the thread, or count them where it is too far behind."""
        size = sum(map(len, [line.text for line in batch])) + LINE_COST * len(batch)
        entries: Sequence[Entry] = batch
        if self._dropped:
            entries = [self._mark(batch[0].time), *batch]
        if self._backlog.add(entries, size):
            self._dropped = 0
            return
        self._dropped += len(batch)
        self._dropped_at = batch[-1].time
        self._on_lost(self._id, len(batch))

    def shutdown(self) -> None:
        """Mark what was dropped at the end, and close the file until there is another line."""
        if self._dropped and self._dropped_at is not None:
            self._backlog.add([self._mark(self._dropped_at)], 0, force=True)
            self._dropped = 0
        self._backlog.close()

    def _mark(self, time: datetime) -> Gap:
        from aioverseer.core.text.log_format import Gap  # noqa: PLC0415  # see above

        return Gap(id=self._id, n=self._dropped, time=time, reason=_TOO_SLOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where lines of one service go: one file, or one logger."""

    log: Log
    name: str
    streams: frozenset[str]
    is_own: bool
    """Whether the service itself has asked for it, and not its overseer."""


class LogRouting:
    """The logs of one overseer. All of it belongs to the event loop but what is said otherwise."""

    def __init__(self, default: tuple[Log, ...], *, name: str, on_news: Callable[[str, str], None]) -> None:
        """Make the logs of an overseer without services; nothing is opened.

        Args:
            default: Logs of the services that name none themselves.
            name: Of the overseer.
            on_news: Called with a service's id and what has happened to its log.
        """
        self._default = default
        self._name = name
        self._on_news = on_news
        self._places: dict[str, dict[str, _Place]] = {}
        self._used: dict[str, dict[str, _Place]] = {}
        self._shared: dict[str, dict[str, _Place]] = {}
        self._sinks: dict[str, tuple[LogSink, ...]] = {}
        self._backlogs: dict[str, Backlog] = {}
        self._rooms: dict[str, dict[str, Callable[[], None]]] = {}
        self._writer: LogWriter | None = None
        self._lost: Counter[str] = Counter()

    def register(self, spec: Spec) -> None:
        """Take note of what a service wants of its next run on.

        Raises:
            SpecError: When its logs contradict each other, or those of another service.
        """
        places = self._places_of(spec)
        for key, place in places.items():
            for other, known in self._shared.get(key, {}).items():
                if other != spec.id:
                    _check_agreement(spec.id, place, known, f"service {other!r}")
        self._unshare(spec.id)
        self._places[spec.id] = places
        for key, place in places.items():
            self._shared.setdefault(key, {})[spec.id] = place
            self._name_lines(key)

    def forget(self, id: str) -> None:
        """Close the logs that only this service has used: it was removed."""
        self._unshare(id)
        self._places.pop(id, None)
        self._release(id, self._used.pop(id, {}))
        self._sinks.pop(id, None)
        self._lost.pop(id, None)

    def sinks(self, id: str, room: Callable[[], None]) -> tuple[LogSink, ...]:
        """Return what takes the lines of the next run of a service: the same as before, unless its logs have changed.

        Args:
            id: The service's id.
            room: Called when a sink that was blocked is not any more.
        """
        places = self._places.get(id, {})
        before = self._used.get(id, {})
        if places is before:
            return self._sinks.get(id, ())
        for sink in self._sinks.pop(id, ()):
            sink.shutdown()
        self._used[id] = places
        self._release(id, {key: place for key, place in before.items() if not _is_kept(place, places.get(key))})
        if places and self._writer is None:
            from aioverseer._system.logfile.writer import LogWriter  # noqa: PLC0415  # see above

            self._writer = LogWriter(f"aioverseer {self._name} logs", on_lost=self._count, on_news=self._on_news)
        sinks: list[LogSink] = []
        for key, place in places.items():
            backlog = self._backlogs.get(key)
            if backlog is None and self._writer is not None:
                backlog = self._backlogs[key] = self._backlog(place, self._writer)
                self._name_lines(key)
            if backlog is not None:
                rooms = self._rooms.setdefault(key, {})
                rooms[id] = room
                backlog.on_room = partial(_call_all, rooms)
                sinks.append(LogSink(id, place.streams, backlog, self._count))
        self._sinks[id] = tuple(sinks)
        return self._sinks[id]

    def lost(self, id: str) -> int:
        """Return how many lines the logs of a service have lost; may be asked from any thread."""
        return self._lost[id]

    def reopen(self, id: str | None = None) -> None:
        """Have the files of a service, or of all, closed and opened by name for the next line."""
        for key in list(self._backlogs) if id is None else self._used.get(id, {}):
            self._backlogs[key].reopen()

    async def flush(self) -> None:
        """Wait until all lines that were delivered so far are written or counted as lost. Safe to cancel."""
        if self._writer is not None:
            await self._writer.flushed()

    async def close(self) -> asyncio.CancelledError | None:
        """Write what waits, close the files and end the thread, through any cancellation; return the last one."""
        writer, self._writer = self._writer, None
        self._backlogs.clear()
        self._rooms.clear()
        self._used.clear()
        self._sinks.clear()
        if writer is None:
            return None
        ended = writer.end()
        cancelled = await settle(ended, within=_END)
        if ended.done():
            writer.join()
        else:
            _log.error("%s: its logs cannot be written to the end: a disk or a handler does not answer", self._name)
        return cancelled

    def _places_of(self, spec: Spec) -> dict[str, _Place]:
        """Return the places of a service, by what tells them apart."""
        places: dict[str, _Place] = {}
        for log in self._default if spec.log is None else spec.log:
            for stream in ("stdout", "stderr"):
                if isinstance(log, LogBridge):
                    name = log.logger_of(id=spec.id, group=spec.group)
                    key = f"logger {name}"
                elif stream in log.streams:
                    # Where the host works when it adds the service; it may go elsewhere before the first line.
                    name = os.path.abspath(log.path_of(id=spec.id, stream=stream, group=spec.group))
                    key = f"file {name}"
                else:
                    continue
                place = _Place(log=log, name=name, streams=frozenset({stream}), is_own=spec.log is not None)
                known = places.get(key)
                if known is not None:
                    _check_agreement(spec.id, place, known, "another log of the same service")
                    if place.streams <= known.streams:
                        raise SpecError(
                            f"service {spec.id!r}: log={log!r} would write each line of {stream} to {name} twice: "
                            "name it once",
                            option="log",
                            value=log,
                        )
                    place = _Place(log=log, name=name, streams=known.streams | place.streams, is_own=place.is_own)
                places[key] = place
        return places

    def _backlog(self, place: _Place, writer: LogWriter) -> Backlog:
        from aioverseer._system.logfile.bridge import LoggedLines  # noqa: PLC0415  # see above
        from aioverseer._system.logfile.file import AppendedFile  # noqa: PLC0415  # see above
        from aioverseer._system.logfile.writer import Backlog  # noqa: PLC0415  # see above

        if isinstance(place.log, LogBridge):
            return Backlog(LoggedLines(place.name, place.log, news=writer), writer, blocks=True)
        return Backlog(AppendedFile(place.name, place.log, news=writer), writer, blocks=place.log.overflow == "block")

    def _name_lines(self, key: str) -> None:
        """Say whether the lines of a log must tell whose they are."""
        backlog, places = self._backlogs.get(key), self._shared.get(key, {})
        if backlog is not None:
            backlog.target.named = len(places) > 1 or any(
                not place.is_own and isinstance(place.log, LogFile) and not place.log.tells_ids
                for place in places.values()
            )

    def _unshare(self, id: str) -> None:
        for key in self._places.get(id, {}):
            sharing = self._shared[key]
            del sharing[id]
            self._name_lines(key)
            if not sharing:
                del self._shared[key]

    def _release(self, id: str, places: Iterable[str]) -> None:
        """Close logs that a service does not use any more, unless another one does."""
        for key in places:
            self._rooms.get(key, {}).pop(id, None)
            if key in self._backlogs and not self._rooms.get(key):
                self._backlogs.pop(key).drop()

    def _count(self, id: str, n: int) -> None:
        self._lost[id] += n


def _is_kept(before: _Place, now: _Place | None) -> bool:
    """Whether a service goes on with a log; one with other rules is another one."""
    return now is not None and _rules(before.log) == _rules(now.log)


def _rules(log: Log) -> object:
    return log.rules() if isinstance(log, LogFile) else log


def _check_agreement(id: str, place: _Place, known: _Place, whose: str) -> None:
    if _rules(place.log) != _rules(known.log):
        raise SpecError(
            f"service {id!r}: log={place.log!r} has other rules for {place.name} than {whose}, {known.log!r}: "
            "write to two files, or give both the same rules",
            option="log",
            value=place.log,
        )


def _call_all(callbacks: Mapping[str, Callable[[], None]]) -> None:
    for callback in list(callbacks.values()):
        callback()
