"""Rounds: members of groups are ended in reverse order, and then perhaps started again in order, step by step.

Whom that concerns is decided in ``core/machine/strategies.py``, and who is in which group is known in ``_engine/overseer/groups.py``; in here it
is done, as the members report.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.service.service import Service
from aioverseer.core.clock import Clock, Timer
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.dependencies import MustWait
from aioverseer.core.machine.inputs import HeldByGroup, ReleasedByGroup, StoppedByGroup
from aioverseer.core.machine.membership import AlreadyRestarting, EndGroup, RestartTogether
from aioverseer.core.machine.strategies import Groups, in_order
from aioverseer.core.options.after import After
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer.core.report.why import Awaited

__all__ = ["GroupRestarts"]

Verdict = RestartTogether | EndGroup


class _GroupRestart:
    """Members that are being ended, and then perhaps started again.

    Attributes:
        culprit: The service whose end has led to it.
        verdict: What was decided.
        members: All of them, in order.
        anew: Those that are started again.
        why: What the others, and in an end all of them, are told.
        due: Monotonic time before which nothing is started.
        to_end: Those whose turn to end has not come, in order: the last is the next.
        to_start: Those whose turn to start has not come, in order.
        current: Whose end or start is waited for.
        timer: Tells that ``due`` has come.
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
        """Whether nobody is started again."""
        return isinstance(self.verdict, EndGroup)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class GroupRestarts:
    """All rounds that are under way in one overseer."""

    def __init__(
        self,
        services: Mapping[str, Service],
        groups: Groups,
        ordering: DependencyTracker,
        clock: Clock,
        *,
        on_begin: Callable[[str, Verdict], None],
        on_over: Callable[[str, Verdict], None],
    ) -> None:
        """Begin without any.

        Args:
            services: All services by their names; the overseer changes it.
            groups: Knows who is in which group.
            ordering: Knows who needs whom.
            clock: What delays are measured by.
            on_begin: Called with the culprit and the verdict when a round begins.
            on_over: The same when it is over, unless another one has taken its place.
        """
        self._services = services
        self._groups = groups
        self._ordering = ordering
        self._clock = clock
        self._on_begin = on_begin
        self._on_over = on_over
        self._planned: deque[tuple[str, Verdict]] = deque()
        self._rounds: list[_GroupRestart] = []
        self._at_work = False
        self._again = False
        self._soon: asyncio.Handle | None = None
        self._stops = 0

    def join(self, id: str, group: str) -> AlreadyRestarting | EndGroup | None:
        """Return what the end of a service means that was about to be ended anyway; None where it was not."""
        for round in self._rounds:
            if round.is_starting or id not in round.members:
                continue
            # It did by itself what was wanted of it: that is no further failure.
            if isinstance(round.verdict, EndGroup):
                return EndGroup(group=round.verdict.group, members=(), gave_up=round.verdict.gave_up, why=round.why)
            if id in round.anew:
                return AlreadyRestarting(group=group)
            return EndGroup(group=group, members=(), gave_up=False, why=round.why)
        return None

    def concern(self, id: str) -> bool:
        """Return whether a service is part of any."""
        return any(id in round.members for round in self._rounds)

    def phase(self, members: Iterable[str]) -> str:
        """Return ``"restarting"`` or ``"ending"`` where that is what happens to one of these; else an empty str."""
        ids = set(members)
        kinds = {"ending" if round.ends else "restarting" for round in self._rounds if ids & set(round.members)}
        return min(kinds, default="")

    def awaited(self, id: str, group: str) -> list[Awaited]:
        """Return what a service waits for that is to be started again with its group."""
        from aioverseer.core.report.why import Awaited  # noqa: PLC0415  # most hosts never ask

        round = next((round for round in self._rounds if id in round.anew), None)
        if round is None:
            return []
        text, due_in = f"group {group!r} to start it again", None
        if not round.is_starting:
            due_in = max(0.0, round.due - self._clock.now())
        if round.current not in (None, id):
            text += f", once {round.current!r} is {'running' if round.is_starting else 'ended'}"
        edges = self._waits_for(id, round) if round.is_starting else []
        return [
            Awaited(kind="group", name=group, text=text, due_in=due_in),
            *(Awaited(kind="service", name=edge.name, text=str(edge)) for edge in edges),
        ]

    def plan(self, culprit: str, verdict: Verdict) -> None:
        """Begin a round when the members are told of news the next time: a culprit has to tell its own end first."""
        self._planned.append((culprit, verdict))

    def begin(self) -> None:
        """Begin those that were planned, and go on with all of them as soon as nobody is in the middle of a step."""
        self._begin_planned()
        if self._rounds:
            self._advance_soon()

    def stand_down(self, *, stopping: int = 0) -> None:
        """Restart nothing more: all services are being stopped (+1), or have been (-1)."""
        self._stops += stopping
        for round in list(self._rounds):
            if not round.ends:
                self._drop(round)

    def forget(self) -> None:
        """Leave everything as it is: the overseer has been left, and may be entered again."""
        for round in list(self._rounds):
            self._drop(round)
        self._planned.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._stops = 0

    def _begin_planned(self) -> None:
        while self._planned:
            culprit, verdict = self._planned.popleft()
            if isinstance(verdict, RestartTogether):
                self._begin_restart(culprit, verdict)
            else:
                self._begin_end(culprit, verdict)
            self._on_begin(culprit, verdict)

    def _begin_restart(self, culprit: str, verdict: RestartTogether) -> None:
        anew, due = verdict.anew, self._clock.now() + verdict.delay
        members = set(verdict.members)
        for round in [round for round in self._rounds if members & set(round.members)]:
            # One after the other would restart some of them twice.
            self._drop(round)
            if not round.ends:
                due = max(due, round.due)
                anew |= round.anew - frozenset(verdict.members)
                members |= set(round.members)
        top = self._groups.members(self._groups.top(verdict.group))
        ids = in_order([id for id in top if id in members], self._ordering.needs())
        why = f"restarts with group {verdict.group!r} ({verdict.strategy})"
        self._rounds.append(_GroupRestart(culprit, verdict, ids, anew, why=why, due=due))

    def _begin_end(self, culprit: str, verdict: EndGroup) -> None:
        members = set(verdict.members)
        for round in list(self._rounds):
            round.to_end = [id for id in round.to_end if id not in members]
            round.to_start = deque(id for id in round.to_start if id not in members)
            round.members = [id for id in round.members if id not in members]
            if not round.members:
                self._drop(round)
        ids = in_order(verdict.members, self._ordering.needs())
        self._rounds.append(_GroupRestart(culprit, verdict, ids, frozenset(), why=verdict.why, due=0.0))

    def _drop(self, round: _GroupRestart) -> None:
        round.cancel()
        self._rounds.remove(round)

    def _advance_soon(self) -> None:
        """Go on in the next turn of the loop: a member that reports is in the middle of a step, and takes no other."""
        self._again = True
        if not self._at_work and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Go on with all rounds as far as it goes; each step may report, which is looked at in here, too."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._again = True
        self._at_work = True
        try:
            while self._again:
                self._again = False
                for round in list(self._rounds):
                    if round in self._rounds and self._go_on(round):
                        self._drop(round)
                        self._on_over(round.culprit, round.verdict)
                        self._again = True
                if self._planned:
                    self._begin_planned()
                    self._again = True
        finally:
            self._at_work = False

    def _go_on(self, round: _GroupRestart) -> bool:
        """Take the next steps of a round; return whether it is over."""
        if not round.is_starting:
            if not self._end_members(round):
                return False
            if round.ends:
                return True
            if self._clock.now() < round.due:
                if round.timer is None:
                    round.timer = self._clock.call_at(round.due, functools.partial(self._on_due, round))
                return False
            round.is_starting = True
            round.current = None
        return self._start_members(round)

    def _on_due(self, round: _GroupRestart) -> None:
        round.timer = None
        # A clock may call a little early: what it has called for is due.
        round.due = min(round.due, self._clock.now())
        self._advance()

    def _end_members(self, round: _GroupRestart) -> bool:
        while True:
            if round.current is not None:
                service = self._services.get(round.current)
                if service is not None and not self._has_ended(service, round):
                    return False
                round.current = None
            if not round.to_end:
                return True
            id = round.to_end.pop()
            service = self._services.get(id)
            if service is None or self._has_ended(service, round):
                continue
            round.current = id
            if id in round.anew:
                service.post(HeldByGroup(why=round.why, due=round.due))
            else:
                service.post(StoppedByGroup(why=round.why))

    @staticmethod
    def _has_ended(service: Service, round: _GroupRestart) -> bool:
        # What does not die at all is not waited for: the others are to end, too.
        if not service.state.is_live or service.is_unstoppable:
            return True
        # One that is not started again has to leave BACKOFF, too, where an earlier restart may have put it.
        return service.id in round.anew and service.state is State.BACKOFF and service.is_halted

    def _start_members(self, round: _GroupRestart) -> bool:
        while True:
            if round.current is not None:
                service = self._services.get(round.current)
                if service is not None and not self._has_started(service):
                    return False
                round.current = None
            id = self._next_to_start(round)
            if id is None:
                return not round.to_start
            round.to_start.remove(id)
            service = self._services.get(id)
            if service is not None and id in round.anew:
                round.current = id
                self._start(service)

    def _next_to_start(self, round: _GroupRestart) -> str | None:
        # One that has to wait holds up those only that need it.
        return next((id for id in round.to_start if not self._waits_for(id, round)), None)

    @staticmethod
    def _has_started(service: Service) -> bool:
        # One that waits for others before its first run is left to the order: those behind it do not need it.
        state = service.state
        return state is State.RUNNING or not state.is_live or service.is_unstoppable or service.is_held

    def _waits_for(self, id: str, round: _GroupRestart) -> list[After]:
        """Return whom one that has run before is started again after, of those that are on their way."""
        service = self._services.get(id)
        if service is None or not (service.is_halted and service.has_begun):
            return []
        match self._ordering.verdict(id):
            case MustWait(edges=edges):
                return [edge for edge in edges if self._is_on_its_way(edge.name, id, round)]
            case _:
                return []

    def _is_on_its_way(self, name: str, waiting: str, round: _GroupRestart) -> bool:
        service = self._services.get(name)
        if service is None or not service.state.is_live:
            return False
        if name in round.to_start:
            # One that is behind it in spite of the order is in a circle with it.
            return round.to_start.index(name) < round.to_start.index(waiting)
        # Of what is not restarted with it, only what is down for a while is waited for. What runs, or waits itself for
        # its first start, is where it was: who was started by hand without it comes back without it.
        return name in round.anew or not (service.state is State.RUNNING or service.is_held)

    def _start(self, service: Service) -> None:
        if service.is_halted:
            service.post(ReleasedByGroup())
            self._ordering.look(service)
        elif service.state.is_final and not service.was_stopped and not self._stops:
            try:
                self._ordering.start([service])
            except SpecError as error:
                self._ordering.bar([service], error)
