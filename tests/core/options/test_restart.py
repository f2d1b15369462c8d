from __future__ import annotations

import dataclasses
import math
import random
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.errors import SpecError
from aioverseer.core.machine.budget import Budget, Done, EndVerdict, RestartIn, Spent
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.restart import Restart, When, is_success, wants_restart
from aioverseer.core.state import Exit

LOST = Exit()
KILLED = Exit(signal=signal.SIGKILL)
TERMINATED = Exit(signal=signal.SIGTERM)
FAILED = Exit(code=1)
CLEAN = Exit(code=0)
PLAIN = Backoff(min=1, max=8)


def policy(when: When = "always", **options: Any) -> Restart:
    """A policy whose backoff has no jitter."""
    options.setdefault("backoff", PLAIN)
    return Restart(when, **options)


def judge(budget: Budget, now: float, *, ready_for: float | None = None) -> EndVerdict:
    """The verdict on an exit with code 1."""
    return budget.judge(FAILED, now=now, ready_for=ready_for, rng=None)


# --- the policy as a value


def test_the_defaults_are_those_of_the_design() -> None:
    """On failure, five times a minute, with a spread backoff."""
    restart = Restart()
    assert ("on-failure", 5, 60.0, 10.0) == (
        restart.when,
        restart.max_restarts,
        restart.within,
        restart.reset_after,
    )
    assert Backoff(min=0.1, max=30.0, factor=2.0, jitter=True) == restart.backoff
    assert frozenset({0}) == restart.success_codes
    assert frozenset() == restart.success_signals | restart.prevent_codes | restart.force_codes


def test_any_iterable_becomes_a_frozen_set() -> None:
    """Equal policies are equal however they were written, and can be keys."""
    written = Restart("always", success_codes=[0, 3, 3], success_signals=[15], force_codes=range(4, 6))
    expected = Restart(
        when="always", success_codes={3, 0}, success_signals={signal.SIGTERM}, force_codes=frozenset({4, 5})
    )
    assert expected == written
    assert hash(expected) == hash(written)
    assert {type(frozenset())} == {
        type(codes) for codes in (written.success_codes, written.success_signals, written.force_codes)
    }


def test_a_policy_does_not_change() -> None:
    """It is frozen; a changed copy is checked again."""
    restart = Restart("always", force_codes={3})
    with pytest.raises(dataclasses.FrozenInstanceError):
        restart.when = "never"  # type: ignore[misc]  # that it is refused is the point
    assert Restart("never", force_codes={3}) == dataclasses.replace(restart, when="never")
    with pytest.raises(SpecError, match="prevent_codes"):
        dataclasses.replace(restart, prevent_codes=frozenset({3}))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("when", "sometimes"),
        ("when", None),
        ("when", ["always"]),
        ("max_restarts", -1),
        ("max_restarts", True),
        ("max_restarts", 1.0),
        ("max_restarts", "3"),
        ("within", 0),
        ("within", -1),
        ("within", math.nan),
        ("within", math.inf),
        ("within", True),
        ("backoff", 3),
        ("reset_after", -0.1),
        ("reset_after", math.nan),
        ("reset_after", None),
        ("success_codes", 0),
        ("success_codes", "0"),
        ("success_codes", None),
        ("force_codes", b"\0"),
    ],
)
def test_invalid_values_are_refused(option: str, value: Any) -> None:
    """The error names the option and has the value."""
    with pytest.raises(SpecError, match=rf"restart\.{option}=") as caught:
        Restart(**{option: value})
    assert (f"restart.{option}", value) == (caught.value.option, caught.value.value) or math.isnan(value)


@pytest.mark.parametrize("option", ["success_codes", "prevent_codes", "force_codes"])
@pytest.mark.parametrize("value", [-1, 256, True, "1", 1.0, None])
def test_an_invalid_exit_code_is_refused(option: str, value: Any) -> None:
    """A program exits with one byte."""
    options: dict[str, Any] = {option: [value]}
    with pytest.raises(SpecError, match="0 to 255") as caught:
        Restart(**options)
    assert (f"restart.{option}", value) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize("value", [0, 65, -9, True, "SIGTERM"])
def test_an_invalid_signal_is_refused(value: Any) -> None:
    """Signals are signal.Signals or 1 to 64."""
    with pytest.raises(SpecError, match=r"restart\.success_signals") as caught:
        Restart(success_signals=[value])
    assert value == caught.value.value


def test_a_code_cannot_both_force_and_prevent() -> None:
    """The contradiction is refused, with the codes."""
    with pytest.raises(SpecError, match=r"\[2, 3\].*prevent_codes"):
        Restart(force_codes={1, 2, 3}, prevent_codes={2, 3, 4})


