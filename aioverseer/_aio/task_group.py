"""The tasks of one overseer: its runs, and other work that lasts as long as the overseer.

A task group of anyio does not fit. It is cancelled as a whole when one of its tasks is cancelled, and a task that is
cancelled before its first step leaves a warning about a coroutine that was never awaited.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["SupervisorTaskGroup"]

_log = logging.getLogger("aioverseer")


class SupervisorTaskGroup:
    """A group of tasks in which an error of one task does not end the others."""

    def __init__(self, name: str, *, on_failure: Callable[[BaseException], None]) -> None:
        """Create an empty group.

        Args:
            name: The name of the overseer, for messages.
            on_failure: Called with an exception such as KeyboardInterrupt, which also stops the event loop.
        """
        self._name = name
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run work in a task of its own."""
        task = asyncio.create_task(self._guarded(work), name=f"aioverseer {self._name} run")
        self._tasks.add(task)
        task.add_done_callback(self._on_end)
        return task

    def cancel(self) -> None:
        """Cancel all tasks. Each run then kills and reaps its program."""
        for task in list(self._tasks):
            task.cancel()

    async def end(self) -> asyncio.CancelledError | None:
        """Wait for the end of all tasks.

        A cancellation during the wait cancels all of them.

        Returns:
            The last cancellation that arrived, for the caller to raise; None without one.
        """
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as error:
                cancelled = error
                self.cancel()
        return cancelled

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001  # a bug of the library must not cancel the other services
            _log.exception("%s: a bug of aioverseer", self._name)
