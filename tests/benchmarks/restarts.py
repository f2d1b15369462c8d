"""Restarts and spawns: how long from an end to the next run, one by one, many at once, and in a crash loop."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable

import anyio

from aioverseer import Backoff, Overseer, Process, Restart, State, Status
from benchmarks.measure import BASE, OURS, Measure

SLEEPER = ("sleep", "1000")
SETTLED = 0.004
"""Seconds that a new program has for its own start before it is killed: that is not what is measured."""
AT_ONCE = Restart("always", max_restarts=None, backoff=Backoff(min=0, max=0))
CROWD = 32


async def _bare(count: int, output: int | None) -> float:
    times: list[float] = []
    process = await asyncio.create_subprocess_exec(*SLEEPER, start_new_session=True, stdout=output, stderr=output)
    for _ in range(count):
        await asyncio.sleep(SETTLED)
        begin = time.perf_counter()
        os.kill(process.pid, signal.SIGKILL)
        await (process.wait() if output is None else process.communicate())
        process = await asyncio.create_subprocess_exec(*SLEEPER, start_new_session=True, stdout=output, stderr=output)
        times.append(time.perf_counter() - begin)
    process.kill()
    await process.communicate()
    return statistics.median(times)


async def bare_with_pipes(count: int) -> float:
    """The same job: both outputs are read."""
    return await _bare(count, asyncio.subprocess.PIPE)


async def bare_without_output(count: int) -> float:
    """Less than the job: the program writes where the host does."""
    return await _bare(count, None)


async def with_anyio(count: int) -> float:
    """anyio's, with its pipes."""
    times: list[float] = []
    process = await anyio.open_process(SLEEPER, start_new_session=True)
    for _ in range(count):
        await asyncio.sleep(SETTLED)
        begin = time.perf_counter()
        os.kill(process.pid, signal.SIGKILL)
        await process.aclose()
        process = await anyio.open_process(SLEEPER, start_new_session=True)
        times.append(time.perf_counter() - begin)
    process.kill()
    await process.aclose()
    return statistics.median(times)


async def restarts(count: int) -> float:
    """A service that is killed, until the next run is RUNNING."""
    times: list[float] = []
    async with Overseer() as overseer:
        service = overseer.add("sleeper", *SLEEPER, restart=AT_ONCE)
        await service.start()
        for number in range(1, count + 1):
            await asyncio.sleep(SETTLED)
            begin = time.perf_counter()
            os.kill(service.pid or 0, signal.SIGKILL)
            await service.wait_for(_is_back(number))
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _is_back(number: int) -> Callable[[Status], bool]:
    return lambda status: status.restarts == number and status.state is State.RUNNING


async def bare_crowd(count: int) -> float:
    """So many crowds of programs that end at once."""

    async def one() -> None:
        process = await asyncio.create_subprocess_exec("true", start_new_session=True)
        await process.wait()

    begin = time.perf_counter()
    for _ in range(count):
        await asyncio.gather(*(one() for _ in range(CROWD)))
    return (time.perf_counter() - begin) / count / CROWD


async def crowd(count: int) -> float:
    """The same by Processes without output."""
    begin = time.perf_counter()
    for _ in range(count):
        await asyncio.gather(*(Process("true", buffered=False).wait() for _ in range(CROWD)))
    return (time.perf_counter() - begin) / count / CROWD


RUNS = 5
"""Runs of each program in the crash loop."""


async def bare_crash_loop(count: int) -> float:
    """Programs that end at once, each started again by a task of its own."""

    async def one() -> None:
        for _ in range(RUNS):
            process = await asyncio.create_subprocess_exec("false", start_new_session=True)
            await process.wait()

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return (time.perf_counter() - begin) / count / RUNS


async def crash_loop(count: int) -> float:
    """The same by services."""
    async with Overseer() as overseer:
        _add_crashing(overseer, count)
        begin = time.perf_counter()
        await overseer.supervise_all()
        return (time.perf_counter() - begin) / count / RUNS


async def crash_loop_lag(count: int) -> float:
    """Milliseconds by which a task of the host comes late beside it, the 99th of a hundred."""
    lags: list[float] = []
    over = False

    async def feel() -> None:
        while not over:
            begin = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - begin - 0.001)

    async with Overseer() as overseer:
        _add_crashing(overseer, count)
        feeling = asyncio.create_task(feel())
        await overseer.supervise_all()
        over = True
        await feeling
    return statistics.quantiles(lags, n=100)[98] * 1000


def _add_crashing(overseer: Overseer, count: int) -> None:
    policy = Restart("always", max_restarts=RUNS - 1, within=None, backoff=Backoff(min=0, max=0))
    for number in range(count):
        overseer.add(str(number), "false", restart=policy)


MEASURES = [
    Measure(
        key="restart",
        title="restart after kill -9 with no backoff, beside asyncio with the same pipes",
        unit="x",
        must=1.15,
        aim=0.9,
        more_is_better=False,
        size=60,
        quick=3,
        contenders={BASE: bare_with_pipes, "anyio": with_anyio, OURS: restarts},
    ),
    Measure(
        key="restart-bare",
        title="the same, beside asyncio without pipes",
        unit="x",
        must=1.15,
        aim=0.9,
        more_is_better=False,
        size=60,
        quick=3,
        contenders={BASE: bare_without_output, OURS: restarts},
    ),
    Measure(
        key="crowd",
        title="spawn and wait of true, 32 at once: speed",
        unit="x",
        must=1.0,
        aim=1.3,
        more_is_better=True,
        size=10,
        quick=1,
        contenders={BASE: bare_crowd, OURS: crowd},
    ),
    Measure(
        key="crash-loop",
        title="crash loop of 200 services without backoff: speed",
        unit="x",
        must=0.9,
        aim=1.2,
        more_is_better=True,
        size=200,
        quick=4,
        contenders={BASE: bare_crash_loop, OURS: crash_loop},
    ),
    Measure(
        key="lag",
        title="the same: lag of the host's event loop, p99",
        unit="ms",
        must=10,
        aim=4,
        more_is_better=False,
        size=200,
        quick=4,
        contenders={OURS: crash_loop_lag},
    ),
]
