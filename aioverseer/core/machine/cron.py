"""The next time of a cron expression in a zone, over the changes of summer time.

A fixed hour that is skipped comes right after the gap, one that comes twice counts the first time. Expressions with a
star for minutes or hours go by real time. The cron of Debian does the same.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

from aioverseer.core.options.cron import CronFields

__all__ = ["next_time"]

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_YEARS = 60
"""Years that are searched: the 29th of February is a given day of the week each 28 years, and 2100 has none."""


def next_time(fields: CronFields, after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first time after a moment, in UTC; None if there is none in the next decades.

    Args:
        fields: Fields of the expression.
        after: Moment, aware.
        zone: Zone of the expression.
    """
    return (_next_fixed if fields.is_fixed else _next_real)(fields, after.astimezone(UTC), zone)


def _next_fixed(fields: CronFields, after: datetime, zone: tzinfo) -> datetime | None:
    local = after.astimezone(zone).replace(tzinfo=None)
    day = _next_day(fields, local.date())
    while day is not None:
        for hour in fields.hours:
            for minute in fields.minutes:
                wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # the zone comes below
                # No earlier wall time is a later moment, as only the first of two counts.
                if wall > local and (found := _moment(wall, zone)) > after:
                    return found
        day = _next_day(fields, day + _DAY)
    return None


def _next_real(fields: CronFields, after: datetime, zone: tzinfo) -> datetime | None:
    found = after.replace(second=0, microsecond=0) + _MINUTE
    while True:
        local = found.astimezone(zone)
        today = local.date()
        day = _next_day(fields, today)
        if day is None:
            return None
        if day != today:
            midnight = _moment(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001  # the zone is beside it
            found = max(midnight, found + _MINUTE)
            continue
        if local.hour in fields.hours:
            if local.minute in fields.minutes:
                return found
            following = next((minute for minute in fields.minutes if minute > local.minute), 60)
        else:
            following = 60
        later = found + (following - local.minute) * _MINUTE
        # A change of the offset in between leads elsewhere: go on minute by minute.
        found = later if later.astimezone(zone).utcoffset() == local.utcoffset() else found + _MINUTE


def _next_day(fields: CronFields, day: date) -> date | None:
    """Return the first matching day from this one on."""
    last = day.year + _YEARS
    while day.year <= last:
        if day.month not in fields.months:
            day = (day.replace(day=1) + 31 * _DAY).replace(day=1)
            continue
        in_month, in_week = day.day in fields.days, day.isoweekday() % 7 in fields.weekdays
        if (in_month or in_week) if fields.either_day else (in_month and in_week):
            return day
        day += _DAY
    return None


def _moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return the moment of a wall time: the first of two, or the end of the gap if it is skipped."""
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while found - before > _SECOND:
        middle = before + (found - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            found = middle
    return found.replace(microsecond=0)
