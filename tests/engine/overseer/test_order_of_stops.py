"""Stops of all with services that end, fail, are started or are removed meanwhile."""

from __future__ import annotations

import asyncio
import signal

from aioverseer import After, Backoff, Exit, Restart, State, Stop
from aioverseer.testing import FakeChild
from tests.support.overseers import scripted

STUBBORN = FakeChild().ignores(signal.SIGTERM)
SLOWLY = Stop(timeout=10)


async def test_later_level_waits_only_for_services_that_are_still_there() -> None:
    """The answer of ``why`` names the live ones of the present level."""
    overseer, clock, _ = scripted(by_id={"slow": [STUBBORN], "quick": [FakeChild()], "db": [FakeChild()]})
    async with overseer:
        overseer.add("db", "db")
        overseer.add("quick", "quick", after="db")
        overseer.add("slow", "slow", after="db", stop=SLOWLY)
        await overseer.start_all()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(1)
        assert ["slow"] == [awaited.name for awaited in overseer["db"].why().awaits if awaited.kind == "stop"]
        await clock.run(stopping)


async def test_service_started_after_its_level_restarts() -> None:
    """The stop of all is over for it, so its policy counts again."""
    overseer, clock, launcher = scripted(
        by_id={"db": [STUBBORN], "web": [FakeChild(), FakeChild().runs(1).exits(1), FakeChild()]}
    )
    async with overseer:
        overseer.add("db", "db", stop=SLOWLY)
        again = Restart(backoff=Backoff(min=0.5, max=0.5))
        web = overseer.add("web", "web", after={"db": "started"}, restart=again)
        await overseer.start_all()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(1)
        assert (State.INTERRUPT, State.STOPPING) == (web.state, overseer["db"].state)
        await web.start()
        await clock.advance(2)
        assert 1 == web.restarts
        await clock.run(stopping)
        assert 4 == len(launcher.children)
        await clock.run(overseer.stop_all(kill=True))


async def test_services_in_a_cycle_are_killed_together() -> None:
    """Each was started on its own, as a set with a cycle cannot be started."""
    overseer, clock, _ = scripted(FakeChild())
    async with overseer:
        one, two = overseer.add("one", "one"), overseer.add("two", "two")
        for service in (one, two):
            await service.start()
        overseer.update("one", after="two")
        overseer.update("two", after="one")
        await clock.run(overseer.stop_all(kill=True))
        assert [State.INTERRUPT, State.INTERRUPT] == [one.state, two.state]


async def test_dependent_that_goes_leaves_the_other_one() -> None:
    """One dependent is removed, one is updated to need nothing, and the third still follows the dependency."""
    overseer, clock, launcher = scripted(FakeChild())
    async with overseer:
        await overseer.add("db", "db", restart=Restart("never")).start()
        for id in ("gone", "free", "bound"):
            await overseer.add(id, id, after=After("db", on_end="stop")).start()
        overseer.update("free", after=())
        await overseer.stop("gone")
        overseer.remove("gone")
        launcher.children[0].end(Exit(code=1))
        await clock.advance(0)
        assert [State.RUNNING, State.INTERRUPT] == [overseer["free"].state, overseer["bound"].state]
