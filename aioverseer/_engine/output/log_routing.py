"""The logs of one overseer: which files and loggers get the lines of each service.

A thread of ``_system/logfile`` opens, writes and rotates the files.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from aioverseer._aio.shield import settle
from aioverseer._engine.output.log_sink import LogSink
from aioverseer.core.errors import SpecError
from aioverseer.core.options.log import Log, LogBridge, LogFile
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import can_split_bytes

if TYPE_CHECKING:  # loaded by the overseer's assembly when a service has a log
    from aioverseer._system.logfile.backend import LogBackend
    from aioverseer._system.logfile.writer import Backlog

__all__ = ["LogRouting", "OpenLogBackend"]

_log = logging.getLogger("aioverseer")

_END_TIMEOUT = 10.0
"""Seconds to wait for the thread at the end. Only a disk or a handler that does not answer takes longer."""


class OpenLogBackend(Protocol):
    """The constructor of ``LogBackend``."""

    def __call__(
        self, name: str, *, on_lost: Callable[[str, int], None], on_trouble: Callable[[str, str], None]
    ) -> LogBackend:
        """Return a backend, whose thread has this name."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Destination:
    """A file or a logger for lines of one service."""

    log: Log
    name: str
    streams: frozenset[str]
    is_own: bool
    """Whether it comes from the options of the service, not of the overseer."""
    is_raw: bool
    """Whether it keeps the bytes of the program. JSON and records hold text."""


