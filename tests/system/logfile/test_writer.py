"""The backlog of one log, without a thread: its limit, and the room after a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from aioverseer import Line
from aioverseer._system.logfile.writer import BACKLOG_BYTES, Backlog, LogWriter, Target
from aioverseer.core.text.lines import EXCESS_BYTES
from aioverseer.core.text.log_format import Entry

LINE = Line("web", "stdout", "x", datetime(2030, 1, 2, tzinfo=UTC), 1)
STEP = 512 * 1024


class Paper:
    """A target that counts entries."""

    shows_ids = False

    def __init__(self) -> None:
        self.written = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Count the entries."""
        self.written += len(entries)

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def work(self) -> bool:
        """Return False: there is no background work."""
        return False

    def stop_work(self) -> None:
        """Do nothing."""


class Slow(LogWriter):
    """A writer without a thread: it runs its jobs when the test says so."""

    def __init__(self) -> None:
        super().__init__("slow", on_lost=lambda _id, _n: None, on_trouble=lambda _id, _reason: None)
        self.submitted: list[Callable[[], None]] = []

    def start(self) -> bool:
        """Do nothing: there is no thread."""
        return True

    def submit(self, job: Callable[[], None], target: Target | None = None) -> None:
        """Keep the job."""
        self.submitted.append(job)

    def catch_up(self) -> None:
        """Run all jobs."""
        submitted, self.submitted = self.submitted, []
        for job in submitted:
            job()


def filled(backlog: Backlog) -> int:
    """Return how many entries a backlog accepts until it is full."""
    return next(n for n in range(100) if not backlog.add([LINE], STEP))


@pytest.mark.parametrize(
    ("blocks", "most"), [(False, BACKLOG_BYTES), (True, BACKLOG_BYTES + EXCESS_BYTES)], ids=["drops", "blocks"]
)
async def test_backlog_has_its_full_size_again_after_a_write(blocks: bool, most: int) -> None:
    """A blocking backlog also accepts the output of ended programs, up to a bound. Both report new room."""
    writer, paper = Slow(), Paper()
    backlog = Backlog(paper, writer, blocks=blocks)
    rooms: list[Any] = []
    backlog.on_room = lambda: rooms.append(backlog.blocked)
    for round_ in (1, 2, 3):
        assert most // STEP == filled(backlog)
        assert blocks is backlog.blocked
        assert backlog.add([LINE], 0, force=True)
        writer.catch_up()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert round_ * (most // STEP + 1) == paper.written
        assert [False] * round_ == rooms
