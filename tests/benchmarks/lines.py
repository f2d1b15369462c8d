"""How many lines a second arrive as ``str``, and whether each of them arrives as it was written."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from aioverseer import LineQueue, Overseer, Process, QueueShutDown
from tests.benchmarks.measure import BASE, OURS, Measure

BLOCK = 1000
"""The number of lines in one write; each begins with its index."""
WRITER = f"""
import os, sys
block = b"".join(b"%03d" % n + b"x" * 96 + b"\\n" for n in range({BLOCK}))
for _ in range(int(sys.argv[1])):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
"""
EXPECTED = [f"{number:03d}" + "x" * 96 for number in range(BLOCK)]
Reader = Callable[[LineQueue[str]], Awaitable[int]]


def _command(count: int) -> tuple[str, ...]:
    return sys.executable, "-I", "-S", "-c", WRITER, str(count)


def _each(taken: float, lines: int, count: int) -> float:
    if lines != BLOCK * count:
        raise AssertionError(f"{BLOCK * count} lines were written, {lines} arrived")
    return taken / lines


async def bare(count: int) -> float:
    """Read with asyncio: ``readline()`` and ``decode()``."""
    process = await asyncio.create_subprocess_exec(
        *_command(count), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    lines = 0
    line = await process.stdout.readline()
    begin = time.perf_counter()
    while line:
        line.decode()
        lines += 1
        line = await process.stdout.readline()
    taken = time.perf_counter() - begin
    await process.wait()
    return _each(taken, lines, count)


async def with_anyio(count: int) -> float:
    """Read with anyio: ``receive_until()`` of its buffered stream."""
    lines = 0
    async with await anyio.open_process(_command(count), stderr=None, start_new_session=True) as process:
        assert process.stdout is not None
        stream = BufferedByteReceiveStream(process.stdout)
        begin = time.perf_counter()
        try:
            while True:
                (await stream.receive_until(b"\n", 1 << 16)).decode()
                lines += 1
        except anyio.IncompleteRead:
            taken = time.perf_counter() - begin
    return _each(taken, lines, count)


async def _streamed(count: int, reader: Reader) -> float:
    async with Process(*_command(count), buffered=False, streaming=True) as process:
        assert process.stdout is not None
        await process.stdout.get()
        begin = time.perf_counter()
        lines = 1 + await reader(process.stdout)
        taken = time.perf_counter() - begin
    return _each(taken, lines, count)


async def batches(count: int) -> float:
    """Read by ``get_batch()``."""

    async def read(queue: LineQueue[str]) -> int:
        lines = 0
        try:
            while True:
                lines += len(await queue.get_batch())
        except QueueShutDown:
            return lines

    return await _streamed(count, read)


async def iterated(count: int) -> float:
    """Read one by one, by ``async for``."""

    async def read(queue: LineQueue[str]) -> int:
        lines = 0
        async for _line in queue:
            lines += 1
        return lines

    return await _streamed(count, read)


async def got(count: int) -> float:
    """Read one by one, by ``get()``."""

    async def read(queue: LineQueue[str]) -> int:
        lines = 0
        try:
            while True:
                await queue.get()
                lines += 1
        except QueueShutDown:
            return lines

    return await _streamed(count, read)


async def of_a_service(count: int) -> float:
    """Read ``Service.lines()`` by ``async for``, lossless, with stream, time and run on each line."""
    async with Overseer() as overseer:
        service = overseer.add("writer", *_command(count))
        queue = service.lines("stdout", overflow="block")
        await service.start()
        await queue.get()
        lines = 1
        begin = time.perf_counter()
        async for _line in queue:
            lines += 1
        taken = time.perf_counter() - begin
    return _each(taken, lines, count)


async def lost(count: int) -> float:
    """Return the number of lines that do not arrive as written: in batches, one by one, slowly, and of a service."""
    wrong = 0
    for size in (10, 1000):
        async with Process(*_command(count), buffered=False, streaming=True, queue_size=size) as process:
            assert process.stdout is not None
            lines = await process.stdout.get_batch()
            async for line in process.stdout:
                lines.append(line)
                await asyncio.sleep(0)
        wrong += _wrong(lines, count)
    async with Overseer() as overseer:
        queue = overseer.add("writer", *_command(count)).lines(overflow="block")
        await overseer.start_all()
        texts = [item.text async for item in queue]
    return float(wrong + _wrong(texts, count))


def _wrong(lines: Sequence[object], count: int) -> int:
    expected = EXPECTED * count
    changed = sum(line != wanted for line, wanted in zip(lines, expected, strict=False))
    return changed + abs(len(expected) - len(lines))


MEASURES = [
    Measure(
        key=key,
        title=title,
        unit="x",
        must=must,
        aim=aim,
        more_is_better=True,
        size=1000,
        quick=10,
        contenders={BASE: bare, OURS: ours, **others},
    )
    for key, title, must, aim, ours, others in (
        ("batches", "lines of 100 B in batches, beside readline(): speed", 5, 7, batches, {"anyio": with_anyio}),
        ("iterator", "the same one by one, by iterator", 2.8, 3.7, iterated, {}),
        ("get", "the same one by one, by get()", 2.8, 3.7, got, {}),
        ("service", "the same through Service.lines()", 1.5, 3, of_a_service, {}),
    )
] + [
    Measure(
        key="lost",
        title="lines lost, changed or out of order, slow reader",
        unit="lines",
        must=0,
        aim=0,
        more_is_better=False,
        size=100,
        quick=5,
        contenders={OURS: lost},
        rounds=1,
    )
]
