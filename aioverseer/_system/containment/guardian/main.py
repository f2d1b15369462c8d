"""Second part of the guardian's program: wait for the end of the host, then kill its programs.

Imported by ``boot.py`` alone, in a process of its own. It imports nothing of this package.
"""

import os
import re
import resource
import select
import struct
import time
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
else:
    # `signal` builds enums, which takes longer than all other imports of this file.
    import _signal as signal

__all__ = ["Marks", "end_all", "entries", "is_child", "kill_cgroups", "remove_cgroups", "wait_for_end"]

_BORN = 19
"""Index of the start time in /proc/PID/stat, counted from 0 after the name."""
_FLAGS, _START_OF_CODE, _ENVIRONMENT_START, _ENVIRONMENT_END = 6, 23, 47, 48
"""Indexes of other fields."""
_KERNEL_THREAD = 0x00200000
_SWEEP_TIMEOUT = 3.0
"""Seconds for all sweeps together."""


def wait_for_end(control: int, pidfd: int | None) -> bool:
    """Return True when the host has ended, False when it has released the guardian."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    if pidfd is not None:
        poll.register(pidfd, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == pidfd:
                # The host may have released the guardian just before its end.
                return not _is_released(control)
            if os.read(control, 1):
                return False
            if pidfd is None:
                return True
            # The pipe is closed, but the host may live: some hosts close all descriptors. Its pidfd reports the end.
            poll.unregister(control)


def _is_released(control: int) -> bool:
    os.set_blocking(control, False)
    try:
        return bool(os.read(control, 1))
    except BlockingIOError:  # a fork of the host has the other end open
        return False


class Marks:
    """The marks of the host's programs: in the environment, and in a limit.

    The limit is read as ``limit_mark.py`` does it, which also describes the value.
    """

    _NAMES = MappingProxyType({10: b"Max file locks", 15: b"Max realtime timeout"})

    def __init__(self, token: str, limit: str) -> None:
        """Create them.

        Args:
            token: Token of the host in the environment.
            limit: Number of the limit and the host's token there, as ``number:token``; empty without such marks.
        """
        field, _, host = limit.partition(":")
        self._variable = token.encode() + b"-"
        self._field = int(field) if field else None
        self._top = 1 << 31 | int(host) if host else 0
        """The upper bits of each limit of this host."""

    def has_limit(self, pid: int) -> bool:
        """Return whether a process has a limit of the host, and its run keeps no leftovers. A zombie has one, too."""
        if self._field is None:
            return False
        try:
            soft = resource.prlimit(pid, self._field)[0]
        except PermissionError:
            shown = re.search(rb"^%b +(\d+) " % self._NAMES[self._field], _read(f"/proc/{pid}/limits"), re.MULTILINE)
            soft = int(shown[1]) if shown else 0
        except OSError:
            return False
        return soft >> 31 == self._top and not soft & 1

    def are_in(self, environment: bytes) -> bool:
        """Return whether an environment has a mark of the host, and its run keeps no leftovers."""
        return self._variable in environment


def end_all(marks: Marks, table: int) -> None:
    """Kill groups and sessions of the children in the table, and processes with a mark, until none is left."""
    deadline = time.monotonic() + _SWEEP_TIMEOUT
    leaders = [pid for pid, before, after in entries(table) if is_child(pid, before, after)]
    for pid in leaders:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            continue
    sessions = frozenset(leaders)
    while _sweep(marks, sessions, deadline) and time.monotonic() < deadline:
        pass


def kill_cgroups(base: str, token: str) -> list[str]:
    """Kill the processes in the host's cgroups, except kept ones; return the folders of those cgroups."""
    try:
        names = os.listdir(base) if base else []
    except OSError:
        names = []
    found = [f"{base}/{name}" for name in names if name.startswith((f"aioverseer-{token}-", f"aioverseer-{token}+"))]
    for folder in found:
        if folder.startswith(f"{base}/aioverseer-{token}-"):
            try:
                with open(f"{folder}/cgroup.kill", "w") as file:
                    file.write("1")
            except OSError:
                continue
    return found


