"""Measures and their results: values and arithmetic, without a clock or a program."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["BASE", "OURS", "Contender", "Measure", "Output", "Result"]

BASE = "asyncio"
OURS = "aioverseer"

Contender = Callable[[int], Awaitable[float]]
"""A function that does a job of a given size. It returns the seconds for one piece of the job, or another value."""

Output = Literal["read", "inherit"]
"""The option ``output`` of services. The name of the package is not used: ``--against`` runs older trees too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of the goals.

    Attributes:
        key: The word for ``--only``.
        title: The text of the row.
        unit: ``"x"`` for a ratio to bare asyncio, else the unit of the value.
        must: The required value.
        aim: The desired value.
        more_is_better: Whether a higher value is better. If so, a ratio compares speeds, else times.
        size: The number of pieces of the job.
        quick: The size of the small job, for ``--quick``.
        contenders: The contenders by name, always with ``OURS``, and with ``BASE`` when the unit is ``"x"``.
        rounds: The largest number of rounds; None for no limit.
        times: A factor for the number of rounds. A short job needs more of them, as the machine disturbs it more.
    """

    key: str
    title: str
    unit: str
    must: float
    aim: float
    more_is_better: bool
    size: int
    quick: int
    contenders: Mapping[str, Contender]
    rounds: int | None = None
    times: int = 1

    def result(self, values: Mapping[str, Sequence[float]]) -> Result:
        """Return the median of each contender, and the ratios to bare asyncio."""
        medians = {name: statistics.median(several) for name, several in values.items()}
        ratios: dict[str, float] = {}
        if self.unit == "x":
            base = medians[BASE]
            ratios = {
                name: base / value if self.more_is_better else value / base
                for name, value in medians.items()
                if name != BASE
            }
        value = ratios[OURS] if self.unit == "x" else medians[OURS]
        return Result(key=self.key, value=value, medians=medians, ratios=ratios)

    def verdict(self, value: float) -> str:
        """Return ``"aim"``, ``"must"`` or ``"missed"``."""
        for goal, word in ((self.aim, "aim"), (self.must, "must")):
            if value >= goal if self.more_is_better else value <= goal:
                return word
        return "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one measure.

    Attributes:
        key: The key of the measure.
        value: The value that is compared with the goals.
        medians: The median of each contender, in seconds or in the unit of the measure.
        ratios: The ratio to bare asyncio of each other contender; empty when the measure is no ratio.
    """

    key: str
    value: float
    medians: Mapping[str, float]
    ratios: Mapping[str, float]
