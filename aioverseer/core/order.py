"""The order of services: who waits for whom, for what, and who may start now.

Values and pure decisions. ``ordering.py`` asks and acts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.state import State

__all__ = ["After", "Barred", "Fact", "Go", "Order", "Until", "Verdict", "Wait", "as_after", "decide"]

Until = Literal["started", "ready", "finished", "success"]
"""What is waited for: see ``After``."""


@dataclass(frozen=True, slots=True, init=False)
class After:
    """That a service is started after another one, and what the other's later fate means for it.

    Attributes:
        name: The other service.
        until: ``"started"``: its program has been started. ``"ready"``: it is ready, or has been and has then finished.
            ``"finished"``: it has ended for good, however. ``"success"``: it has finished by itself, as a success.
        hard: Whether it is needed. When what is waited for cannot come true any more, a service that needs it is not
            started and ends FATAL; one that does not is started then. What is not needed need not be registered either.
        on_restart: What a new run of the other does to this one, once it is ready: nothing, or a restart.
        on_end: What the end of the other for good, or its stop, does to this one: nothing, or a stop. An end that was
            waited for (``"finished"``, ``"success"``) does nothing.
    """

    name: str
    until: Until
    hard: bool
    on_restart: Literal["ignore", "restart"]
    on_end: Literal["ignore", "stop"]

    def __init__(
        self,
        name: str,
        until: Until = "ready",
        *,
        hard: bool = True,
        on_restart: Literal["ignore", "restart"] = "ignore",
        on_end: Literal["ignore", "stop"] = "ignore",
    ) -> None:
        """Make the value.

        Raises:
            SpecError: Naming the argument and the value that cannot be.
        """
        if not isinstance(name, str) or not name:
            raise SpecError(f"After: name={name!r} is no name of a service", option="after", value=name)
        for option, value, known in (
            ("until", until, get_args(Until)),
            ("on_restart", on_restart, ("ignore", "restart")),
            ("on_end", on_end, ("ignore", "stop")),
            ("hard", hard, (True, False)),
        ):
            if value not in known:
                raise SpecError(
                    f"After({name!r}): {option}={value!r} is unknown: pass {' or '.join(map(repr, known))}",
                    option="after",
                    value=value,
                )
        settle = object.__setattr__
        settle(self, "name", name)
        settle(self, "until", until)
        settle(self, "hard", bool(hard))
        settle(self, "on_restart", on_restart)
        settle(self, "on_end", on_end)

    def __str__(self) -> str:
        """Return what is waited for, as words of a sentence."""
        return f"{self.name!r} {_WORDS[self.until]}"


_WORDS = {
    "started": "to be started",
    "ready": "to be ready",
    "finished": "to end",
    "success": "to end as a success",
}


def as_after(value: Any, *, owner: str) -> tuple[After, ...]:
    """Read the option ``after``: a name, an After, a list of them, or a dict of names to what is waited for.

    Args:
        value: What was given.
        owner: Id of the service.

    Raises:
        SpecError: When that is none of these, or names one twice, or the service itself.
    """
    shown: object = value
    items: list[After] = []
    if isinstance(value, Mapping):
        try:
            items = [After(name, until) for name, until in cast("Mapping[str, Until]", value).items()]
        except SpecError as error:
            raise _refused(owner, shown, f"is not understood: {error}") from None
    else:
        given = [value] if isinstance(value, str | After) else value
        if not isinstance(given, Iterable):
            raise _refused(owner, shown, 'is not understood: pass "db", ["db", "cache"] or {"migrate": "success"}')
        for item in cast("Iterable[object]", given):
            if not isinstance(item, str | After):
                raise _refused(owner, shown, f"holds {item!r}, which is no name of a service: pass a str or an After")
            items.append(item if isinstance(item, After) else After(item))
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise _refused(owner, shown, f"names {name!r} twice")
    if owner in names:
        raise DependencyCycle(f"service {owner!r}: after={owner!r} is itself", option="after", value=owner)
    return tuple(items)


def _refused(owner: str, value: object, why: str) -> SpecError:
    return SpecError(f"service {owner!r}: after={value!r} {why}", option="after", value=value)


@dataclass(slots=True, kw_only=True)
class Fact:
    """What there is to know of a service that others wait for.

    Attributes:
        state: Where it is.
        started: Whether a program of it has been started since it was last started.
        readied: Whether it has been ready since then.
        success: Whether it has finished by itself, as a success.
        stuck: Whether its program is still there after its whole ladder, so that nothing is to be expected of it.
    """

    state: State
    started: bool = False
    readied: bool = False
    success: bool = False
    stuck: bool = False


@dataclass(slots=True, kw_only=True)
class Go:
    """It may be started now."""


@dataclass(slots=True, kw_only=True)
class Wait:
    """It has to wait for these."""

    edges: tuple[After, ...]

    def __str__(self) -> str:
        """Return the reason of a state."""
        return f"waits for {', '.join(map(str, self.edges))}"


@dataclass(slots=True, kw_only=True)
class Barred:
    """It can never be started, as these cannot come true any more."""

    edges: tuple[After, ...]
    states: tuple[State, ...]
    stuck: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return the reason of a state."""
        why = (
            f"{edge}, which {'does not die' if edge.name in self.stuck else f'is {state}'}"
            for edge, state in zip(self.edges, self.states, strict=True)
        )
        return f"cannot be started: it waited for {', and for '.join(why)}"


Verdict = Go | Wait | Barred


class Order:
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


def decide(edges: Iterable[After], facts: Mapping[str, Fact]) -> Verdict:
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
        nowhere = Fact(state=State.UNKNOWN)
        known = [facts.get(edge.name, nowhere) for edge in bars]
        stuck = frozenset(edge.name for edge, fact in zip(bars, known, strict=True) if fact.stuck)
        return Barred(edges=tuple(bars), states=tuple(fact.state for fact in known), stuck=stuck)
    return Wait(edges=tuple(waits)) if waits else Go()


def _came_true(until: Until, fact: Fact) -> bool | None:
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
    return False if fact.state.is_final or fact.stuck else None


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
