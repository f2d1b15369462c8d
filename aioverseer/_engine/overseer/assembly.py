"""Hosting: what an overseer is to its services, and the parts that it is made of.

What is heard of a service is passed to those whom it concerns, in one order. Verbs that users call never live here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal as signals
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.critical import Bodies
from aioverseer._engine.overseer.lifespan import Lifespan
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.overseer.startup import Startup
from aioverseer._engine.service.service import Service
from aioverseer._system.host.fd_limit import DescriptorLimit
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.machine.inputs import Admitted
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.log import Log
from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import StatusSnapshot
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.overseer.signals import SignalHandling
    from aioverseer._engine.service.owner import Throttle
    from aioverseer._system.logfile.backend import LogBackend
    from aioverseer.core.report.why import Awaited

__all__ = ["Assembly"]

_log = logging.getLogger("aioverseer")


class Assembly:
    """Holds the services of one overseer; see ``_engine/service/owner.py`` for what they ask.

    Attributes:
        clock: Where time comes from.
        rng: Where chance comes from.
        launcher: What starts programs.
        registry: Who there is.
        news: What is told of them.
        subscribers: Those who want their lines.
        log_files: Where their lines go.
        stopping: The stop of all.
        starting: The start of all.
        lifespan: Entering and leaving.
        bodies: The blocks that end with a critical service.
        turns: The throttle for restart storms; None where there is none.
        received_signal: The last signal that the host received, where it asked for that; else None.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        rng: Rng,
        launcher: Launcher,
        own_launcher: SystemLauncher | None,
        shutdown_timeout: float | None,
        restart_rate: float | None,
        handle_signals: bool,
        raise_fd_limit: bool,
        log: Log | Iterable[Log] | None,
    ) -> None:
        """Put the parts together; what they are for is said in ``Overseer``.

        Args:
            name: The overseer's.
            clock: Where time comes from.
            rng: Where chance comes from.
            launcher: What starts programs.
            own_launcher: The same, where nobody else has it.
            shutdown_timeout: Seconds that a stop of all may take.
            restart_rate: Restarts a second that all services together may have.
            handle_signals: Whether signals of the host are taken over.
            raise_fd_limit: Whether the limit of descriptors is raised.
            log: Where the lines go of services that do not say so.
        """
        self.clock = clock
        self.rng = rng
        self.launcher = launcher
        self.received_signal: signals.Signals | None = None
        self.registry = registry = Registry(self)
        self._ordering = registry.ordering
        self.news = news = EventPublisher(
            name, registry.services, clock=clock, log=log, open_log_backend=_open_log_backend
        )
        self.subscribers = news.subscribers
        self.log_files = news.log_files
        self.stopping = stopping = Shutdown(
            name,
            registry,
            clock=clock,
            timeout=shutdown_timeout,
            tell=news.tell,
            start_soon=self.start_soon,
        )
        self.turns: Throttle | None = None
        if restart_rate is not None:
            from aioverseer._engine.overseer.throttle import RestartThrottle  # noqa: PLC0415  # as above
            from aioverseer.core.machine.throttle import check_rate  # noqa: PLC0415  # few hosts have a throttle

            self.turns = RestartThrottle(check_rate(restart_rate), clock=clock, admit=self._admit)
        taken_over: list[DescriptorLimit | SignalHandling] = []
        if raise_fd_limit:
            taken_over.append(DescriptorLimit())
        signalling: SignalHandling | None = None
        if handle_signals:
            from aioverseer._engine.overseer.signals import SignalHandling  # noqa: PLC0415  # few hosts ask for it

            signalling = SignalHandling(name, registry, stopping, clock=clock, on_signal=self._on_signal)
            taken_over.append(signalling)
        self.bodies = Bodies()
        self.starting = Startup(name, registry, stopping, news, self.bodies, signalling)
        self.lifespan = Lifespan(
            name,
            registry,
            stopping,
            news,
            self.bodies,
            launcher=launcher,
            own_launcher=own_launcher,
            taken_over=taken_over,
        )

    def check(self, *, starting: bool = False) -> None:
        """Raise OverseerError unless this is the right event loop, and starts are possible when ``starting``."""
        self.lifespan.check(starting=starting)

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left; what it raises ends nothing else."""
        return self.lifespan.start_soon(work)

    def end_for(self, service: Service) -> None:
        """Stop everything and cancel the block: a service that all depend on has ended for good by itself."""
        self.lifespan.end_for(service)

    def stop_soon(self) -> None:
        """Stop all services in their order, because of a service or a group that gave up."""
        if not self.lifespan.is_leaving:
            self.stopping.stop_soon()

    # What is heard of a service.

    def hear(self, facts: StatusSnapshot, report: Transition) -> None:
        """Take note of a transition of the service that the facts are of."""
        id, state, registry = facts.spec.id, report.state, self.registry
        registry.note(id, state)
        self.news.hear(facts, report)
        if state.is_final:
            registry.tell()
            if self.lifespan.is_at_work:
                self.start_soon(functools.partial(self._sweep, id))
        elif state is State.BACKOFF:
            self.stopping.hear_backoff(id)
        self._ordering.hear(id, report)
        if registry.grouping is not None:
            registry.grouping.hear(id, report)
        if state.is_final and self.bodies.ended is None:
            service = registry.services.get(id)
            if service is not None and not service.was_stopped and not self.lifespan.is_leaving:
                spec = service.spec
                if spec.critical or (service.gave_up is not None and spec.on_give_up != "leave"):
                    registry.groups().follow(service)

    async def _sweep(self, id: str) -> None:
        """End what a service has left behind outside of its group, once it has ended for good."""
        for survivor in await self.launcher.sweep():
            _log.warning("%s: %s was left behind and could not be killed", id, survivor)
            self.news.tell(id, f"has left {survivor} behind, which could not be killed", "leftovers")

    def hear_unstoppable(self, id: str) -> None:
        """Take note that a service's program is still there after its whole ladder."""
        registry = self.registry
        self.news.tell(id, registry.services[id].status(lines=False).reason, "stop")
        registry.tell()
        self._ordering.hear(id, None)  # those who wait for it to be anything else wait no more
        if registry.grouping is not None:
            registry.grouping.hear("", None)

    def awaited(self, id: str) -> list[Awaited]:
        """Return what others have a service wait for: its order, its group, the throttle, a stop of all."""
        registry = self.registry
        found = self._ordering.awaited(id) if registry.services[id].is_held else []
        if registry.grouping is not None:
            found += registry.grouping.awaited(id)
        if self.turns is not None:
            found += self.turns.awaited(id)
        return found + self.stopping.awaited(id)

    def _admit(self, id: str) -> None:
        self.registry.services[id].post(Admitted())

    def hear_spawn(self, id: str) -> None:
        """Take note that a program has been started which is not ready yet."""
        self._ordering.hear(id, None)
        if self.registry.grouping is not None:
            self.registry.grouping.hear(id, None)

    def hear_news(self, id: str, reason: str, kind: Kind) -> None:
        """Take note of news of a service that are no transition."""
        self.news.tell(id, reason, kind)

    def _on_signal(self, number: signals.Signals) -> None:
        self.received_signal = number


def _open_log_backend(
    name: str, *, on_lost: Callable[[str, int], None], on_trouble: Callable[[str, str], None]
) -> LogBackend:
    from aioverseer._system.logfile.backend import LogBackend  # noqa: PLC0415  # few services have a log

    return LogBackend(name, on_lost=on_lost, on_trouble=on_trouble)
