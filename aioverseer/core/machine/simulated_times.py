"""SimulatedTimes: the schedule of a simulated service, which feeds its state machine as a real schedule does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aioverseer.core.clock import Rng
from aioverseer.core.machine.inputs import Triggered
from aioverseer.core.machine.schedule import CronRule, EveryRule
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.options.schedule import Cron, Every
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.state import State

__all__ = ["SimulatedTimes"]


class SimulatedTimes:
    """The times of one schedule, in seconds from the start; a ``Trigger``.

    Attributes:
        outlives_give_up: Whether the service waits for the next time also after a run that has spent its budget.
    """

    outlives_give_up = True

    def __init__(self, schedule: Schedule, *, start: datetime, rng: Rng) -> None:
        """Begin with the first time after the start.

        Args:
            schedule: Option of the service.
            start: Wall-clock time of the start.
            rng: Source of the jitter.
        """
        self._start = start
        self._rule: CronRule | EveryRule
        match schedule:
            case Cron(timezone=name):
                self._rule = CronRule(schedule, zone=schedule.zone or UTC, zone_name=name or "UTC", rng=rng)
                self._rule.arm(start)
            case Every():
                self._rule = EveryRule(schedule, rng=rng)
                self._rule.arm(0.0)
            case _:
                raise TypeError(f"{schedule!r} is no schedule of this library")

    @property
    def awaited(self) -> str:
        """Next time, as words after "waits for"."""
        return self._rule.awaited(self._start) if isinstance(self._rule, CronRule) else self._rule.awaited

    @property
    def due(self) -> float | None:
        """Seconds from the start to the next time; None if none follows."""
        due = self._rule.due
        return (due - self._start).total_seconds() if isinstance(due, datetime) else due

    def begin_next(self, machine: ServiceMachine) -> float | None:
        """Begin the run of the next time, and return the seconds from the start; None if none follows."""
        due = self.due
        if due is not None:
            self._feed(machine, due)
        return due

    def pass_until(self, machine: ServiceMachine, end: float) -> float:
        """Feed the times that come during a run or a backoff.

        Args:
            machine: State machine of the service.
            end: Seconds from the start to the end of the run or the backoff.

        Returns:
            ``end``, or the earlier moment at which a time has ended it.
        """
        state = machine.state
        while (due := self.due) is not None and due < end:
            self._feed(machine, due)
            if machine.state is not state and machine.state in (State.STOPPING, State.STARTING):
                return due
        return end

    def _feed(self, machine: ServiceMachine, now: float) -> None:
        rule = self._rule
        wall = self._start + timedelta(seconds=now)
        for occasion in rule.wake(wall) if isinstance(rule, CronRule) else rule.wake(now):
            machine.feed(Triggered(why=occasion.text, overlap=rule.schedule.overlap), now)
