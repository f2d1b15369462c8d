"""File locks, which the kernel releases with the process, and the private folders of the locked files.

A process removes a locked file only while it holds the lock. A process that gets a lock checks that the file still
exists. So a name never has two owners.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

__all__ = ["locked", "make_private", "open_locked", "private_folder"]


def private_folder(name: str, *, longest: int | None = None) -> Path:
    """Return the folder of this user for files of one kind, below the folder for temporary files.

    Args:
        name: Name of the kind.
        longest: Limit for its path in bytes; a longer path is replaced by one in ``/tmp``.
    """
    name = f"aioverseer-{name}-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if longest is None or len(os.fsencode(folder)) <= longest else Path("/tmp") / name  # noqa: S108  # make_private checks the folder


def make_private(folder: Path) -> None:
    """Make a folder that only this user can write to, or check an existing one.

    Raises:
        OSError: If the folder belongs to another user, or cannot be made.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to another user, or others can write to it: remove it, or set TMPDIR")


def open_locked(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Open and lock a file, creating it if needed. Closing the descriptor unlocks it; so does the end of the process.

    Args:
        path: Path of the file.
        shared: Whether other processes may share the lock.
        wait: Whether to block while another process has the lock.

    Returns:
        Descriptor that holds the lock; None when another process has it and ``wait`` is False.

    Raises:
        OSError: If the file cannot be opened.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _still_exists(descriptor, path):
            return descriptor
        os.close(descriptor)  # the file was removed meanwhile: try again with a new one


@contextlib.contextmanager
def locked(path: Path) -> Generator[int]:
    """Hold the lock of a file and yield its descriptor. Blocks while another process has the lock."""
    descriptor = open_locked(path)
    if descriptor is None:
        raise AssertionError("a lock that was waited for is held")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _still_exists(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
