"""Groups: strategies that take their time, stops in the middle, escalation, and what follows a giving up."""

# ruff: noqa: PT012  # the block of an overseer is what raises

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import (
    After,
    Backoff,
    CriticalServiceEnded,
    GaveUp,
    Overseer,
    Restart,
    SpecError,
    State,
    Status,
    Stop,
    ThreadedOverseer,
    UnknownService,
    ready,
)
from aioverseer.core.machine.strategies import in_order
from aioverseer.core.state import Exit
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import child, limit
from tests.support.step_loop import LoopTime, StepLoop

MINUTE = 60.0
SLOW = Restart(max_restarts=3, within=60 * MINUTE, backoff=Backoff(min=5 * MINUTE, max=5 * MINUTE))
NONE = Restart(max_restarts=0)
STUBBORN = FakeChild().ignores(signal.SIGTERM)
"""Ends by SIGKILL only, after the time of its ladder."""


class World:
    """An overseer whose time and children belong to the test."""

    def __init__(self, **scripts: FakeChild) -> None:
        self.clock = ManualClock()
        self.launcher = ScriptedLauncher(self.clock, FakeChild(), by_id={id: [one] for id, one in scripts.items()})
        self.overseer = Overseer(clock=self.clock, launcher=self.launcher)

    def crash(self, id: str) -> None:
        """End the current run of a service by a failure."""
        self.current(id).end(Exit(code=1))

    def finish(self, id: str) -> None:
        """End the current run of a service by a success."""
        self.current(id).end(Exit(code=0))

    def current(self, id: str) -> RunningChild:
        """The last child of a service."""
        return [one for one in self.launcher.children if one.spec.id == id][-1]

    def states(self) -> dict[str, str]:
        """Where all are."""
        return {id: str(self.overseer[id].state) for id in self.overseer}

    def started(self) -> str:
        """The launched members, in order."""
        return " ".join(one.spec.id for one in self.launcher.children)

    def reason(self, id: str) -> str:
        """Why a service is in its state."""
        return self.overseer[id].why().reason


@asynccontextmanager
async def world(strategy: Any = "one_for_all", restart: Restart = SLOW, **scripts: FakeChild) -> AsyncGenerator[World]:
    """Three members a, b and c of a group, all running."""
    made = World(**scripts)
    async with made.overseer as overseer:
        overseer.group("g", strategy, restart=restart)
        for id in "abc":
            overseer.add(id, id, group="g")
        await overseer.start_all()
        yield made
        await overseer.stop_all(kill=True)  # the clock stands still: no ladder of a stubborn one comes to its end


# --- a strategy at work


async def test_all_wait_for_the_backoff_of_the_group_and_come_back_in_order() -> None:
    """Nobody is in a final state meanwhile, and each says why it waits and for how long."""
    async with world() as it:
        it.crash("b")
        await it.clock.advance(2 * MINUTE)
        assert {"a": "backoff", "b": "backoff", "c": "backoff"} == it.states()
        assert "restarts with group 'g' (one_for_all)" == it.reason("a")
        why = it.overseer["c"].why()
        assert ("a restart", 3 * MINUTE, 2) == (why.due, why.due_in, why.restarts_left)
        assert "exited with code 1; restarts with group 'g' (one_for_all) in 300 s (2 restarts of the group left)" == (
            it.reason("b")
        )
        assert "a b c" == it.started()
        await it.clock.advance(3 * MINUTE)
        assert "a b c a b c" == it.started()
        assert [1, 1, 1] == [it.overseer[id].restarts for id in "abc"]


async def test_members_are_stopped_one_after_the_other_in_reverse_order() -> None:
    """The next one only when the one before has ended; each by its ladder."""
    async with world(c=STUBBORN) as it:
        it.crash("a")
        await it.clock.advance(5)
        assert {"a": "backoff", "b": "running", "c": "stopping"} == it.states()
        await it.clock.advance(6)
        assert {"a": "backoff", "b": "backoff", "c": "backoff"} == it.states()


async def test_rest_for_one_means_members_added_later() -> None:
    """Names play no part, and members may be added before the group is made."""
    it = World()
    async with it.overseer as overseer:
        for id in "zba":
            overseer.add(id, id, group="g")
        overseer.group("g", "rest_for_one", restart=SLOW)
        await overseer.start_all()
        it.crash("b")
        await it.clock.advance(5 * MINUTE)
        assert ["b", "a"] == it.started().split()[3:]


