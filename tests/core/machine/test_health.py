"""When a program that runs is taken for dead."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Alive, SpecError, ready
from aioverseer.core.machine.health import LivenessJudge, is_late

PROBE = ready.tcp(80)


@given(checks=st.lists(st.booleans(), max_size=30), failures=st.integers(1, 4), successes=st.integers(1, 3))
def test_health_follows_the_last_checks(checks: list[bool], failures: int, successes: int) -> None:
    """Failures in a row make the program unhealthy, successes in a row healthy again; each change is reported once."""
    health = LivenessJudge(Alive(PROBE, failures=failures, successes=successes), since=0.0)
    well = True
    for end, passed in enumerate(checks, 1):
        changed = health.passed() if passed else health.failed_at(float(end), "no")
        before = well
        if well and end >= failures and not any(checks[end - failures : end]):
            well = False
        elif not well and end >= successes and all(checks[end - successes : end]):
            well = True
        assert (well, well is not before) == (health.is_alive, changed)


def test_failures_in_the_grace_do_not_count() -> None:
    """Failures in the grace period do not add up with later ones."""
    health = LivenessJudge(Alive(PROBE, failures=2, grace=30), since=100.0)
    assert [False, False, False, True] == [health.failed_at(now, "no") for now in (110.0, 129.0, 130.0, 140.0)]


def test_a_trigger_needs_no_second_one() -> None:
    """It asked for it."""
    health = LivenessJudge(Alive(PROBE), since=0.0)
    assert health.trigger("it sent WATCHDOG=trigger")
    assert not health.trigger("again")
    assert not health.is_alive


@pytest.mark.parametrize(("due", "now", "late"), [(5, 5, False), (5, 5.2, False), (5, 5.5, True), (5, 4, False)])
def test_a_timer_that_is_late_shows_that_the_host_was_busy(due: float, now: float, late: bool) -> None:
    """By more than a quarter of a second."""
    assert late == is_late(due, now)


@pytest.mark.parametrize(
    "options",
    [
        {"probe": "tcp"}, {"probe": ready.line("x")}, {"probe": PROBE | ready.fd()}, {"every": 0}, {"every": True},
        {"timeout": "3"}, {"grace": -1}, {"failures": 0}, {"successes": 1.5}, {"action": "kill"},
    ],
)  # fmt: skip
def test_refused_values_of_alive_are_named(options: dict[str, Any]) -> None:
    """A line comes once: it says that a program is ready, not that it lives."""
    with pytest.raises(SpecError, match=next(iter(options))):
        Alive(**cast("dict[str, Any]", {"probe": PROBE} | options))
