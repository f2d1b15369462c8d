"""Services that wait for each other: their start, their stop, and what happens to one when another ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import (
    After,
    Backoff,
    DependencyCycle,
    Event,
    Exit,
    NotReady,
    Overseer,
    OverseerError,
    Restart,
    SpecError,
    State,
    Stop,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

NEVER = Restart("never")
UP = ready.line("up")


@asynccontextmanager
async def scripted(
    shutdown_timeout: float | None = None, **scripts: FakeChild
) -> AsyncGenerator[tuple[Overseer, ManualClock, ScriptedLauncher]]:
    """An overseer whose time and children belong to the test; scripts by the names of their services."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={id: [script] for id, script in scripts.items()})
    async with Overseer(clock=clock, launcher=launcher, shutdown_timeout=shutdown_timeout) as overseer:
        yield overseer, clock, launcher


def launched(launcher: ScriptedLauncher) -> list[str]:
    """The names of the services that were launched, in order."""
    return [one.spec.id for one in launcher.children]


# --- the start


async def test_each_service_waits_for_its_dependencies() -> None:
    """And says so; those that do not wait for each other start side by side."""
    async with scripted(db=FakeChild().runs(5).prints("up"), cache=FakeChild().runs(2).prints("up")) as world:
        overseer, clock, launcher = world
        overseer.add("web", "web", after=["db", "cache"])
        overseer.add("db", "db", ready=UP)
        overseer.add("cache", "cache", ready=UP)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        assert ["cache", "db"] == sorted(launched(launcher))
        web = overseer["web"]
        assert "waits for 'db' to be ready, 'cache' to be ready" == web.why().reason
        assert (State.STARTING, None) == (web.state, web.why().due)
        await clock.advance(2)
        assert "waits for 'db' to be ready" == web.why().reason
        await clock.advance(3)
        await starting
        assert "web" == launched(launcher)[-1]
        assert [State.RUNNING] * 3 == [overseer[id].state for id in overseer]


async def test_a_migration_has_to_succeed_before_the_server_starts() -> None:
    """The case that most users have."""
    async with scripted(migrate=FakeChild().runs(3).exits(0)) as (overseer, clock, launcher):
        overseer.add("migrate", "migrate", after="db")
        overseer.add("web", "web", after={"migrate": "success", "db": "ready"})
        overseer.add("db", "db")
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(2)
        assert ["db", "migrate"] == launched(launcher)
        await clock.advance(1)
        await starting
        assert ["db", "migrate", "web"] == launched(launcher)


async def test_a_service_that_cannot_start_any_more_fails_at_once() -> None:
    """The whole chain of dependents fails too, with the reason; other services continue."""
    scripts = {"migrate": FakeChild().runs(3).exits(2), "worker": FakeChild()}
    async with scripted(None, **scripts) as (overseer, clock, launcher):
        overseer.add("migrate", "migrate", restart=NEVER)
        overseer.add("web", "web", after={"migrate": "success"})
        overseer.add("proxy", "proxy", after="web")
        overseer.add("worker", "worker")
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(3)
        message = "'web' cannot be started: it waited for 'migrate' to end as a success, which exited with code 2"
        with pytest.raises(NotReady, match=re.escape(message)):
            await starting
        assert [State.FATAL, State.FATAL] == [overseer[id].state for id in ("web", "proxy")]
        assert "it waited for 'web' to be ready, which is fatal" in overseer["proxy"].status().reason
        assert State.RUNNING is overseer["worker"].state
        assert ["migrate", "worker"] == sorted(launched(launcher))


async def test_a_dependent_waits_through_restarts_of_its_dependency() -> None:
    """Only a final end bars it."""
    clock = ManualClock()
    crashes = [FakeChild().runs(1).exits(1), FakeChild().runs(1).exits(1), FakeChild().runs(1).prints("up")]
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"db": crashes})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("db", "db", ready=UP)
        overseer.add("web", "web", after="db")
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(20)
        await starting
        assert ["db", "db", "db", "web"] == launched(launcher)


