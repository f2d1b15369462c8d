"""What decisions ask of time and chance, as protocols.

Only the shapes live here. Whoever reads a clock, sets a timer or draws a number lives elsewhere (``system/``,
the application, ``testing``) and is passed in; nothing in the core may reach for them itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from aioverseer.core.export import exported_from

__all__ = ["Clock", "Rng", "Timer"]


@exported_from("aioverseer.abc")
class Timer(Protocol):
    """A call that will be made later, unless it is cancelled."""

    def cancel(self) -> None:
        """Do not make the call; does nothing when it was made or cancelled already."""


@exported_from("aioverseer.abc")
class Clock(Protocol):
    """Time as the library sees it; every decision is made by ``now()`` alone."""

    def now(self) -> float:
        """Return monotonic seconds, comparable with other answers of the same clock only."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back once, at a monotonic time in seconds; soon, but never from within, when it is past."""
        ...

    def wall(self) -> datetime:
        """Return the wall-clock time, aware and in UTC: a label, never part of a decision."""
        ...


@exported_from("aioverseer.abc")
class Rng(Protocol):
    """A source of chance; a ``random.Random`` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between ``a`` and ``b``."""
        ...
