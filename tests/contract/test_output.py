"""The contract of the seam: what a child writes is the same, real or scripted."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.contract.bench import Bench, Ear
from tests.support.programs import limit


@pytest.mark.parametrize("merge", [False, True])
async def test_output_comes_by_its_stream_and_then_its_end(bench: Bench, merge: bool) -> None:
    """Once; what was merged has no source of its own."""
    running = await bench.launch("speaks", merge_stderr=merge)
    ears = [Ear(source) for source in (running.stdout, running.stderr) if source is not None]
    heard = [await ear.hear_end() for ear in ears]
    assert ([b"one\ntwo\nerr\n"] if merge else [b"one\ntwo\n", b"err\n"]) == heard
    assert [1] * len(ears) == [ear.ends for ear in ears]


@pytest.mark.parametrize("merge", [False, True])
async def test_output_keeps_its_order(bench: Bench, merge: bool) -> None:
    """Within a stream, and between them when they are merged; a last line without an end is there."""
    running = await bench.launch("speaks in turns", merge_stderr=merge)
    out = await Ear(running.stdout).hear_end()
    assert (b"1\n2\n3\n4" if merge else b"1\n3\n") == out
    if not merge:
        assert b"2\n4" == await Ear(running.stderr).hear_end()


async def test_without_capture_there_is_nothing_to_read_or_write(bench: Bench) -> None:
    """And with it, what was not asked for is None too."""
    running = await bench.launch("exits with 3", capture=False)
    assert (None, None, None) == (running.stdin, running.stdout, running.stderr)
    running = await bench.launch("exits with 3", stdin="inherit")
    assert (True, True, True) == (running.stdin is None, running.stdout is not None, running.stderr is not None)


async def test_a_paused_stream_keeps_its_data_until_it_is_resumed(bench: Bench) -> None:
    """The end waits until the data was read."""
    running = await bench.launch("speaks")
    ear = Ear(running.stdout, blocked=True)
    await running.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (b"", 0) == (ear.data, ear.ends)
    ear.blocked = False
    ear.source.resume()
    assert b"one\ntwo\n" == await ear.hear_end()


async def test_draining_delivers_all_that_is_there_blocked_or_not(bench: Bench) -> None:
    """At once, although whoever takes it has no room; the end comes with it."""
    running = await bench.launch("says much")
    ear = Ear(running.stdout, blocked=True)
    await running.wait()
    ear.source.drain()
    assert (b"".join(b"%d\n" % n for n in range(1, 3001)), 1) == (ear.data, ear.ends)


async def test_a_full_pipe_holds_its_writer_up(bench: Bench) -> None:
    """It goes on when there is room, and nothing is lost."""
    running = await bench.launch("says more than a pipe holds")
    said = Ear(running.stderr)
    ear = Ear(running.stdout, blocked=True)
    hearing = asyncio.ensure_future(said.hear(b"done"))
    await asyncio.wait([hearing], timeout=0.05)  # the only way to see that nothing comes
    assert (b"", b"", False) == (ear.data, said.data, hearing.done())
    ear.blocked = False
    ear.source.resume()
    assert 200_000 == len(await ear.hear_end())
    await hearing
    assert 0 == (await running.wait()).code


async def test_output_in_the_pipe_survives_a_kill_in_the_middle_of_a_write(bench: Bench) -> None:
    """No more, and then the end."""
    running = await bench.launch("says more than a pipe holds")
    ear = Ear(running.stdout)
    ear.blocked = True
    held = len(ear.data)
    await asyncio.sleep(0)
    running.signal(signal.SIGKILL)
    await running.wait()
    ear.source.drain()
    assert 1 == ear.ends
    assert held <= len(ear.data) < 200_000


async def test_a_closed_source_is_silent(bench: Bench) -> None:
    """Not even its end is told."""
    running = await bench.launch("sleeps")
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    ear.source.close()
    running.signal(signal.SIGKILL)
    await running.wait()
    for call in (ear.source.resume, ear.source.drain, ear.source.close):
        call()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (b"up\n", 0) == (ear.data, ear.ends)


async def test_output_may_end_before_the_program(bench: Bench) -> None:
    """The other stream goes on."""
    running = await bench.launch("closes its output")
    out, err = Ear(running.stdout), Ear(running.stderr)
    assert b"up\n" == await out.hear_end()
    await err.hear(b"closed")
    assert 0 == err.ends
    running.signal(signal.SIGTERM)
    assert signal.SIGTERM == (await running.wait()).signal


async def test_a_process_that_nobody_reads_loses_nothing(bench: Bench) -> None:
    """The queue is full long before the end, and the end is told all the same."""
    process = bench.process("says much", streaming=True, buffered=False, queue_size=10)
    async with limit(10, "the end"):
        assert (await process).ok
    assert process.stdout is not None
    assert [str(n) for n in range(1, 3001)] == [text async for text in process.stdout]
