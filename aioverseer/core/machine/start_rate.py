"""The rate of starts by connections: a program that never takes them must not be started in a busy loop."""

from __future__ import annotations

from collections import deque

__all__ = ["StartRate"]

_BURST = 20
_WITHIN = 2.0
"""Starts in so many seconds (TriggerLimitBurst and TriggerLimitIntervalSec in systemd.socket(5))."""


class StartRate:
    """The times of the last starts of one service."""

    __slots__ = ("_starts",)

    def __init__(self) -> None:
        self._starts: deque[float] = deque(maxlen=_BURST)

    def record(self, now: float) -> None:
        """Record a start, in monotonic seconds."""
        self._starts.append(now)

    def next_at(self, now: float) -> float:
        """Return the monotonic time from which the next start is allowed."""
        return now if len(self._starts) < _BURST else max(now, self._starts[0] + _WITHIN)
