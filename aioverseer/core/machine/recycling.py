"""RecycleRule: when one run must be replaced, because of its memory or its age."""

from __future__ import annotations

from collections.abc import Iterable

from aioverseer.core.clock import Rng
from aioverseer.core.options.recycle import Recycle

__all__ = ["RecycleRule", "pause_between_looks"]

_LOOKS = 3
"""Number of looks at the memory in the time for which it must be above its limit."""
_SHORTEST, _LONGEST = 0.5, 10.0
"""Bounds of the pause between two looks, in seconds."""
_MIB = 1 << 20


class RecycleRule:
    """The rule for one run.

    Attributes:
        due: Monotonic time at which the run is old; None without a limit.
    """

    def __init__(self, option: Recycle, *, began: float, rng: Rng) -> None:
        """Begin with a run that is ready.

        Args:
            option: The limits.
            began: Monotonic time at which the run became ready.
            rng: The source of random numbers for the spread of the age.
        """
        self._option = option
        self._above: float | None = None
        """Monotonic time since which each look has found too much memory; None while it is below the limit."""
        self.due: float | None = None
        if option.age is not None:
            self.due = began + option.age * rng.uniform(1 - option.spread, 1 + option.spread)

    def look(self, memory: int, now: float) -> str:
        """Return why the run must be replaced, after a look at its memory; empty if it need not be.

        Args:
            memory: Bytes that the run uses.
            now: Monotonic time.
        """
        limit = self._option.memory
        if limit is None or memory <= limit:
            self._above = None
            return ""
        if self._above is None:
            self._above = now
        if now - self._above < self._option.hold:
            return ""
        held = f" for {now - self._above:.3g} s" if self._option.hold else ""
        return f"its memory is {memory / _MIB:.1f} MiB, above {limit / _MIB:.1f} MiB{held}"

    def grow_old(self, now: float) -> str:
        """Return why the run must be replaced because of its age; empty if it need not be."""
        if self.due is None or now < self.due:
            return ""
        return f"it is older than {self._option.age:g} s, with a spread of {self._option.spread:.0%}"


def pause_between_looks(options: Iterable[Recycle]) -> float | None:
    """Return the seconds between two looks at the memory of services; None if none has a limit."""
    holds = [option.hold for option in options if option.memory is not None]
    return min(max(min(holds) / _LOOKS, _SHORTEST), _LONGEST) if holds else None