async def test_a_soft_edge_gives_the_order_alone() -> None:
    """A soft dependency may fail, or not exist at all."""
    async with scripted(cache=FakeChild().runs(2).exits(1)) as (overseer, clock, launcher):
        overseer.add("cache", "cache", ready=UP, restart=NEVER)
        web = overseer.add("web", "web", after=[After("cache", hard=False), After("metrics", hard=False)])
        supervising = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(1)
        assert State.STARTING is web.state
        await clock.advance(1)
        assert "running" == str(web.state)
        assert ["cache", "web"] == launched(launcher)
        await overseer.stop_all()
        await supervising


async def test_started_is_before_ready_and_finished_is_the_end() -> None:
    """The other two things to wait for."""
    async with scripted(a=FakeChild().runs(5).prints("up").runs(5).exits(3)) as (overseer, clock, launcher):
        overseer.add("a", "a", ready=UP, restart=NEVER)
        overseer.add("b", "b", after={"a": "started"})
        overseer.add("c", "c", after={"a": "finished"})
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(1)
        assert ["a", "b"] == launched(launcher)
        await clock.advance(8)
        assert ["a", "b"] == launched(launcher)
        await clock.advance(1)
        await starting
        assert ["a", "b", "c"] == launched(launcher)


async def test_cycles_and_unknown_names_are_refused_before_any_start() -> None:
    """With the path written out."""
    async with scripted() as (overseer, _, launcher):
        overseer.add("a", "a", after="b")
        overseer.add("b", "b", after="c")
        overseer.add("c", "c", after="a")
        overseer.add("d", "d")
        for start in (overseer.start_all, overseer.supervise_all):
            with pytest.raises(DependencyCycle, match="a -> b -> c -> a"):
                await start()
        overseer.update("c", after="e")
        with pytest.raises(SpecError, match=re.escape("'c': after='e' is not registered")):
            await overseer.start_all()
        assert [] == launched(launcher)
        assert {State.INITIAL} == {overseer[id].state for id in overseer}


async def test_an_invalid_later_dependency_does_not_hurt_others() -> None:
    """It alone ends FATAL."""
    async with scripted() as (overseer, clock, launcher):
        a = overseer.add("a", "a")
        supervising = asyncio.ensure_future(overseer.supervise_all())
        await clock.settle()
        b = overseer.add("b", "b", after="nobody")
        await clock.settle()
        assert (State.RUNNING, State.FATAL) == (a.state, b.state)
        assert "'nobody' is not registered" in b.status().reason
        overseer.update("b", after="a")
        await b.start()
        assert ["a", "b"] == launched(launcher)
        await overseer.stop_all()
        await supervising


async def test_a_service_started_alone_does_not_wait() -> None:
    """The order is that of sets; the same goes for one that is held already."""
    async with scripted(db=FakeChild()) as (overseer, clock, launcher):
        overseer.add("db", "db", ready=UP)
        web = overseer.add("web", "web", after="db")
        worker = overseer.add("worker", "worker", after="db")
        await web.start()
        assert ["web"] == launched(launcher)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        assert ["web", "db"] == launched(launcher)
        await worker.start()
        assert ["web", "db", "worker"] == launched(launcher)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting


async def test_a_cancelled_start_rolls_back_started_and_deferred_services() -> None:
    """Nothing is started afterwards."""
    async with scripted(db=FakeChild()) as (overseer, clock, launcher):
        overseer.add("db", "db", ready=UP)
        overseer.add("web", "web", after="db")
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await clock.advance(100)
        assert {State.INTERRUPT} == {overseer[id].state for id in overseer}
        assert ["db"] == launched(launcher)


