"""``streaming``: one stream or both, what is kept besides, and what a program that stands still says."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

import pytest

from aioverseer import NotReady, Overseer, Process, ProcessFailed, Restart, SpecError, Stop, ready
from tests.support.programs import child, limit

TALKER = child(
    """
    import os, sys
    for line in sys.stdin:
        os.write(2, (b"x" * 99 + b"\\n") * 2000)
        print("answer to", line.strip(), flush=True)
    """
)
"""It answers each line, and writes 200 kB to standard error before."""
FLOOD = child("import os\nwhile True: os.write(2, b'x' * 99 + b'\\n')")


async def test_a_streaming_process_keeps_no_lines() -> None:
    """Unless it is asked to: the kept lines have no bound."""
    for process, kept in (
        (Process("seq", "2", streaming=True), None),
        (Process("seq", "2", streaming=True, buffered=True), ["1", "2"]),
    ):
        assert [line async for line in (await process.start()).stdout] == ["1", "2"]
        assert kept == (await process).stdout
    assert (await Process("seq", "2")).stdout == ["1", "2"]


@pytest.mark.parametrize(("streamed", "other"), [("stdout", "stderr"), ("stderr", "stdout")])
async def test_one_stream_can_be_streamed(streamed: Any, other: str) -> None:
    """The other one has no queue, and is read without a reader."""
    process = Process("sh", "-c", "seq 100000 >&2; seq 100000", streaming=streamed, queue_size=10)
    assert getattr(process, other) is None
    async with limit(20, "the stream"):
        await process.start()
        lines = [line async for line in getattr(process, streamed)]
        status = await process
    assert [str(n) for n in range(1, 100_001)] == lines
    assert (status.stdout, status.stderr) == (None, None)


async def test_an_unread_stderr_does_not_stop_a_conversation() -> None:
    """With the other stream alone; far more is written than a pipe and a queue hold."""
    async with limit(20, "the answers"), Process(*TALKER, stdin="pipe", streaming="stdout") as process:
        for n in range(10):
            await process.write(f"{n}\n")
            assert await process.stdout.get() == f"answer to {n}"


async def test_program_that_never_pauses_leaves_time_for_other_tasks() -> None:
    """Although its reader finds lines in the pipe whenever its queue is empty."""
    code = "import os\nwhile True: os.write(1, b'x' * 99 + b'\\n')"
    async with limit(20, "the timer"), Process(*child(code), streaming="stdout", stop=Stop(9, 2)) as process:
        await process.stdout.get()  # the start of the program takes longer than the timer on a busy machine
        timer = asyncio.ensure_future(asyncio.sleep(0.05))
        count = 0
        while not timer.done():
            await process.stdout.get()
            count += 1
    assert count > 1


async def test_a_service_streams_one_stream_of_each_run() -> None:
    """Its subscribers get both."""
    async with limit(20, "the run"), Overseer() as overseer:
        service = overseer.add("web", "sh", "-c", "seq 30000 >&2; echo out", streaming="stdout", queue_size=1)
        lines, runs = service.lines("stderr", overflow="block", size=100_000), service.runs()
        await service.start()
        assert ["out"] == [line async for line in (await anext(runs)).stdout]
        await service.wait()
        assert 30_000 == len([line async for line in lines])


async def test_errors_have_the_last_lines_of_a_program_that_streams() -> None:
    """Of the stream that is not delivered, too."""
    script = "seq 1000; echo bad >&2; exit 3"
    ways: tuple[bool | Literal["stdout", "stderr"], ...] = (True, "stdout", "stderr")
    for streaming in ways:
        process = Process("sh", "-c", script, streaming=streaming, queue_size=5000)
        status = await process
        assert {"bad", "1000"} <= set(status.last_lines)
        with pytest.raises(ProcessFailed, match="bad"):
            status.check()
    with pytest.raises(NotReady, match="bad"):
        await Process("sh", "-c", script, streaming="stdout", ready=ready.line("up")).start()


async def test_a_failed_service_has_its_last_lines_in_the_error() -> None:
    """A Service that is not buffered has them from its tail."""
    async with Overseer() as overseer:
        overseer.add("bad", "sh", "-c", "echo why; exit 3", restart=Restart("never"))
        status = await overseer.supervise("bad")
    with pytest.raises(ProcessFailed, match="why"):
        status.check()


@pytest.mark.parametrize("unread", ["stderr", "stdout"])
async def test_stream_that_nobody_has_begun_to_read_gives_way(unread: str, caplog: pytest.LogCaptureFixture) -> None:
    """When somebody reads the other one; a warning says so once, and a late reader loses nothing more."""
    read = "stdout" if unread == "stderr" else "stderr"
    code = f"""
        import os
        for n in range(40000):
            os.write({2 if unread == "stderr" else 1}, b"%05d\\n" % n)
        os.write({1 if unread == "stderr" else 2}, b"answer\\n")
        for n in range(40000, 60000):
            os.write({2 if unread == "stderr" else 1}, b"%05d\\n" % n)
        """
    process = Process(*child(code), streaming=True, queue_size=10)
    queue, other = getattr(process, unread), getattr(process, read)
    caplog.set_level(logging.WARNING, "aioverseer")
    async with limit(20, "the program"), process:
        while not queue.blocked:
            await asyncio.sleep(0)
        assert f"; waits for a reader of its {unread}" in process.status().reason
        assert await other.get() == "answer"
        assert "waits" not in process.status().reason
        lines = [int(line) async for line in queue]
        assert queue.missed > 0
        assert list(range(queue.missed, 60_000)) == lines
        await process.wait()
    (record,) = caplog.records
    assert f"nobody reads its {unread}" in record.getMessage()
    assert f'streaming="{read}"' in record.getMessage()


async def test_second_reader_may_begin_a_little_later() -> None:
    """Its queue is full by then, and no line of it is lost."""
    process = Process("sh", "-c", "seq 20000 >&2; echo out", streaming=True, queue_size=10)
    async with limit(20, "the program"), process:
        while not process.stderr.blocked:
            await asyncio.sleep(0)
        waiting = asyncio.ensure_future(process.stdout.get())
        for _ in range(10):
            await asyncio.sleep(0)
        assert 20_000 == len([line async for line in process.stderr])
        assert ("out", 0) == (await waiting, process.stderr.missed)


async def test_a_program_that_waits_for_a_reader_says_so() -> None:
    """As long as nobody reads any stream, no line is lost."""
    process = Process(*FLOOD, streaming=True, queue_size=10, stop=Stop(9, 2))
    async with limit(20, "the program"), process:
        while not process.stderr.blocked:
            await asyncio.sleep(0)
        assert "; waits for a reader of its stderr" in process.status().reason
        while process.stderr.qsize() > 5:
            process.stderr.get_nowait()
        assert "waits" not in process.status().reason
        while not process.stderr.blocked:
            await asyncio.sleep(0)
        assert 0 == process.stderr.missed
    assert "waits" not in process.status().reason


async def test_readers_of_both_streams_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """However slow they are."""
    caplog.set_level(logging.WARNING, "aioverseer")
    process = Process("sh", "-c", "seq 20000 >&2; seq 20000", streaming=True, queue_size=1)

    async def slow(queue: Any) -> int:
        count = 0
        async for _ in queue:
            count += 1
            await asyncio.sleep(0)
        return count

    async with limit(20, "the program"):
        await process.start()
        assert (20_000, 20_000) == tuple(await asyncio.gather(slow(process.stdout), slow(process.stderr)))
    assert [] == caplog.records


async def test_a_service_tells_that_it_waits_for_a_lossless_reader() -> None:
    """In why() and in its Status, as long as it is so."""
    async with limit(20, "the service"), Overseer() as overseer:
        service = overseer.add("flood", *FLOOD, stop=Stop(9, 2))
        lines = service.lines("stderr", overflow="block", size=10)
        await service.start()
        while not lines.blocked:
            await asyncio.sleep(0)
        assert "waits for a reader of its stderr" in str(service.why())
        assert "waits for a reader of its stderr" in service.status().reason
        lines.close()
        assert "waits for a reader" not in str(service.why())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"streaming": "both"}, 'streaming=\'both\' is unknown: pass True, "stdout", "stderr" or False'),
        ({"streaming": 1}, "streaming=1 is unknown"),
        ({"streaming": None}, "streaming=None is unknown"),
        ({"streaming": "stderr", "merge_stderr": True}, "with merge_stderr=True"),
        ({"streaming": "stderr", "pty": True}, "with pty=True"),
        ({"streaming": "stdout", "output": "null"}, "cannot go with streaming='stdout'"),
    ],
)
def test_impossible_streaming_is_refused(options: dict[str, Any], words: str) -> None:
    """The error says what to write."""
    with pytest.raises(SpecError) as caught:
        Process("true", **options)
    assert words in str(caught.value)


async def test_a_merged_stream_is_streamed_as_stdout() -> None:
    """Both streams are in it."""
    process = Process("sh", "-c", "echo a; echo b >&2", streaming="stdout", merge_stderr=True)
    await process.start()
    assert ["a", "b"] == [line async for line in process.stdout]
    await process
