"""The next time of a cron expression, over the changes of summer time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer.core.machine.cron import next_time
from aioverseer.core.options.cron import parse_cron

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"  # its summer time is half an hour


def times(expression: str, zone: str, after: str, number: int) -> list[str]:
    """Return the next times after a wall time, with the offset of each."""
    fields, place = parse_cron(expression), ZoneInfo(zone)
    moment: datetime | None = datetime.fromisoformat(after).replace(tzinfo=place)
    found: list[str] = []
    for _ in range(number):
        assert moment is not None
        moment = next_time(fields, moment, place)
        assert moment is not None
        found.append(f"{moment.astimezone(place):%d %H:%M %z}")
    return found


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        # 02:30 does not exist on the first day of summer time, and comes right after the gap
        (BERLIN, "2026-03-28 00:00", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        (NEW_YORK, "2026-03-07 00:00", ["07 02:30 -0500", "08 03:00 -0400", "09 02:30 -0400"]),
        (LORD_HOWE, "2026-10-03 00:00", ["03 02:30 +1030", "04 02:30 +1100", "05 02:30 +1100"]),
        # it comes twice on the last day, and counts the first time
        (BERLIN, "2026-10-24 00:00", ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]),
        (NEW_YORK, "2026-10-31 00:00", ["31 02:30 -0400", "01 02:30 -0500", "02 02:30 -0500"]),
        (LORD_HOWE, "2026-04-04 00:00", ["04 02:30 +1100", "05 02:30 +1030", "06 02:30 +1030"]),
    ],
)
def test_a_fixed_hour_comes_once_a_day(zone: str, after: str, expected: list[str]) -> None:
    """Also on the days when summer time begins and ends, in three zones."""
    assert expected == times("30 2 * * *", zone, after, 3)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 1 * * *", NEW_YORK, "2026-11-01 00:00", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-05 00:00", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-04 00:00", ["04 02:30 +1100", "05 02:15 +1100"]),
        # several that were skipped are one run, and so is one that comes at the end of the gap
        ("0,30 2,3 * * *", BERLIN, "2026-03-29 00:00", ["29 03:00 +0200", "29 03:30 +0200", "30 02:00 +0200"]),
        # midnight was skipped in a zone that began summer time then
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03 00:00", ["04 01:00 -0200", "05 00:00 -0200"]),
        # a whole day was skipped
        ("0 9 * * *", "Pacific/Apia", "2011-12-29 00:00", ["29 09:00 -1000", "31 00:00 +1400", "31 09:00 +1400"]),
    ],
)
def test_changes_of_the_offset_move_fixed_hours(expression: str, zone: str, after: str, expected: list[str]) -> None:
    """None is lost, and none comes twice."""
    assert expected == times(expression, zone, after, len(expected))


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("0 * * * *", BERLIN, "2026-03-29 00:30", ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
        ("0 * * * *", BERLIN, "2026-10-25 01:30", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("30 * * * *", NEW_YORK, "2026-03-08 01:00", ["08 01:30 -0500", "08 03:30 -0400"]),
        ("30 * * * *", NEW_YORK, "2026-11-01 00:40", ["01 01:30 -0400", "01 01:30 -0500", "01 02:30 -0500"]),
        ("*/30 2 * * *", BERLIN, "2026-03-28 12:00", ["30 02:00 +0200", "30 02:30 +0200"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25 00:00", ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100"]),
        ("15,45 */2 * * *", LORD_HOWE, "2026-04-05 00:50", ["05 02:15 +1030", "05 02:45 +1030"]),
        ("*/15 1 * * *", LORD_HOWE, "2026-04-05 01:40", ["05 01:45 +1100", "05 01:30 +1030", "05 01:45 +1030"]),
        ("*/20 2 * * *", LORD_HOWE, "2026-10-04 00:00", ["04 02:40 +1100", "05 02:00 +1100"]),
    ],
)
def test_more_often_than_hourly_is_real_time(expression: str, zone: str, after: str, expected: list[str]) -> None:
    """An hour that comes twice has its runs twice, one that is skipped has none."""
    assert expected == times(expression, zone, after, len(expected))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 13 * fri", ["03 00:00 +0000", "10 00:00 +0000", "13 00:00 +0000", "17 00:00 +0000"]),
        ("0 0 29 2 *", ["29 00:00 +0000"] * 3),
        ("59 23 31 12 *", ["31 23:59 +0000"] * 2),
        ("0 12 * * sun", ["05 12:00 +0000", "12 12:00 +0000"]),
    ],
)
def test_days_of_month_and_week(expression: str, expected: list[str]) -> None:
    """Either of both, if both are given."""
    assert expected == times(expression, "UTC", "2026-07-01 00:00", len(expected))


def test_a_day_that_never_comes_has_no_next_time() -> None:
    """Sundays on the 30th of February, with a star for each day."""
    fields = parse_cron("0 0 29 2 */7")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    found = next_time(fields, moment, UTC)
    assert found is not None
    assert (2032, 6) == (found.year, found.weekday())
    fields.days = frozenset({30})
    assert next_time(fields, moment, UTC) is None
    fields.is_fixed = False
    assert next_time(fields, moment, UTC) is None


def test_the_next_time_is_after_the_moment() -> None:
    """Never at it; seconds and microseconds count."""
    fields = parse_cron("* * * * *")
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert noon + timedelta(minutes=1) == next_time(fields, noon, UTC)
    assert noon == next_time(fields, noon - timedelta(microseconds=1), UTC)
    assert noon == next_time(parse_cron("0 12 * * *"), noon - timedelta(microseconds=1), UTC)


def test_a_year_takes_no_time() -> None:
    """An hourly and a nightly schedule in a zone with summer time, in a tenth of the second that is promised."""
    began = time.process_time()
    counts: list[int] = []
    for expression in ("0 * * * *", "30 2 * * *"):
        fields, zone = parse_cron(expression), ZoneInfo(BERLIN)
        moment: datetime | None = datetime(2025, 12, 31, 23, 0, tzinfo=UTC)
        counts.append(-1)
        while moment is not None and moment < datetime(2026, 12, 31, 23, 0, tzinfo=UTC):
            moment = next_time(fields, moment, zone)
            counts[-1] += 1
    assert [365 * 24 - 1, 365] == counts
    assert time.process_time() - began < 1


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(st.integers(low, high - 1), st.integers(1, 9)).map(lambda two: (two[0], min(high, sum(two))))
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, 20).map(lambda step: f"*/{step}"),
        span.map(lambda two: f"{two[0]}-{two[1]}"),
        st.tuples(span, st.integers(1, 4)).map(lambda both: f"{both[0][0]}-{both[0][1]}/{both[1]}"),
        st.tuples(number, number).map(lambda two: f"{two[0]},{two[1]}"),
    )


@given(
    expression=st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(" ".join),
    # Zones with summer time of half an hour or from midnight on are in the tables above: cronsim differs there.
    zone=st.sampled_from([BERLIN, NEW_YORK, "Africa/Casablanca", "Asia/Kolkata", "UTC"]),
    start=st.integers(0, 3 * 365 * 24 * 60).map(
        lambda after: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=after)
    ),
)
@settings(max_examples=60, deadline=None)
def test_times_are_those_of_cronsim(expression: str, zone: str, start: datetime) -> None:
    """Another implementation of the same rules, by other means."""
    cronsim = pytest.importorskip("cronsim")
    place = ZoneInfo(zone)
    moment: datetime | None = start
    theirs: list[datetime] = []
    for found in cronsim.CronSim(expression, start.astimezone(place)):
        if not theirs or found.astimezone(UTC) > theirs[-1]:
            theirs.append(found.astimezone(UTC))
        if len(theirs) == 6:
            break
    ours: list[datetime | None] = []
    for _ in theirs:
        assert moment is not None
        moment = next_time(parse_cron(expression), moment, place)
        ours.append(moment)
    assert theirs == ours
