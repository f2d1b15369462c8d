"""DependencyTracker: holds services back until their dependencies are met, and restarts or stops their dependents.

``core/machine/dependencies.py`` decides which services may start. This file applies the decision at each transition.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, get_args

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
    has_schedule,
    is_met,
)
from aioverseer.core.machine.inputs import DependenciesMet, DependencyFailed, RestartRequested, StartDeferred
from aioverseer.core.options.after import After, Until
from aioverseer.core.options.restart import is_success
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import NotReady
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

__all__ = ["DependencySet", "DependencyTracker"]

_DEFERRED = "waits for its turn"
"""The reason of a service before it is known which of its dependencies are missing."""


class DependencySet(Protocol):
    """A set of instances, as its dependents see it."""

    @property
    def members(self) -> Sequence[ServiceRunner]:
        """The instances that are wanted."""
        ...

    @property
    def summary(self) -> str:
        """The states of the instances as words."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether all members are ready."""
        ...


class DependencyTracker:
    """Applies the option ``after`` of the services of one overseer."""

    def __init__(self, services: Mapping[str, ServiceRunner], sets: Mapping[str, DependencySet]) -> None:
        """Begin without dependencies.

        Args:
            services: All services by name. The registry changes this mapping.
            sets: The sets of instances by name. A dependency on a set is one on all its members.
        """
        self._services = services
        self._sets = sets
        self._late: dict[tuple[str, Until], ServiceRunner] = {}
        """The member of each set that did not meet a condition at the last look, so that not all are looked at."""
        self._edges: dict[str, tuple[After, ...]] = {}
        self._dependents: dict[str, dict[str, After]] = {}
        self._changed: deque[tuple[str, str, ServiceTransition | None]] = deque()
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
        return {id: [name for edge in edges for name in self._ids(edge.name)] for id, edges in self._edges.items()}

    def _ids(self, name: str) -> list[str]:
        """Return the services that a name stands for: the members of a set, or the service itself."""
        return [member.id for member in self._sets[name].members] if name in self._sets else [name]

    def blockers(self, id: str) -> list[Awaited]:
        """Return the dependencies that a deferred service waits for."""
        verdict = self.verdict(id)
        edges = verdict.edges if isinstance(verdict, MustWait) else ()
        return [Awaited(kind="service", name=edge.name, text=f"{edge}{self._summary(edge.name)}") for edge in edges]

    def _summary(self, name: str) -> str:
        return f" ({self._sets[name].summary})" if name in self._sets else ""

    def verdict(self, id: str, *, quick: bool = False) -> StartVerdict:
        """Return whether a service may start now.

        Args:
            id: The name of the service.
            quick: Whether only the last change matters, so that not all members of a set are looked at.
        """
        edges: list[After] = []
        states: dict[str, DependencyState] = {}
        for edge in self._edges.get(id, ()):
            decisive = edge
            if edge.name in self._sets:
                late = self._late_member(edge, quick=quick)
                if late is None:  # all members meet the condition
                    continue
                if is_met(edge.until, _state_of(late)) is False:
                    decisive = dataclasses.replace(edge, name=late.id)  # the message names the one that has failed
                states[decisive.name] = _state_of(late)
            elif edge.name in self._services:
                states[edge.name] = _state_of(self._services[edge.name])
            edges.append(decisive)
        return decide(edges, states)

    def _late_member(self, edge: After, *, quick: bool) -> ServiceRunner | None:
        """Return a member of a set that does not meet a condition, preferably one that no longer can; None if all do.

        Members that were stopped on request are not wanted. They count only if all members were.

        Args:
            edge: The dependency on the set.
            quick: Whether to begin at the member that was late at the last look, and to stop at the first one.
        """
        members = self._sets[edge.name].members
        key: tuple[str, Until] = (edge.name, edge.until)
        known = self._late.pop(key, None) if quick else None
        begin = 0
        if known is not None and known.place is not None and known.place.index < len(members):
            begin = known.place.index
        late: ServiceRunner | None = None
        wanted = False
        for step in range(len(members)):
            member = members[(begin + step) % len(members)]
            if member.state.is_final and member.machine.stopped_on_request:
                continue
            wanted = True
            met = is_met(edge.until, _state_of(member))
            if met is False or (met is None and late is None):
                late = member
                if met is False or known is not None:
                    break
        if late is None and members and not wanted:
            late = members[0]
        if late is not None:
            self._late[key] = late
        return late

    def check(self) -> DependencyGraph:
        """Return the graph of all services, for the order of starts.

        Raises:
            SpecError: If a service depends on one that does not exist, or has a schedule.
            DependencyCycle: If services wait for each other in a cycle.
        """
        for id, edges in self._edges.items():
            self._refuse_scheduled(id, edges)
        return self.graph()

    def graph(self) -> DependencyGraph:
        """Return the graph of all services, for the order of stops.

        Raises:
            SpecError: If a service depends on one that does not exist.
            DependencyCycle: If services wait for each other in a cycle.
        """
        needs: dict[str, Iterable[After]] = {id: self._edges.get(id, ()) for id in self._services}
        sets = {name: self._sets[name] for name in self._dependents if name in self._sets} if self._sets else {}
        for name, members in sets.items():
            needs[name] = [After(member.id) for member in members.members]
        graph = DependencyGraph(needs)
        return graph.without(sets) if sets else graph

    def check_schedules(self, spec: Spec) -> None:
        """Check that a service waits for none with a schedule, and that none waits for it if it has one.

        Args:
            spec: The options of a service that is added or changed.

        Raises:
            SpecError: If one does.
        """
        if spec.schedule is not None:
            for name in (spec.id, *self._ids(spec.id)):
                for id in self._dependents.get(name, ()):
                    raise has_schedule(id, name)
        self._refuse_scheduled(spec.id, spec.after)

    def _refuse_scheduled(self, id: str, edges: Iterable[After]) -> None:
        for edge in edges:
            members = self._sets[edge.name].members if edge.name in self._sets else [self._services.get(edge.name)]
            if any(member is not None and member.spec.schedule is not None for member in members):
                raise has_schedule(id, edge.name)

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
            levels = self.graph().stop_levels
        except SpecError:  # each service was started on its own, so there is no order to keep
            return names
        place = {id: number for number, level in enumerate(levels) for id in level}
        return sorted(names, key=place.__getitem__)

    def stop_levels(self, ids: Iterable[str]) -> list[list[str]]:
        """Return names level by level, dependents before their dependencies; those of one level may stop together."""
        chosen = list(dict.fromkeys(ids))
        try:
            levels = self.graph().stop_levels
        except SpecError:  # each service was started on its own, so there is no order to keep
            return [chosen[::-1]] if chosen else []
        wanted = set(chosen)
        found = ([id for id in level if id in wanted] for level in levels)
        return [level for level in found if level]

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
            self._decide(service.id, quick=True)

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
        if not self._dependents:
            return
        place = self._services[id].place
        if id in self._dependents:
            self._changed.append((id, id, transition))
        if place is not None and place.name in self._dependents:
            self._changed.append((place.name, id, transition))
        self._work()

    def on_resize(self, name: str) -> None:
        """Handle a set that has got more or fewer members."""
        for until in get_args(Until):
            self._late.pop((name, until), None)
        if name in self._dependents:
            self._changed.append((name, "", None))
            self._work()

    def _work(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self._changed:
                self._follow(*self._changed.popleft())
        finally:
            self._busy = False

    def _follow(self, name: str, id: str, transition: ServiceTransition | None) -> None:
        """Handle a change of a service.

        Args:
            name: The name that the dependents wait for: that of the service, or of its set.
            id: The service; empty if the set itself has changed.
            transition: The change; None if its state is the same.
        """
        dependents = [
            (self._services[dependent], edge)
            for dependent, edge in self._dependents.get(name, {}).items()
            if dependent in self._services
        ]
        if name in self._sets:
            dependents = [(service, edge) for service, edge in dependents if self._concerns(service, edge, id)]
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
        if edge.name in self._sets:
            self._pass_on_of_set(service, edge, transition, has_run=has_run)
            return
        # During a stop of all, a dependent whose level has not been stopped yet is not restarted either.
        if edge.on_restart == "restart" and transition.state is State.RUNNING and has_run and not self._suspended:
            service.submit(RestartRequested())
        waited_for = edge.until in ("finished", "success") and transition.state is State.FINISHED
        if edge.on_end == "stop" and transition.state.is_final and not waited_for:
            service.request_stop(why=f"{edge.name!r} is {transition.state}, and this service must not run without it")

    def _concerns(self, service: ServiceRunner, edge: After, id: str) -> bool:
        """Return whether a change of one instance may change anything for a dependent of its set.

        While the member that was late is still late, the end of the wait of another one changes nothing. Without this,
        the start of many instances would look at all of them for each.
        """
        late, member = self._late.get((edge.name, edge.until)), self._services.get(id)
        if not service.is_deferred or late is None or member is None or late is member:
            return True
        if is_met(edge.until, _state_of(member)) is False:
            self._late[edge.name, edge.until] = member
            return True
        return False

    def _pass_on_of_set(
        self, service: ServiceRunner, edge: After, transition: ServiceTransition, *, has_run: bool
    ) -> None:
        """Do the same for a dependent of a set: once it is complete again, and at the end of its last member."""
        members = self._sets[edge.name]
        again = transition.state is State.RUNNING and self._services[transition.id].machine.runs > 1
        if edge.on_restart == "restart" and again and members.is_ready and has_run and not self._suspended:
            service.submit(RestartRequested())
        is_over = bool(members.members) and all(member.state.is_final for member in members.members)
        waited_for = edge.until in ("finished", "success") and all(
            member.state is State.FINISHED for member in members.members
        )
        if edge.on_end == "stop" and transition.state.is_final and is_over and not waited_for:
            service.request_stop(why=f"{edge.name!r} has ended, and this service must not run without it")

    def _decide(self, id: str, *, quick: bool = False) -> None:
        service = self._services[id]
        match self.verdict(id, quick=quick):
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
    success = machine.state is State.FINISHED and is_success(machine.policy, exit)
    return DependencyState(
        state=machine.state,
        started=machine.spawned,
        was_ready=machine.was_ready,
        success=success,
        unstoppable=service.is_unstoppable,
        failure=str(exit) if exit is not None and machine.state is State.FINISHED and not success else "",
    )
