"""Services with a schedule: scripted children on a manual clock, and real programs where it matters."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    Backoff,
    Cron,
    Event,
    Every,
    GaveUp,
    NotReady,
    Overseer,
    Restart,
    Schedule,
    Service,
    Spec,
    SpecError,
    State,
)
from aioverseer.testing import FakeChild, ManualClock
from tests.support.overseers import scripted
from tests.support.programs import child, limit

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
HOUR = 3600.0
DAY = 24 * HOUR
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)  # of the manual clock
RETRY = Restart(max_restarts=1, backoff=Backoff(min=1, max=1))
DONE = FakeChild().runs(10).exits()
LASTING = FakeChild().runs(90 * 60).exits()


@asynccontextmanager
async def job(
    schedule: Schedule, *scripts: FakeChild, start: bool = True, **options: Any
) -> AsyncGenerator[tuple[Overseer, ManualClock, Service]]:
    """An overseer with one service that has a schedule."""
    overseer, clock, _ = scripted(*scripts, rng=random.Random(1))
    async with overseer:
        service = overseer.add("job", "job", schedule=schedule, **options)
        if start:
            await overseer.start_all()
        yield overseer, clock, service
        service._runner.request_stop(kill=True)
        await clock.settle()


def starts(service: Service) -> list[float]:
    """Return the seconds from the beginning of the clock to the spawn of each run that has ended."""
    return [(status.started_at - BEGIN).total_seconds() for status in service.history if status.started_at is not None]


async def trigger_events(overseer: Overseer) -> list[str]:
    """Return what the schedule has told so far."""
    events: list[Event] = []
    stream = overseer.events(since=0)
    while (event := stream.get_nowait()) is not None:
        events.append(event)
    return [event.reason for event in events if event.kind == "trigger"]


# --- times


async def test_a_cron_runs_at_its_times() -> None:
    """WAITING in between, with the reason, the next time and a fresh budget for each run."""
    async with job(Cron("30 2 * * *", timezone="Europe/Berlin"), DONE) as (_, clock, service):
        assert "waits for 2030-01-01 02:30 Europe/Berlin" == service.status().reason
        assert BEGIN + timedelta(hours=1.5) == service.status().next
        await clock.advance(1.5 * HOUR)
        assert (State.RUNNING, 1) == (service.state, service._runner.machine.runs)
        await clock.advance(2 * DAY + 60)
        assert [1.5 * HOUR + number * DAY for number in range(3)] == starts(service)
        assert "exited with code 0; waits for 2030-01-04 02:30 Europe/Berlin" == service.status().reason
        assert (State.WAITING, 0) == (service.state, service.restarts)
        why = service.why()
        assert ("its next run", DAY - 60) == (why.due, why.due_in)


async def test_the_zone_of_the_host_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``TZ``, which may be a name or a rule."""
    for zone, expected in (
        ("Asia/Tokyo", "2030-01-02 02:30 Asia/Tokyo"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2030-01-01 02:30 CET-1CEST,M3.5.0,M10.5.0/3"),
        ("nowhere", "2030-01-01 02:30 UTC"),
    ):
        monkeypatch.setenv("TZ", zone)
        async with job(Cron("30 2 * * *")) as (_, _clock, service):
            assert f"waits for {expected}" == service.status().reason


@pytest.mark.parametrize(("first", "expected"), [("after_period", [60, 120, 180]), ("at_start", [0, 60, 120, 180])])
async def test_every_runs_each_period(first: Any, expected: list[float]) -> None:
    """Counted from the start."""
    async with job(Every(60, first=first), DONE) as (_, clock, service):
        await clock.advance(200)
        assert expected == starts(service)
        assert ("its next run", 40.0) == (service.why().due, service.why().due_in)
        assert BEGIN + timedelta(seconds=240) == service.status().next


async def test_jitter_comes_from_the_chance_of_the_overseer() -> None:
    """Each run has a delay of its own, and the period does not drift."""
    async with job(Every(60, jitter=20), DONE) as (_, clock, service):
        await clock.advance(400)
        delays = [start - 60 * number for number, start in enumerate(starts(service), 1)]
        chance = random.Random(1)
        assert [pytest.approx(chance.uniform(0, 20)) for _ in delays] == delays
        assert 5 <= len(delays)


# --- starting and stopping


async def test_stop_disarms_and_start_arms() -> None:
    """Between two runs and during one; a stop ends that run."""
    async with job(Every(60), FakeChild().runs(30).exits()) as (_, clock, service):
        await service.stop()
        assert (State.INTERRUPT, None) == (service.state, service.status().next)
        await clock.advance(200)
        assert [] == starts(service)
        await service.start()
        await clock.advance(70)
        assert State.RUNNING is service.status().state
        assert State.INTERRUPT is (await service.stop()).state
        await clock.advance(200)
        assert [260] == starts(service)
        await service.start()
        await clock.advance(65)
        assert State.RUNNING is service.status().state


async def test_trigger_runs_it_now_and_the_schedule_goes_on() -> None:
    """Also of a service that is not armed, and is not armed by that."""
    async with job(Every(60), DONE, start=False) as (overseer, clock, service):
        await clock.run(overseer.trigger("job"))
        await clock.advance(100)
        assert (State.FINISHED, [0]) == (service.state, starts(service))
        await service.start()
        await clock.advance(20)
        await service.trigger()
        await clock.advance(100)
        assert [0, 120, 160] == starts(service)


async def test_supervise_all_and_wait_go_on_until_the_stop() -> None:
    """A service without a schedule ends meanwhile."""
    async with job(Every(60), DONE, start=False) as (overseer, clock, service):
        overseer.add("once", "once")
        everything = asyncio.ensure_future(overseer.supervise_all())
        end = asyncio.ensure_future(service.wait())
        await clock.advance(300)
        assert State.FINISHED is overseer["once"].state
        assert (False, False) == (everything.done(), end.done())
        await overseer.stop_all()
        assert State.INTERRUPT is (await everything)["job"].state
        assert State.INTERRUPT is (await end).state


async def test_a_cancelled_start_of_all_disarms_again() -> None:
    """The call has armed it, and takes that back; the overseer can be used again."""
    async with job(Every(60), DONE, start=False) as (overseer, clock, service):
        overseer.add("db", "db", delay_start=1000)
        start = asyncio.ensure_future(overseer.start_all())
        await clock.advance(30)
        assert State.WAITING is service.status().state
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await clock.advance(100)
        assert (State.INTERRUPT, 0) == (service.status().state, len(service.history))
        assert clock.next_timer() is None


async def test_an_overseer_that_was_left_has_no_timer_and_can_be_entered_again() -> None:
    """In the middle of a run, too; the schedule counts from the new start."""
    overseer, clock, _ = scripted(FakeChild().runs(20).exits())
    every = overseer.add("every", "every", schedule=Every(60))
    cron = overseer.add("cron", "cron", schedule=Cron("* * * * *", timezone="UTC"))
    for number in (1, 2):
        async with overseer:
            await overseer.start_all()
            await clock.advance(70)
            assert (State.RUNNING, State.RUNNING) == (every.status().state, cron.status().state)
        assert (State.INTERRUPT, State.INTERRUPT) == (every.status().state, cron.status().state)
        assert clock.next_timer() is None
        assert number == len(every.history)
        await clock.advance(50)


@pytest.mark.parametrize("how", ["start", "start_all", "supervise", "supervise_all", "apply"])
async def test_a_start_arms_during_a_run_on_request(how: str) -> None:
    """Whichever call asks for it."""
    async with job(Every(60), DONE, start=False) as (overseer, clock, service):
        await clock.run(service.trigger())
        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "start": service.start,
            "start_all": overseer.start_all,
            "supervise": lambda: overseer.supervise("job"),
            "supervise_all": overseer.supervise_all,
            "apply": overseer.plan([service.spec]).apply,
        }
        call = asyncio.ensure_future(calls[how]())
        await clock.advance(100)
        assert [0, 60] == starts(service)
        assert State.WAITING is service.status().state
        await service.stop()
        await call


