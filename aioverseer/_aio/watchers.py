"""Watchers: tasks that wait until a value satisfies a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

from aioverseer._aio.shield import T

__all__ = ["Watchers"]


class Watchers(Generic[T]):
    """The waiters for conditions on a value that changes.

    Every change is shown to all waiters at once, so a state that lasts for less than an iteration of the event loop is
    not missed.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Future[T], Callable[[T], bool | BaseException]]] = []

    def __bool__(self) -> bool:
        """Return whether there are waiters."""
        return bool(self._waiting)

    def watch(self, value: T, wanted: Callable[[T], bool | BaseException]) -> asyncio.Future[T]:
        """Return a future for the first value that satisfies a condition, the present one included.

        Args:
            value: The present value.
            wanted: The condition. It returns an error instead of a bool when no later value can satisfy it.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not _judged(future, value, wanted):
            # Drop the futures of cancelled waiters, so that they do not pile up while nothing changes.
            self._waiting = [entry for entry in self._waiting if not entry[0].done()]
            self._waiting.append((future, wanted))
        return future

    def notify(self, value: T) -> None:
        """Show a new value to all waiters."""
        if self._waiting:
            self._waiting = [
                (future, wanted)
                for future, wanted in self._waiting
                # A future that is done here belongs to a cancelled waiter.
                if not (future.done() or _judged(future, value, wanted))
            ]


def _judged(future: asyncio.Future[T], value: T, wanted: Callable[[T], bool | BaseException]) -> bool:
    verdict = wanted(value)
    if future.done():
        return True
    if isinstance(verdict, BaseException):
        future.set_exception(verdict)
        return True
    if verdict:
        future.set_result(value)
    return verdict
