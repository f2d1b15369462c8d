"""Append whole lines to a file: it gets all of a line or nothing. Call it in a thread, as it may block on the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from aioverseer._system.logfile.disk import Disk
from aioverseer._system.logfile.torn import is_torn

__all__ = ["append_lines"]


def append_lines(path: str, lines: Sequence[bytes], disk: Disk | None = None) -> tuple[int, OSError | None]:
    """Append as many lines as possible.

    The file is opened by name each time, so it may be moved away at any time. An unfinished line of a killed host is
    ended with a newline first. A line that is written in part is cut off again.

    Args:
        path: Path of the file, which is created if needed.
        lines: Lines, each with its newline.
        disk: System calls to use; the real ones by default.

    Returns:
        Number of lines in the file, and the error that has stopped the others or None.
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
        if regular and before and is_torn(path, fd, disk):
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
            # If that fails, or another process has appended too, the next call ends the line.
            with contextlib.suppress(OSError):
                if regular and written > kept and disk.stat(fd).st_size == before + written:
                    disk.truncate(fd, before + kept)
            return count, error
    except OSError as error:
        return 0, error
    finally:
        disk.close(fd)
    return len(lines), None
