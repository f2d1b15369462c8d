"""Runs are replaced because of their memory or their age: by a restart outside of the budget, or by a roll."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest

from aioverseer import Overseer, Recycle, Restart, Roll, State, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

POOL = """
import multiprocessing, signal, sys
def work(held):
    held.append(bytearray(30_000_000)); print("grown", flush=True); signal.pause()
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=([],)) for _ in range(2)]
    [it.start() for it in workers]
    signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_pool_is_recycled_by_its_memory() -> None:
    """The memory of its workers counts, and the budget does not."""
    async with limit(20), Overseer(containment="basic") as overseer:
        option = Recycle(memory=60_000_000, hold=0)
        pool = overseer.add("pool", *child(POOL), restart=Restart("on-failure", max_restarts=0), recycle=option)
        small = overseer.add("small", "sleep", "60", recycle=option)
        await overseer.start_all()
        first = pool.status().pid
        await pool.wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        assert first != pool.status().pid
        assert 0 == small.status().restarts
        assert "above 57.2 MiB" in pool.history[0].reason


async def test_age_recycles_with_a_spread_from_the_given_numbers() -> None:
    clock, rng = ManualClock(), random.Random(7)
    expected = 100 * random.Random(7).uniform(0.8, 1.2)
    launcher = ScriptedLauncher(clock, FakeChild())
    async with limit(10), Overseer(clock=clock, rng=rng, launcher=launcher) as overseer:
        service = overseer.add("web", "web", recycle=Recycle(age=100), restart=Restart("never"))
        await service.start()
        await clock.advance(expected - 0.01)
        assert 0 == service.status().restarts
        await clock.advance(0.02)
        assert (1, State.RUNNING) == (service.status().restarts, service.state)
        assert "is recycled: it is older than 100 s, with a spread of 20%" in service.history[0].reason
        await service.stop()
        await clock.advance(1000)
        assert State.INTERRUPT is service.state


async def test_option_may_change_while_a_run_is_ready() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    async with limit(10), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("web", "web")
        await service.start()
        overseer.update("web", recycle=Recycle(age=10, spread=0))
        await clock.advance(10)
        assert 1 == service.status().restarts
        overseer.update("web", recycle=None)
        await clock.advance(100)
        assert 1 == service.status().restarts


async def test_instances_are_recycled_by_a_roll() -> None:
    """The successor of each one is ready before the old run is stopped."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    async with limit(20), Overseer(clock=clock, launcher=launcher) as overseer:
        web = overseer.add_instances(
            "web", "web", instances=3, recycle=Recycle(age=100, spread=0.1), roll=Roll(min_ready=0)
        )
        await web.start()
        events = overseer.events()
        first = [service.status().pid for service in web]
        await clock.advance(130)
        for _ in range(20):
            await asyncio.sleep(0)
        await clock.advance(30)
        assert all(a != b for a, b in zip(first, [service.status().pid for service in web], strict=True))
        states = []
        while (event := events.get_nowait()) is not None:
            states += [event.state] if event.kind == "state" else []
        assert [] == [state for state in states if state is not State.RUNNING]


async def test_instance_that_waits_for_another_roll_is_told_once() -> None:
    """A successor that needs long to be ready holds the other one up."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(20).prints("up"))
    async with limit(20), Overseer(clock=clock, launcher=launcher) as overseer:
        recycle = Recycle(age=100, spread=0)
        web = overseer.add_instances("web", "web", instances=2, ready=ready.line("up"), recycle=recycle)
        await clock.run(web.start())
        events = overseer.events()
        await clock.advance(200)
        told = [event for event in iter(events.get_nowait, None) if event.kind == "recycle"]
        assert ["web.0", "web.1"] == sorted(event.id for event in told)
        assert [1, 1] == [len(service.history) for service in web]


async def test_age_is_that_of_the_present_run() -> None:
    """A roll by request begins it anew."""
    clock = ManualClock()
    async with limit(20), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        recycle, roll = Recycle(age=100, spread=0), Roll(min_ready=0)
        web = overseer.add_instances("web", "web", instances=1, recycle=recycle, roll=roll)
        await web.start()
        await clock.advance(90)
        await clock.run(web.roll())
        await clock.advance(95)
        assert 2 == web[0]._runner.number
        await clock.advance(10)
        assert 3 == web[0]._runner.number


async def test_nothing_is_looked_at_without_a_limit() -> None:
    clock = ManualClock()
    async with limit(20), Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild())) as overseer:
        service = await overseer.add("web", "web", recycle=Recycle(memory=1)).start()
        await overseer.add("old", "old", recycle=Recycle(age=100)).start()
        recycling = overseer._assembly._recycling
        assert recycling is not None
        assert recycling._timer.is_armed
        await service.stop()
        assert not recycling._timer.is_armed
