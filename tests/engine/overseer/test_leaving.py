"""Leaving an overseer whose programs do not end, or whose own functions raise."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from aioverseer import CriticalServiceEnded, GaveUp, Overseer, OverseerError, Restart, StopFailed
from aioverseer.testing import FakeChild
from tests.support.overseers import is_alive, scripted

IMMORTAL = FakeChild().ignores(signal.SIGTERM).ignores(signal.SIGKILL)
"""A program that waits for a broken device ends by no signal."""

HOST = """
import asyncio, sys
from aioverseer import Overseer, Restart

async def end(_error):
    raise {error}

async def main():
    async with Overseer() as overseer:
        other = await overseer.add("other", "sleep", "100").start()
        print(other.pid, flush=True)
        overseer.add("bad", "false", restart=Restart(max_restarts=0), on_give_up=end)
        await overseer.supervise_all()

asyncio.run(main())
"""


@pytest.mark.parametrize(("error", "code"), [("SystemExit(7)", 7), ("KeyboardInterrupt", -signal.SIGINT)])
def test_host_that_ends_in_its_own_function_leaves_nothing(error: str, code: int) -> None:
    """The error stops the event loop, as it does in any task."""
    done = subprocess.run(
        [sys.executable, "-c", HOST.format(error=error)], capture_output=True, text=True, timeout=30, check=False
    )
    assert code == done.returncode
    assert not is_alive(int(done.stdout))


async def test_cancelled_leave_says_what_is_still_there() -> None:
    """The cancellation is raised after everything has been tried."""
    overseer, clock, _ = scripted(IMMORTAL)
    await overseer.__aenter__()
    await overseer.add("disk", "disk").start()
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(1)
    leaving.cancel()
    await clock.advance(60)
    with pytest.raises(asyncio.CancelledError) as caught:
        await leaving
    assert "still there after the whole ladder: disk" in caught.value.__notes__[0]


async def test_leftovers_that_do_not_end_are_a_note_of_the_error() -> None:
    """One error names the program, and its note what another program has left behind."""
    overseer, clock, _ = scripted(by_id={"disk": [IMMORTAL], "daemon": [FakeChild().leaves("logger", immortal=True)]})
    await overseer.__aenter__()
    for id in ("disk", "daemon"):
        await overseer.add(id, id).start()
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(60)
    with pytest.raises(StopFailed, match="still there after the whole ladder: disk") as caught:
        await leaving
    assert "programs have left behind what could not be killed" in caught.value.__notes__[0]
    assert "logger" in caught.value.__notes__[0]


async def test_critical_end_has_a_note_about_what_is_still_there() -> None:
    """Its error comes first, as it is why the block has ended."""
    overseer, clock, _ = scripted(by_id={"disk": [IMMORTAL], "app": [FakeChild().runs(1).exits(3)]})

    async def block() -> None:
        async with overseer:
            overseer.add("disk", "disk")
            overseer.add("app", "app", critical=True, restart=Restart("never"))
            await overseer.start_all()
            await asyncio.Event().wait()

    running = asyncio.ensure_future(block())
    await clock.advance(60)
    with pytest.raises(CriticalServiceEnded) as caught:
        await running
    assert "still there after the whole ladder: disk" in caught.value.__notes__[0]


async def test_overseer_is_not_for_other_threads() -> None:
    """A thread without an event loop has no loop to compare with."""
    async with Overseer(name="mine") as overseer:
        raised: list[BaseException] = []

        def use() -> None:
            for call in (overseer.logs, overseer.reopen_logs):
                try:
                    call()
                except OverseerError as error:
                    raised.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert 2 == len(raised)
        assert "'mine' lives on another event loop" in str(raised[0])


async def test_future_of_a_give_up_function_is_awaited() -> None:
    """Any awaitable does, not only a coroutine."""
    overseer, clock, _ = scripted(FakeChild().exits(1))
    asked: list[GaveUp] = []
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def give_up(error: GaveUp) -> asyncio.Future[None]:
        asked.append(error)
        return future

    await overseer.__aenter__()
    overseer.add("bad", "bad", restart=Restart(max_restarts=0), on_give_up=give_up)
    await clock.run(overseer.supervise("bad"))
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(0)
    assert not leaving.done()
    future.set_result(None)
    await leaving
    assert "bad" == asked[0].id
