"""A child of this host: signals to it, its end, and what is let go of then.

Signals never go through ``Process.send_signal``, which on 3.12 can turn the true exit status into 255 (gh-87744).
Nothing in here starts a program, or decides when it is to end.
"""

from __future__ import annotations

import errno
import os
import signal

from aioverseer._system.containment.scope import RunScope
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.pipes import ReadPipe, WritePipe
from aioverseer._system.process.spawn import ExitWatcher
from aioverseer.core.options.containment import Survivor
from aioverseer.core.state import Exit

__all__ = ["SystemChild", "pidfd_of", "refuse_what_is_ours", "sweep_group"]

_PIDFD_SIGNAL_PROCESS_GROUP = 4  # Linux 6.9: to every member of the group that this pid leads


class SystemChild:
    """A real child; see ``seam.Child``."""

    def __init__(
        self,
        end: ExitWatcher,
        commons: LoopResources,
        *,
        cage: RunScope,
        stdin: WritePipe | None,
        stdout: ReadPipe | None,
        stderr: ReadPipe | None,
    ) -> None:
        self._end = end
        self._commons: LoopResources | None = commons  # held for it
        self._cage = cage
        self.pid = end.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the group, or to the leader alone; see ``seam.Child``."""
        if self._end.exit is not None:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        shim = self._cage.shim
        if shim is not None and shim.relay(number, leader_only=leader_only):
            # One that was stopped could not do it.
            number, leader_only = signal.SIGCONT, True
        if number == signal.SIGKILL and not leader_only:
            # Beside the signal to the group: it may not have entered yet.
            self._cage.kill()
        pidfd = self._end.handle()
        if pidfd is None or not self._signal_by_pidfd(pidfd, number, leader_only=leader_only):
            self._signal_by_number(number, leader_only=leader_only)

    async def wait(self) -> Exit:
        """Wait for the end of the leader; see ``seam.Child``."""
        return await self._cage.ended(await self._end.wait())

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the size of its terminal; see ``seam.Child``."""
        from aioverseer._system.process.terminal import set_size  # noqa: PLC0415  # as below

        if self.stdout is not None and (descriptor := self.stdout.fileno()) >= 0:
            set_size(descriptor, window_size)

    def sweep(self) -> None:
        """Kill what is left in the group; see ``seam.Child``."""
        pidfd = self._end.pidfd
        try:
            if pidfd is None or not self._signal_by_pidfd(pidfd, signal.SIGKILL, leader_only=False):
                sweep_group(self.pid)
        except OSError:  # mostly: nothing is left
            return

    def left_nothing(self) -> bool:
        """Return whether neither ``sweep`` nor ``sweep_all`` could find anything; see ``seam.Child``."""
        return self._cage.left_nothing()

    def may_have_left(self) -> bool:
        """Return whether ``sweep_all`` could find anything; see ``seam.Child``."""
        return self._cage.may_have_left()

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill what has left the group too; see ``seam.Child``."""
        return await self._cage.sweep()

    def left(self) -> tuple[Survivor, ...]:
        """Return what it has left behind; see ``seam.Child``."""
        return self._cage.left()

    def close(self) -> None:
        """Let go of every descriptor; see ``seam.Child``."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self._end.release()
        if self._commons is not None:
            self._commons.release()
            self._commons = None

    def _signal_by_pidfd(self, pidfd: int, number: int, *, leader_only: bool) -> bool:
        """Send it and return True, or return False where this kernel cannot."""
        flags = 0 if leader_only else _PIDFD_SIGNAL_PROCESS_GROUP
        try:
            signal.pidfd_send_signal(pidfd, number, None, flags)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # before Linux 6.9, or before 5.1
                raise
            if error.errno == errno.EINVAL and self._end.exit is None:
                # A thread of asyncio reaps before it tells: raise now if the number is the child's no more.
                signal.pidfd_send_signal(pidfd, 0)
            return False
        return True

    def _signal_by_number(self, number: int, *, leader_only: bool) -> None:
        # The number is still the child's, or the kernel would say that we have no such child.
        refuse_what_is_ours(self.pid)
        _ask_whether_ours(os.P_PID, self.pid)
        if leader_only:
            os.kill(self.pid, number)
        else:
            os.killpg(self.pid, number)


def sweep_group(pid: int) -> None:
    """Kill what a leader that has ended has left in its group.

    Raises:
        OSError: Mostly: there is nothing.
    """
    # Its number is given to nobody else while its group has a member (POSIX), so a group of this number without a
    # leader is what ours has left, and one with a leader is somebody else's. Both are asked without a signal; mostly
    # there is no such group.
    os.getpriority(os.PRIO_PGRP, pid)
    refuse_what_is_ours(pid)
    try:
        os.getsid(pid)
    except ProcessLookupError:
        os.killpg(pid, signal.SIGKILL)


def refuse_what_is_ours(pid: int) -> None:
    """Make sure that a number is that of a child.

    Raises:
        ProcessLookupError: When it is not.
    """
    # 0 and 1 and our own group can only come from a bug, and would be a disaster: look once more.
    if pid <= 1 or pid in (os.getpid(), os.getpgrp()):
        raise ProcessLookupError(errno.ESRCH, f"{pid} is no child of this host")


def pidfd_of(pid: int) -> int | None:
    """Open a pidfd for a child that has not been reaped; None where the system has none.

    Raises:
        ProcessLookupError: When it has been reaped: asyncio is about to tell.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (OSError, AttributeError):
        return None  # not Linux, or forbidden in this container, or no descriptor is left
    try:
        # Before it was opened the number could have been given away.
        _ask_whether_ours(os.P_PIDFD, pidfd)
    except ProcessLookupError:
        os.close(pidfd)
        raise
    return pidfd


def _ask_whether_ours(kind: int, number: int) -> None:
    """Ask the kernel whether that is a child of this host which nobody has reaped; that changes nothing.

    Raises:
        ProcessLookupError: When it is not.
    """
    try:
        os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        raise ProcessLookupError(errno.ESRCH, f"process {number} has ended") from None
