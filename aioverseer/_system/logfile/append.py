"""Appending whole lines to a file: all of a line is in it, or nothing.

May wait for the disk, so it belongs into a thread. What the lines are is decided by whoever calls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from aioverseer._system.logfile.disk import Disk

__all__ = ["append_lines"]


def append_lines(path: str, lines: Sequence[bytes], disk: Disk | None = None) -> tuple[int, OSError | None]:
    """Append lines, as far as that is possible.

    The file is opened each time: who has moved it away finds the next lines in a new one. What a killed host has begun
    is ended with a newline first; what the system takes only a part of is cut off again.

    Args:
        path: The file; it is made when it is not there.
        lines: Each with its newline.
        disk: What system calls go through.

    Returns:
        How many of them are in the file; and why not all, or None.
    """
    disk = disk or Disk()
    try:
        fd = disk.open(path, 0o666)
    except OSError as error:
        return 0, error
    try:
        found = disk.stat(fd)
        regular = stat.S_ISREG(found.st_mode)
        before = found.st_size
        if regular and before and not _is_ended(path, before, disk):
            before += disk.write(fd, memoryview(b"\n"))
        view = memoryview(b"".join(lines))
        written = 0
        try:
            while written < len(view):
                now = disk.write(fd, view[written:])
                if now == 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                written += now
        except OSError as error:
            count = kept = 0
            while kept + len(lines[count]) <= written:
                kept += len(lines[count])
                count += 1
            # Where that fails, or somebody else has appended too, the line is ended when it is next opened.
            with contextlib.suppress(OSError):
                if regular and written > kept and disk.stat(fd).st_size == before + written:
                    disk.truncate(fd, before + kept)
            return count, error
    except OSError as error:
        return 0, error
    finally:
        disk.close(fd)
    return len(lines), None


def _is_ended(path: str, size: int, disk: Disk) -> bool:
    reader = disk.open_to_read(path)
    try:
        return disk.last_byte(reader, size) in (b"\n", b"")
    finally:
        disk.close(reader)
