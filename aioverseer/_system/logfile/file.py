"""One log file: it appends entries as whole lines, and is rotated and compressed.

It runs in the thread of ``writer.py`` and may block on the disk. Errors of the disk are never raised: the lost lines
are counted and reported. ``core/text/rotation.py`` defines the steps of a rotation.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from aioverseer._system.logfile.compress import Compression, holds_the_same
from aioverseer._system.logfile.disk import Disk
from aioverseer._system.logfile.torn import is_torn
from aioverseer._system.logfile.trouble import Trouble, TroubleReport
from aioverseer.core.options.log import LogFile
from aioverseer.core.text.log_format import Entry, LogFormat
from aioverseer.core.text.rotation import (
    Rename,
    RotationStep,
    files_with_copy,
    files_without_copy,
    is_due,
    rotation,
    unfinished_copies,
)

__all__ = ["AppendedFile"]

_CHUNK = 500
"""Entries encoded at once when a rotation may be due before one of them."""


class AppendedFile:
    """One log file, written by one thread of one host.

    Attributes:
        shows_ids: Whether lines of text begin with the id of their service.
    """

    def __init__(self, path: str, log: LogFile, *, report: TroubleReport, disk: Disk | None = None) -> None:
        """Describe a file. The first line opens it.

        Args:
            path: Absolute path.
            log: Rules for the file.
            report: Receiver of lost lines and of trouble with the file.
            disk: System calls to use; the real ones by default.
        """
        self.shows_ids = False
        self._path = path
        self._folder, self._name = os.path.split(path)
        self._log = log
        self._disk = disk or Disk()
        self._format = LogFormat(log)
        self._fd = -1
        self._opened: os.stat_result | None = None
        self._is_regular = False
        self._is_locked = False
        self._is_recovered = False
        self._lock_fd = -1
        """A closed file's descriptor, kept while compression continues: its lock keeps others from rotating."""
        self._size = 0
        self._begun = 0
        """Bytes of an unfinished line at the end of the file."""
        self._left: tuple[int, int, int] | None = None
        """Device, inode and size of a file that was closed in the middle of a line that may go on."""
        self._last = 0.0
        self._compression: Compression | None = None
        self._compresses = False
        self._id = ""
        what = f"its log file {path}"
        self._unwritten = Trouble(f"{what} cannot be written", f"{what} is written again", report)
        self._unrotated = Trouble(f"{what} cannot be rotated", f"{what} is rotated again", report)
        self._shared = Trouble(f"{what} is not rotated by this host", f"{what} is rotated by this host now", report)
        self._uncompressed = Trouble(f"{what} cannot be compressed", f"{what} is compressed again", report)

    # Writing.

    def write(self, entries: Sequence[Entry]) -> None:
        """Append entries. Entries that cannot be written count as lost."""
        todo = list(entries)
        self._id = todo[0].id
        missing = self._unwritten.gap(todo[0].time)
        if missing is not None:
            todo.insert(0, missing)
        try:
            self._ensure_open()
            self._append(todo)
        except OSError as error:
            # Whether the file ends with a whole line is checked when it is opened again.
            self._format.reset()
            self._close()
            # Written entries were removed from the list.
            if missing is not None and todo and todo[0] is missing:
                del todo[0]
            elif missing is not None:
                self._unwritten.marked()
            self._unwritten.lose(todo, error)
        else:
            if missing is not None:
                self._unwritten.marked()
            self._unwritten.over(self._id)

    def _append(self, todo: list[Entry]) -> None:
        """Write entries as whole lines, removing them from the list."""
        rotates = self._rotates()
        while todo:
            # Only the chunk in which a rotation may be due is written entry by entry.
            some = todo[:_CHUNK] if rotates else todo
            data = self._format.encode_all(some, named=self.shows_ids)
            if data is not None and not (rotates and self._may_be_due(some, len(data))):
                self._last = max(self._last, some[-1].time.timestamp())
                self._flush(data, todo, len(some))
            else:
                rotates = self._append_singly(todo, len(some), rotates=rotates)

    def _may_be_due(self, entries: Sequence[Entry], adding: int) -> bool:
        """Return whether a rotation may be due before one of these entries, or they may overfill an empty file."""
        times = {entry.time for entry in entries}
        return any(
            is_due(self._log, size=max(self._size, 1), adding=adding, last=self._last, now=time.timestamp())
            for time in times
        )

    def _append_singly(self, todo: list[Entry], n: int, *, rotates: bool) -> bool:
        """Write the first ``n`` entries, rotating where due; return whether this host still rotates the file."""
        pieces: list[bytes] = []
        size = self._size
        for entry in todo[:n]:
            torn = self._format.needs_end
            begun = self._begun if self._format.continues(entry) else 0
            piece = self._format.encode(entry, named=self.shows_ids)
            if rotates:
                now = entry.time.timestamp()
                if is_due(self._log, size=size, begun=begun, adding=len(piece), last=self._last, now=now):
                    self._flush(b"".join(pieces), todo, len(pieces), pieces)
                    pieces.clear()
                    if self._rotate(torn=torn):
                        begun = 0
                        piece = self._format.encode(entry, named=self.shows_ids)
                        rotates = self._rotates()
                    else:
                        rotates = False
                    size = self._size
                self._last = max(self._last, now)
            self._begun = begun + len(piece)
            pieces.append(piece)
            size += len(piece)
        self._flush(b"".join(pieces), todo, len(pieces), pieces)
        return rotates

    def _flush(self, data: bytes, todo: list[Entry], n: int, pieces: Sequence[bytes] | None = None) -> None:
        """Write the first ``n`` entries, and remove those that are written whole from the list.

        Args:
            data: Encoded entries.
            todo: Entries to be written.
            n: Number of entries in ``data``.
            pieces: Encoded entries one by one; None when they were encoded at once.
        """
        view = memoryview(data)
        written = 0
        try:
            while written < len(view):
                now = self._disk.write(self._fd, view[written:])
                if now == 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                written += now
        except OSError:
            if pieces is None:
                pieces = [self._format.encode(entry, named=self.shows_ids) for entry in todo[:n]]
            kept = kept_bytes = 0
            while kept < n and kept_bytes + len(pieces[kept]) <= written:
                kept_bytes += len(pieces[kept])
                kept += 1
            self._cut_off(kept_bytes, written)
            del todo[:kept]
            raise
        self._size += written
        del todo[:n]

    def _cut_off(self, kept: int, written: int) -> None:
        """Remove the part of a line that could be written."""
        # If that fails, or another process has changed the file too, the next open ends the line.
        with contextlib.suppress(OSError):
            if written > kept and self._is_regular and self._disk.stat(self._fd).st_size == self._size + written:
                self._disk.truncate(self._fd, self._size + kept)

    # The file.

    def _ensure_open(self) -> None:
        """Open the file that has the name now, unless it is open."""
        if self._fd >= 0:
            if self._has_the_name():
                return
            self._close()
        self._open()

    def _has_the_name(self) -> bool:
        """Return whether the open file still has its name; if so, remember its size."""
        try:
            found = self._disk.stat(self._path)
        except FileNotFoundError:
            return False
        if self._opened is None or (found.st_dev, found.st_ino) != (self._opened.st_dev, self._opened.st_ino):
            return False
        self._opened = found
        if self._is_regular:
            self._size = found.st_size
        return True

    def _open(self, mode: int = 0o666) -> None:
        if self._opened is None:
            self._disk.make_folders(self._folder)
        fd = self._disk.open(self._path, mode)
        try:
            found = self._disk.stat(fd)
            self._is_regular = stat.S_ISREG(found.st_mode)
            if not (self._is_regular or stat.S_ISCHR(found.st_mode)):
                raise OSError(errno.EINVAL, "it is neither a file nor a device")
            self._size = found.st_size if self._is_regular else 0
            goes_on = self._left == (found.st_dev, found.st_ino, found.st_size)
            if self._size > 0 and not goes_on and is_torn(self._path, fd, self._disk):
                # The file ends with part of a line: its writer was killed, or a program has not ended its last line.
                self._size += self._disk.write(fd, memoryview(b"\n"))
        except BaseException:
            self._disk.close(fd)
            raise
        self._fd, self._opened = fd, found
        self._last = found.st_mtime
        if not goes_on:
            self._format.reset()

    def _close(self) -> None:
        """Close the file, ending an unfinished line that has a prefix. While compression continues, keep the lock."""
        if self._fd < 0:
            return
        self._left = None
        if self._format.needs_end:
            self._end_line()
            self._format.reset()
        elif self._format.unfinished and self._opened is not None:
            self._left = (self._opened.st_dev, self._opened.st_ino, self._size)
        self._unlock()
        self._lock_fd, self._fd = self._fd, -1
        if not (self._is_locked and self._compresses):
            self._unlock()
        self._is_locked = False

    def _unlock(self) -> None:
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self._disk.close(fd)

    def _end_line(self) -> None:
        with contextlib.suppress(OSError):
            self._disk.write(self._fd, memoryview(b"\n"))

    def reopen(self) -> None:
        """Close the file; the next line opens it by name again."""
        self._close()

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        self._close()

    # Rotation.

    def _rotates(self) -> bool:
        """Return whether this host rotates the file: of several hosts that write to it, at most one may."""
        if not (self._log.rotates and self._is_regular):
            return False
        if self._is_locked:
            return True
        self._unlock()
        try:
            self._disk.lock(self._fd)
        except BlockingIOError:
            self.stop_work()
            self._shared.met(self._id, OSError(errno.EBUSY, "another host or overseer writes it too"))
            return False
        except OSError:
            pass  # the file system has no locks, so other hosts are unknown
        if not self._has_the_name():
            # Another host has rotated the file and released its lock. The next batch goes to the new file.
            return False
        self._is_locked = True
        self._shared.over(self._id)
        if not self._is_recovered:
            self._is_recovered = True
            self._recover()
        return True

    def _rotate(self, *, torn: bool) -> bool:
        """Begin a new file, or keep the old one if it cannot be renamed; return whether there is a new one.

        Args:
            torn: Whether the old file ends with an unfinished line that must be ended.
        """
        try:
            self._finish_compression()
            for step in rotation(self._names(), self._log.keep):
                self._perform(step)
        except OSError as error:
            self._unrotated.met(self._id, error)
            return False
        # The next entry was already encoded once, for the old file.
        self._format.reset()
        if torn:
            self._end_line()
        self._close()
        # The new file keeps the permissions, so that a private log stays private.
        mode = 0o666 if self._opened is None else stat.S_IMODE(self._opened.st_mode)
        self._open(mode)
        with contextlib.suppress(OSError):
            self._disk.set_mode(self._fd, mode)
            self._opened = self._disk.stat(self._fd)
        self._compresses = self._log.compress
        self._unrotated.over(self._id)
        return True

    def _perform(self, step: RotationStep) -> None:
        # A file that is already gone needs no step.
        with contextlib.suppress(FileNotFoundError):
            if isinstance(step, Rename):
                self._disk.rename(self._path + step.source, self._path + step.target)
            else:
                self._disk.remove(self._path + step.name)

    def _names(self) -> list[str]:
        """Return the suffixes of the files in its folder whose names begin with its name."""
        start = len(self._name)
        return [name[start:] for name in self._disk.names(self._folder) if name.startswith(self._name)]

    def _recover(self) -> None:
        """Clean up after a host that was killed during a rotation or a compression."""
        try:
            names = self._names()
            for name in unfinished_copies(names):
                self._disk.remove(self._path + name)
            for name in files_with_copy(names):
                # Any other copy may be someone else's file, or is being written at this moment.
                if holds_the_same(self._path + name, self._disk):
                    self._disk.remove(self._path + name)
        except OSError as error:
            self._unrotated.met(self._id, error)
        self._compresses = self._log.compress

    # Compression.

    def work(self) -> bool:
        """Compress a piece of a rotated file; return whether there is more to do."""
        try:
            return self._compresses and self._compress()
        except OSError as error:
            self._give_up_compression(error)
            return False

    def _compress(self) -> bool:
        if self._compression is None:
            waiting = files_without_copy(self._names())
            if not waiting:
                self._compresses = False
                self._unlock()
                return False
            self._compression = Compression(self._path + waiting[0], self._disk)
        if self._compression.step():
            self._compression = None
            self._uncompressed.over(self._id)
        return True

    def _finish_compression(self) -> None:
        """Finish the file that is being compressed, because a rotation is about to rename it."""
        try:
            while self._compression is not None:
                self._compress()
        except OSError as error:
            self._give_up_compression(error)

    def _give_up_compression(self, error: OSError) -> None:
        # It is tried again after the next rotation.
        self.stop_work()
        self._uncompressed.met(self._id, error)

    def stop_work(self) -> None:
        """Stop compression. The next host that opens the file compresses the rest."""
        self._compresses = False
        if self._compression is not None:
            self._compression.abandon()
            self._compression = None
        self._unlock()
