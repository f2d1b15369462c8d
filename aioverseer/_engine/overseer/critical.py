"""Body: a block of the application that ends together with a critical service.

``async with overseer`` is such a block itself. A Body is for a block in another task or thread: a test whose overseer
was entered by a fixture, or a handler of requests.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aioverseer.core.export import exported_from
from aioverseer.core.report.status import CriticalServiceEnded

__all__ = ["Body", "Cancelled", "CriticalBlocks", "cause_of"]


def cause_of(ended: CriticalServiceEnded, error: BaseException | None) -> BaseException | None:
    """Return the cause of the error about a critical service at the end of a block.

    Args:
        ended: Error about the critical service. Its cause so far is the error that has ended the service.
        error: Error that came out of the block; None for none.

    Returns:
        The error of the block, if the block has one of its own; else the cause so far.
    """
    # An inner block, and ``supervise_all``, raise the same error: it is never its own cause.
    if error is None or error is ended or isinstance(error, asyncio.CancelledError):
        return ended.__cause__
    return error


class Cancelled(enum.Enum):
    """The canceller of the task of a block."""

    NOT_BY_US = "not by us"
    BY_US = "by us"
    BY_OTHERS_TOO = "by others too"


@exported_from("aioverseer")
class Body:
    """A block that ends with a critical service; see ``Overseer.body``."""

    def __init__(
        self,
        running: set[Body],
        ended: Callable[[], CriticalServiceEnded | None],
        has_signal: Callable[[asyncio.Task[Any] | None], bool] = lambda _task: False,
    ) -> None:
        """Create a block. Use ``Overseer.body`` instead.

        Args:
            running: The running blocks, to which this one adds itself.
            ended: Function that returns the error about the critical service that has ended; None before that.
            has_signal: Function that returns whether a signal of the host has ended all blocks, given the task of this
                block.
        """
        self._running = running
        self._ended = ended
        self._has_signal = has_signal
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def __enter__(self) -> Self:
        """Begin the block. The task that runs it is cancelled when a critical service ends, or has ended already.

        The same holds for a signal of the host, with ``handle_signals``.
        """
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # code without an event loop: nothing can interrupt it, so __exit__ raises
            self._task = None
        self._running.add(self)
        # After the line above, because ``CriticalBlocks.end`` may run in another thread. It stores the error before it
        # reads the blocks, so one of the two sees the other.
        if self._ended() is not None or self._has_signal(self._task):
            self.end()
        return self

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs the block; None for code without an event loop."""
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
            CriticalServiceEnded: If a critical service has ended. Its cause is the error of the block, or else
                the error that has ended the service.
        """
        self._running.discard(self)
        task, self._task = self._task, None
        ended = self._ended()
        if ended is None:  # after a signal of the host the cancellation goes on: the whole program is to end
            return
        foreign = self._cancelled and task is not None and task.uncancel() > 0
        is_ours = self._cancelled and isinstance(error, asyncio.CancelledError)
        if foreign or not (error is None or is_ours or isinstance(error, Exception)):
            return
        raise ended from cause_of(ended, None if is_ours else error)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if self._task is task and not self._cancelled and not task.done():
            # Remembered, to distinguish this cancellation from one by other code.
            self._cancelled = True
            task.cancel()


class CriticalBlocks:
    """All blocks of one overseer that end with a critical service: its own block, and those of ``body``.

    A signal of the host ends them too, with ``handle_signals``.

    Attributes:
        ended: The error about the critical service that has ended; None before that.
        running: The blocks of ``body`` that are running.
        is_left: Whether the code of the overseer's own block has ended.
    """

    def __init__(self) -> None:
        """Begin without blocks."""
        self.ended: CriticalServiceEnded | None = None
        self.running: set[Body] = set()
        self.is_left = False
        self._ended_by_signal = False
        self._own: asyncio.Task[Any] | None = None
        # The task whose block was cancelled because of a critical service or a signal.
        self._cancelled: asyncio.Task[Any] | None = None

    def body(self) -> Body:
        """Return a new block; see ``Overseer.body``."""
        return Body(self.running, lambda: self.ended, self._has_signal)

    def reopen(self) -> None:
        """Forget the last use of the overseer."""
        self.ended = self._cancelled = None
        self.is_left = self._ended_by_signal = False

    def enter(self) -> None:
        """Begin the block of the overseer, in the current task."""
        self._own = asyncio.current_task()
        if self._ended_by_signal:  # it came before the block
            self._cancel_own()

    def leave(self) -> None:
        """End the block of the overseer."""
        self._own = None
        self.is_left = True

    def _has_signal(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether a signal has ended all blocks, and the task of this one was not cancelled for that yet."""
        return self._ended_by_signal and (task is None or task is not self._cancelled)

    def end(self, ended: CriticalServiceEnded) -> None:
        """Cancel all blocks because a critical service has ended."""
        self.ended = ended
        # A block of ``body`` in the same task is cancelled first. Its error then ends the block of the overseer.
        if not any(block.task is self._own for block in self.running):
            self._cancel_own()
        for block in tuple(self.running):
            block.end()

    def end_on_signal(self) -> None:
        """Cancel all blocks because the host has received a signal."""
        self._ended_by_signal = True
        own = self._own
        # The block of the overseer lets the signal have its effect, so a block of ``body`` in the same task is not
        # cancelled on its own.
        self._cancel_own()
        for block in tuple(self.running):
            if own is None or block.task is not own:
                block.end()

    def _cancel_own(self) -> None:
        if self._own is not None and not self._own.done():
            # As asyncio.TaskGroup does: counted, to distinguish this cancellation from one by other code.
            self._cancelled, self._own = self._own, None
            self._cancelled.cancel()

    def uncancel(self) -> Cancelled:
        """Withdraw the cancellation of the overseer's block, and return who has cancelled its task."""
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is None or cancelled is not asyncio.current_task():
            return Cancelled.NOT_BY_US
        return Cancelled.BY_OTHERS_TOO if cancelled.uncancel() > 0 else Cancelled.BY_US
