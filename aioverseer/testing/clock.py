"""The manual clock: time that moves when a test says so, or jumps when nothing else is to be done.

Timers and the waiting for quiet only. Who lives by the clock is not known here, and no real time is slept away.
"""

from __future__ import annotations

import asyncio
import datetime
import heapq
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aioverseer._aio.shield import settle
from aioverseer.core.export import exported_from

__all__ = ["ManualClock", "Stalled"]

T = TypeVar("T")

_TURNS = 30
"""Turns of the loop in which nobody has asked for the time: by then everybody waits, as every decision asks for it."""
_MOST_TURNS = 1_000_000
_MOST_TIMERS = 100_000
_END = 5.0
"""Real seconds for what was cancelled to come to its end."""


@exported_from("aioverseer.testing")
class Stalled(AssertionError):
    """What runs by a manual clock cannot come to its end: nothing is left to happen, or it goes on for ever."""


@dataclass(slots=True, order=True)
class _ManualTimer:
    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


@exported_from("aioverseer.testing")
class ManualClock:
    """A clock that moves only when it is told to, or that ``run`` moves; keeps the ``Clock`` protocol."""

    def __init__(self) -> None:
        """Begin at 0 seconds, on the first of January 2030 in UTC."""
        self._now = 0.0
        self._timers: list[_ManualTimer] = []
        self._numbers = itertools.count()
        self._epoch = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        self._signs = 0
        """How often somebody has asked for anything: a sign of life."""
        self._waker: Callable[[], object] | None = None

    def now(self) -> float:
        """Return the seconds that it was moved so far."""
        self._note_sign()
        return self._now

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time that goes with it."""
        return self._epoch + datetime.timedelta(seconds=self._now)

    def call_at(self, when: float, callback: Callable[[], None]) -> _ManualTimer:
        """Call back once the clock is moved to that time or beyond."""
        self._note_sign()
        timer = _ManualTimer(when, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_timer(self) -> float | None:
        """Return the seconds until the next timer is due; None when there is none."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].when - self._now if self._timers else None

    async def sleep(self, seconds: float) -> None:
        """Wait on this clock, as ``asyncio.sleep`` does in real time. Safe to cancel."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_at(self._now + seconds, lambda: _resolve(over))
        try:
            await over
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Move the clock, calling what comes due in order, each at its own time.

        Before the first and after each one everything that it leads to is done, so timers that are made on the way
        are kept too.

        Args:
            seconds: How far to move, 0 or more.
        """
        end = self._now + seconds
        await self.settle()
        while (left := self.next_timer()) is not None and self._now + left <= end:
            self._jump()
            await self.settle()
        self._now = max(self._now, end)

    async def settle(self) -> None:
        """Let everything happen that needs no time.

        Raises:
            Stalled: When that does not end.
        """
        quiet = 0
        for _ in range(_MOST_TURNS):
            signs = self._signs
            await asyncio.sleep(0)
            quiet = quiet + 1 if signs == self._signs else 0
            if quiet == _TURNS:
                return
        raise Stalled(f"at {self._now:g} s of the clock somebody asks for the time without end")

    async def run(self, awaitable: Awaitable[T], *, within: float = math.inf, patience: float = 1.0) -> T:
        """Run a coroutine, and jump to the next timer whenever nothing else is left to be done.

        So a backoff of an hour takes no time, and no test has to know how far to move the clock. Only what lives by
        this clock jumps: ``asyncio.sleep`` and real programs do not, see ``sleep``. When this is cancelled, so is the
        coroutine, whose clean-up then has its time on this clock.

        Args:
            awaitable: What to run.
            within: Seconds of this clock that it may take.
            patience: Real seconds to wait for what does not live by the clock, such as a thread, once no timer is
                left, before that is called a stall.

        Returns:
            What it returns.

        Raises:
            Stalled: When it cannot come to its end; it is cancelled then. The message says what it has waited for.
        """
        task = asyncio.ensure_future(awaitable)
        driver = asyncio.create_task(self._drive(task, self._now + within, patience), name="aioverseer manual clock")
        try:
            await asyncio.wait({driver})
        except asyncio.CancelledError:
            task.cancel()
            await settle(driver, within=_END)
            driver.cancel()  # its time is over, if it still runs
            raise
        try:
            stall = driver.result()
        finally:
            task.cancel()  # when a timer has raised; else it is over
        if stall is None:
            return task.result()
        raise Stalled("\n".join([stall, *_notes_of(task)]))

    async def _drive(self, task: asyncio.Future[Any], end: float, patience: float) -> str | None:
        """Move the clock until a task is done; return why that was in vain, or None when it was not."""
        stall: str | None = None
        timers = 0
        while True:
            await self.settle()
            if task.done():
                return stall
            left = self.next_timer()
            if left is None and await self._is_stirred(task, patience):
                continue
            if stall is None:
                stall = self._stall(left, timers, end)
                if stall is not None:
                    task.cancel()  # and go on: its clean-up may need time too
                    continue
            elif left is None or timers > 2 * _MOST_TIMERS:
                return f"{stall}; nor does it end when it is cancelled"
            timers += 1
            self._jump()

    def _stall(self, left: float | None, timers: int, end: float) -> str | None:
        if left is None:
            return f"nothing is left to happen: at {self._now:g} s of the clock no timer is armed, and it still waits"
        if self._now + left > end:
            return f"it is not over at {end:g} s of the clock"
        if timers >= _MOST_TIMERS:
            return f"it goes on and on: {timers} timers have come due by {self._now:g} s of the clock"
        return None

    async def _is_stirred(self, task: asyncio.Future[Any], patience: float) -> bool:
        """Wait in real time for a sign of life; return whether there was one."""
        loop = asyncio.get_running_loop()
        stirred: asyncio.Future[None] = loop.create_future()
        # From whatever thread the time is asked.
        self._waker = lambda: loop.call_soon_threadsafe(_resolve, stirred)
        try:
            done, _ = await asyncio.wait({task, stirred}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waker = None
            stirred.cancel()
        return bool(done)

    def _note_sign(self) -> None:
        self._signs += 1
        if self._waker is not None:
            self._waker()

    def _jump(self) -> None:
        """Go to the next timer, and call back."""
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.when)
        callback, timer.callback = timer.callback, None
        if callback is not None:
            callback()


def _notes_of(task: asyncio.Future[Any]) -> list[str]:
    """Return what was noted on the way out of a task that was cancelled: what it has waited for."""
    if not task.done():
        return []
    try:
        task.result()
    except BaseException as error:  # noqa: BLE001  # whatever came of it, the stall is what is told
        return list(getattr(error, "__notes__", ()))
    return []


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
