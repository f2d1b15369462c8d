"""is_torn: whether a file ends with part of a line, although other hosts write to it and rename it."""

from __future__ import annotations

import contextlib
import os
import stat

from aioverseer._system.logfile.disk import Disk

__all__ = ["is_torn"]


def is_torn(path: str, fd: int, disk: Disk) -> bool:
    """Return whether an open file ends with part of a line, because a host was killed while it wrote.

    False also when the end is unknown: the file is write-only, or was renamed just now.

    Args:
        path: Path by which the file was opened.
        fd: Descriptor for writing.
        disk: System calls to use.
    """
    try:
        reader = disk.open_to_read(path)
    except (PermissionError, FileNotFoundError):
        return False
    try:
        found = disk.stat(reader)
        # Another host may have rotated the file since it was opened: the path then leads to a new file.
        if not os.path.samestat(found, disk.stat(fd)):
            return False
        while found.st_size > 0 and disk.last_byte(reader, found.st_size) not in (b"\n", b""):
            # The kernel shows the size in the middle of a long write. The change of the mode waits for that write, as
            # both hold the lock of the inode.
            with contextlib.suppress(OSError):
                disk.set_mode(fd, stat.S_IMODE(found.st_mode))
            before, found = found, disk.stat(reader)
            if found.st_size == before.st_size:
                return True
        return False
    finally:
        disk.close(reader)
