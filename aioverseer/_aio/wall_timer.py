"""WallTimers: calls at wall-clock times, although the timers of a clock are monotonic.

A host that sleeps, or whose clock is set, moves the wall clock alone. So the timer fires after 300 s at most, and the
time that is left is computed again. All calls of an overseer share one timer.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from aioverseer._aio.timers import OneShotTimer
from aioverseer.core.clock import Clock, Timer

__all__ = ["LONGEST_SLEEP", "WallTimers"]

LONGEST_SLEEP = 300.0
"""Most seconds until the wall clock is read again."""

_SET_BACK = 1.0
"""Seconds by which a clock that runs slightly slow does not count as set back."""


class _Call:
    """One pending call."""

    __slots__ = ("_on_cancel", "callback")

    def __init__(self, callback: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._on_cancel()

    def run(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class WallTimers:
    """Calls at wall-clock times of one clock."""

    def __init__(self, clock: Clock) -> None:
        """Begin without calls.

        Args:
            clock: The source of time. If it has ``call_at_wall``, as a ManualClock has, it makes the calls itself.
        """
        self._clock = clock
        self._exact: Callable[[datetime, Callable[[], None]], Timer] | None = getattr(clock, "call_at_wall", None)
        self._calls: list[tuple[datetime, int, _Call]] = []
        self._numbers = itertools.count()
        self._timer = OneShotTimer(clock)
        self._offset = timedelta()

    def call_at(self, when: datetime, callback: Callable[[], Any]) -> Timer:
        """Call once the wall clock has reached a time, or was set back: the caller then arms again.

        Args:
            when: The time, aware.
            callback: The function to call.
        """
        if self._exact is not None:
            return self._exact(when, callback)
        call = _Call(callback, self._on_cancel)
        first = self._calls[0][0] if self._calls else None
        heapq.heappush(self._calls, (when, next(self._numbers), call))
        if first is None or when < first:
            self._arm()
        return call

    def _on_cancel(self) -> None:
        # Nothing may be left in the event loop once the last call is cancelled. With others the timer goes on.
        self._drop_cancelled()
        if not self._calls:
            self._timer.cancel()

    def _drop_cancelled(self) -> None:
        while self._calls and self._calls[0][2].callback is None:
            heapq.heappop(self._calls)

    def _arm(self) -> None:
        self._drop_cancelled()
        if not self._calls:
            self._timer.cancel()
            return
        now, wall = self._clock.now(), self._clock.wall()
        left = (self._calls[0][0] - wall).total_seconds()
        self._offset = wall - datetime.fromtimestamp(0, wall.tzinfo) - timedelta(seconds=now)
        self._timer.arm(now + min(max(left, 0.0), LONGEST_SLEEP), self._on_timer)

    def _on_timer(self) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        offset = wall - datetime.fromtimestamp(0, wall.tzinfo) - timedelta(seconds=now)
        is_set_back = (self._offset - offset).total_seconds() > _SET_BACK
        due: list[_Call] = []
        while self._calls and (is_set_back or self._calls[0][0] <= wall):
            due.append(heapq.heappop(self._calls)[2])
        # Armed first: a callback that raises must not take the other calls along.
        self._arm()
        for call in due:
            call.run()
