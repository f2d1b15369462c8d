"""The system calls that log files are made of, one method each.

Apart, so that a test can count them, fail them, or stop between any two of them. Nothing in here decides anything.
"""

from __future__ import annotations

import fcntl
import os

__all__ = ["Disk"]


class Disk:
    """The file system. Every method is one system call, or harmless to be stopped in the middle of."""

    __slots__ = ()

    def open(self, path: str, mode: int) -> int:
        """Return a descriptor that appends, making the file with these permissions where there is none."""
        # Without O_NONBLOCK a named pipe would be waited for; a terminal must not become ours.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(path, flags, mode)

    def create(self, path: str, mode: int) -> int:
        """Return a descriptor of a new, empty file, whatever was there."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)

    def open_to_read(self, path: str) -> int:
        """Return a descriptor that reads."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def lock(self, fd: int) -> None:
        """Keep a file from all others who ask for it in this way, until its descriptor is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def write(self, fd: int, data: memoryview) -> int:
        """Write, and return how many bytes that were."""
        return os.write(fd, data)

    def read(self, fd: int, size: int) -> bytes:
        """Read at most so many bytes."""
        return os.read(fd, size)

    def last_byte(self, fd: int, size: int) -> bytes:
        """Return the last byte of a file of this size."""
        return os.pread(fd, 1, size - 1)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Wait until a file is on the disk."""
        os.fsync(fd)

    def set_mode(self, fd: int, mode: int) -> None:
        """Give a file its permissions."""
        os.fchmod(fd, mode)

    def set_times(self, fd: int, times: tuple[int, int]) -> None:
        """Give a file its times of access and change, in nanoseconds."""
        os.utime(fd, ns=times)

    def stat(self, file: str | int) -> os.stat_result:
        """Return what is known of a path or a descriptor."""
        return os.stat(file)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        return os.listdir(folder)

    def make_folders(self, folder: str) -> None:
        """Make a folder and those above it, as far as they are missing."""
        os.makedirs(folder, exist_ok=True)

    def rename(self, source: str, target: str) -> None:
        """Rename a file."""
        os.rename(source, target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)
