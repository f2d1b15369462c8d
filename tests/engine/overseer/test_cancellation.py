"""Cancellation of the block, of a verb, or of all tasks, at any moment: no child and no half-made state is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from aioverseer import Backoff, Overseer, OverseerError, Restart, State, Stop
from tests.support.overseers import is_alive
from tests.support.programs import limit

SLEEP = ("sleep", "100")


class _Left(Exception):
    pass


async def _by_exception(overseer: Overseer) -> None:
    async with overseer:
        await overseer.start_all()
        raise _Left


async def _by_timeout(overseer: Overseer) -> None:
    async with asyncio.timeout(0.02):
        await _held(overseer)


async def _by_move_on(overseer: Overseer) -> None:
    with anyio.move_on_after(0.02) as scope:
        await _held(overseer)
    assert scope.cancelled_caught


async def _by_scope(overseer: Overseer) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_held, overseer)
        await overseer_running(overseer)
        group.cancel_scope.cancel()


async def _by_sibling(overseer: Overseer) -> None:
    async def fails() -> None:
        await overseer_running(overseer)
        raise _Left

    async with asyncio.TaskGroup() as group:
        group.create_task(_held(overseer))
        group.create_task(fails())


async def _by_cancel(overseer: Overseer, times: int = 1) -> None:
    task = asyncio.create_task(_held(overseer))
    await overseer_running(overseer)
    for _ in range(times):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    await task


async def _by_cancel_twice(overseer: Overseer) -> None:
    await _by_cancel(overseer, times=3)


async def _by_both(overseer: Overseer) -> None:
    scope = anyio.CancelScope()

    async def inside() -> None:
        with scope:
            await _held(overseer)

    task = asyncio.create_task(inside())
    await overseer_running(overseer)
    scope.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await task


async def overseer_running(overseer: Overseer) -> None:
    """Wait until its one service runs."""
    async for event in overseer.events(since=0):
        if event.state is State.RUNNING:
            return


async def _held(overseer: Overseer) -> None:
    async with overseer:
        await overseer.start_all()
        await asyncio.Event().wait()


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize(
    ("leave", "error"),
    [
        (_by_exception, _Left),
        (_by_timeout, TimeoutError),
        (_by_move_on, None),
        (_by_scope, None),
        (_by_sibling, BaseExceptionGroup),
        (_by_cancel, asyncio.CancelledError),
        (_by_cancel_twice, asyncio.CancelledError),
        (_by_both, asyncio.CancelledError),
    ],
)
async def test_however_the_block_is_left_no_child_is_left(
    leave: Callable[[Overseer], Awaitable[None]], error: type[BaseException] | None, obeys: bool
) -> None:
    """By an exception or any kind of cancellation, once or repeated: the stop is completed, then that comes out."""
    overseer = Overseer()
    if obeys:
        overseer.add("svc", *SLEEP, restart=Restart("always"))
    else:
        overseer.add("svc", "sh", "-c", "trap '' TERM; sleep 100 & wait; wait", stop=Stop(timeout=0.05))
    async with limit():
        try:
            await leave(overseer)
        except BaseException as caught:  # noqa: BLE001  # looked at below
            assert error is not None
            assert isinstance(caught, error)  # noqa: PT017  # one of several, or none
        else:
            assert error is None
    status = overseer.status("svc")
    assert status.state in (State.INTERRUPT, State.FATAL, State.INITIAL)
    if status.pid is not None:
        assert not is_alive(status.pid)


CALLS: dict[str, Callable[[Overseer], Awaitable[Any]]] = {
    "start": lambda overseer: overseer.start("a"),
    "start_all": lambda overseer: overseer.start_all(),
    "supervise": lambda overseer: overseer.supervise("a"),
    "supervise_all": lambda overseer: overseer.supervise_all(),
    "stop": lambda overseer: overseer.stop("live"),
    "stop_all": lambda overseer: overseer.stop_all(),
    "restart": lambda overseer: overseer.restart("live"),
    "restart idle": lambda overseer: overseer.restart("a"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_cancelled_at_any_iteration_leaves_valid_states(call: str) -> None:
    """At whatever iteration the cancellation arrives, no state is left in between and nothing is left behind."""
    async with limit(25):
        for iterations in range(13):
            async with Overseer() as overseer:
                for name in ("a", "b"):
                    overseer.add(name, *SLEEP, restart=Restart("always"))
                live = overseer.add("live", *SLEEP, restart=Restart("always"))
                if call in ("stop", "stop_all", "restart"):
                    await live.start()
                before = live.state
                task = asyncio.ensure_future(CALLS[call](overseer))
                for _ in range(iterations):
                    await asyncio.sleep(0)
                task.cancel()
                result: object = (await asyncio.gather(task, return_exceptions=True))[0]
                assert not isinstance(result, Exception)
                if isinstance(result, asyncio.CancelledError) and call not in ("stop", "stop_all", "restart"):
                    # The call has rolled back its own work when it ends, and nothing else.
                    states = {overseer[name].state for name in overseer}
                    assert states <= {State.INITIAL, State.INTERRUPT, before}
                for name in overseer:
                    service = overseer[name]
                    if service.state in (State.RUNNING, State.BACKOFF):
                        assert (service.process is not None) is (service.state is State.RUNNING)
                        assert is_alive(service.pid) is (service.state is State.RUNNING)
            for name in overseer:
                service = overseer[name]
                assert service.state in (State.INITIAL, State.INTERRUPT)
                assert service.pid is None or not is_alive(service.pid)


async def test_cancelled_at_any_iteration_entering_and_leaving_are_complete() -> None:
    """A cancelled ``__aenter__`` leaves nothing and can be repeated; a cancelled ``__aexit__`` is completed first."""
    async with limit(25):
        for iterations in range(13):
            overseer = Overseer()
            overseer.add("svc", *SLEEP)
            task = asyncio.ensure_future(overseer.__aenter__())
            for _ in range(iterations):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, asyncio.CancelledError):
                await overseer.__aenter__()
            service = await overseer["svc"].start()
            leave = asyncio.ensure_future(overseer.__aexit__(None, None, None))
            for _ in range(iterations):
                await asyncio.sleep(0)
            leave.cancel()
            await asyncio.gather(leave, return_exceptions=True)
            if service.state is State.RUNNING:  # it was cancelled before its first step: nothing was asked of it
                assert iterations == 0
                await overseer.__aexit__(None, None, None)
            assert not is_alive(service.pid)
            assert service.state is State.INTERRUPT


async def test_cancelled_host_task_kills_all_and_restarts_nothing() -> None:
    """Cancelling all tasks of the loop ends the children too, whatever their policies, and leaving still works."""
    async with limit():
        before = asyncio.all_tasks()
        overseer = Overseer()
        async with overseer:
            policy = Restart("always", max_restarts=None, backoff=Backoff(0, 0))
            services = [overseer.add(f"s{n}", *SLEEP, restart=policy) for n in range(3)]
            waiting = overseer.add("waiting", "false", restart=Restart(backoff=Backoff(0.02, 0.02)))
            await overseer.start_all()
            await waiting.wait_for(State.BACKOFF)
            tasks = asyncio.all_tasks() - before
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for service in (*services, waiting):
                assert service.state is State.INTERRUPT
                assert not is_alive(service.pid)
            with pytest.raises(OverseerError, match="being left"):
                await services[0].start()
