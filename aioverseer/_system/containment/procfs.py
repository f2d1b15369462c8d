"""What /proc tells of processes, read without ever raising for one that is gone.

Reading alone; who is to be killed is never decided here.
"""

from __future__ import annotations

import os
import sys

__all__ = ["HAS_PROC", "command_of", "environment_of", "is_between_programs", "pids", "read", "state_of"]

HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/environ")
"""Whether there is a /proc that can be used; not so on macOS."""

_FLAGS, _START_OF_CODE, _ENVIRONMENT_START, _ENVIRONMENT_END = 6, 23, 47, 48
"""Places in /proc/PID/stat behind the name, from 0."""
_KERNEL_THREAD = 0x00200000
_MOST = 1 << 22
"""Bytes of an environment that are read: the kernel's own limit for arguments and environment is 6 MiB in all."""


def read(path: str) -> bytes:
    """Return what a file of /proc holds; nothing when its process is gone, or not ours to look at."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        # One read is enough for nearly all, and half the cost of a file object.
        data = os.read(descriptor, 1 << 14)
        if len(data) < 1 << 12:  # environ gives at least a page in one read, where there is one
            return data
        while len(data) < _MOST and (more := os.read(descriptor, 1 << 20)):
            data += more
    except OSError:
        return b""
    else:
        return data
    finally:
        os.close(descriptor)


def pids() -> list[int]:
    """Return the numbers of all processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()] if HAS_PROC else []


def environment_of(pid: int) -> bytes:
    """Return the environment with which a process was executed; nothing for a zombie, or one of another user."""
    return read(f"/proc/{pid}/environ")


def _fields(pid: int) -> list[bytes]:
    # The name in the second field may hold anything, brackets and blanks too: the last bracket ends it.
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def state_of(pid: int) -> str:
    """Return the letter of its state, ``"X"`` when it is gone."""
    fields = _fields(pid)
    return fields[0].decode() if fields else "X"


def is_between_programs(pid: int) -> bool:
    """Return whether one that showed no environment just now was in the middle of an exec, and is to be asked again.

    The kernel tells of the new environment some hundred microseconds after it has taken the old one away.
    """
    fields = _fields(pid)
    if len(fields) <= _ENVIRONMENT_END or fields[0] in (b"Z", b"X") or int(fields[_FLAGS]) & _KERNEL_THREAD:
        return False
    code = int(fields[_START_OF_CODE])
    # Set last. The kernel says 1 to those who may not look.
    return code == 0 or (code != 1 and fields[_ENVIRONMENT_START] != fields[_ENVIRONMENT_END])


def command_of(pid: int) -> str:
    """Return its command line, printable and short."""
    words = read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").strip() or read(f"/proc/{pid}/comm").strip()
    text = words.decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