async def test_a_group_restart_keeps_the_order_of_dependencies() -> None:
    """And waits until those are ready, as the first start did; stops go the other way."""
    it = World(db=FakeChild().runs(30).prints("up"))
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=SLOW)
        overseer.add("web", "web", group="g", after="db")
        overseer.add("db", "db", group="g", ready=ready.line("up"), ready_timeout=None)
        starting = asyncio.ensure_future(overseer.start_all())
        await it.clock.advance(30)
        await starting
        events = overseer.events()
        it.crash("db")
        await it.clock.advance(5 * MINUTE + 29)
        assert {"db": "starting", "web": "backoff"} == it.states()
        await it.clock.advance(1)
        assert {"db": "running", "web": "running"} == it.states()
        seen = [(event.id, str(event.state)) for event in iter(events.get_nowait, None) if event.kind == "state"]
        assert [("db", "backoff"), ("web", "stopping")] == seen[:2]


async def test_a_failure_on_the_way_back_is_one_more_failure() -> None:
    """And begins again with all; until the budget is spent."""
    async with world(restart=Restart(max_restarts=2, backoff=Backoff(min=1, max=1))) as it:
        it.launcher.script("b", FakeChild().cannot_start())
        it.crash("a")
        await it.clock.advance(10)
        assert {"a": "interrupted", "b": "fatal", "c": "interrupted"} == it.states()
        why = "the system has no room for another process, and its 2 restarts within 60 s are spent"
        why = f"group 'g' gave up: 'b' {why}"
        assert why == it.reason("b")
        assert f"{why}; was killed by SIGTERM" == it.reason("a")
        assert why == it.reason("c")


async def test_two_that_fail_together_are_one_failure_of_the_group() -> None:
    """The second one was about to be stopped."""
    async with world(c=STUBBORN) as it:
        it.crash("a")
        await it.clock.settle()
        it.crash("b")
        await it.clock.advance(60)
        assert "exited with code 1; restarts with group 'g'" == it.reason("b")
        assert 2 == it.overseer["b"].why().restarts_left
        await it.clock.advance(5 * MINUTE)
        assert "a b c a b c" == it.started()


@pytest.mark.parametrize("held", [True, False])
async def test_a_member_that_has_not_begun_keeps_the_delay_of_its_first_start(held: bool) -> None:
    """Whether it waits for another one or for its delay when its group is restarted; and that is no restart of it."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=Restart(backoff=Backoff(min=5, max=5)))
        overseer.add("a", "a", group="g")
        overseer.add("slow", "slow", ready=ready.line("never"), ready_timeout=None)
        overseer.add("late", "late", group="g", delay_start=MINUTE, after=["slow"] if held else [])
        starting = asyncio.ensure_future(overseer.start_all())
        await it.clock.advance(20)
        it.crash("a")
        await it.clock.advance(5)
        assert ("running", "starting") == (it.states()["a"], it.states()["late"])
        if held:
            it.current("slow").print("never\n")
        await it.clock.advance(MINUTE - 1)
        assert "late" not in it.started()
        await it.clock.advance(1)
        assert "late" in it.started()
        assert 0 == overseer["late"].restarts
        it.crash("late")
        await it.clock.advance(5)
        assert ("running", 1) == (it.states()["late"], overseer["late"].restarts)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting


@asynccontextmanager
async def started_too_early(*, with_job: bool) -> AsyncGenerator[World]:
    """A member was started by hand before its job has finished, and its group is restarted."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=Restart(backoff=Backoff(min=5, max=5)))
        overseer.add("job", "job", group="g" if with_job else "")
        overseer.add("early", "early", group="g", after={"job": "finished"})
        overseer.add("late", "late", group="g")
        for id in ("job", "early", "late"):
            await overseer.start(id)
        it.crash("early")
        await it.clock.advance(5)
        yield it


async def test_a_group_restart_waits_for_no_unchanged_member() -> None:
    """A job of no group that runs as before is no reason to stay down: a restart alone would not wait for it, too."""
    async with started_too_early(with_job=False) as it:
        assert {"early": "running", "job": "running", "late": "running"} == it.states()
        assert "job early late early late" == it.started()


