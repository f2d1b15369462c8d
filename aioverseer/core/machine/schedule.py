"""Rules of schedules: which time comes next, and what becomes of a time that has come.

A rule reads no clock. ``CronRule`` goes by the wall clock, which may jump; ``EveryRule`` by the monotonic one.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo

from aioverseer.core.clock import Rng
from aioverseer.core.machine.cron import next_time
from aioverseer.core.options.schedule import Cron, Every

__all__ = ["CronRule", "EveryRule", "Occasion"]

_MOST_SPANS = 1000
"""Spans of times that have run. A new one begins only after a missed time or a jump of the clock."""
_LATE = 1.0
"""Seconds from which on a delay is told."""


class Occasion:
    """A time that has come.

    Attributes:
        runs: Whether the service runs for it; otherwise it is left out.
        text: Description, as a sentence without its end.
        nominal: The time, without its jitter; None for a schedule without a calendar.
    """

    __slots__ = ("nominal", "runs", "text")

    def __init__(self, *, runs: bool, text: str, nominal: datetime | None = None) -> None:
        self.runs = runs
        self.text = text
        self.nominal = nominal


class CronRule:
    """The times of one service with a ``Cron``.

    A time never runs twice, whatever the clock does: those that have run are remembered as spans.

    Attributes:
        schedule: The option.
        nominal: The next time, without its jitter; None if none follows.
        due: The same with its jitter.
    """

    def __init__(self, schedule: Cron, *, zone: tzinfo, zone_name: str, rng: Rng) -> None:
        """Begin without a next time.

        Args:
            schedule: The option.
            zone: The zone of the expression.
            zone_name: Its name, for texts.
            rng: The source of the jitter.
        """
        self.schedule = schedule
        self.nominal: datetime | None = None
        self.due: datetime | None = None
        self._fields = schedule.fields
        self._zone = zone
        self._zone_name = zone_name
        self._rng = rng
        self._within = timedelta(seconds=schedule.within)
        self._spans: list[tuple[datetime, datetime]] = []

    def keep(self, other: CronRule) -> None:
        """Take over the times that have run from the rule before this one."""
        self._spans = other._spans

    def arm(self, now: datetime, last: datetime | None = None) -> Occasion | None:
        """Begin with the first time after now.

        Args:
            now: The wall-clock time.
            last: The last time that has run, as a stamp tells; None if there is none.

        Returns:
            A time since then that was missed and must be made up for.
        """
        missed = None
        if self.schedule.missed == "once" and last is not None and (nominal := self._next(last)) and nominal <= now:
            missed = self._run(nominal, f"its time was missed ({self.words(nominal)})")
        self._plan(now)
        return missed

    def disarm(self) -> None:
        """Have no next time."""
        self.nominal = self.due = None

    def wake(self, now: datetime) -> list[Occasion]:
        """Return what becomes of the times that have come until now, and find the next one.

        Of several times that have come, one runs at most.

        Args:
            now: The wall-clock time. It may be before that of an earlier call.
        """
        nominal, due = self.nominal, self.due
        if nominal is None or due is None:
            return []
        if now < due:
            if (earlier := self._next(now)) is not None and earlier < nominal:
                self._plan(now)  # the clock was set back
            return []
        late = (now - due).total_seconds()
        if now - due <= self._within:
            found = [self._run(nominal, f"its time has come ({self.words(nominal)}){_delay(late)}")]
        else:
            found = self._miss(nominal, now, late)
        self._plan(max(nominal, now - timedelta(seconds=self.schedule.jitter)))
        return found

    def _miss(self, nominal: datetime, now: datetime, late: float) -> list[Occasion]:
        recent = self._next(now - self._within)
        if recent is not None and recent <= now:
            told = Occasion(runs=False, text=f"its time was missed by {_span(late)} ({self.words(nominal)}): skipped")
            return [told, self._run(recent, f"its time has come ({self.words(recent)})")]
        text = f"its time was missed by {_span(late)} ({self.words(nominal)})"
        if self.schedule.missed == "once":
            return [self._run(nominal, text)]
        return [Occasion(runs=False, text=f"{text}: skipped", nominal=nominal)]

    def _run(self, nominal: datetime, text: str) -> Occasion:
        """Remember a time as one that has run."""
        spans = self._spans
        if spans and spans[-1][1] < nominal and next_time(self._fields, spans[-1][1], self._zone) == nominal:
            spans[-1] = spans[-1][0], nominal
        else:
            spans.append((nominal, nominal))
            del spans[:-_MOST_SPANS]
        return Occasion(runs=True, text=text, nominal=nominal)

    def _plan(self, after: datetime) -> None:
        self.nominal = self._next(after)
        self.due = None
        if self.nominal is not None:
            jitter = self._rng.uniform(0.0, self.schedule.jitter) if self.schedule.jitter else 0.0
            self.due = self.nominal + timedelta(seconds=jitter)

    def _next(self, after: datetime) -> datetime | None:
        """Return the first time after a moment that has not run yet."""
        found = next_time(self._fields, after, self._zone)
        while found is not None:
            ends = [last for first, last in self._spans if first <= found <= last]
            if not ends:
                return found
            found = next_time(self._fields, max(ends), self._zone)
        return None

    def awaited(self, now: datetime) -> str:
        """Return the next time as words after "waits for"; without one that from now on."""
        nominal = self.nominal or self._next(now)
        return "no time, as none follows" if nominal is None else self.words(nominal)

    def words(self, nominal: datetime) -> str:
        """Return a time in the zone of the schedule, with the name of the zone."""
        return f"{nominal.astimezone(self._zone):%Y-%m-%d %H:%M} {self._zone_name}"


class EveryRule:
    """The times of one service with an ``Every``.

    Attributes:
        schedule: The option.
        due: The monotonic time of the next run; None while it is disarmed.
    """

    def __init__(self, schedule: Every, *, rng: Rng) -> None:
        """Begin without a next time.

        Args:
            schedule: The option.
            rng: The source of the jitter.
        """
        self.schedule = schedule
        self.due: float | None = None
        self._rng = rng
        self._start = 0.0
        self._number = 0

    def arm(self, now: float) -> None:
        """Begin to count.

        Args:
            now: Monotonic seconds.
        """
        self._start = now
        self._plan(0 if self.schedule.first == "at_start" else 1)

    def disarm(self) -> None:
        """Have no next time."""
        self.due = None

    def wake(self, now: float) -> list[Occasion]:
        """Return the time that has come, if one has, and find the next one after now.

        Args:
            now: Monotonic seconds. A timer may fire slightly early, so pass the time for which it was armed if that is
                later.
        """
        if self.due is None or now < self.due:
            return []
        late = now - self.due
        self._plan(max(self._number, math.floor((now - self._start) / self.schedule.period)) + 1)
        return [Occasion(runs=True, text=f"its time has come (every {self.schedule.period:g} s){_delay(late)}")]

    def _plan(self, number: int) -> None:
        self._number = number
        jitter = self._rng.uniform(0.0, self.schedule.jitter) if self.schedule.jitter else 0.0
        self.due = self._start + number * self.schedule.period + jitter

    @property
    def awaited(self) -> str:
        """The next time as words after "waits for"."""
        return f"its time, every {self.schedule.period:g} s"


def _delay(seconds: float) -> str:
    return f", {_span(seconds)} ago" if seconds >= _LATE else ""


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
