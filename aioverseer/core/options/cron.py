"""Cron expressions, as the cron of Debian (Vixie cron) reads them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["CronFields", "parse_cron"]

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
_SUNDAY = 7


class CronFields:
    """Fields of a cron expression.

    Attributes:
        minutes: Minutes, in order.
        hours: Hours, in order.
        days: Days of the month.
        months: Months.
        weekdays: Days of the week; 0 is Sunday.
        either_day: Whether a day of the month or a day of the week is enough. Otherwise both must match.
        is_fixed: Whether the times are fixed hours of the day, so that a change of summer time moves them.
    """

    __slots__ = ("days", "either_day", "hours", "is_fixed", "minutes", "months", "weekdays")

    def __init__(self, parts: Sequence[str]) -> None:
        """Read the five fields.

        Raises:
            ValueError: With the field and the reason.
        """
        minute, hour, day, month, weekday = parts
        self.minutes = tuple(sorted(_numbers("minute", minute, range(60))))
        self.hours = tuple(sorted(_numbers("hour", hour, range(24))))
        self.days = _numbers("day of month", day, range(1, 32))
        self.months = _numbers("month", month, range(1, 13), _MONTHS)
        self.weekdays = frozenset(
            number % _SUNDAY for number in _numbers("day of week", weekday, range(_SUNDAY + 1), _DAYS)
        )
        self.either_day = not (day.startswith("*") or weekday.startswith("*"))
        self.is_fixed = not (minute.startswith("*") or hour.startswith("*"))
        if not self.either_day and min(self.days) > max(_LONGEST[number] for number in self.months):
            raise ValueError(f"never comes: no month of {month!r} has a day {min(self.days)}")


def parse_cron(expression: str) -> CronFields:
    """Return the fields of an expression.

    Raises:
        ValueError: With the reason, as the end of a sentence.
    """
    text = expression.strip()
    if text.startswith("@"):
        if text == "@reboot":
            raise ValueError("is no time: start() runs a service without a schedule at once")
        if text not in _NICKNAMES:
            raise ValueError(f"is unknown: there are {', '.join(_NICKNAMES)}")
        text = _NICKNAMES[text]
    parts = text.split()
    if len(parts) != len(CronFields.__slots__) - 2:
        raise ValueError(
            f"has {len(parts)} fields: write minute, hour, day of month, month and day of week, such as '30 2 * * *'"
        )
    return CronFields(parts)


def _numbers(field: str, text: str, known: range, names: Sequence[str] = ()) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"has no {field} {part!r}: a step is a number of 1 or more, such as */5")
        if span == "*":
            # Seven is a second Sunday, so a step over all days of the week ends with Saturday.
            first, last = known[0], min(known[-1], _SUNDAY - 1) if names is _DAYS else known[-1]
        else:
            low, dash, high = span.partition("-")
            first = _number(field, low, known, names)
            last = _number(field, high, known, names) if dash else first
            if names is _DAYS and dash and last == 0:
                last = _SUNDAY
            if slash and not dash:
                raise ValueError(f"has no {field} {part!r}: write {span}-{known[-1]}/{step}, or */{step}")
            if last < first:
                raise ValueError(f"has no {field} {part!r}: a range goes up; write two, such as {_two(span, known)}")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return frozenset(found)


def _two(span: str, known: range) -> str:
    low, _, high = span.partition("-")
    return f"{low}-{known[-1]},{known[0]}-{high}"


def _number(field: str, text: str, known: range, names: Sequence[str]) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + (1 if names is _MONTHS else 0)
    if not (text.isascii() and text.isdigit()) or int(text) not in known:
        words = f", or {names[0]} to {names[-1]}" if names else ""
        raise ValueError(f"has no {field} {text!r}: write {known[0]} to {known[-1]}{words}")
    return int(text)
