"""Locks on files, which the kernel lets go of with the process, and the folders of one user that they lie in.

Who removes a file does so while nobody else can hold it, and who has got a lock looks whether the file is still there:
so a name never has two owners. What is locked, and why, is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path

__all__ = ["alone", "make_private", "private_folder", "take"]


def private_folder(name: str, *, longest: int | None = None) -> Path:
    """Return where this user's files of a kind lie, among the temporary files.

    Args:
        name: Of the kind.
        longest: How many bytes its path may have; where it has more, it lies in ``/tmp``.
    """
    name = f"aioverseer-{name}-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if longest is None or len(os.fsencode(folder)) <= longest else Path("/tmp") / name  # noqa: S108  # what is there is looked at by make_private


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can write to, or see that it is one.

    Raises:
        OSError: When it is somebody else's, or cannot be made.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else, or others can write to it: remove it, or set TMPDIR")


def take(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Lock a file, making it where it is missing; it is unlocked when the descriptor is closed, by the kernel too.

    Args:
        path: The file.
        shared: Whether others may share it.
        wait: Whether to block while somebody else has it.

    Returns:
        The descriptor that holds it; None when somebody else does, without ``wait``.

    Raises:
        OSError: When it cannot be opened.
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
        if _is_there(descriptor, path):
            return descriptor
        os.close(descriptor)  # it was removed meanwhile: whoever comes next makes another one


@contextlib.contextmanager
def alone(path: Path) -> Generator[int]:
    """Hold the lock of a file, whose descriptor this gives; blocks while somebody else does."""
    descriptor = take(path)
    if descriptor is None:
        raise AssertionError("a lock that was waited for is held")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
