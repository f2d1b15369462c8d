"""Real time for the ``Clock`` protocol of the core, and the fallback from a clock that raises."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable

from aioverseer.core.clock import Clock, Timer

__all__ = ["LoopClock", "SteadyClock", "steady"]


class LoopClock:
    """Monotonic time, and timers on the running event loop."""

    __slots__ = ()

    def now(self) -> float:
        """Return monotonic seconds."""
        # Not ``loop.time()``: that of uvloop stands still within an iteration, and counts whole milliseconds.
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back at a monotonic time; in the next iteration of the loop when the time is past."""
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time as an aware datetime."""
        return datetime.datetime.now(datetime.UTC)


class _SteadyTimer:
    """A timer that can move to another clock."""

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
    """A clock of the application, replaced by real time when it raises.

    The event loop's exception handler is called once. Real time then continues from the last time of the clock, for
    pending timers too, as a ladder that has begun must come to its end. A clock that runs backwards stands still until
    it has caught up.
    """

    __slots__ = ("_ahead", "_armed", "_given", "_last", "_real")

    def __init__(self, given: Clock) -> None:
        """Wrap a clock.

        Args:
            given: The clock of the application.
        """
        self._given: Clock | None = given
        self._real = LoopClock()
        self._armed: set[_SteadyTimer] = set()
        self._last = float("-inf")
        self._ahead = 0.0

    def now(self) -> float:
        """Return monotonic seconds."""
        if self._given is not None:
            try:
                # The comparison makes a value that is no number fail here, and not in a state machine.
                self._last = now if (now := self._given.now()) >= self._last else self._last
            except Exception as error:  # noqa: BLE001  # code of the application
                self._give_up(error)
            else:
                return self._last
        return self._real.now() + self._ahead

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at a monotonic time of this clock."""
        if self._given is not None:
            timer = _SteadyTimer(when, callback, self._armed)
            try:
                timer.timer = self._given.call_at(when, timer.run)
            except Exception as error:  # noqa: BLE001  # as above
                self._give_up(error)
            return timer
        return self._real.call_at(when - self._ahead, callback)

    @property
    def call_at_wall(self) -> Callable[[datetime.datetime, Callable[[], None]], Timer] | None:
        """The method of that name of the clock of the application; None if it has none. See ``WallTimers``."""
        return getattr(self._given, "call_at_wall", None)

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time as an aware datetime."""
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
    """Return a clock that does not raise: the given one, or real time when it is None."""
    if given is None:
        return LoopClock()
    return given if isinstance(given, LoopClock | SteadyClock) else SteadyClock(given)
