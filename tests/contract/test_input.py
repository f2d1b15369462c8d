"""The contract of the seam: what a child reads is the same, real or scripted."""

from __future__ import annotations

import asyncio
import pathlib
import signal

import pytest

from aioverseer import Exit, framing
from aioverseer._system.protocols import Child, WriteStream
from tests.contract.bench import Bench, Ear
from tests.support.programs import limit


def sink_of(running: Child) -> WriteStream:
    """Where to write."""
    assert running.stdin is not None
    return running.stdin


async def test_the_child_reads_the_written_data_and_its_end(bench: Bench) -> None:
    """Line by line, however it was cut."""
    running = await bench.launch("echoes", stdin="pipe")
    ear = Ear(running.stdout)
    for piece in (b"on", b"e\ntw", b"o\n"):
        await sink_of(running).write(piece)
    await ear.hear(b"one\ntwo\n")
    await sink_of(running).write_eof()
    assert Exit(code=0) == await running.wait()
    assert b"one\ntwo\n" == await ear.hear_end()


async def test_a_child_that_reads_one_line_needs_no_more(bench: Bench) -> None:
    """The pipe may stay open."""
    running = await bench.launch("reads a line", stdin="pipe")
    await sink_of(running).write(b"go\nrest")
    assert Exit(code=0) == await running.wait()
    assert b"got\n" == await Ear(running.stdout).hear_end()


@pytest.mark.parametrize("by", ["write_eof", "close"])
async def test_a_child_that_reads_to_the_end_waits_for_it(bench: Bench, by: str) -> None:
    """The end follows the data, in both ways to end the input."""
    running = await bench.launch("reads to the end", stdin="pipe")
    sink = sink_of(running)
    await sink.write(b"x" * 1000)
    if by == "close":
        sink.close()
    else:
        await sink.write_eof()
    assert Exit(code=4) == await running.wait()
    assert b"all\n" == await Ear(running.stdout).hear_end()


@pytest.mark.parametrize("stdin", [None, pathlib.Path("/dev/null")])
async def test_without_a_pipe_the_end_is_there_at_once(bench: Bench, stdin: pathlib.Path | None) -> None:
    """There is nothing to write to."""
    running = await bench.launch("reads to the end", stdin=stdin)
    assert running.stdin is None
    assert Exit(code=4) == await running.wait()


async def test_more_than_a_pipe_holds_waits_for_its_reader(bench: Bench) -> None:
    """A program that does not read holds the writer up; its end is a broken pipe."""
    running = await bench.launch("sleeps", stdin="pipe")
    await Ear(running.stdout).hear(b"up\n")
    writing = asyncio.ensure_future(sink_of(running).write(b"x" * 200_000))
    await asyncio.wait([writing], timeout=0.05)  # the only way to see that nothing happens
    assert not writing.done()
    running.signal(signal.SIGKILL)
    async with limit(10, "the write"):
        with pytest.raises(BrokenPipeError):
            await writing


async def test_large_input_reaches_a_child_that_reads(bench: Bench) -> None:
    """Whole."""
    running = await bench.launch("reads to the end", stdin="pipe")
    async with limit(10, "the write"):
        await sink_of(running).write(b"line\n" * 40_000)
        await sink_of(running).write_eof()
        assert Exit(code=4) == await running.wait()


async def test_a_write_can_be_cancelled_and_the_next_one_is_whole(bench: Bench) -> None:
    """A part of the first may have been written, as with any pipe."""
    running = await bench.launch("sleeps", stdin="pipe")
    writing = asyncio.ensure_future(sink_of(running).write(b"x" * 200_000))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(sink_of(running).write(b"y"))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    assert writing.cancelled()
    running.signal(signal.SIGKILL)
    async with limit(10, "the second write"):
        with pytest.raises(BrokenPipeError):
            await waiting


async def test_a_closed_write_stream_refuses_data(bench: Bench) -> None:
    """BrokenPipeError, as with any pipe; closing and ending twice is fine."""
    running = await bench.launch("sleeps", stdin="pipe")
    sink = sink_of(running)
    await sink.write(b"x")
    for _ in range(2):
        sink.close()
        await sink.write_eof()
    with pytest.raises(BrokenPipeError):
        await sink.write(b"x")


async def test_a_write_after_the_end_is_a_broken_pipe(bench: Bench) -> None:
    """Nobody reads it any more, although the sink was not closed."""
    running = await bench.launch("exits with 3", stdin="pipe")
    await running.wait()
    with pytest.raises(BrokenPipeError):
        await sink_of(running).write(b"x")


async def test_a_program_may_close_its_input(bench: Bench) -> None:
    """And live on."""
    running = await bench.launch("closes its input", stdin="pipe")
    await Ear(running.stdout).hear(b"up\n")
    with pytest.raises(BrokenPipeError):
        await sink_of(running).write(b"x")
    running.signal(signal.SIGTERM)
    assert Exit(signal=signal.SIGTERM) == await running.wait()


async def test_a_process_is_fed(bench: Bench) -> None:
    """Text that was given beforehand, and its end."""
    async with limit(10, "the end"):
        status = await bench.process("echoes", stdin="a\nb\n")
    assert (0, ["a", "b"]) == (status.exit_code, status.stdout)


async def test_a_conversation_in_frames(bench: Bench) -> None:
    """Frames are cut anywhere, may be empty, and hold newlines."""
    rule = framing.content_length()
    async with limit(), bench.process("answers frames", stdin="pipe", streaming=True, framing=rule) as process:
        data = b"".join(map(rule.encode, (b"a\nb", b"", b"x" * 100_000)))
        writing = asyncio.ensure_future(process.write(data[:30]))
        assert b"A\nB" == await process.stdout.get()
        await writing
        writing = asyncio.ensure_future(process.write(data[30:]))
        assert [b"", b"X" * 100_000] == [await process.stdout.get() for _ in range(2)]
        await writing
        process.close_stdin()
        assert 0 == (await process).exit_code


async def test_a_conversation_at_a_prompt(bench: Bench) -> None:
    """The prompt has no newline, and comes before each line that is read."""
    async with limit(), bench.process("asks at a prompt", stdin="pipe", streaming=True) as process:
        for word in ("one", "two"):
            await process.stdout.expect("^> ")
            await process.write(f"{word}\n")
            assert f"got {word}" == await process.stdout.get()
        await process.stdout.expect("^> ")
        process.close_stdin()
        assert [] == [line async for line in process.stdout]
        assert 0 == (await process).exit_code
