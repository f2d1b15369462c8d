"""Calls from other threads to the event loop of a ThreadedOverseer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import BlockingPortal

from aioverseer import OverseerError

__all__ = ["Loop", "as_async"]

T = TypeVar("T")


class Loop:
    """The event loop in its thread, between entering and leaving the overseer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._portal: BlockingPortal | None = None

    def use(self, portal: BlockingPortal | None) -> None:
        """Set the portal to the running loop; None after its end."""
        self._portal = portal

    @property
    def is_running(self) -> bool:
        """Whether the loop runs."""
        return self._portal is not None

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the loop and return its result.

        Raises:
            OverseerError: If the overseer is not in use.
        """
        if self._portal is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `with`")
        return self._portal.call(work)

    def call(self, work: Callable[[], T]) -> T:
        """Call a plain function and return its result.

        While the loop runs, the call is made in its thread, between two callbacks, and so never sees a half-made
        change. Otherwise the call is made in the calling thread.
        """
        if self._portal is None:
            return work()
        # The tuple hides the result from the portal, which awaits any awaitable result, and a Service is awaitable.
        return self._portal.call(lambda: (work(),))[0]


def as_async(work: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Return a coroutine function that calls a plain one, for functions that need a running loop."""

    async def call() -> T:
        return work()

    return call
