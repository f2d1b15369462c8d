"""MainProcess: a process of a program that is not the one which was spawned, watched and signalled by its pidfd."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal

from aioverseer._aio.timers import resolve
from aioverseer._system.containment import procfs
from aioverseer._system.process.exit_status import kept_exit, tells_exits
from aioverseer.core.options.main_pid import LOST_EXIT
from aioverseer.core.state import Exit

__all__ = ["MainProcess"]

_REAP_TIMEOUT = 0.5
"""Seconds for the parent of an ended process to reap it."""


class MainProcess:
    """The process, from when the program names it until ``close``.

    Attributes:
        pid: Process id, as this host knows it.
    """

    def __init__(self, pid: int) -> None:
        """Open a pidfd.

        Raises:
            ProcessLookupError: If there is no such process.
            OSError: If no pidfd can be had.
        """
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    async def wait(self) -> Exit:
        """Wait for the end. Safe to cancel.

        Returns:
            The exit, with neither code nor signal where the kernel does not tell it.
        """
        if not self.has_ended:
            await _readable(self._pidfd)
        if (exit := self._known_exit()) is not None:
            return exit
        # Its parent may have reaped it before that look, and then Linux 6.15 tells the exit by the pidfd. The end of a
        # wait for that is a hang-up, which epoll always reports.
        if tells_exits(self._pidfd):
            with select.epoll() as reaped:
                reaped.register(self._pidfd, 0)
                await _readable(reaped.fileno(), within=_REAP_TIMEOUT)
        return self._known_exit() or Exit(cause=LOST_EXIT)

    def _known_exit(self) -> Exit | None:
        """Return the exit of the ended process: that of a zombie, or one that the kernel remembers for its pidfd."""
        status = procfs.zombie_status_of(self.pid)
        if status is not None:
            try:
                # A reaped process cannot be signalled, and then the zombie is another one of the same pid.
                signal.pidfd_send_signal(self._pidfd, 0)
            except OSError:
                status = None
        if status is None:
            return kept_exit(self._pidfd)
        return Exit.from_returncode(os.waitstatus_to_exitcode(status))

    def signal(self, number: int) -> None:
        """Send a signal to the process alone.

        Raises:
            ProcessLookupError: If it has ended.
            PermissionError: If the system refuses.
        """
        if self._pidfd < 0:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        signal.pidfd_send_signal(self._pidfd, number)

    @property
    def group(self) -> int:
        """The number of its process group; 0 when the process is gone."""
        try:
            return os.getpgid(self.pid)
        except ProcessLookupError:
            return 0

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and to its group.

        Raises:
            ProcessLookupError: If it has ended.
            PermissionError: If the system refuses.
        """
        group = self.group
        # The number of its group cannot be reused while the process is a member, and its pidfd tells that it lives.
        if self.has_ended or group <= 1 or group == os.getpgrp():
            self.signal(number)
        else:
            os.killpg(group, number)

    def close(self) -> None:
        """Close the pidfd. Idempotent."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


async def _readable(descriptor: int, *, within: float | None = None) -> None:
    """Wait until a descriptor is readable, or the seconds are over."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    timer = None if within is None else loop.call_later(within, resolve, done)
    # A copy, as the descriptor itself may be closed, and its number used again, before this task goes on.
    copy = os.dup(descriptor)
    try:
        loop.add_reader(copy, resolve, done)
        await done
    finally:
        loop.remove_reader(copy)
        os.close(copy)
        if timer is not None:
            timer.cancel()
