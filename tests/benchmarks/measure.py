"""What is measured, and what came of it: values and their arithmetic, no clock and no program."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["BASE", "OURS", "Contender", "Measure", "Result"]

BASE = "asyncio"
OURS = "aioverseer"

Contender = Callable[[int], Awaitable[float]]
"""Does a job of a given size, and returns the seconds for one piece of it, or what else is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of the goals.

    Attributes:
        key: A word for ``--only``.
        title: What the row says.
        unit: ``"x"`` for a ratio to bare asyncio, else the unit of the value.
        must: The value that is required.
        aim: The value that is aimed for.
        more_is_better: Whether a higher value is better; a ratio is then that of the speeds, else that of the times.
        size: Pieces of the job.
        quick: The same for a short look.
        contenders: Each by its name; ``OURS`` is there, and ``BASE`` when the unit is ``"x"``.
        rounds: How often at most; None is as often as is asked for.
        times: Rounds for each that is asked for: the shorter a job, the more it swings with the machine.
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
        """Return what came of the rounds: the median of each contender, and ours seen beside bare asyncio."""
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
    """What came of one measure.

    Attributes:
        key: Of the measure.
        value: To be held against the goals.
        medians: Of each contender, as it returned them.
        ratios: Of each but bare asyncio, where the measure is a ratio.
    """

    key: str
    value: float
    medians: Mapping[str, float]
    ratios: Mapping[str, float]