async def test_a_long_chain_is_no_deep_one() -> None:
    """Neither a start nor a failure of the first goes through all of them on one stack."""
    async with scripted(s0=FakeChild().runs(1).exits(1)) as (overseer, clock, _):
        overseer.add("s0", "x", ready=UP, restart=NEVER)
        for number in range(1, 1500):
            overseer.add(f"s{number}", "x", after=f"s{number - 1}")
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(2)
        with pytest.raises(NotReady):
            await starting
        assert State.FATAL is overseer["s1499"].state


# --- the stop


def ends(events: list[Event]) -> list[str]:
    """The names of services in the order in which they came to a final state."""
    return [event.id for event in events if event.state.is_final]


async def test_a_stop_goes_backwards_level_by_level() -> None:
    """Nobody loses what it needs before it has ended itself."""
    async with scripted(web=FakeChild().ignores(2)) as (overseer, clock, launcher):
        overseer.add("db", "db")
        overseer.add("web", "web", after="db", stop=Stop(2, 5))
        overseer.add("proxy", "proxy", after="web")
        overseer.add("lonely", "lonely")
        await overseer.start_all()
        by_id = {one.spec.id: one for one in launcher.children}
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(4)
        assert ["lonely", "proxy"] == sorted(id for id in overseer if overseer[id].state.is_final)
        assert ([2], []) == (by_id["web"].signals, by_id["db"].signals)
        await clock.advance(10)
        report = await stopping
        assert (["web"], []) == (report.escalated, report.blockers)
        assert [15] == by_id["db"].signals


@pytest.mark.parametrize("how", ["stop", "kill", "cancel"])
async def test_a_stop_starts_nobody_on_the_way(how: str) -> None:
    """A service whose dependency is asked to stop waits no longer, and does not start."""
    async with scripted() as (overseer, clock, launcher):
        overseer.add("a", "a", ready=UP)
        overseer.add("b", "b", after=After("a", hard=False))
        overseer.add("c", "c", after=After("b", hard=False))
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        if how == "cancel":
            starting.cancel()
        else:
            await overseer.stop_all(kill=how == "kill")
        with pytest.raises((NotReady, asyncio.CancelledError)):
            await starting
        await clock.settle()
        assert ["a"] == launched(launcher)
        assert {State.INTERRUPT} == {overseer[id].state for id in overseer}


async def test_a_stop_has_one_deadline_that_its_levels_share() -> None:
    """Each may take its share of what is left; who held it up is named, and each level still has its turn."""
    slow = {id: FakeChild().ignores(15) for id in ("web", "db")}
    async with scripted(9.0, **slow) as (overseer, clock, launcher):
        overseer.add("db", "db", stop=Stop(15, 60))
        overseer.add("web", "web", after="db", stop=Stop(15, 60))
        overseer.add("proxy", "proxy", after="web")
        await overseer.start_all()
        by_id = {one.spec.id: one for one in launcher.children}
        began = clock.now()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(4.4)  # proxy needed nothing: web has half of the nine seconds
        assert [15] == by_id["web"].signals
        await clock.advance(0.2)
        assert [15, 9] == by_id["web"].signals
        await clock.advance(4.3)
        assert [15] == by_id["db"].signals
        await clock.advance(0.2)
        report = await stopping
        assert ["db", "web"] == report.blockers
        assert clock.now() - began < 9.2
        assert "its share of shutdown_timeout was over" in str(report)


