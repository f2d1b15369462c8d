"""Cron expressions in the form of other schedulers."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aioverseer import Cron

__all__ = ["calendar_events", "five_fields"]

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WEEK = range(7)
_MONTH = range(1, 32)
_SHORTEST_RANGE = 3
"""Numbers in a row that are written as a range."""


def calendar_events(schedule: Cron) -> list[str]:
    """Return the values of ``OnCalendar=`` that together come at the times of an expression."""
    fields = schedule.fields
    zone = "" if schedule.timezone is None else f" {schedule.timezone}"
    months = _spans(fields.months, range(1, 13), "..")
    time = f"{_spans(fields.hours, range(24), '..')}:{_spans(fields.minutes, range(60), '..')}:00{zone}"
    weekdays = "" if len(fields.weekdays) == len(_WEEK) else f"{_weekdays(fields.weekdays)} "
    days = _spans(fields.days, _MONTH, "..")
    if fields.either_day:
        return [f"*-{months}-{days} {time}", f"{weekdays}*-{months}-* {time}"]
    return [f"{weekdays}*-{months}-{days} {time}"]


def five_fields(schedule: Cron) -> str | None:
    """Return an expression in the common form: numbers alone, Sunday as 0, and no short forms.

    None if that form cannot say it: there two limited days mean that one of them is enough, and a step such as ``*/2``
    of the cron of Debian means that both must match.
    """
    fields = schedule.fields
    days, weekdays = _spans(fields.days, _MONTH, "-"), _spans(fields.weekdays, _WEEK, "-")
    if fields.either_day and "*" in (days, weekdays):
        days = weekdays = "*"
    elif not fields.either_day and "*" not in (days, weekdays):
        return None
    first = [_spans(fields.minutes, range(60), "-"), _spans(fields.hours, range(24), "-"), days]
    return " ".join([*first, _spans(fields.months, range(1, 13), "-"), weekdays])


def _weekdays(numbers: Collection[int]) -> str:
    return ",".join(_DAYS[number] for number in sorted(numbers))


def _spans(numbers: Iterable[int], known: range, to: str) -> str:
    """Return numbers as a list of ranges and numbers; ``*`` for all."""
    found = sorted(numbers)
    if found == list(known):
        return "*"
    runs: list[list[int]] = []
    for number in found:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{run[0]}{to}{run[-1]}" if len(run) >= _SHORTEST_RANGE else ",".join(map(str, run)) for run in runs
    )
