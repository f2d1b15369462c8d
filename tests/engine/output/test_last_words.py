"""What a program writes before its end is delivered, every time, whoever reads or does not: with real children."""

from __future__ import annotations

import asyncio

from aioverseer import Overseer, Process
from tests.support.programs import child

LINES = 1000
WRITER = ("sh", "-c", 'i=0; while [ $i -lt 999 ]; do echo "line $i"; i=$((i+1)); done; printf "line 999"')
EXPECTED = [f"line {number}" for number in range(LINES)]


async def test_a_thousand_lines_and_an_exit_at_once_are_a_thousand_lines_in_two_hundred_runs() -> None:
    """No run loses a line, the last one without its newline included, whichever way it is read."""

    async def buffered() -> list[str]:
        return list((await Process(*WRITER)).stdout or ())  # type: ignore[arg-type]  # text, as no encoding is None

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
            return [line.text async for line in lines]  # type: ignore[union-attr, misc]  # no Dropped, and text

    for _ in range(25):
        runs = await asyncio.gather(
            *(read() for read in (buffered, streamed, unread_until_the_end, subscribed) for _ in range(2))
        )
        assert [EXPECTED] * 8 == runs


async def test_the_end_is_told_although_nobody_reads_and_nothing_is_lost() -> None:
    """A stalled reader does not hold up the news of the end; what is left of the pipe is there afterwards."""
    process = Process("seq", "5000", streaming=True, buffered=False, queue_size=4000)
    status = await process
    assert status.ok
    assert process.stdout is not None
    assert [str(number) for number in range(1, 5001)] == [line async for line in process.stdout]


async def test_a_survivor_in_the_group_ends_with_its_leader_and_delays_nothing() -> None:
    """What the leader leaves behind in its group is ended with it, so that its pipe is closed."""
    code = """
    import os, time
    if os.fork() == 0:
        time.sleep(60)
    print("bye")
    """
    status = await Process(*child(code), drain_timeout=30)
    assert (True, ["bye"]) == (status.ok, status.stdout)


async def test_a_survivor_that_left_the_group_delays_the_end_by_the_grace_at_most() -> None:
    """Who still holds the pipe after the end is waited for no longer than drain_timeout."""
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
    process = Process(*child(code), stdin="pipe", streaming=True, buffered=False, drain_timeout=0.05)
    await process.start()
    assert process.stdout is not None
    survivor = int(await process.stdout.get())
    ended = asyncio.ensure_future(process.wait())
    process.close_stdin()
    assert (await ended).ok
    # It wrote into a pipe of its own making, so it is this test's to end.
    end = await Process("sh", "-c", f"kill -9 {survivor}; while kill -0 {survivor} 2>/dev/null; do :; done")
    assert end.ok
