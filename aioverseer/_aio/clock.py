"""The clock of the running event loop.

The only place that reads the time. Decisions get it through the ``Clock`` protocol of the core.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable

from aioverseer.core.clock import Clock, Timer

__all__ = ["LoopClock", "SteadyClock", "steady"]


class LoopClock:
    """Monotonic time, and timers on whatever event loop is running."""

    __slots__ = ()

    def now(self) -> float:
        """Return monotonic seconds."""
        # Not loop.time(): uvloop gives the time at which its turn began, in whole milliseconds.
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at a monotonic time; at once, on the next turn of the loop, when it is past."""
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time, aware, as a label."""
        return datetime.datetime.now(datetime.UTC)


class _SteadyTimer:
    """A timer that may move from one clock to another."""

    __slots__ = ("_armed", "callback", "timer", "when")

    def __init__(self, when: float, callback: Callable[[], None], armed: set[_SteadyTimer]) -> None:
        self.when = when
        self.callback = callback
        self.timer: Timer | None = None
        self._armed = armed
        armed.add(self)

    def cancel(self) -> None:
        self._armed.discard(self)
        if self.timer is not None:
            self.timer.cancel()

    def run(self) -> None:
        if self in self._armed:
            self._armed.discard(self)
            self.callback()


class SteadyClock:
    """A clock that somebody has given, for as long as it works.

    When it raises, that is told once to the event loop's exception handler, and real time goes on from where it was,
    for the timers that are armed too: a ladder that has begun must come to its end. Time that runs backwards stands
    still until it has caught up.
    """

    __slots__ = ("_ahead", "_armed", "_given", "_last", "_real")

    def __init__(self, given: Clock) -> None:
        """Take what was given."""
        self._given: Clock | None = given
        self._real = LoopClock()
        self._armed: set[_SteadyTimer] = set()
        self._last = float("-inf")
        self._ahead = 0.0

    def now(self) -> float:
        """Return monotonic seconds."""
        if self._given is not None:
            try:
                # Compared so that what is no number fails here, and not in a decision.
                self._last = now if (now := self._given.now()) >= self._last else self._last
            except Exception as error:  # noqa: BLE001  # somebody else's code
                self._give_up(error)
            else:
                return self._last
        return self._real.now() + self._ahead

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at a time of this clock."""
        if self._given is not None:
            timer = _SteadyTimer(when, callback, self._armed)
            try:
                timer.timer = self._given.call_at(when, timer.run)
            except Exception as error:  # noqa: BLE001  # as above
                self._give_up(error)
            return timer
        return self._real.call_at(when - self._ahead, callback)

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time, aware, as a label."""
        if self._given is not None:
            try:
                return self._given.wall()
            except Exception as error:  # noqa: BLE001  # as above
                self._give_up(error)
        return self._real.wall()

    def _give_up(self, error: Exception) -> None:
        self._given = None
        if self._last > float("-inf"):
            self._ahead = self._last - self._real.now()
        for timer in sorted(self._armed, key=lambda armed: armed.when):
            timer.timer = self._real.call_at(timer.when - self._ahead, timer.run)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "aioverseer: the clock has raised, real time is used instead", "exception": error}
        )


def steady(given: Clock | None) -> Clock:
    """Return the loop's clock, or what was given in a form that does not fail."""
    if given is None:
        return LoopClock()
    return given if isinstance(given, LoopClock | SteadyClock) else SteadyClock(given)
