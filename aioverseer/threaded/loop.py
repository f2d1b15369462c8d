"""The event loop in its thread, and how a call of another thread gets there and back.

What is called is never known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import BlockingPortal

from aioverseer import OverseerError

__all__ = ["Loop", "as_async"]

T = TypeVar("T")


class Loop:
    """The event loop in its thread, while there is one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._portal: BlockingPortal | None = None

    def use(self, portal: BlockingPortal | None) -> None:
        """Take the way to a loop that runs; or None, as it runs no more."""
        self._portal = portal

    @property
    def is_used(self) -> bool:
        """Whether there is one."""
        return self._portal is not None

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the loop and wait for it."""
        if self._portal is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `with`")
        return self._portal.call(work)

    def ask(self, work: Callable[[], T]) -> T:
        """Call a plain function on the loop, so that it cannot meet a change halfway; here where there is none."""
        if self._portal is None:
            return work()
        # In a tuple, because the portal awaits whatever can be awaited, and a Service can.
        return self._portal.call(lambda: (work(),))[0]


def as_async(work: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Return a coroutine function that calls a plain one, for what has to be called on the loop."""

    async def call() -> T:
        return work()

    return call