def remove_cgroups(folders: list[str]) -> None:
    """Remove the empty ones, waiting a second for killed processes to end."""
    deadline = time.monotonic() + 1.0
    for folder in folders:
        while "+" not in folder.rpartition("/")[2] and _is_populated(folder, deadline):
            pass
        for below, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(below)
            except OSError:
                continue


def _is_populated(folder: str, deadline: float) -> bool:
    """Return False when the cgroup is empty, else wait for a change or the deadline; True means: check again."""
    try:
        with open(f"{folder}/cgroup.events", "rb", buffering=0) as file:
            if b"populated 0" in file.read():
                return False
            poll = select.poll()
            poll.register(file, select.POLLPRI)
            return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
    except OSError:
        return False


def entries(table: int) -> list[tuple[int, int, int]]:
    """Return the entries of the table: pid, time before the spawn, time after the spawn."""
    layout = struct.Struct("=qqq")
    head = os.pread(table, layout.size, 0)
    if len(head) < layout.size:
        return []
    used = layout.unpack(head)[0]
    data = os.pread(table, max(0, used - 1) * layout.size, layout.size)
    return [entry for entry in layout.iter_unpack(data) if entry[0] > 1]


def is_child(pid: int, before: int, after: int) -> bool:
    """Return whether a process started between the two times and leads a session, as the host's children do."""
    fields = _fields(pid)
    if len(fields) <= _BORN:
        return False
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    born = int(fields[_BORN]) * tick
    return before - 2 * tick <= born <= after + 2 * tick and int(fields[3]) == pid


def _fields(pid: int) -> list[bytes]:
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall() or b""
    except OSError:
        return b""


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def _sweep(marks: Marks, sessions: frozenset[int], until: float) -> bool:
    """Kill processes with the mark or in one of the sessions; return whether another pass is needed."""
    killed: list[int] = []
    unclear = False
    for pid in _each_process(until):
        verdict = _judge(pid, marks, sessions)
        if verdict:
            pidfd = _open_pidfd(pid)
            # Judge again with a pidfd: the pid could have been reused in between.
            verdict = _judge(pid, marks, sessions)
            if verdict and _kill(pid, pidfd) and pidfd is not None:
                killed.append(pidfd)
            elif pidfd is not None:
                os.close(pidfd)
        unclear = unclear or verdict is None
    # Wait for their ends, so that the next pass finds only new ones.
    deadline = time.monotonic() + 0.2
    for pidfd in killed:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(pidfd)
    return bool(killed) or unclear


def _each_process(until: float) -> "Iterator[int]":
    """Yield all pids until none is new: a process may start another one and end before it is judged."""
    seen = {"1", str(os.getpid())}
    while new := [name for name in (os.listdir("/proc") if os.path.isdir("/proc") else ()) if name not in seen]:
        seen.update(new)
        yield from (int(name) for name in new if name.isdecimal())
        if time.monotonic() >= until:
            return


def _kill(pid: int, pidfd: int | None) -> bool:
    try:
        if pidfd is None:
            os.kill(pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    return True


def _judge(pid: int, marks: Marks, sessions: frozenset[int]) -> bool | None:
    """Return whether a process has a mark or is in one of the sessions; None in the middle of an exec."""
    if marks.has_limit(pid):
        return _is_alive(_fields(pid))
    environment = _read(f"/proc/{pid}/environ")
    if marks.are_in(environment):
        return True
    try:
        if os.getsid(pid) in sessions:
            return _is_alive(_fields(pid))
    except OSError:
        return False
    return None if not environment and _is_between_programs(_fields(pid)) else False


def _is_alive(fields: list[bytes]) -> bool:
    return bool(fields) and fields[0] not in (b"Z", b"X")


def _is_between_programs(fields: list[bytes]) -> bool:
    """Same as ``procfs.is_between_programs``."""
    if len(fields) <= _ENVIRONMENT_END or fields[0] in (b"Z", b"X") or int(fields[_FLAGS]) & _KERNEL_THREAD:
        return False
    code = int(fields[_START_OF_CODE])
    return code == 0 or (code != 1 and fields[_ENVIRONMENT_START] != fields[_ENVIRONMENT_END])
