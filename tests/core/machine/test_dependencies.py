"""Dependencies between services, against a naive model that only knows paths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer.core.errors import DependencyCycle, SpecError
from aioverseer.core.machine.dependencies import (
    CannotStart,
    DependencyGraph,
    DependencyState,
    MayStart,
    MustWait,
    decide,
)
from aioverseer.core.options.after import After, Until, as_after
from aioverseer.core.state import State

NAMES = "abcdef"
UNTILS: tuple[Until, ...] = get_args(Until)
EDGES = st.builds(After, st.sampled_from(NAMES), st.sampled_from(UNTILS), hard=st.booleans())
STATES = st.builds(
    DependencyState,
    state=st.sampled_from([state for state in State if state is not State.UNKNOWN]),
    started=st.booleans(),
    was_ready=st.booleans(),
    success=st.booleans(),
)


def unique(edges: list[After]) -> list[After]:
    """One edge to each name."""
    return list({edge.name: edge for edge in edges}.values())


GRAPHS = st.fixed_dictionaries({name: st.lists(EDGES, max_size=3).map(unique) for name in NAMES})
ACYCLIC = GRAPHS.map(lambda graph: {id: [e for e in edges if e.name < id] for id, edges in graph.items()})


def reaches(graph: dict[str, list[After]], start: str, goal: str, most: int = len(NAMES)) -> bool:
    """Whether a chain of at most so many edges leads from one to the other."""
    return most > 0 and any(e.name == goal or reaches(graph, e.name, goal, most - 1) for e in graph.get(start, ()))


def longest(graph: dict[str, list[After]], id: str) -> int:
    """The longest chain that starts there."""
    return max((1 + longest(graph, edge.name) for edge in graph[id]), default=0)


@given(graph=GRAPHS)
@settings(deadline=None)
def test_a_cycle_is_found_exactly_if_there_is_one(graph: dict[str, list[After]]) -> None:
    """And the path in the message is a circle of edges that exist."""
    circles = [id for id in NAMES if reaches(graph, id, id)]
    if not circles:
        DependencyGraph(graph)
        return
    with pytest.raises(DependencyCycle) as caught:
        DependencyGraph(graph)
    path: Any = caught.value.value
    assert path[0] == path[-1]
    assert len(path) == len(set(path)) + 1
    assert all(b in {edge.name for edge in graph[a]} for a, b in itertools.pairwise(path))
    assert " -> ".join(path) in str(caught.value)


@given(graph=ACYCLIC)
@settings(deadline=None)
def test_levels_are_the_longest_chains(graph: dict[str, list[After]]) -> None:
    """Upwards for the start, downwards for the stop; everybody once."""
    order = DependencyGraph(graph)
    needed: dict[str, list[After]] = {id: [] for id in NAMES}
    for id, edges in graph.items():
        for edge in edges:
            needed[edge.name].append(After(id))
    for levels, model in ((order.levels, graph), (order.stop_levels, needed)):
        assert {id: number for number, level in enumerate(levels) for id in level} == {
            id: longest(model, id) for id in NAMES
        }
        assert all(list(level) == sorted(level) and level for level in levels)


@given(edges=st.lists(EDGES, max_size=4).map(unique), states=st.dictionaries(st.sampled_from(NAMES), STATES))
@settings(max_examples=500)
def test_decisions_are_those_of_the_naive_model(edges: list[After], states: dict[str, DependencyState]) -> None:
    """It waits for what may still come, and is barred by what it needs and cannot come any more."""
    met: dict[str, Callable[[DependencyState], bool]] = {
        "started": lambda each: each.started or each.state is State.WAITING,
        "ready": lambda each: (
            each.state in (State.RUNNING, State.WAITING) or (each.state is State.FINISHED and each.was_ready)
        ),
        "finished": lambda each: each.state in (State.FINISHED, State.INTERRUPT, State.FATAL) and each.started,
        "success": lambda each: each.success,
    }
    over = {id for id, each in states.items() if each.state in (State.FINISHED, State.INTERRUPT, State.FATAL)}
    missing = [e for e in edges if e.name not in states or not met[e.until](states[e.name])]
    lost = [e for e in missing if e.hard and (e.name not in states or e.name in over)]
    hoped = [e for e in missing if e.name in states and e.name not in over]
    verdict = decide(edges, states)
    if lost:
        assert isinstance(verdict, CannotStart)
        assert tuple(lost) == verdict.edges
    elif hoped:
        assert MustWait(edges=tuple(hoped)) == verdict
    else:
        assert MayStart() == verdict


@given(graph=ACYCLIC, data=st.data())
@settings(deadline=None, max_examples=200)
def test_each_service_is_started_or_refused(graph: dict[str, list[After]], data: st.DataObject) -> None:
    """In any order and with any failures, each service is started once, after its dependencies, or refused."""
    states = {id: DependencyState(state=State.STARTING) for id in NAMES}
    live: set[str] = set()
    open_ones = set(NAMES)
    for _ in range(100):
        for id in sorted(open_ones):
            match decide(graph[id], states):
                case MayStart():
                    open_ones.discard(id)
                    live.add(id)
                case CannotStart(edges=edges):
                    assert all(states[edge.name].state.is_final for edge in edges)
                    open_ones.discard(id)
                    states[id] = DependencyState(state=State.FATAL)
                case MustWait(edges=edges):
                    assert all(not states[edge.name].state.is_final for edge in edges)
        if not live:
            break
        id = data.draw(st.sampled_from(sorted(live)))
        now = states[id]
        if not now.started:
            dies = data.draw(st.booleans())
            states[id] = (
                DependencyState(state=State.FATAL) if dies else DependencyState(state=State.STARTING, started=True)
            )
        elif not now.was_ready:
            states[id] = DependencyState(state=State.RUNNING, started=True, was_ready=True)
        else:
            success = data.draw(st.booleans())
            state = State.FINISHED if success else data.draw(st.sampled_from([State.INTERRUPT, State.FINISHED]))
            states[id] = DependencyState(state=state, started=True, was_ready=True, success=success)
        if states[id].state.is_final:
            live.discard(id)
    assert set() == open_ones


def test_an_unknown_name_is_refused_with_its_path() -> None:
    """Unless it is not needed."""
    with pytest.raises(SpecError, match=re.escape("(path: web -> db)")):
        DependencyGraph({"web": [After("db")]})
    assert (("web",),) == DependencyGraph({"web": [After("db", hard=False)]}).levels


def test_the_shortest_cycle_is_shown() -> None:
    """Of several, the one that is read most easily."""
    needs = {"a": [After("b")], "b": [After("c")], "c": [After("a"), After("d")], "d": [After("c", hard=False)]}
    with pytest.raises(DependencyCycle, match="c -> d -> c"):
        DependencyGraph(needs)


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        ("db", (After("db"),)),
        (After("db", "started"), (After("db", "started"),)),
        (["db", After("x", hard=False)], (After("db"), After("x", hard=False))),
        ({"migrate": "success"}, (After("migrate", "success"),)),
        ((), ()),
    ],
)
def test_the_option_has_several_forms(given_value: Any, kept: tuple[After, ...]) -> None:
    """A name, an After, a list of them, a dict."""
    assert kept == as_after(given_value, owner="web")


def test_refused_values_of_after_are_named() -> None:
    """Each value by its name; and a service that waits for itself is the smallest circle."""
    with pytest.raises(DependencyCycle, match="names the service itself"):
        as_after("web", owner="web")
    bad: list[dict[str, Any]] = [
        {"name": ""}, {"name": 5}, {"name": "x", "until": "up"}, {"name": "x", "on_end": "restart"},
        {"name": "x", "on_restart": "stop"}, {"name": "x", "hard": "yes"},
    ]  # fmt: skip
    for options in bad:
        with pytest.raises(SpecError, match=list(options)[-1]):
            After(**options)
