"""What waits for one log, without a thread: how much that may be, and that it begins anew when it was written."""

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
    """A target that counts."""

    shows_ids = False

    def __init__(self) -> None:
        self.written = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """Count them."""
        self.written += len(entries)

    def reopen(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def work(self) -> bool:
        """Nothing to do."""
        return False

    def stop_work(self) -> None:
        """Nothing to do."""


class Slow(LogWriter):
    """Does what it was ordered when a test says so, and not in a thread."""

    def __init__(self) -> None:
        super().__init__("slow", on_lost=lambda _id, _n: None, on_trouble=lambda _id, _reason: None)
        self.submitted: list[Callable[[], None]] = []

    def start(self) -> bool:
        """There is nothing to start."""
        return True

    def submit(self, job: Callable[[], None], target: Target | None = None) -> None:
        """Keep it."""
        self.submitted.append(job)

    def catch_up(self) -> None:
        """Do all of it."""
        submitted, self.submitted = self.submitted, []
        for job in submitted:
            job()


def filled(backlog: Backlog) -> int:
    """How often it takes something until it refuses."""
    return next(n for n in range(100) if not backlog.add([LINE], STEP))


@pytest.mark.parametrize(
    ("blocks", "most"), [(False, BACKLOG_BYTES), (True, BACKLOG_BYTES + EXCESS_BYTES)], ids=["drops", "blocks"]
)
async def test_as_much_as_before_may_wait_once_it_was_written(blocks: bool, most: int) -> None:
    """One that blocks takes what programs leave that end, up to a bound; both tell when there is room."""
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