async def test_a_set_is_armed_by_supervise_during_a_run_on_request() -> None:
    """As a lone service."""
    overseer, clock, _ = scripted(DONE)
    async with overseer:
        jobs = overseer.add_instances("job", "job", instances=2, schedule=Every(60))
        await clock.run(jobs.trigger())
        call = asyncio.ensure_future(overseer.supervise("job"))
        await clock.advance(100)
        assert [State.WAITING] * 2 == [service.state for service in jobs]
        await jobs.stop()
        await call


async def test_dependencies_are_met_before_it_is_armed() -> None:
    """It waits for them as any service does."""
    async with job(Every(60), DONE, start=False, after="db") as (overseer, clock, service):
        overseer.add("db", "db", delay_start=100)
        start = asyncio.ensure_future(overseer.start_all())
        await clock.advance(90)
        assert (State.STARTING, "waits for 'db' to be ready") == (service.state, service.status().reason)
        await clock.advance(100)
        await start
        assert [160] == starts(service)


async def test_nothing_waits_for_a_service_with_a_schedule() -> None:
    """Whichever of the two is added or changed last is refused, and so is a plan with both."""
    refused = pytest.raises(SpecError, match="service 'web': after='job' has a schedule")
    async with job(Every(60), start=False) as (overseer, clock, service):
        with refused:
            overseer.add("web", "web", after="job")
        web = overseer.add("web", "web")
        with refused:
            overseer.update("web", after="job")
        assert () == web.spec.after
        with refused:
            overseer.plan([service.spec, Spec.of("web", ["web"], after="job")])
        overseer.remove("job")
        overseer.update("web", after="job")
        with refused:
            overseer.add("job", "job", schedule=Every(60))
        with refused:
            overseer.add_instances("job", "job", schedule=Every(60), instances=2)
        jobs = overseer.add_instances("job", "job", instances=2)
        with refused:
            overseer.update("job", schedule=Every(60))
        assert [None, None] == [each.spec.schedule for each in jobs]
        await clock.run(overseer.plan([service.spec, Spec.of("web", ["web"])]).apply())
        assert ["job", "web"] == overseer.list_all()


