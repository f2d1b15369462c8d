"""The spawner for any event loop: ``asyncio.create_subprocess_exec`` and nothing else.

It is the reference for the other spawner, and the fallback where that one cannot work.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

from aioverseer._aio.shield import settle
from aioverseer._system.containment.mark_window import MarkWindow
from aioverseer._system.process.child import pidfd_of, require_unreaped
from aioverseer._system.process.exit_status import exit_of
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.spawn import SpawnRequest
from aioverseer.core.state import Exit

__all__ = ["AsyncioExitWatcher", "AsyncioSpawner"]

T = TypeVar("T")

_SPAWN_GRACE = 0.5
"""Seconds that a spawn whose caller was cancelled has for each step of its roll-back."""


class AsyncioSpawner:
    """The call of ``create_subprocess_exec`` in a task of its own."""

    name = "asyncio"

    def suits(self, loop: asyncio.AbstractEventLoop) -> bool:  # noqa: ARG002  # the protocol passes it
        """Return True: it works on every event loop."""
        return True

    async def spawn(self, request: SpawnRequest, resources: LoopResources) -> AsyncioExitWatcher:
        """Start the program; see ``Spawner``.

        A cancellation inside ``create_subprocess_exec`` kills the leader alone, and may hang for ever when all tasks of
        the loop are cancelled at once (gh-125502, gh-133536). So the call has its own task, which a cancellation of the
        caller does not reach, and every step of the roll-back has a time limit.

        When all tasks of the loop are cancelled, this task is cancelled too. asyncio then kills the leader and does
        not report its process id, so the caller must look for the rest of the group.
        """
        window = MarkWindow(request.mark)
        call = _FirstStep(request.call_asyncio(), window)
        task = resources.loop.create_task(call, name=f"aioverseer spawn {request.name}")
        child = 0
        try:
            watcher = AsyncioExitWatcher(await asyncio.shield(task))
            child = watcher.pid
        except asyncio.CancelledError:
            await _roll_back(task)
            raise
        finally:
            window.clear_others(child)
        return watcher


class _FirstStep(Coroutine[Any, Any, T]):
    """A coroutine whose first step happens inside a window.

    Every event loop forks in the first step of ``create_subprocess_exec``; the call then waits for the watcher or the
    transport.
    """

    def __init__(self, inner: Coroutine[Any, Any, T], window: MarkWindow) -> None:
        self._inner = inner
        self._window: MarkWindow | None = window

    def send(self, value: Any) -> Any:  # the protocol of coroutines
        window, self._window = self._window, None
        if window is None:
            return self._inner.send(value)
        return window.call(functools.partial(self._inner.send, value))

    def throw(self, *error: Any) -> Any:  # the protocol of coroutines
        return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, T]:
        # Not the steps of the inner coroutine: a task factory of the host may await this one in a coroutine of its own.
        return cast("Generator[Any, Any, T]", self)

    def __next__(self) -> Any:  # the protocol of iterators, by which ``await`` makes its steps
        return self.send(None)


async def _roll_back(task: asyncio.Task[asyncio.subprocess.Process]) -> None:
    """Wait for the end of a spawn that is not wanted any more, and kill the group that it has started."""
    await settle(task, within=_SPAWN_GRACE)
    if not task.done():
        task.cancel()
        await settle(task, within=_SPAWN_GRACE)
    if not task.done() or task.cancelled() or task.exception() is not None:
        return
    process = task.result()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            require_unreaped(os.P_PID, process.pid)
            os.killpg(process.pid, signal.SIGKILL)
    await settle(asyncio.ensure_future(process.wait()), within=_SPAWN_GRACE)


class AsyncioExitWatcher:
    """The exit of a child that asyncio watches."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Create it for a child.

        Args:
            process: The child.
        """
        self._process = process
        self._exit: Exit | None = None
        self.pid = process.pid
        # Opened at once, as its memory of the exit is needed where other code in the host reaps the child.
        self.pidfd: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self.pidfd = pidfd_of(process.pid)

    @property
    def exit(self) -> Exit | None:
        """The exit, once asyncio knows it; None before."""
        if self._exit is None and self._process.returncode is not None:
            self._exit = exit_of(self._process.returncode, self.pidfd)
        return self._exit

    async def wait(self) -> Exit:
        """Wait for the exit. Safe to cancel."""
        returncode = await self._process.wait()
        return self.exit or Exit.from_returncode(returncode)

    def handle(self) -> int | None:
        """Return the pidfd; None where the system has none.

        Raises:
            ProcessLookupError: If the child has been reaped, although ``exit`` is not known yet.
        """
        if self.pidfd is None:
            self.pidfd = pidfd_of(self.pid)
        return self.pidfd

    def release(self) -> None:
        """Close the pidfd. Idempotent."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
