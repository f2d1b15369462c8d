"""How many questions a second a program on stdio answers: JSON lines, one question after the other, on one core."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

from aioverseer import Overseer, Process, RequestChannel
from tests.benchmarks.measure import BASE, OURS, Measure

ECHO = """
import sys
while line := sys.stdin.buffer.readline():
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
"""
COMMAND = (sys.executable, "-I", "-S", "-c", ECHO)
LIMIT = 1 << 17
WARM_UP = 20
"""Round trips before the clock runs: the interpreter of the program must have started."""

Trip = Callable[[int], Awaitable[Any]]


@contextmanager
def one_core() -> Generator[None]:
    """Keep this process and its children on one core: moves between cores disturb short jobs most."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def question(key: int, size: int) -> bytes:
    """Return a message of about so many bytes."""
    return (json.dumps({"id": key, "text": "x" * (size - 30)}) + "\n").encode()


async def _timed(trip: Trip, count: int) -> float:
    for key in range(WARM_UP):
        await trip(key)
    begin = time.perf_counter()
    for key in range(WARM_UP, WARM_UP + count):
        answer = await trip(key)
        if answer["id"] != key:
            raise AssertionError(f"{answer['id']} came in place of {key}")
    return (time.perf_counter() - begin) / count


async def _bare_program() -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe, start_new_session=True, limit=LIMIT)


async def bare(count: int, *, size: int) -> float:
    """Write to and read from the streams of asyncio."""
    with one_core():
        program = await _bare_program()
        writer, reader = program.stdin, program.stdout
        assert writer is not None
        assert reader is not None

        async def trip(key: int) -> Any:
            writer.write(question(key, size))
            await writer.drain()
            return json.loads(await reader.readline())

        taken = await _timed(trip, count)
        writer.close()
        await program.wait()
        return taken


async def of_a_process(count: int, *, size: int) -> float:
    """Write to and read from a Process."""
    with one_core():
        async with Process(*COMMAND, stdin="pipe", streaming="stdout", line_limit=LIMIT) as process:

            async def trip(key: int) -> Any:
                await process.write(question(key, size))
                return json.loads(await process.stdout.get())

            taken = await _timed(trip, count)
            process.close_stdin()
            await process.wait()
            return taken


async def by_hand(count: int, *, size: int) -> float:
    """Ask through the streams of asyncio, with a reader task and a dict of futures."""
    with one_core():
        program = await _bare_program()
        writer, reader = program.stdin, program.stdout
        assert writer is not None
        assert reader is not None
        pending: dict[int, asyncio.Future[Any]] = {}

        async def read() -> None:
            while line := await reader.readline():
                message = json.loads(line)
                pending.pop(message["id"]).set_result(message)

        async def trip(key: int) -> Any:
            future = pending[key] = asyncio.get_running_loop().create_future()
            writer.write(question(key, size))
            await writer.drain()
            return await future

        reading = asyncio.create_task(read())
        taken = await _timed(trip, count)
        writer.close()
        await program.wait()
        await reading
        return taken


async def of_a_channel(count: int, *, size: int) -> float:
    """Ask a service through a RequestChannel."""
    with one_core():
        async with Overseer() as overseer:
            service = overseer.add("echo", *COMMAND, stdin="pipe", line_limit=LIMIT)
            await service.start()
            channel = RequestChannel(
                service,
                send=functools.partial(question, size=size),
                parse=json.loads,
                key_of=lambda message: message["id"],
            )
            async with channel:
                return await _timed(lambda key: channel.ask(key, key), count)


MEASURES = [
    Measure(
        key=key,
        title=title,
        unit="x",
        must=must,
        aim=aim,
        more_is_better=True,
        size=count,
        quick=10,
        contenders={
            BASE: functools.partial(base, size=size),
            OURS: functools.partial(ours, size=size),
        },
        times=5,
    )
    for key, title, must, aim, base, ours, size, count in (
        ("trips", "round trips of 200 B on stdio, beside asyncio: speed", 1.2, 1.5, bare, of_a_process, 200, 1000),
        ("trips-64k", "the same with 64 kB", 0.9, 1, bare, of_a_process, 64_000, 200),
        ("requests", "RequestChannel, 200 B, beside a dict of futures", 0.9, 1.2, by_hand, of_a_channel, 200, 1000),
        ("requests-64k", "the same with 64 kB", 0.7, 0.9, by_hand, of_a_channel, 64_000, 200),
    )
]
"""Short jobs and many rounds."""