async def test_name_of_an_instance_with_a_schedule_is_refused_before_anything_starts() -> None:
    async with job(Every(60), start=False) as (overseer, _, service):
        overseer.add("web", "web", after="jobs.0")
        overseer.add_instances("jobs", "job", schedule=Every(60), instances=1)
        with pytest.raises(SpecError, match=r"service 'web': after='jobs\.0' has a schedule"):
            await overseer.start_all()
        assert State.INITIAL is service.status().state


async def test_a_refused_dependency_leaves_the_order_of_stops() -> None:
    """A schedule changes nothing between other services."""
    async with job(Every(60), start=False) as (overseer, clock, _):
        overseer.add("web", "web", after=["db"])
        overseer.add("db", "db")
        overseer.add("late", "late")
        await clock.run(overseer.start_all())
        overseer.update("late", after="jobs.0")
        overseer.add_instances("jobs", "job", schedule=Every(60), instances=1)
        events = overseer.events()
        await clock.run(overseer.stop_all())
        stops = [event.id for event in iter(events.get_nowait, None) if event.state is State.STOPPING]
        assert stops.index("web") < stops.index("db")


# --- ends of runs


async def test_a_run_that_fails_is_restarted_and_its_next_time_is_unchanged() -> None:
    """The budget is fresh for each time."""
    async with job(Every(60), FakeChild().exits(1), DONE, restart=RETRY) as (_, clock, service):
        await clock.advance(60.5)
        assert (State.BACKOFF, "exited with code 1; restarts in 1 s (0 of 1 restart left)") == (
            service.state,
            service.status().reason,
        )
        await clock.advance(70)
        assert [60, 61, 120] == starts(service)
        assert (0, 1) == (service.restarts, service._runner.machine.left(clock.now()))