@pytest.mark.parametrize("how", ["ends meanwhile", "waits for its restart", "is being restarted"])
async def test_a_service_that_is_down_before_its_stop_level_stays_down(how: str) -> None:
    """As in systemd: nothing that is to be stopped is restarted, and its stop is in the report."""
    async with (
        limit(),
        scripted(web=FakeChild().ignores(15), db=FakeChild().ignores(15)) as (overseer, clock, launcher),
    ):
        overseer.add("db", "db", stop=Stop(15, 1), restart=Restart("always", backoff=Backoff(min=2, max=2)))
        overseer.add("web", "web", after=After("db", hard=False), stop=Stop(15, 60))
        await overseer.start_all()
        (db,) = (one for one in launcher.children if one.spec.id == "db")
        if how == "waits for its restart":
            db.end(Exit(code=1))
            await clock.settle()
            assert State.BACKOFF is overseer["db"].state
        restarting = asyncio.ensure_future(overseer["db"].restart()) if how == "is being restarted" else None
        await clock.settle()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.settle()
        if how == "ends meanwhile":
            assert State.RUNNING is overseer["db"].state
            db.end(Exit(code=1))
        await clock.advance(30)
        assert (State.INTERRUPT, State.STOPPING) == (overseer["db"].state, overseer["web"].state)
        await clock.advance(40)
        report = await stopping
        assert {"db", "web"} == set(report.outcomes)
        assert (["db", "web"], 1) == (sorted(launched(launcher)), len([1 for it in launched(launcher) if it == "db"]))
        if restarting is not None:
            with pytest.raises(NotReady):
                await restarting


async def test_a_stop_that_nobody_waits_for_goes_on_to_the_last_level() -> None:
    """As with one service."""
    async with scripted(web=FakeChild().ignores(15)) as (overseer, clock, _):
        overseer.add("db", "db")
        overseer.add("web", "web", after="db")
        await overseer.start_all()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.settle()
        stopping.cancel()
        await clock.settle()
        assert State.RUNNING is overseer["db"].state
        await clock.advance(20)
        assert {State.INTERRUPT} == {overseer[id].state for id in overseer}


async def test_a_stop_whose_task_is_cancelled_raises() -> None:
    """As all tasks are at the end of a loop: nobody is left waiting, and the programs are ended on leaving."""
    async with limit(), scripted() as (overseer, clock, _):
        overseer.add("db", "db")
        overseer.add("web", "web", after="db")
        await overseer.start_all()
        before = asyncio.all_tasks()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await asyncio.sleep(0)
        (run,) = asyncio.all_tasks() - before - {stopping}
        run.cancel()  # before its first step
        with pytest.raises(OverseerError, match="was cancelled while it stopped all"):
            await stopping
        assert clock.now() == 0


async def test_leaving_keeps_the_order_too() -> None:
    """With real programs: each writes its name when it is told to end."""
    code = """
        import signal, sys, time
        def end(*_):
            print("ends", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(100)
    """
    async with limit(20):
        overseer = Overseer()
        async with overseer:
            overseer.add("c", *child(code), ready=UP, after="b")
            overseer.add("b", *child(code), ready=UP, after="a")
            overseer.add("a", *child(code), ready=UP)
            events = overseer.events()
            await overseer.start_all()
            assert [State.RUNNING] * 3 == [overseer[id].state for id in overseer]
        seen = [event async for event in events]
    assert ["a", "b", "c"] == [event.id for event in seen if event.state is State.RUNNING]
    assert ["c", "b", "a"] == ends(seen)


# --- consequences of a restart or an end


async def test_by_default_nothing_follows() -> None:
    """A service that has been started is left alone."""
    async with scripted(db=FakeChild().runs(5).exits(1)) as (overseer, clock, launcher):
        overseer.add("db", "db", restart=Restart(max_restarts=2))
        web = overseer.add("web", "web", after="db")
        await overseer.start_all()
        await clock.advance(100)
        assert (State.FATAL, State.RUNNING) == (overseer["db"].state, web.state)
        assert 1 == launched(launcher).count("web")


