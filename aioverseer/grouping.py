"""Groups of one overseer, at work: a strategy stops its members and starts them again; and what follows a giving up.

Whom a failure concerns is decided in ``core/groups.py``; in here it is done, step by step, as the members report. Order
lives in ``ordering.py``, registry and tasks in ``overseer.py``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from aioverseer.core.clock import Clock, Rng, Timer
from aioverseer.core.errors import GaveUp, SpecError
from aioverseer.core.groups import Ended, Group, Groups, Joined, OnGiveUp, Together, consequence, in_order
from aioverseer.core.machine import Report
from aioverseer.core.order import Wait
from aioverseer.core.spec import Spec
from aioverseer.core.state import State
from aioverseer.core.status import last_lines
from aioverseer.core.supervision import Dismissed, Halted, Resumed
from aioverseer.ordering import Ordering
from aioverseer.service import Service

if TYPE_CHECKING:
    from aioverseer.core.why import Awaited

__all__ = ["Grouping", "Host"]

_log = logging.getLogger("aioverseer")


class Host(Protocol):
    """What this needs of the Overseer."""

    clock: Clock
    rng: Rng

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left."""
        ...

    def end_for(self, service: Service) -> None:
        """End the overseer, because this service has ended."""
        ...

    def stop_soon(self) -> None:
        """Stop all services, each in its order."""
        ...


class _Seat:
    """The place of one service in its group; see ``supervision.Seat``."""

    def __init__(self, grouping: Grouping, id: str) -> None:
        self._grouping = grouping
        self._id = id

    def judge(self, what: str, *, now: float, ready_for: float | None) -> Together | Joined | Ended:
        return self._grouping.judge(self._id, what, now=now, ready_for=ready_for)

    def left(self, now: float) -> int | None:
        return self._grouping.groups.left(self._id, now)

    def refills_in(self, now: float) -> float | None:
        return self._grouping.groups.refills_in(self._id, now)


