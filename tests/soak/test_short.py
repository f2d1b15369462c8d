"""The short form of the soak, and a thousand services in one overseer."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from aioverseer import Backoff, Overseer, Restart, State, Stop
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.soak.play import soak
from tests.support.programs import limit

LONG = bool(os.environ.get("AIOVERSEER_LONG"))


async def test_nothing_grows_with_restarts() -> None:
    assert [] == await soak(restarts=1000, seconds=None)


async def test_thousand_scripted_services() -> None:
    """They start, crash in a loop and stop with the exact states and events; idle ones hold no timer."""
    clock = ManualClock()
    crashing = [FakeChild().runs(1).exits(1)]
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={f"c{n}": list(crashing) for n in range(500)})
    policy = Restart("on-failure", max_restarts=3, within=None, backoff=Backoff(1, 1))
    async with limit(20), Overseer(clock=clock, launcher=launcher) as overseer:
        events = overseer.events()
        for number in range(500):
            overseer.add(f"s{number}", "program", stop=Stop(timeout=1))
            overseer.add(f"c{number}", "program", restart=policy)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        while not starting.done():
            await asyncio.sleep(0)
        await starting
        assert {State.RUNNING} == {overseer[id].state for id in overseer}
        assert len(asyncio.all_tasks()) <= 1000 + 10
        assert not any(overseer[f"s{number}"]._runner._timer.is_armed for number in range(500))
        await clock.advance(20)
        for number in range(500):
            status = overseer.status(f"c{number}")
            assert (State.FATAL, 3) == (status.state, status.restarts)
        report = await overseer.stop_all()
        assert 500 == len(report.outcomes)
        seen: dict[str, int] = {}
        seq = 0
        while (event := events.get_nowait()) is not None:
            seq += 1
            assert (seq, 0) == (event.seq, event.missed)
            seen[event.id] = seen.get(event.id, 0) + 1
        # starting, running, stopping, interrupted; and four times starting and running, three backoffs, fatal
        assert {f"s{n}": 4 for n in range(500)} | {f"c{n}": 12 for n in range(500)} == seen


@pytest.mark.skipif(not LONG, reason="a minute: set AIOVERSEER_LONG=1")
@pytest.mark.timeout(300)
async def test_thousand_real_services() -> None:
    """They start, need no CPU time while idle, are killed and restarted, and stop."""
    async with limit(200), Overseer(raise_fd_limit=True) as overseer:
        for number in range(1000):
            overseer.add(f"s{number}", "sleep", "1000", restart=Restart("always", backoff=Backoff(0, 0)))
        await overseer.start_all()
        began = time.process_time()
        await asyncio.sleep(2)  # the test is that nothing happens meanwhile
        assert time.process_time() - began < 0.05, "an idle overseer uses the processor"
        for id in overseer:
            overseer.signal(id, 9)
        for id in overseer:
            await overseer[id].wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        assert 1000 == len((await overseer.stop_all()).outcomes)
