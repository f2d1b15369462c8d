"""The rules of schedules: times that have come, are missed, or come again because a clock was set."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer.core.machine.schedule import CronRule, EveryRule, Occasion
from aioverseer.core.options.schedule import Cron, Every

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Longest:
    """Chance that is none: always the most."""

    def random(self) -> float:
        """Nearly 1."""
        return 0.999

    def uniform(self, a: float, b: float, /) -> float:
        """The higher number."""
        return max(a, b)


def rule_of(schedule: Cron) -> CronRule:
    """A rule in UTC."""
    return CronRule(schedule, zone=UTC, zone_name="UTC", rng=Longest())


def said(occasions: list[Occasion]) -> list[tuple[bool, str]]:
    """Whether each one runs, and its text."""
    return [(occasion.runs, occasion.text) for occasion in occasions]


def test_a_time_that_has_come_runs_and_the_next_one_follows() -> None:
    """The text has the time in the zone."""
    rule = rule_of(Cron("30 * * * *"))
    assert rule.arm(NOON) is None
    assert (NOON + HOUR / 2, "2026-06-01 12:30 UTC") == (rule.due, rule.awaited(NOON))
    assert [] == rule.wake(NOON + timedelta(minutes=29))
    assert [(True, "its time has come (2026-06-01 12:30 UTC)")] == said(rule.wake(NOON + HOUR / 2))
    assert NOON + 1.5 * HOUR == rule.due
    rule.disarm()
    assert [] == rule.wake(NOON + DAY)
    assert rule.due is None


def test_a_late_time_runs_within_its_limit() -> None:
    """The delay is told from a second on."""
    rule = rule_of(Cron("0 * * * *", within=600))
    rule.arm(NOON)
    late = NOON + HOUR + timedelta(seconds=600)
    assert [(True, "its time has come (2026-06-01 13:00 UTC), 0:10:00 ago")] == said(rule.wake(late))
    assert NOON + 2 * HOUR == rule.due


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", [(False, "its time was missed by 7:30:00 (2026-06-01 13:00 UTC): skipped")]),
        ("once", [(True, "its time was missed by 7:30:00 (2026-06-01 13:00 UTC)")]),
    ],
)
def test_times_that_a_host_has_slept_over_are_one_or_none(missed: str, expected: list[tuple[bool, str]]) -> None:
    """Never all of them."""
    rule = rule_of(Cron("0 * * * *", missed=missed))  # type: ignore[arg-type]  # one of the two texts
    rule.arm(NOON)
    assert expected == said(rule.wake(NOON + 8.5 * HOUR))
    assert NOON + 9 * HOUR == rule.due


def test_a_recent_time_runs_after_a_long_sleep() -> None:
    """The missed ones before it are told."""
    rule = rule_of(Cron("0 * * * *", missed="once"))
    rule.arm(NOON)
    assert [
        (False, "its time was missed by 7:05:00 (2026-06-01 13:00 UTC): skipped"),
        (True, "its time has come (2026-06-01 20:00 UTC)"),
    ] == said(rule.wake(NOON + 8 * HOUR + timedelta(minutes=5)))


def test_a_stamp_tells_what_was_missed_before_the_start() -> None:
    """One run for all, if the policy wants one."""
    for missed, expected in (("skip", None), ("once", "its time was missed (2026-06-01 02:30 UTC)")):
        rule = rule_of(Cron("30 2 * * *", missed=missed))  # type: ignore[arg-type]  # one of the two texts
        found = rule.arm(NOON + 3 * DAY, NOON - DAY)
        assert expected == (found and found.text)
        assert NOON + 3 * DAY + 14.5 * HOUR == rule.due
    assert rule.arm(NOON, NOON - HOUR) is None


def test_a_clock_that_is_set_back_runs_no_time_again() -> None:
    """Times that have not come yet are next; those that have run are passed over."""
    rule = rule_of(Cron("0 * * * *"))
    rule.arm(NOON)
    for number in range(1, 4):
        assert [True] == [one.runs for one in rule.wake(NOON + number * HOUR)]
    assert [] == rule.wake(NOON - 1.5 * HOUR)
    assert NOON - HOUR == rule.due
    rule.wake(NOON - HOUR)
    assert NOON == rule.due
    rule.wake(NOON)
    assert NOON + 4 * HOUR == rule.due


def test_changed_schedule_remembers_what_has_run() -> None:
    before, after = rule_of(Cron("0 * * * *")), rule_of(Cron("0 * * * *", within=60))
    before.arm(NOON)
    assert [True] == [each.runs for each in before.wake(NOON + HOUR)]
    after.keep(before)
    after.arm(NOON + 0.9 * HOUR)
    assert NOON + 2 * HOUR == after.due


def test_a_clock_that_was_wrong_by_years_is_forgiven() -> None:
    """One run made up for the first missed time. The others come when it is their time."""
    rule = rule_of(Cron("30 2 * * *", missed="once"))
    rule.arm(NOON)
    assert [True] == [one.runs for one in rule.wake(NOON + 3650 * DAY)]
    assert [] == rule.wake(NOON + HOUR)
    assert NOON + 38.5 * HOUR == rule.due


def test_jitter_is_a_delay_from_the_given_chance() -> None:
    """It moves no time: one that is shorter than the delay is not lost."""
    rule = rule_of(Cron("* * * * *", jitter=80))
    rule.arm(NOON)
    assert NOON + timedelta(seconds=140) == rule.due
    assert ["its time has come (2026-06-01 12:01 UTC)"] == [
        one.text for one in rule.wake(NOON + timedelta(seconds=140))
    ]
    assert NOON + timedelta(seconds=200) == rule.due
    some = CronRule(Cron("0 * * * *", jitter=80), zone=UTC, zone_name="UTC", rng=random.Random(1))
    some.arm(NOON)
    assert NOON + HOUR < (some.due or NOON) < NOON + HOUR + timedelta(seconds=80)


@given(
    expression=st.sampled_from(["0 * * * *", "*/5 * * * *", "30 2 * * *", "0 12 1 * *"]),
    missed=st.sampled_from(["skip", "once"]),
    jitter=st.sampled_from([0.0, 90.0]),
    moves=st.lists(
        st.one_of(
            st.just(None),  # it sleeps until the next time
            st.integers(-400_000, 400_000),  # the clock is set, or the host sleeps
            st.sampled_from([-3600, 3600, -86_400, 1]),
        ),
        max_size=60,
    ),
)
@settings(max_examples=60, deadline=None)
def test_no_time_runs_twice_whatever_the_clock_does(
    expression: str, missed: str, jitter: float, moves: list[int | None]
) -> None:
    """And one at most when the host wakes up; the next one is always ahead."""
    rule = rule_of(Cron(expression, missed=missed, jitter=jitter))  # type: ignore[arg-type]  # one of the two texts
    now = NOON
    rule.arm(now)
    ran: list[datetime] = []
    for move in moves:
        assert rule.due is not None
        now = max(now, rule.due) if move is None else now + timedelta(seconds=move)
        found = [one for one in rule.wake(now) if one.runs]
        assert len(found) <= 1
        for one in found:
            assert one.nominal is not None
            assert one.nominal <= now
            ran.append(one.nominal)
        assert rule.due > now or jitter
    assert len(ran) == len(set(ran))


def test_every_counts_from_the_start_without_drift() -> None:
    """However late the timer fires; times that have passed meanwhile are left out."""
    rule = EveryRule(Every(300), rng=Longest())
    assert (None, []) == (rule.due, rule.wake(0))
    rule.arm(7)
    assert 307 == rule.due
    assert [] == rule.wake(306.9)
    assert [(True, "its time has come (every 300 s)")] == said(rule.wake(307.2))
    assert 607 == rule.due
    assert [(True, "its time has come (every 300 s), 0:10:00 ago")] == said(rule.wake(1207))
    assert 1507 == rule.due
    rule.disarm()
    assert rule.due is None


def test_every_may_begin_at_the_start() -> None:
    """And has a delay from the given chance."""
    rule = EveryRule(Every(10, first="at_start", jitter=5), rng=Longest())
    rule.arm(100)
    assert 105 == rule.due
    rule.wake(105)
    assert 115 == rule.due


@given(period=st.floats(0.001, 1000), number=st.integers(1, 50), lag=st.floats(0, 0.5))
def test_every_never_stands_still(period: float, number: int, lag: float) -> None:
    """Rounding gives no time twice."""
    rule = EveryRule(Every(period), rng=Longest())
    rule.arm(12345.678)
    for _ in range(number):
        before = rule.due
        assert before is not None
        assert [True] == [one.runs for one in rule.wake(before + lag * period)]
        assert rule.due is not None
        assert rule.due > before
