"""The order of the services of one overseer, at work: who is held until others are ready, and who follows them.

What may start is decided in ``core/machine/dependencies.py``; in here it is asked at each transition, and done. The registry lives
in ``_engine/overseer/registry.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from aioverseer._engine.service.service import Service
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.dependencies import CannotStart, DependencyGraph, MayStart, MustWait, StartVerdict, decide
from aioverseer.core.machine.inputs import (
    DependenciesMet,
    RestartRequested,
    StartDeferred,
    StartRequested,
    StopRequested,
)
from aioverseer.core.machine.inputs import DependencyFailed as StartBarred
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.after import After
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import NotReady
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer.core.report.why import Awaited

__all__ = ["DependencyTracker"]


class DependencyTracker:
    """Holds services back until what they wait for has come true, and lets them follow what they depend on."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            services: All services by their names; the overseer changes it.
        """
        self._services = services
        self._edges: dict[str, tuple[After, ...]] = {}
        self._dependents: dict[str, dict[str, After]] = {}
        self._changed: deque[tuple[str, Transition | None]] = deque()
        self._at_work = False
        self._stops = 0

    def register(self, spec: Spec) -> None:
        """Take note of what a service waits for; also of what it waits for from now on."""
        self.forget(spec.id)
        if spec.after:
            self._edges[spec.id] = spec.after
            for edge in spec.after:
                self._dependents.setdefault(edge.name, {})[spec.id] = edge

    def forget(self, id: str) -> None:
        """Take note that a service waits for nobody."""
        for edge in self._edges.pop(id, ()):
            dependents = self._dependents[edge.name]
            del dependents[id]
            if not dependents:
                del self._dependents[edge.name]

    def needs(self) -> dict[str, list[str]]:
        """Return whom each service waits for, by name."""
        return {id: [edge.name for edge in edges] for id, edges in self._edges.items()}

    def awaited(self, id: str) -> list[Awaited]:
        """Return those that a service which is held waits for."""
        from aioverseer.core.report.why import Awaited  # noqa: PLC0415  # most hosts never ask

        verdict = self.verdict(id)
        edges = verdict.edges if isinstance(verdict, MustWait) else ()
        return [Awaited(kind="service", name=edge.name, text=str(edge)) for edge in edges]

    def verdict(self, id: str) -> StartVerdict:
        """Return whether a service could be started now, if a set were."""
        edges = self._edges.get(id, ())
        return decide(
            edges, {edge.name: self._services[edge.name].fact() for edge in edges if edge.name in self._services}
        )

    def check(self) -> DependencyGraph:
        """Return the order of all services.

        Raises:
            SpecError: When one needs another that there is not.
            DependencyCycle: When some wait for each other in a circle.
        """
        return DependencyGraph({id: self._edges.get(id, ()) for id in self._services})

    def backwards(self, ids: Iterable[str]) -> list[str]:
        """Return ids in the order in which they are to be told to stop, one right after the other.

        Whoever waits for others comes before them: told last, it would be started on the way, as it need not wait.
        """
        names = sorted(ids)
        if not self._edges:
            return names
        try:
            levels = self.check().stop_levels
        except SpecError:  # each of them was started by itself: there is no order to keep
            return names
        wanted = set(names)
        return [id for level in levels for id in level if id in wanted]

    def start(self, services: Iterable[Service]) -> None:
        """Ask services to start, each once what it waits for has come true.

        Args:
            services: None of them is live.

        Raises:
            SpecError: As ``check``; nothing was started then.
        """
        if not self._edges:
            for service in services:
                service.post(StartRequested())
            return
        order = self.check()
        asked = {service.id: service for service in services}
        # All that have to wait are held first: else one whose turn is late in the loop would look, to those that are
        # decided on the way, as if nobody had started it, or still be where its last run has left it.
        for id in (id for level in order.levels for id in level if id in asked):
            if id in self._edges:
                asked[id].post(StartDeferred(why="waits for its turn"))
        for id in (id for level in order.levels for id in level if id in asked):
            if id in self._edges:
                self._decide(id)
            else:
                asked[id].post(StartRequested())

    def start_after_stop(self, service: Service) -> None:
        """Ask one that is being stopped to start again afterwards, once what it waits for has come true."""
        service.post(StartDeferred(why="waits for its turn") if service.id in self._edges else StartRequested())

    def look(self, service: Service) -> None:
        """Decide again on one that is held, if it is."""
        if service.is_held:
            self._decide(service.id)

    def bar(self, services: Iterable[Service], error: SpecError) -> None:
        """End services FATAL whose place in the order cannot be."""
        for service in services:
            service.post(StartDeferred(why="waits for its turn"))
            service.post(StartBarred(error=error))

    def stand_down(self, *, stopping: int) -> None:
        """Restart nobody with another: all services are being stopped (+1), or have been (-1)."""
        self._stops += stopping

    def hear(self, id: str, report: Transition | None) -> None:
        """Take note that a service has changed its state, or (None) that its program was started.

        What follows is done here and now, but one after the other: a chain of services, each of which follows the one
        before, may be as long as it likes.
        """
        if report is not None and report.previous is State.STOPPING and report.state is State.STARTING:
            self.look(self._services[id])
        if id not in self._dependents:
            return
        self._changed.append((id, report))
        if self._at_work:
            return
        self._at_work = True
        try:
            while self._changed:
                self._follow(*self._changed.popleft())
        finally:
            self._at_work = False

    def _follow(self, id: str, report: Transition | None) -> None:
        dependents = [
            (self._services[name], edge)
            for name, edge in self._dependents.get(id, {}).items()
            if name in self._services
        ]
        held = [service for service, _ in dependents if service.is_held]
        # First those that run: one that is restarted with it is not where the others need it to be.
        for service, edge in dependents:
            if report is not None and not service.is_held:
                self._pass_on(service, edge, report)
        for service in held:
            self.look(service)

    def _pass_on(self, service: Service, edge: After, report: Transition) -> None:
        """Let a service that was started share the fate of one that it depends on, as far as it wishes to."""
        if not service.state.is_live:
            return
        # In BACKOFF and STOPPING a new run follows by itself, or is not wanted by somebody who has asked for a stop.
        has_run = service.state in (State.STARTING, State.RUNNING)
        # Nor is one restarted whose turn to stop has not come yet.
        if edge.on_restart == "restart" and report.state is State.RUNNING and has_run and not self._stops:
            service.post(RestartRequested())
        waited_for = edge.until in ("finished", "success") and report.state is State.FINISHED
        if edge.on_end == "stop" and report.state.is_final and not waited_for:
            service.post(StopRequested(why=f"{edge.name!r} is {report.state}, and it is not to run without"))

    def _decide(self, id: str) -> None:
        service = self._services[id]
        match self.verdict(id):
            case MayStart():
                service.post(DependenciesMet())
            case MustWait() as wait:
                service.post(StartDeferred(why=str(wait)))
            case CannotStart() as barred:
                service.post(StartBarred(error=NotReady(f"{id!r} {barred}", id=id, status=service.status(lines=False))))
