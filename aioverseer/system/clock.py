"""The clock of the running event loop.

The only place that reads the time. Decisions get it through the ``Clock`` protocol of the core.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable

__all__ = ["LoopClock"]


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
