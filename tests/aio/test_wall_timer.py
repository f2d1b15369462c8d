"""WallTimers on a clock whose wall time jumps, and the same on a manual clock."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from aioverseer._aio.wall_timer import LONGEST_SLEEP, WallTimers
from aioverseer.core.clock import Timer
from aioverseer.testing import ManualClock

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class SeparateClock:
    """A clock of monotonic timers alone, whose wall time a test moves apart from them."""

    def __init__(self) -> None:
        self.manual = ManualClock()
        self.epoch = NOON
        self.wakes = 0

    def now(self) -> float:
        """Monotonic seconds."""
        return self.manual.now()

    def wall(self) -> datetime:
        """The wall time."""
        return self.epoch + timedelta(seconds=self.manual._now)

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Arm a timer, and count that it fires."""

        def wake() -> None:
            self.wakes += 1
            callback()

        return self.manual.call_at(when, wake)


async def test_a_call_comes_at_its_time() -> None:
    """The timer wakes up each 300 s until then, and never again afterwards."""
    clock = SeparateClock()
    timers, calls = WallTimers(clock), []
    timers.call_at(NOON + timedelta(hours=1), lambda: calls.append(clock.wall()))
    await clock.manual.advance(3599)
    assert [] == calls
    await clock.manual.advance(1)
    assert [NOON + timedelta(hours=1)] == calls
    assert 3600 / LONGEST_SLEEP == clock.wakes
    assert clock.manual.next_timer() is None


async def test_all_calls_share_one_timer() -> None:
    """A thousand calls wake the host no more often than one, and each comes at its time."""
    clock = SeparateClock()
    timers = WallTimers(clock)
    calls: list[int] = []
    for number in range(1000):
        timers.call_at(NOON + timedelta(seconds=1000 - number % 10), functools.partial(calls.append, number % 10))
    await clock.manual.advance(900)
    assert ([], 3) == (calls, clock.wakes)
    await clock.manual.advance(100)
    assert [number for number in range(9, -1, -1) for _ in range(100)] == calls
    assert 13 == clock.wakes


async def test_a_cancelled_call_needs_no_timer() -> None:
    """Also when it was the first of several."""
    clock = SeparateClock()
    timers, calls = WallTimers(clock), []
    first = timers.call_at(NOON + timedelta(seconds=10), lambda: calls.append("first"))
    timers.call_at(NOON + timedelta(seconds=20), lambda: calls.append("second"))
    last = timers.call_at(NOON + timedelta(seconds=30), lambda: calls.append("last"))
    first.cancel()
    first.cancel()
    await clock.manual.advance(20)
    assert ["second"] == calls
    assert clock.manual.next_timer() is not None
    last.cancel()
    assert clock.manual.next_timer() is None


async def test_a_host_that_slept_calls_soon_after_it_woke_up() -> None:
    """The monotonic clock stood still meanwhile, so the timer is late."""
    clock = SeparateClock()
    timers, calls = WallTimers(clock), []
    timers.call_at(NOON + timedelta(hours=1), lambda: calls.append(clock.wall()))
    await clock.manual.advance(100)
    clock.epoch += timedelta(hours=8)
    await clock.manual.advance(LONGEST_SLEEP - 100)
    assert [NOON + timedelta(hours=8, seconds=300)] == calls


async def test_a_clock_that_is_set_back_calls_early() -> None:
    """The caller finds another next time, and arms again. A clock that runs slightly slow is none."""
    clock = SeparateClock()
    timers, calls = WallTimers(clock), []
    timers.call_at(NOON + timedelta(hours=1), lambda: calls.append(clock.wall()))
    for _ in range(5):
        clock.epoch -= timedelta(seconds=0.5)
        await clock.manual.advance(LONGEST_SLEEP)
    assert [] == calls
    clock.epoch -= timedelta(hours=3)
    await clock.manual.advance(LONGEST_SLEEP)
    assert 1 == len(calls)
    assert clock.manual.next_timer() is None


async def test_a_callback_that_raises_takes_no_other_call_along() -> None:
    """A later call comes at its time."""
    clock = SeparateClock()
    timers, calls = WallTimers(clock), []

    def broken() -> None:
        raise ValueError("broken")

    timers.call_at(NOON + timedelta(seconds=1), broken)
    timers.call_at(NOON + timedelta(seconds=2), lambda: calls.append("later"))
    with pytest.raises(ValueError, match="broken"):
        await clock.manual.advance(5)
    await clock.manual.advance(5)
    assert ["later"] == calls


async def test_a_manual_clock_needs_no_waking_up() -> None:
    """It knows each move of its wall clock, so a year of a schedule has no other timers."""
    clock = ManualClock()
    timers, calls = WallTimers(clock), []
    begin = clock.wall()

    def call() -> None:
        calls.append(clock.wall() - begin)

    timers.call_at(begin + timedelta(days=365), call)
    assert 365 * 86_400 == clock.next_timer()
    clock.set_wall(begin + timedelta(days=364))
    assert 86_400 == clock.next_timer()
    clock.set_wall(begin + timedelta(days=366))
    assert 0 == clock.next_timer()
    await clock.advance(0)
    timers.call_at(begin + timedelta(days=367), call)
    clock.set_wall(begin)
    await clock.advance(0)
    assert [timedelta(days=366), timedelta(0)] == calls
