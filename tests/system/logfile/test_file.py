"""Log files on a real disk: rotation, compression, changes by others, and hosts that end at any point."""

from __future__ import annotations

import errno
import gzip
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Line, LogFile
from aioverseer._system.logfile.disk import Disk
from aioverseer._system.logfile.file import AppendedFile
from aioverseer.core.text.log_format import Gap

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CALLS = [name for name in vars(Disk) if not name.startswith("_")]


class Reports:
    """Collects reports."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.sentences: list[str] = []

    def lost(self, lines: Counter[str]) -> None:
        """Count lost lines."""
        self.lines += lines

    def publish(self, id: str, reason: str) -> None:
        """Keep the sentence."""
        self.sentences.append(f"{id}: {reason}")


class Stopped(BaseException):
    """The simulated end of a host."""


class TestDisk(Disk):
    """A real disk that calls a function of the test before each system call, and tracks open descriptors."""

    __test__ = False
    __slots__ = ("before", "calls", "fds")

    def __init__(self, before: Callable[[str, tuple[Any, ...]], None] | None = None) -> None:
        self.before = before
        self.calls: list[str] = []
        self.fds: set[int] = set()

    def close_all(self) -> None:
        """Close all descriptors, as the system does for a host that has ended."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


def _watched(name: str) -> Any:
    real = getattr(Disk, name)

    def call(self: TestDisk, *args: Any) -> Any:
        self.calls.append(name)
        if self.before is not None:
            self.before(name, args)
        # No sync: hundreds of them take minutes on a busy disk, and only a crash of the machine shows a difference.
        result: Any = None if name == "sync" else real(self, *args)
        if name in ("open", "create", "open_to_read"):
            self.fds.add(result)
        elif name == "close":
            self.fds.discard(args[0])
        return result

    return call


for _name in CALLS:
    setattr(TestDisk, _name, _watched(_name))


class World:
    """A folder with one log file, and the host that writes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "web.log"
        self.reports = Reports()
        self.disk = TestDisk()
        self.next = 1
        self.time = NOW
        self.file: AppendedFile | None = None

    def open(self, **options: Any) -> AppendedFile:
        """Begin to write as a new host. The one before has ended, or was killed."""
        self.disk.close_all()
        self.file = AppendedFile(str(self.path), LogFile(self.path, **options), report=self.reports, disk=self.disk)
        return self.file

    def write(self, n: int) -> None:
        """Write as much as there is space for."""
        assert self.file is not None
        lines = [Line("web", "stdout", f"line {number}", self.time, 1) for number in range(self.next, self.next + n)]
        self.file.write(lines)
        self.next += n

    def work(self) -> None:
        """Compress everything."""
        assert self.file is not None
        while self.file.work():
            pass

    def end(self) -> None:
        """End the host, in order or not."""
        if self.file is not None:
            self.file.stop_work()
            self.file.close()
        self.disk.close_all()

    def names(self) -> list[str]:
        """Return the existing files, oldest first."""
        return suffixes_of(self.path)

    def lines(self) -> list[str]:
        """Return all lines, oldest first."""
        return content(self.path)


def suffixes_of(path: Path) -> list[str]:
    """Return the suffixes of the existing files after the log file's name, oldest first."""
    names = [name.removeprefix(path.name) for name in os.listdir(path.parent)]
    return sorted(names, key=lambda name: (-int((re.findall(r"\d+", name) or ["0"])[0]), name))


def content(path: Path) -> list[str]:
    """Return the lines of all files, oldest first. A file that exists compressed and uncompressed counts once."""
    text = b""
    names = suffixes_of(path)
    for name in names:
        if name.endswith(".tmp"):
            continue
        data = Path(f"{path}{name}").read_bytes()
        if name.endswith(".gz"):
            data = gzip.decompress(data)
            if name.removesuffix(".gz") in names:
                assert data == Path(f"{path}{name}".removesuffix(".gz")).read_bytes()
                continue
        text += data
    return text.decode().splitlines()


