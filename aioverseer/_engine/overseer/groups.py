"""Groups of one overseer: who is in which, what a member's end means for the others, and the news of that.

Whom a failure concerns is decided in ``core/machine/strategies.py``; ``_engine/overseer/group_restart.py`` stops and starts members, ``_engine/overseer/give_up.py`` does
what follows a giving up. Order lives in ``_engine/overseer/dependencies.py``, the registry in ``_engine/overseer/registry.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from aioverseer._engine.overseer import give_up
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.give_up import GiveUpActions
from aioverseer._engine.overseer.group_restart import GroupRestarts
from aioverseer._engine.service.service import Service
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import UnknownService
from aioverseer.core.machine.inputs import StopRequested
from aioverseer.core.machine.membership import AlreadyRestarting, EndGroup, RestartTogether
from aioverseer.core.machine.strategies import Groups
from aioverseer.core.machine.table import Transition
from aioverseer.core.options.give_up import consequences
from aioverseer.core.options.group import Group
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.group import GroupStatus, Phase
from aioverseer.core.report.status import GaveUp, last_lines
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer.core.report.why import Awaited

__all__ = ["GroupOwner", "GroupSupervisor"]

_log = logging.getLogger("aioverseer")


class GroupOwner(give_up.GiveUpOwner, Protocol):
    """What this needs of the Overseer."""

    clock: Clock
    rng: Rng

    def hear_news(self, id: str, reason: str, kind: Kind) -> None:
        """Take note of news of a service that are no transition."""
        ...


class _Membership:
    """The place of one service in its group; see ``core/machine/inputs.py``."""

    def __init__(self, grouping: GroupSupervisor, id: str, group: str) -> None:
        self._grouping = grouping
        self._id = id
        self._group = group

    def judge(
        self, what: str, *, now: float, ready_for: float | None
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        return self._grouping.judge(self._id, what, now=now, ready_for=ready_for)

    def left(self, now: float) -> int | None:
        return self._grouping.groups.left(self._group, now)

    def refills_in(self, now: float) -> float | None:
        return self._grouping.groups.refills_in(self._group, now)


class GroupSupervisor:
    """Performs what the strategies of groups ask for.

    Attributes:
        groups: Who is in which group, and what is left of their budgets.
    """

    def __init__(self, services: Mapping[str, Service], ordering: DependencyTracker, host: GroupOwner) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            services: All services by their names, in the order in which they were added; the overseer changes it.
            ordering: Knows who needs whom.
            host: The overseer.
        """
        self.groups = Groups()
        self._services = services
        self._host = host
        self._rounds = GroupRestarts(
            services, self.groups, ordering, host.clock, on_begin=self._on_begin, on_over=self._on_over
        )
        self._aftermath = GiveUpActions(host)
        self._places: dict[str, int] = {}
        self._next_place = 0
        self._news: dict[str, str] = {}
        self._given_up: set[str] = set()

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
        home = self.groups.home(spec.id)
        self._services[spec.id].sit(None if home is None else _Membership(self, spec.id, home))

    def forget(self, id: str) -> None:
        """Take note that there is no such service any more."""
        self.groups.leave(id)
        self._places.pop(id, None)

    def status(self, name: str) -> GroupStatus:
        """Return what there is to know of a group.

        Raises:
            UnknownService: When there is none of this name.
        """
        if name not in self.groups:
            known = ", ".join(self.groups.names()) or "none"
            raise UnknownService(f"there is no group {name!r}; made by Overseer.group: {known}")
        members, now = self.groups.members(name), self._host.clock.now()
        phase = self._rounds.phase(members) or ("up" if any(map(self._is_live, members)) else "down")
        return GroupStatus(
            name=name,
            phase=cast("Phase", phase),
            reason=self._news.get(name, ""),
            gave_up=name in self._given_up,
            members=members,
            restarts_left=self.groups.left(name, now),
            refills_in=self.groups.refills_in(name, now),
        )

    # What the tables of the members ask.

    def judge(
        self, id: str, what: str, *, now: float, ready_for: float | None
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        """Decide on an end after which a member is to be restarted; what follows is done once it has told its state."""
        joined = self._rounds.join(id, self.groups.home(id) or "")
        if joined is not None:
            return joined
        verdict = self.groups.fail(id, what, now=now, ready_for=ready_for, rng=self._host.rng)
        if isinstance(verdict, EndGroup) or len(verdict.members) > 1:
            self._rounds.plan(id, verdict)
        return verdict

    # What the members report.

    def hear(self, id: str, report: Transition | None) -> None:
        """Take note that a service has changed its state, or (None) that its program was started or does not die."""
        if report is not None and self.groups.home(id) is not None:
            if report.state is State.STARTING and report.previous is not State.BACKOFF:
                self._refresh(id, report)
            elif report.state.is_final:
                self._hear_end(id)
        self._rounds.begin()

    def _refresh(self, id: str, report: Transition) -> None:
        """Give fresh budgets to the groups of which this is the first member that runs."""
        if report.previous.is_live or self._rounds.concern(id):
            return
        idle = None
        name = self.groups.home(id)
        while name and not any(self._is_live(other) for other in self.groups.each(name) if other != id):
            idle, name = name, self.groups.get(name).parent
        if idle is not None:
            self._given_up -= set(self.groups.refresh(idle))

    def _is_live(self, id: str) -> bool:
        return id in self._services and self._services[id].state.is_live

    def _hear_end(self, id: str) -> None:
        service = self._services.get(id)
        if service is None or service.was_stopped or service.was_dismissed or service.gave_up is not None:
            return
        self._finish(id, id, service.status(lines=False).reason, is_group=False)

    def _finish(self, culprit: str, name: str, what: str, *, is_group: bool) -> None:
        verdict = self.groups.finish(
            name, what, is_group=is_group, live=self._is_live, now=self._host.clock.now(), rng=self._host.rng
        )
        if verdict is not None:
            self._rounds.plan(culprit, verdict)

    def awaited(self, id: str) -> list[Awaited]:
        """Return what a member waits for that its group has ended, or holds down, to start it again."""
        name = self.groups.home(id)
        return [] if name is None or not self._services[id].is_halted else self._rounds.awaited(id, name)

    # What is done, and told.

    def _on_begin(self, culprit: str, verdict: RestartTogether | EndGroup) -> None:
        service = self._services.get(culprit)
        if isinstance(verdict, RestartTogether):
            left = "" if verdict.left is None else f"; {verdict.left} restarts left"
            self._tell(culprit, verdict.group, f"restarts by {verdict.strategy}: {verdict.why}{left}")
            return
        _log.log(logging.ERROR if verdict.gave_up else logging.INFO, "%s", verdict.why)
        if verdict.group not in self.groups:  # a plain label
            return
        self._tell(culprit, verdict.group, verdict.why)
        if not verdict.gave_up or service is None:
            return
        self._given_up.add(verdict.group)
        error = GaveUp(
            verdict.why,
            id=verdict.group,
            status=service.status(lines=False),
            lines=last_lines([line.text for line in service.tail()]),
        )
        what = self.groups.get(verdict.group).on_give_up
        self._aftermath.follow(what, service, error)

    def _on_over(self, culprit: str, verdict: RestartTogether | EndGroup) -> None:
        group = verdict.group
        if group not in self.groups:
            return
        if isinstance(verdict, RestartTogether):
            self._tell(culprit, group, "has restarted")
        else:
            self._finish(culprit, group, "has ended", is_group=True)

    def _tell(self, culprit: str, group: str, what: str) -> None:
        prefix = f"group {group!r} "
        self._news[group] = what.removeprefix(prefix)
        self._host.hear_news(culprit, what if what.startswith(prefix) else prefix + what, "group")

    def follow(self, service: Service) -> None:
        """Do what is to follow a service that has ended for good by itself."""
        spec = service.spec
        # In a group it is the group that gives up, and its ``on_give_up`` that is followed.
        gave_up = service.gave_up if self.groups.home(service.id) is None else None
        for what in consequences(critical=spec.critical, on_give_up=spec.on_give_up, gave_up=gave_up is not None):
            if what == "stop" and spec.group:
                self._stop_label(service)
            else:
                self._aftermath.follow(what, service, gave_up)

    def _stop_label(self, service: Service) -> None:
        group = service.spec.group
        members = tuple(id for id, one in self._services.items() if one.spec.group == group and id != service.id)
        why = f"{service.id!r} gave up, and its group {group!r} is stopped with it"
        self._rounds.plan(service.id, EndGroup(group=group, members=members, gave_up=False, why=why))
        self._rounds.begin()

    # What the overseer says.

    def stand_down(self, *, stopping: int = 0) -> None:
        """Restart nothing more: all services are being stopped (+1), or have been (-1)."""
        self._rounds.stand_down(stopping=stopping)
        if stopping >= 0:
            for service in self._services.values():
                # What has ended before is stopped as well: no strategy is to bring it back later.
                if service.state.is_final and self.groups.home(service.id) is not None:
                    service.post(StopRequested())

    async def end(self) -> None:
        """Wait for what still follows: all services have been stopped. Bounded."""
        await self._aftermath.end()

    def forget_all(self) -> None:
        """Leave what is under way as it is: the overseer has been left, and may be entered again."""
        self._rounds.forget()
