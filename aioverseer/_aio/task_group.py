"""The tasks of one overseer: those of the runs, and whatever else goes on until it is left.

No group of anyio, which is cancelled as a whole when one of its tasks is, and complains of a coroutine that was never
awaited when that was before its first step. What the work is, and when it is to end, never lives here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["SupervisorTaskGroup"]

_log = logging.getLogger("aioverseer")


class SupervisorTaskGroup:
    """Keeps tasks; what one of them raises ends no other."""

    def __init__(self, name: str, *, on_failure: Callable[[BaseException], None]) -> None:
        """Begin without any.

        Args:
            name: The overseer's, for messages.
            on_failure: Called with a KeyboardInterrupt or the like, which stops the event loop too: everything ends.
        """
        self._name = name
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something in a task of its own."""
        task = asyncio.create_task(self._guarded(work), name=f"aioverseer {self._name} run")
        self._tasks.add(task)
        task.add_done_callback(self._on_end)
        return task

    def cancel(self) -> None:
        """Cancel all of them: each run kills and reaps its program."""
        for task in list(self._tasks):
            task.cancel()

    async def end(self) -> asyncio.CancelledError | None:
        """Wait until none is left; a cancellation in the meantime is theirs too, and is returned for afterwards."""
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
        except Exception:  # noqa: BLE001  # a bug of ours: it must not cancel the other services
            _log.exception("%s: a bug of aioverseer", self._name)