async def test_a_member_that_waits_for_a_job_blocks_only_its_dependents() -> None:
    """The job is restarted with them, so that the order holds again; and that is told."""
    async with started_too_early(with_job=True) as it:
        assert {"early": "backoff", "job": "running", "late": "running"} == it.states()
        assert "waits for group 'g' to start it again, and for 'job' to end" in str(it.overseer["early"].why())
        it.finish("job")
        await it.clock.advance(0)
        assert {"early": "running", "job": "finished", "late": "running"} == it.states()
        assert "job early late job late early" == it.started()


async def test_a_group_waits_for_one_outside_that_is_down_for_a_while() -> None:
    """Without it, its members would fail again, and spend the budget."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=Restart(backoff=Backoff(min=5, max=5)))
        overseer.add("db", "db", restart=Restart(backoff=Backoff(min=20, max=20)))
        overseer.add("web", "web", group="g", after="db")
        overseer.add("cache", "cache", group="g")
        await overseer.start_all()
        it.crash("db")
        it.crash("web")
        await it.clock.advance(19)
        assert {"cache": "running", "db": "backoff", "web": "backoff"} == it.states()
        await it.clock.advance(1)
        assert {"cache": "running", "db": "running", "web": "running"} == it.states()


async def test_nested_one_for_one_restarts_a_member_started_by_hand() -> None:
    """By the outer group, as the budget of the inner one is spent; found by random tests of the order in groups."""
    it = World()
    async with it.overseer as overseer:
        once = Restart(max_restarts=1, within=None, backoff=Backoff(min=2, max=2))
        overseer.group("outer", restart=once)
        overseer.group("inner", parent="outer", restart=once)
        overseer.add("job", "job")
        overseer.add("one", "one", group="inner")
        overseer.add("two", "two", group="inner", after=After("job", "finished", hard=False))
        starting = asyncio.ensure_future(overseer.start_all())
        await it.clock.advance(0)
        it.crash("one")
        await overseer.start("two")
        it.crash("two")
        await it.clock.advance(2)
        assert {"job": "running", "one": "running", "two": "running"} == it.states()
        await starting


async def test_a_member_that_nothing_ends_holds_nobody_up() -> None:
    """The others are stopped and come back; it is left as it is."""
    ladder = Stop(timeout=1)
    it = World(c=FakeChild().ignores(signal.SIGTERM, signal.SIGKILL))
    overseer = it.overseer
    await overseer.__aenter__()
    overseer.group("g", "one_for_all", restart=SLOW)
    for id in "abc":
        overseer.add(id, id, group="g", stop=ladder)
    await overseer.start_all()
    it.crash("a")
    await it.clock.advance(6 * MINUTE)
    assert {"a": "running", "b": "running", "c": "stopping"} == it.states()
    it.current("c").end(Exit(signal=9))
    await it.clock.advance(1)
    assert "running" == it.states()["c"]
    it.launcher.script("c", FakeChild())
    it.current("c").end(Exit(code=0))
    await overseer.__aexit__(None, None, None)


# --- stops and starts by a user


@pytest.mark.parametrize("moment", [0.0, 1.0, 11.0, 4 * MINUTE])
async def test_a_stop_by_a_user_goes_before_the_strategy(moment: float) -> None:
    """Before, while it is being ended, and while it waits for the others: it stays down, and they come back."""
    async with world(b=STUBBORN) as it:
        it.crash("c")
        await it.clock.advance(moment)
        stopping = asyncio.ensure_future(it.overseer.stop("b"))
        await it.clock.advance(60)
        assert State.INTERRUPT is (await stopping).state
        await it.clock.advance(10 * MINUTE)
        assert {"a": "running", "b": "interrupted", "c": "running"} == it.states()


async def test_a_member_that_was_stopped_stays_down_when_others_fail() -> None:
    """So does one that had finished and was stopped then, or was never started; one that finished comes back."""
    async with world() as it:
        it.overseer.add("d", "d", group="g")
        await it.overseer.stop("a")
        it.finish("c")
        await it.clock.advance(1)
        it.crash("b")
        await it.clock.advance(6 * MINUTE)
        assert {"a": "interrupted", "b": "running", "c": "running", "d": "initial"} == it.states()
        it.finish("c")
        await it.clock.advance(1)
        await it.overseer.stop("c")
        it.crash("b")
        await it.clock.advance(6 * MINUTE)
        assert "finished" == it.states()["c"]


@pytest.mark.parametrize("moment", [0.0, 1.0, 4 * MINUTE])
async def test_a_stop_of_all_ends_a_restart_of_a_group(moment: float) -> None:
    """Wherever it is; what had finished is not brought back."""
    async with world(b=STUBBORN) as it:
        it.finish("a")
        await it.clock.settle()
        it.crash("c")
        await it.clock.advance(moment)
        stopping = asyncio.ensure_future(it.overseer.stop_all())
        await it.clock.advance(60)
        assert (await stopping).ok
        await it.clock.advance(60 * MINUTE)
        assert {"a": "finished", "b": "interrupted", "c": "interrupted"} == it.states()
        assert it.clock.next_timer() is None
        await it.overseer.start_all()
        assert {"a": "running", "b": "running", "c": "running"} == it.states()


async def test_a_member_that_ended_before_stop_all_stays_down() -> None:
    """Nobody brings it back when another member is started by itself later and fails."""
    async with world() as it:
        it.finish("a")
        await it.clock.settle()
        await it.overseer.stop_all()
        await it.overseer.start("b")
        it.crash("b")
        await it.clock.advance(6 * MINUTE)
        assert {"a": "finished", "b": "running", "c": "interrupted"} == it.states()


async def test_no_restart_of_a_group_begins_while_all_are_stopped() -> None:
    """A member of a later level that fails stays down, and the others run until their level is reached."""
    made = World(web=STUBBORN)
    async with made.overseer as overseer:
        overseer.group("g", "one_for_all", restart=SLOW)
        for id in ("db", "cache"):
            overseer.add(id, id, group="g")
        overseer.add("web", "web", after=["db", "cache"])
        await overseer.start_all()
        events = overseer.events()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await made.clock.advance(1)
        made.crash("cache")
        await made.clock.advance(1)
        meanwhile = made.states()
        await made.clock.advance(20)
        assert (await stopping).ok
        await made.clock.advance(60 * MINUTE)
        later = made.states()
    assert {"db": "running", "cache": "interrupted", "web": "stopping"} == meanwhile
    assert {"db": "interrupted", "cache": "interrupted", "web": "interrupted"} == later
    assert [] == [event.reason async for event in events if event.kind == "group"]


async def test_member_started_during_stop_all_restarts_alone() -> None:
    """Its group is being stopped, so nobody else restarts, and the end of the stop does not leave it waiting."""
    async with world(slow=STUBBORN) as it:
        it.overseer.add("slow", "slow")
        await it.overseer.start("slow")
        stopping = asyncio.ensure_future(it.overseer.stop_all())
        await it.clock.advance(1)
        await it.overseer.start("a")
        it.crash("a")
        await it.clock.advance(20)
        assert (await stopping).ok
        assert "backoff" == it.states()["a"]
        await it.clock.advance(5 * MINUTE)
        assert {"a": "running", "b": "interrupted", "c": "interrupted", "slow": "interrupted"} == it.states()


async def test_a_start_by_a_user_does_not_wait_for_the_others() -> None:
    """They follow when it is time."""
    async with world() as it:
        it.crash("b")
        await it.clock.advance(MINUTE)
        await it.overseer.start("a")
        assert {"a": "running", "b": "backoff", "c": "backoff"} == it.states()
        await it.clock.advance(4 * MINUTE)
        assert "a b c a b c" == it.started()


async def test_a_group_that_is_started_anew_has_a_fresh_budget() -> None:
    """Once nobody of it runs."""
    async with world(restart=Restart(max_restarts=1, within=None, backoff=Backoff(min=1, max=1))) as it:
        it.crash("a")
        await it.clock.advance(2)
        assert 0 == it.overseer["b"].why().restarts_left
        await it.overseer.stop_all()
        await it.overseer.start_all()
        assert 1 == it.overseer["b"].why().restarts_left


# --- groups within groups


@asynccontextmanager
async def nested(**options: Any) -> AsyncGenerator[World]:
    """A group of x, an inner group of y and z that gives up at once, and w."""
    made = World()
    async with made.overseer as overseer:
        overseer.group("outer", "one_for_all", restart=Restart(max_restarts=1, backoff=Backoff(min=7, max=7)))
        overseer.add("x", "x", group="outer")
        overseer.group("inner", parent="outer", restart=options.pop("inner", NONE), **options)
        overseer.add("y", "y", group="inner")
        overseer.add("z", "z", group="inner")
        overseer.add("w", "w", group="outer")
        await overseer.start_all()
        yield made


async def test_a_group_that_gives_up_is_one_failure_to_its_parent() -> None:
    """Which restarts by its own strategy; once that is spent too, all of it ends, and says why from top to bottom."""
    async with nested() as it:
        it.crash("z")
        await it.clock.advance(6)
        assert {"w": "backoff", "x": "backoff", "y": "backoff", "z": "backoff"} == it.states()
        await it.clock.advance(1)
        assert "x y z w" == " ".join(it.started().split()[4:])
        it.crash("y")
        await it.clock.advance(1)
        why = (
            "group 'outer' gave up: group 'inner' gave up: 'y' exited with code 1, and its 0 restarts within 60 s are "
            "spent, and its 1 restart within 60 s is spent"
        )
        assert why == it.reason("y")
        assert all(it.reason(id).startswith(why) for id in "xwz")
        assert {"w": "interrupted", "x": "interrupted", "y": "fatal", "z": "interrupted"} == it.states()


async def test_a_group_that_is_not_to_be_restarted_ends_alone() -> None:
    """And what is to follow, follows."""
    told: list[GaveUp] = []
    async with nested(inner=Restart("never", max_restarts=0), on_give_up=told.append) as it:
        it.crash("y")
        await it.clock.advance(60)
        assert {"w": "running", "x": "running", "y": "fatal", "z": "interrupted"} == it.states()
        assert [("inner", State.FATAL)] == [(one.id, one.status.state) for one in told]


# --- significant members


@pytest.mark.parametrize(("auto", "after_first"), [("any_significant", "interrupted"), ("all_significant", "running")])
async def test_a_group_ends_with_its_significant_members(auto: Any, after_first: str) -> None:
    """With the first or with the last; a restart and a stop by a user do not count as their end."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", restart=Restart(backoff=Backoff(min=1, max=1)), auto_shutdown=auto)
        overseer.add("job1", "job1", group="g", significant=True)
        overseer.add("job2", "job2", group="g", significant=True)
        overseer.add("helper", "helper", group="g", restart=Restart("always"))
        await overseer.start_all()
        it.crash("job1")
        await it.clock.advance(2)
        await overseer.stop("job2")
        await overseer.start("job2")
        assert {"helper": "running", "job1": "running", "job2": "running"} == it.states()
        it.finish("job1")
        await it.clock.advance(1)
        assert {"helper": after_first, "job1": "finished", "job2": after_first} == it.states()
        if auto == "all_significant":
            it.finish("job2")
            await it.clock.advance(1)
        assert "interrupted" == it.states()["helper"]
        assert re.match("group 'g' has ended: 'job[12]' exited with code 0, and is significant", it.reason("helper"))