class LogRouting:
    """The logs of one overseer. Its methods belong to the event loop, except ``lost``."""

    def __init__(
        self,
        default: tuple[Log, ...],
        *,
        name: str,
        open_backend: OpenLogBackend,
        on_trouble: Callable[[str, str], None],
    ) -> None:
        """Create the logs of an overseer without services. Nothing is opened.

        Args:
            default: Logs of the services that have none of their own.
            name: Name of the overseer.
            open_backend: Called for the first service with a log.
            on_trouble: Called with a service's id and a sentence about its log.
        """
        self._default = default
        self._name = name
        self._open_backend = open_backend
        self._on_trouble = on_trouble
        self._destinations: dict[str, dict[str, _Destination]] = {}
        self._used: dict[str, dict[str, _Destination]] = {}
        self._shared: dict[str, dict[str, _Destination]] = {}
        self._sinks: dict[str, tuple[LogSink, ...]] = {}
        self._backlogs: dict[str, Backlog] = {}
        self._on_room: dict[str, dict[str, Callable[[], None]]] = {}
        self._backend: LogBackend | None = None
        self._lost: Counter[str] = Counter()

    def register(self, spec: Spec) -> None:
        """Set the logs of a service, from its next run on.

        Raises:
            SpecError: If its logs contradict each other, or those of another service.
        """
        destinations = self._destinations_of(spec)
        for key, destination in destinations.items():
            for other, known in self._shared.get(key, {}).items():
                if other != spec.id:
                    _check_agreement(spec.id, destination, known, f"service {other!r}")
        self._unshare(spec.id)
        self._destinations[spec.id] = destinations
        for key, destination in destinations.items():
            self._shared.setdefault(key, {})[spec.id] = destination
            self._show_ids(key)

    @property
    def files(self) -> list[str]:
        """The absolute paths of all log files."""
        prefix = "file "
        return [key.removeprefix(prefix) for key, shared in self._shared.items() if shared and key.startswith(prefix)]

    def forget(self, id: str) -> None:
        """Remove a service, and close the logs that no other service uses."""
        self._unshare(id)
        self._destinations.pop(id, None)
        self._release(id, self._used.pop(id, {}))
        self._sinks.pop(id, None)
        self._lost.pop(id, None)

    def sinks(self, id: str, on_room: Callable[[], None]) -> tuple[LogSink, ...]:
        """Return the sinks for the next run of a service. They stay the same until its logs change.

        Args:
            id: Id of the service.
            on_room: Called when a sink is no longer blocked.
        """
        destinations = self._destinations.get(id, {})
        before = self._used.get(id, {})
        if destinations is before:
            return self._sinks.get(id, ())
        for sink in self._sinks.pop(id, ()):
            sink.shutdown()
        self._used[id] = destinations
        self._release(id, [key for key, old in before.items() if not _is_kept(old, destinations.get(key))])
        if destinations and self._backend is None:
            self._backend = self._open_backend(
                f"aioverseer {self._name} logs", on_lost=self._count, on_trouble=self._on_trouble
            )
        sinks: list[LogSink] = []
        for key, destination in destinations.items():
            backlog = self._backlogs.get(key)
            if backlog is None and self._backend is not None:
                backlog = self._backlogs[key] = self._backend.open(destination.log, destination.name)
                self._show_ids(key)
            if backlog is not None:
                callbacks = self._on_room.setdefault(key, {})
                callbacks[id] = on_room
                backlog.on_room = partial(_call_all, callbacks)
                sinks.append(LogSink(id, destination.streams, backlog, self._count, is_raw=destination.is_raw))
        self._sinks[id] = tuple(sinks)
        return self._sinks[id]

    def lost(self, id: str) -> int:
        """Return the number of lines that the logs of a service have lost. Thread-safe."""
        return self._lost[id]

    def reopen(self, id: str | None = None) -> None:
        """Close the log files of one service or of all; the next line opens them by name again."""
        for key in list(self._backlogs) if id is None else self._used.get(id, {}):
            self._backlogs[key].reopen()

    async def flush(self) -> None:
        """Wait until all earlier lines are written or counted as lost. Safe to cancel."""
        if self._backend is not None:
            await self._backend.writer.flushed()

    async def close(self) -> asyncio.CancelledError | None:
        """Write all waiting lines, close the files and end the thread.

        Returns:
            The last cancellation that came meanwhile, for the caller to raise; None when there was none.
        """
        backend, self._backend = self._backend, None
        self._backlogs.clear()
        self._on_room.clear()
        self._used.clear()
        self._sinks.clear()
        if backend is None:
            return None
        ended = backend.writer.end()
        cancelled = await settle(ended, within=_END_TIMEOUT)
        if ended.done():
            backend.writer.join()
        else:
            _log.error("%s: its logs cannot be written to the end: a disk or a handler does not answer", self._name)
        return cancelled

    def _destinations_of(self, spec: Spec) -> dict[str, _Destination]:
        """Return the destinations of a service, by a key that identifies each."""
        destinations: dict[str, _Destination] = {}
        for log in self._default if spec.log is None else spec.log:
            is_raw = isinstance(log, LogFile) and log.format == "text" and can_split_bytes(spec.encoding)
            for stream in ("stdout", "stderr"):
                if isinstance(log, LogBridge):
                    name = log.logger_of(id=spec.id, group=spec.group)
                    key = f"logger {name}"
                elif stream in log.streams:
                    # Relative to the folder of the host now; it may change its folder before the first line.
                    name = os.path.abspath(log.path_of(id=spec.id, stream=stream, group=spec.group))
                    key = f"file {name}"
                else:
                    continue
                destination = _Destination(
                    log=log, name=name, streams=frozenset({stream}), is_own=spec.log is not None, is_raw=is_raw
                )
                known = destinations.get(key)
                if known is not None:
                    _check_agreement(spec.id, destination, known, "another log of the same service")
                    if destination.streams <= known.streams:
                        raise SpecError(
                            f"service {spec.id!r}: log={log!r} would write each line of {stream} to {name} twice: "
                            "name it once",
                            option="log",
                            value=log,
                        )
                    destination = dataclasses.replace(destination, streams=known.streams | destination.streams)
                destinations[key] = destination
        return destinations

    def _show_ids(self, key: str) -> None:
        """Set whether the lines of a log begin with the id of their service."""
        backlog, destinations = self._backlogs.get(key), self._shared.get(key, {})
        if backlog is not None:
            backlog.target.shows_ids = len(destinations) > 1 or any(
                not destination.is_own and isinstance(destination.log, LogFile) and not destination.log.has_ids
                for destination in destinations.values()
            )

    def _unshare(self, id: str) -> None:
        for key in self._destinations.get(id, {}):
            users = self._shared[key]
            del users[id]
            self._show_ids(key)
            if not users:
                del self._shared[key]

    def _release(self, id: str, keys: Iterable[str]) -> None:
        """Close logs that no service uses any more."""
        for key in keys:
            self._on_room.get(key, {}).pop(id, None)
            if key in self._backlogs and not self._on_room.get(key):
                self._backlogs.pop(key).drop()

    def _count(self, id: str, n: int) -> None:
        self._lost[id] += n


def _is_kept(before: _Destination, now: _Destination | None) -> bool:
    """Return whether a service keeps a log. A log with other rules is another log."""
    return now is not None and _rules(before.log) == _rules(now.log)


def _rules(log: Log) -> object:
    return log.rules() if isinstance(log, LogFile) else log


def _check_agreement(id: str, destination: _Destination, known: _Destination, owner: str) -> None:
    if _rules(destination.log) != _rules(known.log):
        raise SpecError(
            f"service {id!r}: log={destination.log!r} has other rules for {destination.name} than {owner}, "
            f"{known.log!r}: write to two files, or give both the same rules",
            option="log",
            value=destination.log,
        )


def _call_all(callbacks: Mapping[str, Callable[[], None]]) -> None:
    for callback in list(callbacks.values()):
        callback()
