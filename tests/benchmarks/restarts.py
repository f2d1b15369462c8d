"""The time from the end of a run to the next run: one by one, many at once, and in a crash loop."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable

import anyio

from aioverseer import Backoff, Overseer, Process, Restart, State, Status
from tests.benchmarks.measure import BASE, OURS, Contender, Measure, Output

SLEEPER = ("sleep", "1000")
SETTLED = 0.004
"""Seconds before a new program is killed. Its own start-up is over by then and is not measured."""
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
    """Restart with asyncio; both outputs are read."""
    return await _bare(count, asyncio.subprocess.PIPE)


async def bare_without_output(count: int) -> float:
    """Restart with asyncio; the program writes to the output of the host."""
    return await _bare(count, None)


async def with_anyio(count: int) -> float:
    """Restart with anyio, with its pipes."""
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


async def _restarts(count: int, output: Output) -> float:
    times: list[float] = []
    async with Overseer() as overseer:
        service = overseer.add("sleeper", *SLEEPER, restart=AT_ONCE, output=output)
        await service.start()
        for number in range(1, count + 1):
            await asyncio.sleep(SETTLED)
            begin = time.perf_counter()
            os.kill(service.pid or 0, signal.SIGKILL)
            await service.wait_for(_is_back(number))
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


async def restarts(count: int) -> float:
    """Kill a service and wait until its next run is RUNNING."""
    return await _restarts(count, "read")


async def restarts_without_output(count: int) -> float:
    """Kill a service whose program writes to the output of the host."""
    return await _restarts(count, "inherit")


def _is_back(number: int) -> Callable[[Status], bool]:
    return lambda status: status.restarts == number and status.state is State.RUNNING


async def bare_crowd(count: int) -> float:
    """Start crowds of programs that end at once, with asyncio."""

    async def one() -> None:
        process = await asyncio.create_subprocess_exec("true", start_new_session=True)
        await process.wait()

    begin = time.perf_counter()
    for _ in range(count):
        await asyncio.gather(*(one() for _ in range(CROWD)))
    return (time.perf_counter() - begin) / count / CROWD


async def crowd(count: int) -> float:
    """Start such crowds as Processes without output."""
    begin = time.perf_counter()
    for _ in range(count):
        await asyncio.gather(*(Process("true", buffered=False).wait() for _ in range(CROWD)))
    return (time.perf_counter() - begin) / count / CROWD


RUNS = 5
"""Runs of each program in the crash loop."""


async def _bare_crash_loop(count: int, output: int | None) -> float:
    async def one() -> None:
        for _ in range(RUNS):
            process = await asyncio.create_subprocess_exec(
                "false", start_new_session=True, stdout=output, stderr=output
            )
            await (process.wait() if output is None else process.communicate())

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return (time.perf_counter() - begin) / count / RUNS


async def bare_crash_loop(count: int) -> float:
    """Restart programs that end at once with asyncio, each by a task of its own; both outputs are read."""
    return await _bare_crash_loop(count, asyncio.subprocess.PIPE)


async def bare_crash_loop_without_output(count: int) -> float:
    """Restart programs that end at once with asyncio; they write to the output of the host."""
    return await _bare_crash_loop(count, None)


async def _crash_loop(count: int, output: Output) -> float:
    async with Overseer() as overseer:
        _add_crashing(overseer, count, output)
        begin = time.perf_counter()
        await overseer.supervise_all()
        return (time.perf_counter() - begin) / count / RUNS


async def crash_loop(count: int) -> float:
    """Restart services that end at once; both outputs are read."""
    return await _crash_loop(count, "read")


async def crash_loop_without_output(count: int) -> float:
    """Restart services that end at once and read nothing."""
    return await _crash_loop(count, "inherit")


async def crash_loop_lag(count: int) -> float:
    """Return the milliseconds by which a task of the host is late during a crash loop: the 99th percentile."""
    lags: list[float] = []
    over = False

    async def feel() -> None:
        while not over:
            begin = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - begin - 0.001)

    async with Overseer() as overseer:
        _add_crashing(overseer, count, "read")
        feeling = asyncio.create_task(feel())
        await overseer.supervise_all()
        over = True
        await feeling
    return statistics.quantiles(lags, n=100)[98] * 1000


def _add_crashing(overseer: Overseer, count: int, output: Output) -> None:
    policy = Restart("always", max_restarts=RUNS - 1, within=None, backoff=Backoff(min=0, max=0))
    for number in range(count):
        overseer.add(str(number), "false", restart=policy, output=output)


def _beside(key: str, title: str, size: int, quick: int, base: Contender, ours: Contender, **more: object) -> Measure:
    return Measure(
        key=key,
        title=title,
        unit="x",
        size=size,
        quick=quick,
        contenders={BASE: base, OURS: ours},
        **more,  # type: ignore[arg-type]  # rows of a table: few of the options differ
    )


_RESTART = {"must": 1.15, "aim": 0.9, "more_is_better": False}
_LOOP = {"must": 0.9, "aim": 1.2, "more_is_better": True}
MEASURES = [
    Measure(
        key="restart",
        title="restart after kill -9 with no backoff, output read",
        unit="x",
        must=1.15,
        aim=0.9,
        more_is_better=False,
        size=60,
        quick=3,
        contenders={BASE: bare_with_pipes, "anyio": with_anyio, OURS: restarts},
    ),
    _beside(
        "restart-bare",
        "the same, output inherited",
        60,
        3,
        bare_without_output,
        restarts_without_output,
        **_RESTART,
    ),
    _beside(
        "crowd",
        "spawn and wait of true, 32 at once, no output: speed",
        2,
        1,
        bare_crowd,
        crowd,
        times=8,
        must=1.0,
        aim=1.3,
        more_is_better=True,
    ),
    _beside(
        "crash-loop",
        "crash loop of 200 services without backoff, output read: speed",
        200,
        4,
        bare_crash_loop,
        crash_loop,
        **_LOOP,
    ),
    _beside(
        "crash-loop-bare",
        "the same, output inherited: speed",
        200,
        4,
        bare_crash_loop_without_output,
        crash_loop_without_output,
        **_LOOP,
    ),
    Measure(
        key="lag",
        title="crash loop of 200 services, output read: lag of the host's event loop, p99",
        unit="ms",
        must=10,
        aim=4,
        more_is_better=False,
        size=200,
        quick=4,
        contenders={OURS: crash_loop_lag},
    ),
]
