"""FileWatch: calls back when one file is written, replaced or removed, by inotify and without polling."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator

__all__ = ["FileWatch"]

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_OF_FOLDER = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
"""Events of a folder. Writes are left out: a busy folder, such as that for temporary files, would cause a stream."""
_WHOLE = _CLOSE_WRITE | _MOVED_TO
"""Events after which a file has its whole content."""
_EVENT = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_READ = 1 << 16


class FileWatch:
    """The watch of one file, which need not exist yet. Its folder need not exist either."""

    def __init__(self, path: str, on_change: Callable[[bool], None]) -> None:
        """Begin to watch, on the running event loop. ``close`` must follow.

        Args:
            path: Absolute path of the file.
            on_change: Called after a change with whether its writer has finished, as far as is known.

        Raises:
            OSError: If the system has no inotify, or no descriptor or watch is left.
        """
        self._path = os.path.normpath(path)
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux tells changes of a file by inotify")
        self._descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise _error()
        self._folder_watch = self._file_watch = -1
        self._watched = ""
        """The folder that is watched: that of the file, or the closest one above it that exists."""
        try:
            self._follow()
        except BaseException:
            self.close()
            raise
        self._loop.add_reader(self._descriptor, self._on_readable)

    def close(self) -> None:
        """Stop to watch. Idempotent."""
        if self._descriptor >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> None:
        """Watch the closest folder that exists, and the file itself."""
        while True:
            folder = os.path.dirname(self._path)
            while not os.path.isdir(folder) and folder != os.path.dirname(folder):
                folder = os.path.dirname(folder)
            if folder != self._watched:
                if self._folder_watch >= 0:
                    self._libc.inotify_rm_watch(self._descriptor, self._folder_watch)
                self._watched = ""
                self._folder_watch = self._add(folder, _OF_FOLDER)
                if self._folder_watch < 0:
                    if ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR):
                        continue  # it was removed after the look at it
                    raise _error()
                self._watched = folder
                continue  # the next folder may have been made before the watch of this one
            # The file itself, for a writer that keeps it open. Without it the folder tells all but such a write.
            self._file_watch = self._add(self._path, _MODIFY) if folder == os.path.dirname(self._path) else -1
            return

    def _add(self, path: str, mask: int) -> int:
        found: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        return found

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ)
        except (BlockingIOError, InterruptedError):
            return
        changed = whole = moved = False
        name = os.fsencode(os.path.basename(self._path))
        for watch, mask, what in _events(data):
            if mask & _OVERFLOW:
                changed = whole = moved = True
            elif watch == self._file_watch and watch != self._folder_watch:
                changed = changed or bool(mask & _MODIFY)
            elif watch == self._folder_watch and mask & (_IGNORED | _DELETE_SELF | _MOVE_SELF):
                self._watched, moved = "", True
            elif self._watched != os.path.dirname(self._path):
                moved = True
            elif what == name:
                changed, whole = True, whole or bool(mask & _WHOLE)
        before = self._watched
        if moved or changed:
            try:
                self._follow()
            except OSError:  # no watch is left: the file is looked at now, and not again
                self.close()
        if changed or (moved and self._watched != before and self._watched == os.path.dirname(self._path)):
            self._on_change(whole)


def _events(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + _EVENT.size <= len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        yield watch, mask, data[at : at + length].rstrip(b"\0")
        at += length


def _error() -> OSError:
    number = ctypes.get_errno()
    why = {errno.EMFILE: "no inotify instance is left", errno.ENOSPC: "no inotify watch is left"}
    return OSError(number, why.get(number, os.strerror(number)))
