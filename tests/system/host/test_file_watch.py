"""The watch of one file, which need not exist yet: by inotify, without polling."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")


class Watched:
    """A watch, and what it has reported."""

    def __init__(self, path: Path) -> None:
        from aioverseer._system.host.file_watch import FileWatch  # Linux only

        self.reports: asyncio.Queue[bool] = asyncio.Queue()
        self.watch = FileWatch(str(path), self.reports.put_nowait)

    async def whole(self) -> None:
        """Wait for a report of a file whose writer has finished."""
        async with limit(5):
            while not await self.reports.get():
                pass


async def read() -> None:
    """Let the event loop handle what the kernel has told so far: it tells in the call that changes a file."""
    for _ in range(2):
        await asyncio.sleep(0)


@pytest.fixture
def watches() -> Iterator[list[Watched]]:
    made: list[Watched] = []
    yield made
    for it in made:
        it.watch.close()
        it.watch.close()


async def test_file_that_is_written_replaced_and_removed(tmp_path: Path, watches: list[Watched]) -> None:
    path = tmp_path / "a.pid"
    watches.append(it := Watched(path))
    path.write_text("1")
    await it.whole()
    (tmp_path / "new").write_text("2")
    (tmp_path / "new").rename(path)
    await it.whole()
    path.unlink()
    async with limit(5):
        assert not await it.reports.get()


async def test_write_without_a_close_is_reported(tmp_path: Path, watches: list[Watched]) -> None:
    watches.append(it := Watched(tmp_path / "a.pid"))
    with (tmp_path / "a.pid").open("w") as file:
        async with limit(5):
            await it.reports.get()
            file.write("1")
            file.flush()
            assert not await it.reports.get()


async def test_folders_may_be_made_and_replaced_later(tmp_path: Path, watches: list[Watched]) -> None:
    path = tmp_path / "a" / "b" / "c.pid"
    watches.append(it := Watched(path))
    path.parent.mkdir(parents=True)
    path.write_text("1")
    async with limit(5):
        await it.reports.get()
    path.unlink()
    path.parent.rmdir()
    await read()
    path.parent.mkdir()
    await read()
    path.write_text("2")
    async with limit(5):
        await it.whole()


async def test_other_files_are_not_reported(tmp_path: Path, watches: list[Watched]) -> None:
    watches.append(it := Watched(tmp_path / "a.pid"))
    for number in range(50):
        (tmp_path / f"{number}").write_text("x")
    (tmp_path / "a.pid").write_text("1")
    await it.whole()
    assert it.reports.qsize() <= 2


async def test_lost_events_are_told_as_a_change(tmp_path: Path, watches: list[Watched]) -> None:
    """The queue of the kernel is full before the file is written."""
    watches.append(it := Watched(tmp_path / "a.pid"))
    size = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if size > 100_000:
        pytest.skip(f"the queue of the kernel takes {size} events")
    for number in range(size // 3 + 1):  # created, closed, deleted
        other = tmp_path / str(number % 2)
        os.close(os.open(other, os.O_CREAT | os.O_WRONLY))
        other.unlink()
    (tmp_path / "a.pid").write_text("1")
    await it.whole()