# --- after giving up


async def test_the_overseer_ends_with_a_group() -> None:
    """As with a critical service: one error, of one kind."""
    it = World()
    with pytest.raises(CriticalServiceEnded, match="service 'a' is fatal: group 'g' gave up: 'a' exited with code 1"):
        async with it.overseer as overseer:
            overseer.group("g", restart=NONE, on_give_up="end")
            overseer.add("a", "a", group="g")
            overseer.add("other", "other")
            await overseer.start_all()
            it.crash("a")
            await asyncio.Event().wait()
    assert {"a": "fatal", "other": "interrupted"} == it.states()


@pytest.mark.parametrize("on", ["leave", "stop", "end"])
async def test_a_service_names_the_action_after_giving_up(on: Any) -> None:
    """Nothing, the end of its group (here a plain label), or the end of all."""
    it = World()
    ended = False
    try:
        async with it.overseer as overseer:
            overseer.add("a", "a", restart=NONE, on_give_up=on, group="label")
            overseer.add("b", "b", group="label")
            overseer.add("c", "c")
            await overseer.start_all()
            it.crash("a")
            await it.clock.advance(1)
            states = it.states()
            reason = it.reason("b")
    except CriticalServiceEnded as error:
        ended = True
        told = str(error)
        if "service 'a' is fatal: gave up: exited with code 1" not in told:
            raise
        return
    finally:
        assert ended == (on == "end")
    assert {"a": "fatal", "b": "running" if on == "leave" else "interrupted", "c": "running"} == states
    assert ("'a' gave up, and its group 'label' is stopped with it" in reason) == (on == "stop")


