"""A critical service: when it ends for good by itself, everything ends, and the block learns of it."""

# ruff: noqa: PT012  # the block of an overseer is what raises

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from aioverseer import CriticalServiceEnded, NotReady, Overseer, Restart, State, ThreadedOverseer, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

NEVER = Restart("never")


async def test_the_block_is_cancelled_and_the_error_comes_out() -> None:
    """With real programs: the others are stopped, the reason and the last lines are told."""
    overseer = Overseer()
    code = "import sys\nprint('no space left')\nsys.stdin.readline()\nraise SystemExit(4)"
    cleaned = False
    with pytest.raises(CriticalServiceEnded, match="critical service 'db' is finished: exited with code 4") as caught:
        async with limit(20), overseer:
            db = overseer.add("db", *child(code), stdin="pipe", critical=True, restart=NEVER)
            overseer.add("web", "sleep", "100")
            await overseer.start_all()
            await db.write("\n")
            try:
                await asyncio.Event().wait()
            finally:
                cleaned = True
    assert cleaned
    assert ("no space left",) == caught.value.lines
    assert ["finished", "interrupted"] == [str(overseer[id].state) for id in ("db", "web")]
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


def test_start_all_of_a_thread_tells_which_critical_service_has_ended() -> None:
    """Another one was stopped because of it, before it was ready."""
    with pytest.raises(CriticalServiceEnded, match="'db' is finished"), ThreadedOverseer() as overseer:
        overseer.add("db", "sh", "-c", "exit 4", critical=True, restart=NEVER)
        overseer.add("web", "sleep", "100", ready=ready.line("never"))
        with pytest.raises(CriticalServiceEnded, match="'db' is finished: exited with code 4"):
            overseer.start_all()


@asynccontextmanager
async def scripted(**scripts: FakeChild) -> AsyncGenerator[tuple[Overseer, ManualClock]]:
    """An overseer, not entered, whose time and children belong to the test."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={id: [script] for id, script in scripts.items()})
    yield Overseer(clock=clock, launcher=launcher), clock


async def test_restarts_are_no_end() -> None:
    """Only the last end counts, when the budget is spent."""
    async with scripted(db=FakeChild().runs(1).exits(1)) as (overseer, clock):
        with pytest.raises(CriticalServiceEnded, match="gave up"):
            async with overseer:
                overseer.add("db", "db", critical=True, restart=Restart(max_restarts=2))
                await overseer.start_all()
                await clock.advance(1.5)
                assert overseer["db"].state.is_live
                await clock.advance(100)
        assert 2 == overseer["db"].restarts


@pytest.mark.parametrize("how", ["stop", "stop_all", "leave", "restart"])
async def test_an_end_that_somebody_asked_for_is_none_of_its_own(how: str) -> None:
    """Neither a stop, nor leaving, nor a restart."""
    async with scripted() as (overseer, _clock):
        async with overseer:
            db = overseer.add("db", "db", critical=True)
            await overseer.start_all()
            if how == "stop":
                await db.stop()
            elif how == "stop_all":
                await overseer.stop_all()
            elif how == "restart":
                await db.restart()
        assert State.INTERRUPT is db.state


async def test_supervise_all_learns_of_it_at_once_in_another_task() -> None:
    """Where the block was entered by a task that is over, as in a fixture, leaving tells it."""
    async with scripted(db=FakeChild().runs(5).exits(0), web=FakeChild().ignores(15)) as (overseer, clock):
        await asyncio.create_task(overseer.__aenter__())
        overseer.add("db", "db", critical=True, restart=NEVER)
        overseer.add("web", "web")
        supervising = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(5)
        assert supervising.done()
        with pytest.raises(CriticalServiceEnded):
            await supervising
        leaving = asyncio.create_task(overseer.__aexit__(None, None, None))
        await clock.advance(100)
        with pytest.raises(CriticalServiceEnded):
            await leaving
        assert State.INTERRUPT is overseer["web"].state


async def test_a_critical_service_that_never_becomes_ready_ends_the_block() -> None:
    """An exception of the block becomes its cause."""
    async with scripted(db=FakeChild().runs(1).exits(3)) as (overseer, clock):

        async def use() -> None:
            async with overseer:
                overseer.add("db", "db", ready=ready.line("up"), critical=True, restart=NEVER)
                try:
                    await overseer.start_all()
                except asyncio.CancelledError:
                    raise RuntimeError("my own clean-up has failed") from None

        using = asyncio.ensure_future(use())
        await clock.advance(10)
        with pytest.raises(CriticalServiceEnded, match="before it was ready") as caught:
            await using
        assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_cancellation_by_somebody_else_wins() -> None:
    """As in a task group: it must not be swallowed."""
    async with scripted(db=FakeChild().runs(1).exits(0), web=FakeChild().ignores(15)) as (overseer, clock):

        async def use() -> None:
            async with overseer:
                overseer.add("db", "db", critical=True, restart=NEVER)
                overseer.add("web", "web")
                await overseer.start_all()
                await asyncio.Event().wait()

        using = asyncio.ensure_future(use())
        await clock.advance(1)
        using.cancel()
        await clock.advance(100)
        with pytest.raises(asyncio.CancelledError):
            await using
        assert State.INTERRUPT is overseer["web"].state


async def test_it_can_be_entered_again_afterwards() -> None:
    """With nothing left of it."""
    async with scripted(db=FakeChild().runs(1).exits(0)) as (overseer, clock):
        with pytest.raises(CriticalServiceEnded):
            async with overseer:
                overseer.add("db", "db", critical=True, restart=NEVER)
                await overseer.start_all()
                await clock.advance(5)
        async with overseer:
            web = overseer.add("web", "web")
            await web.start()
            assert State.RUNNING is web.state


async def test_a_critical_service_that_cannot_be_started_ends_all() -> None:
    """Its dependency failed, and so did it."""
    async with scripted(db=FakeChild().cannot_start()) as (overseer, clock):
        with pytest.raises(CriticalServiceEnded, match="'web' cannot be started: it waited for 'db'"):
            async with overseer:
                overseer.add("db", "db", restart=NEVER)
                overseer.add("web", "web", after="db", critical=True)
                try:
                    await overseer.start_all()
                except NotReady:
                    await clock.settle()