class _Round:
    """Members that are being ended in reverse order, and then perhaps started again in order.

    Attributes:
        members: All of them, in order.
        anew: Those that are started again.
        why: What the others, and in an end all of them, are told.
        due: Monotonic time before which nothing is started.
        to_end: Those whose turn to end has not come, in order: the last is the next.
        to_start: Those whose turn to start has not come, in order.
        current: Whose end or start is waited for.
        ended: The end of a group that this is; None for a restart.
        timer: Tells that ``due`` has come.
    """

    def __init__(self, members: Iterable[str], anew: frozenset[str], *, why: str, due: float) -> None:
        self.members = list(members)
        self.anew = anew
        self.why = why
        self.due = due
        self.to_end = list(self.members)
        self.to_start = deque(self.members)
        self.current: str | None = None
        self.ended: Ended | None = None
        self.is_starting = False
        self.timer: Timer | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Grouping:
    """Performs what the strategies of groups ask for.

    Attributes:
        groups: Who is in which group, and what is left of their budgets.
    """

    def __init__(self, services: Mapping[str, Service], ordering: Ordering, host: Host) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            services: All services by their names, in the order in which they were added; the overseer changes it.
            ordering: Knows who needs whom.
            host: The overseer.
        """
        self.groups = Groups()
        self._services = services
        self._ordering = ordering
        self._host = host
        self._places: dict[str, int] = {}
        self._next_place = 0
        self._pending: deque[tuple[str, Together | Ended]] = deque()
        self._rounds: list[_Round] = []
        self._at_work = False
        self._again = False
        self._soon: asyncio.Handle | None = None
        self._stops = 0

    # Who is where.

    def add(self, group: Group) -> None:
        """Add a group; the services with its label are its members from now on.

        Raises:
            SpecError: When it cannot be added; nothing has changed then.
        """
        members = [service.spec for service in self._services.values() if service.spec.group == group.name]
        if group.auto_shutdown == "never":
            for spec in members:
                if spec.significant:
                    raise group.refuse("auto_shutdown", f"does not go with significant=True of service {spec.id!r}")
        for service in self._services.values():  # those that were added before there was any group
            self._place(service.id)
        self.groups.add(group, self._place(f"\0{group.name}"))
        for spec in members:
            self.register(spec)

    def _place(self, key: str) -> int:
        # No id of a service has a NUL: so groups and services may bear the same names.
        if key not in self._places:
            self._next_place += 1
            self._places[key] = self._next_place
        return self._places[key]

    def check(self, spec: Spec) -> None:
        """Refuse a service that cannot be a member of the group that it names.

        Raises:
            SpecError: Naming the option.
        """
        self.groups.check(spec.id, spec.group, significant=spec.significant)

    def register(self, spec: Spec) -> None:
        """Let a service be in the group that it names; also when it has named another one before."""
        self.groups.join(
            spec.id,
            spec.group,
            place=self._place(spec.id),
            when=spec.restart.when,
            significant=spec.significant,
        )
        self._services[spec.id].sit(None if self.groups.home(spec.id) is None else _Seat(self, spec.id))

    def forget(self, id: str) -> None:
        """Take note that there is no such service any more."""
        self.groups.leave(id)
        self._places.pop(id, None)

    # What the tables of the members ask.

    def judge(self, id: str, what: str, *, now: float, ready_for: float | None) -> Together | Joined | Ended:
        """Decide on an end after which a member is to be restarted; what follows is done once it has told its state."""
        group = self.groups.home(id) or ""
        for round in self._rounds:
            if round.is_starting or id not in round.members:
                continue
            # It was about to be ended, and did that by itself: that is no further failure.
            if round.ended is not None:
                return Ended(group=round.ended.group, members=(), gave_up=round.ended.gave_up, why=round.why)
            if id in round.anew:
                return Joined(group=group)
            return Ended(group=group, members=(), gave_up=False, why=round.why)
        verdict = self.groups.fail(id, what, now=now, ready_for=ready_for, rng=self._host.rng)
        if isinstance(verdict, Ended) or len(verdict.members) > 1:
            self._pending.append((id, verdict))
        return verdict

    # What the members report.

    def hear(self, id: str, report: Report | None) -> None:
        """Take note that a service has changed its state, or (None) that its program was started or does not die."""
        if report is not None and self.groups.home(id) is not None:
            if report.state is State.STARTING and report.previous is not State.BACKOFF:
                self._refresh(id, report)
            elif report.state.is_final:
                self._hear_end(id)
        while self._pending:
            self._begin(*self._pending.popleft())
        if self._rounds:
            self._advance_soon()

    def _refresh(self, id: str, report: Report) -> None:
        """Give fresh budgets to the groups of which this is the first member that runs."""
        if report.previous.is_live or any(id in round.members for round in self._rounds):
            return
        idle = None
        name = self.groups.home(id)
        while name and not any(self._is_live(other) for other in self.groups.members(name) if other != id):
            idle, name = name, self.groups.get(name).parent
        if idle is not None:
            self.groups.refresh(idle)

    def _is_live(self, id: str) -> bool:
        return id in self._services and self._services[id].state.is_live

    def _hear_end(self, id: str) -> None:
        service = self._services.get(id)
        if service is None or service.was_stopped or service.was_dismissed or service.gave_up is not None:
            return
        self._finish(id, service.status(lines=False).reason, is_group=False)

    def _finish(self, name: str, what: str, *, is_group: bool) -> None:
        verdict = self.groups.finish(
            name, what, is_group=is_group, live=self._is_live, now=self._host.clock.now(), rng=self._host.rng
        )
        if verdict is not None:
            self._pending.append(("" if is_group else name, verdict))

    def awaited(self, id: str) -> list[Awaited]:
        """Return what a member waits for that its group has ended, or holds down, to start it again."""
        from aioverseer.core.why import Awaited  # noqa: PLC0415  # most hosts never ask

        service, name = self._services[id], self.groups.home(id)
        round = next((round for round in self._rounds if id in round.anew), None)
        if name is None or round is None or not service.is_halted:
            return []
        text, due_in = f"group {name!r} to start it again", None
        if not round.is_starting:
            due_in = max(0.0, round.due - self._host.clock.now())
        if round.current not in (None, id):
            text += f", once {round.current!r} is {'running' if round.is_starting else 'ended'}"
        return [Awaited(kind="group", name=name, text=text, due_in=due_in)]

    # What is done.

    def _begin(self, id: str, verdict: Together | Ended) -> None:
        if isinstance(verdict, Together):
            self._begin_restart(verdict)
        else:
            self._begin_end(id, verdict)

    def _begin_restart(self, verdict: Together) -> None:
        anew, due = verdict.anew, self._host.clock.now() + verdict.delay
        members = set(verdict.members)
        for round in [round for round in self._rounds if members & set(round.members)]:
            # One after the other would restart some of them twice.
            self._drop(round)
            if round.ended is None:
                due = max(due, round.due)
                anew |= round.anew - frozenset(verdict.members)
                members |= set(round.members)
        top = self.groups.members(self.groups.top(verdict.group))
        ids = in_order([id for id in top if id in members], self._ordering.needs())
        self._rounds.append(
            _Round(ids, anew, why=f"restarts with group {verdict.group!r} ({verdict.strategy})", due=due)
        )

    def _begin_end(self, id: str, verdict: Ended) -> None:
        members = set(verdict.members)
        for round in list(self._rounds):
            round.to_end = [id for id in round.to_end if id not in members]
            round.to_start = deque(id for id in round.to_start if id not in members)
            round.members = [id for id in round.members if id not in members]
            if not round.members:
                self._drop(round)
        ids = in_order(verdict.members, self._ordering.needs())
        round = _Round(ids, frozenset(), why=verdict.why, due=0.0)
        round.ended = verdict
        self._rounds.append(round)
        _log.log(logging.ERROR if verdict.gave_up else logging.INFO, "%s", verdict.why)
        service = self._services.get(id)
        if not verdict.gave_up or service is None:
            return
        error = GaveUp(
            verdict.why,
            id=verdict.group,
            status=service.status(lines=False),
            lines=last_lines([line.text for line in service.tail()]),
        )
        self._follow(self.groups.get(verdict.group).on_give_up, service, error, group="")

    def _drop(self, round: _Round) -> None:
        round.cancel()
        self._rounds.remove(round)

    def stand_down(self, *, stopping: int = 0) -> None:
        """Restart nothing more: all services are being stopped (+1), or have been (-1)."""
        self._stops += stopping
        for round in list(self._rounds):
            if round.ended is None:
                self._drop(round)

    def end(self) -> None:
        """Forget what is under way: the overseer has been left, and may be entered again."""
        for round in list(self._rounds):
            self._drop(round)
        self._pending.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._stops = 0

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
                        if round.ended is not None and round.ended.group in self.groups:
                            self._finish(round.ended.group, "has ended", is_group=True)
                        self._again = True
                while self._pending:
                    self._begin(*self._pending.popleft())
                    self._again = True
        finally:
            self._at_work = False

    def _go_on(self, round: _Round) -> bool:
        """Take the next steps of a round; return whether it is over."""
        if not round.is_starting:
            if not self._end_members(round):
                return False
            if round.ended is not None:
                return True
            if self._host.clock.now() < round.due:
                if round.timer is None:
                    round.timer = self._host.clock.call_at(round.due, functools.partial(self._on_due, round))
                return False
            round.is_starting = True
            round.current = None
        return self._start_members(round)

    def _on_due(self, round: _Round) -> None:
        round.timer = None
        # A clock may call a little early: what it has called for is due.
        round.due = min(round.due, self._host.clock.now())
        self._advance()

    def _end_members(self, round: _Round) -> bool:
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
                service.post(Halted(why=round.why, due=round.due))
            else:
                service.post(Dismissed(why=round.why))

    @staticmethod
    def _has_ended(service: Service, round: _Round) -> bool:
        # What does not die at all is not waited for: the others are to end, too.
        if not service.state.is_live or service.is_stuck:
            return True
        # One that is not started again has to leave BACKOFF, too, where an earlier restart may have put it.
        return service.id in round.anew and service.state is State.BACKOFF and service.is_halted

    def _start_members(self, round: _Round) -> bool:
        while True:
            if round.current is not None:
                service = self._services.get(round.current)
                if service is not None and not self._has_started(service):
                    return False
                round.current = None
            if not round.to_start:
                return True
            id = round.to_start[0]
            service = self._services.get(id)
            if service is not None and id in round.anew:
                if service.is_halted and self._must_wait(id, round):
                    return False
                round.current = id
                round.to_start.popleft()
                self._start(service)
            else:
                round.to_start.popleft()

    @staticmethod
    def _has_started(service: Service) -> bool:
        state = service.state
        return state is State.RUNNING or not state.is_live or service.is_stuck

    def _must_wait(self, id: str, round: _Round) -> bool:
        """Whether one that it is started after is on its way; what cannot come, or nobody starts, is not waited for."""
        match self._ordering.verdict(id):
            case Wait(edges=edges):
                return any(self._is_live(edge.name) and edge.name not in round.to_start for edge in edges)
            case _:
                return False

    def _start(self, service: Service) -> None:
        if service.is_halted:
            service.post(Resumed())
        elif service.state.is_final and not service.was_stopped and not self._stops:
            try:
                self._ordering.start([service])
            except SpecError as error:
                self._ordering.bar([service], error)

    # What follows the end of a service or a group.

    def follow(self, service: Service) -> None:
        """Do what is to follow a service that has ended for good by itself."""
        spec = service.spec
        gave_up = service.gave_up if self.groups.home(service.id) is None else None
        what = consequence(critical=spec.critical, on_give_up=spec.on_give_up, gave_up=gave_up is not None)
        self._follow(what, service, gave_up, group=spec.group)

    def _follow(self, what: OnGiveUp, service: Service, error: GaveUp | None, *, group: str) -> None:
        if what == "end":
            self._host.end_for(service)
        elif what == "stop" and group:
            members = tuple(id for id, one in self._services.items() if one.spec.group == group and id != service.id)
            why = f"{service.id!r} gave up, and its group {group!r} is stopped with it"
            self._pending.append((service.id, Ended(group=group, members=members, gave_up=False, why=why)))
            while self._pending:
                self._begin(*self._pending.popleft())
            self._advance_soon()
        elif what == "stop":
            self._host.stop_soon()
        elif callable(what) and error is not None:
            self._call(what, error)

    def _call(self, function: Callable[[Any], object], error: GaveUp) -> None:
        try:
            result = function(error)
        except Exception as raised:  # noqa: BLE001  # the application's own function: nothing else suffers from it
            self._tell(error, raised)
            return
        if inspect.isawaitable(result):

            async def wait() -> None:
                try:
                    await result
                except Exception as raised:  # noqa: BLE001  # as above
                    self._tell(error, raised)

            self._host.start_soon(wait)

    def _tell(self, error: GaveUp, raised: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"aioverseer: on_give_up of {cast('Any', error).id!r} has raised", "exception": raised}
        )
