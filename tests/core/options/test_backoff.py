from __future__ import annotations

import copy
import math
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioverseer
from aioverseer.core.errors import SpecError
from aioverseer.core.options import backoff as module
from aioverseer.core.options.backoff import Backoff, use_rng


class Chance:
    """A source of random numbers that always gives the same part of what is asked for."""

    def __init__(self, part: float) -> None:
        self.part = part
        self.asked: list[tuple[float, float]] = []

    def random(self) -> float:
        """Return the part."""
        return self.part

    def uniform(self, a: float, b: float, /) -> float:
        """Note what is asked for, and return the part of it."""
        self.asked.append((a, b))
        return a + (b - a) * self.part


def test_the_defaults_are_those_of_the_go_library() -> None:
    """A tenth of a second, doubled up to ten seconds, without jitter."""
    backoff = Backoff()
    assert (0.1, 10.0, 2.0, False) == (backoff.min, backoff.max, backoff.factor, backoff.jitter)


def test_delays_grow_by_the_factor_up_to_the_cap() -> None:
    """The cap holds the delay itself, in seconds (B19)."""
    backoff = Backoff(min=1, max=25, factor=3)
    assert [1, 3, 9, 25, 25] == [backoff.for_attempt(n) for n in range(5)]


@pytest.mark.parametrize("n", [10**9, 1e9, 10**400, math.inf, 1024, 1e300])
def test_no_attempt_overflows(n: float) -> None:
    """A crash loop of years waits for the cap."""
    assert 10.0 == Backoff().for_attempt(n)


@pytest.mark.parametrize("n", [10**9, 1e9, 0])
def test_edges_of_the_options_do_not_overflow(n: float) -> None:
    """A minimum of 0 stays 0, a factor below 1 stays at the minimum."""
    assert 0.0 == Backoff(min=0).for_attempt(n)
    assert 0.1 == Backoff(factor=0.5).for_attempt(n)
    assert 0.1 == Backoff(factor=1).for_attempt(n)


@pytest.mark.parametrize("jitter", [False, True, "full", "decorrelated"])
def test_a_minimum_at_the_cap_or_above_gives_the_cap(jitter: Any) -> None:
    """As in the Go library, jitter or not."""
    for min in (5, 7):
        backoff = Backoff(min=min, max=5, jitter=jitter, rng=Chance(0.5))
        assert [5.0, 5.0] == [backoff.for_attempt(n) for n in (0, 9)]


def test_an_attempt_may_be_a_fraction() -> None:
    """The number of an attempt may be a float."""
    assert 2.0 == Backoff(min=1, factor=4).for_attempt(0.5)


@pytest.mark.parametrize("n", [-1, -0.5, math.nan, -math.inf])
def test_there_is_no_attempt_before_the_first(n: float) -> None:
    """A negative number is refused, with its value."""
    with pytest.raises(SpecError, match=f"n={n}"):
        Backoff().for_attempt(n)


def test_jitter_is_between_the_minimum_and_the_delay() -> None:
    """The first attempt has none."""
    backoff = Backoff(min=1, max=100, factor=4, jitter=True)
    assert [1, 2.5, 8.5] == [backoff.for_attempt(n, Chance(0.5)) for n in range(3)]


def test_full_jitter_begins_at_nothing() -> None:
    """The first attempt is spread too."""
    backoff = Backoff(min=1, max=100, factor=4, jitter="full")
    assert [0.5, 2, 8] == [backoff.for_attempt(n, Chance(0.5)) for n in range(3)]


def test_decorrelated_jitter_looks_at_the_delay_before() -> None:
    """Between the minimum and three times the last delay, at most the cap."""
    backoff = Backoff(min=1, max=20, jitter="decorrelated")
    chance = Chance(1)
    assert [3, 12, 20] == [backoff.for_attempt(0, chance, previous) for previous in (None, 4, 15)]
    assert [(1, 3), (1, 12), (1, 45)] == chance.asked


def test_decorrelated_jitter_stands_any_delay_before() -> None:
    """Neither infinity nor no number comes out."""
    backoff = Backoff(min=1, max=20, jitter="decorrelated")
    assert 1 == backoff.for_attempt(0, Chance(0), 1.7e308)
    assert 1 == backoff.for_attempt(0, Chance(1), 0)


@pytest.mark.parametrize("jitter", [True, "full", "decorrelated"])
def test_jitter_without_rng_uses_that_of_the_system(jitter: Any) -> None:
    backoff = aioverseer.Backoff(min=1, max=64, jitter=jitter)
    assert 1 < len({backoff.for_attempt(6) for _ in range(20)})
    assert all(0 <= backoff.duration() <= 64 for _ in range(20))
    assert backoff.rng is None


