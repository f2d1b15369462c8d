"""A signal for the processes of a run that are outside of its leader's group, while the leader lives.

They are found by a search, so the signal is planned for a later moment. Most leaders end before it, and cost no search.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from aioverseer._system.containment.leftovers import open_pidfd, signal_process

__all__ = ["OutsideSignal"]


class OutsideSignal:
    """The signal that is planned for the processes of one run.

    Attributes:
        reached: The signal that processes have got since the last plan.
    """

    def __init__(self, leader: int, *, find: Callable[[], Awaitable[list[int]]], owns: Callable[[int], bool]) -> None:
        """Plan nothing yet.

        Args:
            leader: Process id of the leader, which is the number of its group and of its session.
            find: Function that returns the live processes of the run.
            owns: Function that returns whether a pid belongs to the run. It is called with a pidfd open, as the pid may
                have been reused since the search.
        """
        self.reached: dict[int, int] = {}
        self._leader = leader
        self._find = find
        self._owns = owns
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def plan(self, number: int, *, soon: float, late: float) -> None:
        """Plan a signal in place of the one before; see ``protocols.Child.signal_outside``."""
        self.cancel()
        self.reached.clear()  # a ladder may have the same signal twice
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._task = loop.create_task(self._send(number, late - soon), name=f"aioverseer outside of {self._leader}")

        self._timer = loop.call_later(soon, begin)

    def cancel(self) -> None:
        """Cancel what is planned. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._timer = self._task = None

    async def _send(self, number: int, rest: float) -> None:
        """Send a signal to other groups of the session, and after the rest of the time to other sessions."""
        await self._reach(number, everywhere=False)
        await asyncio.sleep(rest)
        await self._reach(number, everywhere=True)

    async def _reach(self, number: int, *, everywhere: bool) -> None:
        try:
            found = await self._find()
        except OSError:  # no descriptors are left to read /proc
            return
        for pid in found:
            if self.reached.get(pid) == number:
                continue
            pidfd = open_pidfd(pid)
            try:
                if self._is_meant(pid, everywhere=everywhere):
                    self.reached[pid] = number
                    signal_process(pid, pidfd, number)
                    signal_process(pid, pidfd, signal.SIGCONT)  # a suspended process acts on no other signal
            finally:
                if pidfd is not None:
                    os.close(pidfd)

    def _is_meant(self, pid: int, *, everywhere: bool) -> bool:
        try:
            is_outside = os.getpgid(pid) != self._leader and (everywhere or os.getsid(pid) == self._leader)
        except OSError:  # it has just ended
            return False
        return is_outside and self._owns(pid)
