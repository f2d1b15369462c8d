"""GroupRestarts: end members of a group in reverse order, and perhaps start them again in order.

``core/machine/strategies.py`` decides which members. This file takes the next step each time a member reports.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock, Timer
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.dependencies import MustWait
from aioverseer.core.machine.inputs import HeldByGroup, ReleasedByGroup, StoppedByGroup
from aioverseer.core.machine.membership import AlreadyRestarting, EndGroup, RestartTogether
from aioverseer.core.machine.strategies import Groups, in_order
from aioverseer.core.options.after import After
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

__all__ = ["GroupRestarts"]

Verdict = RestartTogether | EndGroup


class _GroupRestart:
    """One restart, or one end, of members of a group.

    Attributes:
        culprit: The service whose end has caused it.
        verdict: The decision.
        members: The names of all members concerned, in order.
        anew: The names of the members that are started again.
        why: The reason of the members' new states.
        due: Monotonic time before which no member is started.
        to_end: Members that have not been ended yet, in order. The last one is next.
        to_start: Members that have not been started yet, in order.
        current: The member whose end or start is in progress.
        is_starting: Whether all members have ended, and are being started.
        timer: The timer of ``due``; None while it is not armed.
    """

    def __init__(
        self, culprit: str, verdict: Verdict, members: Iterable[str], anew: frozenset[str], *, why: str, due: float
    ) -> None:
        self.culprit = culprit
        self.verdict = verdict
        self.members = list(members)
        self.anew = anew
        self.why = why
        self.due = due
        self.to_end = list(self.members)
        self.to_start = deque(self.members)
        self.current: str | None = None
        self.is_starting = False
        self.timer: Timer | None = None

    @property
    def ends(self) -> bool:
        """Whether no member is started again."""
        return isinstance(self.verdict, EndGroup)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class GroupRestarts:
    """All restarts and ends of groups that are in progress in one overseer."""

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        groups: Groups,
        dependencies: DependencyTracker,
        clock: Clock,
        *,
        on_begin: Callable[[str, Verdict], None],
        on_over: Callable[[str, Verdict], None],
    ) -> None:
        """Begin without restarts.

        Args:
            services: All services by name. The registry changes this mapping.
            groups: The members of each group.
            dependencies: The order of the members.
            clock: The source of time.
            on_begin: Called with the culprit and the verdict when a restart or an end begins.
            on_over: Called with the same when it is over, unless another one has replaced it.
        """
        self._services = services
        self._groups = groups
        self._dependencies = dependencies
        self._clock = clock
        self._on_begin = on_begin
        self._on_over = on_over
        self._planned: deque[tuple[str, Verdict]] = deque()
        self._restarts: list[_GroupRestart] = []
        self._busy = False
        self._again = False
        self._soon: asyncio.Handle | None = None
        self._suspended = 0

    def join(self, id: str, group: str) -> AlreadyRestarting | EndGroup | None:
        """Return the verdict on a service that has ended before its group ended it; None for any other service."""
        for restart in self._restarts:
            if restart.is_starting or id not in restart.members:
                continue
            # The service ended by itself before its group ended it. That is not a further failure.
            if isinstance(restart.verdict, EndGroup):
                return EndGroup(
                    group=restart.verdict.group, members=(), gave_up=restart.verdict.gave_up, why=restart.why
                )
            if id in restart.anew:
                return AlreadyRestarting(group=group)
            return EndGroup(group=group, members=(), gave_up=False, why=restart.why)
        return None

    @property
    def is_suspended(self) -> bool:
        """Whether all services are being stopped, so that no restart of a group may begin."""
        return self._suspended > 0

    def concerns(self, id: str) -> bool:
        """Return whether a service is part of a restart or an end in progress."""
        return any(id in restart.members for restart in self._restarts)

    def phase(self, members: Iterable[str]) -> str:
        """Return ``"restarting"`` or ``"ending"`` if that happens to one of these members; else an empty string."""
        ids = set(members)
        kinds = {"ending" if restart.ends else "restarting" for restart in self._restarts if ids & set(restart.members)}
        return min(kinds, default="")

    def blockers(self, id: str, group: str) -> list[Awaited]:
        """Return what a member waits for before its group starts it again."""
        restart = next((restart for restart in self._restarts if id in restart.anew), None)
        if restart is None:
            return []
        text, due_in = f"group {group!r} to start it again", None
        if not restart.is_starting:
            due_in = max(0.0, restart.due - self._clock.now())
        if restart.current not in (None, id):
            text += f", once {restart.current!r} is {'running' if restart.is_starting else 'ended'}"
        edges = self._waits_for(id, restart) if restart.is_starting else []
        return [
            Awaited(kind="group", name=group, text=text, due_in=due_in),
            *(Awaited(kind="service", name=edge.name, text=str(edge)) for edge in edges),
        ]

    def plan(self, culprit: str, verdict: Verdict) -> None:
        """Plan a restart or an end. ``begin`` begins it: the culprit must report its own end first."""
        self._planned.append((culprit, verdict))

    def begin(self) -> None:
        """Begin what was planned, and advance everything as soon as no service is in the middle of a step."""
        self._begin_planned()
        if self._restarts:
            self._advance_soon()

    def suspend_restarts(self, *, stopping: int = 0) -> None:
        """Drop all restarts in progress, and begin none while all services are being stopped.

        Args:
            stopping: 1 when a stop of all begins, -1 when it is over.
        """
        self._suspended += stopping
        for restart in list(self._restarts):
            if not restart.ends:
                self._drop(restart)

    def forget(self) -> None:
        """Drop everything: the overseer was left. It may be entered again."""
        for restart in list(self._restarts):
            self._drop(restart)
        self._planned.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._suspended = 0

    def _begin_planned(self) -> None:
        while self._planned:
            culprit, verdict = self._planned.popleft()
            if isinstance(verdict, RestartTogether):
                if self.is_suspended:
                    continue  # it would end members before their level of the stop is reached
                self._begin_restart(culprit, verdict)
            else:
                self._begin_end(culprit, verdict)
            self._on_begin(culprit, verdict)

    def _begin_restart(self, culprit: str, verdict: RestartTogether) -> None:
        anew, due = verdict.anew, self._clock.now() + verdict.delay
        members = set(verdict.members)
        for restart in [restart for restart in self._restarts if members & set(restart.members)]:
            # Two restarts, one after the other, would restart some members twice.
            self._drop(restart)
            if not restart.ends:
                due = max(due, restart.due)
                anew |= restart.anew - frozenset(verdict.members)
                members |= set(restart.members)
        top = self._groups.members(self._groups.top(verdict.group))
        ids = in_order([id for id in top if id in members], self._dependencies.needs())
        why = f"restarts with group {verdict.group!r} ({verdict.strategy})"
        self._restarts.append(_GroupRestart(culprit, verdict, ids, anew, why=why, due=due))

    def _begin_end(self, culprit: str, verdict: EndGroup) -> None:
        members = set(verdict.members)
        for restart in list(self._restarts):
            restart.to_end = [id for id in restart.to_end if id not in members]
            restart.to_start = deque(id for id in restart.to_start if id not in members)
            restart.members = [id for id in restart.members if id not in members]
            if not restart.members:
                self._drop(restart)
        ids = in_order(verdict.members, self._dependencies.needs())
        self._restarts.append(_GroupRestart(culprit, verdict, ids, frozenset(), why=verdict.why, due=0.0))

    def _drop(self, restart: _GroupRestart) -> None:
        restart.cancel()
        self._restarts.remove(restart)

    def _advance_soon(self) -> None:
        """Advance in the next loop iteration: a member that reports is still in a step, and cannot take another."""
        self._again = True
        if not self._busy and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Advance everything as far as possible. A step may cause further reports, which are handled here too."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._again = True
        self._busy = True
        try:
            while self._again:
                self._again = False
                for restart in list(self._restarts):
                    if restart in self._restarts and self._take_steps(restart):
                        self._drop(restart)
                        self._on_over(restart.culprit, restart.verdict)
                        self._again = True
                if self._planned:
                    self._begin_planned()
                    self._again = True
        finally:
            self._busy = False

    def _take_steps(self, restart: _GroupRestart) -> bool:
        """Take the next steps of a restart or an end; return whether it is over."""
        if not restart.is_starting:
            if not self._end_members(restart):
                return False
            if restart.ends:
                return True
            if self._clock.now() < restart.due:
                if restart.timer is None:
                    restart.timer = self._clock.call_at(restart.due, functools.partial(self._on_due, restart))
                return False
            restart.is_starting = True
            restart.current = None
        return self._start_members(restart)

    def _on_due(self, restart: _GroupRestart) -> None:
        restart.timer = None
        # A clock may call slightly early. The timer was armed for ``due``, so ``due`` has come.
        restart.due = min(restart.due, self._clock.now())
        self._advance()

    def _end_members(self, restart: _GroupRestart) -> bool:
        while True:
            if restart.current is not None:
                service = self._services.get(restart.current)
                if service is not None and not self._has_ended(service, restart):
                    return False
                restart.current = None
            if not restart.to_end:
                return True
            id = restart.to_end.pop()
            service = self._services.get(id)
            if service is None or self._has_ended(service, restart):
                continue
            restart.current = id
            if id in restart.anew:
                service.submit(HeldByGroup(why=restart.why, due=restart.due))
            else:
                service.submit(StoppedByGroup(why=restart.why))

    @staticmethod
    def _has_ended(service: ServiceRunner, restart: _GroupRestart) -> bool:
        # A member that cannot be ended does not hold up the others: they must end too.
        if not service.state.is_live or service.is_unstoppable:
            return True
        if service.state is State.WAITING and service.id in restart.anew:
            return True  # it has no run, and its trigger starts the next one
        # BACKOFF is the end of a member that is started again. Any other member must leave BACKOFF too, where an
        # earlier restart may have put it.
        return service.id in restart.anew and service.state is State.BACKOFF and service.machine.held_by_group

    def _start_members(self, restart: _GroupRestart) -> bool:
        while True:
            if restart.current is not None:
                service = self._services.get(restart.current)
                if service is not None and not self._has_started(service):
                    return False
                restart.current = None
            id = self._next_to_start(restart)
            if id is None:
                return not restart.to_start
            restart.to_start.remove(id)
            service = self._services.get(id)
            if service is not None and id in restart.anew:
                restart.current = id
                self._start(service)

    def _next_to_start(self, restart: _GroupRestart) -> str | None:
        # A member that has to wait holds up only the members that need it.
        return next((id for id in restart.to_start if not self._waits_for(id, restart)), None)

    @staticmethod
    def _has_started(service: ServiceRunner) -> bool:
        # A deferred member starts once its dependencies are met. The members after it do not need it.
        state = service.state
        return state.is_up or not state.is_live or service.is_unstoppable or service.is_deferred

    def _waits_for(self, id: str, restart: _GroupRestart) -> list[After]:
        """Return the dependencies on their way to another run, after which a member that has run before restarts."""
        service = self._services.get(id)
        if service is None or not (service.machine.held_by_group and service.machine.begun):
            return []
        match self._dependencies.verdict(id):
            case MustWait(edges=edges):
                return [edge for edge in edges if self._is_on_its_way(edge.name, id, restart)]
            case _:
                return []

    def _is_on_its_way(self, name: str, waiting: str, restart: _GroupRestart) -> bool:
        service = self._services.get(name)
        if service is None or not service.state.is_live:
            return False
        if name in restart.to_start:
            # A dependency that is ordered after its dependent is in a cycle with it.
            return restart.to_start.index(name) < restart.to_start.index(waiting)
        # A dependency outside of this restart is waited for only while it is down for a moment. A dependency that runs,
        # or is deferred itself, has not changed: a member that was started by hand without it comes back without it.
        return name in restart.anew or not (service.state.is_up or service.is_deferred)

    def _start(self, service: ServiceRunner) -> None:
        if service.machine.held_by_group:
            service.submit(ReleasedByGroup())
            self._dependencies.reconsider(service)
        elif service.state.is_final and not service.machine.stopped_on_request and not self.is_suspended:
            try:
                self._dependencies.start([service])
            except SpecError as error:
                self._dependencies.fail([service], error)
