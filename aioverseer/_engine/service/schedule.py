"""Schedules: start the runs of services by their schedules. ``core/machine/schedule.py`` has the rules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

from aioverseer._aio.timers import OneShotTimer
from aioverseer._aio.wall_timer import WallTimers
from aioverseer._system.host.local_zone import zone_of
from aioverseer._system.host.stamp import read_stamp, write_stamp
from aioverseer.core.clock import Clock, Rng, Timer
from aioverseer.core.machine.schedule import CronRule, EveryRule, Occasion
from aioverseer.core.options.schedule import Cron, Every
from aioverseer.core.options.schedule_base import Overlap, Schedule
from aioverseer.core.options.spec import Spec

__all__ = ["ScheduleTrigger", "Schedules"]


class ScheduleTrigger:
    """The schedule of one service; a ``TriggerSource``."""

    kind: Literal["time"] = "time"
    outlives_give_up = True

    def __init__(
        self,
        schedule: Schedule,
        *,
        start: Callable[[str, Overlap], None],
        publish: Callable[[str, int], None],
        rephrase: Callable[[], None],
        clock: Clock,
        rng: Rng,
        wall_timers: WallTimers,
    ) -> None:
        """Prepare a schedule. It is disarmed.

        Args:
            schedule: The option.
            start: Function that starts a run, given the reason and the treatment of an overlap.
            publish: Function that publishes a sentence about the service, given its level.
            rephrase: Function that updates the reason of the service while it waits.
            clock: The source of time.
            rng: The source of the jitter.
            wall_timers: The timers for times of the calendar.
        """
        self._start = start
        self._publish = publish
        self._rephrase = rephrase
        self._clock = clock
        self._rng = rng
        self._wall_timers = wall_timers
        self._rule = self._rule_for(schedule)
        self._timer = OneShotTimer(clock)
        self._wall_timer: Timer | None = None
        self._armed = False

    def _rule_for(self, schedule: Schedule) -> CronRule | EveryRule:
        match schedule:
            case Cron(timezone=timezone):
                zone, name = zone_of(timezone)
                return CronRule(schedule, zone=zone, zone_name=name, rng=self._rng)
            case Every():
                return EveryRule(schedule, rng=self._rng)
            case _:
                raise TypeError(f"{schedule!r} is no schedule of this library")

    # Questions of the service.

    @property
    def awaited(self) -> str:
        """The next time, as words after "waits for"."""
        rule = self._rule
        return rule.awaited(self._clock.wall()) if isinstance(rule, CronRule) else rule.awaited

    @property
    def due(self) -> float | None:
        """The monotonic time of the next run; None while the schedule is disarmed."""
        rule = self._rule
        if isinstance(rule, EveryRule):
            return rule.due
        return None if rule.due is None else self._clock.now() + (rule.due - self._clock.wall()).total_seconds()

    @property
    def due_at(self) -> datetime | None:
        """The wall-clock time of the next run; None while the schedule is disarmed."""
        rule = self._rule
        if isinstance(rule, CronRule):
            return rule.due
        return None if rule.due is None else self._clock.wall() + timedelta(seconds=rule.due - self._clock.now())

    def set(self, *, armed: bool, waiting: bool) -> None:  # noqa: ARG002  # times also come during a run
        """Begin with the first time when the service is started, and drop the next one when it is stopped."""
        if armed is self._armed:
            return
        self._armed = armed
        if armed:
            self._begin()
        else:
            self._cancel()
            self._rule.disarm()

    def update(self, spec: Spec) -> bool:
        """Take the schedule of other options; see ``TriggerSource``. If it is armed, its times count from now on."""
        if spec.schedule is None:
            return False
        if spec.schedule == self._rule.schedule:
            return True
        before, self._rule = self._rule, self._rule_for(spec.schedule)
        if isinstance(before, CronRule) and isinstance(self._rule, CronRule):
            self._rule.keep(before)
        if self._armed:
            self._cancel()
            self._begin()
            self._rephrase()
        return True

    # Times.

    def _begin(self) -> None:
        rule = self._rule
        if isinstance(rule, EveryRule):
            rule.arm(self._clock.now())
        elif (missed := rule.arm(self._clock.wall(), self._read_stamp(rule.schedule))) is not None:
            self._take([missed])
        self._arm()

    def _arm(self) -> None:
        rule = self._rule
        if isinstance(rule, EveryRule):
            if rule.due is not None:
                self._timer.arm(rule.due, self._on_time)
        elif rule.due is not None:
            self._wall_timer = self._wall_timers.call_at(rule.due, self._on_time)

    def _cancel(self) -> None:
        self._timer.cancel()
        if self._wall_timer is not None:
            self._wall_timer.cancel()
            self._wall_timer = None

    def _on_time(self) -> None:
        rule = self._rule
        if isinstance(rule, EveryRule):
            found = rule.wake(max(self._clock.now(), self._timer.due))  # a clock may call slightly early
        else:
            found = rule.wake(self._clock.wall())
        # Armed before a run may fail: an error of the service must not end its schedule unseen.
        self._arm()
        self._take(found)
        self._rephrase()

    def _take(self, occasions: Iterable[Occasion]) -> None:
        for occasion in occasions:
            if not occasion.runs:
                self._publish(occasion.text, logging.WARNING)
                continue
            self._write_stamp()
            self._start(occasion.text, self._rule.schedule.overlap)

    # The stamp. A file of one line is read and written in the loop: it is no more work than a spawn.

    def _read_stamp(self, schedule: Cron) -> datetime | None:
        if schedule.stamp is None:
            return None
        try:
            last = read_stamp(schedule.stamp)
        except (OSError, ValueError) as error:
            self._publish(f"the stamp {schedule.stamp!r} cannot be read: {error}", logging.WARNING)
            return None
        if last is None:  # missed times count from the first start on
            self._write_stamp()
        return last

    def _write_stamp(self) -> None:
        schedule = self._rule.schedule
        if isinstance(schedule, Cron) and schedule.stamp is not None:
            try:
                write_stamp(schedule.stamp, self._clock.wall())
            except OSError as error:
                self._publish(f"the stamp {schedule.stamp!r} cannot be written: {error}", logging.WARNING)


class Schedules:
    """The schedules of one overseer. All times of the calendar share one timer."""

    def __init__(self, *, clock: Clock, rng: Rng) -> None:
        """Begin without schedules.

        Args:
            clock: The source of time.
            rng: The source of the jitter.
        """
        self._clock = clock
        self._rng = rng
        self._wall_timers = WallTimers(clock)

    def add(
        self,
        schedule: Schedule,
        *,
        start: Callable[[str, Overlap], None],
        publish: Callable[[str, int], None],
        rephrase: Callable[[], None],
    ) -> ScheduleTrigger:
        """Return the trigger of a service; see ``ScheduleTrigger`` for the arguments."""
        return ScheduleTrigger(
            schedule,
            start=start,
            publish=publish,
            rephrase=rephrase,
            clock=self._clock,
            rng=self._rng,
            wall_timers=self._wall_timers,
        )
