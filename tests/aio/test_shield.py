"""Waiting through cancellations of every kind, with a time limit; waiting for a value to change."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest

from aioverseer._aio.shield import settle, settle_work
from aioverseer._aio.watchers import Watchers
from tests.support.programs import limit


async def iterate(count: int) -> None:
    """Wait for so many iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each wait that settle() has begun."""
    seen: list[Any] = []
    wait = asyncio.wait

    async def counted(waited: Any, **options: Any) -> Any:
        if options:  # settle always gives a timeout
            seen.append(waited)
        return await wait(waited, **options)

    monkeypatch.setattr(asyncio, "wait", counted)
    return seen


async def test_a_completed_future_is_not_waited_for(waits: list[Any]) -> None:
    """It may have a result, an error or a cancellation."""
    loop = asyncio.get_running_loop()
    done, failed, cancelled = (loop.create_future() for _ in range(3))
    done.set_result(1)
    failed.set_exception(ValueError())
    cancelled.cancel()
    for future in (done, failed, cancelled):
        assert await settle(future, within=10) is None
    assert [] == waits
    assert isinstance(failed.exception(), ValueError)


async def test_it_returns_when_the_future_is_done(waits: list[Any]) -> None:
    """It waits once without a cancellation."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(settle(future, within=10))
    await iterate(3)
    future.set_result(None)
    async with limit(5, "settle"):
        assert await task is None
    assert 1 == len(waits)


async def test_each_native_cancellation_costs_one_wait_and_the_last_is_returned(waits: list[Any]) -> None:
    """The wait goes on, and the caller gets the cancellation to raise it once it is done."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(settle(future, within=10))
    await iterate(2)
    for number in range(20):
        task.cancel(f"number {number}")
        await iterate(3)
        assert not task.done()
    future.set_result(None)
    async with limit(5, "settle"):
        cancelled = await task
    assert isinstance(cancelled, asyncio.CancelledError)
    assert 21 == len(waits)
    assert 20 == task.cancelling()


async def test_a_cancellation_in_the_last_iteration_is_not_lost() -> None:
    """Either of the two may come first."""
    for first_the_end in (False, True):
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(settle(future, within=10))
        await iterate(3)
        if first_the_end:
            future.set_result(None)
        task.cancel()
        if not first_the_end:
            future.set_result(None)
        assert isinstance(await task, asyncio.CancelledError)


@pytest.mark.parametrize("before", [False, True])
async def test_a_cancelled_scope_of_anyio_does_not_make_it_spin(waits: list[Any], before: bool) -> None:
    """Anyio delivers it again and again, and the shield keeps it out, also when it began before."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    opened: asyncio.Future[anyio.CancelScope] = loop.create_future()
    results: list[Any] = []

    async def inside() -> None:
        with anyio.CancelScope() as scope:
            opened.set_result(scope)
            if before:
                scope.cancel()
            results.append(await settle(future, within=10))
            await asyncio.sleep(0)  # here the scope is heard
            results.append("not cancelled")

    task = asyncio.create_task(inside())
    (await opened).cancel()
    await iterate(500)
    assert not task.done()
    assert len(waits) <= 2
    future.set_result(None)
    async with limit(5, "settle"):
        await task
    assert [None] == results


async def test_both_kinds_together_are_kept_apart(waits: list[Any]) -> None:
    """A native cancellation inside a cancelled scope is returned, and there is still no spinning."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    results: list[Any] = []

    async def inside() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            results.append(await settle(future, within=10))

    task = asyncio.create_task(inside())
    await iterate(5)
    task.cancel()
    await iterate(500)
    assert len(waits) <= 3
    future.set_result(None)
    async with limit(5, "settle"):
        await asyncio.wait([task])
    assert isinstance(results[0], asyncio.CancelledError)


@pytest.mark.parametrize("within", [0, -1, 0.05])
async def test_the_time_limit_holds_and_the_future_goes_on(within: float) -> None:
    """Continuous cancellations do not change that, and the future is neither cancelled nor retrieved."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    task = asyncio.create_task(settle(future, within=within))

    def again() -> None:
        if not task.done():
            task.cancel()
            loop.call_later(0.001, again)

    loop.call_later(0.001, again)
    began = loop.time()
    async with limit(5, "settle"):
        await task
    assert within - 0.01 <= loop.time() - began < 2
    assert not future.done()
    future.cancel()


async def test_the_limits_of_the_caller_still_hold_afterwards() -> None:
    """asyncio.timeout and wait_for around it raise TimeoutError once the wait is over."""
    loop = asyncio.get_running_loop()

    async def careful(future: asyncio.Future[None]) -> None:
        cancelled = await settle(future, within=10)
        if cancelled is not None:
            raise cancelled

    async def within(call: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(0.001):
            await call

    for around in ("timeout", "wait_for"):
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.03, future.set_result, None)
        with pytest.raises(TimeoutError):
            await (within(careful(future)) if around == "timeout" else asyncio.wait_for(careful(future), 0.001))
        assert future.done()


# --- Watchers


async def test_the_present_value_is_enough() -> None:
    """The future is done at once."""
    watchers: Watchers[int] = Watchers()
    assert 5 == await watchers.watch(5, lambda value: value == 5)
    with pytest.raises(LookupError):
        await watchers.watch(5, lambda _value: LookupError())


async def test_each_waiter_gets_the_first_value_that_it_wants() -> None:
    """The value changes again within the same iteration."""
    watchers: Watchers[int] = Watchers()
    futures = [watchers.watch(0, functools.partial(operator.eq, wanted)) for wanted in (1, 2, 3)]
    for value in (1, 2, 4, 3, 1):
        watchers.notify(value)
    assert [1, 2, 3] == await asyncio.gather(*futures)
    assert [] == watchers._waiting


async def test_an_error_is_for_the_waiter_whose_condition_cannot_come_true() -> None:
    """The others go on waiting."""
    watchers: Watchers[int] = Watchers()
    hopeless = watchers.watch(0, lambda value: LookupError(f"at {value}") if value else False)
    patient = watchers.watch(0, lambda value: value == 2)
    watchers.notify(1)
    with pytest.raises(LookupError, match="at 1"):
        await hopeless
    assert not patient.done()
    watchers.notify(2)
    assert 2 == await patient


async def test_cancelled_waiters_are_dropped() -> None:
    """They neither break the next change nor pile up without one."""
    watchers: Watchers[int] = Watchers()
    for _ in range(100):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(watchers.watch(0, lambda value: value > 0), 0)
    assert len(watchers._waiting) <= 2
    kept = watchers.watch(0, lambda value: value > 0)
    gone = watchers.watch(0, lambda value: value > 0)
    gone.cancel()
    watchers.notify(1)
    assert (1, []) == (await kept, watchers._waiting)


async def test_a_condition_may_complete_its_own_future() -> None:
    """A condition may lead to a change that completes its future."""
    watchers: Watchers[int] = Watchers()
    own: list[asyncio.Future[int]] = []

    def nested(value: int) -> bool:
        if value == 1:
            own[0].set_result(7)
        return value == 1

    own.append(watchers.watch(0, nested))
    watchers.notify(1)
    assert (7, []) == (await own[0], watchers._waiting)


async def test_work_that_never_ends_is_cancelled() -> None:
    """Its time is over, and there is no result."""
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    assert (None, None) == await settle_work(forever, within=0.01)
    await cancelled.wait()
