"""The order of services: who waits for whom, for what, and who may start now.

Values and pure decisions. ``_engine/overseer/dependencies.py`` asks and acts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.options.after import After, Until
from aioverseer.core.state import State

__all__ = ["CannotStart", "DependencyGraph", "DependencyState", "MayStart", "MustWait", "Verdict", "decide"]


@dataclass(slots=True, kw_only=True)
class DependencyState:
    """What there is to know of a service that others wait for.

    Attributes:
        state: Where it is.
        started: Whether a program of it has been started since it was last started.
        readied: Whether it has been ready since then.
        success: Whether it has finished by itself, as a success.
        unstoppable: Whether its program is still there after its whole ladder, so that nothing is to be expected of it.
    """

    state: State
    started: bool = False
    readied: bool = False
    success: bool = False
    unstoppable: bool = False


@dataclass(slots=True, kw_only=True)
class MayStart:
    """It may be started now."""


@dataclass(slots=True, kw_only=True)
class MustWait:
    """It has to wait for these."""

    edges: tuple[After, ...]

    def __str__(self) -> str:
        """Return the reason of a state."""
        return f"waits for {', '.join(map(str, self.edges))}"


@dataclass(slots=True, kw_only=True)
class CannotStart:
    """It can never be started, as these cannot come true any more."""

    edges: tuple[After, ...]
    states: tuple[State, ...]
    unstoppable: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return the reason of a state."""
        why = (
            f"{edge}, which {'does not die' if edge.name in self.unstoppable else f'is {state}'}"
            for edge, state in zip(self.edges, self.states, strict=True)
        )
        return f"cannot be started: it waited for {', and for '.join(why)}"


Verdict = MayStart | MustWait | CannotStart


class DependencyGraph:
    """Who waits for whom; made when a set is started, of what is registered then.

    Attributes:
        levels: The names by levels: each waits for names of earlier levels only; sorted within a level.
        stop_levels: The names by levels, for a stop: whoever is needed ends in a later level than those that need it.
    """

    def __init__(self, needs: Mapping[str, Iterable[After]]) -> None:
        """Check and sort.

        Args:
            needs: What each service waits for.

        Raises:
            SpecError: When a service needs one that there is not.
            DependencyCycle: When services wait for each other in a circle; the message writes it out.
        """
        known: dict[str, tuple[After, ...]] = {}
        for id, edges in needs.items():
            for edge in edges:
                if edge.hard and edge.name not in needs:
                    raise SpecError(
                        f"service {id!r}: after={edge.name!r} is not registered: add it, or pass "
                        f"After({edge.name!r}, hard=False) (path: {id} -> {edge.name})",
                        option="after",
                        value=edge.name,
                    )
            known[id] = tuple(edge for edge in edges if edge.name in needs)
        before = {id: [edge.name for edge in edges] for id, edges in known.items()}
        behind: dict[str, list[str]] = {id: [] for id in known}
        for id, names in before.items():
            for name in names:
                behind[name].append(id)
        self.levels = self._sorted(before, behind)
        self.stop_levels = self._sorted(behind, before)

    def _sorted(self, before: Mapping[str, list[str]], behind: Mapping[str, list[str]]) -> tuple[tuple[str, ...], ...]:
        """Sort by the longest chain that leads to each."""
        left = {id: len(names) for id, names in before.items()}
        level = [id for id, count in left.items() if count == 0]
        levels: list[tuple[str, ...]] = []
        while level:
            levels.append(tuple(sorted(level)))
            following: list[str] = []
            for id in level:
                del left[id]
                for name in behind[id]:
                    left[name] -= 1
                    if left[name] == 0:
                        following.append(name)
            level = following
        if left:
            path = _circle({id: [name for name in before[id] if name in left] for id in left})
            raise DependencyCycle(
                f"services wait for each other in a circle: {' -> '.join(path)}: take one after= away",
                option="after",
                value=path,
            )
        return tuple(levels)


def decide(edges: Iterable[After], facts: Mapping[str, DependencyState]) -> Verdict:
    """Return whether a service may be started now.

    Args:
        edges: What it waits for.
        facts: Of all services that it waits for; one that is not registered is left out.
    """
    waits: list[After] = []
    bars: list[After] = []
    for edge in edges:
        came = _came_true(edge.until, facts[edge.name]) if edge.name in facts else False
        if came is None:
            waits.append(edge)
        elif not came and edge.hard:
            bars.append(edge)
    if bars:
        nowhere = DependencyState(state=State.UNKNOWN)
        known = [facts.get(edge.name, nowhere) for edge in bars]
        unstoppable = frozenset(edge.name for edge, fact in zip(bars, known, strict=True) if fact.unstoppable)
        return CannotStart(edges=tuple(bars), states=tuple(fact.state for fact in known), unstoppable=unstoppable)
    return MustWait(edges=tuple(waits)) if waits else MayStart()


def _came_true(until: Until, fact: DependencyState) -> bool | None:
    """Return True when it has, False when it cannot any more, and None while it may."""
    match until:
        case "started":
            came = fact.started
        case "ready":
            came = fact.state is State.RUNNING or (fact.readied and fact.state is State.FINISHED)
        case "finished":
            came = fact.state.is_final and fact.started
        case "success":
            came = fact.success
    if came:
        return True
    return False if fact.state.is_final or fact.unstoppable else None


def _circle(before: Mapping[str, list[str]]) -> list[str]:
    """Return a shortest circle, closed, from its first name; there is one."""
    best: list[str] = []
    for start in sorted(before):
        found = _shortest_way_back(start, before)
        if found and (not best or len(found) < len(best)):
            best = found
    return best


def _shortest_way_back(start: str, before: Mapping[str, list[str]]) -> list[str]:
    paths = [(1, [start])]
    seen: set[str] = set()
    while paths:
        length, path = heapq.heappop(paths)
        for name in sorted(before[path[-1]]):
            if name == start:
                return [*path, name]
            if name not in seen:
                seen.add(name)
                heapq.heappush(paths, (length + 1, [*path, name]))
    return []