async def test_a_service_without_a_group_and_a_group_stop_everything() -> None:
    """The overseer is not left by that, and can start again."""
    it = World()
    async with it.overseer as overseer:
        overseer.add("a", "a", restart=NONE, on_give_up="stop")
        overseer.add("c", "c")
        overseer.group("g", restart=NONE, on_give_up="stop")
        overseer.add("d", "d", group="g")
        for culprit in "ad":
            await overseer.start_all()
            it.crash(culprit)
            await it.clock.advance(1)
            assert {**dict.fromkeys("acd", "interrupted"), culprit: "fatal"} == it.states()


async def test_a_function_is_called_and_its_errors_harm_nobody() -> None:
    """Also an async one; what it raises is told to the event loop."""
    told: list[str] = []
    problems: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(str(context["message"])))

    async def call(error: GaveUp) -> None:
        told.append(error.id)
        raise ValueError("async")

    def fail(error: GaveUp) -> None:
        told.append(error.id)
        raise ValueError("sync")

    it = World()
    async with it.overseer as overseer:
        overseer.add("a", "a", restart=NONE, on_give_up=call)
        overseer.add("b", "b", restart=NONE, on_give_up=fail)
        overseer.add("c", "c", restart=Restart("never"), on_give_up=fail)
        overseer.add("d", "d")
        await overseer.start_all()
        for id in "abc":
            it.crash(id)
        await it.clock.advance(1)
        assert ["a", "b"] == sorted(told)
        expected = [f"aioverseer: on_give_up of {id!r} has raised" for id in ("a", "b")]
        assert expected == sorted(problems)
        assert "running" == it.states()["d"]


