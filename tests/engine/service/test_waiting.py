"""A service that waits for its trigger: a scripted one, and scripted children on a manual clock."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import Backoff, GaveUp, NotReady, Overseer, Restart, Service, ServiceIsLive, Spec, SpecError, State
from aioverseer.core.machine.inputs import Triggered
from aioverseer.core.report.why import AwaitedKind
from aioverseer.testing import FakeChild, ManualClock
from tests.support.overseers import scripted

RETRY = Restart(max_restarts=1, backoff=Backoff(min=1, max=1))
DAY = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)


class Bell:
    """A trigger that rings when the test says so."""

    kind: AwaitedKind = "time"
    awaited = "the bell"
    outlives_give_up = True
    due: float | None = 600.0
    due_at: datetime.datetime | None = DAY

    def __init__(self, service: Service) -> None:
        self.runner = service._runner
        self.calls: list[tuple[bool, bool]] = []
        self.runner.use_trigger(self)
        self.calls.clear()

    def set(self, *, armed: bool, waiting: bool) -> None:
        """Note what was asked for."""
        self.calls.append((armed, waiting))

    def update(self, spec: Spec) -> bool:  # any options
        """Go on with any options."""
        return True

    def ring(self) -> None:
        """Start a run."""
        self.runner.submit(Triggered(why="the bell rings"))


@asynccontextmanager
async def with_bell(*scripts: FakeChild, **options: Any) -> AsyncGenerator[tuple[Overseer, ManualClock, Service, Bell]]:
    """An overseer with one service that waits for a bell."""
    overseer, clock, _ = scripted(*scripts)
    async with overseer:
        service = overseer.add("job", "job", **options)
        yield overseer, clock, service, Bell(service)


async def test_start_arms_and_returns() -> None:
    """Nothing runs, and it counts as ready for everybody."""
    async with with_bell() as (overseer, _, service, bell):
        assert service is await service.start()
        assert (State.WAITING, True, None) == (service.state, service.state.is_live, service.process)
        await service.ready()
        await service.ready(timeout=1)
        await overseer.start_all()
        assert [(True, True)] == bell.calls
        assert "waits for the bell" == service.status().reason


async def test_status_and_why_tell_what_comes_next() -> None:
    """As data, as JSON and as a sentence; while it runs, too."""
    async with with_bell() as (_, clock, service, bell):
        await service.start()
        await clock.advance(10)
        assert (State.WAITING, DAY) == (service.status().state, service.status().next)
        told = json.loads(json.dumps(service.status().to_json()))
        assert ("waiting", DAY.isoformat()) == (told["state"], told["next"])
        why = service.why()
        assert ("its next run", 590.0, "time") == (why.due, why.due_in, why.awaits[0].kind)
        assert "job is waiting for 10.0 s: waits for the bell; next: its next run in 590.0 s; 5 restarts left" == str(
            why
        )
        bell.ring()
        await service.wait_for(State.RUNNING)
        assert ("its next run", 590.0, ()) == (service.why().due, service.why().due_in, service.why().awaits)


async def test_the_trigger_starts_each_run_until_a_stop() -> None:
    """A final state comes once, with the stop; the lines go on over all runs."""
    async with with_bell(FakeChild().prints("hello").exits()) as (overseer, clock, service, bell):
        everything = asyncio.ensure_future(overseer.supervise_all())
        end = asyncio.ensure_future(service.wait())
        lines = service.lines()
        for run in (1, 2, 3):
            await clock.settle()
            assert State.WAITING is service.state
            bell.ring()
            line = await clock.run(lines.get())
            assert ("hello", run) == (line.text, line.run)
        await clock.settle()
        assert "exited with code 0; waits for the bell" == service.status().reason
        assert not everything.done()
        assert not end.done()
        await service.stop()
        assert State.INTERRUPT is (await end).state
        assert {"job": State.INTERRUPT} == {id: status.state for id, status in (await everything).items()}
        assert (False, False) == bell.calls[-1]
        assert 3 == len(service.history)


async def test_trigger_runs_it_now() -> None:
    """Returns once the run is ready, or has been; the service stays armed."""
    async with with_bell(FakeChild().exits(), FakeChild()) as (_, clock, service, bell):
        await service.start()
        assert service is await clock.run(service.trigger())
        await clock.settle()
        assert (1, State.WAITING) == (len(service.history), service.state)
        await service.trigger()
        assert State.RUNNING is service.state
        await service.trigger()
        assert (2, True) == (service.status().restarts + 2, service._runner.machine.is_armed)
        assert (True, False) == bell.calls[-1]


async def test_trigger_of_a_stopped_service_runs_once() -> None:
    """It is not armed by that, and ends as a service without a trigger does; a start meanwhile arms it."""
    async with with_bell(FakeChild().exits(), FakeChild()) as (overseer, clock, service, bell):
        await clock.run(service.trigger())
        assert State.FINISHED is (await service.wait()).state
        assert [] == bell.calls
        await service.trigger()
        await service.start()
        assert [(True, False)] == bell.calls
        await service.stop()
        await service.trigger()
        await overseer.start_all()
        assert (True, False) == bell.calls[-1]


async def test_a_triggered_run_that_fails_raises() -> None:
    """At once when its budget is spent; the service waits again."""
    async with with_bell(FakeChild().cannot_start("no memory"), restart=RETRY) as (_, clock, service, _bell):
        await service.start()
        with pytest.raises(NotReady, match=r"it is waiting: gave up: .*no memory.*waits for the bell"):
            await clock.run(service.trigger())
        assert State.WAITING is service.state


async def test_only_a_service_with_a_trigger_can_be_triggered() -> None:
    """The message says what to call."""
    overseer, _, _ = scripted()
    async with overseer:
        service = overseer.add("job", "job")
        with pytest.raises(SpecError, match=r"'job' has no schedule: start\(\) runs it now"):
            await service.trigger()


async def test_cancelled_trigger_of_an_idle_service_is_rolled_back() -> None:
    """A run of an armed service goes on."""
    async with with_bell(FakeChild().spawns_in(5)) as (overseer, clock, service, _bell):
        for armed in (False, True):
            if armed:
                await service.start()
            call = asyncio.ensure_future(overseer.trigger("job"))
            await clock.settle()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await clock.run(call)
            assert (State.STARTING if armed else State.INTERRUPT) is service.state
        await clock.run(service.stop())


async def test_a_run_that_gives_up_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the log, on_give_up, and a fresh budget for the next run."""
    told: list[GaveUp] = []
    caplog.set_level(logging.INFO, "aioverseer")
    async with with_bell(FakeChild().exits(3), restart=RETRY, on_give_up=told.append) as (_, clock, service, bell):
        await service.start()
        for number in (1, 2):
            bell.ring()
            await clock.advance(10)
            assert (State.WAITING, number) == (service.state, len(told))
            assert isinstance(service.status().error, GaveUp)
            assert 2 * number == len(service.history)
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert 2 == len(errors)
        assert "gave up: exited with code 3" in errors[0].getMessage()
        assert "the bell" in str(told[0].status.reason)


