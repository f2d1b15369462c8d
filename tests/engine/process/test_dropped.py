"""A Process that nobody holds while its program runs is named in a ResourceWarning, and its program is stopped."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Alive, Overseer, Process, State, Stop, ready
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit
from tests.support.spawners import pidfd_only

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")

SAVES = child(
    """
    import os, signal, sys
    def save(*_):
        open(sys.argv[1], "w").write("saved")
        os._exit(0)
    signal.signal(signal.SIGTERM, save)
    print("up", flush=True)
    while True:
        signal.pause()
    """
)


def drop(held: list[Process]) -> None:
    """Forget a process."""
    held.clear()
    gc.collect()


async def is_there(process: Process) -> bool:
    """Be a probe that gets a handle."""
    return process.pid is not None


async def gone(pidfd: int) -> None:
    """Wait for the end of a program, and for the tasks that look for what it has left."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def test_dropped_process_is_named_and_stopped(tmp_path: Path) -> None:
    """By its ladder, so that it can save its data."""
    async with limit(20):
        process = await Process(*SAVES, str(tmp_path / "data"), id="saver").start()
        while not process.status().stdout:
            await asyncio.sleep(0)
        assert process.pid is not None
        pidfd = os.pidfd_open(process.pid)
        held = [process]
        del process
        with pytest.warns(ResourceWarning, match="<Process 'saver' .* running pid=.*> was dropped"):
            drop(held)
        await gone(pidfd)
    assert "saved" == (tmp_path / "data").read_text()


