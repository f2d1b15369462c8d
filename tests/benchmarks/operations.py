"""Marks of programs beside none, instances beside services, and a plan of a thousand services."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

from aioverseer import Overseer, Spec, ready
from aioverseer._system.containment.strays import stray_registry
from tests.benchmarks.crowds import SLEEPER
from tests.benchmarks.measure import BASE, OURS, Contender, Measure
from tests.benchmarks.restarts import crash_loop_without_output, crowd

__all__ = ["MEASURES"]


def _cpu_of(job: Contender) -> Contender:
    """Return a job that returns the CPU time of the host for one piece: a mark costs no other time."""

    async def run(count: int) -> float:
        before = time.process_time()
        await job(count)
        return (time.process_time() - before) / count

    return run


@contextlib.contextmanager
def _without_marks() -> Generator[None]:
    """Let programs start without the mark by a limit, as on a system that has none."""
    mark = stray_registry().limit_mark
    before, mark._chosen = mark._chosen, (None,)
    try:
        yield
    finally:
        mark._chosen = before


def _unmarked(job: Contender) -> Contender:
    async def run(count: int) -> float:
        with _without_marks():
            return await job(count)

    return run


def _marks(key: str, title: str, size: int, quick: int, job: Contender) -> Measure:
    return Measure(
        key=key,
        title=title,
        unit="x",
        must=1.03,
        aim=1.01,
        more_is_better=False,
        size=size,
        quick=quick,
        times=8,
        contenders={BASE: _unmarked(_cpu_of(job)), OURS: _cpu_of(job)},
    )


async def start_services(count: int) -> float:
    """Start services, each with a Spec of its own."""
    async with Overseer() as overseer:
        begin = time.perf_counter()
        for number in range(count):
            overseer.add(f"s{number}", *SLEEPER, buffered=False)
        await overseer.start_all()
        taken = time.perf_counter() - begin
        await overseer.stop_all(kill=True)
    return taken


async def start_instances(count: int) -> float:
    """Start the instances of one set."""
    async with Overseer() as overseer:
        begin = time.perf_counter()
        overseer.add_instances("s", *SLEEPER, instances=count, buffered=False)
        await overseer.start_all()
        taken = time.perf_counter() - begin
        await overseer.stop_all(kill=True)
    return taken


async def plan(count: int) -> float:
    """Return the milliseconds of CPU for a plan in which one service in a hundred has another command."""

    def specs(version: str) -> list[Spec]:
        return [
            Spec.of(
                f"s{number}",
                ["run", version if number % 100 == 0 else ""],
                ready=ready.line("up"),
                extra_env={"N": f"{number}"},
            )
            for number in range(count)
        ]

    overseer = Overseer()
    for spec in specs("1"):
        overseer.add(spec)
    wanted = specs("2")
    overseer.plan(wanted[:1])  # imports what plans need
    begin = time.process_time()
    changes = overseer.plan(wanted)
    taken = time.process_time() - begin
    assert len(changes.steps) >= 1
    return taken * 1000


MEASURES = [
    _marks("marks-crowd", "CPU of the host for a crowd, with the mark by a limit beside none", 4, 1, crowd),
    _marks("marks-loop", "the same for a crash loop", 100, 4, crash_loop_without_output),
    Measure(
        key="instances",
        title="start of 1,000 instances, beside 1,000 services: time",
        unit="x",
        must=1.1,
        aim=1.0,
        more_is_better=False,
        size=1000,
        quick=3,
        contenders={BASE: start_services, OURS: start_instances},
    ),
    Measure(
        key="plan",
        title="plan() of 1,000 services",
        unit="ms",
        must=50,
        aim=25,
        more_is_better=False,
        size=1000,
        quick=3,
        contenders={OURS: plan},
    ),
]
