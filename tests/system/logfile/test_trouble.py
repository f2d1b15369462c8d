"""Log files whose disk, folder or neighbours make trouble in the middle of a step."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.logfile.test_file import Reports, ShortDisk, TestDisk, World, failing, numbers


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> Iterator[World]:
    """A world with an empty folder."""
    (tmp_path / "logs").mkdir()
    world = World(tmp_path / "logs")
    yield world
    world.end()


def test_copy_that_cannot_be_made_leaves_the_file(world: World) -> None:
    """It is reported, and no descriptor stays open."""
    world.open(max_bytes=14, keep=3, compress=True)
    world.write(3)
    world.disk.before = failing(errno.EACCES, "create")
    before = len(world.disk.fds)
    world.work()
    assert len(world.disk.fds) <= before
    assert [".1", ""] == world.names()
    assert [f"web: its log file {world.path} cannot be compressed: Permission denied"] == world.reports.sentences
    assert numbers(1, 3) == world.lines()


def test_file_that_grows_while_its_copy_is_named_is_kept(world: World) -> None:
    """Another process appends to the rotated file at the last moment."""
    world.open(max_bytes=14, keep=3, compress=True)
    world.write(3)
    rotated = Path(f"{world.path}.1")

    def extend(name: str, args: tuple[Any, ...]) -> None:
        if name == "rename" and str(args[1]).endswith(".gz"):
            world.disk.before = None
            with rotated.open("a") as file:
                file.write("late\n")

    world.disk.before = extend
    world.work()
    assert "line 1\nline 2\nlate\n" == rotated.read_text()


def test_rotation_during_a_compression_that_fails_goes_on(world: World) -> None:
    """The compression is given up, and no part of its copy is left."""
    world.open(max_bytes=14, keep=5, compress=True)
    world.write(3)
    assert world.file is not None
    assert world.file.work()
    world.disk.before = failing(errno.EIO, "read")
    world.write(2)
    world.disk.before = None
    assert not [name for name in world.names() if name.endswith(".tmp")]
    assert f"web: its log file {world.path} cannot be compressed: Input/output error" in world.reports.sentences
    assert numbers(1, 5) == world.lines()


class Lazy(TestDisk):
    """A disk that takes nothing and reports no error."""

    __test__ = False

    def write(self, fd: int, data: memoryview) -> int:
        """Return 0."""
        return 0


def test_write_of_nothing_costs_the_lines(world: World) -> None:
    """It does not loop for ever."""
    world.disk = Lazy()
    world.open()
    world.write(2)
    assert {"web": 2} == world.reports.lines


def test_device_takes_batch_after_batch() -> None:
    """It has no size, and is not opened again."""
    reports = Reports()
    world = World(Path("/dev"))
    world.path, world.reports = Path("/dev/null"), reports
    world.open()
    world.write(2)
    world.write(2)
    assert 1 == world.disk.calls.count("open")
    world.end()
    assert not reports.lines


def test_pipe_with_a_reader_is_no_log_file(world: World) -> None:
    """Its lines are lost and reported, and no descriptor stays open."""
    os.mkfifo(world.path)
    reader = os.open(world.path, os.O_RDONLY | os.O_NONBLOCK)
    world.open()
    world.write(2)
    os.close(reader)
    assert {"web": 2} == world.reports.lines
    assert not world.disk.fds
    assert "it is neither a file nor a device" in world.reports.sentences[0]


def test_folder_that_cannot_be_read_is_reported_at_the_first_batch(world: World) -> None:
    """The lines are written all the same."""
    world.open(max_bytes=10_000)
    world.disk.before = failing(errno.EACCES, "names")
    world.write(2)
    assert [f"web: its log file {world.path} cannot be rotated: Permission denied"] == world.reports.sentences
    assert numbers(1, 2) == world.lines()


def test_mark_that_was_written_is_not_repeated(world: World) -> None:
    """After it, the disk has no room for the lines of the same batch."""
    disk = world.disk = ShortDisk()
    world.open()
    world.write(1)
    disk.room = 0
    world.write(2)
    mark = "[aioverseer: 2 lines are missing here: No space left on device]\n"
    disk.room = len(mark)
    world.write(1)
    disk.room = None
    world.write(1)
    marks = [line for line in world.lines() if "missing" in line]
    assert ["2", "1"] == [line.split()[1] for line in marks]
    assert "line 5" == world.lines()[-1]
