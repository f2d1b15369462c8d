"""A thousand programs that start, live and stop; memory, threads and wakeups of their host."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from aioverseer import Overseer, Process
from tests.benchmarks.measure import BASE, OURS, Measure, Output

SLEEPER = ("sleep", "1000")
USAGE_EVERY = 2.0
"""Seconds between two looks at what services use."""
QUIET = 10.0
"""Seconds in which nothing must happen."""


async def _bare_start(count: int, output: int | None) -> float:
    begin = time.perf_counter()
    processes = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(*SLEEPER, stdout=output, stderr=output, start_new_session=True)
            for _ in range(count)
        )
    )
    taken = time.perf_counter() - begin
    for process in processes:
        process.kill()
    await asyncio.gather(*(process.communicate() for process in processes))
    return taken


async def bare_start(count: int) -> float:
    """Start all at once with asyncio, with the pipes that a service has."""
    return await _bare_start(count, asyncio.subprocess.PIPE)


async def bare_start_without_output(count: int) -> float:
    """Start all at once with asyncio; the programs write to the output of the host."""
    return await _bare_start(count, None)


async def _start(count: int, output: Output) -> float:
    async with Overseer() as overseer:
        _add(overseer, count, output=output)
        begin = time.perf_counter()
        await overseer.start_all()
        taken = time.perf_counter() - begin
        await overseer.stop_all(kill=True)
    return taken


async def start(count: int) -> float:
    """Start services by ``start_all()``."""
    return await _start(count, "read")


async def start_without_output(count: int) -> float:
    """Start services that read nothing by ``start_all()``."""
    return await _start(count, "inherit")


async def stop(count: int) -> float:
    """Stop obedient programs by ``stop_all()``; return the seconds for all of them."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        begin = time.perf_counter()
        await overseer.stop_all()
        return time.perf_counter() - begin


async def idle_cpu(count: int) -> float:
    """Return the milliseconds of CPU time that the host needs while nothing happens, without the measure itself."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        gc.collect()
        await asyncio.sleep(1)
        # A short wait in the same state costs as much as the measure itself: one timer, with cold caches.
        taken = [await _cpu_of(seconds) for seconds in (0.1, QUIET if count > 100 else 0.5)]
        await overseer.stop_all(kill=True)
    return round(max(0, taken[1] - taken[0]) * 1000)


async def _cpu_of(seconds: float) -> float:
    before = time.process_time()
    await asyncio.sleep(seconds)
    return time.process_time() - before


async def usage_cpu(count: int) -> float:
    """Return the per cent of a core that ``usage()`` of all services takes every two seconds."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        await overseer.usage()
        looks: list[float] = []
        for _ in range(20 if count > 100 else 1):
            before = time.process_time()
            await overseer.usage()
            looks.append(time.process_time() - before)
        await overseer.stop_all(kill=True)
    # The least: other programs on the machine make the same work take longer.
    return min(looks) / USAGE_EVERY * 100