# --- refusals


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("", {}, "group name='' is no name"),
        ("g", {}, "group 'g': name='g' is taken"),
        ("h", {"strategy": "simple_one_for_one"}, "group 'h': strategy='simple_one_for_one' is unknown: pass 'one_for"),
        ("h", {"restart": 3}, "group 'h': restart=3 is no policy: pass a Restart"),
        ("h", {"parent": "nobody"}, "group 'h': parent='nobody' is no group: make it first; there are: g"),
        ("h", {"parent": "h"}, "group 'h': parent='h' is no group"),
        ("h", {"parent": 5}, "group 'h': parent=5 is no name"),
        ("h", {"auto_shutdown": "always"}, "group 'h': auto_shutdown='always' is unknown: pass 'never'"),
        ("h", {"on_give_up": "restart"}, "group 'h': on_give_up='restart' is unknown: pass 'leave'"),
        ("h", {"significant": True}, "group 'h': significant=True counts for a parent, and it has none"),
        ("h", {"significant": 2}, "group 'h': significant=2 is unknown"),
        ("h", {"significant": True, "parent": "g"}, "group 'h': significant=True means nothing in 'g'"),
        ("busy", {}, "group 'busy': auto_shutdown='never' does not go with significant=True of service 'job'"),
    ],
)
def test_invalid_groups_are_refused_by_name(name: Any, options: dict[str, Any], message: str) -> None:
    """And changes nothing."""
    overseer = Overseer()
    overseer.group("g")
    overseer.add("job", "job", group="busy", significant=True)
    with pytest.raises(SpecError, match=re.escape(message)):
        overseer.group(name, **options)
    assert name == "g" or "h" not in overseer._assembly.groups().groups


