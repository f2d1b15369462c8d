"""Why a service is where it is: as data, and as one sentence, in every state; and waits that cannot come true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import (
    After,
    Alive,
    Backoff,
    Exit,
    NotReady,
    Overseer,
    Process,
    Restart,
    State,
    Stop,
    StopFailed,
    ready,
)
from aioverseer.core.report.why import Awaited, Why
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

STEADY = Restart(max_restarts=3, within=60, backoff=Backoff(min=4, max=4))
UNDYING = FakeChild().ignores(2, 15, 9)
KILLED = Exit(signal=9)


@asynccontextmanager
async def scripted(
    *scripts: FakeChild, by_id: dict[str, list[FakeChild]] | None = None, **options: Any
) -> AsyncGenerator[tuple[Overseer, ManualClock]]:
    """An overseer whose time and children belong to the test; what does not die is let go at the end."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts, by_id=by_id)
    overseer = Overseer(clock=clock, launcher=launcher, **options)
    await overseer.__aenter__()
    try:
        yield overseer, clock
    finally:
        launcher._scripts = {"": [FakeChild()]}
        for child in launcher.children:
            child.end(KILLED)
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await clock.advance(100)
        await leaving


async def stopping(overseer: Overseer, clock: ManualClock, id: str, seconds: float) -> asyncio.Future[Any]:
    """A stop that has been under way for so long."""
    stop = overseer[id]._runner.stop()
    await clock.advance(seconds)
    return stop


# --- every state


async def test_a_service_that_was_never_started_waits_for_nothing() -> None:
    """And has no past."""
    async with scripted() as (overseer, _):
        overseer.add("a", "a")
        why = overseer["a"].why()
        assert ((), None, 0.0, 5) == (why.awaits, why.due, why.since, why.restarts_left)
        assert "a is initial for 0.0 s: it has not been started; 5 restarts left" == str(why)


async def test_a_delayed_start_knows_its_time() -> None:
    """``delay_start`` is what comes next."""
    async with scripted() as (overseer, clock):
        overseer.add("a", "a", delay_start=10)
        starting = asyncio.ensure_future(overseer.start("a"))
        await clock.advance(4)
        why = overseer["a"].why()
        assert ((), "its start", 6.0) == (why.awaits, why.due, why.due_in)
        assert "a is starting for 4.0 s: waits 10 s before its start; next: its start in 6.0 s" in str(why)
        await clock.advance(6)
        await starting


async def test_an_unready_program_names_its_probe_and_deadline() -> None:
    """With what the last attempt had to say, in the Status as well."""

    async def look() -> None:
        raise OSError("no route")

    async with scripted() as (overseer, clock):
        overseer.add("a", "a", ready=ready.check(look), ready_timeout=20)
        starting = asyncio.ensure_future(overseer.start("a"))
        await clock.advance(5)
        why = overseer["a"].why()
        assert (Awaited(kind="readiness", text="check look", due_in=15.0),) == why.awaits
        assert "waits for check look; check look: OSError: no route" in why.reason
        assert why.reason == overseer.status("a").reason
        assert 1 == str(why).count("waits for")
        with pytest.raises(NotReady, match=r"after 1 s a is starting for 6\.0 s: is being started"):
            await asyncio.gather(overseer["a"].ready(1), clock.advance(1))
        await overseer.stop("a")
        with pytest.raises(NotReady):
            await starting


async def test_a_deferred_service_names_its_dependencies() -> None:
    """One by one, and what of them."""
    async with scripted(by_id={"db": [FakeChild()]}) as (overseer, clock):
        overseer.add("db", "db", ready=ready.line("up"), ready_timeout=None)
        overseer.add("migrate", "migrate")
        overseer.add("web", "web", after={"db": "ready", "migrate": "success"})
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(3)
        why = overseer["web"].why()
        assert [
            ("service", "db", "'db' to be ready"),
            ("service", "migrate", "'migrate' to end as a success"),
        ] == [(one.kind, one.name, one.text) for one in why.awaits]
        assert (
            "web is starting for 3.0 s: waits for 'db' to be ready, 'migrate' to end as a success; 5 restarts left"
        ) == str(why)
        await overseer.stop_all()
        with pytest.raises(NotReady):
            await starting


async def test_a_backoff_knows_its_end_and_its_budget() -> None:
    """How many restarts are left, and when there is one more."""
    async with scripted(FakeChild().runs(1).exits(3)) as (overseer, clock):
        overseer.add("a", "a", restart=STEADY)
        await overseer.start("a")
        await clock.advance(2)
        why = overseer["a"].why()
        assert (State.BACKOFF, "a restart", 3.0, 2, 59.0) == (
            why.state,
            why.due,
            why.due_in,
            why.restarts_left,
            why.refills_in,
        )
        assert (
            "a is backoff for 1.0 s: exited with code 3; restarts in 4 s (2 of 3 restarts left); "
            "next: a restart in 3.0 s; 2 restarts left, one more in 59.0 s"
        ) == str(why)


