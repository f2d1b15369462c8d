"""Backoff: how many seconds to wait before an attempt.

Formulas only: chance comes in as an ``Rng``, and nothing here waits or knows what is attempted. How often
something may be attempted at all is decided in ``restart.py``.
"""

from __future__ import annotations

import math
import sys
from typing import Literal

from aioverseer.core.clock import Rng
from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from

__all__ = ["Backoff", "Jitter"]

Jitter = bool | Literal["full", "decorrelated"]
"""How chance spreads the delays; see ``Backoff``."""


@exported_from("aioverseer")
class Backoff:
    """A delay that grows with each attempt, up to a cap.

    The delay of attempt ``n`` (the first is 0) is ``min * factor**n`` seconds, at most ``max``, called ``d``
    here. ``jitter`` spreads it, so that many who failed together do not come back together:

    - ``False``: exactly ``d``.
    - ``True``: between ``min`` and ``d``; the first attempt is not spread.
    - ``"full"``: between 0 and ``d``.
    - ``"decorrelated"``: between ``min`` and three times the delay before, at most ``max``; ``n`` does not
      count. It grows from ``min``, so with ``min=0`` it never waits.

    ``for_attempt()`` is pure. ``duration()`` counts attempts by itself; that counter belongs to whoever calls
    it: a restart policy takes a Backoff as a value and never uses it. Two are equal when their options are,
    whatever they have counted.
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
        """Check the options.

        Args:
            min: Seconds before the first attempt, 0 or more.
            max: Seconds that no delay exceeds, 0 or more; with ``min >= max`` every delay is ``max``.
            factor: How many times longer each delay is than the one before, more than 0; below 1 every
                delay is ``min``.
            jitter: ``False``, ``True``, ``"full"`` or ``"decorrelated"``.
            rng: Source of chance for jitter, for example ``random.Random()``; needed when it is not given to
                ``for_attempt()``.

        Raises:
            SpecError: Naming the option and the value.
        """
        self._min = _as_number("backoff.min", min, "pass seconds, 0 or more")
        self._max = _as_number("backoff.max", max, "pass seconds, 0 or more")
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
        """Seconds that no delay exceeds."""
        return self._max

    @property
    def factor(self) -> float:
        """How many times longer each delay is than the one before."""
        return self._factor

    @property
    def jitter(self) -> Jitter:
        """How chance spreads the delays."""
        return self._jitter

    @property
    def attempt(self) -> int:
        """How often ``duration()`` was called since the last ``reset()``."""
        return self._attempt

    def for_attempt(self, n: float, rng: Rng | None = None, previous: float | None = None) -> float:
        """Return the seconds to wait before attempt ``n``; no counter is read or changed.

        Args:
            n: Number of the attempt, from 0; as large as you like.
            rng: Source of chance; the one of the constructor when None. Not read without jitter.
            previous: Seconds of the delay before, for ``jitter="decorrelated"``; None is ``min``.

        Raises:
            SpecError: For a negative ``n``, or when there is jitter and no source of chance.
        """
        # Also refuses nan, which compares false with everything.
        if not n >= 0:
            raise SpecError(f"n={n!r} is no attempt: the first is 0", option="n", value=n)
        if self._jitter is False:
            return self._grown(n)
        rng = self._rng if rng is None else rng
        if rng is None:
            raise SpecError(
                f"backoff.jitter={self._jitter!r} needs a source of chance: pass rng=random.Random()",
                option="rng",
            )
        if self._min >= self._max:
            return self._max
        if self._jitter == "decorrelated":
            last = self._min if previous is None else previous
            # Infinity times a chance of 0 would be no number.
            high = min(3.0 * last, sys.float_info.max)
            return min(rng.uniform(self._min, max(self._min, high)), self._max)
        d = self._grown(n)
        low = 0.0 if self._jitter == "full" else self._min
        # uniform() may round to a hair above d.
        return min(rng.uniform(low, d), d) if low < d else d

    def duration(self) -> float:
        """Return the seconds to wait before the next attempt, and count it.

        Raises:
            SpecError: When there is jitter and the constructor was given no ``rng``.
        """
        delay = self.for_attempt(self._attempt, previous=self._previous)
        self._attempt += 1
        self._previous = delay
        return delay

    def reset(self) -> None:
        """Begin again: the next ``duration()`` is that of the first attempt."""
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
