"""Groups of services with a shared restart budget and a strategy, as in the supervisors of Erlang/OTP.

The rules are those of OTP's supervisor documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from aioverseer.core.clock import Rng
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.budget import Budget, Spent
from aioverseer.core.machine.membership import EndGroup, RestartTogether
from aioverseer.core.options.group import Group
from aioverseer.core.options.restart import When

__all__ = ["Groups", "in_order"]


def in_order(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return names sorted so that each comes after the names it needs, and otherwise in their given order.

    Args:
        names: Names to sort.
        needs: Names that each name needs, including names between two of those to sort; without a cycle.
    """
    wanted = dict.fromkeys(names)
    placed: dict[str, None] = {}
    seen: set[str] = set()
    for first in wanted:
        # No recursion, as chains may be long: a name is placed when it is taken from the stack for the second time.
        stack = [(first, False)]
        while stack:
            name, is_done = stack.pop()
            if is_done:
                if name in wanted:
                    placed[name] = None
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((need, False) for need in reversed(list(needs.get(name, ()))))
    return list(placed)


@dataclass(slots=True)
class _Member:
    """Member of a group: a service, or a group inside it."""

    name: str
    is_group: bool
    place: int
    when: When
    significant: bool


class _Node:
    """Group with its budget and its members."""

    __slots__ = ("budget", "children", "group", "place")

    def __init__(self, group: Group, place: int) -> None:
        self.group = group
        self.place = place
        self.budget = Budget(group.restart)
        self.children: dict[tuple[bool, str], _Member] = {}

    def in_place(self) -> list[_Member]:
        return sorted(self.children.values(), key=lambda member: member.place)