# --- the judgement


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        #             clean, failed, killed, lost, failed spawn
        ("always", [True, True, True, True, True]),
        ("never", [False, False, False, False, False]),
        ("on-failure", [False, True, True, True, True]),
        ("on-abnormal", [False, False, True, True, True]),
    ],
)
def test_the_choice_of_policies(when: When, expected: list[bool]) -> None:
    """A code other than 0 is a failure (B15), and there is a choice (B22)."""
    ends = [CLEAN, FAILED, KILLED, LOST, None]
    assert expected == [wants_restart(Restart(when), end) for end in ends]


def test_success_codes_are_the_whole_set() -> None:
    """They replace the 0."""
    restart = Restart(success_codes={3})
    assert [True, False] == [is_success(restart, Exit(code=3)), is_success(restart, CLEAN)]
    assert [False, True] == [wants_restart(restart, Exit(code=3)), wants_restart(restart, CLEAN)]


@pytest.mark.parametrize("when", ["on-failure", "on-abnormal"])
def test_success_signals_are_no_failure(when: When) -> None:
    """A death by any other signal is one."""
    restart = Restart(when, success_signals=[signal.SIGTERM])
    assert [True, False] == [is_success(restart, TERMINATED), is_success(restart, KILLED)]
    assert [False, True] == [wants_restart(restart, TERMINATED), wants_restart(restart, KILLED)]


def test_a_code_is_no_signal() -> None:
    """Exit code 15 is not SIGTERM, and signal 3 is not exit code 3."""
    restart = Restart(success_signals=[15], success_codes={3}, force_codes={9}, prevent_codes={2})
    assert [False, False] == [is_success(restart, Exit(code=15)), is_success(restart, Exit(signal=3))]
    assert not wants_restart(Restart("never", force_codes={9}), KILLED)
    assert wants_restart(Restart("always", prevent_codes={9}), KILLED)


@pytest.mark.parametrize("end", [None, LOST])
def test_an_unknown_end_is_no_success(end: Exit | None) -> None:
    """A failed spawn and a lost status are failures."""
    assert not is_success(Restart(), end)


@pytest.mark.parametrize("when", ["always", "never", "on-failure", "on-abnormal"])
def test_force_and_prevent_go_before_all(when: When) -> None:
    """For each choice of ``when``, and even for a success."""
    restart = Restart(when, force_codes={0, 7}, prevent_codes={8})
    assert [True, True, False] == [wants_restart(restart, Exit(code=code)) for code in (0, 7, 8)]


# --- the budget


def test_an_end_that_is_wanted_is_done() -> None:
    """Nothing is counted."""
    budget = Budget(Restart())
    assert Done() == budget.judge(CLEAN, now=0, ready_for=None, rng=None)
    assert 5 == budget.left(0)


def test_restarts_are_counted_not_runs() -> None:
    """Three restarts are four runs (B17)."""
    budget = Budget(policy(max_restarts=3))
    assert [
        RestartIn(delay=1, attempt=0, left=2),
        RestartIn(delay=2, attempt=1, left=1),
        RestartIn(delay=4, attempt=2, left=0),
        Spent(max_restarts=3, within=60.0),
    ] == [judge(budget, now) for now in range(4)]


def test_no_restart_means_none() -> None:
    """Zero does not run over into for ever (B16)."""
    budget = Budget(policy(max_restarts=0))
    assert Spent(max_restarts=0, within=60.0) == judge(budget, 0)
    assert (0, None) == (budget.left(0), budget.refills_in(0))


def test_no_limit_is_for_ever_and_keeps_nothing() -> None:
    """A crash loop of years does not grow the host (B22)."""
    budget = Budget(policy(max_restarts=None))
    verdicts = [judge(budget, now) for now in range(10_000)]
    assert RestartIn(delay=8, attempt=9_999, left=None) == verdicts[-1]
    assert (None, None) == (budget.left(9_999), budget.refills_in(9_999))
    assert 0 == len(budget._times)


def test_the_budget_heals() -> None:
    """A restart that is older than the window does not count (B18)."""
    budget = Budget(policy(max_restarts=2, within=10))
    judge(budget, 0)
    judge(budget, 4)
    assert Spent(max_restarts=2, within=10.0) == judge(budget, 9.9)
    assert RestartIn(delay=4, attempt=2, left=0) == judge(budget, 10)
    assert Spent(max_restarts=2, within=10.0) == judge(budget, 13)
    assert 2 == budget.left(100)


def test_the_budget_says_when_it_refills() -> None:
    """Seconds until the oldest restart leaves the window."""
    budget = Budget(policy(max_restarts=5, within=60))
    assert (5, None) == (budget.left(0), budget.refills_in(0))
    judge(budget, 0)
    judge(budget, 30)
    assert (3, 12) == (budget.left(48), budget.refills_in(48))
    assert (4, 30) == (budget.left(60), budget.refills_in(60))