async def test_a_run_that_gives_up_does_not_end_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the log, ``on_give_up``, and the next time comes all the same."""
    told: list[GaveUp] = []
    caplog.set_level(logging.INFO, "aioverseer")
    async with job(Every(60), FakeChild().exits(1), restart=RETRY, on_give_up=told.append) as (_, clock, service):
        await clock.advance(190)
        assert [60, 61, 120, 121, 180, 181] == starts(service)
        assert (State.WAITING, 3) == (service.state, len(told))
        assert 3 == len([record for record in caplog.records if record.levelno == logging.ERROR])
        assert "gave up: exited with code 1" in service.status().reason


async def test_giving_up_may_end_the_others() -> None:
    """As for any service; it is stopped with them."""
    async with job(Every(60), restart=Restart("never"), on_give_up="stop") as (overseer, clock, service):
        web = overseer.add("web", "web")
        launcher: Any = overseer.launcher
        launcher.script("job", FakeChild().exits(1))
        await web.start()
        await clock.advance(100)
        assert (State.RUNNING, State.WAITING) == (web.state, service.state)  # "never" gives up nothing
        overseer.update("job", restart=RETRY)
        await clock.advance(100)
        assert (State.INTERRUPT, State.INTERRUPT) == (web.state, service.state)


async def test_a_program_that_does_not_exist_waits_for_its_next_time() -> None:
    """A deployment may bring it. Its trigger raises."""
    overseer = Overseer(containment="basic")
    async with overseer:
        service = overseer.add("job", "/no/such/program", schedule=Cron("@yearly"))
        await service.start()
        with pytest.raises(NotReady, match="no/such/program"):
            await service.trigger()
        assert State.WAITING is service.status().state


# --- overlaps


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("skip", [60, 180]), ("queue", [60, 150, 240]), ("replace", [60, 120, 180])],
)
async def test_a_time_during_a_run(overlap: Any, expected: list[float]) -> None:
    """Left out, put off or put first; each is told."""
    async with job(Every(60, overlap=overlap), FakeChild().runs(90).exits()) as (overseer, clock, service):
        await clock.advance(245)
        await service.stop()
        assert expected == starts(service)[: len(expected)]
        told = await trigger_events(overseer)
        assert {"skip": 2, "queue": 2, "replace": 0}[overlap] <= len(told)
        if overlap == "skip":
            assert "its time has come (every 60 s): skipped, as a run is running" == told[0]


async def test_a_restart_that_waits_is_an_overlap() -> None:
    """A run in BACKOFF is not over."""
    slow = Restart(backoff=Backoff(min=100, max=100))
    for overlap, expected in (("skip", [60, 160]), ("replace", [60, 120])):
        schedule = Every(60, overlap=overlap)  # type: ignore[arg-type]  # one of the texts
        async with job(schedule, FakeChild().exits(1), FakeChild().runs(5).exits(), restart=slow) as (
            _,
            clock,
            service,
        ):
            await clock.advance(170)
            assert expected == starts(service)[:2]


async def test_a_replaced_run_has_its_ladder() -> None:
    """The next one begins when it is gone."""
    slow = FakeChild().runs(100).exits().on(15, FakeChild().runs(5).exits())
    async with job(Every(60, overlap="replace"), slow, DONE) as (_, clock, service):
        await clock.advance(122)
        assert (State.STOPPING, "its time has come (every 60 s), and the run before it is replaced") == (
            service.state,
            service.status().reason,
        )
        await clock.advance(20)
        assert [60, 125] == starts(service)


# --- clocks that jump, hosts that sleep


async def test_a_host_that_slept_makes_up_for_it_once_or_not() -> None:
    """The others come at their times."""
    for missed, expected in (("skip", [HOUR, HOUR + 7 * HOUR + 600]), ("once", [HOUR, HOUR + 6.5 * HOUR + 600])):
        schedule = Cron("0 * * * *", timezone="UTC", missed=missed)  # type: ignore[arg-type]  # one of the texts
        async with job(schedule, DONE) as (overseer, clock, service):
            await clock.advance(HOUR + 600)
            clock.set_wall(clock.wall() + timedelta(hours=6, minutes=20))
            await clock.advance(HOUR)
            first, second = starts(service)[:2]
            told = await trigger_events(overseer)
            assert HOUR == first
            if missed == "once":
                assert (expected[1] - 600 - 600 + 600, []) == (second, told)
            else:
                assert 8 * HOUR == second
                assert ["its time was missed by 5:30:00 (2030-01-01 02:00 UTC): skipped"] == told


async def test_a_clock_that_is_set_back_runs_nothing_twice() -> None:
    """Times that have run are passed over, and the reason has the next one."""
    async with job(Cron("0 * * * *", timezone="UTC"), DONE) as (_, clock, service):
        await clock.advance(3 * HOUR + 600)
        assert 3 == len(service.history)
        clock.set_wall(clock.wall() - timedelta(hours=2))
        await clock.advance(1)
        assert "2030-01-01 04:00 UTC" in service.status().reason
        await clock.advance(2.5 * HOUR)
        assert 3 == len(service.history)
        await clock.advance(HOUR)
        assert 4 == len(service.history)


async def test_a_stamp_outlives_the_overseer(tmp_path: Path) -> None:
    """One run at the start makes up for times that were missed in between. The first start misses nothing."""
    stamp = tmp_path / "job"
    schedule = Cron("30 2 * * *", timezone="UTC", missed="once", stamp=stamp)
    async with job(schedule, DONE) as (_, clock, service):
        await clock.advance(HOUR)
        assert () == service.history
    assert f"{BEGIN.isoformat()}\n" == stamp.read_text()
    for offset, expected in ((DAY, [DAY]), (DAY + HOUR, []), (2 * DAY, [2 * DAY])):
        overseer, clock, _ = scripted(DONE)
        await clock.advance(offset)
        async with overseer:
            service = overseer.add("job", "job", schedule=schedule)
            await service.start()
            await clock.advance(60)
            assert expected == starts(service)
    assert ["job"] == [path.name for path in tmp_path.iterdir()]


async def test_a_stamp_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """The schedule goes on."""
    (tmp_path / "bad").write_text("yesterday")
    for name in ("bad", "no/folder"):
        schedule = Cron("0 * * * *", timezone="UTC", missed="once", stamp=tmp_path / name)
        async with job(schedule, DONE) as (overseer, clock, service):
            await clock.advance(HOUR + 60)
            assert 1 == len(service.history)
            assert "the stamp " in (await trigger_events(overseer))[0]


# --- changes


async def test_another_schedule_counts_at_once() -> None:
    """Between two runs; the reason follows."""
    async with job(Every(600), DONE) as (overseer, clock, service):
        await clock.advance(100)
        overseer.update("job", schedule=Every(50))
        assert "waits for its time, every 50 s" == service.status().reason
        await clock.advance(65)
        overseer.update("job", schedule=Cron("0 * * * *", timezone="UTC"))
        await clock.advance(HOUR)
        assert [150, HOUR] == starts(service)
        overseer.update("job", restart=RETRY)
        await clock.advance(HOUR)
        assert 3 == len(service.history)


async def test_a_schedule_that_is_removed_leaves_a_service_that_runs() -> None:
    """At once if it waited; otherwise its present run goes on, and ends as that of any service."""
    for seconds, runs in ((70, 2), (65, 1)):
        async with job(Every(60), FakeChild().runs(9).exits()) as (overseer, clock, service):
            await clock.advance(seconds)
            overseer.update("job", schedule=None)
            await clock.settle()
            assert (State.RUNNING, None) == (service.status().state, service.status().next)
            await clock.advance(100)
            assert (State.FINISHED, runs) == (service.status().state, len(service.history))


async def test_a_schedule_that_is_added_follows_the_present_run() -> None:
    """A time during that run is an overlap."""
    async with job(Every(60), FakeChild().runs(100).exits(), start=False) as (overseer, clock, service):
        overseer.update("job", schedule=None)
        await service.start()
        await clock.advance(20)
        overseer.update("job", schedule=Every(60))
        await clock.advance(70)
        assert (State.RUNNING, 1) == (service.status().state, len(await trigger_events(overseer)))
        await clock.advance(20)
        assert "exited with code 0; waits for its time, every 60 s" == service.status().reason
        await clock.advance(40)
        assert State.RUNNING is service.status().state


async def test_update_of_a_stopped_service_arms_nothing() -> None:
    """Before the first start, and after a stop."""
    async with job(Every(60), start=False) as (overseer, clock, service):
        for state in (State.INITIAL, State.INTERRUPT):
            for schedule in (Every(5), None, Cron("* * * * *")):
                overseer.update("job", schedule=schedule)
                await clock.advance(100)
                assert (state, None) == (service.status().state, service.status().next)
            await service.start()
            assert State.WAITING is service.status().state
            await service.stop()


# --- max_runtime


@pytest.mark.parametrize("schedule", [None, Every(60, first="at_start")])
async def test_a_run_that_takes_too_long_is_ended_as_a_failure(schedule: Schedule | None) -> None:
    """By its ladder, and the policy judges it."""
    slow = FakeChild().runs(1000).on(15, FakeChild().runs(2).exits())
    overseer, clock, _ = scripted(slow, DONE)
    async with overseer:
        service = overseer.add("job", "job", max_runtime=30, schedule=schedule, restart=RETRY)
        await service.start()
        await clock.advance(20)
        assert ("its end by max_runtime", 10.0) == (service.why().due, service.why().due_in)
        await clock.advance(11)
        assert "it ran for longer than max_runtime=30 s; SIGTERM was sent" == service.status().reason
        await clock.advance(1.5)
        assert "'job' ran for longer than 30 s (max_runtime)" in service.status().reason
        await clock.advance(12)
        assert 2 == len(service.history)
        assert (State.FINISHED if schedule is None else State.WAITING) is service.status().state
        await clock.advance(5)
        await service.stop()


async def test_a_limit_of_time_ends_a_task() -> None:
    """A function of the host, each minute."""
    calls: list[float] = []
    overseer, clock, _ = scripted()

    async def work() -> None:
        calls.append(clock.now())
        await clock.sleep(1000)

    async with overseer:
        service = overseer.add_task(
            "job", work, schedule=Every(60), max_runtime=30, restart=Restart("on-abnormal", max_restarts=0)
        )
        await service.start()
        await clock.advance(200)
        assert [60, 120, 180] == calls
        assert "gave up" in service.history[0].reason or State.RUNNING is service.state
        await service.stop()


# --- real programs, and much of them


async def test_real_programs_run_on_time() -> None:
    """Each in a run of its own; leaving the block in the middle of one leaves nothing behind."""
    quick, slow = child("print('tick', flush=True)"), child("rest()")
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("job", *quick, schedule=Every(0.2, first="at_start"))
        lines = service.lines()
        await service.start()
        assert [("tick", run) for run in (1, 2, 3)] == [
            (line.text, line.run) for line in [await lines.get() for _ in range(3)]
        ]
        overseer.add("slow", *slow, schedule=Every(0.1), max_runtime=0.1, restart=Restart(max_restarts=0))
        await overseer["slow"].start()
        await overseer["slow"].wait_for(lambda status: status.error is not None)
        assert "max_runtime" in overseer["slow"].status().reason
        await overseer["slow"].trigger()
    assert State.INTERRUPT is service.status().state


@pytest.mark.timeout(120)
async def test_many_days_of_two_schedules() -> None:
    """An hourly and a nightly one, over the beginning of summer time; a year with AIOVERSEER_LONG=1."""
    days = 365 if LONG else 4
    overseer, clock, _ = scripted(FakeChild().exits())
    await clock.advance(0 if LONG else 88 * DAY)
    begin = clock.now()
    async with overseer:
        hourly = overseer.add("hourly", "hourly", schedule=Cron("@hourly", timezone="Europe/Berlin"))
        nightly = overseer.add("nightly", "nightly", schedule=Cron("30 2 * * *", timezone="Europe/Berlin"))
        await overseer.start_all()
        began = time.process_time()
        await clock.advance(days * DAY)
        assert time.process_time() - began < 15  # 8 s for a year
        assert (24 * days, days) == (hourly._runner.machine.runs, nightly._runner.machine.runs)
        if not LONG:
            # 02:30 in winter, right after the gap on Sunday the 31st of March, then 02:30 in summer
            assert [1.5 * HOUR, DAY + HOUR, 2 * DAY + 0.5 * HOUR, 3 * DAY + 0.5 * HOUR] == [
                start - begin for start in starts(nightly)
            ]
