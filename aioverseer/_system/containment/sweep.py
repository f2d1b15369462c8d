"""The sweep: find what ended runs have left behind, kill it, and wait until it is gone, within a bound.

A process is ours when it bears the marker of this host, or lives in the session of a run whose leader is gone. It is
looked at again once a pidfd holds on to it, so a number that was given to somebody else meanwhile is never hit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aioverseer._aio.timers import resolve
from aioverseer._system.containment import procfs
from aioverseer.core.options.containment import Survivor

__all__ = ["Sweeper"]

_SLICE = 32
"""Processes that are looked at in one turn of the event loop, about 0.3 ms: less than a spawn."""

_EXEC = 0.05
"""Seconds for which one in the middle of an exec is looked at again: it takes some hundred microseconds."""

_BOUND = 1.0
"""Seconds that a sweep may take: for one that forks faster than it is found, or that cannot die."""


@dataclass(slots=True)
class _Stray:
    pid: int
    pidfd: int | None


class Sweeper:
    """Sweeps for whoever asks."""

    def __init__(self, judge: Callable[[int], bool | None]) -> None:
        """Make a sweeper that has nothing to do.

        Args:
            judge: Whether the process of this number is to be killed; None while that cannot be told. Asked twice for
                each, the second time with a hold on it.
        """
        self._judge = judge

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill all strays and wait for their ends, for a second at most; return those that are still there.

        Safe to cancel: what was found by then has been killed, and the rest is left to another sweep.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _BOUND
        found: list[_Stray] = []
        while True:
            fresh: list[_Stray] = []
            unclear: list[int] = []
            try:
                judged: set[int] = set()
                # Again until there is no new one: who has ended before it was looked at may have started another.
                while (new := [pid for pid in procfs.pids() if pid not in judged]) and loop.time() < deadline:
                    judged.update(new)
                    for held in _held(new, self._judge, unclear):
                        if held is None:
                            await asyncio.sleep(0)
                        else:
                            fresh.append(held)
                            _kill(held)
                # The kernel tells of the end of an exec to nobody.
                patience = loop.time() + _EXEC
                while unclear and loop.time() < patience:
                    await asyncio.sleep(0)
                    again, unclear = unclear, []
                    for held in _held(again, self._judge, unclear):
                        if held is not None:
                            fresh.append(held)
                            _kill(held)
                for stray in fresh:
                    await _gone(stray, deadline)
            finally:
                for stray in fresh:
                    if stray.pidfd is not None:
                        os.close(stray.pidfd)
            found = fresh
            # A pass that finds nobody is the only proof: whom it killed may have forked before.
            if not found or loop.time() >= deadline:
                break
        return tuple(
            Survivor(pid=stray.pid, command=procfs.command_of(stray.pid)) for stray in found if self._judge(stray.pid)
        )


def _held(pids: list[int], judge: Callable[[int], bool | None], unclear: list[int]) -> Iterator[_Stray | None]:
    """Yield each stray with a hold on it, and None where others may have their turn; note those that are unclear."""
    for place, pid in enumerate(pids):
        if place % _SLICE == _SLICE - 1:
            yield None
        if not (verdict := judge(pid)):
            if verdict is None:
                unclear.append(pid)
            continue
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        except (OSError, AttributeError):  # forbidden in this container, or no such call
            if judge(pid):
                yield _Stray(pid, None)
            continue
        # Between the look and the hold its number could have been given away.
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
            # Gone meanwhile, or of another user: then it is reported as a survivor.
            return
        except (OSError, AttributeError):
            # No such call in this system. It has just been looked at, and that is all that can be had then.
            pass
        else:
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(stray.pid, signal.SIGKILL)


async def _gone(stray: _Stray, deadline: float) -> None:
    """Wait for the end of one that was killed: the kernel makes its pidfd readable."""
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
