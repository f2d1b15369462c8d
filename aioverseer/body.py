"""Body: a block of the application that the end of a critical service ends too.

``async with overseer`` is one by itself. This is for a block that another task or another thread runs: the body of a
test, whose overseer was entered by a fixture; a handler of requests. What is critical is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aioverseer.core.errors import CriticalServiceEnded

__all__ = ["Body"]


class Body:
    """See ``Overseer.body``."""

    def __init__(self, bodies: set[Body], ended: Callable[[], CriticalServiceEnded | None]) -> None:
        """Made by ``body()``.

        Args:
            bodies: Those to be told; it is among them while it runs.
            ended: Which critical service has ended.
        """
        self._bodies = bodies
        self._ended = ended
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def __enter__(self) -> Self:
        """Begin the block; in a task, that task is cancelled when a critical service ends, or has ended already."""
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # plain code: nothing can interrupt it, it is told when it comes to its end
            self._task = None
        self._bodies.add(self)
        # Behind the line above, as the other side does it the other way round: one of both sees it.
        if self._ended() is not None:
            self.end()
        return self

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs it; None for plain code."""
        return self._task

    def end(self) -> None:
        """Cancel the block, from any thread."""
        task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(self._cancel, task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the block.

        Raises:
            CriticalServiceEnded: When one has ended; what came out of the block is its cause.
        """
        self._bodies.discard(self)
        task, self._task = self._task, None
        foreign = self._cancelled and task is not None and task.uncancel() > 0
        ended = self._ended()
        is_ours = self._cancelled and isinstance(error, asyncio.CancelledError)
        if ended is None or foreign or not (error is None or is_ours or isinstance(error, Exception)):
            return
        raise ended from (None if is_ours else error)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if self._task is task and not self._cancelled and not task.done():
            # Counted, so that it can be told apart from a cancellation by somebody else.
            self._cancelled = True
            task.cancel()
