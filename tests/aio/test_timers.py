"""OneShotTimer and sleep_until, by a manual clock."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from aioverseer._aio.timers import OneShotTimer, resolve, sleep_until
from aioverseer.testing import ManualClock


async def test_a_timer_calls_once() -> None:
    """The callback runs at its time, and the timer is then no longer armed."""
    clock = ManualClock()
    timer = OneShotTimer(clock)
    calls: list[float] = []
    timer.arm(clock.now() + 2, lambda: calls.append(clock.now()))
    due = timer.due
    assert timer.is_armed
    await clock.advance(1)
    assert [] == calls
    await clock.advance(5)
    assert [due] == calls
    assert not timer.is_armed


async def test_arming_again_replaces_the_pending_call() -> None:
    """Only the last call is made."""
    clock = ManualClock()
    timer = OneShotTimer(clock)
    calls: list[str] = []
    timer.arm(clock.now() + 1, lambda: calls.append("first"))
    timer.arm(clock.now() + 2, lambda: calls.append("second"))
    await clock.advance(3)
    assert ["second"] == calls


async def test_a_callback_may_arm_its_own_timer() -> None:
    """A periodic timer is made in this way."""
    clock = ManualClock()
    timer = OneShotTimer(clock)
    calls: list[float] = []

    def tick() -> None:
        calls.append(timer.due)
        if len(calls) < 3:
            timer.arm(timer.due + 1, tick)

    timer.arm(clock.now() + 1, tick)
    await clock.advance(10)
    assert 3 == len(calls)
    assert not timer.is_armed


async def test_a_cancelled_timer_calls_nothing() -> None:
    """Cancelling is idempotent."""
    clock = ManualClock()
    timer = OneShotTimer(clock)
    timer.cancel()
    timer.arm(clock.now() + 1, lambda: pytest.fail("it was cancelled"))
    timer.cancel()
    timer.cancel()
    assert not timer.is_armed
    await clock.advance(2)


async def test_an_owner_is_freed_by_its_last_reference() -> None:
    """A timer that has fired or was cancelled holds no reference to its owner."""

    class Owner:
        def __init__(self) -> None:
            self.timer = OneShotTimer(clock)

        def on_timer(self) -> None: ...

    clock = ManualClock()
    fired, cancelled = Owner(), Owner()
    for owner in (fired, cancelled):
        owner.timer.arm(clock.now() + 1, owner.on_timer)
    cancelled.timer.cancel()
    await clock.advance(2)
    references = [weakref.ref(fired), weakref.ref(cancelled)]
    gc.disable()
    try:
        del fired, cancelled, owner
        assert [None, None] == [reference() for reference in references]
    finally:
        gc.enable()


async def test_sleep_until_ends_at_its_time() -> None:
    """The clock decides, not the event loop."""
    clock = ManualClock()
    task = asyncio.create_task(sleep_until(clock, clock.now() + 2))
    await asyncio.sleep(0)
    await clock.advance(1)
    assert not task.done()
    await clock.advance(1)
    await task


async def test_a_cancelled_sleep_leaves_no_timer() -> None:
    """Nothing is pending on the clock afterwards."""
    clock = ManualClock()
    task = asyncio.create_task(sleep_until(clock, clock.now() + 2))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert clock.next_timer() is None


async def test_a_cancelled_future_is_not_resolved() -> None:
    """A timer that fires late does not raise InvalidStateError."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    resolve(future)
    assert future.cancelled()