async def test_a_held_member_names_its_group_and_the_blocking_member() -> None:
    """First those that have to end, then those that come before it."""
    by_id = {"c": [FakeChild().ignores(15)], "a": [FakeChild(), FakeChild()]}
    async with scripted(by_id=by_id) as (overseer, clock):
        overseer.group("g", "one_for_all", restart=STEADY)
        for id in "abc":
            overseer.add(id, id, group="g", ready=ready.line("up") if id == "a" else None, ready_timeout=None)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        overseer.launcher.children[0].print("up\n")  # type: ignore[attr-defined]  # the scripted one
        await starting
        overseer.signal("b", 9)
        await clock.advance(1)
        why = overseer["b"].why()
        text = "group 'g' to start it again, once 'c' is ended"
        assert (Awaited(kind="group", name="g", text=text, due_in=3.0),) == why.awaits
        assert "backoff" == str(why.state)
        assert (2, 3.0) == (why.restarts_left, why.due_in)
        await clock.advance(20)
        why = overseer["b"].why()
        assert [("group", "group 'g' to start it again, once 'a' is running", None)] == [
            (one.kind, one.text, one.due_in) for one in why.awaits
        ]
        assert ("a restart", None) == (why.due, why.due_in)


async def test_a_stop_names_the_next_step_of_the_ladder() -> None:
    """Signal and time; then that nothing is left to be done, and who does not die."""
    async with scripted(UNDYING) as (overseer, clock):
        overseer.add("a", "a", stop=Stop(steps=[(2, 5), (15, 3)]))
        await overseer.start("a")
        pid = overseer["a"].pid
        stop = await stopping(overseer, clock, "a", 1)
        assert (Awaited(kind="program", text=f"pid {pid} to end, or is sent SIGTERM", due_in=4.0),) == (
            overseer["a"].why().awaits
        )
        await clock.advance(5)
        assert f"waits for pid {pid} to end, or is sent SIGKILL (in 2.0 s); next: its end" in str(overseer["a"].why())
        await clock.advance(2)
        assert f"pid {pid} to end, or is reported as one that does not die (in 2.0 s)" in str(overseer["a"].why())
        await clock.advance(5)
        assert (await stop).survived
        why = overseer["a"].why()
        assert f"a stop was asked for; pid {pid} is still there 2 s after SIGKILL" == why.reason
        assert why.reason == overseer.status("a").reason
        assert (Awaited(kind="program", text=f"pid {pid} to end"), None) == (why.awaits[0], why.due)


async def test_a_service_stopped_later_names_its_blockers() -> None:
    """The dependents that still stop, and their next signal; later levels wait for these alone."""
    by_id = {"web": [FakeChild().ignores(15)], "db": [FakeChild()], "disk": [FakeChild()]}
    async with scripted(by_id=by_id) as (overseer, clock):
        overseer.add("disk", "disk")
        overseer.add("db", "db", after="disk")
        overseer.add("web", "web", after="db")
        await overseer.start_all()
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(4)
        pid = overseer["web"].pid
        for id in ("db", "disk"):
            why = overseer[id].why()
            assert State.RUNNING is why.state
            text = f"'web' to end before it, that is for pid {pid} to end, or is sent SIGKILL"
            assert (Awaited(kind="stop", name="web", text=text, due_in=6.0),) == why.awaits
            assert f"is ready; waits for {text} (in 6.0 s)" in str(why)
        await clock.advance(7)
        assert (await stop).ok
        assert () == overseer["db"].why().awaits


async def test_a_service_started_since_its_stop_is_no_blocker() -> None:
    """The stop of all waits for the run that it stops, and not for a later one."""
    by_id = {"web": [FakeChild().ignores(15)], "job": [FakeChild(), FakeChild()], "db": [FakeChild()]}
    async with scripted(by_id=by_id) as (overseer, clock):
        overseer.add("db", "db")
        for id in ("job", "web"):
            overseer.add(id, id, after="db")
        await overseer.start_all()
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(4)
        await overseer.start("job")
        assert ["web"] == [blocker.name for blocker in overseer["db"].why().awaits]
        await clock.advance(7)
        assert ["web", "job", "db"] == list((await stop).outcomes)


