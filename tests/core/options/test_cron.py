"""Cron expressions, as text."""

from __future__ import annotations

import pytest

from aioverseer.core.options.cron import parse_cron

ALL_DAYS = frozenset(range(1, 32))


@pytest.mark.parametrize(
    ("expression", "minutes", "hours"),
    [
        ("30 2 * * *", (30,), (2,)),
        ("*/20 8-10 * * *", (0, 20, 40), (8, 9, 10)),
        ("5-59/30,7 0,12 * * *", (5, 7, 35), (0, 12)),
        ("  0\t 23 * * * ", (0,), (23,)),
        ("@hourly", (0,), tuple(range(24))),
        ("@daily", (0,), (0,)),
        ("@midnight", (0,), (0,)),
        ("00 08 * * *", (0,), (8,)),
    ],
)
def test_fields_are_numbers_ranges_lists_and_steps(
    expression: str, minutes: tuple[int, ...], hours: tuple[int, ...]
) -> None:
    """Sorted, each once."""
    fields = parse_cron(expression)
    assert (minutes, hours) == (fields.minutes, fields.hours)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("* jan,MAR-may *", (ALL_DAYS, {1, 3, 4, 5}, set(range(7)), False)),
        ("* * mon-fri", (ALL_DAYS, set(range(1, 13)), {1, 2, 3, 4, 5}, False)),
        ("* * fri-sun", (ALL_DAYS, set(range(1, 13)), {5, 6, 0}, False)),
        ("* * 0,7", (ALL_DAYS, set(range(1, 13)), {0}, False)),
        ("* * 5-7", (ALL_DAYS, set(range(1, 13)), {5, 6, 0}, False)),
        ("* * */3", (ALL_DAYS, set(range(1, 13)), {0, 3, 6}, False)),
        ("13 * fri", ({13}, set(range(1, 13)), {5}, True)),
        ("*/10 * fri", ({1, 11, 21, 31}, set(range(1, 13)), {5}, False)),  # a star with a step is a star for cron
        ("1 */6 *", ({1}, {1, 7}, set(range(7)), False)),
    ],
)
def test_days_have_names(days: str, expected: tuple[object, ...]) -> None:
    """Either day is enough if neither begins with a star."""
    fields = parse_cron(f"0 0 {days}")
    assert expected == (fields.days, fields.months, fields.weekdays, fields.either_day)


@pytest.mark.parametrize(
    ("expression", "is_fixed"),
    [("30 2 * * *", True), ("0,30 1-5 * * *", True), ("* 2 * * *", False), ("0 */2 * * *", False), ("@hourly", False)],
)
def test_a_star_for_minutes_or_hours_is_no_fixed_hour(expression: str, *, is_fixed: bool) -> None:
    """Real time counts for such an expression."""
    assert is_fixed is parse_cron(expression).is_fixed


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "has 0 fields: write minute, hour"),
        ("0 0 * *", "has 4 fields"),
        ("0 0 0 * * *", "has 6 fields"),
        ("60 * * * *", "no minute '60': write 0 to 59"),
        ("-1 * * * *", "no minute ''"),
        ("* 24 * * *", "no hour '24': write 0 to 23"),
        ("0 0 0 * *", "no day of month '0': write 1 to 31"),
        ("0 0 L * *", "no day of month 'L'"),
        ("0 0 * 13 *", "no month '13': write 1 to 12, or jan to dec"),
        ("0 0 * * 8", "no day of week '8': write 0 to 7, or sun to sat"),
        ("0 0 * * mon#2", "no day of week 'mon#2'"),
        ("*/0 * * * *", r"no minute '\*/0': a step is a number of 1 or more"),
        ("*/x * * * *", "a step is a number"),
        ("5/10 * * * *", r"no minute '5/10': write 5-59/10, or \*/10"),
        ("0 22-2 * * *", "no hour '22-2': a range goes up; write two, such as 22-23,0-2"),
        ("1,,2 * * * *", "no minute ''"),
        ("٣ * * * *", "no minute"),
        ("0 0 30 2 *", "never comes: no month of '2' has a day 30"),
        ("0 0 31 4,6 *", "never comes"),
        ("@often", "is unknown: there are @yearly"),
        ("@reboot", r"is no time: start\(\) runs a service without a schedule at once"),
    ],
)
def test_other_expressions_are_refused(expression: str, why: str) -> None:
    """The message names the field and says what to write."""
    with pytest.raises(ValueError, match=why):
        parse_cron(expression)
