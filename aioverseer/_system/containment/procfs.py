"""Reads of /proc. A process that is gone gives an empty answer, never an exception."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator

__all__ = [
    "HAS_PROC",
    "command_of",
    "each_pid",
    "environment_of",
    "inner_pids_of",
    "is_between_programs",
    "parent_of",
    "pids",
    "read",
    "state_of",
    "zombie_status_of",
]

HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/environ")
"""Whether /proc can be used. macOS has none."""

_FLAGS, _START_OF_CODE, _ENVIRONMENT_START, _ENVIRONMENT_END, _EXIT_CODE = 6, 23, 47, 48, 49
"""Indexes of fields in /proc/PID/stat, counted from 0 after the name."""
_KERNEL_THREAD = 0x00200000
_MAX_BYTES = 1 << 22
"""Limit for one file. The kernel allows 6 MiB for arguments and environment together."""


def read(path: str) -> bytes:
    """Return the content of a file of /proc; empty when its process is gone or may not be read."""
    return _content(path) or b""


def _content(path: str) -> bytes | None:
    """Return the same, or None when no descriptor is left: a host must not take the process for gone then."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return None if error.errno in (errno.EMFILE, errno.ENFILE) else b""
    try:
        # One read is enough for nearly every file, at half the cost of a file object.
        data = os.read(descriptor, 1 << 14)
        if len(data) < 1 << 12:  # while more follows, one read of environ returns at least a page
            return data
        while len(data) < _MAX_BYTES and (more := os.read(descriptor, 1 << 20)):
            data += more
    except OSError:
        return b""
    else:
        return data
    finally:
        os.close(descriptor)


def pids() -> list[int]:
    """Return the pids of all visible processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()] if HAS_PROC else []


def each_pid() -> Iterator[int]:
    """Yield the pids of visible processes, read in parts: a process that comes or goes meanwhile may be missed."""
    if HAS_PROC:
        with os.scandir("/proc") as entries:
            for entry in entries:
                if entry.name.isdecimal():
                    yield int(entry.name)


def environment_of(pid: int) -> bytes:
    """Return the environment that a process was executed with; empty for a zombie and for another user's process."""
    return read(f"/proc/{pid}/environ")


def _fields(pid: int) -> list[bytes] | None:
    content = _content(f"/proc/{pid}/stat")
    # The name in the second field may contain brackets and blanks: the last bracket ends it.
    return None if content is None else content.rpartition(b")")[2].split()


def state_of(pid: int) -> str:
    """Return the state letter of a process, ``"X"`` when it is gone, ``"?"`` when no descriptor is left to read it."""
    fields = _fields(pid)
    if fields is None:
        return "?"
    return fields[0].decode() if fields else "X"


def zombie_status_of(pid: int) -> int | None:
    """Return the wait status of a zombie; None for any other process, and where the kernel hides it."""
    fields = _fields(pid)
    if not fields or fields[0] != b"Z" or len(fields) <= _EXIT_CODE:
        return None
    return int(fields[_EXIT_CODE])


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 when it is gone or the parent is outside of this pid namespace."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def inner_pids_of(pid: int) -> list[int]:
    """Return the pids of a process, from that of this pid namespace to that of its own; empty when it is gone."""
    found = read(f"/proc/{pid}/status").partition(b"\nNSpid:")[2].partition(b"\n")[0]
    return [int(word) for word in found.split()]


def is_between_programs(pid: int) -> bool:
    """Return whether a process without an environment must be read again, because it is in the middle of an exec.

    During an exec the kernel shows no environment for some hundred microseconds. True also while no descriptor is left.
    """
    fields = _fields(pid)
    if fields is None:
        return True
    if len(fields) <= _ENVIRONMENT_END or fields[0] in (b"Z", b"X") or int(fields[_FLAGS]) & _KERNEL_THREAD:
        return False
    code = int(fields[_START_OF_CODE])
    # The kernel sets the start of the code last. It reports 1 to readers without permission.
    return code == 0 or (code != 1 and fields[_ENVIRONMENT_START] != fields[_ENVIRONMENT_END])


def command_of(pid: int) -> str:
    """Return the command line of a process, printable and at most 200 characters long."""
    words = read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").strip() or read(f"/proc/{pid}/comm").strip()
    text = words.decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