def numbers(first: int, last: int) -> list[str]:
    """Return the lines with these numbers."""
    return [f"line {number}" for number in range(first, last + 1)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a world with an empty folder."""
    (tmp_path / "logs").mkdir()
    world = World(tmp_path / "logs")
    yield world
    world.end()


# --- rotation and compression


def test_files_hold_whole_lines_up_to_their_limit(world: World) -> None:
    """The newest is number 1, and only as many are kept as were asked for."""
    world.open(max_bytes=14, keep=3)
    world.write(9)
    assert [".3", ".2", ".1", ""] == world.names()
    assert numbers(3, 9) == world.lines()  # two of seven bytes in each file
    assert [] == world.reports.sentences


def test_batches_do_not_change_the_files(world: World) -> None:
    """Lines written one by one make the same files."""
    world.open(max_bytes=20, keep=50)
    for _ in range(9):
        world.write(1)
    world.write(30)
    assert numbers(1, 39) == world.lines()
    assert all(os.stat(f"{world.path}{name}").st_size <= 20 for name in world.names())


def test_line_that_fits_in_a_file_is_not_split(world: World) -> None:
    """Even if it comes in pieces, in one batch or several."""
    file = world.open(max_bytes=34, keep=9)
    world.write(1)
    file.write([Line("web", "stdout", "x" * 40, NOW, 1)])
    world.write(1)
    piece = Line("web", "stdout", "y" * 8, NOW, 1, continued=True)
    file.write([piece])
    file.write([piece, piece])
    file.write([piece._replace(continued=False)])
    world.write(1)
    assert ["line 1", "x" * 40, "line 2", "y" * 32, "line 3"] == world.lines()
    assert [".3", ".2", ".1", ""] == world.names()
    assert [7, 41, 7 + 24 + 9, 7] == [os.stat(f"{world.path}{name}").st_size for name in [".3", ".2", ".1", ""]]


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("timestamps", [False, True])
def test_endless_line_does_not_fill_the_disk(world: World, batch: int, timestamps: bool) -> None:
    """It is cut between two pieces, where no file could hold it. Each part is a line of its own."""
    file = world.open(max_bytes=100, keep=4, timestamps=timestamps)
    piece = Line("web", "stdout", "y" * 30, NOW, 1, continued=True)
    for _ in range(0, 100, batch):
        file.write([piece] * batch)
    file.write([piece._replace(text="end", continued=False)])
    world.write(1)
    sizes = [os.stat(f"{world.path}{name}").st_size for name in world.names()]
    assert 5 == len(sizes)
    assert max(sizes) <= 101
    *parts, last, one = [text.rpartition(" ")[2] for text in world.lines()]
    assert {"y" * (60 if timestamps else 90)} == set(parts)
    assert last.endswith("end")
    assert "1" == one
    assert [] == world.reports.sentences


def test_two_endless_lines_do_not_fill_the_disk(world: World) -> None:
    """In one file each piece begins a line, because the other service's piece came in between."""
    file = world.open(max_bytes=100, keep=4)
    pieces = [Line(id, "stdout", id * 30, NOW, 1, continued=True) for id in "ab"]
    for _ in range(50):
        file.write(pieces)
    sizes = [os.stat(f"{world.path}{name}").st_size for name in world.names()]
    assert 5 == len(sizes)
    assert max(sizes) <= 101
    assert {"a" * 30, "b" * 30} == set(world.lines())


def test_endless_line_goes_on_if_rotation_fails(world: World) -> None:
    """Nothing comes in between, however often the rotation is tried."""
    file = world.open(max_bytes=50, keep=4)
    piece = Line("web", "stdout", "y" * 30, NOW, 1, continued=True)
    world.disk.before = failing(errno.EACCES, "rename")
    for _ in range(5):
        file.write([piece, piece])
    assert ["y" * 300] == world.lines()
    world.disk.before = None
    file.write([piece])
    assert ["y" * 300, "y" * 30] == world.lines()


def test_a_new_period_begins_a_new_file(world: World) -> None:
    """With its first line. A clock that goes back begins none. An existing file counts by its modification time."""
    world.open(every=3600, keep=9)
    world.write(2)
    world.time += timedelta(minutes=54)
    world.write(1)
    world.time += timedelta(minutes=2)
    world.write(2)
    world.time -= timedelta(minutes=10)
    world.write(1)
    assert [".1", ""] == world.names()
    world.end()
    os.utime(world.path, (0, world.time.timestamp()))
    world.open(every=3600, keep=9)
    world.time += timedelta(minutes=10)
    world.write(1)
    assert [".2", ".1", ""] == world.names()
    assert numbers(1, 7) == world.lines()


def test_rotated_files_are_compressed(world: World) -> None:
    """By gzip, with the permissions and times of the original."""
    world.open(max_bytes=14, keep=4, compress=True)
    world.write(2)
    world.path.chmod(0o660)
    os.utime(world.path, (5, 5))
    world.write(5)
    world.work()
    assert [".3.gz", ".2.gz", ".1.gz", ""] == world.names()
    assert numbers(1, 7) == world.lines()
    oldest = os.stat(f"{world.path}.3.gz")
    assert (0o660, 5) == (stat.S_IMODE(oldest.st_mode), oldest.st_mtime)
    assert 0o660 == stat.S_IMODE(world.path.stat().st_mode)
    assert [] == world.reports.sentences


def test_lines_are_written_during_compression(world: World) -> None:
    """One piece is compressed at a time. A rotation first completes the compression."""
    file = world.open(max_bytes=300_000, keep=4, compress=True)
    world.write(30_000)
    assert file.work()
    assert [".1", ".1.gz.tmp", ""] == world.names()
    world.write(1)
    assert [".1", ".1.gz.tmp", ""] == world.names()
    world.write(30_000)
    assert [".2.gz", ".1", ""] == world.names()
    world.work()
    assert [".2.gz", ".1.gz", ""] == world.names()
    assert numbers(1, 60_001) == world.lines()


@pytest.mark.parametrize("change", ["renamed", "written to", "removed"])
def test_copy_of_a_changed_file_is_discarded(world: World, change: str) -> None:
    """Otherwise the same lines would exist twice."""
    file = world.open(max_bytes=14, keep=4, compress=True)
    world.write(3)
    assert file.work()
    assert [".1", ".1.gz.tmp", ""] == world.names()
    rotated = Path(f"{world.path}.1")
    match change:
        case "renamed":
            rotated.rename(f"{world.path}.old")
        case "removed":
            rotated.unlink()
        case _:
            rotated.write_text("line 0\n" + rotated.read_text())
    world.work()
    expected = {"renamed": {"", ".old"}, "removed": {""}, "written to": {"", ".1.gz"}}[change]
    assert expected == set(world.names())
    if change == "written to":
        # It was compressed again.
        assert numbers(0, 3) == world.lines()
    assert [] == world.reports.sentences


def test_files_left_by_a_former_host_are_compressed(world: World) -> None:
    """Even if that host was killed in the middle, or rotated without compression."""
    world.open(max_bytes=14, keep=9)
    world.write(9)
    file = world.open(max_bytes=14, keep=9, compress=True)
    world.write(2)
    assert file.work()
    world.end()
    world.open(max_bytes=14, keep=9, compress=True)
    world.write(1)
    world.work()
    assert all(name.endswith(".gz") for name in world.names() if name)
    assert numbers(1, 12) == world.lines()


@pytest.mark.parametrize(
    "made",
    [gzip.compress(b"other"), gzip.compress(b"line 1\nline 2\n")[:-3], b"not gzip", b""],
    ids=["other", "cut off", "not gzip", "empty"],
)
def test_copy_with_other_content_is_kept(world: World, made: bytes) -> None:
    """Another program has made it, or is making it."""
    world.open(max_bytes=14, keep=9)
    world.write(3)
    Path(f"{world.path}.1.gz").write_bytes(made)
    world.open(max_bytes=14, keep=9, compress=True)
    world.write(2)
    world.work()
    assert [".2", ".2.gz", ".1.gz", ""] == world.names()
    assert b"line 1\nline 2\n" == Path(f"{world.path}.2").read_bytes()
    assert made == Path(f"{world.path}.2.gz").read_bytes()
    assert [] == world.reports.sentences


def test_complete_copy_replaces_its_file(world: World) -> None:
    """The host was killed before it removed the file."""
    world.open(max_bytes=14, keep=9)
    world.write(3)
    Path(f"{world.path}.1.gz").write_bytes(gzip.compress(b"line 1\nline 2\n"))
    world.open(max_bytes=14, keep=9)
    world.write(1)
    assert [".1.gz", ""] == world.names()
    assert numbers(1, 4) == world.lines()


# --- changes by others


def test_renamed_file_is_closed(world: World) -> None:
    """The next line begins a new file, with or without reopen()."""
    file = world.open()
    world.write(2)
    world.path.rename(f"{world.path}.1")
    world.write(2)
    world.path.rename(f"{world.path}.0")
    file.reopen()
    assert set() == world.disk.fds
    world.write(1)
    assert numbers(1, 2) == Path(f"{world.path}.1").read_text().splitlines()
    assert numbers(3, 4) == Path(f"{world.path}.0").read_text().splitlines()
    assert numbers(5, 5) == world.path.read_text().splitlines()


def test_removed_file_is_made_again(world: World) -> None:
    """Without a report: the lines were not wanted."""
    world.open()
    world.write(2)
    world.path.unlink()
    world.write(2)
    assert numbers(3, 4) == world.path.read_text().splitlines()
    assert [] == world.reports.sentences


def test_truncated_file_goes_on(world: World) -> None:
    """As by copytruncate of logrotate: it has no hole, and its size is counted again."""
    world.open(max_bytes=21)
    world.write(3)
    os.truncate(world.path, 0)
    world.write(2)
    assert [""] == world.names()
    assert numbers(4, 5) == world.path.read_text().splitlines()


def test_unfinished_line_is_ended_in_a_renamed_file(world: World) -> None:
    """The rest begins a line in the new file."""
    file = world.open()
    piece = Line("web", "stdout", "x", NOW, 1, continued=True)
    file.write([piece])
    world.path.rename(f"{world.path}.1")
    file.write([piece._replace(text="y", continued=False)])
    assert ("x\n", "y\n") == (Path(f"{world.path}.1").read_text(), world.path.read_text())


def test_missing_folders_are_made_for_the_first_line_only(tmp_path: Path) -> None:
    """A folder that disappears later is reported once, and so is its return."""
    world = World(tmp_path / "a" / "b")
    world.open()
    world.write(1)
    shutil.rmtree(tmp_path / "a")
    world.write(2)
    world.write(3)
    assert not (tmp_path / "a").exists()
    world.path.parent.mkdir(parents=True)
    world.write(1)
    world.write(1)
    world.end()
    what = f"web: its log file {world.path}"
    assert [
        f"{what} cannot be written: No such file or directory",
        f"{what} is written again; 5 lines were lost",
    ] == world.reports.sentences
    assert {"web": 5} == world.reports.lines
    mark = "[aioverseer: 5 lines are missing here: No such file or directory]"
    assert [mark, "line 7", "line 8"] == world.path.read_text().splitlines()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_named_pipe_without_reader_does_not_block(world: World, kind: str) -> None:
    """It would block all logs."""
    if kind == "pipe":
        os.mkfifo(world.path)
    else:
        world.path.mkdir()
    world.open()
    world.write(2)
    assert {"web": 2} == world.reports.lines
    assert 1 == len(world.reports.sentences)


def test_one_of_two_hosts_rotates_a_shared_file(world: World) -> None:
    """Both write every line. The second reports that it does not rotate, and takes over when the first has ended."""
    first = world.open(max_bytes=70, keep=99, compress=True)
    world.write(1)
    other = Reports()
    second = AppendedFile(
        str(world.path), LogFile(world.path, max_bytes=70, keep=99, compress=True), report=other, disk=TestDisk()
    )

    def both(times: int) -> None:
        for _ in range(times):
            world.file = first
            world.write(2)
            world.file = second
            world.write(3)

    both(20)
    assert numbers(1, 101) == world.lines()
    what = f"web: its log file {world.path}"
    assert [] == world.reports.sentences
    assert [f"{what} is not rotated by this host: another host or overseer writes it too"] == other.sentences
    world.file = first
    world.work()
    assert not second.work()
    assert numbers(1, 101) == world.lines()
    first.close()
    names = len(world.names())
    world.file = second
    world.write(100)
    world.work()
    assert f"{what} is rotated by this host now" == other.sentences[-1]
    assert numbers(1, 201) == world.lines()
    assert len(world.names()) >= names + 10
    assert not world.reports.lines | other.lines


def test_compression_keeps_other_hosts_from_rotating(world: World) -> None:
    """The file of an ended service is closed, but a file that is being compressed must not be renamed."""
    first = world.open(max_bytes=14, keep=99, compress=True)
    world.write(3)
    assert first.work()
    first.close()
    log = LogFile(world.path, max_bytes=14, keep=99, compress=True)
    world.file = AppendedFile(str(world.path), log, report=world.reports, disk=TestDisk())
    world.write(5)
    assert [".1", ".1.gz.tmp", ""] == world.names()
    while first.work():
        pass
    assert not world.disk.fds
    assert [".1.gz", ""] == world.names()
    world.write(1)
    world.work()
    assert [".2.gz", ".1.gz", ""] == world.names()
    assert numbers(1, 9) == world.lines()


def test_file_taken_by_another_host_during_rotation_is_left_to_it(world: World) -> None:
    """Between the renaming and the lock on the new file, another host may lock it first."""
    locks = 0

    def before(name: str, _args: tuple[Any, ...]) -> None:
        nonlocal locks
        locks += name == "lock"
        if name == "lock" and locks > 1:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    world.disk.before = before
    world.open(max_bytes=14, keep=99, compress=True)
    world.write(9)
    world.work()
    assert [".1", ""] == world.names()
    assert numbers(1, 9) == world.lines()
    assert 1 == len(world.reports.sentences)


def test_rotation_is_not_repeated_after_waiting_for_the_lock(world: World) -> None:
    """The lock is released with the next batch. Two hosts that rotate at once would rename files over each other's."""
    world.open(max_bytes=14, keep=99)
    world.write(1)
    world.end()
    renamed = False

    def before(name: str, _args: tuple[Any, ...]) -> None:
        nonlocal renamed
        if name == "lock" and not renamed:
            renamed = True
            world.path.rename(f"{world.path}.1")
            world.path.touch()

    world.disk.before = before
    world.open(max_bytes=14, keep=99)
    world.write(3)
    assert [".1", ""] == world.names()
    assert "" == world.path.read_text()
    world.write(3)
    assert [".2", ".1", ""] == world.names()
    assert numbers(1, 7) == world.lines()
    assert [] == world.reports.sentences


def test_file_renamed_while_it_is_opened_gets_the_lines(world: World) -> None:
    """They are in the file under its new name, so no line is lost."""
    world.open()
    world.write(1)
    world.end()

    def before(name: str, _args: tuple[Any, ...]) -> None:
        if name == "open_to_read":
            world.path.rename(f"{world.path}.1")

    world.disk.before = before
    world.open()
    world.write(1)
    world.disk.before = None
    world.write(1)
    assert [".1", ""] == world.names()
    assert numbers(1, 3) == world.lines()
    assert [] == world.reports.sentences


def test_file_rotated_by_another_host_while_it_is_opened_gets_no_empty_line(world: World) -> None:
    """The path leads to the new file, whose byte at that place says nothing about the old one."""
    world.open()
    world.write(1)
    world.end()

    def before(name: str, _args: tuple[Any, ...]) -> None:
        if name == "open_to_read":
            world.path.rename(f"{world.path}.1")
            world.path.write_text("a longer line of the other host\n")

    world.disk.before = before
    world.open()
    world.write(1)
    world.disk.before = None
    assert "line 1\nline 2\n" == Path(f"{world.path}.1").read_text()


def test_long_write_of_another_host_is_no_unfinished_line(world: World) -> None:
    """The size is that of a moment in the middle of it."""
    world.path.write_text("half of a l")
    sizes = 0

    def before(name: str, args: tuple[Any, ...]) -> None:
        nonlocal sizes
        sizes += name == "last_byte"
        if name == "set_mode" and sizes == 1:
            with world.path.open("a") as other:
                other.write("ine\n")

    world.disk.before = before
    world.open()
    world.write(1)
    assert "half of a line\nline 1\n" == world.path.read_text()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_is_rotated_without_locks(world: World, error: int) -> None:
    """Nothing is reported, because other hosts are unknown."""
    world.disk.before = failing(error, "lock")
    world.open(max_bytes=14)
    world.write(7)
    assert [".3", ".2", ".1", ""] == world.names()
    assert [] == world.reports.sentences


def test_hosts_that_share_a_file_lose_no_line(tmp_path: Path) -> None:
    """Hosts take over from each other again and again, and every line exists once."""
    path = tmp_path / "logs" / "web.log"
    path.parent.mkdir()
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SHARER), str(path), name],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": _root()},
        )
        for name in "abc"
    ]
    for host in hosts:
        with host:
            assert host.stdout is not None
            assert b"" == host.stdout.read()
            assert 0 == host.wait()
    lines = content(path)
    for name in "abc":
        assert [f"{name} {n}" for n in range(800)] == [line for line in lines if line.startswith(name)]
    assert 2400 == len(lines)
    assert len(suffixes_of(path)) > 1


