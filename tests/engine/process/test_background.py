"""A program that goes into the background and ends says whom it has left, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aioverseer import Event, Overseer, Process, Restart, Status
from tests.support.daemons import DAEMON
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

NEVER = Restart("never")
NAMED = f"{Path(sys.executable).name} -I -S"
"""Without its folder, which may be too long for a sentence."""


async def events_of(*argv: str, restart: Restart = NEVER) -> tuple[Status, list[Event], str]:
    """Supervise a program; return its Status, the events about leftovers and the text of ``why()`` at the end."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *argv, restart=restart)
        events = overseer.events()
        status = await overseer.supervise("server")
        found: list[Event] = []
        while (event := events.get_nowait()) is not None:
            if event.kind == "leftovers":
                found.append(event)
        return status, found, str(service.why())


async def test_success_with_a_daemon_names_it_and_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """In the reason, in ``why()``, as an event and in the log."""
    status, events, why = await events_of(*child(DAEMON))
    (event,) = events
    (record,) = [it for it in caplog.records if "behind" in it.message]
    for text in (status.reason, why, event.reason, record.message):
        assert "exited with code 0" in text
        assert "left 1 process behind: pid " in text
        assert NAMED in text
        assert '"--daemonize no"' in text
        assert '"daemon off;"' in text
        assert '"-D FOREGROUND"' in text
        assert 'leftovers="keep"' in text
    assert "WARNING" == record.levelname
    assert 1 == event.status.restarts + 1


async def test_daemon_of_a_lone_process_is_named() -> None:
    """In its Status."""
    async with limit(10):
        status = await Process(*child(DAEMON))
    assert "left 1 process behind: pid " in status.reason
    assert '"--daemonize no"' in status.reason


async def test_each_run_names_its_daemon() -> None:
    """A program that is run again after its success, too."""
    _, events, _ = await events_of(*child(DAEMON), restart=Restart("always", max_restarts=1))
    assert ["left 1 process" in event.reason for event in events] == [True, True]


async def test_daemon_of_a_program_that_ran_for_a_while_is_named() -> None:
    """So long that process ids prove nothing about it."""
    _, events, _ = await events_of(
        *child(f"import time\ntime.sleep(0.4)\n{DAEMON}"), restart=Restart("always", max_restarts=1)
    )
    assert ["left 1 process" in event.reason for event in events] == [True, True]


async def test_giving_up_has_the_advice_last() -> None:
    """The budget belongs to the exit, and the general advice about a policy is left out."""
    status, _, _ = await events_of(*child(DAEMON), restart=Restart("always", max_restarts=0))
    end = "gave up: exited with code 0, and its 0 restarts within 60 s are spent; left 1 process behind: pid "
    assert status.reason.startswith(end)
    assert status.reason.endswith('or pass leftovers="keep"')
    assert str(status.error).startswith(f"'server' {status.reason}\n")


async def test_failure_names_what_it_left_without_advice() -> None:
    """It did not mean to."""
    status, events, _ = await events_of("sh", "-c", "sleep 60 & exit 3")
    assert ["exited with code 3 and left 1 process behind: pid " in event.reason for event in events] == [True]
    assert "foreground" not in status.reason


async def test_success_that_left_nothing_says_no_more() -> None:
    """Only its exit."""
    status, events, _ = await events_of("true")
    assert ("exited with code 0", []) == (status.reason, events)


async def test_stop_gives_no_advice() -> None:
    """A daemon that is stopped with its program was no mistake."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *child(DAEMON, "stay"))
        lines = service.lines()
        await service.start()
        await lines.get()
        status = await service.stop()
    assert "foreground" not in status.reason