OPTIONS = {
    "streaming": {"streaming": True},
    "streaming a stream": {"streaming": "stderr"},
    "ready": {"ready": ready.check(is_there)},
    "alive": {"alive": Alive(ready.check(is_there), every=0.1)},
    "ready by a command": {"ready": ready.command("true")},
    "not read": {"output": "null"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_dropped_with_options(options: Any) -> None:
    """Probes and queues do not hold their Process."""
    async with limit(20):
        held = [await Process("sleep", "100", **options).start()]
        assert held[0].pid is not None
        pidfd = os.pidfd_open(held[0].pid)
        with pytest.warns(ResourceWarning, match="'sleep 100'"):
            drop(held)
        await gone(pidfd)


async def test_probe_in_progress_holds_its_process() -> None:
    """The warning comes when the function has returned."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def enter(process: Process) -> bool:
        entered.set()
        await leave.wait()
        return process.state is State.RUNNING

    async with limit(20):
        held = [await Process("sleep", "100", alive=Alive(ready.check(enter), every=0.01, timeout=20)).start()]
        assert held[0].pid is not None
        pidfd = os.pidfd_open(held[0].pid)
        await entered.wait()
        drop(held)
        with pytest.warns(ResourceWarning, match="'sleep 100'"):  # noqa: PT031  # it comes while the test waits
            leave.set()
            await gone(pidfd)


async def dropped_mute(clock: ManualClock, script: str, *words: str) -> int:
    """Drop a Process whose script has closed its output; return a pidfd once the library waits for its end."""
    held = [await Process("sh", "-c", script, "sh", *words, streaming="stdout", clock=clock).start()]
    assert held[0].stdout is not None
    assert [] == [line async for line in held[0].stdout]
    assert held[0].pid is not None
    pidfd = os.pidfd_open(held[0].pid)
    drop(held)
    while clock.next_timer() is None:
        await asyncio.sleep(0)
    return pidfd


async def test_dropped_after_the_program_has_closed_its_output() -> None:
    """It may be about to end. If it goes on, it is stopped."""
    clock = ManualClock()
    async with limit(20):
        pidfd = await dropped_mute(clock, "exec >&-; exec sleep 100")
        with pytest.warns(ResourceWarning, match="exec sleep 100"):
            await clock.advance(2)
        await gone(pidfd)


async def test_dropped_after_the_last_line(quiet: None) -> None:
    """The program has closed its output, and ends by itself soon."""
    clock = ManualClock()
    code = 'exec >&-; read -r _ <"$1"'
    pipe = os.pipe()
    end = f"/proc/{os.getpid()}/fd/{pipe[0]}"
    async with limit(20):
        pidfd = await dropped_mute(clock, code, end)
        os.write(pipe[1], b"\n")
        await gone(pidfd)
        while clock.next_timer() is not None:
            await asyncio.sleep(0)
    for descriptor in pipe:
        os.close(descriptor)


async def test_strict_filter_does_not_keep_the_program() -> None:
    """The warning is an exception then, which Python reports as unraisable."""
    async with limit(20):
        status = await Process(sys.executable, "-W", "error", "-c", STRICT)
    assert ["gone"] == status.stdout


async def test_dropped_in_another_thread() -> None:
    """The garbage collector may run anywhere."""
    async with limit(20):
        held = [await Process("sleep", "100").start()]
        assert held[0].pid is not None
        pidfd = os.pidfd_open(held[0].pid)
        with pytest.warns(ResourceWarning, match="'sleep 100'"):
            await asyncio.to_thread(drop, held)
        await gone(pidfd)


STRICT = """
import asyncio, gc, os
from aioverseer import Process

async def main():
    process = await Process("sleep", "100").start()
    pidfd = os.pidfd_open(process.pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    del process
    gc.collect()
    await asyncio.wait_for(ended.wait(), 15)
    print("gone", flush=True)

asyncio.run(main())
"""

CLOSED = """
import asyncio, gc, os
from aioverseer import Process

loop = asyncio.new_event_loop()
process = loop.run_until_complete(Process("sleep", "100").start())
pid = process.pid
loop.close()
del process
gc.collect()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
os._exit(0)
"""


@pidfd_only  # asyncio itself reaps it otherwise, in a thread
async def test_dropped_after_its_loop_was_closed() -> None:
    """Its program does not stay. In a host of its own, as such a loop leaves its descriptors open."""
    async with limit(20):
        status = await Process(sys.executable, "-W", "always", "-c", CLOSED)
    assert ["-9"] == status.stdout
    assert any("was dropped while its program runs" in str(line) for line in status.stderr or ())


async def finished() -> object:
    """A process that has ended."""
    process = Process("true")
    await process
    return process


async def stopping() -> object:
    """A process whose stop goes on."""
    process = await Process("sleep", "100", stop=Stop(signal=signal.SIGKILL)).start()
    stop = asyncio.ensure_future(process.stop())
    await asyncio.sleep(0)
    stop.cancel()
    return process


async def waited_for() -> object:
    """A process that a task waits for."""
    process = await Process("sleep", "0.1").start()
    task = asyncio.create_task(process.wait())
    del process
    gc.collect()
    assert (await task).ok
    return None


async def service() -> object:
    """The handle of the run of a service."""
    async with Overseer(containment="basic") as overseer:
        await overseer.add("x", "sleep", "100", ready=ready.check(is_there)).start()
        gc.collect()
        assert State.RUNNING is overseer["x"].state
    return None


async def unstarted() -> object:
    """A process that was never started, or could not be made."""
    with pytest.raises(Exception, match="line_limit"):
        Process("true", line_limit=-1)
    return Process("true")


@pytest.fixture(name="quiet")
async def quiet_fixture(recwarn: pytest.WarningsRecorder) -> AsyncIterator[None]:
    """No warning was given."""
    yield
    gc.collect()
    assert [] == [str(warning.message) for warning in recwarn if warning.category is ResourceWarning]


@pytest.mark.parametrize("make", [finished, stopping, waited_for, service, unstarted])
async def test_nothing_else_is_named(make: Callable[[], Awaitable[object]], quiet: None) -> None:
    """A handle that is not needed any more may be dropped."""
    async with limit(20):
        made = await make()
        del made
        gc.collect()
        await asyncio.sleep(0.05)
