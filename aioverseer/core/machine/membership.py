"""Membership of a service in a group with a strategy, and the verdicts of such a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aioverseer.core.machine.table import Value

if TYPE_CHECKING:  # spares an import: few applications have groups
    from aioverseer.core.options.group import Strategy

__all__ = ["AlreadyRestarting", "EndGroup", "GroupMembership", "RestartTogether"]


class RestartTogether(Value):
    """Verdict: stop these members in reverse order and, after a delay, start them again in order.

    Attributes:
        group: Name of the group whose strategy decides.
        strategy: Strategy of that group.
        members: Ids of all services that are stopped, the failed one included, in order.
        anew: Ids of the services that are started again; the others end for good.
        delay: Seconds until the first of them is started.
        left: Number of restarts that the budget still allows; None is no limit.
        why: Which service failed, and how; one sentence.
    """

    __slots__ = ("anew", "delay", "group", "left", "members", "strategy", "why")

    def __init__(
        self,
        *,
        group: str,
        strategy: Strategy,
        members: tuple[str, ...],
        anew: frozenset[str],
        delay: float,
        left: int | None,
        why: str,
    ) -> None:
        self.group = group
        self.strategy: Strategy = strategy
        self.members = members
        self.anew = anew
        self.delay = delay
        self.left = left
        self.why = why

    def alone(self, id: str) -> RestartTogether:
        """Return the same verdict for one member alone: no other member is stopped or started.

        Args:
            id: Id of the member that failed.
        """
        return RestartTogether(
            group=self.group,
            strategy=self.strategy,
            members=(id,),
            anew=frozenset({id}),
            delay=self.delay,
            left=self.left,
            why=self.why,
        )


class AlreadyRestarting(Value):
    """Verdict: a restart of the group is under way and takes this service along. It costs no restart."""

    __slots__ = ("group",)

    def __init__(self, *, group: str) -> None:
        self.group = group


class EndGroup(Value):
    """Verdict: the group ends, and its members are stopped in reverse order.

    Attributes:
        group: Name of the group.
        members: Ids of all members, in order.
        gave_up: Whether the budget of the group is spent; else a significant member has ended.
        why: Reason, one sentence.
    """

    __slots__ = ("gave_up", "group", "members", "why")

    def __init__(self, *, group: str, members: tuple[str, ...], gave_up: bool, why: str) -> None:
        self.group = group
        self.members = members
        self.gave_up = gave_up
        self.why = why


class GroupMembership(Protocol):
    """Membership of a service in a group. The group judges the ends of the service by its own shared budget."""

    def judge(
        self, what: str, *, now: float, ready_for: float | None, hopeless: bool
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        """Decide what follows an end for which the service would be restarted; the group ends if it is hopeless."""
        ...

    def left(self, now: float) -> int | None:
        """Return the number of restarts that are allowed now; None is no limit."""
        ...

    def refills_in(self, now: float) -> float | None:
        """Return the seconds until one more restart is allowed, or None if that never happens."""
        ...
