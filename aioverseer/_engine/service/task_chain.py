"""TaskChain: runs the tasks of runs that follow each other in one task of asyncio."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from aioverseer._engine.process.runner import ProcessRunner

__all__ = ["TaskChain"]

_Work = Callable[[], Coroutine[Any, Any, None]]


class TaskChain:
    """The task of the current run of a service, in which its next run begins.

    A restart then happens in the loop iteration in which the last run ended. A run that lives beside another one has a
    chain of its own.
    """

    __slots__ = ("_due", "_has_task", "_run_ref", "_start_task")

    def __init__(self, start_task: Callable[[_Work], asyncio.Task[None]]) -> None:
        """Begin without a task.

        Args:
            start_task: Function that runs a coroutine until the overseer is left.
        """
        self._start_task = start_task
        # Weak, as the run refers to its chain: an ended run must not wait for the garbage collector.
        self._run_ref: weakref.ref[ProcessRunner] | None = None
        self._due: deque[_Work] = deque()
        self._has_task = False

    def follow(self, run: ProcessRunner) -> None:
        """Set the run whose work comes next."""
        self._run_ref = weakref.ref(run)

    def start(self, work: _Work) -> None:
        """Run the work of the next run, after that of the last one."""
        self._due.append(work)
        if not self._has_task:
            self._has_task = True
            self._start_task(self._run).add_done_callback(self._on_task_end)

    async def _run(self) -> None:
        try:
            while self._due:
                await self._due.popleft()()
        finally:
            self._has_task = False

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and self._due:
            # All tasks of the loop were cancelled, this one before its first step. No other code can report the end.
            self._due.clear()
            self._has_task = False
            run = None if self._run_ref is None else self._run_ref()
            if run is not None:
                run.end_unbegun()
