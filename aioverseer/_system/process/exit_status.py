"""The exit of a child that other code in the host has reaped.

A ``waitpid(-1)`` in a library, or an ignored SIGCHLD, takes the status away from the code that waits for it.
"""

from __future__ import annotations

import errno
import fcntl
import signal
import struct

from aioverseer.core.state import Exit

__all__ = ["LOST", "exit_of", "kept_exit", "tells_exits"]

LOST = 255
"""The return code that asyncio gives for a status that it could not read. Programs such as ``ssh`` exit with it too."""

_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3
_EXIT_AT = 60
"""Offset of the status in ``struct pidfd_info`` (64 bytes)."""


def exit_of(returncode: int, pidfd: int | None) -> Exit:
    """Return the exit that a return code of asyncio stands for.

    A 255 may mean that the status is lost. On Linux 6.15 and newer the pidfd still knows the true one. On older kernels
    only an ignored SIGCHLD tells that the status is lost, and every other 255 is taken for an exit code.

    Args:
        returncode: The return code that asyncio gives.
        pidfd: The pidfd of the child; None where none could be opened in time.

    Returns:
        The exit, with neither code nor signal where the status is known to be lost.
    """
    if returncode != LOST:
        return Exit.from_returncode(returncode)
    if pidfd is not None and (kept := kept_exit(pidfd)) is not None:
        return kept
    # The kernel reaps the children of a host that ignores SIGCHLD, so nobody can have read the status.
    return Exit() if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN else Exit(code=LOST)


def kept_exit(pidfd: int) -> Exit | None:
    """Return the exit of a child that has been reaped, as the kernel remembers it for its pidfd.

    Returns:
        The exit; None on kernels before Linux 6.15, which remember nothing.
    """
    answer = bytearray(64)
    struct.pack_into("=Q", answer, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, answer)
    except OSError:  # before Linux 6.13 there is no such call
        return None
    if not struct.unpack_from("=Q", answer)[0] & _PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("=i", answer, _EXIT_AT)[0]
    number, code = status & 0x7F, status >> 8
    return Exit.from_returncode(-number if number else code)


def tells_exits(pidfd: int) -> bool:
    """Return whether the kernel has the call that tells an exit, as Linux 6.15 does once a process is reaped."""
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, bytearray(64))
    except OSError as error:
        return error.errno == errno.ESRCH  # it was reaped without anybody asking before
    return True