def test_without_a_window_all_restarts_count() -> None:
    """A budget for ever never refills."""
    budget = Budget(policy(max_restarts=1, within=None))
    judge(budget, 0)
    assert Spent(max_restarts=1, within=None) == judge(budget, 1e9)
    assert (0, None) == (budget.left(1e9), budget.refills_in(1e9))


def test_a_run_that_was_ready_long_enough_begins_again() -> None:
    """The delay does not only grow (B18); the window still counts."""
    budget = Budget(policy(max_restarts=9, reset_after=10))
    ready = [None, None, 9.9, 10, None]
    verdicts = [judge(budget, now, ready_for=ready_for) for now, ready_for in enumerate(ready)]
    assert [
        RestartIn(delay=1, attempt=0, left=8),
        RestartIn(delay=2, attempt=1, left=7),
        RestartIn(delay=4, attempt=2, left=6),
        RestartIn(delay=1, attempt=0, left=5),
        RestartIn(delay=2, attempt=1, left=4),
    ] == verdicts


def test_any_ready_time_may_be_enough() -> None:
    """With ``reset_after=0`` a run that was ready for a moment is enough, one that never was is not."""
    budget = Budget(policy(reset_after=0))
    ready = [None, 0, 0, None]
    verdicts = [judge(budget, now, ready_for=ready_for) for now, ready_for in enumerate(ready)]
    assert [0, 0, 0, 1] == [verdict.attempt for verdict in verdicts if isinstance(verdict, RestartIn)]


def test_the_delay_is_capped_as_a_whole() -> None:
    """The cap of the backoff holds for the delay itself, not for what is added to it (B19)."""
    budget = Budget(policy(max_restarts=None))
    verdicts = [judge(budget, now) for now in range(6)]
    assert [1, 2, 4, 8, 8, 8] == [verdict.delay for verdict in verdicts if isinstance(verdict, RestartIn)]


def test_decorrelated_jitter_grows_from_the_last_delay_and_begins_again() -> None:
    """The budget remembers the delay before for the backoff, until the counter is 0 again."""

    class Most(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    budget = Budget(policy(backoff=Backoff(min=1, max=20, jitter="decorrelated")))
    ready = [None, None, None, 60]
    verdicts = [budget.judge(FAILED, now=now, ready_for=ready_for, rng=Most()) for now, ready_for in enumerate(ready)]
    assert [3, 9, 20, 3] == [verdict.delay for verdict in verdicts if isinstance(verdict, RestartIn)]


def test_the_counter_of_the_backoff_is_left_alone() -> None:
    """Two services with one policy do not slow each other down."""
    shared = Backoff(min=1, max=8)
    first, second = (Budget(policy(backoff=shared)) for _ in range(2))
    judge(first, 0)
    judge(first, 1)
    assert RestartIn(delay=1, attempt=0, left=4) == judge(second, 2)
    assert 0 == shared.attempt


def test_rng_that_raises_counts_nothing() -> None:
    """The error comes before anything has changed."""

    class Broken(random.Random):
        def uniform(self, a: float, b: float) -> float:
            raise ValueError("no entropy")

    budget = Budget(Restart(backoff=Backoff(min=1, jitter="full", rng=Broken())))
    with pytest.raises(ValueError, match="no entropy"):
        judge(budget, 0)
    assert 5 == budget.left(0)


@given(
    max_restarts=st.none() | st.integers(0, 4),
    within=st.none() | st.integers(1, 20),
    reset_after=st.integers(0, 5),
    ends=st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 8)), max_size=40),
)
def test_the_budget_is_that_of_a_naive_model(
    max_restarts: int | None,
    within: int | None,
    reset_after: int,
    ends: list[tuple[int, int | None]],
) -> None:
    """A list of all restarts, counted anew each time, gives the same verdicts."""
    budget = Budget(policy(max_restarts=max_restarts, within=within, reset_after=reset_after))
    restarts: list[int] = []
    attempt = now = 0

    def used() -> list[int]:
        return [t for t in restarts if within is None or now - within < t <= now]

    for passed, ready_for in ends:
        now += passed
        verdict = judge(budget, now, ready_for=ready_for)
        if ready_for is not None and ready_for >= reset_after:
            attempt = 0
        if max_restarts is not None and len(used()) >= max_restarts:
            assert Spent(max_restarts=max_restarts, within=within) == verdict
        else:
            restarts.append(now)
            left = None if max_restarts is None else max_restarts - len(used())
            assert RestartIn(delay=PLAIN.for_attempt(attempt), attempt=attempt, left=left) == verdict
            attempt += 1
        if max_restarts is not None:
            assert max_restarts - len(used()) == budget.left(now)
            assert len(budget._times) <= max_restarts
            refills = None if within is None or not used() else used()[0] + within - now
            assert refills == budget.refills_in(now)
