"""DependencyTracker: holds services back until their dependencies are met, and restarts or stops their dependents.

``core/machine/dependencies.py`` decides which services may start. This file applies the decision at each transition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.dependencies import (
    CannotStart,
    DependencyGraph,
    DependencyState,
    MayStart,
    MustWait,
    StartVerdict,
    decide,
)
from aioverseer.core.machine.inputs import DependenciesMet, DependencyFailed, RestartRequested, StartDeferred
from aioverseer.core.options.after import After
from aioverseer.core.options.restart import is_success
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import NotReady
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

__all__ = ["DependencyTracker"]

_DEFERRED = "waits for its turn"
"""The reason of a service before it is known which of its dependencies are missing."""


class DependencyTracker:
    """Applies the option ``after`` of the services of one overseer."""

    def __init__(self, services: Mapping[str, ServiceRunner]) -> None:
        """Begin without dependencies.

        Args:
            services: All services by name. The registry changes this mapping.
        """
        self._services = services
        self._edges: dict[str, tuple[After, ...]] = {}
        self._dependents: dict[str, dict[str, After]] = {}
        self._changed: deque[tuple[str, ServiceTransition | None]] = deque()
        self._busy = False
        self._suspended = 0

    def register(self, spec: Spec) -> None:
        """Store the dependencies of a service. They replace earlier ones."""
        self.forget(spec.id)
        if spec.after:
            self._edges[spec.id] = spec.after
            for edge in spec.after:
                self._dependents.setdefault(edge.name, {})[spec.id] = edge

    def forget(self, id: str) -> None:
        """Remove the dependencies of a service."""
        for edge in self._edges.pop(id, ()):
            dependents = self._dependents[edge.name]
            del dependents[id]
            if not dependents:
                del self._dependents[edge.name]

    def needs(self) -> dict[str, list[str]]:
        """Return the names of the dependencies of each service that has any."""
        return {id: [edge.name for edge in edges] for id, edges in self._edges.items()}

    def blockers(self, id: str) -> list[Awaited]:
        """Return the dependencies that a deferred service waits for."""
        verdict = self.verdict(id)
        edges = verdict.edges if isinstance(verdict, MustWait) else ()
        return [Awaited(kind="service", name=edge.name, text=str(edge)) for edge in edges]

    def verdict(self, id: str) -> StartVerdict:
        """Return whether a service may start now."""
        edges = self._edges.get(id, ())
        return decide(
            edges, {edge.name: _state_of(self._services[edge.name]) for edge in edges if edge.name in self._services}
        )

    def check(self) -> DependencyGraph:
        """Return the graph of all services.

        Raises:
            SpecError: If a service depends on one that does not exist.
            DependencyCycle: If services wait for each other in a cycle.
        """
        return DependencyGraph({id: self._edges.get(id, ()) for id in self._services})

    def stop_order(self, started: Iterable[str]) -> list[str]:
        """Return names in the order in which to request stops at the same time: the reverse order of their start.

        Each dependent comes before its dependencies, whenever it was started. In the opposite order, the end of a
        dependency would start a dependent that waits for it, before its own stop.

        Args:
            started: Names in the order of their start.
        """
        names = list(started)[::-1]
        if not self._edges:
            return names
        try:
            levels = self.check().stop_levels
        except SpecError:  # each service was started on its own, so there is no order to keep
            return names
        place = {id: number for number, level in enumerate(levels) for id in level}
        return sorted(names, key=place.__getitem__)

    def start(self, services: Iterable[ServiceRunner], *, by: str = "") -> None:
        """Start services, each once its dependencies are met.

        Args:
            services: Services that are not live.
            by: The name of the one who asks.

        Raises:
            SpecError: If ``check`` raises it. Nothing is started then.
        """
        if not self._edges:
            for service in services:
                service.start(by=by)
            return
        order = self.check()
        requested = {service.id: service for service in services}
        ids = [id for level in order.levels for id in level if id in requested]
        # All services with dependencies are deferred before any is decided. Otherwise a decision could find a service
        # that comes later in the loop in the state of its last run, or as one that is not started at all.
        for id in ids:
            if id in self._edges:
                requested[id].submit(StartDeferred(why=_DEFERRED, by=by))
        for id in ids:
            if id in self._edges:
                self._decide(id)
            else:
                requested[id].start(by=by)

    def start_after_stop(self, service: ServiceRunner, *, by: str = "") -> None:
        """Start a service that is being stopped again after its stop, once its dependencies are met."""
        if service.id in self._edges:
            service.submit(StartDeferred(why=_DEFERRED, by=by))
        else:
            service.start(by=by)

    def reconsider(self, service: ServiceRunner) -> None:
        """Decide again on a service, if it is deferred."""
        if service.is_deferred:
            self._decide(service.id)

    def fail(self, services: Iterable[ServiceRunner], error: SpecError) -> None:
        """End services FATAL whose dependencies are invalid."""
        for service in services:
            service.submit(StartDeferred(why=_DEFERRED))
            service.submit(DependencyFailed(error=error))

    def suspend_restarts(self, *, stopping: int) -> None:
        """Restart no dependent while all services are being stopped.

        Args:
            stopping: 1 when a stop of all begins, -1 when it is over.
        """
        self._suspended += stopping

    def on_transition(self, transition: ServiceTransition) -> None:
        """Start, restart or stop the dependents of a service that has changed its state.

        This is done at once, but from a queue and not by recursion: a chain of dependents may be longer than the stack.
        """
        if transition.previous is State.STOPPING and transition.state is State.STARTING:
            self.reconsider(self._services[transition.id])
        self._on_change(transition.id, transition)

    def on_spawned(self, id: str) -> None:
        """Start the dependents that wait until the program of a service was started."""
        self._on_change(id, None)

    def on_unstoppable(self, id: str) -> None:
        """Fail the dependents that wait for any other state of a service whose program does not end."""
        self._on_change(id, None)

    def _on_change(self, id: str, transition: ServiceTransition | None) -> None:
        if id not in self._dependents:
            return
        self._changed.append((id, transition))
        if self._busy:
            return
        self._busy = True
        try:
            while self._changed:
                self._follow(*self._changed.popleft())
        finally:
            self._busy = False

    def _follow(self, id: str, transition: ServiceTransition | None) -> None:
        dependents = [
            (self._services[name], edge)
            for name, edge in self._dependents.get(id, {}).items()
            if name in self._services
        ]
        deferred = [service for service, _ in dependents if service.is_deferred]
        # Running dependents first: one that is restarted now is not in the state that the deferred ones wait for.
        for service, edge in dependents:
            if transition is not None and not service.is_deferred:
                self._pass_on(service, edge, transition)
        for service in deferred:
            self.reconsider(service)

    def _pass_on(self, service: ServiceRunner, edge: After, transition: ServiceTransition) -> None:
        """Restart or stop a dependent together with its dependency, as far as ``on_restart`` and ``on_end`` say so."""
        if not service.state.is_live:
            return
        # In BACKOFF a new run follows anyway. In STOPPING too, unless the stop was requested.
        has_run = service.state in (State.STARTING, State.RUNNING)
        # During a stop of all, a dependent whose level has not been stopped yet is not restarted either.
        if edge.on_restart == "restart" and transition.state is State.RUNNING and has_run and not self._suspended:
            service.submit(RestartRequested())
        waited_for = edge.until in ("finished", "success") and transition.state is State.FINISHED
        if edge.on_end == "stop" and transition.state.is_final and not waited_for:
            service.request_stop(why=f"{edge.name!r} is {transition.state}, and this service must not run without it")

    def _decide(self, id: str) -> None:
        service = self._services[id]
        match self.verdict(id):
            case MayStart():
                service.submit(DependenciesMet())
            case MustWait() as wait:
                service.submit(StartDeferred(why=str(wait)))
            case CannotStart() as failed:
                status = service.snapshot(lines=False).status()
                error = NotReady(f"{id!r} {failed}", id=id, status=status)
                error.__cause__ = self._error_of(failed)
                service.submit(DependencyFailed(error=error))

    def _error_of(self, failed: CannotStart) -> BaseException | None:
        """Return the error of the first dependency that has one."""
        for edge in failed.edges:
            service = self._services.get(edge.name)
            if service is not None and (error := service.snapshot(lines=False).error) is not None:
                return error
        return None


def _state_of(service: ServiceRunner) -> DependencyState:
    """Return what the dependents of a service need to know about it."""
    machine, process = service.machine, service.process
    exit = None if process is None else process.machine.exit
    return DependencyState(
        state=machine.state,
        started=machine.spawned,
        was_ready=machine.was_ready,
        success=machine.state is State.FINISHED and is_success(machine.policy, exit),
        unstoppable=service.is_unstoppable,
    )
