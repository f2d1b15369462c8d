"""How many frames of Content-Length arrive in a second, beside a loop of ``readline`` and ``readexactly`` by hand."""

from __future__ import annotations

import asyncio
import sys
import time

from aioverseer import Process, QueueShutDown, framing
from tests.benchmarks.measure import BASE, OURS, Measure

__all__ = ["MEASURES"]

BLOCK = 1000
"""The number of frames in one write; each has 200 bytes and begins with its index."""
WRITER = f"""
import os, sys
body = b"x" * 197
block = b"".join(b"Content-Length: 200\\r\\n\\r\\n%03d%b" % (n, body) for n in range({BLOCK}))
for _ in range(int(sys.argv[1])):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1, rest):]
"""


def _command(count: int) -> tuple[str, ...]:
    return sys.executable, "-I", "-S", "-c", WRITER, str(count)


def _each(taken: float, frames: int, count: int) -> float:
    if frames != BLOCK * count:
        raise AssertionError(f"{BLOCK * count} frames were written, {frames} arrived")
    return taken / frames


async def by_hand(count: int) -> float:
    """Read with asyncio: the header by ``readline()``, the frame by ``readexactly()``."""
    process = await asyncio.create_subprocess_exec(
        *_command(count), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    frames = 0
    header = await process.stdout.readline()
    begin = time.perf_counter()
    while header:
        length = int(header.split(b":")[1])
        while await process.stdout.readline() != b"\r\n":
            pass
        await process.stdout.readexactly(length)
        frames += 1
        header = await process.stdout.readline()
    taken = time.perf_counter() - begin
    await process.wait()
    return _each(taken, frames, count)


async def batches(count: int) -> float:
    """Read by ``get_batch()``."""
    options = framing.content_length()
    async with Process(*_command(count), buffered=False, streaming=True, framing=options) as process:
        assert process.stdout is not None
        await process.stdout.get()
        begin = time.perf_counter()
        frames = 1
        try:
            while True:
                frames += len(await process.stdout.get_batch())
        except QueueShutDown:
            taken = time.perf_counter() - begin
    return _each(taken, frames, count)


MEASURES = [
    Measure(
        key="frames",
        title="frames of Content-Length, 200 B, in batches, beside readline() and readexactly(): speed",
        unit="x",
        must=4,
        aim=6,
        more_is_better=True,
        size=300,
        quick=10,
        contenders={BASE: by_hand, OURS: batches},
    )
]
