"""Tasks and resources of the application, supervised beside programs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from aioverseer import (
    Backoff,
    CriticalServiceEnded,
    Overseer,
    Restart,
    SpecError,
    State,
    Stop,
    StopFailed,
    ThreadedOverseer,
)
from aioverseer.testing import ManualClock
from helpers import limit


async def test_a_task_that_raises_is_restarted_and_one_that_returns_is_finished() -> None:
    """Its error is in the Status of the run; the policy judges it as exit code 1."""
    runs = 0

    async def poller() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("no answer")

    clock = ManualClock()
    async with limit(20), Overseer(clock=clock) as overseer:
        service = overseer.add_task(
            "poller", poller, restart=Restart("on-failure", backoff=Backoff(3600, jitter=False))
        )
        await service.start()
        await clock.settle()
        assert str(service.state) == "backoff"
        assert isinstance(service.status().error, ValueError)
        await clock.advance(3600)
        assert str(service.state) == "finished"
        assert (2, None, None) == (runs, service.pid, service.status().error)
        assert "poller" in str(overseer.to_json("poller"))


async def test_a_resource_is_ready_once_it_is_entered_and_is_left_in_the_same_task() -> None:
    """What waits for it starts after it, and is stopped before it."""
    told: list[object] = []
    opened = asyncio.Event()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        task = asyncio.current_task()
        await opened.wait()
        told.append("entered")
        try:
            yield "the pool"
        finally:
            told.append(asyncio.current_task() is task)

    async def poller() -> None:
        told.append("poller")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("poller ends")

    async with limit(20), Overseer() as overseer:
        service = overseer.add_resource("pool", pool)
        overseer.add_task("poller", poller, after="pool")
        starting = asyncio.ensure_future(overseer.start_all())
        await asyncio.sleep(0)
        assert not starting.done()
        opened.set()
        await starting
        assert service.resource == "the pool"
        await overseer["poller"].wait_for(State.RUNNING)
        await asyncio.sleep(0)
    assert ["entered", "poller", "poller ends", True] == told


async def test_a_resource_that_hangs_while_entering_is_cancelled_by_the_stop() -> None:
    """The block of the overseer ends, and nothing is left."""
    entering = asyncio.Event()

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        entering.set()
        await asyncio.Event().wait()
        yield

    async with limit(20), Overseer() as overseer:
        service = overseer.add_resource("pool", pool)
        starting = asyncio.ensure_future(service.start())
        await entering.wait()
        assert State.STARTING is service.state
        await service.stop()
        assert service.state.is_final
        await asyncio.gather(starting, return_exceptions=True)


async def test_system_exit_in_a_task_is_its_exit_code() -> None:
    """It does not end the event loop."""

    async def leave() -> None:
        raise SystemExit(3)

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("leave", leave, restart=Restart("never"))
        await service.start()
        status = await service.wait()
        assert status.exit is not None
        assert 3 == status.exit.code


async def test_a_task_that_swallows_cancellation_is_cancelled_again_by_the_next_step() -> None:
    """As a coroutine cannot be killed, each step of the ladder cancels it."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    async with limit(20), Overseer() as overseer:
        service = overseer.add_task("stubborn", stubborn, stop=Stop(timeout=0.05))
        await service.start()
        await asyncio.sleep(0)
        await service.stop()
        assert 1 == swallowed


def test_options_of_programs_are_refused_by_name() -> None:
    """They would be silently without effect."""
    with pytest.raises(SpecError, match="cwd='/' is for a program"):
        Overseer().add_task("poller", asyncio.Event().wait, cwd="/")


def test_a_task_runs_on_the_loop_of_a_threaded_overseer() -> None:
    """The same methods, for hosts without an event loop."""
    ran: list[bool] = []

    async def once() -> None:
        ran.append(asyncio.current_task() is not None)

    with ThreadedOverseer() as overseer:
        service = overseer.add_task("once", once)
        service.start()
        assert State.FINISHED is service.wait().state
    assert [True] == ran


async def test_a_task_that_nothing_ends_is_reported_and_held_up_by_nobody() -> None:
    """The block of the overseer ends within the time of the ladder, and says who is still there."""
    over = asyncio.Event()
    ended = asyncio.Event()

    async def for_ever() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    quick = Stop(steps=[(signal.SIGTERM, 0.01), (signal.SIGKILL, 0.01)])
    async with limit(20):
        with pytest.raises(StopFailed, match="still there after the whole ladder: stubborn"):
            async with Overseer() as overseer:
                await overseer.add_task("stubborn", for_ever, stop=quick).start()
        over.set()
        await ended.wait()


async def test_a_block_that_is_cancelled_leaves_no_task_and_no_resource() -> None:
    """As it does with programs; the order of the stop is kept."""
    told: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            told.append("pool is left")

    async def poller() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("poller is over")

    async def application() -> None:
        async with Overseer() as overseer:
            overseer.add_resource("pool", pool)
            overseer.add_task("poller", poller, after="pool", critical=True)
            await overseer.start_all()
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    async with limit(20):
        with pytest.raises(asyncio.CancelledError):
            await application()
    assert ["poller is over", "pool is left"] == told


async def test_a_critical_task_that_fails_ends_all() -> None:
    """The error is told; a program beside it is stopped."""

    async def poller() -> None:
        raise ValueError("no answer")

    overseer = Overseer()
    overseer.add("sleeper", "sleep", "100")
    overseer.add_task("poller", poller, critical=True, restart=Restart("never"))
    with pytest.raises(CriticalServiceEnded, match="critical service 'poller' is finished"):
        async with limit(20), overseer:
            await overseer.supervise_all()
    assert overseer["sleeper"].state.is_final
