"""ManualClock: a clock that a test moves, or that jumps to the next timer when nothing else is left to do."""

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
from aioverseer._aio.timers import resolve, sleep_until
from aioverseer.core.export import exported_from

__all__ = ["ManualClock", "Stalled"]

T = TypeVar("T")

_QUIET_ITERATIONS = 30
"""Loop iterations without a use of the clock, after which all tasks wait: decisions of the library use the clock."""
_MAX_ITERATIONS = 1_000_000
_MAX_TIMERS = 100_000
_CLEANUP_LIMIT = 5.0
"""Real seconds that a cancelled coroutine has for its clean-up."""


@exported_from("aioverseer.testing")
class Stalled(AssertionError):
    """Error of a coroutine on a manual clock that cannot end: no timer is left, or timers come without end."""


@dataclass(slots=True, order=True)
class _ManualTimer:
    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)
    wall: datetime.datetime | None = field(default=None, compare=False)

    def cancel(self) -> None:
        self.callback = None


@exported_from("aioverseer.testing")
class ManualClock:
    """A clock that moves only by ``advance`` and ``run``."""

    def __init__(self) -> None:
        """Begin at 0 seconds, which is January 1st, 2030 in UTC."""
        self._now = 0.0
        self._timers: list[_ManualTimer] = []
        self._numbers = itertools.count()
        self._epoch = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        self._uses = 0
        """The number of calls of ``now`` and ``call_at``. It grows as long as code on this clock is active."""
        self._waker: Callable[[], object] | None = None

    def now(self) -> float:
        """Return the seconds since the beginning."""
        self._count_use()
        return self._now

    def wall(self) -> datetime.datetime:
        """Return the wall-clock time, in UTC."""
        return self._epoch + datetime.timedelta(seconds=self._now)

    def call_at(self, when: float, callback: Callable[[], None]) -> _ManualTimer:
        """Call back once the clock has reached a time.

        Args:
            when: The time, in seconds since the beginning.
            callback: The function to call.

        Returns:
            A timer with ``cancel()``.
        """
        self._count_use()
        timer = _ManualTimer(when, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def call_at_wall(self, when: datetime.datetime, callback: Callable[[], None]) -> _ManualTimer:
        """Call back once the wall clock has reached a time, or was set back.

        Args:
            when: The time, aware.
            callback: The function to call.

        Returns:
            A timer with ``cancel()``.
        """
        timer = self.call_at((when - self._epoch).total_seconds(), callback)
        timer.wall = when
        return timer

    def set_wall(self, wall: datetime.datetime) -> None:
        """Set the wall clock, as a user, NTP or the sleep of a host does; monotonic time does not move.

        Timers of the wall clock that are due now fire when the clock moves next.

        Args:
            wall: The new time, aware.
        """
        moved = wall.astimezone(datetime.UTC) - self.wall()
        self._epoch += moved
        for timer in self._timers:
            if timer.wall is not None:
                is_set_back = moved < datetime.timedelta(0)
                timer.when = self._now if is_set_back else (timer.wall - self._epoch).total_seconds()
        heapq.heapify(self._timers)

    def next_timer(self) -> float | None:
        """Return the seconds until the next timer is due; None without timers."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].when - self._now) if self._timers else None

    async def sleep(self, seconds: float) -> None:
        """Wait on this clock, as ``asyncio.sleep`` does in real time. Safe to cancel."""
        await sleep_until(self, self._now + seconds)

    async def advance(self, seconds: float) -> None:
        """Move the clock, and fire each timer on the way at its own time.

        After each timer, ``settle`` lets its consequences happen. Timers made meanwhile fire too if they are due.

        Args:
            seconds: The seconds to move, 0 or more.
        """
        end = self._now + seconds
        await self.settle()
        while (left := self.next_timer()) is not None and self._now + left <= end:
            self._jump()
            await self.settle()
        self._now = max(self._now, end)

    async def settle(self) -> None:
        """Wait until all tasks wait for time or for something outside; the clock does not move.

        Raises:
            Stalled: If some task never stops using the clock.
        """
        quiet = 0
        for _ in range(_MAX_ITERATIONS):
            uses = self._uses
            await asyncio.sleep(0)
            quiet = quiet + 1 if uses == self._uses else 0
            if quiet == _QUIET_ITERATIONS:
                return
        raise Stalled(f"at {self._now:g} s of the clock tasks read the clock without end")

    async def run(self, awaitable: Awaitable[T], *, within: float = math.inf, patience: float = 1.0) -> T:
        """Run a coroutine, and jump to the next timer whenever nothing else is left to do.

        A backoff of an hour takes no real time, and a test does not need to know how far to move the clock. Only waits
        on this clock are skipped. ``asyncio.sleep`` and real programs take their real time; use ``sleep`` instead. A
        cancellation also cancels the coroutine, and its clean-up has its time on this clock.

        Args:
            awaitable: The coroutine.
            within: Seconds of this clock that it may take.
            patience: Real seconds without a timer after which the coroutine has stalled. They are for waits outside of
                this clock, such as for a thread.

        Returns:
            The result of the coroutine.

        Raises:
            Stalled: If the coroutine cannot end. It is cancelled then. The message says what it was waiting for.
        """
        task = asyncio.ensure_future(awaitable)
        mover = asyncio.create_task(
            self._move_until_done(task, self._now + within, patience), name="aioverseer manual clock"
        )
        try:
            await asyncio.wait({mover})
        except asyncio.CancelledError:
            task.cancel()
            await settle(mover, within=_CLEANUP_LIMIT)
            mover.cancel()  # the limit is over, if it still runs
            raise
        try:
            stall = mover.result()
        finally:
            task.cancel()  # the callback of a timer has raised; otherwise the task is done
        if stall is None:
            return task.result()
        raise Stalled("\n".join([stall, *_notes_of(task)]))

    async def _move_until_done(self, task: asyncio.Future[Any], end: float, patience: float) -> str | None:
        """Move the clock until a task is done; return the reason of a stall, or None."""
        stall: str | None = None
        timers = 0
        while True:
            await self.settle()
            if task.done():
                return stall
            left = self.next_timer()
            if left is None and await self._wait_for_use(task, patience):
                continue
            if stall is None:
                stall = self._stall(left, timers, end)
                if stall is not None:
                    task.cancel()  # continue, as its clean-up may need time as well
                    continue
            elif left is None or timers > 2 * _MAX_TIMERS:
                return f"{stall}; nor does it end when it is cancelled"
            timers += 1
            self._jump()

    def _stall(self, left: float | None, timers: int, end: float) -> str | None:
        if left is None:
            return f"nothing is left to happen: at {self._now:g} s of the clock no timer is armed, and it still waits"
        if self._now + left > end:
            return f"it is not over at {end:g} s of the clock"
        if timers >= _MAX_TIMERS:
            return f"it goes on and on: {timers} timers have come due by {self._now:g} s of the clock"
        return None

    async def _wait_for_use(self, task: asyncio.Future[Any], patience: float) -> bool:
        """Wait in real time for a use of the clock or the end of the task; return whether one of them came."""
        loop = asyncio.get_running_loop()
        used: asyncio.Future[None] = loop.create_future()
        # Thread-safe, as any thread may use the clock.
        self._waker = lambda: loop.call_soon_threadsafe(resolve, used)
        try:
            done, _ = await asyncio.wait({task, used}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waker = None
            used.cancel()
        return bool(done)

    def _count_use(self) -> None:
        self._uses += 1
        if self._waker is not None:
            self._waker()

    def _jump(self) -> None:
        """Move the clock to the next timer, and fire it."""
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.when)
        callback, timer.callback = timer.callback, None
        if callback is not None:
            callback()


def _notes_of(task: asyncio.Future[Any]) -> list[str]:
    """Return the notes on the error of a cancelled task, which say what it was waiting for."""
    if not task.done():
        return []
    try:
        task.result()
    except BaseException as error:  # noqa: BLE001  # only its notes matter: the stall is reported instead
        return list(getattr(error, "__notes__", ()))
    return []
