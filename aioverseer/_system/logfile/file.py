"""A log file: entries in, whole lines on the disk, rotated and compressed.

It runs in the thread of ``log_writer.py`` and may wait for the disk. It never raises for what a disk or a folder does:
lines that cannot be written are counted and told. The order of the steps of a rotation is that of
``core/text/rotation.py``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from aioverseer._system.logfile.compress import Packing, holds_the_same
from aioverseer._system.logfile.disk import Disk
from aioverseer._system.logfile.trouble import Trouble, TroubleReport
from aioverseer.core.options.log import LogFile
from aioverseer.core.text.log_format import Entry, LogFormat
from aioverseer.core.text.rotation import Rename, Step, is_due, leftovers, pairs, rotation, to_pack

__all__ = ["AppendedFile"]

_SLICE = 500
"""Entries that are made bytes of at once where the file may have to be rotated before one of them."""


class AppendedFile:
    """One log file, written by one thread of one host.

    Attributes:
        named: Whether lines of text begin with the id of their service.
    """

    def __init__(self, path: str, log: LogFile, *, news: TroubleReport, disk: Disk | None = None) -> None:
        """Describe a file; it is opened for the first line.

        Args:
            path: Where it is, absolute.
            log: The rules.
            news: Hears of lost lines and of what happens to the file.
            disk: What system calls go through.
        """
        self.named = False
        self._path = path
        self._folder, self._name = os.path.split(path)
        self._log = log
        self._disk = disk or Disk()
        self._format = LogFormat(log)
        self._fd = -1
        self._opened: os.stat_result | None = None
        self._is_regular = False
        self._is_ours = False
        self._is_recovered = False
        self._held = -1
        """A file that was let go of and keeps others from rotating as long as compressing goes on."""
        self._size = 0
        self._begun = 0
        """Bytes of the line in whose middle it ends, where it does."""
        self._last = 0.0
        self._packing: Packing | None = None
        self._packs = False
        self._id = ""
        what = f"its log file {path}"
        self._unwritten = Trouble(f"{what} cannot be written", f"{what} is written again", news)
        self._unrotated = Trouble(f"{what} cannot be rotated", f"{what} is rotated again", news)
        self._shared = Trouble(f"{what} is not rotated by this host", f"{what} is rotated by this host now", news)
        self._unpacked = Trouble(f"{what} cannot be compressed", f"{what} is compressed again", news)

    # Writing.

    def write(self, entries: Sequence[Entry]) -> None:
        """Append entries, as far as that is possible; the others are counted as lost."""
        todo = list(entries)
        self._id = todo[0].id
        missing = self._unwritten.gap(todo[0].time)
        if missing is not None:
            todo.insert(0, missing)
        try:
            self._look()
            self._append(todo)
        except OSError as error:
            # How it ends is looked at when it is opened again.
            self._format.reset()
            self._let_go()
            # What was written has been taken from the list.
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
        """Write entries and take them from the list, whole lines at a time."""
        rotates = self._rotates()
        while todo:
            # Where a rotation may fall due, the entries before it are still written many at a time.
            some = todo[:_SLICE] if rotates else todo
            data = self._format.encode_all(some, named=self.named)
            if data is not None and not (rotates and self._may_be_due(some, len(data))):
                self._last = max(self._last, some[-1].time.timestamp())
                self._flush(data, todo, len(some))
            else:
                rotates = self._append_singly(todo, len(some), rotates=rotates)

    def _may_be_due(self, entries: Sequence[Entry], adding: int) -> bool:
        """Whether a rotation can fall due before one of these entries, or an empty file grow too long by them."""
        times = {entry.time for entry in entries}
        return any(
            is_due(self._log, size=max(self._size, 1), adding=adding, last=self._last, now=time.timestamp())
            for time in times
        )

    def _append_singly(self, todo: list[Entry], n: int, *, rotates: bool) -> bool:
        """Write the first ``n`` entries, rotating where that is due; return whether to go on rotating."""
        pieces: list[bytes] = []
        size = self._size
        for entry in todo[:n]:
            torn = self._format.unfinished
            begun = self._begun if self._format.continues(entry) else 0
            piece = self._format.encode(entry, named=self.named)
            if rotates:
                now = entry.time.timestamp()
                if is_due(self._log, size=size, begun=begun, adding=len(piece), last=self._last, now=now):
                    self._flush(b"".join(pieces), todo, len(pieces), pieces)
                    pieces.clear()
                    if self._rotate(torn=torn):
                        begun = 0
                        piece = self._format.encode(entry, named=self.named)
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
        """Write the bytes of the first ``n`` entries, and take as many from the list as are wholly written.

        Args:
            data: The bytes.
            todo: The entries.
            n: How many of them these are.
            pieces: The bytes of each; None where all of them were made at once.
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
                pieces = [self._format.encode(entry, named=self.named) for entry in todo[:n]]
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
        """Remove the beginning of a line whose rest could not be written."""
        # Where that fails, or somebody else has changed the file too, its last line is ended when it is next opened.
        with contextlib.suppress(OSError):
            if written > kept and self._is_regular and self._disk.stat(self._fd).st_size == self._size + written:
                self._disk.truncate(self._fd, self._size + kept)

    # The file.

    def _look(self) -> None:
        """Have the file open that bears the name now."""
        if self._fd >= 0:
            if self._bears_the_name():
                return
            self._let_go()
        self._open()

    def _bears_the_name(self) -> bool:
        """Whether the open file is the one of that name; if so, take note of its size."""
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
            if self._size > 0 and not self._ends_whole(self._size):
                # The host that wrote it was killed in the middle of a line.
                self._size += self._disk.write(fd, memoryview(b"\n"))
        except BaseException:
            self._disk.close(fd)
            raise
        self._fd, self._opened = fd, found
        self._last = found.st_mtime
        self._format.reset()

    def _ends_whole(self, size: int) -> bool:
        try:
            fd = self._disk.open_to_read(self._path)
        except (PermissionError, FileNotFoundError):
            return True  # it can be written and not read, or was renamed just now: nothing is known of its end
        try:
            return self._disk.last_byte(fd, size) in (b"\n", b"")
        finally:
            self._disk.close(fd)

    def _let_go(self) -> None:
        """Close the file; one that ends in the middle of a line gets its end."""
        if self._fd < 0:
            return
        if self._format.unfinished:
            self._end_line()
        self._format.reset()
        self._release()
        self._held, self._fd = self._fd, -1
        if not (self._is_ours and self._packs):
            self._release()
        self._is_ours = False

    def _release(self) -> None:
        fd, self._held = self._held, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self._disk.close(fd)

    def _end_line(self) -> None:
        with contextlib.suppress(OSError):
            self._disk.write(self._fd, memoryview(b"\n"))

    def reopen(self) -> None:
        """Close the file; the next line opens what bears its name then."""
        self._let_go()

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        self._let_go()

    # Rotation.

    def _rotates(self) -> bool:
        """Whether the file is rotated, and by this host: of several that write to it, one at most may do that."""
        if not (self._log.rotates and self._is_regular):
            return False
        if self._is_ours:
            return True
        self._release()
        try:
            self._disk.lock(self._fd)
        except BlockingIOError:
            self.stop_work()
            self._shared.met(self._id, OSError(errno.EBUSY, "another host or overseer writes it too"))
            return False
        except OSError:
            pass  # a file system that has no locks: nothing can be known of others
        if not self._bears_the_name():
            # Who has rotated it was quicker, and has let go of it: the next batch goes to the new one.
            return False
        self._is_ours = True
        self._shared.over(self._id)
        if not self._is_recovered:
            self._is_recovered = True
            self._recover()
        return True

    def _rotate(self, *, torn: bool) -> bool:
        """Begin a new file, or go on with the old one where it cannot be renamed; return whether it was.

        Args:
            torn: Whether the old one ends in the middle of a line.
        """
        try:
            self._finish_packing()
            for step in rotation(self._names(), self._log.keep):
                self._perform(step)
        except OSError as error:
            self._unrotated.met(self._id, error)
            return False
        # What the next entry has left in it was for the old file.
        self._format.reset()
        if torn:
            self._end_line()
        self._let_go()
        # What only its owner may read stays so.
        mode = 0o666 if self._opened is None else stat.S_IMODE(self._opened.st_mode)
        self._open(mode)
        with contextlib.suppress(OSError):
            self._disk.set_mode(self._fd, mode)
            self._opened = self._disk.stat(self._fd)
        self._packs = self._log.compress
        self._unrotated.over(self._id)
        return True

    def _perform(self, step: Step) -> None:
        # What is gone needs no step.
        with contextlib.suppress(FileNotFoundError):
            if isinstance(step, Rename):
                self._disk.rename(self._path + step.source, self._path + step.target)
            else:
                self._disk.remove(self._path + step.name)

    def _names(self) -> list[str]:
        """Return what follows the file's own name in the names beside it."""
        start = len(self._name)
        return [name[start:] for name in self._disk.names(self._folder) if name.startswith(self._name)]

    def _recover(self) -> None:
        """Put right what a host left that was killed in the middle of a rotation or a compression."""
        try:
            names = self._names()
            for name in leftovers(names):
                self._disk.remove(self._path + name)
            for name in pairs(names):
                # One that is somebody else's, or is just being made, is none of our business.
                if holds_the_same(self._path + name, self._disk):
                    self._disk.remove(self._path + name)
        except OSError as error:
            self._unrotated.met(self._id, error)
        self._packs = self._log.compress

    # Compression.

    def work(self) -> bool:
        """Compress a piece of what was rotated; return whether there is more to do."""
        try:
            return self._packs and self._pack()
        except OSError as error:
            self._give_up_packing(error)
            return False

    def _pack(self) -> bool:
        if self._packing is None:
            waiting = to_pack(self._names())
            if not waiting:
                self._packs = False
                self._release()
                return False
            self._packing = Packing(self._path + waiting[0], self._disk)
        if self._packing.step():
            self._packing = None
            self._unpacked.over(self._id)
        return True

    def _finish_packing(self) -> None:
        """Compress what was begun: a rotation is about to rename it."""
        try:
            while self._packing is not None:
                self._pack()
        except OSError as error:
            self._give_up_packing(error)

    def _give_up_packing(self, error: OSError) -> None:
        # Tried again after the next rotation.
        self.stop_work()
        self._unpacked.met(self._id, error)

    def stop_work(self) -> None:
        """Leave what is not compressed as it is; who opens the file next compresses it."""
        self._packs = False
        if self._packing is not None:
            self._packing.abandon()
            self._packing = None
        self._release()
