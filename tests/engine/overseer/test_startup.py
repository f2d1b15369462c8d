"""Startup: all services are started, and supervised until all have ended."""

from __future__ import annotations

import asyncio
import signal

import pytest

from aioverseer import GaveUp, NotReady, Overseer, Restart, State, Status, ready
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted
from tests.support.programs import child, limit

NEVER = Restart("never")


async def test_two_supervisions_of_one_service_end_together() -> None:
    """Two ``supervise()`` of one id at once are one supervision (B39)."""
    async with limit(), Overseer() as overseer:
        overseer.add("job", *child("input()"), stdin="pipe", restart=NEVER)
        tasks = [asyncio.create_task(overseer.supervise("job")) for _ in range(2)]
        await overseer["job"].ready()
        overseer["job"].close_stdin()
        first, second = await asyncio.gather(*tasks)
        assert first == second
        assert first.exit_code == 1


async def test_supervise_all_starts_services_added_meanwhile() -> None:
    """Services added while ``supervise_all`` runs are started and waited for too (B41); it returns when all ended."""
    overseer, clock, launcher = scripted(FakeChild().runs(5).exits(0))
    async with overseer:
        overseer.add("one", "x")
        task = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(3)
        overseer.add("two", "x")
        await clock.advance(3)
        assert overseer["one"].state is State.FINISHED
        assert not task.done(), "it forgot the one that was added"
        results: dict[str, Status] = await ended(task, clock)
        assert {id: status.exit_code for id, status in results.items()} == {"one": 0, "two": 0}
        assert len(launcher.children) == 2


async def test_supervise_all_can_be_called_again_and_with_nothing() -> None:
    """Without services it returns at once; called again it runs all again (B08, B42)."""
    overseer, clock, launcher = scripted(FakeChild().exits(0))
    async with overseer:
        assert await ended(overseer.supervise_all(), clock, 0) == {}
        overseer.add("a", "x")
        overseer.add("b", "x")
        for times in (1, 2):
            results = await ended(overseer.supervise_all(), clock)
            assert sorted(results) == ["a", "b"]
            assert len(launcher.children) == 2 * times
        both = await ended(asyncio.gather(overseer.supervise_all(), overseer.supervise_all()), clock)
        assert both[0] == both[1]


async def test_start_all_raises_at_once_when_one_fails_and_the_others_go_on() -> None:
    """NotReady comes without waiting for slow ones, which are started all the same."""
    overseer, clock, _ = scripted(FakeChild(), by_id={"bad": [FakeChild().prints("bad config").exits(2)]})
    async with overseer:
        bad = overseer.add("bad", "x", restart=Restart(max_restarts=0), delay_start=1)
        slow = overseer.add("slow", "x", delay_start=50)
        await ended(overseer.start_all(), clock, 55)  # it ran for a moment: without a probe that is ready
        assert (bad.state, slow.state) == (State.FATAL, State.RUNNING)
    overseer, clock, _ = scripted(FakeChild(), by_id={"bad": [FakeChild().cannot_start("bad config")]})
    async with overseer:
        overseer.add("bad", "x", restart=Restart(max_restarts=0), delay_start=1)
        slow = overseer.add("slow", "x", delay_start=50)
        start = asyncio.ensure_future(overseer.start_all())
        await clock.advance(1)
        with pytest.raises(NotReady, match="bad config") as raised:
            await start
        assert isinstance(raised.value.__cause__, GaveUp)
        assert slow.state is State.STARTING
        await ended(slow.ready(), clock)


async def test_start_all_restarts_services_that_are_stopping() -> None:
    """A service that is stopping is still wanted by ``start_all``, as by its own ``start``."""
    overseer, clock, launcher = scripted(FakeChild().ignores(signal.SIGTERM), FakeChild())
    async with overseer:
        service = overseer.add("svc", "x")
        await ended(service.start(), clock, 0)
        stop = asyncio.ensure_future(service.stop())
        await clock.settle()
        await ended(overseer.start_all(), clock, 11)
        assert (service.state, len(launcher.children), stop.done()) == (State.RUNNING, 2, True)


async def test_start_all_does_not_depend_on_remembered_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is bounded and may drop events of a start; the start still ends, or fails."""
    monkeypatch.setattr("aioverseer._engine.events.journal.JOURNAL_SIZE", 1)
    overseer, clock, _ = scripted(FakeChild(), FakeChild(), FakeChild(), FakeChild().exits(1))
    async with overseer:
        for id in "abc":
            overseer.add(id, "x")
        await ended(overseer.start_all(), clock, 0)
        overseer.add("d", "x", restart=Restart("never"), ready=ready.line("up"))
        with pytest.raises(NotReady, match="'d' is not ready"):
            await ended(overseer.start_all(), clock, 0)
