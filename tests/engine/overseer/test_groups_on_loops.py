"""Groups on other event loops and with many members: eager tasks, uvloop, and a thousand."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from aioverseer import Backoff, Overseer, Restart, State
from aioverseer.core.state import Exit
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
if HAS_UVLOOP:
    # libuv opens a pipe for signals with the first loop of a process, and keeps it: not in a test that counts them.
    importlib.import_module("uvloop").new_event_loop().close()

SOON = Backoff(min=0.01, max=0.01)


async def members_of_all_kinds() -> None:
    """A program, a resource and a task are restarted together, and end together, in order."""
    told: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        told.append("open")
        yield "the pool"
        told.append("closed")

    async def poller() -> None:
        told.append(str(overseer["pool"].resource))
        await asyncio.Event().wait()

    async with limit(30), Overseer() as overseer:
        overseer.group("g", "one_for_all", restart=Restart(max_restarts=1, backoff=SOON))
        overseer.add("db", "sleep", "100", group="g")
        overseer.add_resource("pool", pool, group="g", after="db")
        overseer.add_task("poller", poller, group="g", after="pool")
        await overseer.start_all()
        events = overseer.events()
        overseer.signal("db", signal.SIGKILL)
        async for event in events:
            if event.reason == "group 'g' has restarted":
                break
        overseer.signal("db", signal.SIGKILL)
        ends = {id: (await overseer[id].wait()).state for id in overseer}
    assert {"db": State.FATAL, "pool": State.INTERRUPT, "poller": State.INTERRUPT} == ends
    assert ["open", "the pool", "closed"] * 2 == told


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_groups_with_eager_tasks() -> None:
    """Tasks that run before the one who makes them has a name for them."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]  # from Python 3.12 on
        await members_of_all_kinds()

    asyncio.run(main())


@pytest.mark.skipif(not HAS_UVLOOP, reason="not installed: uvloop")
def test_groups_on_uvloop() -> None:
    """A loop that is none of asyncio's."""
    with asyncio.Runner(loop_factory=importlib.import_module("uvloop").new_event_loop) as runner:
        runner.run(members_of_all_kinds())


@pytest.mark.timeout(90)
async def test_a_group_of_a_thousand() -> None:
    """One failure restarts all, in reverse order and in order; and all end when it gives up."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.group("g", "one_for_all", restart=Restart(max_restarts=1, backoff=Backoff(min=0, max=0)))
        for number in range(1000):
            overseer.add(f"s{number:03}", "x", group="g")
        await overseer.start_all()
        events = overseer.events()
        next(one for one in launcher.children if one.spec.id == "s500").end(Exit(code=1))
        async for event in events:
            if event.reason == "group 'g' has restarted":
                break
        assert list(overseer) == [one.spec.id for one in launcher.children[1000:]]
        launcher.children[-1].end(Exit(code=1))
        assert State.FATAL is (await overseer["s999"].wait()).state
        assert State.INTERRUPT is (await overseer["s000"].wait()).state  # the last one that is stopped
        assert "down" == overseer.group_status("g").phase