async def usage_held(count: int) -> float:
    """Return the longest time in milliseconds for which one ``usage()`` holds the event loop, in CPU time."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        await overseer.usage()
        measuring, held, before = asyncio.ensure_future(overseer.usage()), 0.0, time.thread_time()
        while not measuring.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            held, before = max(held, now - before), now
        await overseer.stop_all(kill=True)
    return held * 1000


async def wakeups(count: int) -> float:
    """Return how often the host wakes up while nothing happens, without the wakeup that ends the measure."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        gc.collect()
        await asyncio.sleep(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        await asyncio.sleep(QUIET if count > 100 else 0.5)
        woken = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before - 1
        await overseer.stop_all(kill=True)
    return float(max(0, woken))


async def threads(count: int) -> float:
    """Return the number of threads of the host."""
    async with Overseer() as overseer:
        _add(overseer, count)
        await overseer.start_all()
        number = len(list(Path("/proc/self/task").iterdir()))
        await overseer.stop_all(kill=True)
    return float(number)


async def memory_without_pipes(count: int) -> float:
    """Return the kB of memory for each running Process."""
    processes = [Process(*SLEEPER, buffered=False) for _ in range(count // 10)]
    await asyncio.gather(*(process.start() for process in processes))
    before = _resident()
    more = [Process(*SLEEPER, buffered=False) for _ in range(count)]
    await asyncio.gather(*(process.start() for process in more))
    gc.collect()
    taken = _resident() - before
    await asyncio.gather(*(process.stop(kill=True) for process in (*processes, *more)))
    return taken / count


async def memory_with_pipes(count: int) -> float:
    """Return the kB of memory for each running service."""
    async with Overseer() as overseer:
        _add(overseer, count // 10)
        await overseer.start_all()
        before = _resident()
        _add(overseer, count, "more")
        await overseer.start_all()
        gc.collect()
        taken = _resident() - before
        await overseer.stop_all(kill=True)
    return taken / count


FLOOD = """
import os
block = b"x" * 99 + b"\\n"
block *= 1000
for _ in range({0}):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
"""


async def memory_of_a_stall(count: int) -> float:
    """Return the MB by which the host grows while programs write 100 MB to stalled readers.

    One reader subscribes to a service, the other one reads a streaming Process; neither reads a line.
    """
    flood = sys.executable, "-I", "-S", "-c", FLOOD.format(count)
    async with Overseer() as overseer:
        await overseer.add("first", *flood[:-1], FLOOD.format(10)).start()
        await overseer["first"].wait()
        before = _resident()
        slow = overseer.add("slow", *flood)
        unread = slow.lines(overflow="drop_oldest")
        await overseer.start_all()
        async with Process(*flood, buffered=False, streaming=True) as process:
            await slow.wait()
            grown = _resident() - before
            held = process.stdout
        assert held is not None
        unread.close()
    return max(0, grown) / 1024


async def import_time(count: int) -> float:
    """Return the milliseconds on top of ``import asyncio``, in fresh interpreters that find compiled files."""
    return _import_time(count, "import aioverseer")


async def import_time_of_overseer(count: int) -> float:
    """Return the same for ``Overseer``: most of the package is imported when the first name is used."""
    return _import_time(count, "from aioverseer import Overseer")


def _import_time(count: int, statement: str) -> float:

    def taken(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        return time.perf_counter() - begin

    folder = Path(os.environ.get("XDG_CACHE_HOME") or "/tmp") / f"aioverseer-import-{os.getuid()}"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with_it = f"import asyncio; {statement}"
    taken(with_it)
    # In turn, as the speed of a machine changes with its load.
    times = [(taken(with_it), taken("import asyncio")) for _ in range(count)]
    return (min(ours for ours, _ in times) - min(alone for _, alone in times)) * 1000


def raise_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


def _add(overseer: Overseer, count: int, label: str = "", output: Output = "read") -> None:
    for number in range(count):
        overseer.add(f"{label}{number}", *SLEEPER, output=output)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024


def _row(key: str, title: str, unit: str, must: float, aim: float, ours: object, **more: object) -> Measure:
    options = {"size": 1000, "quick": 5, "rounds": 3, "contenders": {OURS: ours}, **more}
    return Measure(key=key, title=title, unit=unit, must=must, aim=aim, more_is_better=False, **options)  # type: ignore[arg-type]  # rows of a table: few of the options differ


MEMORY = [
    _row("memory", "memory for each program without pipes", "kB", 20, 10, memory_without_pipes, rounds=1),
    _row("memory-pipes", "memory for each service, with both pipes", "kB", 30, 15, memory_with_pipes, rounds=1),
    _row("stall", "memory while readers stall on a 100 MB writer", "MB", 8, 2, memory_of_a_stall, rounds=1),
]
MEASURES = [
    _row(
        "start",
        "start of 1,000, output read: time",
        "x",
        1.2,
        0.9,
        start,
        contenders={BASE: bare_start, OURS: start},
    ),
    _row(
        "start-bare",
        "the same, output inherited: time",
        "x",
        1.2,
        0.9,
        start,
        contenders={BASE: bare_start_without_output, OURS: start_without_output},
    ),
    _row("stop", "stop of 1,000 obedient programs", "s", 0.5, 0.1, stop),
    _row("idle", "CPU of the host in 10 s with 1,000 idle programs", "ms", 0, 0, idle_cpu, rounds=1),
    _row("wakeups", "wakeups of the host in these 10 s", "times", 0, 0, wakeups, rounds=1),
    _row("usage", "CPU of the host for usage() of 1,000 services every 2 s", "%", 3, 2, usage_cpu, rounds=1),
    _row("usage-held", "the event loop held by usage() of 1,000 services", "ms", 5, 2, usage_held, rounds=1),
    _row(
        "threads",
        "threads of the host, whatever the number of programs (from Python 3.12 on)",
        "threads",
        1,
        1,
        threads,
        rounds=1,
    ),
    _row("import", "import aioverseer, over import asyncio", "ms", 40, 20, import_time, size=15, quick=1, rounds=1),
    _row(
        "import-overseer",
        "from aioverseer import Overseer, over import asyncio",
        "ms",
        40,
        20,
        import_time_of_overseer,
        size=15,
        quick=1,
        rounds=1,
    ),
]
