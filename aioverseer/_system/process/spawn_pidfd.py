"""The spawner for asyncio's own event loops on Linux: a spawn in one step, and one pidfd for exit and signals.

asyncio itself needs a thread for each child on Python 3.11. From 3.12 on it needs a second pidfd, a task, and two calls
on its wake-up pipe.
"""

from __future__ import annotations

import asyncio
import functools
import os

from aioverseer._aio.poller import ReaderWatch
from aioverseer._aio.timers import resolve
from aioverseer._system.process.cpython import call_in_one_step, can_answer_for, end_unwatched, start_program
from aioverseer._system.process.exit_status import kept_exit
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.spawn import SpawnRequest
from aioverseer.core.state import Exit

__all__ = ["PidfdChild", "PidfdSpawner"]


class PidfdSpawner:
    """The call of ``create_subprocess_exec``, answered without waiting."""

    name = "pidfd"

    def suits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether the loop is one of asyncio's own, and the system has pidfds."""
        return can_answer_for(loop) and _has_pidfds()

    async def spawn(self, request: SpawnRequest, resources: LoopResources) -> PidfdChild:
        """Start the program; see ``Spawner``. The caller is never suspended."""
        child = PidfdChild(resources.readers)
        try:
            call_in_one_step(request.call_asyncio, lambda _words, _options: child.start(request))
        except BaseException:
            child.release()
            raise
        return child


class PidfdChild:
    """A child, and the pidfd that becomes readable at its exit.

    Attributes:
        pid: The process id; 0 before ``start``.
        pidfd: The pidfd; None after ``release``.
        exit: The exit, as soon as the child has been reaped.
    """

    __slots__ = ("_owned", "_readers", "_waiting", "exit", "pid", "pidfd")

    def __init__(self, readers: ReaderWatch) -> None:
        """Create the child without a process. ``release`` must follow.

        Args:
            readers: Watch that calls back when the pidfd becomes readable.
        """
        self._readers = readers
        self._owned = True
        self._waiting: list[asyncio.Future[None]] = []
        self.pid = 0
        self.pidfd: int | None = None
        self.exit: Exit | None = None

    def start(self, request: SpawnRequest) -> int:
        """Start the program, watch it, and return its process id.

        Raises:
            OSError: If the program cannot be started.
        """
        pid = start_program(request)
        self.pid = pid
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            # It has run and ended, and other code in this host has reaped it already. Nobody knows its status.
            self.exit = Exit()
            return pid
        except OSError:
            # Another thread may have taken the descriptors that the spawn has just closed, and none are left.
            end_unwatched(pid)
            raise
        self._readers.add_reader(self.pidfd, self._on_readable)
        return pid

    def release(self) -> None:
        """Close the pidfd, or have it closed when the child exits: it must still be reaped. Idempotent."""
        self._owned = False
        if self.exit is not None and self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    async def wait(self) -> Exit:
        """Wait for the exit. Safe to cancel."""
        while self.exit is None:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended
        return self.exit

    def handle(self) -> int | None:
        """Return the pidfd."""
        return self.pidfd

    def _on_readable(self) -> None:
        pidfd = self.pidfd
        if pidfd is None:
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # other code in this host has reaped the child
            self.exit = kept_exit(pidfd) or Exit()
        else:
            if pid == 0:  # it lives: the event was for the previous owner of this descriptor number
                return
            self.exit = Exit.from_returncode(os.waitstatus_to_exitcode(status))
        self._readers.remove_reader(pidfd)
        if not self._owned:
            self.release()
        for ended in self._waiting:
            resolve(ended)
        self._waiting.clear()


@functools.cache
def _has_pidfds() -> bool:
    """Return whether the system has pidfds and allows them. A container may forbid them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True
