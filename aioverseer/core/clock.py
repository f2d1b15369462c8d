"""Protocols for time and random numbers, which callers pass in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from aioverseer.core.export import exported_from

__all__ = ["Clock", "Rng", "Timer"]


@exported_from("aioverseer.abc")
class Timer(Protocol):
    """A scheduled call that can be cancelled."""

    def cancel(self) -> None:
        """Cancel the call; do nothing if it was made or cancelled already."""


@exported_from("aioverseer.abc")
class Clock(Protocol):
    """Source of time for the library. All decisions use ``now()`` alone."""

    def now(self) -> float:
        """Return monotonic seconds; only times of the same clock can be compared."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call ``callback`` once at a monotonic time in seconds; soon, but not during this call, if it is past."""
        ...

    def wall(self) -> datetime:
        """Return the wall-clock time, aware and in UTC. It is a label and never part of a decision."""
        ...


@exported_from("aioverseer.abc")
class Rng(Protocol):
    """Source of random numbers; a ``random.Random`` is one."""

    def random(self) -> float:
        """Return a random number in [0, 1)."""
        ...

    def uniform(self, a: float, b: float, /) -> float:
        """Return a random number between ``a`` and ``b``."""
        ...