# --- a disk that does not take it


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of its own needs root, and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_lines_lost_on_a_full_disk_are_counted(full_disk: Path) -> None:
    """Earlier lines are whole. Once there is space again, a mark shows where lines are missing."""
    world = World(full_disk)
    world.open()
    world.write(1000)
    world.write(1000)
    world.write(1000)
    world.write(1)
    lost = world.reports.lines["web"]
    kept = len(world.lines())
    assert numbers(1, kept) == world.lines()
    assert 3001 == kept + lost
    os.truncate(world.path, 0)
    world.write(2)
    world.end()
    what = f"web: its log file {world.path}"
    assert [
        f"{what} cannot be written: No space left on device",
        f"{what} is written again; {lost} lines were lost",
    ] == world.reports.sentences
    mark = f"[aioverseer: {lost} lines are missing here: No space left on device]"
    assert [mark, *numbers(3002, 3003)] == world.lines()


def test_file_size_limit_does_not_end_the_host(world: World) -> None:
    """Python ignores the signal of RLIMIT_FSIZE. This acts as a full disk for users other than root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    world.open()
    world.write(1)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        world.write(1000)
        world.write(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = len(world.lines())
    lost = world.reports.lines["web"]
    assert 1002 == kept + lost
    assert 991 < world.path.stat().st_size <= 1000
    world.write(1)
    mark = f"[aioverseer: {lost} lines are missing here: File too large]"
    assert [*numbers(1, kept), mark, "line 1003"] == world.lines()
    assert 2 == len(world.reports.sentences)


def test_compression_on_a_full_disk_changes_nothing(full_disk: Path) -> None:
    """The file stays, and no part of the copy is left."""
    world = World(full_disk)
    world.open(max_bytes=8000, keep=9, compress=True)
    world.write(1200)
    names = world.names()
    (full_disk / "ballast").write_bytes(bytes(4096))
    world.work()
    (full_disk / "ballast").unlink()
    assert names == world.names()
    assert [f"web: its log file {world.path} cannot be compressed: No space left on device"] == world.reports.sentences
    assert numbers(1, 1200 - world.reports.lines["web"]) == world.lines()
    world.end()


def failing(error: int, *calls: str) -> Callable[[str, tuple[Any, ...]], None]:
    """Let calls fail."""

    def before(name: str, _args: tuple[Any, ...]) -> None:
        if name in calls:
            raise OSError(error, os.strerror(error))

    return before


class ShortDisk(TestDisk):
    """A disk that can take only a number of bytes, and can refuse to truncate."""

    __test__ = False
    room: int | None = None
    breaks = False

    def write(self, fd: int, data: memoryview) -> int:
        """Write as much as there is space for."""
        if self.room is None:
            return Disk.write(self, fd, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = Disk.write(self, fd, data[: self.room])
        self.room -= written
        return written

    def truncate(self, fd: int, size: int) -> None:
        """Truncate, unless the disk refuses."""
        if self.breaks:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        Disk.truncate(self, fd, size)


@pytest.mark.parametrize(("breaks", "torn"), [(False, []), (True, ["lin"])])
def test_partial_write_leaves_whole_lines(world: World, breaks: bool, torn: list[str]) -> None:
    """The unfinished line is removed. If that fails, it is ended, and counts as lost."""
    disk = world.disk = ShortDisk()
    disk.breaks = breaks
    world.open()
    world.write(1)
    disk.room = 10
    world.write(3)
    disk.room = None
    world.write(1)
    mark = "[aioverseer: 2 lines are missing here: No space left on device]"
    assert ["line 1", "line 2", *torn, mark, "line 5"] == world.lines()
    assert {"web": 2} == world.reports.lines


@pytest.mark.parametrize("call", ["open", "stat", "write", "make_folders"])
def test_failure_is_reported_once_and_costs_only_lines(world: World, call: str) -> None:
    """The next batch tries again."""
    world.open()
    world.disk.before = failing(errno.EIO, call)
    world.write(2)
    world.write(2)
    world.disk.before = None
    world.write(2)
    world.write(2)
    assert {"web": 4} == world.reports.lines
    assert ["[aioverseer: 4 lines are missing here: Input/output error]", *numbers(5, 8)] == world.lines()
    assert 2 == len(world.reports.sentences)


@pytest.mark.parametrize("call", ["rename", "names"])
def test_file_that_cannot_be_rotated_goes_on(world: World, call: str) -> None:
    """It grows beyond its limit, loses no line, and is rotated as soon as possible."""
    world.open(max_bytes=14)
    world.write(2)
    world.disk.before = failing(errno.EACCES, call)
    world.write(3)
    world.write(1)
    assert [""] == world.names()
    world.disk.before = None
    world.write(1)
    assert [".1", ""] == world.names()
    assert numbers(1, 7) == world.lines()
    what = f"web: its log file {world.path}"
    assert [f"{what} cannot be rotated: Permission denied", f"{what} is rotated again"] == world.reports.sentences
    assert not world.reports.lines


def test_lost_mark_is_written_later_and_not_counted_twice(world: World) -> None:
    """Its lines were counted when they were dropped."""
    file = world.open()
    world.disk.before = failing(errno.EIO, "write")
    file.write([Gap(id="web", n=3, time=NOW, reason="too many"), Line("web", "stdout", "a", NOW, 1)])
    world.disk.before = None
    world.write(1)
    assert {"web": 1} == world.reports.lines
    assert ["[aioverseer: 4 lines are missing here: Input/output error]", "line 1"] == world.lines()


# --- a host that ends anywhere


def scenario(world: World) -> None:
    """Make three rotations with compression, and remove a file."""
    world.open(max_bytes=14, keep=50, compress=True)
    for n in (3, 1, 2, 3):
        world.write(n)
        world.work()


def test_host_may_end_before_any_system_call(tmp_path: Path) -> None:
    """The next host finds every line once and in order, and continues after them."""
    whole = World(tmp_path)
    scenario(whole)
    calls = list(whole.disk.calls)
    whole.end()
    assert {"rename", "remove", "create", "sync", "write"} <= set(calls)
    for stop in range(len(calls)):
        folder = tmp_path / str(stop)
        folder.mkdir()
        with stopped_world(folder, stop, torn=False) as world:
            written = world.lines()
            assert numbers(1, len(written)) == written
            # A second host, which is stopped too, and a third.
            world.next = len(written) + 1
            world.disk = TestDisk(_stop_at(stop % 23))
            with suppress(Stopped):
                scenario(world)
            world.disk.close_all()
            written = world.lines()
            assert numbers(1, len(written)) == written
            world.next = len(written) + 1
            world.disk = TestDisk()
            scenario(world)
            assert numbers(1, len(written) + 9) == world.lines(), world.names()
            assert all(re.fullmatch(r"\.\d+\.gz|", name) for name in world.names()), world.names()


def test_host_may_end_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """The unfinished line is ended, and no other line is touched."""
    whole = World(tmp_path)
    scenario(whole)
    writes = [number for number, name in enumerate(whole.disk.calls) if name == "write"]
    whole.end()
    for stop in writes:
        folder = tmp_path / str(stop)
        folder.mkdir()
        with stopped_world(folder, stop, torn=True) as world:
            *written, torn = world.lines() or [""]
            if torn in numbers(1, 9):  # it was a compressed copy that was being written
                written.append(torn)
                torn = ""
            assert numbers(1, len(written)) == written
            assert f"line {len(written) + 1}".startswith(torn)
            world.next = len(written) + 1
            world.disk = TestDisk()
            scenario(world)
            rest = numbers(len(written) + 1, len(written) + 9)
            assert [*written, *filter(None, [torn]), *rest] == world.lines()


@contextmanager
def stopped_world(folder: Path, stop: int, *, torn: bool) -> Generator[World]:
    """Return a world whose host has ended before, or in the middle of, one of its system calls."""
    world = World(folder)
    world.disk = TestDisk(_stop_at(stop, torn=torn))
    with pytest.raises(Stopped):
        scenario(world)
    world.disk.close_all()
    try:
        yield world
    finally:
        world.end()


def _stop_at(number: int, *, torn: bool = False) -> Callable[[str, tuple[Any, ...]], None]:
    count = 0

    def before(name: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if count == number:
            if torn:
                os.write(args[0], args[1][:3])
            raise Stopped
        count += 1

    return before


SHARER = """
    import sys
    from datetime import UTC, datetime
    from aioverseer import Line, LogFile
    from aioverseer._system.logfile.file import AppendedFile

    class Reports:
        def lost(self, lines): print("lost", lines)
        def publish(self, id, reason):
            if "rotated by this host" not in reason: print(reason)

    path, name = sys.argv[1:]
    file = AppendedFile(path, LogFile(path, max_bytes=1000, keep=999), report=Reports())
    for n in range(0, 800, 5):
        now = datetime.now(UTC)
        file.write([Line(name, "stdout", f"{name} {n + i}", now, 1) for i in range(5)])
        if n % 100 == 0:
            file.reopen()
    file.close()
