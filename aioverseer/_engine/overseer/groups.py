"""GroupSupervisor: applies the strategies of the groups of one overseer.

``core/machine/strategies.py`` decides which members an end concerns; ``group_restart.py`` stops and starts them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.group_restart import GroupRestarts
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import UnknownService
from aioverseer.core.machine.membership import AlreadyRestarting, EndGroup, RestartTogether
from aioverseer.core.machine.strategies import Groups
from aioverseer.core.options.give_up import OnGiveUp
from aioverseer.core.options.group import Group
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.group import GroupStatus, Phase
from aioverseer.core.report.status import GaveUp
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State
from aioverseer.core.text.counted import counted

__all__ = ["GroupSupervisor"]

_log = logging.getLogger("aioverseer")


class _Publish(Protocol):
    def __call__(self, id: str, text: str, kind: Kind, *, level: int | None = None) -> None: ...


class _Membership:
    """The ``GroupMembership`` of one service; see ``core/machine/membership.py``."""

    def __init__(self, supervisor: GroupSupervisor, id: str, group: str) -> None:
        self._supervisor = supervisor
        self._id = id
        self._group = group

    def judge(
        self, what: str, *, now: float, ready_for: float | None, hopeless: bool
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        return self._supervisor.judge(self._id, what, now=now, ready_for=ready_for, hopeless=hopeless)

    def left(self, now: float) -> int | None:
        return self._supervisor.groups.left(self._group, now)

    def refills_in(self, now: float) -> float | None:
        return self._supervisor.groups.refills_in(self._group, now)


class GroupSupervisor:
    """The groups of one overseer.

    Attributes:
        groups: The members of each group, and what is left of the budgets.
    """

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        dependencies: DependencyTracker,
        *,
        clock: Clock,
        rng: Rng,
        publish: _Publish,
        on_give_up: Callable[[OnGiveUp, ServiceRunner, GaveUp | None], None],
    ) -> None:
        """Begin without groups.

        Args:
            services: All services by name, in the order in which they were added. The registry changes this mapping.
            dependencies: The order of the members.
            clock: The source of time.
            rng: The source of random numbers for backoff delays.
            publish: Function that publishes an event.
            on_give_up: Function that performs the ``on_give_up`` of a group.
        """
        self.groups = Groups()
        self._services = services
        self._clock = clock
        self._rng = rng
        self._publish = publish
        self._on_give_up = on_give_up
        self._restarts = GroupRestarts(
            services, self.groups, dependencies, clock, on_begin=self._on_begin, on_over=self._on_over
        )
        self._places: dict[str, int] = {}
        self._next_place = 0
        self._reasons: dict[str, str] = {}
        self._given_up: set[str] = set()

    # The members of each group.

    def add(self, group: Group) -> None:
        """Add a group. The services with its label are its members from now on.

        Raises:
            SpecError: If the group cannot be added. Nothing has changed then.
        """
        members = [service.spec for service in self._services.values() if service.spec.group == group.name]
        if group.auto_shutdown == "never":
            for spec in members:
                if spec.significant:
                    raise group.refuse("auto_shutdown", f"does not go with significant=True of service {spec.id!r}")
        for service in self._services.values():  # services that were added before the first group
            self._place(service.id)
        self.groups.add(group, self._place(f"\0{group.name}"))
        for spec in members:
            self.register(spec)

    def _place(self, key: str) -> int:
        # The key of a group begins with NUL, which no id of a service contains: a group and a service may share a name.
        if key not in self._places:
            self._next_place += 1
            self._places[key] = self._next_place
        return self._places[key]

    def check(self, spec: Spec) -> None:
        """Check that a service can be a member of the group that it names.

        Raises:
            SpecError: If it cannot. The message names the option.
        """
        self.groups.check(spec.id, spec.group, significant=spec.significant)

    def register(self, spec: Spec) -> None:
        """Add a service to the group that it names, and remove it from the one that it named before."""
        self.groups.join(
            spec.id,
            spec.group,
            place=self._place(spec.id),
            when=spec.restart.when,
            significant=spec.significant,
        )
        home = self.groups.home(spec.id)
        self._services[spec.id].join_group(None if home is None else _Membership(self, spec.id, home))

    def forget(self, id: str) -> None:
        """Remove a service from its group."""
        self.groups.leave(id)
        self._places.pop(id, None)

    def status(self, name: str) -> GroupStatus:
        """Return what is known about a group.

        Raises:
            UnknownService: If there is no group of this name.
        """
        if name not in self.groups:
            known = ", ".join(self.groups.names()) or "none"
            raise UnknownService(f"there is no group {name!r}; made by Overseer.group: {known}")
        members, now = self.groups.members(name), self._clock.now()
        phase = self._restarts.phase(members) or ("up" if any(map(self._is_live, members)) else "down")
        return GroupStatus(
            name=name,
            phase=cast("Phase", phase),
            reason=self._reasons.get(name, ""),
            gave_up=name in self._given_up,
            members=members,
            restarts_left=self.groups.left(name, now),
            refills_in=self.groups.refills_in(name, now),
        )

    # Questions of the state machines of the members.

    def judge(
        self, id: str, what: str, *, now: float, ready_for: float | None, hopeless: bool
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        """Decide on an end after which a member restarts. The decision is performed once the member has reported it."""
        joined = self._restarts.join(id, self.groups.home(id) or "")
        if joined is not None and not (hopeless and isinstance(joined, AlreadyRestarting)):
            return joined
        if hopeless:
            verdict: RestartTogether | EndGroup = self.groups.end_for(id, what)
        else:
            verdict = self.groups.fail(id, what, now=now, ready_for=ready_for, rng=self._rng)
            if isinstance(verdict, RestartTogether) and self._restarts.is_suspended:
                # The stop of all ends a member that it concerns. A member that was started since restarts by itself.
                return verdict.alone(id)
        if isinstance(verdict, EndGroup) or len(verdict.members) > 1:
            self._restarts.plan(id, verdict)
        return verdict

    # Reports of the members.

    def on_transition(self, transition: ServiceTransition) -> None:
        """Refresh budgets at the first start, count an end, and advance restarts in progress."""
        if self.groups.home(transition.id) is not None:
            if transition.state in (State.STARTING, State.WAITING) and transition.previous is not State.BACKOFF:
                self._refresh(transition)
            elif transition.state.is_final:
                self._on_end(transition.id)
        self._restarts.begin()

    def on_spawned(self, _id: str) -> None:
        """Advance restarts in progress: they may wait for a program to be started."""
        self._restarts.begin()

    def on_unstoppable(self, _id: str) -> None:
        """Advance restarts in progress: they no longer wait for a program that does not end."""
        self._restarts.begin()

    def _refresh(self, transition: ServiceTransition) -> None:
        """Give fresh budgets to the groups whose first live member this is."""
        id = transition.id
        if transition.previous.is_live or self._restarts.concerns(id):
            return
        idle = None
        name = self.groups.home(id)
        while name and not any(self._is_live(other) for other in self.groups.each(name) if other != id):
            idle, name = name, self.groups.get(name).parent
        if idle is not None:
            self._given_up -= set(self.groups.refresh(idle))

    def _is_live(self, id: str) -> bool:
        return id in self._services and self._services[id].state.is_live

    def _on_end(self, id: str) -> None:
        service = self._services.get(id)
        if service is None or service.gave_up is not None:
            return
        if service.machine.stopped_on_request or service.machine.stopped_by_group:
            return
        self._finish(id, id, service.reason(), is_group=False)

    def _finish(self, culprit: str, name: str, what: str, *, is_group: bool) -> None:
        verdict = self.groups.finish(
            name, what, is_group=is_group, live=self._is_live, now=self._clock.now(), rng=self._rng
        )
        if verdict is not None:
            self._restarts.plan(culprit, verdict)

    def blockers(self, id: str) -> list[Awaited]:
        """Return what a member waits for before its group starts it again."""
        name = self.groups.home(id)
        if name is None or not self._services[id].machine.held_by_group:
            return []
        return self._restarts.blockers(id, name)

    # Actions and events.

    def _on_begin(self, culprit: str, verdict: RestartTogether | EndGroup) -> None:
        service = self._services.get(culprit)
        if isinstance(verdict, RestartTogether):
            left = "" if verdict.left is None else f"; {counted(verdict.left, 'restart')} left"
            self._publish_group(culprit, verdict.group, f"restarts by {verdict.strategy}: {verdict.why}{left}")
            return
        if verdict.group not in self.groups:  # a plain label
            _log.info("%s", verdict.why)
            return
        # A member that gives up with its group says so in its own record, which is an error already.
        is_first_record = verdict.gave_up and (service is None or service.gave_up is None)
        if is_first_record and service is None:  # it was removed, so nothing is published about it
            _log.error("%s", verdict.why, extra={"service": culprit, "kind": "group"})
        self._publish_group(culprit, verdict.group, verdict.why, level=logging.ERROR if is_first_record else None)
        if not verdict.gave_up or service is None:
            return
        self._given_up.add(verdict.group)
        status = service.snapshot(lines=False).status()
        error = GaveUp(verdict.why, id=verdict.group, status=status, lines=service.last_lines())
        error.__cause__ = service.last_error
        self._on_give_up(self.groups.get(verdict.group).on_give_up, service, error)

    def _on_over(self, culprit: str, verdict: RestartTogether | EndGroup) -> None:
        group = verdict.group
        if group not in self.groups:
            return
        if isinstance(verdict, RestartTogether):
            self._publish_group(culprit, group, "has restarted")
        else:
            self._finish(culprit, group, "has ended", is_group=True)

    def _publish_group(self, culprit: str, group: str, what: str, *, level: int | None = None) -> None:
        prefix = f"group {group!r} "
        self._reasons[group] = what.removeprefix(prefix)
        self._publish(culprit, what if what.startswith(prefix) else prefix + what, "group", level=level)

    def stop_label(self, service: ServiceRunner) -> None:
        """Stop all services with the label of a service that gave up."""
        group = service.spec.group
        members = tuple(id for id, one in self._services.items() if one.spec.group == group and id != service.id)
        why = f"{service.id!r} gave up, and its group {group!r} is stopped with it"
        self._restarts.plan(service.id, EndGroup(group=group, members=members, gave_up=False, why=why))
        self._restarts.begin()

    # Requests of the overseer.

    def suspend_restarts(self, *, stopping: int = 0) -> None:
        """Drop all restarts in progress, and begin none while all services are being stopped.

        Args:
            stopping: 1 when a stop of all begins, -1 when it is over.
        """
        self._restarts.suspend_restarts(stopping=stopping)
        if stopping >= 0:
            for service in self._services.values():
                # A member that has ended before counts as stopped too: no strategy may bring it back later.
                if service.state.is_final and self.groups.home(service.id) is not None:
                    service.request_stop()

    def forget_all(self) -> None:
        """Drop everything in progress: the overseer was left. It may be entered again."""
        self._restarts.forget()