async def test_blockers_are_named_while_a_stop_waits() -> None:
    """When half of their share of ``shutdown_timeout`` is over, and again when they are killed."""
    by_id = {"web": [FakeChild().ignores(15)]}
    async with scripted(by_id=by_id, shutdown_timeout=8) as (overseer, clock):
        overseer.add("db", "db")
        overseer.add("web", "web", after="db")
        await overseer.start_all()
        events = overseer.events()
        stop = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(100)
        pid = overseer["web"].pid
        assert ["web"] == (await stop).blockers
        told = [(event.id, event.reason) for event in iter(events.get_nowait, None) if event.kind == "stop"]
        holds = f"holds up the stop of 'db': waits for pid {pid} to end, or is sent SIGKILL"
        killed = "is killed, as its share of shutdown_timeout is over"
        assert [("web", f"{holds}; it is killed in 2 s (shutdown_timeout)"), ("web", killed)] == told


async def test_a_program_that_is_not_alive_says_so_in_every_place() -> None:
    """In why(), in the Status, in the error of a wait."""

    async def look() -> bool:
        return False

    async with scripted() as (overseer, clock):
        overseer.add("a", "a", alive=Alive(ready.check(look), every=1, failures=2, action="mark"))
        await overseer.start("a")
        await clock.advance(3)
        words = "not alive: 2 checks in a row have failed: it returned False"
        assert words in overseer["a"].why().reason
        assert words in overseer.status("a").reason
        with pytest.raises(NotReady, match=words):
            await asyncio.gather(overseer["a"].wait_for(State.FINISHED, 1), clock.advance(2))


async def test_all_at_once() -> None:
    """A dict, sorted, whose values are JSON."""
    async with scripted() as (overseer, _):
        for id in "ba":
            overseer.add(id, id)
        await overseer.start("a")
        found = overseer.why()
        assert ["a", "b"] == list(found)
        assert found["a"] == overseer["a"].why()
        said = json.loads(json.dumps(found["a"].to_json()))
        assert ("a", "running", "is ready", [], str(found["a"])) == tuple(
            said[key] for key in ("id", "state", "reason", "awaits", "text")
        )


def test_a_sentence_says_nothing_twice() -> None:
    """Names that the reason already has, and a given time."""
    db = Awaited(kind="service", name="db", text="'db' to be ready")
    turn = Awaited(kind="throttle", text="its turn", due_in=2.0)
    reason = "waits for 'db' to be ready"
    why = Why(
        id="a", state=State.BACKOFF, reason=reason, since=1.0, awaits=(db, turn), due="a restart", due_in=turn.due_in
    )
    assert f"a is backoff for 1.0 s: {reason}; waits for its turn (in 2.0 s); next: a restart" == str(why)


# --- waits that cannot come true: what SIGKILL does not end


async def test_waits_for_an_unstoppable_program_fail_at_once() -> None:
    """``wait``, ``supervise``, ``wait_for``, ``ready``, and each of them once more afterwards."""
    async with scripted(UNDYING) as (overseer, clock), limit():
        a = overseer.add("a", "a")
        asked = (overseer.supervise("a"), a.wait(), a.wait_for(State.FINISHED))
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in asked]
        await clock.settle()
        assert State.RUNNING is a.state
        stop = await stopping(overseer, clock, "a", 11)
        assert not any(wait.done() for wait in waits)
        await clock.advance(2)
        assert (await stop).survived
        words = f"'a' does not die: a stop was asked for; pid {a.pid} is still there 2 s after SIGKILL"
        later: tuple[Coroutine[Any, Any, object], ...] = (a.wait(), a.ready(), a.start(), a.restart())
        for wait in [*waits, *map(asyncio.ensure_future, later)]:
            with pytest.raises(StopFailed, match=words) as caught:
                await wait
            assert caught.value.status is not None
            assert (a.id, State.STOPPING) == (caught.value.id, caught.value.status.state)


async def test_it_is_news_that_something_does_not_die() -> None:
    """An event, with who."""
    async with scripted(UNDYING) as (overseer, clock):
        a = overseer.add("a", "a")
        await a.start()
        events = overseer.events()
        stop = await stopping(overseer, clock, "a", 20)
        told = [event for event in iter(events.get_nowait, None) if event.kind == "stop"]
        assert [f"a stop was asked for; pid {a.pid} is still there 2 s after SIGKILL"] == [one.reason for one in told]
        assert (await stop).survived


async def test_an_unstoppable_program_that_ends_later_is_handled_as_usual() -> None:
    """A device that answers after all: the state follows, and waits are waits again."""
    async with scripted(UNDYING, FakeChild()) as (overseer, clock):
        a = overseer.add("a", "a")
        await a.start()
        await (await stopping(overseer, clock, "a", 20))
        with pytest.raises(StopFailed):
            await a.start()  # still wanted: a new run follows an end that comes after all
        overseer.launcher.children[0].end(KILLED)  # type: ignore[attr-defined]  # the scripted one
        await clock.settle()
        assert a is await a.ready()
        assert (State.RUNNING, "is ready") == (a.state, a.why().reason)