"""


HOST = """
    import sys
    from collections import Counter
    from datetime import UTC, datetime
    from aioverseer import Line, LogFile
    from aioverseer._system.logfile.file import AppendedFile

    class Reports:
        def lost(self, lines): print("lost", lines)
        def publish(self, id, reason): print("told", reason)

    path, first = sys.argv[1], int(sys.argv[2])
    log = LogFile(path, max_bytes=3000, keep=999, compress=True)
    file = AppendedFile(path, log, report=Reports())
    now = datetime.now(UTC)
    for start in range(first, first + 100_000, 40):
        file.write([Line("web", "stdout", f"line {n} end", now, 1) for n in range(start, start + 40)])
        file.work()
        if start == first + 800:
            print("ready", flush=True)
"""


def test_host_may_be_killed_at_any_time(tmp_path: Path) -> None:
    """After many SIGKILLs every line exists once, in order. Each kill tears one line at most."""
    path = tmp_path / "logs" / "web.log"
    path.parent.mkdir()
    kept = 0
    for kill in range(1, 9):
        argv = [sys.executable, "-c", textwrap.dedent(HOST), str(path), str(kept + 1)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": _root()}) as host:
            assert host.stdout is not None
            assert b"ready\n" == host.stdout.readline()
            host.send_signal(signal.SIGKILL)
            assert b"" == host.stdout.read()
        lines = content(path)
        whole = [line for line in lines if line.endswith(" end")]
        assert [f"line {n} end" for n in range(1, len(whole) + 1)] == whole
        assert len(lines) - len(whole) <= kill
        assert len(whole) > kept
        kept = len(whole)


def _root() -> str:
    return str(Path(__file__).parents[3])
