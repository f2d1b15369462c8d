"""The name of the one who asks is in events, in the history, in statuses and in ``why()``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioverseer import Overseer, OverseerError, Restart, SpecError, State, ThreadedOverseer
from aioverseer.core.options.by import check_by
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted


async def collect(overseer: Overseer, since: int = 0) -> list[Any]:
    """Return the events so far."""
    return [event async for event in overseer.events(since=since)]


async def test_each_state_names_the_one_who_asked() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        service = overseer.add("web", "web")
        await ended(service.start(by="alice"), clock)
        assert service.status().by == service.why().by == "alice"
        await ended(service.restart(by="bob"), clock)
        assert service.history[0].by == "bob"
        await ended(service.stop(by="carol"), clock)
        assert service.history[1].by == "carol"
        assert service.status().reason == "a stop was asked for by carol; was killed by SIGTERM"
        assert service.status().to_json()["by"] == "carol"
    events = await collect(overseer)
    assert [(str(event.state), event.by) for event in events] == [
        ("starting", "alice"),
        ("running", "alice"),
        ("stopping", "bob"),
        ("starting", "bob"),
        ("running", "bob"),
        ("stopping", "carol"),
        ("interrupted", "carol"),
    ]
    assert events[2].reason == "a restart was asked for by bob"
    assert events[2].to_json()["by"] == "bob"


async def test_end_by_itself_and_what_follows_have_no_name() -> None:
    overseer, clock, _ = scripted(FakeChild().runs(1).exits(3), FakeChild())
    async with overseer:
        service = overseer.add("web", "web")
        await ended(service.start(by="alice"), clock)
        assert service.history[0].by == ""
        assert service.state is State.RUNNING
        assert service.why().by == ""
    events = await collect(overseer)
    assert [event.by for event in events[:5]] == ["alice", "alice", "", "", ""]


async def test_start_in_the_backoff_has_a_name() -> None:
    overseer, clock, _ = scripted(FakeChild().exits(3), FakeChild())
    async with overseer:
        service = overseer.add("web", "web", restart=Restart(max_restarts=1))
        await ended(service.start(), clock, 0.0)
        assert service.state is State.BACKOFF
        await ended(service.restart(by="bob"), clock)
        assert service.status().by == "bob"


async def test_stop_in_the_backoff_has_a_name() -> None:
    overseer, clock, _ = scripted(FakeChild().exits(3))
    async with overseer:
        service = overseer.add("web", "web")
        await ended(service.start(by="alice"), clock, 0.0)
        await ended(service.stop(by="bob"), clock)
        assert service.status().reason == "a stop was asked for by bob while it waited to restart"
        assert service.status().by == "bob"


async def test_first_of_two_stops_gives_the_name() -> None:
    overseer, clock, _ = scripted(FakeChild().ignores(15))
    async with overseer:
        service = overseer.add("web", "web")
        await ended(service.start(), clock)
        first = asyncio.ensure_future(service.stop(by="alice"))
        await ended(service.stop(by="bob", kill=True), clock)
        await first
        assert service.status().by == "alice"


async def test_all_are_started_and_stopped_by_a_name() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        overseer.add("db", "db")
        overseer.add("web", "web", after="db")
        await ended(overseer.start_all(by="alice"), clock)
        assert [overseer[id].status().by for id in overseer] == ["alice", "alice"]
        await ended(overseer.stop_all(by="bob"), clock)
        assert [overseer[id].status().by for id in overseer] == ["bob", "bob"]


async def test_supervision_is_begun_by_a_name() -> None:
    overseer, clock, _ = scripted(FakeChild().runs(1).exits(0), FakeChild().runs(1).exits(0))
    async with overseer:
        overseer.add("a", "a")
        await ended(overseer.supervise("a", by="alice"), clock)
        await ended(overseer.supervise_all(by="bob"), clock)
    events = await collect(overseer)
    assert [event.by for event in events if event.state is State.RUNNING] == ["alice", "bob"]


async def test_change_and_removal_are_events_with_a_name() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        overseer.add("web", "web")
        await ended(overseer.start("web"), clock)
        seen = overseer["web"].why()
        assert seen.pending == ()
        overseer.update("web", "web", "--fast", critical=True, by="alice")
        overseer.update("web", critical=True, by="nobody, as nothing changes")
        assert overseer["web"].why().pending == ("argv",)
        assert str(overseer["web"].why()).endswith("; with its next run it takes its new argv")
        assert overseer["web"].why().to_json()["pending"] == ["argv"]
        await ended(overseer.restart("web"), clock)
        assert overseer["web"].why().pending == ()
        overseer.update("web", critical=False)
        await ended(overseer.stop("web"), clock)
        overseer.remove("web", by="bob")
    events = [event for event in await collect(overseer) if event.kind == "change"]
    assert [(event.reason, event.by) for event in events] == [
        ("has other options: argv, critical by alice; argv with the next run", "alice"),
        ("has other options: critical", ""),
        ("is removed by bob", "bob"),
    ]


async def test_change_that_is_taken_back_is_not_pending() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        overseer.add("web", "web")
        await ended(overseer.start("web"), clock)
        overseer.update("web", extra_env={"A": "1"}, ready_timeout=7)
        assert overseer["web"].why().pending == ("extra_env", "ready_timeout")
        overseer.update("web", extra_env={}, ready_timeout=30.0)
        assert overseer["web"].why().pending == ()


def test_why_names_the_one_who_asked_once() -> None:
    with ThreadedOverseer(containment="basic") as overseer:
        service = overseer.add("x", "sleep", "60").start(by="alice")
        assert "is ready (asked for by alice)" in str(service.why())
        service.stop(by="bob")
        assert str(service.why()).count("bob") == 1
        overseer.start("x", by="carol")
        assert service.restart(by="dave").status().by == "dave"
        overseer.update("x", "sleep", "70", by="erin")
        assert service.why().pending == ("argv",)
        assert overseer.stop("x", by="frank").by == "frank"
        overseer.start_all(by="grace")
        overseer.stop_all(by="heidi")
        assert service.status().by == "heidi"
        overseer.remove("x", by="ivan")


@pytest.mark.parametrize("value", [None, 7, "a\nb", " a", "a" * 201])
def test_name_must_be_one_line_of_text(value: Any) -> None:
    with pytest.raises(SpecError, match="is no name"):
        check_by(value)


async def test_wrong_name_changes_nothing() -> None:
    wrong: Any = 7
    overseer, _, _ = scripted()
    async with overseer:
        service = overseer.add("web", "web")
        for verb in (service.start, service.restart, service.stop, overseer.start_all, overseer.stop_all):
            with pytest.raises(OverseerError, match="by=7 is no name"):
                await verb(by=wrong)
        for change in (overseer.update, overseer.remove):
            with pytest.raises(OverseerError, match="by=7 is no name"):
                change("web", by=wrong)
        assert service.state is State.INITIAL
