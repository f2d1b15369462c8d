"""When a run must be replaced: by its memory over a time, or by its age with a spread."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Recycle, SpecError
from aioverseer.core.machine.recycling import RecycleRule, pause_between_looks

MIB = 1 << 20


def rule(option: Recycle, *, began: float = 0.0) -> RecycleRule:
    return RecycleRule(option, began=began, rng=random.Random(1))


def test_memory_must_be_above_its_limit_for_the_whole_time() -> None:
    it = rule(Recycle(memory=10 * MIB, hold=30))
    assert ["", "", ""] == [it.look(11 * MIB, now) for now in (0, 15, 29.9)]
    assert "" == it.look(10 * MIB, 30)
    assert ["", ""] == [it.look(11 * MIB, now) for now in (31, 60)]
    assert "its memory is 12.0 MiB, above 10.0 MiB for 30 s" == it.look(12 * MIB, 61)


def test_memory_without_a_time_counts_at_once() -> None:
    assert "its memory is 2.0 MiB, above 1.0 MiB" == rule(Recycle(memory=MIB, hold=0)).look(2 * MIB, 5)


def test_age_alone_looks_at_no_memory() -> None:
    assert "" == rule(Recycle(age=10)).look(1 << 40, 5)


@given(st.integers(), st.floats(0, 0.99))
def test_age_is_within_its_spread(seed: int, spread: float) -> None:
    it = RecycleRule(Recycle(age=100, spread=spread), began=7, rng=random.Random(seed))
    assert it.due is not None
    assert 7 + 100 * (1 - spread) <= it.due <= 7 + 100 * (1 + spread)
    assert "" == it.grow_old(it.due - 0.001)
    assert it.grow_old(it.due).startswith("it is older than 100 s")


def test_looks_follow_the_shortest_time() -> None:
    assert pause_between_looks([Recycle(age=5)]) is None
    assert 5.0 == pause_between_looks([Recycle(memory=1, hold=15), Recycle(memory=1), Recycle(age=5)])
    assert [0.5, 10.0] == [pause_between_looks([Recycle(memory=1, hold=hold)]) for hold in (0, 300)]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "leaves no limit"),
        ({"memory": 0}, "memory=0"),
        ({"memory": 1, "hold": -1}, "hold=-1"),
        ({"age": 0}, "age=0"),
        ({"age": 5, "spread": 1}, "spread=1 is no part"),
        ({"max_memory": 5}, "write memory="),
    ],
)
def test_options_are_checked(options: dict[str, float], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        Recycle(**options)  # type: ignore[arg-type]  # on purpose
