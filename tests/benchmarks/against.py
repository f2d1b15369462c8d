"""Two trees of the package, interleaved in one run: ``python tests/benchmarks --against PATH``.

The benchmarks of this tree measure the package of both. Each measure alternates between the trees, each time in a fresh
process, so that load of the machine, which changes a figure by 10 to 30 per cent, meets both alike.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.measure import OURS, Measure

__all__ = ["Comparison", "Sample", "Tree", "compare", "geometric_mean", "rows", "sample"]

ROOT = Path(__file__).resolve().parents[2]
NOISE = {"ms": 2.0, "MB": 1.0}
"""Values below which a ratio says nothing, by unit."""
WAITS = {"idle", "wakeups"}
"""Measures that wait ten seconds for nothing to happen: once for each tree."""
WITHOUT_CPU = {"import", "import-overseer", "idle"}
"""Measures in milliseconds that are not spent by this process, or are CPU time already."""
LEAST_CPU = 0.02
"""Seconds; the clock of a process and its start-up make less than that uncertain."""

# The package of the tree comes first on the path. It is imported before the folder with the benchmarks is put there.
WORKER = """
import sys
tree, root, key, quick = sys.argv[1:]
sys.path.insert(0, tree)
import aioverseer
sys.path[0] = root
assert aioverseer.__file__.startswith(tree), aioverseer.__file__
from tests.benchmarks.runner import work
work(key, quick=quick == "quick")
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """One contender: the package in a folder.

    Attributes:
        name: The head of its column.
        path: The folder that holds ``aioverseer``.
        env: Variables for its processes, such as the choice of a spawner.
    """

    name: str
    path: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Sample:
    """One measure of one tree.

    Attributes:
        value: The result of the contender, less is better.
        cpu: Seconds of CPU time that the host needed for it.
    """

    value: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measure of all trees: the least of its rounds.

    Attributes:
        measure: The measure.
        best: The least value and the least CPU time of each tree, in the order of the trees.
    """

    measure: Measure
    best: Sequence[Sample]

    @property
    def by_cpu(self) -> bool:
        """Whether CPU time is compared. It swings less than the value does."""
        return (
            self.measure.unit in {"x", "s", "ms"}
            and self.measure.key not in WITHOUT_CPU
            and min(sample.cpu for sample in self.best) >= LEAST_CPU
        )

    @property
    def figures(self) -> list[float]:
        """The compared figure of each tree."""
        return [sample.cpu if self.by_cpu else sample.value for sample in self.best]

    def ratio(self, number: int) -> float | None:
        """Return the figure of a tree over that of the first tree; None where both are noise."""
        first, other = self.figures[0], self.figures[number]
        noise = 0.0 if self.by_cpu else NOISE.get(self.measure.unit, 0.0)
        # The time of an import over that of asyncio's can come out below zero.
        return None if max(first, other) <= noise or min(first, other) <= 0 else other / first


def sample(measure: Measure, *, quick: bool) -> Sample:
    """Measure the package that this process has imported.

    Args:
        measure: The measure.
        quick: Whether to run the small job.
    """
    contender = measure.contenders[OURS]

    async def once(size: int) -> float:
        return float(await contender(size))

    if measure.rounds != 1:  # the others need a fresh process, or warm up by themselves
        asyncio.run(once(measure.quick))
    size, times = (measure.quick, 1) if quick else (measure.size, measure.times)
    begin = time.process_time()
    values = [asyncio.run(once(size)) for _ in range(times)]
    return Sample(min(values), time.process_time() - begin)


def compare(
    trees: Sequence[Tree], measures: Sequence[Measure], *, rounds: int, quick: bool = False
) -> Iterator[Comparison]:
    """Yield each measure as soon as all of its rounds are over.

    Args:
        trees: The contenders; the first one is the base of the ratios.
        measures: The measures, in this order.
        rounds: How often each tree is measured.
        quick: Whether to run small jobs.
    """
    for measure in measures:
        samples: list[list[Sample]] = [[] for _ in trees]
        for number in range(1 if measure.key in WAITS else rounds):
            # Each round begins with another tree, so that no tree always comes first.
            for offset in range(len(trees)):
                place = (number + offset) % len(trees)
                samples[place].append(_in_fresh_process(trees[place], measure, quick=quick))
        best = [Sample(min(one.value for one in several), min(one.cpu for one in several)) for several in samples]
        yield Comparison(measure=measure, best=best)


def _in_fresh_process(tree: Tree, measure: Measure, *, quick: bool) -> Sample:
    command = [sys.executable, "-c", WORKER, str(tree.path.resolve()), str(ROOT), measure.key]
    # PYTHONPATH: the measures of imports start interpreters of their own.
    environment = {**os.environ, **tree.env, "PYTHONPATH": str(tree.path.resolve())}
    ran = subprocess.run(
        [*command, "quick" if quick else "full"], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return Sample(**json.loads(ran.stdout.splitlines()[-1]))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean; 1.0 of nothing."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else 1.0


def rows(trees: Sequence[Tree], comparisons: Iterator[Comparison]) -> Iterator[str]:
    """Yield the lines of a table, each as soon as it is known; the last one has the geometric means."""
    yield f"{'':16} {'':9}" + "".join(f"{tree.name:>26}" for tree in trees)
    ratios: list[list[float]] = [[] for _ in trees]
    for comparison in comparisons:
        cells: list[str] = []
        for number, figure in enumerate(comparison.figures):
            ratio = comparison.ratio(number) if number else None
            if ratio is not None:
                ratios[number].append(ratio)
            cells.append(f"{figure:14.4g}" + (f"{ratio:12.3f}" if ratio is not None else f"{'':12}"))
        kind = "s of CPU" if comparison.by_cpu else comparison.measure.unit
        yield f"{comparison.measure.key:16} {kind:9}" + "".join(cells) + f"   {comparison.measure.title}"
    means = ", ".join(
        f"{tree.name} {geometric_mean(several):.3f} ({len(several)} measures)"
        for tree, several in zip(trees[1:], ratios[1:], strict=True)
    )
    yield f"geometric mean of the ratios to {trees[0].name}: {means}"
