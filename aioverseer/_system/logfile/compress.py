"""Compression of a rotated log file, in small pieces, so that lines are written in between.

The copy gets its final name when it is complete and on the disk. Only then is the file removed. So a host that is
killed at any moment leaves the whole file, a whole copy, or both, perhaps with an unfinished copy.
"""

from __future__ import annotations

import contextlib
import stat
import zlib

from aioverseer._system.logfile.disk import Disk
from aioverseer.core.text.rotation import COMPRESSED, UNFINISHED

__all__ = ["Compression", "holds_the_same"]

_PIECE = 64 * 1024
_GZIP = 31
"""Value of ``wbits`` that makes zlib read and write the gzip format."""


class Compression:
    """The compression of one file."""

    def __init__(self, path: str, disk: Disk) -> None:
        """Open the file and its copy.

        Args:
            path: File to compress.
            disk: System calls to use.

        Raises:
            OSError: If one of them cannot be opened.
        """
        self._path = path
        self._disk = disk
        self._compressor = zlib.compressobj(wbits=_GZIP)
        self._source = disk.open_to_read(path)
        self._copy = -1
        try:
            self._known = disk.stat(self._source)
            self._copy = disk.create(path + UNFINISHED, stat.S_IMODE(self._known.st_mode))
            disk.set_mode(self._copy, stat.S_IMODE(self._known.st_mode))
        except BaseException:
            self._close()
            raise

    def step(self) -> bool:
        """Compress the next piece; return whether the file is done.

        Raises:
            OSError: If the file cannot be read or the copy cannot be written.
        """
        piece = self._disk.read(self._source, _PIECE)
        self._write(self._compressor.compress(piece) if piece else self._compressor.flush())
        if piece:
            return False
        disk, known = self._disk, self._known
        disk.set_times(self._copy, (known.st_atime_ns, known.st_mtime_ns))
        disk.sync(self._copy)
        self._close()
        # Another process may have renamed or extended the file. Then the copy is incomplete or would repeat its lines,
        # and the file that has its name now is not compressed.
        if not self._is_unchanged():
            self.abandon()
            return True
        disk.rename(self._path + UNFINISHED, self._path + COMPRESSED)
        if self._is_unchanged():
            disk.remove(self._path)
        return True

    def _is_unchanged(self) -> bool:
        try:
            found = self._disk.stat(self._path)
        except FileNotFoundError:
            return False
        known = self._known
        return (found.st_dev, found.st_ino, found.st_size) == (known.st_dev, known.st_ino, known.st_size)

    def abandon(self) -> None:
        """Keep the file, and remove the unfinished copy."""
        self._close()
        # If that fails, the next host that opens the log file removes it.
        with contextlib.suppress(OSError):
            self._disk.remove(self._path + UNFINISHED)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._disk.write(self._copy, view) :]

    def _close(self) -> None:
        for fd in (self._source, self._copy):
            if fd >= 0:
                self._disk.close(fd)
        self._source = self._copy = -1


def holds_the_same(path: str, disk: Disk) -> bool:
    """Return whether the compressed copy of a file is complete and has the same content."""
    file = disk.open_to_read(path)
    try:
        copy = disk.open_to_read(path + COMPRESSED)
        try:
            return _equal(file, copy, disk)
        except zlib.error:
            return False
        finally:
            disk.close(copy)
    finally:
        disk.close(file)


def _equal(file: int, copy: int, disk: Disk) -> bool:
    decompressor = zlib.decompressobj(wbits=_GZIP)
    ahead = b""
    while piece := disk.read(copy, _PIECE):
        data = decompressor.decompress(piece)
        while len(ahead) < len(data) and (more := disk.read(file, _PIECE)):
            ahead += more
        if not ahead.startswith(data):
            return False
        ahead = ahead[len(data) :]
    return decompressor.eof and not decompressor.unused_data and not ahead and not disk.read(file, 1)
