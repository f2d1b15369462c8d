"""``OnCalendar=`` of a timer as a cron expression."""

from __future__ import annotations

import re

__all__ = ["as_cron"]

_SHORT = {
    "minutely": "* * * * *",
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "midnight": "0 0 * * *",
    "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DATE = re.compile(r"(?:(?P<year>[^-\s]+)-)?(?P<month>[\d*/,.]+)-(?P<day>[\d*/,.]+)")
_TIME = re.compile(r"(?P<hour>[\d*/,.]+):(?P<minute>[\d*/,.]+)(?::(?P<second>[\d*/,.]+))?")
_ZONE = re.compile(r"[A-Z][A-Za-z_+-]*(/[A-Za-z_+-]+)*")


def as_cron(text: str) -> tuple[str, str | None] | None:
    """Return cron expression and time zone of a calendar event; None for one that cron cannot say.

    Args:
        text: Value of the key.
    """
    words = text.split()
    zone = words.pop() if len(words) > 1 and _ZONE.fullmatch(words[-1]) and not _weekdays(words[-1]) else None
    if len(words) == 1 and words[0].lower() in _SHORT:
        return _SHORT[words[0].lower()], zone
    week, month, day, hour, minute = "*", "*", "*", "0", "0"
    for word in words:
        if found := _TIME.fullmatch(word):
            hour, minute = _field(found["hour"], 23), _field(found["minute"], 59)
            if (found["second"] or "0").strip("0"):
                return None
        elif found := _DATE.fullmatch(word):
            month, day = _field(found["month"], 12), _field(found["day"], 31)
            if (found["year"] or "*") != "*":
                return None
        elif weekdays := _weekdays(word):
            week = weekdays
        else:
            return None
    # Cron runs if one of both days fits, and a calendar event if both do.
    if not words or "" in (month, day, hour, minute) or (week != "*" and day != "*"):
        return None
    return f"{minute} {hour} {day} {month} {week}", zone


def _weekdays(word: str) -> str:
    """Return days such as ``Mon..Fri,Sun`` as cron counts them; empty if they are none."""
    parts: list[str] = []
    for part in word.lower().rstrip(",").split(","):
        ends = [each[:3] for each in re.split(r"\.\.|-", part)]
        if not ends or len(ends) > 2 or any(each not in _DAYS for each in ends):  # noqa: PLR2004  # from, to
            return ""
        numbers = [_DAYS.index(each) + 1 for each in ends]
        parts.append("-".join(map(str, numbers)))
    return ",".join(parts)


def _field(text: str, most: int) -> str:
    """Return one field; empty if cron cannot say it."""
    parts: list[str] = []
    for part in text.split(","):
        start, slash, step = part.partition("/")
        first, dots, last = start.partition("..")
        numbers = [each for each in (first, last, step) if each]
        if not all(each == "*" or (each.isdecimal() and int(each) <= most) for each in numbers) or not first:
            return ""
        shown = "*" if first == "*" else str(int(first)) + (f"-{int(last)}" if dots else f"-{most}" if slash else "")
        parts.append(f"{shown}/{int(step)}" if slash else shown)
    return ",".join(parts)