async def test_a_waiting_service_is_live_for_its_overseer() -> None:
    """It cannot be removed, nor written to; its dependents start, and the end of the block stops it."""
    async with with_bell() as (overseer, _, service, bell):
        overseer.add("web", "web", after="job")
        await overseer.start_all()
        assert State.RUNNING is overseer["web"].state
        with pytest.raises(ServiceIsLive, match="is waiting"):
            overseer.remove("job")
        with pytest.raises(Exception, match=r"is not running: waits for the bell; trigger\(\) runs it now"):
            service.signal(1)
        report = await overseer.stop_all()
        assert State.INTERRUPT is report.outcomes["job"].status.state
        await service.start()
    assert (State.INTERRUPT, (False, False)) == (service.state, bell.calls[-1])


async def test_a_waiting_member_of_a_group_has_nothing_to_restart() -> None:
    """The others restart without it, and when the group ends it is disarmed."""
    async with with_bell(group="g") as (overseer, clock, service, bell):
        overseer.group("g", "one_for_all", restart=RETRY)
        launcher: Any = overseer.launcher
        launcher.script("web", FakeChild().runs(1).exits(1))
        web = overseer.add("web", "web", group="g")
        await overseer.start_all()
        await clock.advance(2.5)
        assert (State.RUNNING, 2, State.WAITING) == (web.state, web._runner.machine.runs, service.state)
        await clock.advance(10)
        assert (State.FATAL, State.INTERRUPT) == (web.state, service.state)
        assert (False, False) == bell.calls[-1]


async def test_a_bug_of_a_trigger_ends_the_service_alone() -> None:
    """As any other exception in a step does."""
    async with with_bell() as (_, _clock, service, bell):
        calls: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: calls.append(context))

        def broken(*, armed: bool, waiting: bool) -> None:
            bell.set = lambda **_: None  # type: ignore[method-assign]  # a broken trigger
            raise ValueError((armed, waiting))

        bell.set = broken  # type: ignore[method-assign]  # a broken trigger
        with pytest.raises(NotReady, match="one of its steps raised"):
            await service.start()
        assert (State.FATAL, 1) == (service.state, len(calls))
