"""Processes that hold a program's pipe after its end: their output arrives in time, and delays are bounded."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, State
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit

linux = pytest.mark.skipif(sys.platform != "linux", reason="opens a pipe through /proc")

F_SETPIPE_SZ = 1031
"""Linux; the module has the name on Linux only."""
GRACE = 5.0
"""Seconds of drain_timeout, on a clock that the test moves."""
LEFTOVERS = 2.0
"""Seconds between SIGTERM and SIGKILL for survivors that can be found."""


@asynccontextmanager
async def pipe_of(pid: int | None) -> AsyncGenerator[int]:
    """Return the write end of a program's stdout, so that the test acts as a survivor."""
    pipe = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
    try:
        yield pipe
    finally:
        os.close(pipe)


async def until_it_drains(clock: ManualClock) -> float:
    """Wait until the program has ended and only the grace is left. Return an awaitable of the end."""
    while (due := clock.next_timer()) is None:
        await asyncio.sleep(0)
    return due


@linux
async def test_output_of_a_survivor_arrives_within_the_grace() -> None:
    """The end comes exactly with the grace, with the unfinished line. Then the survivor's pipe is broken."""
    clock = ManualClock()
    process = Process("cat", stdin="pipe", streaming=True, buffered=True, drain_timeout=GRACE, clock=clock)
    async with limit(20, "the run"):
        await process.start()
        stdout = process.stdout
        assert stdout is not None
        ended = asyncio.ensure_future(process.wait())
        async with pipe_of(process.pid) as pipe:
            await process.write("before\n")
            assert "before" == await stdout.get()
            process.close_stdin()
            assert GRACE == await until_it_drains(clock)
            os.write(pipe, b"after\n")
            assert "after" == await stdout.get()
            await clock.advance(GRACE - 0.1)
            assert (False, State.RUNNING) == (ended.done(), process.state)
            os.write(pipe, b"late\nbegun")
            assert "late" == await stdout.get()
            assert not ended.done()
            await clock.advance(0.1)
            status = await ended
            assert ["begun"] == [line async for line in stdout]
            with pytest.raises(BrokenPipeError):
                os.write(pipe, b"too late\n")
    assert (True, ["before", "after", "late", "begun"]) == (status.ok, status.stdout)
    assert clock.next_timer() is None


@linux
async def test_end_comes_when_the_survivor_closes_the_pipe() -> None:
    """The grace is a limit, not a delay."""
    clock = ManualClock()
    process = Process("cat", stdin="pipe", drain_timeout=GRACE, clock=clock)
    async with limit(20, "the run"):
        await process.start()
        ended = asyncio.ensure_future(process.wait())
        async with pipe_of(process.pid) as pipe:
            process.close_stdin()
            await until_it_drains(clock)
            os.write(pipe, b"last words")
        status = await ended
    assert (True, ["last words"], 0.0) == (status.ok, status.stdout, clock.now())
    assert clock.next_timer() is None


@linux
@pytest.mark.parametrize("size", [1, 100_000], ids=["while nobody reads", "while there is room"])
async def test_output_of_the_program_needs_no_grace(size: int) -> None:
    """The content of a large pipe is delivered, although a survivor keeps it open and the grace is zero."""
    lines = [f"{number:063}" for number in range(8000)]
    process = Process("cat", stdin="pipe", streaming=True, buffered=False, queue_size=size, drain_timeout=0)
    async with limit(20, "the run"):
        await process.start()
        stdout = process.stdout
        assert stdout is not None
        async with pipe_of(process.pid) as pipe:
            fcntl.fcntl(pipe, F_SETPIPE_SZ, 1 << 20)
            await process.write("".join(f"{line}\n" for line in lines))
            process.close_stdin()
            assert (await process).ok
    assert lines == [line async for line in stdout]


@linux
async def test_output_of_a_survivor_belongs_to_its_run() -> None:
    """The next run begins after the grace, and gets none of the earlier run's output."""
    clock = ManualClock()
    policy = Restart("always", max_restarts=1, backoff=Backoff(min=1, max=1))
    async with limit(20, "the service"), Overseer(clock=clock) as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", drain_timeout=GRACE, restart=policy)
        lines = service.lines()
        await service.start()
        async with pipe_of(service.pid) as pipe:
            service.close_stdin()
            await until_it_drains(clock)
            os.write(pipe, b"of the first\n")
            first = await lines.get()
            assert (State.RUNNING, 0) == (service.state, service.restarts)
            await clock.advance(GRACE)
            await service.wait_for(State.BACKOFF)
            with pytest.raises(BrokenPipeError):
                os.write(pipe, b"lost\n")
            await clock.advance(1)
            await service.wait_for(State.RUNNING)
        await service.write("of the second\n")
        second = await lines.get()
        service.close_stdin()
        assert 0 == (await service.wait()).exit_code
    assert [("of the first", 1), ("of the second", 2)] == [(line.text, line.run) for line in (first, second)]


