"""One sweep: find the strays, kill them, and wait a second at most until they are gone.

Each process is judged again while a pidfd refers to it, so a process that got a reused pid is never killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from aioverseer._aio.timers import resolve
from aioverseer._system.containment import procfs
from aioverseer.core.options.containment import Survivor

__all__ = ["Sweeper"]

_PER_ITERATION = 32
"""Processes judged in one iteration of the event loop, about 0.3 ms: less than a spawn."""

_EXEC = 0.05
"""Seconds for which a process in the middle of an exec is judged again. An exec takes some hundred microseconds."""

_SWEEP_TIMEOUT = 1.0
"""Seconds for a sweep. It needs them only if a process forks faster than it is found, or cannot die."""


class _Stray:
    __slots__ = ("pid", "pidfd")

    def __init__(self, pid: int, pidfd: int | None) -> None:
        self.pid = pid
        self.pidfd = pidfd


class Sweeper:
    """Kills the processes that a judge condemns."""

    def __init__(self, judge: Callable[[int], bool | None]) -> None:
        """Create a sweeper that has not started.

        Args:
            judge: Function that returns whether the process with a pid must be killed; None while unknown. It is called
                twice for each process, the second time while a pidfd refers to it.
        """
        self._judge = judge

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill all strays and wait a second at most for their ends; return the survivors.

        Safe to cancel: the strays found by then are killed, and the next sweep finds the others.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SWEEP_TIMEOUT
        found: list[_Stray] = []
        while True:
            fresh: list[_Stray] = []
            unclear: list[int] = []
            try:
                judged: set[int] = set()
                # Repeat until no pid is new: a process may start another one and end before it is judged.
                while (new := [pid for pid in procfs.pids() if pid not in judged]) and loop.time() < deadline:
                    judged.update(new)
                    for stray in _strays(new, self._judge, unclear):
                        if stray is None:
                            await asyncio.sleep(0)
                        else:
                            fresh.append(stray)
                            _kill(stray)
                # Polled, because the kernel does not report the end of an exec.
                exec_deadline = loop.time() + _EXEC
                while unclear and loop.time() < exec_deadline:
                    await asyncio.sleep(0)
                    again, unclear = unclear, []
                    for stray in _strays(again, self._judge, unclear):
                        if stray is not None:
                            fresh.append(stray)
                            _kill(stray)
                for stray in fresh:
                    await _gone(stray, deadline)
            finally:
                for stray in fresh:
                    if stray.pidfd is not None:
                        os.close(stray.pidfd)
            found = fresh
            # Only a pass that finds no stray proves that none is left: a killed process may have forked before.
            if not found or loop.time() >= deadline:
                break
        return tuple(
            Survivor(pid=stray.pid, command=procfs.command_of(stray.pid)) for stray in found if self._judge(stray.pid)
        )


def _strays(pids: list[int], judge: Callable[[int], bool | None], unclear: list[int]) -> Iterator[_Stray | None]:
    """Yield strays with their pidfds, and None where the event loop should run others; collect unclear processes."""
    for place, pid in enumerate(pids):
        if place % _PER_ITERATION == _PER_ITERATION - 1:
            yield None
        if not (verdict := judge(pid)):
            if verdict is None:
                unclear.append(pid)
            continue
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        except (OSError, AttributeError):  # forbidden in this container, or not Linux
            if judge(pid):
                yield _Stray(pid, None)
            continue
        # The pid could have been reused between the first verdict and the pidfd.
        if verdict := judge(pid):
            yield _Stray(pid, pidfd)
            continue
        os.close(pidfd)
        if verdict is None:
            unclear.append(pid)


def _kill(stray: _Stray) -> None:
    if stray.pidfd is not None:
        try:
            signal.pidfd_send_signal(stray.pidfd, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Already gone, or a process of another user, which is then reported as a survivor.
            return
        except (OSError, AttributeError):
            # This system cannot signal by pidfd. It was judged a moment ago, which is as certain as it gets.
            pass
        else:
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(stray.pid, signal.SIGKILL)


async def _gone(stray: _Stray, deadline: float) -> None:
    """Wait for the end of a killed process: the kernel then makes its pidfd readable."""
    if stray.pidfd is None:
        return
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    loop.add_reader(stray.pidfd, resolve, gone)
    timer = loop.call_at(deadline, resolve, gone)
    try:
        await gone
    finally:
        timer.cancel()
        loop.remove_reader(stray.pidfd)
