"""The contract of clocks: that of the event loop and the manual one are the same to whoever lives by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioverseer._aio.clock import LoopClock, SteadyClock
from aioverseer.core.clock import Clock
from aioverseer.testing import ManualClock
from tests.support.programs import limit

Pass = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


async def _really(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


@pytest.fixture(params=["manual", "steady", "real"])
def clock(request: pytest.FixtureRequest) -> tuple[Clock, Pass]:
    """A clock, and how time passes by it until something is over."""
    if request.param == "real":
        return LoopClock(), _really
    manual = ManualClock()
    return (manual if request.param == "manual" else SteadyClock(manual)), manual.run


async def test_timers_are_called_in_order_never_from_within_and_never_early(clock: tuple[Clock, Pass]) -> None:
    """One of the past too; a cancelled one is not, however often it was cancelled."""
    timed, passing = clock
    calls: list[tuple[str, float]] = []
    over = asyncio.Event()
    began = timed.now()

    def note(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, timed.now() - began))

    timed.call_at(began + 0.03, over.set)
    timed.call_at(began + 0.02, note("second"))
    timed.call_at(began + 0.01, note("first"))
    timed.call_at(began - 5, note("past"))
    gone = timed.call_at(began + 0.01, note("cancelled"))
    gone.cancel()
    gone.cancel()
    assert [] == calls
    async with limit(10, "the timers"):
        await passing(over.wait())
    assert ["past", "first", "second"] == [name for name, _ in calls]
    assert all(when >= due for (_, when), due in zip(calls, (0.0, 0.01, 0.02), strict=True))
    gone.cancel()


async def test_time_does_not_run_backwards_and_the_label_goes_with_it(clock: tuple[Clock, Pass]) -> None:
    """Aware, and in UTC."""
    timed, passing = clock
    over = asyncio.Event()
    now, wall = timed.now(), timed.wall()
    timed.call_at(now + 0.01, over.set)
    async with limit(10, "the timer"):
        await passing(over.wait())
    assert timed.now() >= now + 0.01
    assert timed.wall() > wall
    offset = wall.utcoffset()
    assert offset is not None
    assert not offset
