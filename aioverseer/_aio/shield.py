"""Waiting on the event loop: for the next change, and for clean-up although the waiter is being cancelled.

Nothing in here knows what is being waited for, or what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

from aioverseer._aio.timers import resolve
from aioverseer.core.clock import Clock, Timer

__all__ = ["T", "settle", "settle_work"]

T = TypeVar("T")


async def settle(
    waited: asyncio.Future[Any], *, within: float, clock: Clock | None = None
) -> asyncio.CancelledError | None:
    """Wait until a future is done, through any number of cancellations, at most ``within`` seconds.

    The result of the future is not looked at. When the time is over the future goes on by itself.

    Args:
        waited: The task or future to wait for.
        within: Seconds.
        clock: Whose seconds they are; by default the event loop's, which bounds real effects, such as the end of a
            child. What takes time by another clock, such as a ladder, is bounded by that one.

    Returns:
        The last cancellation that came in the meantime, for the caller to raise once it is done; None when
        there was none.
    """
    if waited.done():
        return None
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer: Timer
    if clock is None:
        timer = loop.call_later(within, resolve, over)
    else:
        timer = clock.call_at(clock.now() + within, lambda: resolve(over))
    cancelled: asyncio.CancelledError | None = None
    # Two kinds of cancellation come here. anyio's is delivered again and again while its scope is cancelled:
    # only a shield keeps it out, and without one this loop would spin. A native task.cancel() passes through
    # that shield: it is remembered, and the wait goes on.
    with anyio.CancelScope(shield=True):
        while not waited.done() and not over.done():
            try:
                await asyncio.wait({waited, over}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
    timer.cancel()
    return cancelled


async def settle_work(
    work: Callable[[], Coroutine[Any, Any, T]], *, within: float
) -> tuple[T | None, asyncio.CancelledError | None]:
    """Do clean-up in a task of its own, through any number of cancellations, at most ``within`` seconds.

    When that task is cancelled itself, as all are at the end of an event loop, it is done once more.

    Args:
        work: What to do; may be begun twice.
        within: Seconds.

    Returns:
        What came of it, None when the time was over; and the last cancellation that came in the meantime, or None.
    """
    task = asyncio.ensure_future(work())
    cancelled = await settle(task, within=within)
    if task.cancelled():
        task = asyncio.ensure_future(work())
        cancelled = await settle(task, within=within) or cancelled
    if not task.done():
        task.cancel()  # its time is over
        return None, cancelled
    return None if task.cancelled() else task.result(), cancelled
