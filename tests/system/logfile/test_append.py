"""Lines appended to a file, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from aioverseer._system.logfile.append import append_lines
from aioverseer._system.logfile.disk import Disk

LINES = [b"one\n", b"two\n", b"three\n"]


class Full(Disk):
    """A disk with limited space. Each write takes a limited number of bytes."""

    def __init__(self, room: int, at_once: int = 1000, *, nothing: bool = False) -> None:
        self.room = room
        self.at_once = at_once
        self.nothing = nothing

    def write(self, fd: int, data: memoryview) -> int:
        """Write as much as fits."""
        if self.nothing:
            return 0
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(fd, data[: min(self.room, self.at_once)])
        self.room -= written
        return written


def test_lines_are_appended(tmp_path: Path) -> None:
    """After the existing content."""
    path = tmp_path / "file"
    assert (3, None) == append_lines(str(path), LINES)
    assert (1, None) == append_lines(str(path), [b"four\n"])
    assert b"one\ntwo\nthree\nfour\n" == path.read_bytes()


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@pytest.mark.parametrize("room", range(14))
def test_line_that_does_not_fit_is_not_begun(tmp_path: Path, room: int, at_once: int) -> None:
    """However many of its bytes the system takes."""
    path = tmp_path / "file"
    path.write_bytes(b"zero\n")
    written, error = append_lines(str(path), LINES, Full(room, at_once))
    assert errno.ENOSPC == getattr(error, "errno", None)
    assert {0: 0, 1: 4, 2: 8}[written] <= room
    assert written == 2 or room < {0: 4, 1: 8}[written]
    assert b"zero\n" + b"".join(LINES[:written]) == path.read_bytes()


def test_write_of_nothing_is_an_error(tmp_path: Path) -> None:
    """It is no endless loop."""
    written, error = append_lines(str(tmp_path / "file"), LINES, Full(9, nothing=True))
    assert (0, errno.EIO) == (written, getattr(error, "errno", None))


def test_file_replaced_while_it_is_opened_gets_no_empty_line(tmp_path: Path) -> None:
    """The path leads to another file, whose byte at that place says nothing."""
    path = tmp_path / "events"
    path.write_text("a\n")

    class Replacing(Disk):
        __slots__ = ()

        def open_to_read(self, path: str) -> int:
            os.rename(path, f"{path}.1")
            Path(path).write_text("longer\n")
            return super().open_to_read(path)

    assert (1, None) == append_lines(str(path), [b"b\n"], Replacing())
    assert "a\nb\n" == Path(f"{path}.1").read_text()


def test_unfinished_line_of_a_killed_host_is_ended(tmp_path: Path) -> None:
    """So no line is glued to it. If even that fails, nothing is written."""
    path = tmp_path / "file"
    path.write_bytes(b"half")
    assert 0 == append_lines(str(path), LINES, Full(0))[0]
    assert b"half" == path.read_bytes()
    assert (3, None) == append_lines(str(path), LINES)
    assert b"half\none\ntwo\nthree\n" == path.read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_device_is_written_to() -> None:
    """A device has no end to check."""
    assert (3, None) == append_lines("/dev/null", LINES)
    written, error = append_lines("/dev/full", LINES)
    assert (0, errno.ENOSPC) == (written, getattr(error, "errno", None))


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """The caller makes folders."""
    written, error = append_lines(str(tmp_path / "no" / "file"), LINES)
    assert (0, errno.ENOENT) == (written, getattr(error, "errno", None))
