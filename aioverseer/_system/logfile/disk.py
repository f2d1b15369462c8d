"""The system calls of log files, one method each, so that a test can count them, let them fail or stop between two."""

from __future__ import annotations

import fcntl
import os

__all__ = ["Disk"]


class Disk:
    """The file system. Each method is one system call, or may be interrupted at any point without harm."""

    __slots__ = ()

    def open(self, path: str, mode: int) -> int:
        """Open a file for appending, creating it with these permissions if needed; return the descriptor."""
        # O_NONBLOCK, as opening a named pipe would block. O_NOCTTY, as a terminal must not become the host's.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(path, flags, mode)

    def create(self, path: str, mode: int) -> int:
        """Create an empty file, replacing an existing one; return the descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)

    def open_to_read(self, path: str) -> int:
        """Open a file for reading; return the descriptor."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def lock(self, fd: int) -> None:
        """Lock a file until its descriptor is closed; raises BlockingIOError when another process has the lock."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def write(self, fd: int, data: memoryview) -> int:
        """Write; return the number of bytes written."""
        return os.write(fd, data)

    def read(self, fd: int, size: int) -> bytes:
        """Read at most ``size`` bytes."""
        return os.read(fd, size)

    def last_byte(self, fd: int, size: int) -> bytes:
        """Return the last byte of a file of this size."""
        return os.pread(fd, 1, size - 1)

    def truncate(self, fd: int, size: int) -> None:
        """Truncate a file."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Wait until the content of a file is on the disk."""
        os.fsync(fd)

    def set_mode(self, fd: int, mode: int) -> None:
        """Set the permissions of a file."""
        os.fchmod(fd, mode)

    def set_times(self, fd: int, times: tuple[int, int]) -> None:
        """Set the access and modification times of a file, in nanoseconds."""
        os.utime(fd, ns=times)

    def stat(self, file: str | int) -> os.stat_result:
        """Return the stat of a path or a descriptor."""
        return os.stat(file)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        return os.listdir(folder)

    def make_folders(self, folder: str) -> None:
        """Make a folder and its missing parents."""
        os.makedirs(folder, exist_ok=True)

    def rename(self, source: str, target: str) -> None:
        """Rename a file."""
        os.rename(source, target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)
