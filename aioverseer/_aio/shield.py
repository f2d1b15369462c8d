"""Waiting for clean-up work although the waiter is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

from aioverseer._aio.fork import in_copy
from aioverseer._aio.timers import resolve
from aioverseer.core.clock import Clock, Timer

__all__ = ["T", "settle", "settle_work"]

T = TypeVar("T")


async def settle(
    waited: asyncio.Future[Any], *, within: float, clock: Clock | None = None
) -> asyncio.CancelledError | None:
    """Wait until a future is done, through any number of cancellations, at most ``within`` seconds.

    In a fork of the host it waits for nothing: the work is that of the parent.

    The result of the future is not retrieved. When the time is over, the future continues without a waiter.

    Args:
        waited: The task or future.
        within: Time limit in seconds.
        clock: The clock of the time limit. The default is the event loop's own time, which suits real effects such as
            the exit of a child. Work that takes time by another clock, such as a ladder, needs that clock.

    Returns:
        The last cancellation that arrived during the wait, for the caller to raise once its work is done; None without
        one.
    """
    if waited.done() or in_copy():
        return None
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer: Timer
    if clock is None:
        timer = loop.call_later(within, resolve, over)
    else:
        timer = clock.call_at(clock.now() + within, lambda: resolve(over))
    cancelled: asyncio.CancelledError | None = None
    # Two kinds of cancellation arrive here. anyio delivers its own again and again while its scope is cancelled, and
    # without a shield this loop would spin. A native ``task.cancel()`` passes through the shield: it is remembered, and
    # the wait goes on.
    with anyio.CancelScope(shield=True):
        while not waited.done() and not over.done() and not in_copy():
            try:
                await asyncio.wait({waited, over}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
    timer.cancel()
    return cancelled


async def settle_work(
    work: Callable[[], Coroutine[Any, Any, T]], *, within: float
) -> tuple[T | None, asyncio.CancelledError | None]:
    """Run clean-up work in its own task, through any number of cancellations, at most ``within`` seconds.

    ``asyncio.run`` cancels all tasks at its end, this one included. The work is then started once more.

    Args:
        work: The work. It must be safe to start twice.
        within: Time limit in seconds for each start.

    Returns:
        The result, or None when the time was over; and the last cancellation that arrived during the wait, or None.
    """
    if in_copy():
        return None, None
    task = asyncio.ensure_future(work())
    cancelled = await settle(task, within=within)
    if task.cancelled():
        task = asyncio.ensure_future(work())
        cancelled = await settle(task, within=within) or cancelled
    if not task.done():
        task.cancel()  # its time is over
        return None, cancelled
    return None if task.cancelled() else task.result(), cancelled