class Groups:
    """All groups of an overseer, with their members and budgets. Returns verdicts and performs nothing."""

    def __init__(self) -> None:
        """Begin without groups."""
        self._nodes: dict[str, _Node] = {}
        self._homes: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        """Return whether there is a group of this name."""
        return name in self._nodes

    def get(self, name: str) -> Group:
        """Return the group of this name."""
        return self._nodes[name].group

    def add(self, group: Group, place: int) -> None:
        """Add a group. Its parent must exist already, so there can be no cycle.

        Args:
            group: Group to add.
            place: Place among its siblings; a higher number is later.

        Raises:
            SpecError: If the name is taken, or the parent does not exist.
        """
        if group.name in self._nodes:
            raise group.refuse("name", "is taken: there is such a group already")
        if group.parent:
            if group.parent not in self._nodes:
                known = ", ".join(sorted(self._nodes)) or "none"
                raise group.refuse("parent", f"is no group: make it first; there are: {known}")
            parent = self._nodes[group.parent]
            if group.significant and parent.group.auto_shutdown == "never":
                raise group.refuse("significant", f"means nothing in {group.parent!r}, which has auto_shutdown='never'")
            parent.children[True, group.name] = _Member(
                group.name, is_group=True, place=place, when=group.restart.when, significant=group.significant
            )
        self._nodes[group.name] = _Node(group, place)

    def check(self, id: str, group: str, *, significant: bool) -> None:
        """Check that ``significant`` has a meaning in the group of a service.

        Raises:
            SpecError: Naming the service, if it has none.
        """
        node = self._nodes.get(group)
        if significant and node is not None and node.group.auto_shutdown == "never":
            raise SpecError(
                f"service {id!r}: significant=True means nothing in {group!r}, which has auto_shutdown='never'",
                option="significant",
                value=True,
            )

    def join(self, id: str, group: str, *, place: int, when: When, significant: bool) -> None:
        """Move a service into this group; into none if there is no such group."""
        self.leave(id)
        if group in self._nodes:
            self._homes[id] = group
            self._nodes[group].children[False, id] = _Member(
                id, is_group=False, place=place, when=when, significant=significant
            )

    def leave(self, id: str) -> None:
        """Remove a service from its group."""
        home = self._homes.pop(id, None)
        if home is not None:
            del self._nodes[home].children[False, id]

    def home(self, id: str) -> str | None:
        """Return the name of the group of a service."""
        return self._homes.get(id)

    def top(self, name: str) -> str:
        """Return the name of the outermost group around a group."""
        while parent := self._nodes[name].group.parent:
            name = parent
        return name

    def members(self, name: str) -> tuple[str, ...]:
        """Return the services in a group and in the groups inside it, in order."""
        found: list[str] = []
        stack = list(reversed(self._nodes[name].in_place()))
        while stack:
            member = stack.pop()
            if member.is_group:
                stack.extend(reversed(self._nodes[member.name].in_place()))
            else:
                found.append(member.name)
        return tuple(found)

    def each(self, name: str) -> Iterator[str]:
        """Yield the services in a group and in the groups inside it, in any order, for ``any()``."""
        stack = [name]
        while stack:
            for member in self._nodes[stack.pop()].children.values():
                if member.is_group:
                    stack.append(member.name)
                else:
                    yield member.name

    def names(self) -> list[str]:
        """Return the names of all groups, sorted."""
        return sorted(self._nodes)

    def left(self, name: str, now: float) -> int | None:
        """Return the number of restarts that a group is allowed now; None is no limit."""
        return self._nodes[name].budget.left(now)

    def refills_in(self, name: str, now: float) -> float | None:
        """Return the seconds until a group is allowed one more restart, or None if that never happens."""
        return self._nodes[name].budget.refills_in(now)

    def refresh(self, name: str) -> list[str]:
        """Give a group and the groups inside it fresh budgets; return their names."""
        stack, names = [name], list[str]()
        while stack:
            names.append(stack.pop())
            node = self._nodes[names[-1]]
            node.budget = Budget(node.group.restart)
            stack.extend(member.name for member in node.children.values() if member.is_group)
        return names

    def fail(
        self, id: str, what: str, *, now: float, ready_for: float | None, rng: Rng | None
    ) -> RestartTogether | EndGroup:
        """Decide on a service that has ended and will be restarted, and count the restart.

        A group with a spent budget is a failed member of its parent, whose budget and strategy then decide.

        Args:
            id: Id of a service in a group.
            what: Description of its end.
            now: Monotonic seconds.
            ready_for: Seconds for which the run was ready; None if it never was.
            rng: Source of random numbers for the backoff.
        """
        node = self._nodes[self._homes[id]]
        return self._climb(node, node.children[False, id], f"{id!r} {what}", now=now, ready_for=ready_for, rng=rng)

    def _climb(
        self, node: _Node, child: _Member, why: str, *, now: float, ready_for: float | None, rng: Rng | None
    ) -> RestartTogether | EndGroup:
        while True:
            verdict = node.budget.spend(now=now, ready_for=ready_for, rng=rng)
            group = node.group
            if not isinstance(verdict, Spent):
                return self._together(node, child, delay=verdict.delay, left=verdict.left, why=why)
            why = f"group {group.name!r} gave up: {why}, and {verdict}"
            if not group.parent or group.restart.when == "never":
                ended = EndGroup(group=group.name, members=self.members(group.name), gave_up=True, why=why)
                self.refresh(group.name)
                return ended
            node, child = self._nodes[group.parent], self._nodes[group.parent].children[True, group.name]

    def end_for(self, id: str, what: str) -> EndGroup:
        """Decide on a service that no restart can start: its group gives up, and so do all groups around that one.

        Args:
            id: Id of a service in a group.
            what: Description of its failure.
        """
        node = self._nodes[self._homes[id]]
        why = f"group {node.group.name!r} gave up: {id!r} {what}"
        while node.group.parent and node.group.restart.when != "never":
            node = self._nodes[node.group.parent]
            why = f"group {node.group.name!r} gave up: {why}"
        name = node.group.name
        ended = EndGroup(group=name, members=self.members(name), gave_up=True, why=why)
        self.refresh(name)
        return ended

    def _together(self, node: _Node, child: _Member, *, delay: float, left: int | None, why: str) -> RestartTogether:
        children = node.in_place()
        match node.group.strategy:
            case "one_for_one":
                children = [child]
            case "one_for_all":
                pass
            case "rest_for_one":
                children = [member for member in children if member.place >= child.place]
        members: list[str] = []
        anew: list[str] = []
        for member in children:
            if member.is_group:
                self.refresh(member.name)
            names = self.members(member.name) if member.is_group else (member.name,)
            members += names
            # A member with when="never" is not started again, unless its own end forces it (force_codes).
            if member.when != "never" or member is child:
                anew += names
        return RestartTogether(
            group=node.group.name,
            strategy=node.group.strategy,
            members=tuple(members),
            anew=frozenset(anew),
            delay=delay,
            left=left,
            why=why,
        )

    def finish(
        self, name: str, what: str, *, is_group: bool, live: Callable[[str], bool], now: float, rng: Rng | None
    ) -> RestartTogether | EndGroup | None:
        """Decide on a member that has ended by itself and is not restarted.

        Args:
            name: Name of the member.
            what: Description of its end.
            is_group: Whether the member is a group.
            live: Returns whether a service is live.
            now: Monotonic seconds.
            rng: Source of random numbers for the backoff.

        Returns:
            Verdict for its group, or for a group around that; None if nothing follows.
        """
        home = self._nodes[name].group.parent if is_group else self._homes.get(name, "")
        if not home:
            return None
        node = self._nodes[home]
        if not node.children[is_group, name].significant:
            return None
        group = node.group
        others = [member for key, member in node.children.items() if member.significant and key != (is_group, name)]
        if group.auto_shutdown == "all_significant" and any(self._is_live(member, live) for member in others):
            return None
        subject = f"group {name!r}" if is_group else repr(name)
        why = f"group {group.name!r} has ended: {subject} {what}, and is significant"
        members = self.members(group.name)
        if group.parent and group.restart.when == "always":
            self.refresh(group.name)
            parent = self._nodes[group.parent]
            return self._climb(parent, parent.children[True, group.name], why, now=now, ready_for=None, rng=rng)
        self.refresh(group.name)
        return EndGroup(group=group.name, members=members, gave_up=False, why=why)

    def _is_live(self, member: _Member, live: Callable[[str], bool]) -> bool:
        return any(map(live, self.each(member.name))) if member.is_group else live(member.name)