def test_default_rng_is_made_when_it_is_needed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Chance] = []

    def make() -> Chance:
        made.append(Chance(0.5))
        return made[-1]

    monkeypatch.setattr(module, "_makers", [])
    try:
        use_rng(make)
        backoff = Backoff(min=1, factor=3, jitter=True)
        assert not made
        assert [2, 2] == [backoff.for_attempt(1), backoff.for_attempt(1)]
        assert 1 == len(made)
    finally:
        module._default_rng.cache_clear()


def test_rng_of_the_call_precedes_rng_of_the_constructor() -> None:
    """Either is enough."""
    backoff = Backoff(min=1, factor=3, jitter=True, rng=Chance(0))
    assert [1, 2] == [backoff.for_attempt(1), backoff.for_attempt(1, Chance(0.5))]


def test_duration_counts_and_reset_forgets() -> None:
    """The counter is that of the Go library."""
    backoff = Backoff(min=1, max=4)
    assert 0 == backoff.attempt
    assert [1, 2, 4, 4] == [backoff.duration() for _ in range(4)]
    assert 4 == backoff.attempt
    backoff.reset()
    assert (0, 1) == (backoff.attempt, backoff.duration())


def test_duration_remembers_the_delay_before() -> None:
    """Decorrelated jitter grows from its own last delay, and reset forgets it."""
    backoff = Backoff(min=1, max=20, jitter="decorrelated", rng=Chance(1))
    assert [3, 9, 20] == [backoff.duration() for _ in range(3)]
    backoff.reset()
    assert 3 == backoff.duration()


def test_for_attempt_leaves_the_counter_alone() -> None:
    """It is pure."""
    backoff = Backoff()
    backoff.for_attempt(7)
    assert 0 == backoff.attempt


def test_equal_options_make_equal_values() -> None:
    """Neither the counter nor the source of random numbers counts."""
    used = Backoff(min=1, max=5, jitter=True, rng=random.Random(1))
    used.duration()
    fresh = Backoff(min=1.0, max=5.0, jitter=True)
    assert fresh == used
    assert hash(fresh) == hash(used)
    assert fresh != Backoff(min=1, max=5)
    assert fresh != "Backoff"
    assert "Backoff(min=1.0, max=5.0, factor=2.0, jitter=True)" == repr(used)


def test_copies_are_equal() -> None:
    """A Backoff can be copied and pickled."""
    backoff = Backoff(jitter="full")
    assert [backoff, backoff] == [copy.deepcopy(backoff), pickle.loads(pickle.dumps(backoff))]


@pytest.mark.parametrize("name", ["min", "max", "factor", "jitter", "attempt"])
def test_the_options_are_read_only(name: str) -> None:
    """A value does not change."""
    with pytest.raises(AttributeError):
        setattr(Backoff(), name, 1)


@pytest.mark.parametrize("name", ["min", "max", "factor"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "1", None, 10**400])
def test_values_that_are_no_numbers_are_refused(name: str, value: Any) -> None:
    """The message names the option and shows the value."""
    with pytest.raises(SpecError, match=rf"backoff\.{name}=") as caught:
        Backoff(**{name: value})
    assert f"backoff.{name}" == caught.value.option
    assert value is caught.value.value


def test_a_factor_of_zero_is_refused() -> None:
    """The delay would fall to 0 after the first attempt."""
    with pytest.raises(SpecError, match=r"backoff\.factor=0"):
        Backoff(factor=0)


@pytest.mark.parametrize("value", ["half", 1, None, ""])
def test_unknown_jitter_is_refused(value: Any) -> None:
    """Only the four words are known."""
    with pytest.raises(SpecError, match=r"backoff\.jitter=") as caught:
        Backoff(jitter=value)
    assert ("backoff.jitter", value) == (caught.value.option, caught.value.value)


SECONDS = st.floats(0, 1e6)
JITTERS: list[Any] = [False, True, "full", "decorrelated"]


@pytest.mark.parametrize("jitter", JITTERS)
@given(
    min=SECONDS,
    max=SECONDS,
    factor=st.floats(0.01, 1e3),
    n=st.one_of(st.integers(0, 10**9), st.floats(0, 1e9), st.integers(0, 40)),
    seed=st.integers(0, 1000),
    previous=st.none() | SECONDS,
)
def test_every_delay_is_within_its_bounds(
    jitter: Any, min: float, max: float, factor: float, n: float, seed: int, previous: float | None
) -> None:
    """No delay is above the cap, and only full jitter goes below the minimum."""
    delay = Backoff(min, max, factor, jitter).for_attempt(n, random.Random(seed), previous)
    assert delay <= max
    assert delay >= (0 if jitter == "full" else min) or delay == max


@given(min=SECONDS, max=SECONDS, factor=st.floats(0.01, 1e3), n=st.integers(0, 1000))
def test_delays_never_shrink(min: float, max: float, factor: float, n: int) -> None:
    """Without jitter the next delay is at least as long."""
    backoff = Backoff(min, max, factor)
    assert backoff.for_attempt(n) <= backoff.for_attempt(n + 1)
