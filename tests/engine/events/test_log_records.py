"""Log records: a restart is a warning, a giving up an error with the last lines; each once, and no storm of them."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Alive, Backoff, CriticalServiceEnded, Overseer, Process, Restart, ready
from aioverseer._engine.events.log_records import LogRecords
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

TWICE = Restart(max_restarts=2, backoff=Backoff(min=1, max=1))
NEVER = Restart("never")
CRASH = FakeChild().prints("no database", stream="stderr").exits(1)


@asynccontextmanager
async def world(**scripts: FakeChild) -> AsyncGenerator[tuple[Overseer, ManualClock]]:
    """Enter an overseer whose time and children belong to the test."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild(), by_id=scripts)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        yield overseer, clock


def loud(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return levels and first lines of the records from WARNING on."""
    return [
        (record.levelname, record.getMessage().partition("\n")[0])
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "aioverseer"
    ]


async def ended(overseer: Overseer, clock: ManualClock, seconds: float = 60) -> None:
    """Start all, and let time pass."""
    supervising = asyncio.ensure_future(overseer.supervise_all())
    await clock.advance(seconds)
    await supervising


async def test_restarts_and_the_giving_up(caplog: pytest.LogCaptureFixture) -> None:
    """The error has the last lines. Other transitions are information."""
    with caplog.at_level(logging.INFO, "aioverseer"):
        async with world(web=CRASH) as (overseer, clock):
            overseer.add("web", "web", restart=TWICE)
            await ended(overseer, clock)
    end = "exited with code 1"
    assert [
        ("WARNING", f"web: running -> backoff: {end}; restarts in 1 s (1 of 2 restarts left)"),
        ("WARNING", f"web: running -> backoff: {end}; restarts in 1 s (0 of 2 restarts left)"),
        ("ERROR", f"web: running -> fatal: gave up: {end}, and its 2 restarts within 60 s are spent"),
    ] == loud(caplog)
    error = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert error.getMessage().endswith(
        "last lines:\n  no database\n  --- run 2 ---\n  no database\n  --- run 3 ---\n  no database"
    )
    assert ("web", "state") == (error.__dict__["service"], error.__dict__["kind"])
    assert 6 == sum(record.levelno == logging.INFO for record in caplog.records)


@pytest.mark.parametrize(
    ("script", "options", "expected"),
    [
        (FakeChild().exits(0), {}, []),
        (FakeChild().exits(3), {"restart": Restart("never", success_codes={3})}, []),
        (
            FakeChild().exits(3),
            {"restart": NEVER},
            [("WARNING", "web: running -> finished: exited with code 3")],
        ),
        (FakeChild().cannot_start("no", 2), {}, [("ERROR", "web: starting -> fatal: gave up: no")]),
        (FakeChild().cannot_start("no", 2), {"restart": NEVER}, [("ERROR", "web: starting -> fatal: no")]),
    ],
    ids=["success", "by success_codes", "failure", "gave up at once", "no start"],
)
async def test_final_ends(
    script: FakeChild, options: Any, expected: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """A good end is no matter; a failure that nobody restarts is a warning."""
    async with world(web=script) as (overseer, clock):
        overseer.add("web", "web", **options)
        await ended(overseer, clock)
    assert expected == loud(caplog)


async def test_requests_are_information(caplog: pytest.LogCaptureFixture) -> None:
    """A stop, a restart and a start by the application."""
    async with world() as (overseer, _):
        web = await overseer.add("web", "web").start()
        await web.restart()
        await web.stop()
        await web.start()
    assert [] == loud(caplog)


async def test_a_dependent_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The error is that of its dependency."""
    async with world(db=CRASH) as (overseer, clock):
        overseer.add("db", "db", restart=Restart(max_restarts=0))
        overseer.add("web", "web", after={"db": "success"})
        await ended(overseer, clock)
    assert ["ERROR", "WARNING"] == [level for level, _ in loud(caplog)]


async def test_a_critical_end(caplog: pytest.LogCaptureFixture) -> None:
    """One record for the program, one for the overseer."""
    with pytest.raises(CriticalServiceEnded):  # noqa: PT012  # the block of an overseer is what raises
        async with world(db=CRASH) as (overseer, _):
            overseer.add("db", "db", restart=Restart(max_restarts=0), critical=True)
            await overseer.supervise_all()
    assert [("ERROR", True), ("ERROR", True)] == [(level, "db" in text) for level, text in loud(caplog)]
    assert 1 == caplog.text.count("no database")


async def test_a_group_gives_up_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its members, which are stopped and started with it, are no failures."""
    async with world(b=FakeChild().runs(1).exits(1)) as (overseer, clock):
        overseer.group("g", "one_for_all", restart=Restart(max_restarts=1, backoff=Backoff(min=1, max=1)))
        for id in "ab":
            overseer.add(id, id, group="g")
        await ended(overseer, clock)
    assert [("WARNING", "b: running -> backoff"), ("ERROR", "b: running -> fatal")] == [
        (level, ":".join(text.split(":")[:2])) for level, text in loud(caplog)
    ]


async def test_a_group_that_gives_up_by_a_significant_member_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its member has ended well, so the record is that of the group."""
    with caplog.at_level(logging.INFO, "aioverseer"):
        async with world(job=FakeChild().runs(1).exits(0)) as (overseer, clock):
            once = Restart("always", max_restarts=0)
            overseer.group("all", restart=once)
            overseer.group("g", parent="all", restart=once, auto_shutdown="any_significant")
            overseer.add("job", "job", group="g", significant=True, restart=NEVER)
            overseer.add("db", "db", group="all")
            await ended(overseer, clock)
    told = [record for record in caplog.records if record.getMessage().startswith(("group", "job: group"))]
    assert [logging.ERROR] == [record.levelno for record in told]
    assert ("job", "group") == (told[0].__dict__["service"], told[0].__dict__["kind"])
    assert "job: group 'all' gave up: group 'g' has ended: 'job' " in told[0].getMessage()


@pytest.mark.parametrize("lone", [False, True], ids=["service", "process"])
async def test_a_mark_of_ill_health_is_a_warning(lone: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The recovery is information."""
    well = asyncio.Event()

    async def is_well() -> bool:
        return well.is_set()

    alive = Alive(ready.check(is_well), every=1, failures=1, action="mark")
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    with caplog.at_level(logging.INFO, "aioverseer"):
        async with limit():
            if lone:
                async with Process("web", alive=alive, clock=clock, launcher=launcher):
                    await clock.advance(3)
                    well.set()
                    await clock.advance(3)
            else:
                async with Overseer(clock=clock, launcher=launcher) as overseer:
                    await overseer.add("web", "web", alive=alive).start()
                    await clock.advance(3)
                    well.set()
                    await clock.advance(3)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "alive" in record.getMessage()]
    assert ["WARNING", "INFO"] == [level for level, _ in told]
    assert ["is not alive", "is alive again"] == [text.split("web")[1].strip(": ").split(":")[0] for _, text in told]


async def test_a_task_is_logged_with_its_exception(caplog: pytest.LogCaptureFixture) -> None:
    """An exit code alone says nothing."""

    async def work() -> None:
        raise ValueError("boom")

    async with world() as (overseer, clock):
        overseer.add_task("job", work, restart=Restart(max_restarts=1, backoff=Backoff(min=1, max=1)))
        await ended(overseer, clock)
    assert "(ValueError: boom)" in loud(caplog)[0][1]
    assert "ValueError: boom" in caplog.records[-1].getMessage()


async def test_leftovers_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """As a warning, although they are an event too."""
    with caplog.at_level(logging.INFO, "aioverseer"):
        async with world(web=FakeChild().leaves("redis-server").exits(0)) as (overseer, clock):
            overseer.add("web", "web", leftovers="report")
            await ended(overseer, clock)
    records = [record for record in caplog.records if "redis-server" in record.getMessage()]
    assert [logging.WARNING] == [record.levelno for record in records]


async def test_a_storm_does_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    """Ten warnings; the others are information, and counted."""
    policy = Restart(max_restarts=500, within=None, backoff=Backoff(min=0.01, max=0.01))
    with caplog.at_level(logging.INFO, "aioverseer"):
        async with world(web=CRASH) as (overseer, clock):
            overseer.add("web", "web", restart=policy)
            await ended(overseer, clock, 30)
    levels = [level for level, _ in loud(caplog)]
    assert levels.count("WARNING") <= 12
    assert "ERROR" == levels[-1]
    assert 500 == sum(" -> backoff: " in message for message in caplog.messages)


SILENT = """
import asyncio, sys
from aioverseer import Backoff, Overseer, Restart
async def main():
    async with Overseer() as overseer:
        once = Restart(max_restarts=1, backoff=Backoff(min=0.01, max=0.01))
        overseer.add("worker", sys.executable, "-c", "raise RuntimeError('no database')", restart=once)
        await overseer.supervise_all()
"""


def host(code: str) -> str:
    """Run a host in its own process and return its standard error."""
    root = str(Path(__file__).parents[3])
    words = [sys.executable, "-c", textwrap.dedent(code) + "asyncio.run(main())\n"]
    env = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False).stderr


def test_a_host_without_logging_sees_why_its_worker_gave_up() -> None:
    """Python's handler of last resort prints it."""
    said = host(SILENT)
    assert 1 == said.count("worker: running -> backoff: exited with code 1; restarts in")
    assert 1 == said.count("worker: running -> fatal: gave up: exited with code 1")
    assert "RuntimeError: no database" in said


def test_a_host_can_silence_it() -> None:
    """By the level of the logger."""
    assert "" == host("import logging\nlogging.getLogger('aioverseer').setLevel(logging.CRITICAL)\n" + SILENT)


def test_the_command_does_not_print_it_twice(tmp_path: Path) -> None:
    """``aioverseer up`` has lines of its own."""
    (tmp_path / "Procfile").write_text("web: false\n")
    root = str(Path(__file__).parents[3])
    words = [sys.executable, "-m", "aioverseer", "up", "--max-restarts", "1", str(tmp_path / "Procfile")]
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert 1 == done.stderr.count("restarts in")
    assert " -> " not in done.stderr


async def test_last_lines_of_broken_bytes_can_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers write UTF-8, which knows no lone surrogates."""
    async with limit(20), Overseer() as overseer:
        broken = ("sh", "-c", "printf 'bad \\377 byte\\n'; exit 3")
        overseer.add("bad", *broken, errors="surrogateescape", restart=Restart("never"))
        await overseer.supervise("bad")
    assert "bad \\udcff byte" in caplog.text
    assert caplog.text.encode()


def test_groups_that_fail_again_and_again_are_no_storm_of_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Later records are information."""
    records = LogRecords(ManualClock())
    with caplog.at_level(logging.INFO, "aioverseer"):
        for _ in range(12):
            records.on_event("web", "failed", "group", level=logging.WARNING)
    assert [logging.WARNING] * 10 + [logging.INFO] * 2 == [record.levelno for record in caplog.records]
