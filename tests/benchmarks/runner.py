"""The runner: interleaves the contenders of each measure, prints what came of it, and keeps it for the docs.

What is measured stands in the other files of this folder, one for each subject; how it is shown, in ``report.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import crowds, lines, readiness, restarts
from tests.benchmarks.measure import Measure, Result
from tests.benchmarks.report import save, sentence, write_docs

__all__ = ["MEASURES", "main", "run"]

MEASURES: list[Measure] = [*crowds.MEMORY, *restarts.MEASURES, *readiness.MEASURES, *lines.MEASURES, *crowds.MEASURES]
"""Memory first: what earlier jobs have freed would be used again and not be seen."""
DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def run(measure: Measure, *, rounds: int, quick: bool) -> Result:
    """Run each contender once in each round, in turn; the first round is a warm-up and does not count.

    Args:
        measure: What to run.
        rounds: How many rounds count.
        quick: Whether a small job will do.
    """
    rounds = min(rounds, measure.rounds or rounds) * (1 if quick else measure.times)
    values: dict[str, list[float]] = {name: [] for name in measure.contenders}
    for number in range(rounds + (measure.unit == "x")):
        for name, contender in measure.contenders.items():
            gc.collect()
            value = asyncio.run(_as_coroutine(contender(measure.quick if quick else measure.size)))
            if number or measure.unit != "x":
                values[name].append(value)
    return measure.result(values)


async def _as_coroutine(awaitable: object) -> float:
    return float(await awaitable)  # type: ignore[misc]  # a Contender gives what can be awaited


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measures that are asked for; return 1 when ``--check`` finds one that misses what it must reach."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("--only", help="measures, separated by commas: " + ", ".join(m.key for m in MEASURES))
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--quick", action="store_true", help="small jobs: whether it works, not how fast it is")
    parser.add_argument("--check", action="store_true", help="fail when a goal that must be reached is missed")
    parser.add_argument("--write", action="store_true", help="keep the figures of this Python for docs/performance.md")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else [measure.key for measure in MEASURES]
    unknown = set(wanted) - {measure.key for measure in MEASURES}
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    crowds.raise_limit()
    missed = 0
    results: list[Result] = []
    for measure in MEASURES:
        if measure.key in wanted:
            result = run(measure, rounds=options.rounds, quick=options.quick)
            results.append(result)
            missed += measure.verdict(result.value) == "missed"
            print(sentence(measure, result), flush=True)  # noqa: T201  # it is a command
    if options.write:
        save(DOCS / "performance", results)
        write_docs(DOCS, MEASURES)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
