"""Timers on a clock: one call that can be moved or cancelled, and a sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aioverseer._aio.fork import generation
from aioverseer.core.clock import Clock, Timer

__all__ = ["OneShotTimer", "resolve", "sleep_until"]


class OneShotTimer:
    """A timer with at most one call pending.

    Attributes:
        due: Time on the clock for which the timer was armed last. A clock may call slightly early, so the callback
            compares with this time instead of ``clock.now()``.
    """

    __slots__ = ("_callback", "_clock", "_generation", "_timer", "due")

    def __init__(self, clock: Clock) -> None:
        """Create a timer that is not armed.

        Args:
            clock: Clock that makes the call.
        """
        self._clock = clock
        self._timer: Timer | None = None
        # The callback is passed to ``arm``, and dropped after its call. A timer that kept a method of its owner
        # would form a reference cycle with the owner, which only the garbage collector could free.
        self._callback: Callable[[], None] | None = None
        self._generation = 0
        self.due = 0.0

    @property
    def is_armed(self) -> bool:
        """Whether a call is pending."""
        return self._callback is not None

    def arm(self, when: float, callback: Callable[[], None]) -> None:
        """Make one call at a time. A call that is still pending is replaced.

        Args:
            when: Monotonic time of the clock, in seconds.
            callback: The function to call.
        """
        if self._timer is not None:
            self._timer.cancel()
        self.due = when
        self._generation = generation()
        self._callback = callback
        self._timer = self._clock.call_at(when, self._fire)

    def cancel(self) -> None:
        """Drop the pending call. Idempotent."""
        timer, self._timer, self._callback = self._timer, None, None
        if timer is not None:
            timer.cancel()

    def _fire(self) -> None:
        callback, self._timer, self._callback = self._callback, None, None
        if callback is not None and self._generation == generation():
            callback()


async def sleep_until(clock: Clock, when: float) -> None:
    """Sleep until a time on a clock. Safe to cancel.

    Args:
        clock: Clock that measures the time.
        when: Monotonic time of that clock, in seconds.
    """
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_at(when, lambda: resolve(over))
    try:
        await over
    finally:
        timer.cancel()


def resolve(future: asyncio.Future[Any]) -> None:
    """Complete a future with None, unless it is done or cancelled already."""
    if not future.done():
        future.set_result(None)
