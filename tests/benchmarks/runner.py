"""The command: runs the contenders of each measure in turn, prints the results, and keeps them for the docs."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import conversations, crowds, frames, lines, operations, readiness, restarts
from tests.benchmarks.against import Tree, compare, rows, sample
from tests.benchmarks.measure import Measure, Result
from tests.benchmarks.report import save, sentence, write_docs

__all__ = ["MEASURES", "main", "run", "work"]

MEASURES: list[Measure] = [
    *crowds.MEMORY,
    *restarts.MEASURES,
    *readiness.MEASURES,
    *lines.MEASURES,
    *conversations.MEASURES,
    *frames.MEASURES,
    *operations.MEASURES,
    *crowds.MEASURES,
]
"""All measures. Memory comes first: memory freed by earlier jobs would be used again, and growth not be seen."""
DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def run(measure: Measure, *, rounds: int, quick: bool) -> Result:
    """Run each contender once in each round, in turn; the first round is a warm-up and does not count.

    Args:
        measure: The measure to run.
        rounds: The number of rounds that count.
        quick: Whether to run the small job.
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


def work(key: str, *, quick: bool) -> None:
    """Print one sample of one measure as JSON: the job of a process of ``--against``.

    Args:
        key: The word for the measure.
        quick: Whether to run the small job.
    """
    crowds.raise_limit()
    measure = next(measure for measure in MEASURES if measure.key == key)
    with _without_log_records():
        print(json.dumps(dataclasses.asdict(sample(measure, quick=quick))))  # noqa: T201  # it is a command


@contextmanager
def _without_log_records() -> Generator[None]:
    """Drop log records: bare asyncio writes none, and writing one to a terminal takes longer than a spawn."""
    logger, handler = logging.getLogger("aioverseer"), logging.NullHandler()
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


async def _as_coroutine(awaitable: object) -> float:
    return float(await awaitable)  # type: ignore[misc]  # a Contender returns an awaitable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen measures; return 1 when ``--check`` finds one that misses its required value."""
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("--only", help="measures, separated by commas: " + ", ".join(m.key for m in MEASURES))
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--quick", action="store_true", help="small jobs: whether it works, not how fast it is")
    parser.add_argument("--check", action="store_true", help="fail when a goal that must be reached is missed")
    parser.add_argument("--write", action="store_true", help="keep the figures of this Python for docs/performance.md")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="compare with the package in another checkout, interleaved"
    )
    parser.add_argument(
        "--spawners", action="store_true", help="a column for AIOVERSEER_SPAWNER=asyncio too; for --against"
    )
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else [measure.key for measure in MEASURES]
    unknown = set(wanted) - {measure.key for measure in MEASURES}
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    chosen = [measure for measure in MEASURES if measure.key in wanted]
    if options.against is not None:
        if not (options.against / "aioverseer" / "__init__.py").is_file():
            parser.error(f"there is no package aioverseer in {options.against}")
        trees = [Tree("old", options.against), Tree("new", DOCS.parent)]
        if options.spawners:
            trees.append(Tree("new, asyncio", DOCS.parent, {"AIOVERSEER_SPAWNER": "asyncio"}))
        for row in rows(trees, compare(trees, chosen, rounds=options.rounds, quick=options.quick)):
            print(row, flush=True)  # noqa: T201  # it is a command
        return 0
    crowds.raise_limit()
    missed = 0
    results: list[Result] = []
    for measure in chosen:
        with _without_log_records():
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