@pytest.mark.parametrize("until", ["ready", "finished", "success"])
@pytest.mark.parametrize("hard", [True, False])
async def test_dependents_of_an_unstoppable_service_are_released(until: Any, *, hard: bool) -> None:
    """It ends FATAL, and says why, or is started without it; supervise_all() returns, start_all() raises."""
    async with scripted(FakeChild(), by_id={"db": [UNDYING]}) as (overseer, clock), limit():
        overseer.add("db", "db", ready=ready.line("up"), ready_timeout=None)
        overseer.add("web", "web", after=After("db", until, hard=hard))
        supervising = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(1)
        assert [State.STARTING] * 2 == [overseer[id].state for id in ("db", "web")]
        stop = await stopping(overseer, clock, "db", 20)
        assert (await stop).survived
        if hard:
            statuses = await supervising
            assert (State.STOPPING, State.FATAL) == (statuses["db"].state, statuses["web"].state)
            assert "'web' cannot be started: it waited for 'db'" in statuses["web"].reason
            assert "which does not die" in statuses["web"].reason
            with pytest.raises(StopFailed, match="'db' does not die"):
                await overseer.start_all()
        else:
            assert State.RUNNING is overseer["web"].state
            await overseer.stop("web")
            assert State.INTERRUPT is (await supervising)["web"].state


async def test_start_all_fails_when_a_service_becomes_unstoppable() -> None:
    """It was being stopped when all were started again."""
    async with scripted(UNDYING) as (overseer, clock), limit():
        overseer.add("a", "a")
        await overseer.start_all()
        stop = await stopping(overseer, clock, "a", 5)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(20)
        with pytest.raises(StopFailed, match="'a' does not die"):
            await starting
        assert (await stop).survived


async def test_a_run_that_is_not_ready_in_time_and_does_not_die_either() -> None:
    """Nobody has stopped it, and who waits for it is told all the same."""
    async with scripted(UNDYING) as (overseer, clock), limit():
        a = overseer.add("a", "a", ready=ready.line("up"), ready_timeout=5)
        starting = asyncio.ensure_future(a.start())
        await clock.advance(30)
        words = "it was not ready within 5 s; SIGTERM was sent; pid 1001 is still there 2 s after SIGKILL; it may"
        with pytest.raises(StopFailed, match=words):
            await starting


async def test_a_lone_process_that_does_not_die_is_waited_for_no_longer() -> None:
    """As in a service."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, UNDYING)
    process = Process("a", clock=clock, launcher=launcher)
    async with limit():
        await process.start()
        waiting = asyncio.ensure_future(process.wait())
        stop = asyncio.ensure_future(process.stop())
        await clock.advance(20)
        for one in (waiting, stop, asyncio.ensure_future(process.wait())):
            with pytest.raises(StopFailed, match="'a' does not die: pid 1001 is still there 2 s after SIGKILL"):
                await one
        launcher.children[0].end(KILLED)
        await clock.settle()
        assert State.INTERRUPT is (await process.wait()).state


@pytest.mark.parametrize(
    ("restart", "code", "expected"),
    [
        (Restart("never"), 1, "next: its end; 0 restarts left"),
        (Restart("on-failure"), 0, "next: its end; 5 restarts left"),
        (Restart("on-failure"), 1, "next: a restart; 5 restarts left"),
        (Restart("on-failure", max_restarts=0), 1, "next: its end; 0 restarts left"),
    ],
)
async def test_next_event_after_the_leftovers_is_that_of_the_policy(restart: Restart, code: int, expected: str) -> None:
    clock = ManualClock()
    crash = FakeChild().leaves("worker", immortal=True).exits(code)
    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock, crash, FakeChild()))
    await overseer.__aenter__()
    a = overseer.add("a", "a", restart=restart)
    starting = asyncio.ensure_future(a.start())
    await clock.settle()
    assert State.STOPPING is a.state
    assert str(a.why()).endswith(expected)
    starting.cancel()
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(100)
    async with limit():
        with pytest.raises(StopFailed, match="worker"):
            await leaving


async def test_leftovers_after_the_end_of_a_program_are_waited_for() -> None:
    """A restart follows their end."""
    clock = ManualClock()
    crash = FakeChild().leaves("worker", immortal=True).exits(1)
    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock, crash, FakeChild()))
    await overseer.__aenter__()
    a = overseer.add("a", "a", restart=STEADY, stop=Stop(timeout=3))
    starting = asyncio.ensure_future(a.start())
    await clock.settle()
    why = a.why()
    assert (State.STOPPING, "a restart") == (why.state, why.due)
    assert ["what it left behind (pid 1002 (worker)) to end, or is sent SIGKILL"] == [one.text for one in why.awaits]
    starting.cancel()
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(100)
    async with limit():
        with pytest.raises(StopFailed, match="worker"):
            await leaving
