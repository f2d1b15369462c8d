"""Backoff: the delays before repeated attempts."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Literal, cast

from aioverseer.core.clock import Rng
from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.numbers import no_seconds
from aioverseer.core.options.unknown import answers_unknown

__all__ = ["Backoff", "Jitter", "use_rng"]

Jitter = bool | Literal["full", "decorrelated"]
"""Random spread of the delays; see ``Backoff``."""

_makers: list[Callable[[], Rng]] = []


def use_rng(make: Callable[[], Rng]) -> None:
    """Set the source of random numbers for every Backoff that is used without one.

    The package sets it with its first public name, as nothing in ``core`` reads chance by itself.

    Args:
        make: Makes the source; called when one is needed first.
    """
    _makers[:] = [make]
    _default_rng.cache_clear()


@functools.cache
def _default_rng() -> Rng:
    return _makers[0]()


@exported_from("aioverseer")
@answers_unknown()
class Backoff:
    """Delay that grows with each attempt, up to a limit.

    The delay ``d`` of attempt ``n`` (the first is 0) is ``min * factor**n`` seconds, at most ``max``. ``jitter``
    spreads the delays at random, so that programs that failed together do not restart together:

    - ``False``: exactly ``d``.
    - ``True``: between ``min`` and ``d``; the first attempt is not spread.
    - ``"full"``: between 0 and ``d``.
    - ``"decorrelated"``: between ``min`` and three times the previous delay, at most ``max``; ``n`` does not count.
      The delay grows from ``min``, so with ``min=0`` it is always 0.

    ``for_attempt()`` neither reads nor changes the counter. ``duration()`` counts attempts; that counter belongs to its
    caller, as a restart policy uses a Backoff as a value. Two are equal if their options are equal, whatever their
    counters.
    """

    __slots__ = ("_attempt", "_factor", "_jitter", "_max", "_min", "_previous", "_rng")

    def __init__(
        self,
        min: float = 0.1,
        max: float = 10.0,
        factor: float = 2.0,
        jitter: Jitter = False,  # noqa: FBT002  # the order of the Go library
        *,
        rng: Rng | None = None,
    ) -> None:
        """Check and store the options.

        Args:
            min: Seconds before the first attempt, 0 or more.
            max: Longest delay in seconds, 0 or more; with ``min >= max`` every delay is ``max``.
            factor: Ratio of each delay to the one before, more than 0; below 1 every delay is ``min``.
            jitter: ``False``, ``True``, ``"full"`` or ``"decorrelated"``.
            rng: Source of random numbers for jitter, for example ``random.Random(1)``. In a Restart it precedes that
                of the overseer. None uses that of the overseer, or of the operating system without an overseer.

        Raises:
            SpecError: Naming the option and the value.
        """
        self._min = _as_seconds("backoff.min", min)
        self._max = _as_seconds("backoff.max", max)
        self._factor = _as_number("backoff.factor", factor, "pass a number above 0, for example 2")
        if self._factor == 0:
            raise SpecError(
                f"backoff.factor={factor!r} is out of bounds: pass a number above 0, for example 2",
                option="backoff.factor",
                value=factor,
            )
        if not isinstance(jitter, bool) and jitter not in ("full", "decorrelated"):
            raise SpecError(
                f'backoff.jitter={jitter!r} is unknown: pass True, False, "full" or "decorrelated"',
                option="backoff.jitter",
                value=jitter,
            )
        if rng is not None and not callable(getattr(rng, "uniform", None)):
            raise SpecError(
                f"backoff.rng={rng!r} gives no random numbers: pass for example random.Random(1)",
                option="backoff.rng",
                value=rng,
            )
        self._jitter: Jitter = jitter
        self._rng = rng
        self._attempt = 0
        self._previous: float | None = None

    @property
    def min(self) -> float:
        """Seconds before the first attempt."""
        return self._min

    @property
    def max(self) -> float:
        """Longest delay in seconds."""
        return self._max

    @property
    def factor(self) -> float:
        """Ratio of each delay to the one before."""
        return self._factor

    @property
    def jitter(self) -> Jitter:
        """Random spread of the delays."""
        return self._jitter

    @property
    def rng(self) -> Rng | None:
        """Source of random numbers that the constructor got, or None."""
        return self._rng

    @property
    def attempt(self) -> int:
        """Number of calls of ``duration()`` since the last ``reset()``."""
        return self._attempt

    def for_attempt(self, n: float, rng: Rng | None = None, previous: float | None = None) -> float:
        """Return the seconds to wait before attempt ``n``, without reading or changing the counter.

        Args:
            n: Number of the attempt, from 0, without an upper limit.
            rng: Source of random numbers; None uses that of the constructor, or else of the operating system. Without
                jitter it is not used.
            previous: Previous delay in seconds, for ``jitter="decorrelated"``; None is ``min``.

        Raises:
            SpecError: For a negative ``n``.
        """
        # This form of the comparison also refuses nan.
        if not n >= 0:
            raise SpecError(f"n={n!r} is no attempt: the first is 0", option="n", value=n)
        if self._jitter is False:
            return self._grown(n)
        if rng is None:
            rng = _default_rng() if self._rng is None else self._rng
        if self._min >= self._max:
            return self._max
        if self._jitter == "decorrelated":
            last = self._min if previous is None else previous
            # Without the limit, infinity times a random 0 would be nan.
            high = min(3.0 * last, sys.float_info.max)
            return min(rng.uniform(self._min, max(self._min, high)), self._max)
        d = self._grown(n)
        low = 0.0 if self._jitter == "full" else self._min
        # uniform() may round to slightly more than d.
        return min(rng.uniform(low, d), d) if low < d else d

    def duration(self) -> float:
        """Return the seconds to wait before the next attempt, and count it."""
        delay = self.for_attempt(self._attempt, previous=self._previous)
        self._attempt += 1
        self._previous = delay
        return delay

    def reset(self) -> None:
        """Reset the counter: the next ``duration()`` is that of the first attempt."""
        self._attempt = 0
        self._previous = None

    def _grown(self, n: float) -> float:
        if self._min >= self._max:
            return self._max
        if self._factor <= 1 or self._min == 0:
            return self._min
        try:
            grown: float = self._min * self._factor**n
        except OverflowError:
            return self._max
        return min(grown, self._max)

    def _options(self) -> tuple[object, ...]:
        return (self._min, self._max, self._factor, self._jitter)

    def __eq__(self, other: object) -> bool:
        return self._options() == other._options() if isinstance(other, Backoff) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._options())

    def __repr__(self) -> str:
        return f"Backoff(min={self._min!r}, max={self._max!r}, factor={self._factor!r}, jitter={self._jitter!r})"


def _as_seconds(option: str, value: object) -> float:
    if (why := no_seconds(value)) is not None:
        raise SpecError(f"{option}={value!r} {why}", option=option, value=value)
    return float(cast("float", value))


def _as_number(option: str, value: object, hint: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise SpecError(f"{option}={value!r} is no number: {hint}", option=option, value=value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise SpecError(f"{option}={value!r} is out of bounds: {hint}", option=option, value=value)
    return number