async def test_a_new_run_may_restart_its_dependents() -> None:
    """Once it is ready again, and a chain of them one after the other."""
    clock = ManualClock()
    once = [FakeChild().prints("up").runs(5).exits(1), FakeChild().runs(3).prints("up")]
    launcher = ScriptedLauncher(clock, FakeChild().prints("up"), by_id={"db": once})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("db", "db", ready=UP)
        overseer.add("web", "web", ready=UP, after=After("db", on_restart="restart"))
        overseer.add("proxy", "proxy", ready=UP, after=After("web", on_restart="restart"))
        overseer.add("other", "other", after="db")
        await overseer.start_all()
        await clock.advance(6)
        assert 0 == overseer["web"].restarts
        await clock.advance(10)
        assert [1, 1, 1, 0] == [overseer[id].restarts for id in ("db", "web", "proxy", "other")]
        assert {State.RUNNING} == {overseer[id].state for id in overseer}


@pytest.mark.parametrize("hard", [True, False])
async def test_a_service_still_stopping_waits_for_its_dependencies_too(hard: bool) -> None:
    """When all are started meanwhile: its next run comes when the order says."""
    async with scripted(db=FakeChild().runs(20).prints("up"), web=FakeChild().ignores(15)) as world:
        overseer, clock, launcher = world
        overseer.add("db", "db", ready=UP)
        web = overseer.add("web", "web", after=After("db", hard=hard), stop=Stop(timeout=10))
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(20)
        await starting
        await overseer.stop("db")
        stopping = asyncio.ensure_future(web.stop())
        await clock.settle()
        assert State.STOPPING is web.state
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(15)
        assert (State.STARTING, "waits for 'db' to be ready") == (web.state, web.why().reason)
        assert ["db", "web", "db"] == launched(launcher)
        assert State.INTERRUPT is (await stopping).state  # the run that it was about
        await clock.advance(5)
        await starting
        assert ["db", "web", "db", "web"] == launched(launcher)
        assert 0 == web.restarts
        await overseer.stop_all(kill=True)


async def test_no_service_starts_on_a_dependency_about_to_restart() -> None:
    """Running dependents follow the database first; then services that wait for both are reconsidered."""
    clock = ManualClock()
    scripts = {"db": [FakeChild().runs(5).exits(0), FakeChild()], "web": [FakeChild().prints("up"), FakeChild()]}
    launcher = ScriptedLauncher(clock, FakeChild(), by_id=scripts)
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("proxy", "proxy", after=["db", "web"])
        overseer.add("web", "web", ready=UP, ready_timeout=None, after=After("db", on_restart="restart"))
        overseer.add("db", "db", restart=NEVER)
        await overseer.start_all()
        await overseer.stop("proxy")
        await clock.advance(6)
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        assert ["db", "web"] == launched(launcher)[3:]
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting


async def test_a_new_run_does_not_restart_stopped_dependents() -> None:
    """Although he is still on his way down: a stop goes before what an edge says."""
    async with scripted(db=FakeChild().runs(3).prints("up"), web=FakeChild().ignores(15)) as (overseer, clock, _):
        overseer.add("db", "db", ready=UP)
        web = overseer.add("web", "web", after=After("db", on_restart="restart"), stop=Stop(timeout=10))
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(4)
        await starting
        restarting = asyncio.ensure_future(overseer["db"].restart())
        await clock.settle()
        stopping = asyncio.ensure_future(web.stop())
        await clock.advance(4)
        await restarting
        assert (State.RUNNING, State.STOPPING) == (overseer["db"].state, web.state)
        await clock.advance(20)
        assert State.INTERRUPT is (await stopping).state
        assert State.INTERRUPT is web.state


async def test_a_new_run_restarts_nobody_in_the_middle_of_a_stop_of_all() -> None:
    """A service that stops later, because a dependent has still to end, is not started once more before that."""
    async with scripted(db=FakeChild().runs(3).prints("up"), proxy=FakeChild().ignores(15)) as world:
        overseer, clock, launcher = world
        overseer.add("db", "db", ready=UP)
        overseer.add("web", "web", after=After("db", on_restart="restart"))
        overseer.add("proxy", "proxy", after="web", stop=Stop(timeout=10))
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(4)
        await starting
        restarting = asyncio.ensure_future(overseer["db"].restart())
        await clock.settle()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(4)
        await restarting
        assert (State.RUNNING, State.STOPPING) == (overseer["db"].state, overseer["proxy"].state)
        await clock.advance(10)
        await stopping
        assert 1 == launched(launcher).count("web")
        assert not any(overseer[id].state.is_live for id in overseer)
        # And after that as ever.
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(4)
        await starting
        restarting = asyncio.ensure_future(overseer["db"].restart())
        await clock.advance(4)
        await restarting
        assert 3 == launched(launcher).count("web")
        await overseer.stop_all(kill=True)


