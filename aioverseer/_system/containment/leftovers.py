"""The processes that an ended leader has left behind, from their discovery to the end of the last one.

They are no children of this host, so nobody reports their exits. A pidfd becomes readable when its process ends, also
when nobody reaps it. Where the system has no pidfds, leftovers get the whole time of each step, and are looked for
again at the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aioverseer._aio.timers import resolve
from aioverseer._system.containment import procfs
from aioverseer._system.containment.shim.client import Shim
from aioverseer.core.options.containment import Survivor

__all__ = ["FoundLeftovers", "ShimLeftovers", "open_pidfd", "session_of", "signal_process"]

_MAX_WATCHED = 64
"""Processes that are watched at the same time, each by a descriptor. The others are found by the next search."""


class FoundLeftovers:
    """Leftovers that are found in /proc or in a cgroup; see ``protocols.Leftovers``."""

    def __init__(
        self,
        found: Iterable[int],
        *,
        group: int,
        find: Callable[[], Awaitable[list[int]]],
        is_left: Callable[[int], bool],
        signal_group: Callable[[int], object],
        reached: Callable[[int], int],
    ) -> None:
        """Open a pidfd for each process.

        Args:
            found: The pids that were found.
            group: The process group of the leader.
            find: Function that searches again.
            is_left: Function that returns whether a pid still belongs to a leftover. It is called with a pidfd open, as
                the pid may have been reused before.
            signal_group: Function that sends a signal to the group.
            reached: Function that returns the signal of the present step if a process outside of the group got it;
                else 0.
        """
        self._group = group
        self._find = find
        self._is_left = is_left
        self._signal_group = signal_group
        self._reached = reached
        self._watched: dict[int, int] = {}
        """The pids of the processes, each with its pidfd."""
        self._unwatched: set[int] = set()
        self._late: list[int] = []
        """Signals for processes that the next search finds."""
        self._waiting = False
        self._changed: asyncio.Future[None] | None = None
        self._live: set[int] = set()
        """The pidfds that the event loop watches."""
        self._add(found)
        self.processes = tuple(
            Survivor(pid=pid, command=procfs.command_of(pid)) for pid in (*self._watched, *self._unwatched)
        )

    def __bool__(self) -> bool:
        """Return whether any process is left, as far as is known."""
        # Without /proc only the group is known, and none of its members.
        return bool(self._watched or self._unwatched) or (not procfs.HAS_PROC and bool(self._signal_group(0)))

    def _add(self, found: Iterable[int]) -> None:
        for pid in found:
            if pid in self._watched or pid in self._unwatched:
                continue
            pidfd = open_pidfd(pid) if len(self._watched) < _MAX_WATCHED else None
            if not self._is_left(pid):
                if pidfd is not None:
                    os.close(pidfd)
                continue
            if pidfd is None:
                self._unwatched.add(pid)
            else:
                self._watched[pid] = pidfd
            for number in self._late:
                if not self._is_in_group(pid):
                    self._send(pid, number)

    def signal(self, number: int, *, missed: bool = False) -> None:
        """Send a signal; see ``protocols.Leftovers``."""
        if not missed:
            # The group as a whole, so that a process that is being forked gets it too.
            self._signal_group(number)
        for pid in (*self._watched, *self._unwatched):
            if not self._is_in_group(pid) and not (missed and self._reached(pid) == number):
                self._send(pid, number)
        if self._waiting:
            # Processes that were started since the last search have not had it.
            self._late.append(number)
            if self._changed is not None:
                resolve(self._changed)

    def _is_in_group(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self._group
        except OSError:
            return False

    def _send(self, pid: int, number: int) -> None:
        pidfd = self._watched.get(pid)
        if pidfd is not None or self._is_left(pid):
            signal_process(pid, pidfd, number)

    async def wait(self) -> None:
        """Wait until none is left; see ``protocols.Leftovers``."""
        self._waiting = True
        while self:
            await self._wait_for_change()
            handled = len(self._late)
            found = await self._find()
            self._forget_ended()
            # The others were not watched: those that still live are among the found ones.
            self._unwatched.clear()
            self._add(found)
            del self._late[:handled]

    async def _wait_for_change(self) -> None:
        """Wait until the watched processes have ended, or a signal has been sent."""
        loop = asyncio.get_running_loop()
        self._changed = changed = loop.create_future()
        live = self._live = set(self._watched.values())

        def on_end(pidfd: int) -> None:
            loop.remove_reader(pidfd)
            live.discard(pidfd)
            if not live:
                resolve(changed)

        if self._late:
            resolve(changed)
        for pidfd in tuple(live):
            loop.add_reader(pidfd, on_end, pidfd)
        try:
            await changed
        finally:
            self._changed = None
            self._unwatch()

    def _unwatch(self) -> None:
        if self._live:
            loop = asyncio.get_running_loop()
            while self._live:
                loop.remove_reader(self._live.pop())

    def _forget_ended(self) -> None:
        # By the pidfds. The session of a leader is remembered for a shorter time than a ladder may take.
        poll = select.poll()
        for pidfd in self._watched.values():
            poll.register(pidfd, select.POLLIN)
        ended = {pidfd for pidfd, _ in poll.poll(0)}
        for pid, pidfd in tuple(self._watched.items()):
            if pidfd in ended:
                os.close(pidfd)
                del self._watched[pid]

    def close(self) -> None:
        """Close every pidfd; see ``protocols.Leftovers``."""
        # The task in ``wait`` may go on only after this, when the numbers belong to other descriptors.
        self._unwatch()
        for pidfd in self._watched.values():
            os.close(pidfd)
        self._watched.clear()


class ShimLeftovers:
    """Leftovers below a shim, which ends after the last of them; see ``protocols.Leftovers``."""

    def __init__(
        self,
        pids: Iterable[int],
        *,
        shim: Shim,
        pid: int,
        wait: Callable[[], Awaitable[object]],
        reached: Mapping[int, int],
    ) -> None:
        """Take what the shim has reported.

        Args:
            pids: The pids that it reported.
            shim: The shim.
            pid: Process id of the shim, which is the number of the leader's group.
            wait: Function that waits for the end of the shim.
            reached: The signal of the present step, for each process outside of the group that got it while the leader
                lived.
        """
        self.processes = tuple(Survivor(pid=pid, command=procfs.command_of(pid)) for pid in pids)
        self._shim = shim
        self._pid = pid
        self._wait = wait
        self._reached = reached

    def signal(self, number: int, *, missed: bool = False) -> None:
        """Have the shim send a signal; see ``protocols.Leftovers``."""
        if not (missed and number in self._reached.values()):
            self._shim.signal_leftovers(number, missed=missed)
            return
        # The shim does not know whom the signal has reached. Many programs take a second SIGTERM as a wish to end
        # without saving, so the others get it one by one.
        for process in self.processes:
            if self._reached.get(process.pid) != number:
                self._send(process.pid, number)

    def _send(self, pid: int, number: int) -> None:
        pidfd = open_pidfd(pid)
        try:
            # With the pidfd open, as the pid may have been reused since the report.
            if os.getpgid(pid) != self._pid and is_below(pid, self._pid):
                signal_process(pid, pidfd, number)
        except OSError:
            return  # it has just ended
        finally:
            if pidfd is not None:
                os.close(pidfd)

    async def wait(self) -> None:
        """Wait for the end of the shim; see ``protocols.Leftovers``."""
        await self._wait()

    def close(self) -> None:
        """Do nothing: the run owns the shim."""


def is_below(pid: int, ancestor: int) -> bool:
    """Return whether a process descends from another one."""
    seen = set[int]()
    while pid > 1 and pid not in seen:
        seen.add(pid)
        pid = procfs.parent_of(pid)
        if pid == ancestor:
            return True
    return False


def below_shim(shim: int) -> list[int]:
    """Return the live processes below a shim, without the init of a pid namespace. Zombies do not count."""
    return [
        pid
        for pid in procfs.pids()
        if is_below(pid, shim) and procfs.state_of(pid) not in "ZX" and procfs.inner_pids_of(pid)[1:] != [1]
    ]


def session_of(leader: int) -> list[int]:
    """Return the live processes in the session of an ended leader. Zombies do not count."""
    found: list[int] = []
    for pid in procfs.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader and procfs.state_of(pid) not in "ZX":
                found.append(pid)
    return found


def signal_process(pid: int, pidfd: int | None, number: int) -> None:
    """Send a signal to one process, by its pidfd where there is one."""
    # A process that is gone needs none, and one of another user is reported as a survivor.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pidfd is not None:
            try:
                signal.pidfd_send_signal(pidfd, number)
            except (ProcessLookupError, PermissionError):
                return
            except (OSError, AttributeError):
                pass  # this system cannot signal by pidfd
            else:
                return
        os.kill(pid, number)


def open_pidfd(pid: int) -> int | None:
    """Return a pidfd; None where there is none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # gone, not Linux, forbidden in this container, or no descriptors are left
        return None
