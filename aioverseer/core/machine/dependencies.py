"""The dependency graph of services, and the decision whether a service may start."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.options.after import After, Until
from aioverseer.core.state import State

__all__ = [
    "CannotStart",
    "DependencyGraph",
    "DependencyState",
    "MayStart",
    "MustWait",
    "StartVerdict",
    "decide",
    "has_schedule",
    "is_met",
]


@dataclass(slots=True, kw_only=True)
class DependencyState:
    """State of a service as far as its dependents need it.

    Attributes:
        state: State of the service.
        started: Whether its program has been started since the last start of the service.
        was_ready: Whether it has been ready since then.
        success: Whether it has finished by itself, as a success.
        unstoppable: Whether its program is still there after its whole ladder, so that its state will not change.
        failure: How its program ended, if it has finished and is no success; empty otherwise.
    """

    state: State
    started: bool = False
    was_ready: bool = False
    success: bool = False
    unstoppable: bool = False
    failure: str = ""


@dataclass(slots=True, kw_only=True)
class MayStart:
    """Verdict: the service may be started now."""


@dataclass(slots=True, kw_only=True)
class MustWait:
    """Verdict: the service must wait for these dependencies."""

    edges: tuple[After, ...]

    def __str__(self) -> str:
        """Return the verdict as the reason of a state."""
        return f"waits for {', '.join(map(str, self.edges))}"


@dataclass(slots=True, kw_only=True)
class CannotStart:
    """Verdict: the service cannot be started, as these hard dependencies can no longer be met."""

    edges: tuple[After, ...]
    states: tuple[DependencyState, ...]

    def __str__(self) -> str:
        """Return the verdict as the reason of a state."""
        why = (
            f"{edge}, which {'does not die' if state.unstoppable else state.failure or f'is {state.state}'}"
            for edge, state in zip(self.edges, self.states, strict=True)
        )
        return f"cannot be started: it waited for {', and for '.join(why)}"


StartVerdict = MayStart | MustWait | CannotStart
"""Verdict on the start of a service."""


class DependencyGraph:
    """Dependencies between the services that are registered when a set is started.

    Attributes:
        levels: Ids by levels: a service depends on services of earlier levels only. Sorted inside a level.
        stop_levels: Ids by levels for a stop: a service stops in a later level than the services that depend on it.
    """

    def __init__(self, needs: Mapping[str, Iterable[After]]) -> None:
        """Check the dependencies and sort the services.

        Args:
            needs: Dependencies of each service.

        Raises:
            SpecError: If a hard dependency names a service that is not registered.
            DependencyCycle: If services wait for each other in a cycle; the message names the path.
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
        after: dict[str, list[str]] = {id: [] for id in known}
        for id, names in before.items():
            for name in names:
                after[name].append(id)
        self.levels = self._sorted(before, after)
        self.stop_levels = self._sorted(after, before)

    def without(self, names: Collection[str]) -> Self:
        """Return the graph without some names, which stand for several services and are none themselves."""
        graph = copy.copy(self)
        for attribute in ("levels", "stop_levels"):
            levels: tuple[tuple[str, ...], ...] = getattr(self, attribute)
            left = (tuple(id for id in level if id not in names) for level in levels)
            setattr(graph, attribute, tuple(level for level in left if level))
        return graph

    def _sorted(self, before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> tuple[tuple[str, ...], ...]:
        """Sort ids by the length of the longest chain that leads to each."""
        left = {id: len(names) for id, names in before.items()}
        level = [id for id, count in left.items() if count == 0]
        levels: list[tuple[str, ...]] = []
        while level:
            levels.append(tuple(sorted(level)))
            following: list[str] = []
            for id in level:
                del left[id]
                for name in after[id]:
                    left[name] -= 1
                    if left[name] == 0:
                        following.append(name)
            level = following
        if left:
            path = _cycle({id: [name for name in before[id] if name in left] for id in left})
            raise DependencyCycle(
                f"services wait for each other in a circle: {' -> '.join(path)}: take one after= away",
                option="after",
                value=path,
            )
        return tuple(levels)


def decide(edges: Iterable[After], states: Mapping[str, DependencyState]) -> StartVerdict:
    """Decide whether a service may be started now.

    Args:
        edges: Dependencies of the service.
        states: States of the services that it depends on; those that are not registered are absent.
    """
    waits: list[After] = []
    unmet: list[After] = []
    for edge in edges:
        met = is_met(edge.until, states[edge.name]) if edge.name in states else False
        if met is None:
            waits.append(edge)
        elif not met and edge.hard:
            unmet.append(edge)
    if unmet:
        missing = DependencyState(state=State.UNKNOWN)
        return CannotStart(edges=tuple(unmet), states=tuple(states.get(edge.name, missing) for edge in unmet))
    return MustWait(edges=tuple(waits)) if waits else MayStart()


def has_schedule(id: str, name: str) -> SpecError:
    """Return the error about a service that depends on one with a schedule.

    Args:
        id: The service.
        name: The service with a schedule.
    """
    return SpecError(
        f"service {id!r}: after={name!r} has a schedule, so there is no moment to wait for: take after= away",
        option="after",
        value=name,
    )


def is_met(until: Until, dependency: DependencyState) -> bool | None:
    """Return True if the condition is met, False if it no longer can be, and None while it still can."""
    match until:
        case "started":
            met = dependency.started or dependency.state is State.WAITING
        case "ready":
            met = dependency.state.is_up or (dependency.was_ready and dependency.state is State.FINISHED)
        case "finished":
            met = dependency.state.is_final and dependency.started
        case "success":
            met = dependency.success
    if met:
        return True
    return False if dependency.state.is_final or dependency.unstoppable else None


def _cycle(before: Mapping[str, list[str]]) -> list[str]:
    """Return a shortest cycle as a closed path from its first name; the graph has a cycle."""
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
