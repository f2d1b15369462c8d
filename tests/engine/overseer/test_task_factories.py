"""Applications may have tasks made in their own way: observers wrap what a task runs, eager ones begin it at once."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, SpawnError, State
from tests.support.programs import child, limit

Factory = Callable[..., asyncio.Future[Any]]


def wrapping(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    """A task factory as tracing tools install it."""

    async def watched() -> Any:
        return await work

    return asyncio.Task(watched(), loop=loop, **options)


FACTORIES: list[Any] = [wrapping]
if sys.version_info >= (3, 12):
    FACTORIES.append(asyncio.eager_task_factory)


@pytest.fixture(autouse=True, params=FACTORIES, ids=["wrapping", "eager"][: len(FACTORIES)])
async def factory(request: pytest.FixtureRequest) -> Any:
    """Each way, for all tasks of a test."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(request.param)
    yield
    loop.set_task_factory(None)


async def test_a_process_runs_and_is_stopped() -> None:
    """Its lines and its end are there, and so is the error of one that cannot be started."""
    async with limit(20):
        assert ["hi"] == (await Process("echo", "hi")).stdout
        async with Process("sleep", "100") as process:
            assert "running" == str(process.state)
        assert "interrupted" == str(process.state)
        with pytest.raises(SpawnError):
            await Process("/no/such/program").start()


async def test_a_process_is_cancelled() -> None:
    """Its program is gone then."""
    async with limit(20):
        process = Process("sleep", "100")
        task = asyncio.create_task(process.wait())
        await process.ready()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert State.INTERRUPT is process.state


async def test_services_are_restarted_and_stopped() -> None:
    """In order, with what they write."""
    async with limit(20), Overseer() as overseer:
        overseer.add("first", "sleep", "100")
        restart = Restart("always", max_restarts=2, backoff=Backoff(min=0, max=0))
        service = overseer.add("second", *child("print('hi')"), restart=restart, after=["first"])
        lines = service.lines()
        await overseer.start_all()
        for _ in range(3):
            line = await lines.get()
            assert "hi" == line.text
        await service.wait()
        await overseer.stop_all()
        assert State.INTERRUPT is overseer["first"].state


async def test_a_task_that_outlives_its_run_is_held() -> None:
    """A wrapper may wait at the end of the task, and the collector must not take the task meanwhile."""
    loop = asyncio.get_running_loop()
    made: list[weakref.ref[asyncio.Task[Any]]] = []

    def slow(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        async def watched() -> None:
            await work
            await loop.create_future()

        if made:  # not the one of the run: a look for strays, where others have started something meanwhile
            return asyncio.Task(work, loop=loop, **options)
        task = asyncio.Task(watched(), loop=loop, **options)
        made.append(weakref.ref(task))
        return task

    async with limit(20):
        process = Process("true")
        loop.set_task_factory(slow)
        ended = process.wait()
        try:
            assert (await ended).ok
        finally:
            loop.set_task_factory(None)
        gc.collect()
        task = made[0]()
        assert task is not None
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
    assert State.FINISHED is process.state