def test_a_service_is_not_significant_where_that_means_nothing() -> None:
    """In no group, in one that does not end by itself, or where it never ends by itself."""
    overseer = Overseer()
    overseer.group("g")
    overseer.group("auto", auto_shutdown="any_significant")
    for options, message in (
        ({}, "significant=True counts for a group, and it is in none"),
        ({"group": "g"}, "significant=True means nothing in 'g'"),
        ({"group": "auto", "restart": Restart("always")}, 'significant=True cannot go with Restart("always")'),
    ):
        with pytest.raises(SpecError, match=re.escape(message)):
            overseer.add("x", "x", significant=True, **options)  # pyright: ignore[reportArgumentType]  # a dict of options
        assert "x" not in overseer
    overseer.add("x", "x", group="auto", significant=True)
    with pytest.raises(SpecError, match="means nothing in 'g'"):
        overseer.update("x", group="g")
    assert "auto" == overseer["x"].spec.group


def test_names_are_sorted_by_need_and_else_left_as_they_are() -> None:
    """Also over names that are not to be sorted, and when it is a circle."""
    assert ["a", "b", "c"] == in_order("abc", {})
    assert ["c", "a", "b"] == in_order("abc", {"a": ["c"]})
    assert ["c", "a", "b"] == in_order("abc", {"a": ["x"], "x": ["c"]})
    assert {"a", "b"} == set(in_order("ab", {"a": ["b"], "b": ["a"]}))


async def test_a_member_may_change_its_group_and_be_removed() -> None:
    """The label at the time of the failure counts."""
    async with world() as it:
        it.overseer.update("a", group="")
        it.crash("b")
        await it.clock.advance(6 * MINUTE)
        assert "a b c b c" == it.started()
        await it.overseer.stop("c")
        it.overseer.remove("c")
        it.crash("b")
        await it.clock.advance(6 * MINUTE)
        assert "a b c b c b" == it.started()


# --- with real programs


async def test_real_programs_are_restarted_together_and_end_together() -> None:
    """Other pids, in order; and nothing is left when the group gives up."""
    async with limit(60), Overseer() as overseer:
        overseer.group("app", "rest_for_one", restart=Restart(max_restarts=1, backoff=Backoff(min=0.05, max=0.05)))
        for id in ("db", "cache", "web"):
            overseer.add(id, "sleep", "1000", group="app")
        await overseer.start_all()
        before = {id: overseer[id].pid for id in overseer}
        events = overseer.events()
        overseer.signal("cache", signal.SIGKILL)
        await overseer["web"].wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        started = [event.id for event in iter(events.get_nowait, None) if event.state is State.STARTING]
        assert ["cache", "web"] == started
        after = {id: overseer[id].pid for id in overseer}
        assert ["cache", "web"] == sorted(id for id in after if after[id] != before[id])
        overseer.signal("db", signal.SIGKILL)
        statuses: list[Status] = [await overseer[id].wait() for id in ("db", "cache", "web")]
        assert [State.FATAL, State.INTERRUPT, State.INTERRUPT] == [status.state for status in statuses]
        assert all(status.reason.startswith("group 'app' gave up: 'db' was killed by SIGKILL") for status in statuses)
        assert isinstance(statuses[0].error, GaveUp)


def test_the_threaded_face_has_groups() -> None:
    """With a real program that fails; the function is called in the thread."""
    told: list[str] = []
    with ThreadedOverseer() as overseer:
        assert "app" == overseer.group("app", restart=NONE, on_give_up=lambda error: told.append(error.id)).name
        one = overseer.add("one", *child("raise SystemExit(3)"), group="app")
        two = overseer.add("two", "sleep", "1000", group="app")
        two.start()
        assert State.FATAL is overseer.supervise("one").state
        assert "group 'app' gave up" in two.wait().reason
        assert one.state is State.FATAL
    assert ["app"] == told


# --- events and status of a group


def news_of_groups(events: Any) -> list[tuple[str, str]]:
    """The failed member and the reason."""
    return [(event.id, event.reason) for event in iter(events.get_nowait, None) if event.kind == "group"]


async def test_a_group_publishes_events() -> None:
    """A restart of several and its end, and the giving up: as events, after the transition that has led to it."""
    async with world(restart=Restart(max_restarts=1, backoff=Backoff(min=5, max=5))) as it:
        events = it.overseer.events()
        it.crash("b")
        await it.clock.advance(10)
        assert [
            ("b", "group 'g' restarts by one_for_all: 'b' exited with code 1; 0 restarts left"),
            ("b", "group 'g' has restarted"),
        ] == news_of_groups(events)
        it.crash("a")
        await it.clock.advance(10)
        seen = [(event.id, str(event.state), event.kind) for event in iter(events.get_nowait, None)]
        assert [("a", "fatal", "state"), ("a", "fatal", "group")] == seen[:2]


