"""Watchers: tasks that wait until a value satisfies a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

from aioverseer._aio.shield import T

__all__ = ["Watchers"]


class Watchers(Generic[T]):
    """Those who wait until something is true of a value that changes.

    Each change is shown to all of them at once, so that a state which lasts for less than a turn of the loop is not
    missed.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Future[T], Callable[[T], bool | BaseException]]] = []

    def __bool__(self) -> bool:
        """Return whether anybody waits."""
        return bool(self._waiting)

    def watch(self, value: T, wanted: Callable[[T], bool | BaseException]) -> asyncio.Future[T]:
        """Return a future for the first value that is wanted, the present one included.

        Args:
            value: The present value.
            wanted: Says True for the value waited for, and gives an error when none can come any more.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not _judged(future, value, wanted):
            # Those whose waiter was cancelled must not pile up while nothing changes.
            self._waiting = [entry for entry in self._waiting if not entry[0].done()]
            self._waiting.append((future, wanted))
        return future

    def tell(self, value: T) -> None:
        """Show a change to all who wait."""
        if self._waiting:
            self._waiting = [
                (future, wanted)
                for future, wanted in self._waiting
                # One that is done already was cancelled: nobody waits there any more.
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
