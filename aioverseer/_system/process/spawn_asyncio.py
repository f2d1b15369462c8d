"""A spawn that takes more than a step: asyncio makes the transport, and its caller may be cancelled meanwhile.

Whatever becomes of the caller, the spawn comes to its end, and no child is left that nobody knows of. How a program is
started in one step lives in ``child_watch.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from aioverseer._aio.shield import settle
from aioverseer._system.process.child import pidfd_of, refuse_what_is_ours, sweep_group
from aioverseer._system.process.exit_status import exit_of, listen, unlisten
from aioverseer.core.state import Exit

__all__ = ["AsyncioExitWatcher", "finish"]

_SPAWN_GRACE = 0.5
"""Seconds for a spawn whose caller was cancelled to come to its end, before it is cancelled itself."""

_Spawned: TypeAlias = "asyncio.subprocess.Process"


async def finish(loop: asyncio.AbstractEventLoop, rest: Callable[[], Awaitable[_Spawned]], id: str) -> _Spawned:
    """Wait for a spawn that takes more than a step."""
    outcome: asyncio.Future[_Spawned] = loop.create_future()
    # A task of its own, because a cancellation inside create_subprocess_exec kills the leader alone, and
    # hangs for ever when every task of the loop is cancelled at once (gh-125502, gh-133536).
    task = _start(loop, outcome, _spawn_for(outcome, rest), f"aioverseer spawn {id}")
    try:
        return await outcome
    except asyncio.CancelledError:
        await _abandon(task)
        raise


def _start(
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[_Spawned],
    work: Coroutine[Any, Any, _Spawned | None],
    name: str,
) -> asyncio.Task[_Spawned | None]:
    """Start a task, and take its first step at once where Python can: that saves a turn of the loop."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, name=name, eager_start=True)
    task = loop.create_task(work, name=name)
    # Cancelled before its first step it could not tell.
    task.add_done_callback(lambda task: outcome.cancel() if task.cancelled() else None)
    return task


async def _spawn_for(outcome: asyncio.Future[_Spawned], rest: Callable[[], Awaitable[_Spawned]]) -> _Spawned | None:
    """Spawn, and tell who waits for it at once: by way of the end of this task it would be a turn of the loop later."""
    try:
        process = await rest()
    except asyncio.CancelledError as error:
        # All tasks of the loop are cancelled, this one too. asyncio has killed the leader; only it knew the pid.
        _end_group_of_cancelled(error)
        outcome.cancel()
        raise
    except Exception as error:  # noqa: BLE001  # it goes to who waits
        if not outcome.done():
            outcome.set_exception(error)
        return None
    if not outcome.done():
        outcome.set_result(process)
    return process


def _end_group_of_cancelled(error: asyncio.CancelledError) -> None:
    """End what a leader has started whose spawn was cancelled in the turn in which it was forked.

    The transport is nowhere to be had but in the frames through which the cancellation came. Where it is not (uvloop),
    or where there was no fork yet, nothing is done.
    """
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if isinstance(value, asyncio.SubprocessTransport):
                with contextlib.suppress(OSError):
                    if value.get_returncode() is None:
                        refuse_what_is_ours(value.get_pid())
                        os.killpg(value.get_pid(), signal.SIGKILL)
                    else:
                        sweep_group(value.get_pid())
                return
        trace = trace.tb_next


async def _abandon(task: asyncio.Task[_Spawned | None]) -> None:
    """Bring a spawn to its end that nobody wants any more, and end what it started."""
    await settle(task, within=_SPAWN_GRACE)
    if not task.done():
        task.cancel()
        await settle(task, within=_SPAWN_GRACE)
    if not task.done() or task.cancelled() or task.exception() is not None:
        return
    process = task.result()
    if process is None:  # it could not be started
        return
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await settle(asyncio.ensure_future(process.wait()), within=_SPAWN_GRACE)


class AsyncioExitWatcher:
    """The same where asyncio alone watches the child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._exit: Exit | None = None
        self.pid = process.pid
        self.pidfd: int | None = None
        listen(self)

    @property
    def exit(self) -> Exit | None:
        """How it has ended, once asyncio has told."""
        if self._exit is None and self._process.returncode is not None:
            self._exit = exit_of(self._process.returncode, self.pid, self.pidfd)
        return self._exit

    async def wait(self) -> Exit:
        """Wait until it has ended. Safe to cancel."""
        returncode = await self._process.wait()
        return self.exit or Exit.from_returncode(returncode)

    def handle(self) -> int | None:
        """Return a pidfd, made for the first signal; None where the system has none.

        Raises:
            ProcessLookupError: When the child has been reaped: asyncio is about to tell.
        """
        if self.pidfd is None:
            self.pidfd = pidfd_of(self.pid)
        return self.pidfd

    def release(self) -> None:
        """Let go of the pidfd. Idempotent."""
        unlisten(self)
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
