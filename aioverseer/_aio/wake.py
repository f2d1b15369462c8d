"""What one task waits for and is woken by at once: as good as a future to it.

A future wakes its task by another callback, in the next turn of the event loop. That is too late where what is left of
this turn matters, and each callback costs a twentieth of what the library takes for a spawn. Nothing in here knows what
is being waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context

__all__ = ["Wake"]


class Wake:
    """To be awaited once, by one task.

    Attributes:
        is_cancelled: Whether its task was cancelled, and so is not to be woken any more.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_loop", "_message", "_wake", "is_cancelled")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare it.

        Args:
            loop: The event loop of the task.
        """
        self._loop = loop
        self.is_cancelled = False
        self._message: object = None

    def __await__(self) -> Generator[Wake, None, None]:
        """Wait until ``go``, or until the task is cancelled."""
        self._asyncio_future_blocking = True
        yield self

    def go(self) -> None:
        """Let its task go on, now; to be called outside of all tasks.

        What the task does not catch itself, such as KeyboardInterrupt, comes out of here.
        """
        self._context.run(self._wake, self)

    # What a task asks of what it waits for; see asyncio.isfuture().

    def add_done_callback(self, callback: Callable[[Wake], object], *, context: Context) -> None:
        """Remember how the task is woken."""
        self._wake, self._context = callback, context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop of the task."""
        return self._loop

    def cancel(self, msg: object = None) -> bool:
        """Wake the task by an error, in the next turn, as futures do."""
        if not self.is_cancelled:
            self.is_cancelled, self._message = True, msg
            self._loop.call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        """Say nothing, or raise when it was cancelled."""
        if self.is_cancelled:
            # With the message, by which the cancel scopes of anyio know whether it is theirs.
            raise asyncio.CancelledError(*(() if self._message is None else (self._message,)))
