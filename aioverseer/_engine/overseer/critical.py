"""Body: a block of the application that the end of a critical service ends too.

``async with overseer`` is one by itself. A Body is for a block that another task or another thread runs: the body of a
test, whose overseer was entered by a fixture; a handler of requests. What is critical is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aioverseer.core.export import exported_from
from aioverseer.core.report.status import CriticalServiceEnded

__all__ = ["Bodies", "Body"]


@exported_from("aioverseer")
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


class Bodies:
    """All blocks of one overseer that are to end with a critical service: its own, and those within.

    Attributes:
        ended: What is said of the critical service that has ended; None while there is none.
        within: Those made by ``body`` that are being run.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.ended: CriticalServiceEnded | None = None
        self.within: set[Body] = set()
        self._own: asyncio.Task[Any] | None = None
        self._cancelled: asyncio.Task[Any] | None = None
        """The task whose block was cancelled, because a critical service has ended."""

    def body(self) -> Body:
        """Return a block to be; see ``Overseer.body``."""
        return Body(self.within, lambda: self.ended)

    def reopen(self) -> None:
        """Forget the last use of the overseer."""
        self.ended = self._cancelled = None

    def enter(self) -> None:
        """Take note that the block of the overseer begins, in the present task."""
        self._own = asyncio.current_task()

    def leave(self) -> None:
        """Take note that the block of the overseer is over."""
        self._own = None

    def end(self, ended: CriticalServiceEnded) -> None:
        """Cancel all blocks, because a critical service has ended."""
        self.ended = ended
        # A block within the block learns of it first, and the other one by its error.
        inner = any(body.task is self._own for body in self.within)
        if self._own is not None and not self._own.done() and not inner:
            # As a task group does it: counted, so that it can be told apart from a cancellation by somebody else.
            self._cancelled, self._own = self._own, None
            self._cancelled.cancel()
        for body in tuple(self.within):
            body.end()

    def take_back(self) -> bool:
        """End the cancellation of the overseer's block; return whether somebody else cancels it as well."""
        cancelled, self._cancelled = self._cancelled, None
        return cancelled is not None and cancelled is asyncio.current_task() and cancelled.uncancel() > 0