async def test_an_end_may_stop_its_dependents() -> None:
    """However it ended; but not when its end is what they waited for."""
    async with scripted(db=FakeChild().runs(5).exits(0), migrate=FakeChild().runs(1).exits(0)) as world:
        overseer, clock, _ = world
        overseer.add("db", "db")
        overseer.add("migrate", "migrate")
        overseer.add("web", "web", after=[After("db", on_end="stop"), After("migrate", "success", on_end="stop")])
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.advance(2)
        await starting
        assert State.RUNNING is overseer["web"].state
        await clock.advance(4)
        assert "interrupted" == str(overseer["web"].state)
        assert "'db' is finished, and this service must not run without it" in overseer["web"].status().reason


# --- any graph


@given(
    edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1]), max_size=9),
    fates=st.lists(st.sampled_from(["up", "up", "dies", "never", "done"]), min_size=6, max_size=6),
    seconds=st.lists(st.integers(0, 4), min_size=6, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_any_graph_starts_in_order_and_stops_in_reverse(
    edges: set[tuple[int, int]], fates: list[str], seconds: list[int]
) -> None:
    """Against the naive model: who is up, who is barred; nobody is launched before what it needs was ready."""

    async def run() -> None:
        scripts: dict[str, FakeChild] = {}
        for number, fate in enumerate(fates):
            script = FakeChild().runs(seconds[number] + 0.5)
            what = {"up": script.prints("up"), "dies": script.exits(1), "done": script.prints("up").exits(0)}
            scripts[f"s{number}"] = what.get(fate, script.runs(1000))
        async with scripted(None, **scripts) as (overseer, clock, launcher):
            for number in reversed(range(6)):
                after = [f"s{a}" for a, b in sorted(edges) if b == number]
                overseer.add(f"s{number}", "x", ready=UP, ready_timeout=10, restart=NEVER, after=after)
            events = overseer.events()
            starting = asyncio.ensure_future(overseer.start_all())
            await clock.advance(200)
            good: dict[int, bool] = {}
            for number, fate in enumerate(fates):
                reachable = all(good[a] for a, b in edges if b == number)
                good[number] = reachable and fate in ("up", "done")
                assert (f"s{number}" in launched(launcher)) == reachable
            if all(good.values()):
                await starting
            else:
                with pytest.raises(NotReady):
                    await starting
            seen: list[Event] = []
            while (event := events.get_nowait()) is not None:
                seen.append(event)
            readied = [event.id for event in seen if event.state is State.RUNNING]
            order = launched(launcher)
            live = [id for id in overseer if overseer[id].state is State.RUNNING]
            assert {f"s{number}" for number, is_good in good.items() if is_good} == set(readied)
            for a, b in edges:
                if f"s{b}" in order:
                    assert order.index(f"s{a}") < order.index(f"s{b}")
            stopping = asyncio.ensure_future(overseer.stop_all())
            await clock.advance(100)
            await stopping
            stopped: list[str] = []
            while (event := events.get_nowait()) is not None:
                if event.state is State.INTERRUPT:
                    stopped.append(event.id)
            assert sorted(live) == sorted(stopped)
            for a, b in edges:
                if f"s{a}" in live and f"s{b}" in live:
                    assert stopped.index(f"s{b}") < stopped.index(f"s{a}")

    asyncio.run(run())
