"""The last output of real programs is delivered, with and without readers."""

from __future__ import annotations

import asyncio

from aioverseer import Overseer, Process
from tests.support.programs import child, limit

LINES = 1000
WRITER = ("sh", "-c", 'i=0; while [ $i -lt 999 ]; do echo "line $i"; i=$((i+1)); done; printf "line 999"')
EXPECTED = [f"line {number}" for number in range(LINES)]


async def test_all_lines_before_an_immediate_exit_arrive() -> None:
    """In two hundred runs no line is lost, also the last one without its newline, in each way of reading."""

    async def buffered() -> list[str]:
        return list((await Process(*WRITER)).stdout or ())

    async def streamed() -> list[str]:
        process = Process(*WRITER, streaming=True, buffered=False)
        await process.start()
        assert process.stdout is not None
        return [line async for line in process.stdout]

    async def unread_until_the_end() -> list[str]:
        process = Process(*WRITER, streaming=True, buffered=False, queue_size=10)
        await process.start()
        assert process.stdout is not None
        lines = [await process.stdout.get() for _ in range(LINES)]
        await process
        return lines

    async def subscribed() -> list[str]:
        async with Overseer() as overseer:
            service = overseer.add("writer", *WRITER)
            lines = service.lines(overflow="block", size=100)
            await service.start()
            return [line.text async for line in lines]

    for _ in range(25):
        runs = await asyncio.gather(
            *(read() for read in (buffered, streamed, unread_until_the_end, subscribed) for _ in range(2))
        )
        assert [EXPECTED] * 8 == runs


async def test_end_is_reported_although_nobody_reads() -> None:
    """A stalled reader does not delay the report. The rest of the pipe is still delivered."""
    process = Process("seq", "5000", streaming=True, buffered=False, queue_size=4000)
    status = await process
    assert status.ok
    assert process.stdout is not None
    assert [str(number) for number in range(1, 5001)] == [line async for line in process.stdout]


async def test_survivor_in_the_group_does_not_delay_the_end() -> None:
    """It is killed with its leader, which closes the pipe."""
    code = """
    import os, time
    if os.fork() == 0:
        time.sleep(60)
    print("bye")
    """
    status = await Process(*child(code), drain_timeout=30)
    assert (True, ["bye"]) == (status.ok, status.stdout)


async def test_survivor_outside_the_group_does_not_hold_up_the_end() -> None:
    """A process that still holds the pipe gets SIGTERM."""
    code = """
    import os, signal, sys
    if os.fork() == 0:
        os.setsid()
        os.close(0)
        signal.alarm(60)
        print(os.getpid(), flush=True)
        signal.pause()
    sys.stdin.read(1)
    """
    async with limit(20):
        process = Process(*child(code), stdin="pipe", streaming=True, buffered=False, drain_timeout=0.05)
        await process.start()
        assert process.stdout is not None
        assert (await process.stdout.get()).isdecimal()
        ended = asyncio.ensure_future(process.wait())
        process.close_stdin()
        assert (await ended).ok
