"""EventPublisher: publishes events of one overseer, and distributes the lines of its services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, cast

from aioverseer._engine.events.journal import EventStream, Journal
from aioverseer._engine.events.log_records import LogRecords
from aioverseer._engine.events.recorder import Recorder
from aioverseer._engine.output.lasting_queue import LastingQueue, call_when_forgotten
from aioverseer._engine.output.log_routing import LogRouting, OpenLogBackend
from aioverseer._engine.output.subscription import Overflow, Subscribers, Subscription
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.options.log import Log, LogFile, as_logs
from aioverseer.core.report.events import EventRecord, Kind
from aioverseer.core.text.lines import Line
from aioverseer.core.typing import PathLike

__all__ = ["EventPublisher"]


class EventPublisher:
    """The events and lines of one overseer.

    Attributes:
        name: The name of the overseer.
        subscribers: Readers of the lines of all services.
        log_routing: The logs of the services.
        on_record: Called with each event after it was published; None for nobody.
    """

    def __init__(
        self,
        name: str,
        services: Mapping[str, ServiceRunner],
        *,
        clock: Clock,
        log: Log | Iterable[Log] | None,
        open_log_backend: OpenLogBackend,
    ) -> None:
        """Begin without events and readers.

        Args:
            name: The name of the overseer.
            services: All services by name. The registry changes this mapping.
            clock: The source of the time of each event.
            log: The logs of services without a ``log`` of their own.
            open_log_backend: Constructor of the log backend, called for the first service with a log.

        Raises:
            SpecError: If ``log`` is not a log.
        """
        self.name = name
        self._services = services
        self._clock = clock
        logs = as_logs(log, owner=f"overseer {name!r}") or ()
        for each in logs:
            if isinstance(each, LogFile) and each.words_of_run:
                raise SpecError(
                    f"overseer {name!r}: log={each!r} has a placeholder of a run in its path: give it to the instances",
                    option="log",
                    value=each,
                )
        self.subscribers = Subscribers()
        self.log_routing = LogRouting(
            logs,
            name=name,
            open_backend=open_log_backend,
            on_trouble=self._on_log_trouble,
        )
        self._waiting: set[LastingQueue[Line]] = set()
        self._log_records = LogRecords(clock)
        self.on_record: Callable[[EventRecord], None] | None = None
        self._journal = Journal()
        self._recorders: list[Recorder] = []

    # Publishing.

    def on_transition(self, transition: ServiceTransition) -> None:
        """Publish a change of state."""
        previous, state, reason = transition.previous, transition.state, transition.reason
        self._log_records.on_transition(self._services.get(transition.id), transition)
        self._append(
            EventRecord(
                self._journal.seq + 1,
                self._clock.wall(),
                previous,
                state,
                reason,
                transition.snapshot,
                "state",
                transition.by,
                transition.run,
            )
        )

    def on_unstoppable(self, id: str) -> None:
        """Publish that a program still exists after its whole ladder."""
        self.publish(id, self._services[id].reason(), "stop", level=logging.ERROR)

    def publish(
        self, id: str, text: str, kind: Kind, *, level: int | None = None, by: str = "", run: int | None = None
    ) -> None:
        """Publish something that changes no state.

        Args:
            id: The name of the service. Nothing is published about a service that was removed.
            text: The end of a sentence that begins with the name.
            kind: The kind of the event.
            level: The level of the log record; None for that of the kind.
            by: The name of the one who asked for it.
            run: The number of the run; None for the current or last one.
        """
        service = self._services.get(id)
        if service is not None:
            self._log_records.on_event(id, text, kind, level=level)
            self._record(service, text, kind, by=by, run=run)

    def _on_log_trouble(self, id: str, text: str) -> None:
        self._log_records.on_event(id or self.name, text, "log")
        service = self._services.get(id)
        if service is not None:
            self._record(service, text, "log")

    def _record(self, service: ServiceRunner, text: str, kind: Kind, *, by: str = "", run: int | None = None) -> None:
        seq, state = self._journal.seq + 1, service.state
        snapshot, number = service.snapshot(lines=False), service.number if run is None else run
        self._append(EventRecord(seq, self._clock.wall(), state, state, text, snapshot, kind, by, number))

    def _append(self, record: EventRecord) -> None:
        self._journal.append(record)
        if self.on_record is not None:
            self.on_record(record)

    # Readers.

    def events(self, *, since: int | None = None, wants: Callable[[str], bool] | None = None) -> EventStream:
        """Return the events from now on, or after a given one; see ``Overseer.events``.

        Args:
            since: The number of an event to begin after; None for the last one.
            wants: Function of the name of a service: whether its events are returned; None for all.
        """
        last = self._journal.seq
        if since is not None and (not isinstance(since, int) or isinstance(since, bool) or not 0 <= since <= last):
            raise SpecError(
                f"since={since!r} is the number of no event: pass 0 for all, or the number of an earlier event (the "
                f"last is {last})",
                option="since",
                value=since,
            )
        return EventStream(self._journal, after=last if since is None else since, wants=wants)

    def record(self, path: str | PathLike, *, since: int | None) -> Recorder:
        """Append the events to a file; see ``Overseer.record``."""
        recorder = Recorder(path, self.events(since=since))
        self._recorders.append(recorder)
        return recorder

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None,
        *,
        services: str | Iterable[str] | None,
        groups: str | Iterable[str] | None,
        size: int,
        overflow: Overflow,
    ) -> Subscription:
        """Return a queue of the lines of several services; see ``Overseer.logs``."""
        ids, labels = _as_names("services", services), _as_names("groups", groups)

        def wants(id: str) -> bool:
            service = self._services.get(id)
            if id in ids or service is None:
                return id in ids
            return service.spec.group in labels or (service.place is not None and service.place.name in ids)

        everything = services is None and groups is None
        subscription = Subscription(stream=stream, size=size, overflow=overflow, wants=None if everything else wants)
        subscription.label = "the queue of the lines of several services"
        subscription.on_room = self._resume_reading
        subscription.hold_while_waiting(self._waiting)
        self.subscribers.add(subscription)
        if subscription.lossless:
            call_when_forgotten(subscription, self._resume_reading)
        return subscription

    def _resume_reading(self) -> None:
        for service in self._services.values():
            service.resume_reading()

    # The overseer is entered and left.

    def reopen(self) -> None:
        """Go on after an end. New readers begin after the events so far."""
        self._journal.reopen()

    async def close(self) -> asyncio.CancelledError | None:
        """Finish writing and end all readers. A cancellation does not interrupt this.

        Returns:
            The last cancellation that came meanwhile, or None.
        """
        cancelled = await self.log_routing.close()
        self._journal.end()
        while self._recorders:
            cancelled = await self._recorders.pop().finish() or cancelled
        for subscription in self.subscribers.all():
            subscription.shutdown()
        # A subscription that nobody reads must not slow down the programs when the overseer is entered again.
        self.subscribers.clear()
        return cancelled


def _as_names(option: str, names: str | Iterable[str] | None) -> frozenset[str]:
    if names is None:
        return frozenset()
    found: frozenset[object] = frozenset((names,) if isinstance(names, str) else names)
    for name in found:
        if not isinstance(name, str):
            raise SpecError(f"{option}={name!r} is no name: pass a str, or several", option=option, value=name)
    return cast("frozenset[str]", found)
