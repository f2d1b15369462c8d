"""Shutdown: all services are stopped, and the report says what each stop took."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Restart, SpecError, State, Stop, StopReport
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted


async def test_stop_all_ends_supervise_all_and_starts_nothing_more() -> None:
    """After ``stop_all`` the supervision returns. It does not start services added later. A new start works."""
    overseer, clock, launcher = scripted(FakeChild().ignores(signal.SIGTERM), FakeChild())
    async with overseer:
        overseer.add("a", "x", restart=Restart("always"))
        supervision = asyncio.ensure_future(overseer.supervise_all())
        await clock.settle()
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.settle()
        overseer.add("b", "x")
        report: StopReport = await ended(stop, clock)
        assert (report.ok, report.escalated) == (True, ["a"])
        results = await ended(supervision, clock)
        assert {id: status.state for id, status in results.items()} == {"a": State.INTERRUPT, "b": State.INITIAL}
        assert len(launcher.children) == 1
        await ended(overseer.start_all(), clock)
        assert [overseer.status(id).state for id in overseer] == [State.RUNNING] * 2


async def test_stop_report_has_signals_and_seconds_of_each_service() -> None:
    """Signals, seconds and states of each service that was live; those that were down are not in it (B07)."""
    scripts = {
        "deaf": [FakeChild().ignores(signal.SIGTERM)],
        "loop": [FakeChild().exits(1)],
        "done": [FakeChild().exits(0)],
    }
    overseer, clock, _ = scripted(FakeChild(), by_id=scripts)
    async with overseer:
        assert str(await overseer.stop_all()) == "nothing was live"
        for name in ("deaf", "done", "idle", "loop", "polite"):
            overseer.add(name, "x", restart=Restart(backoff=Backoff(50, 50)), stop=Stop(timeout=3))
        for name in ("deaf", "done", "loop", "polite"):
            await ended(overseer.start(name), clock, 0)
        report: StopReport = await ended(overseer.stop_all(), clock)
        assert sorted(report.outcomes) == ["deaf", "loop", "polite"]
        assert str(report) == (
            "deaf needed SIGTERM, SIGKILL in 3.00 s and is interrupted\n"
            "loop needed nothing in 0.00 s and is interrupted\n"
            "polite needed SIGTERM in 0.00 s and is interrupted"
        )
        assert (report.ok, report.survivors, report.escalated) == (True, [], ["deaf"])


async def test_stop_all_kill_and_shutdown_timeout_cut_the_ladders() -> None:
    """``kill=True`` takes no time; ``shutdown_timeout`` bounds the ladders of all, on stop_all and on leaving."""
    overseer, clock, _ = scripted(FakeChild().ignores(signal.SIGTERM), shutdown_timeout=2)
    async with overseer:
        for name in "ab":
            overseer.add(name, "x", stop=Stop(timeout=100))
        await ended(overseer.start_all(), clock, 0)
        assert (await ended(overseer.stop_all(kill=True), clock, 0)).ok
        await ended(overseer.start_all(), clock, 0)
        report = await ended(overseer.stop_all(), clock, 2)
        assert {outcome.seconds for outcome in report.outcomes.values()} == {2.0}
        await ended(overseer.start_all(), clock, 0)
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await clock.advance(1.9)
        assert not leaving.done()
        await clock.advance(0.1)
        assert leaving.done()
        await leaving
    with pytest.raises(SpecError, match="shutdown_timeout=-1"):
        Overseer(shutdown_timeout=-1)


async def test_shutdown_timeout_does_not_kill_a_run_that_was_started_since() -> None:
    """The limit of a stop is for the runs that it stops, not for one that somebody has started meanwhile."""
    overseer, clock, launcher = scripted(
        FakeChild(), by_id={"deaf": [FakeChild().ignores(signal.SIGTERM)]}, shutdown_timeout=5
    )
    async with overseer:
        overseer.add("deaf", "x")
        overseer.add("good", "x")
        await ended(overseer.start_all(), clock, 0)
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(1)
        await ended(overseer.start("good"), clock, 0)
        assert (await ended(stop, clock)).ok
        assert overseer["good"].state is State.RUNNING
        assert launcher.children[-1].signals == []


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("after", [(), "db"])
async def test_services_of_one_level_stop_in_the_reverse_order_of_their_start(kill: bool, after: Any) -> None:
    """The order in which they were started counts, and the events come in the order of the stops."""
    overseer, clock, _ = scripted(FakeChild())
    async with overseer:
        overseer.add("db", "x")
        for name in ("a", "b", "c"):
            overseer.add(name, "x", after=after)
        for name in ("db", "b", "c", "a"):
            await ended(overseer.start(name), clock, 0)
        events = overseer.events()
        report = await ended(overseer.stop_all(kill=kill), clock)
        stopped = [event.id for event in [await anext(events) for _ in range(8)] if event.state is State.STOPPING]
        assert ["a", "c", "b", "db"] == stopped
        assert ["a", "c", "b", "db"] == list(report.outcomes)


async def test_leaving_stops_what_was_started_at_once_in_reverse() -> None:
    """Also where nothing depends on anything."""
    overseer, clock, launcher = scripted(FakeChild())
    async with overseer:
        for name in ("b", "a", "c"):
            overseer.add(name, "x")
        await ended(overseer.start_all(), clock, 0)
        events = overseer.events()
    asked = [event.id async for event in events if event.state is State.STOPPING]
    assert [child.spec.id for child in launcher.children][::-1] == asked == ["c", "a", "b"]
