"""News of one overseer: events for those who follow and record, lines for those who read, messages for the host's log.

What a piece of news leads to is decided elsewhere: who hears of it in here can change nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, cast

from aioverseer._engine.events.journal import EventStream, Journal
from aioverseer._engine.output.log_routing import LogRouting, OpenLogBackend
from aioverseer._engine.output.subscription import Overflow, Subscribers, Subscription, release_when_forgotten
from aioverseer._engine.service.service import Service
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.log import Log, as_logs
from aioverseer.core.report.events import EventRecord, Kind
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.typing import PathLike

if TYPE_CHECKING:
    from aioverseer._engine.events.recorder import Recorder

__all__ = ["EventPublisher"]

_log = logging.getLogger("aioverseer")


class EventPublisher:
    """Tells what happens to the services of one overseer.

    Attributes:
        subscribers: Those who read the lines of all services.
        log_files: Where lines are written that are to be kept.
    """

    def __init__(
        self,
        name: str,
        services: Mapping[str, Service],
        *,
        clock: Clock,
        log: Log | Iterable[Log] | None,
        open_log_backend: OpenLogBackend,
    ) -> None:
        """Begin with no events and no readers.

        Args:
            name: The overseer's.
            services: All services by their names; the registry changes it.
            clock: What events take their times from.
            log: Where the lines go of services that have no ``log`` of their own.
            open_log_backend: Constructor of the log backend, called for the first service with a log.

        Raises:
            SpecError: When ``log`` is no log.
        """
        self._name = name
        self._services = services
        self._clock = clock
        self.subscribers = Subscribers()
        self.log_files = LogRouting(
            as_logs(log, owner=f"overseer {name!r}") or (),
            name=name,
            open_backend=open_log_backend,
            on_trouble=self._on_log_trouble,
        )
        self._waiting: set[Subscription] = set()
        self._journal = Journal()
        self._recorders: list[Recorder] = []

    # What is told.

    def hear(self, facts: StatusSnapshot, report: Transition) -> None:
        """Tell of a transition of the service that the facts are of."""
        if _log.isEnabledFor(logging.INFO):
            _log.info("%s: %s -> %s: %s", facts.spec.id, report.previous, report.state, report.reason)
        journal = self._journal
        journal.append(
            EventRecord(
                journal.seq + 1, self._clock.wall(), report.previous, report.state, report.reason, facts, "state"
            )
        )

    def tell(self, id: str, reason: str, kind: Kind) -> None:
        """Tell of a service what is no transition."""
        service = self._services.get(id)
        if service is not None:
            _log.info("%s: %s", id, reason)
            self._note(service, reason, kind)

    def _on_log_trouble(self, id: str, reason: str) -> None:
        _log.warning("%s: %s", id or self._name, reason)
        service = self._services.get(id)
        if service is not None:
            self._note(service, reason, "log")

    def _note(self, service: Service, reason: str, kind: Kind) -> None:
        journal, state = self._journal, service.state
        journal.append(
            EventRecord(journal.seq + 1, self._clock.wall(), state, state, reason, service.facts(lines=False), kind)
        )

    # Who hears of it.

    def events(self, *, since: int | None = None) -> EventStream:
        """Return the events from now on, or from behind one; see ``Overseer.events``."""
        last = self._journal.seq
        if since is not None and (not isinstance(since, int) or isinstance(since, bool) or not 0 <= since <= last):
            raise SpecError(
                f"since={since!r} is the number of no event: pass 0 for all, or that of one that has been (the last is "
                f"{last})",
                option="since",
                value=since,
            )
        return EventStream(self._journal, after=last if since is None else since)

    def record(self, path: str | PathLike, *, since: int | None) -> Recorder:
        """Append the events to a file; see ``Overseer.record``."""
        from aioverseer._engine.events.recorder import Recorder  # noqa: PLC0415  # most hosts record nothing

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
        """Return a queue of the lines of many services; see ``Overseer.logs``."""
        ids, labels = _as_names("services", services), _as_names("groups", groups)

        def wants(id: str) -> bool:
            return id in ids or (id in self._services and self._services[id].spec.group in labels)

        everything = services is None and groups is None
        subscription = Subscription(stream=stream, size=size, overflow=overflow, wants=None if everything else wants)
        subscription.on_room = self._room
        subscription.hold_while_waiting(self._waiting)
        self.subscribers.add(subscription)
        release_when_forgotten(subscription, self._room)
        return subscription

    def _room(self) -> None:
        for service in self._services.values():
            service.room()

    # The overseer is entered and left.

    def reopen(self) -> None:
        """Go on after an end; new readers begin behind what was there."""
        self._journal.reopen()

    async def close(self) -> asyncio.CancelledError | None:
        """Write what is still to be written, and end all that read. Goes on when cancelled.

        Returns:
            The last cancellation that came in the meantime, or None.
        """
        cancelled = await self.log_files.close()
        self._journal.end()
        while self._recorders:
            cancelled = await self._recorders.pop().finish() or cancelled
        for subscription in self.subscribers.all():
            subscription.shutdown()
        # They have ended for good: one that nobody reads must not slow the programs of another use of this overseer.
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
