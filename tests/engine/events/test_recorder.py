"""Events in a file."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path

import pytest

from aioverseer import Event, Overseer, OverseerError, Restart, ThreadedOverseer
from aioverseer._engine.events import recorder as recorder_module
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


async def test_every_event_is_a_line_of_the_file(tmp_path: Path) -> None:
    """Also those of the end of the overseer; one that was there before stays."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 0}\n')
    async with limit(), Overseer() as overseer:
        events = overseer.events()
        recorder = overseer.record(path)
        overseer.add("true", "true")
        overseer.add("sleeper", "sleep", "100")
        await overseer.start_all()
    expected = [event.to_json() for event in iter(events.get_nowait, None)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [{"seq": 0}, *expected] == lines
    assert (len(expected), 0) == (recorder.written, recorder.lost)
    assert "interrupted" == lines[-1]["state"]


async def test_unwritable_events_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The services do not notice; it is told once."""
    async with limit(), Overseer() as overseer:
        events = overseer.events()
        recorder = overseer.record(tmp_path / "no" / "such" / "folder")
        assert (await overseer.add("true", "true").start()).pid
        await overseer["true"].wait()
    assert (0, len(list(iter(events.get_nowait, None)))) == (recorder.written, recorder.lost)
    assert 1 == sum(
        "events cannot be written" in record.message for record in caplog.records if record.levelno >= logging.WARNING
    )


async def test_events_that_came_too_fast_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the journal of the overseer keeps, in one turn."""
    monkeypatch.setattr("aioverseer._engine.events.journal.JOURNAL_SIZE", 3)
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().exits(1))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        recorder = overseer.record(tmp_path / "events")
        for number in range(20):
            overseer.add(str(number), "any", restart=Restart("never"))
        await overseer.supervise_all()
        last = overseer.events(since=0).get_nowait()
    assert last is not None
    assert recorder.lost > 0
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert (recorder.written, recorder.lost) == (len(lines), sum(line["missed"] for line in lines))


async def test_recording_begins_at_the_given_event(tmp_path: Path) -> None:
    """After a remembered event, or with the next one."""
    async with limit(), Overseer() as overseer:
        await overseer.supervise(overseer.add("true", "true").id)
        overseer.record(tmp_path / "all", since=0)
        overseer.record(tmp_path / "rest", since=2)
        overseer.record(tmp_path / "none")
    assert [[1, 2, 3], [3], []] == [
        [json.loads(line)["seq"] for line in path.read_text().splitlines()] if path.exists() else []
        for path in (tmp_path / name for name in ("all", "rest", "none"))
    ]


async def test_outside_of_the_block_nothing_is_recorded(tmp_path: Path) -> None:
    """It says so."""
    with pytest.raises(OverseerError):
        Overseer().record(tmp_path / "events")


def test_threads_record_too(tmp_path: Path) -> None:
    """The same file."""
    with ThreadedOverseer() as overseer:
        overseer.record(tmp_path / "events")
        overseer.add("true", "true").start().wait()
    assert '"finished"' in (tmp_path / "events").read_text()


async def test_disk_that_never_answers_does_not_block_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving waits for a bounded time; the thread ends once the disk answers."""
    gate, reached = threading.Event(), threading.Event()

    def append(path: str, events: list[Event]) -> tuple[int, None]:
        reached.set()
        gate.wait(20)
        return len(events), None

    monkeypatch.setattr(recorder_module, "_append", append)
    monkeypatch.setattr(recorder_module, "_PATIENCE", 0.05)
    async with limit(), Overseer() as overseer:
        recorder = overseer.record(tmp_path / "events")
        overseer.add("true", "true")
        await overseer.supervise("true")
        await asyncio.to_thread(reached.wait, 10)
    assert 0 == recorder.written
    gate.set()