async def test_group_status_has_phase_and_remaining_budget() -> None:
    """From its making to its giving up, and after a new start."""
    async with world(c=STUBBORN, restart=Restart(max_restarts=1, within=60, backoff=Backoff(min=30, max=30))) as it:
        status = it.overseer.group_status("g")
        assert ("up", "", ("a", "b", "c"), 1, False) == (
            status.phase,
            status.reason,
            status.members,
            status.restarts_left,
            status.gave_up,
        )
        it.crash("b")
        await it.clock.advance(20)
        assert (
            "group 'g' is restarting: restarts by one_for_all: 'b' exited with code 1; 0 restarts left; 0 restarts "
            "left, one more in 40.0 s" == str(it.overseer.group_status("g"))
        )
        await it.clock.advance(10)
        assert ("up", "has restarted") == (
            it.overseer.group_status("g").phase,
            it.overseer.group_status("g").reason,
        )
        it.crash("a")
        await it.clock.settle()
        assert "ending" == it.overseer.group_status("g").phase
        await it.clock.advance(20)
        status = it.overseer.group_status("g")
        assert ("down", True) == (status.phase, status.gave_up)
        assert "gave up: 'a' exited with code 1, and its 1 restart within 60 s is spent" == status.reason
        await it.overseer.start_all()
        status = it.overseer.group_status("g")
        assert ("up", False, 1) == (status.phase, status.gave_up, status.restarts_left)


async def test_an_unknown_group_is_refused() -> None:
    """A plain label is none."""
    overseer = Overseer()
    overseer.add("a", "a", group="label")
    overseer.group("g")
    with pytest.raises(UnknownService, match=r"there is no group 'label'; made by Overseer\.group: g"):
        overseer.group_status("label")


# --- functions that are called


async def test_a_critical_service_calls_its_function_before_all_ends() -> None:
    """One does not hide the other."""
    it = World()
    told: list[str] = []

    async def call(error: GaveUp) -> None:
        await asyncio.sleep(0)
        told.append(error.id)

    with pytest.raises(CriticalServiceEnded):
        async with it.overseer as overseer:
            overseer.add("a", "a", restart=NONE, on_give_up=call, critical=True)
            await overseer.start_all()
            it.crash("a")
            await asyncio.Event().wait()
    assert ["a"] == told


async def test_an_automatic_end_escalates_to_the_parent() -> None:
    """The culprit is the member that was significant."""
    it = World()
    told: list[GaveUp] = []
    async with it.overseer as overseer:
        overseer.group("outer", restart=NONE, on_give_up=told.append)
        overseer.group("inner", parent="outer", restart=Restart("always"), auto_shutdown="any_significant")
        overseer.add("job", "job", group="inner", significant=True)
        overseer.add("other", "other", group="outer")
        await overseer.start_all()
        it.finish("job")
        await it.clock.advance(1)
        assert {"job": "finished", "other": "interrupted"} == it.states()
    assert ["outer"] == [error.id for error in told]
    assert "group 'outer' gave up: group 'inner' has ended: 'job' exited with code 0" in str(told[0])


async def test_a_function_that_never_returns_holds_nobody_up_for_ever() -> None:
    """The block ends after a bounded time, and the function is cancelled."""

    def main() -> list[str]:
        loop = StepLoop(virtual=True)
        told: list[str] = []

        async def hang(_error: GaveUp) -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                told.append("cancelled")

        async def run() -> None:
            clock = LoopTime()
            launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))
            async with Overseer(clock=clock, launcher=launcher) as overseer:
                overseer.add("a", "a", restart=NONE, on_give_up=hang)
                await overseer.supervise("a")
                began = loop.time()
            assert 9 < loop.time() - began < 11

        try:
            loop.run_until_complete(run())
        finally:
            loop.close()
        return told

    assert ["cancelled"] == await asyncio.to_thread(main)
