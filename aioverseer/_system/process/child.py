"""A child of this host: signals, exit, leftovers, and the descriptors that are closed at the end.

Signals never go through ``Process.send_signal`` of asyncio, which on Python 3.12 can turn the true exit status into 255
(gh-87744).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Mapping

from aioverseer._aio.fork import generation
from aioverseer._aio.timers import resolve
from aioverseer._system.containment import procfs
from aioverseer._system.containment.leftovers import FoundLeftovers, ShimLeftovers, below_shim, is_below
from aioverseer._system.containment.outside import OutsideSignal
from aioverseer._system.containment.scope import RunScope
from aioverseer._system.containment.shim.client import Shim
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.main_process import MainProcess
from aioverseer._system.process.pipes import ReadPipe, WritePipe
from aioverseer._system.process.spawn import ExitWatcher
from aioverseer._system.process.terminal import set_size
from aioverseer._system.protocols import Leftovers
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.main_pid import LOST_EXIT
from aioverseer.core.state import Exit

__all__ = ["SystemChild", "pidfd_of", "require_foreign", "require_unreaped", "signal_leaderless"]

_LOST = Exit(cause=LOST_EXIT)

_SHIM_TIMEOUT = 0.5
"""Seconds for a shim to report the end of its command, after that of the main process."""

_PIDFD_SIGNAL_PROCESS_GROUP = 4
"""Flag of pidfd_send_signal(2), since Linux 6.9: signal every member of the group that the process leads."""


class SystemChild:
    """A real child; see ``protocols.Child``."""

    def __init__(
        self,
        watcher: ExitWatcher,
        resources: LoopResources,
        *,
        scope: RunScope,
        stdin: WritePipe | None,
        stdout: ReadPipe | None,
        stderr: ReadPipe | None,
        may_change: bool = False,
    ) -> None:
        """Create it for a child that has been started.

        Args:
            watcher: The exit of the child, and its pidfd.
            resources: The resources of the event loop, which were held for this child. ``close`` releases them.
            scope: The containment of the run.
            stdin: The pipe to its standard input; None without one.
            stdout: The pipe from its standard output; None without one.
            stderr: The pipe from its standard error; None without one.
            may_change: Whether the program may name another main process.
        """
        self._watcher = watcher
        self._resources: LoopResources | None = resources
        self._scope = scope
        self._generation = generation()
        self._group_is_empty = False
        self._below_shim: tuple[Exit, tuple[int, ...]] | None = None
        """Exit of the command and pids of what it has left, once its shim has reported them."""
        self.pid = watcher.pid
        self._main: MainProcess | None = None
        """The main process, where the program has named another one than the one that was spawned."""
        self._leader_end: asyncio.Future[Exit] | None = None
        """The wait for the end of the spawned process, if the program may name another one as its main process."""
        self._may_change = may_change
        self._changed: asyncio.Future[None] | None = None
        """Resolved when the main process changes during the wait for its end."""
        self._outside: OutsideSignal | None = None
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Send a signal to the group, or to the leader alone; see ``protocols.Child``."""
        if self._main is not None:
            self._signal_main(self._main, number, leader_only=leader_only)
            return
        self._signal_leader(number, leader_only=leader_only)

    def _signal_main(self, main: MainProcess, number: int, *, leader_only: bool) -> None:
        """Send a signal to the main process, and to its group and that of the spawned process unless ``leader_only``.

        Raises:
            ProcessLookupError: If the main process has ended.
            PermissionError: If the system refuses.
        """
        if self._is_of_parent or main.has_ended:
            raise ProcessLookupError(errno.ESRCH, f"process {main.pid} has ended")
        if leader_only:
            main.signal(number)
            return
        is_member = main.group == self._watcher.pid
        if not is_member:
            main.signal_group(number)
        try:
            self._signal_leader(number, leader_only=False)
        except ProcessLookupError:
            # The spawned process has ended. The rest of its group gets the signal; the main process is rarely in it.
            if number == signal.SIGKILL:
                self._scope.kill()
            if number == signal.SIGKILL and self._below_shim is not None and self._scope.shim is not None:
                self._scope.shim.signal_leftovers(number, missed=False)
            elif not self._signal_rest(number) and is_member:
                main.signal(number)

    def _signal_leader(self, number: int, *, leader_only: bool) -> None:
        if self._watcher.exit is not None or self._below_shim is not None or self._is_of_parent:
            raise ProcessLookupError(errno.ESRCH, f"process {self.pid} has ended")
        shim = self._scope.shim
        if shim is not None and shim.relay(number, leader_only=leader_only):
            # A shim stopped by SIGSTOP cannot relay the signal, so continue it first.
            number, leader_only = signal.SIGCONT, True
        if number == signal.SIGKILL and not leader_only:
            # In addition to the signal to the group: the child may not have entered its cgroup yet.
            self._scope.kill()
        pidfd = self._watcher.handle()
        if pidfd is None or not self._signal_by_pidfd(pidfd, number, leader_only=leader_only):
            self._signal_by_number(number, leader_only=leader_only)

    def signal_outside(self, number: int, *, soon: float, late: float) -> None:
        """Plan a signal to processes outside of the group; see ``protocols.Child``."""
        if not procfs.HAS_PROC or self._is_of_parent:
            return
        ended = self._watcher.exit is not None or self._below_shim is not None
        if ended if self._main is None else self._main.has_ended:
            return  # its leftovers are being found, and get the signal then
        if self._outside is None:
            group = self.pid if self._main is None else self._main.group
            self._outside = OutsideSignal(group, find=self._scope.live_processes, owns=self._is_outside)
        self._outside.plan(number, soon=soon, late=late)

    def _is_outside(self, pid: int) -> bool:
        """Return whether a process belongs to the run, and is in no group that has got the signal."""
        if self._main is not None:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) == self._watcher.pid:
                    return False
        return self._scope.owns(pid)

    @property
    def _reached(self) -> Mapping[int, int]:
        """The signal of the present step, for each process outside of the group that got it while the leader lived."""
        return {} if self._outside is None else self._outside.reached

    async def wait(self) -> Exit:
        """Wait for the exit of the leader; see ``protocols.Child``."""
        if self._is_of_parent:
            return Exit()
        exit = await (self._wait_for_spawned() if not self._may_change else self._wait_for_main())
        if self._outside is not None:
            self._outside.cancel()
        return await self._scope.ended(exit)

    async def _wait_for_spawned(self) -> Exit:
        shim = self._scope.shim
        return await (self._watcher.wait() if shim is None else self._wait_for_command(shim))

    async def _wait_for_main(self) -> Exit:
        """Wait for the exit of the main process, whichever that is by then."""
        if self._leader_end is None:
            self._leader_end = asyncio.ensure_future(self._wait_for_spawned())
            self._leader_end.add_done_callback(self._on_leader_end)
        while True:
            main = self._main
            ended = self._leader_end if main is None else asyncio.ensure_future(main.wait())
            self._changed = changed = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait({ended, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if main is not None and not ended.done():
                    ended.cancel()
            if main is not self._main:
                if main is not None:
                    main.close()
            elif main is None or (exit := ended.result()) != _LOST or self._scope.shim is None:
                return ended.result()
            else:
                # The shim tells how its command has ended, which is the main process mostly.
                await asyncio.wait({self._leader_end}, timeout=_SHIM_TIMEOUT)
                return self._leader_end.result() if self._leader_end.done() else exit

    def owns(self, pid: int) -> bool:
        """Return whether a process belongs to the program; see ``protocols.Child``."""
        if self._is_of_parent:
            return False
        below = self._scope.shim is not None and is_below(pid, self._watcher.pid)
        return below or self._scope.is_own(pid)

    def take_main(self, pid: int) -> int:
        """Make another process the main one; see ``protocols.Child``."""
        if self._is_of_parent:
            raise ProcessLookupError(errno.ESRCH, f"process {pid} is that of another host")
        pid = self._seen_from_here(pid)
        if pid == self.pid:
            return pid
        main: MainProcess | None = None
        if pid != self._watcher.pid or self._watcher.exit is not None:
            main = MainProcess(pid)
            try:
                # With the pidfd open, as the pid may have been reused.
                if procfs.state_of(pid) in "ZX":
                    raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended")
                if not self.owns(pid):
                    name = procfs.command_of(pid)
                    raise PermissionError(errno.EPERM, f"that is {name!r}, which the program has not started")
            except BaseException:
                main.close()
                raise
        if self._main is not None:
            self._scope.forget_leader(self._main.pid)
        self._main, self.pid = main, pid
        self._scope.change_leader(pid)
        if self._outside is not None:
            self._outside.cancel()
            self._outside = None
        if self._changed is not None:
            resolve(self._changed)
        return pid

    def _seen_from_here(self, pid: int) -> int:
        """Return a pid that the program has named as this host knows it: a pid namespace has pids of its own."""
        shim = self._scope.shim
        if shim is None or not shim.has_namespace:
            return pid
        for candidate in procfs.pids():
            inner = procfs.inner_pids_of(candidate)
            if len(inner) > 1 and inner[-1] == pid and is_below(candidate, self._watcher.pid):
                return candidate
        raise ProcessLookupError(errno.ESRCH, f"there is no process {pid} in its pid namespace")

    def _on_leader_end(self, ended: asyncio.Future[Exit]) -> None:
        if not ended.cancelled() and ended.exception() is None and self._main is not None:
            self._scope.forget_leader(self._watcher.pid)

    async def _wait_for_command(self, shim: Shim) -> Exit:
        """Wait for the end of a shim, or for its report that the command has ended and has left processes."""
        if self._below_shim is not None:
            return self._below_shim[0]
        loop = asyncio.get_running_loop()
        ended = asyncio.ensure_future(self._watcher.wait())

        def on_report() -> None:
            if (report := shim.listen()) is not None:
                self._below_shim = report
            loop.remove_reader(shim.fileno())
            if self._below_shim is not None:
                ended.cancel()

        loop.add_reader(shim.fileno(), on_report)
        try:
            await asyncio.wait({ended})
            return self._below_shim[0] if self._below_shim is not None else ended.result()
        finally:
            ended.cancel()
            if shim.fileno() >= 0:
                loop.remove_reader(shim.fileno())

    def resize(self, window_size: tuple[int, int]) -> None:
        """Set the size of its terminal; see ``protocols.Child``."""
        if self.stdout is not None and (descriptor := self.stdout.fileno()) >= 0:
            set_size(descriptor, window_size)

    async def find_leftovers(self, *, everywhere: bool) -> Leftovers | None:
        """Find what the ended leader has left; see ``protocols.Child``."""
        if self._is_of_parent:
            return None
        if self._main is not None:
            everywhere = True  # a daemon has a session of its own, and so has what it leaves
            if self._scope.shim is None:
                self._scope.forget_leader(self._watcher.pid)  # if it lives, it is a leftover now
        if self._below_shim is not None and self._scope.shim is not None:
            left = self._below_shim[1] if self._main is None else below_shim(self._watcher.pid)
            if not left:
                return None
            return ShimLeftovers(
                left,
                shim=self._scope.shim,
                pid=self._watcher.pid,
                wait=self._watcher.wait,
                reached=self._reached,
            )
        # Members of the group count even if they are zombies, so what is in the session is looked at only then.
        self._group_is_empty = not self._signal_rest(0)
        if self._group_is_empty and not everywhere and self._scope.cgroup is None:
            return None  # a crash loop must not pay for a look at other processes

        async def find() -> list[int]:
            try:
                return await self._scope.processes(group_is_empty=self._group_is_empty, everywhere=everywhere)
            except OSError:  # no descriptors are left to read /proc; a sweep finds them later
                return []

        found = await find()
        if not found and procfs.HAS_PROC:
            return None
        leftovers = FoundLeftovers(
            found,
            group=self._watcher.pid,
            find=find,
            is_left=self._scope.owns,
            signal_group=self._signal_rest,
            reached=lambda pid: self._reached.get(pid, 0),
        )
        return leftovers or None

    def sweep(self) -> None:
        """Kill the processes that are left in the group; see ``protocols.Child``."""
        # A shim kills all that its command has left, once its socket is closed. SIGKILL for the group would end it
        # before that, and what has left the group would live on.
        if not self._group_is_empty and self._below_shim is None:
            self._signal_rest(signal.SIGKILL)
        self._scope.end()

    def _signal_rest(self, number: int) -> bool:
        """Send a signal to what the ended leader has left in its group; return whether there was anything."""
        pidfd = self._watcher.pidfd
        if self._is_of_parent:
            return False
        if pidfd is None and (exit := self._watcher.exit) is not None and exit.code is exit.signal is None:
            # Other code has reaped the child, nobody knows when. The group of this number may be that of another
            # process. ``sweep_all`` finds the processes of the child by their marker.
            return False
        try:
            if pidfd is None or not self._signal_by_pidfd(pidfd, number, leader_only=False):
                signal_leaderless(self._watcher.pid, number)
        except PermissionError:
            return True
        except OSError:  # usually because nothing is left
            return False
        return True

    def left_nothing(self) -> bool:
        """Return whether neither ``sweep`` nor ``sweep_all`` could find anything; see ``protocols.Child``."""
        return self._is_of_parent or (self._below_shim is None and self._scope.left_nothing())

    def may_have_left(self) -> bool:
        """Return whether ``sweep_all`` could find anything; see ``protocols.Child``."""
        return not self._is_of_parent and (self._watcher.exit is None or self._scope.may_have_left())

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Kill the processes that have left the group, too; see ``protocols.Child``."""
        if self._is_of_parent:
            return ()
        self._scope.end()
        if self._below_shim is not None:
            await self._watcher.wait()  # its socket is closed: it kills what is left, and ends within about a second
        return await self._scope.sweep()

    def left(self) -> tuple[Survivor, ...]:
        """Return the processes that the child has left behind; see ``protocols.Child``."""
        return () if self._is_of_parent else self._scope.left()

    def close(self) -> None:
        """Close every descriptor; see ``protocols.Child``."""
        if self._outside is not None:
            self._outside.cancel()
        if self._leader_end is not None:
            self._leader_end.cancel()
            self._leader_end = None
        if self._main is not None:
            self._main.close()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        if self._watcher.exit is not None or self._below_shim is not None:
            self._scope.end()
        self._watcher.release()
        if self._resources is not None:
            self._resources.release()
            self._resources = None

    @property
    def _is_of_parent(self) -> bool:
        """Whether this process is a fork of the host. The child is not its own."""
        return self._generation != generation()

    def _signal_by_pidfd(self, pidfd: int, number: int, *, leader_only: bool) -> bool:
        """Send a signal by the pidfd and return True, or return False where this kernel cannot."""
        flags = 0 if leader_only else _PIDFD_SIGNAL_PROCESS_GROUP
        try:
            signal.pidfd_send_signal(pidfd, number, None, flags)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):  # before Linux 6.9, or before 5.1
                raise
            if error.errno == errno.EINVAL and self._watcher.exit is None:
                # A thread of asyncio reaps the child before ``exit`` is known. This raises where it has done so, as the
                # process id may belong to another process by now.
                signal.pidfd_send_signal(pidfd, 0)
            return False
        return True

    def _signal_by_number(self, number: int, *, leader_only: bool) -> None:
        pid = self.pid if self._main is None else self._watcher.pid
        require_foreign(pid)
        # As long as this host has such an unreaped child, the process id cannot belong to another process.
        require_unreaped(os.P_PID, pid)
        if leader_only:
            os.kill(pid, number)
        else:
            os.killpg(pid, number)


def signal_leaderless(pid: int, number: int) -> None:
    """Send a signal to the processes that a leader has left in its group at its exit.

    Args:
        pid: The process id of the leader, which is also the number of the group.
        number: The signal.

    Raises:
        OSError: If the group is empty, which is the usual case, or the system refuses.
    """
    # The kernel does not reuse a process id while a group of that number has a member (POSIX). So a group without a
    # leader is the one that our child has left, and a group with a leader belongs to another process. Neither question
    # needs a signal, and the first one usually ends the search.
    os.getpriority(os.PRIO_PGRP, pid)
    require_foreign(pid)
    try:
        os.getsid(pid)
    except ProcessLookupError:
        os.killpg(pid, number)
        return
    raise ProcessLookupError(errno.ESRCH, f"group {pid} belongs to another process")


def require_foreign(pid: int) -> None:
    """Check that a signal to a process id reaches neither this host, nor its group, nor init.

    Raises:
        ProcessLookupError: If the signal would reach one of them.
    """
    # Only a bug can produce such a number, and the signal would kill the application or the machine.
    if pid <= 1 or pid in (os.getpid(), os.getpgrp()):
        raise ProcessLookupError(errno.ESRCH, f"{pid} is no child of this host")


def pidfd_of(pid: int) -> int | None:
    """Open a pidfd for a child that has not been reaped.

    Returns:
        The pidfd; None where the system has none.

    Raises:
        ProcessLookupError: If the child has been reaped, although asyncio has not reported it yet.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (OSError, AttributeError):
        return None  # not Linux, or forbidden in this container, or no descriptors are left
    try:
        # The process id may have been reused before the pidfd was opened.
        require_unreaped(os.P_PIDFD, pidfd)
    except ProcessLookupError:
        os.close(pidfd)
        raise
    return pidfd


def require_unreaped(kind: int, number: int) -> None:
    """Check that a number refers to a child of this host that has not been reaped. The child stays as it is.

    Raises:
        ProcessLookupError: If the number does not refer to such a child.
    """
    try:
        os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        raise ProcessLookupError(errno.ESRCH, f"process {number} has ended") from None