SURVIVED = child(
    """
    import os, resource, sys
    told, tells = os.pipe()
    ready, readies = os.pipe()
    os.set_inheritable(readies, True)
    os.set_inheritable(told, True)
    if os.fork() == 0:
        os.setsid()
        # A shell without an environment and without marked limits: only the pipe connects it to its parent.
        if sys.platform == "linux":
            for field in (10, 15):
                resource.setrlimit(field, (resource.RLIM_INFINITY, resource.getrlimit(field)[1]))
        os.execve("/bin/sh", ["sh", "-c", sys.argv[1], "sh", str(told), str(readies)], {})
    os.close(readies)
    os.read(ready, 1)
    print("bye")
    """,
)
"""Ends when what it began in a session of its own is ready: a shell that is given two descriptors as $1 and $2. The
first is at its end when the parent is gone; the second is to be closed when the shell is ready."""


async def test_output_of_a_grandchild_arrives_after_its_parent() -> None:
    """It writes after the parent's end. Its end closes the pipe, and nothing waits any longer."""
    code = 'eval "exec $2>&-"; eval "read -r _ <&$1"; echo after; echo error >&2'
    async with limit(20, "the run"):
        status = await Process(*SURVIVED, code, drain_timeout=60)
    assert (True, ["bye", "after"], ["error"]) == (status.ok, status.stdout, status.stderr)


@pytest.mark.parametrize("streaming", [False, True], ids=["of a service", "of a process"])
async def test_endless_grandchild_delays_the_end_by_the_grace(streaming: bool) -> None:
    """Its lines are discarded or wait for a reader. Then its pipe breaks, which ends it."""
    code = 'eval "exec $2>&-"; eval "read -r _ <&$1"; exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
    grace = 0.3
    began = time.monotonic()
    async with limit(20, "the end"):
        if streaming:
            process = Process(*SURVIVED, code, streaming=True, buffered=False, queue_size=10, drain_timeout=grace)
            status = await process
            assert process.stdout is not None
            # 40 bytes a line: the read that filled the queue, the content of the pipe, and 128 KiB after that, the last
            # two with one more read at most.
            assert 0 < process.stdout.qsize() <= 10 + 6 * 1640
        else:
            async with Overseer() as overseer:
                service = overseer.add("parent", *SURVIVED, code, drain_timeout=grace)
                lines = service.lines(size=10)
                await service.start()
                status = await service.wait()
                # They are dropped, and the first line that is left counts them.
                assert 10 == lines.qsize()
                assert lines.missed == (await lines.get()).missed > 0
    took = time.monotonic() - began
    assert status.ok
    # The grace begins when the parent has ended, and a start and an end take no seconds.
    assert grace <= took < grace + 5


async def test_survivors_in_the_group_are_killed_before_the_grace() -> None:
    """Many survivors ignore SIGTERM and write: their ladder ends them, and nothing waits for their pipes then."""
    code = """
    import os, signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready, readies = os.pipe()
    for _ in range(5):
        if os.fork() == 0:
            os.write(1, b"%d\\n" % os.getpid())
            os.write(readies, b"x")
            while True:
                os.write(2, b"%099d\\n" % 0)
    left = 5
    while left:
        left -= len(os.read(ready, left))
    print("bye")
    """
    clock = ManualClock()
    process = Process(*child(code), streaming=True, buffered=False, queue_size=10, clock=clock)
    async with limit(20, "the run"):
        ended = asyncio.ensure_future(process.wait())
        assert LEFTOVERS == await until_it_drains(clock)
        assert not ended.done()
        await clock.advance(LEFTOVERS)
        status = await ended
        assert process.stdout is not None
        *pids, last = [line async for line in process.stdout]
    assert (True, 5, "bye") == (status.ok, len(pids), last)
    assert clock.next_timer() is None
