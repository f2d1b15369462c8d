"""How a child has really ended, where asyncio could not learn it.

Somebody else in the host may reap a child: a ``waitpid(-1)`` in a library, or SIGCHLD ignored. asyncio then gives 255,
which ``ssh`` and others also exit with, and says so in its log only. Nothing in here reaps anything.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import struct

from aioverseer.core.state import Exit

__all__ = ["LOST", "exit_of", "kept_exit", "listen", "unlisten"]

LOST = 255
"""What asyncio gives for a status that it could not read."""

_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3
_EXIT_AT = 60
"""Of ``struct pidfd_info`` (64 bytes), Linux 6.15: the kernel keeps the status of a reaped child for its pidfd."""


def exit_of(returncode: int, pid: int, pidfd: int | None) -> Exit:
    """Return how a child has ended, with neither code nor signal when nobody can tell any more.

    Args:
        returncode: What asyncio says.
        pid: The child's number.
        pidfd: What was opened for it; None where that was not possible.
    """
    warned = _warned.pop(pid)
    if returncode != LOST:
        return Exit.from_returncode(returncode)
    if pidfd is not None and (kept := kept_exit(pidfd)) is not None:
        return kept
    # Ignored, and so reaped by the kernel: nobody can have read it.
    lost = warned or signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    return Exit() if lost else Exit(code=LOST)


def kept_exit(pidfd: int) -> Exit | None:
    """Return how a child that was reaped has ended, from the kernel's memory; None where it has none."""
    answer = bytearray(64)
    struct.pack_into("=Q", answer, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, answer)
    except OSError:  # a kernel before 6.13
        return None
    if not struct.unpack_from("=Q", answer)[0] & _PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("=i", answer, _EXIT_AT)[0]
    number, code = status & 0x7F, status >> 8
    return Exit.from_returncode(-number if number else code)


class _Warned(logging.Filter):
    """Hears asyncio say that it could not read the status of a child; lets every record pass.

    The only sign there is on kernels before 6.15. It is in place only while children of ours live.
    """

    def __init__(self) -> None:
        super().__init__()
        self._children: set[object] = set()
        self._pids: set[int] = set()

    def add(self, child: object) -> None:
        if not self._children:
            logging.getLogger("asyncio").addFilter(self)
        self._children.add(child)

    def discard(self, child: object) -> None:
        self._children.discard(child)
        if not self._children:
            logging.getLogger("asyncio").removeFilter(self)
            self._pids.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        # From a thread of asyncio on 3.11: one call on a set.
        if "will report returncode 255" in str(record.msg) and isinstance(record.args, tuple):
            self._pids.update(pid for pid in record.args if isinstance(pid, int))
        return True

    def pop(self, pid: int) -> bool:
        known = pid in self._pids
        self._pids.discard(pid)
        return known


_warned = _Warned()


def listen(child: object) -> None:
    """Begin to look out for the end of a child."""
    _warned.add(child)


def unlisten(child: object) -> None:
    """End that. Idempotent."""
    _warned.discard(child)
