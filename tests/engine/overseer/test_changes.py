"""Plans: their steps, their application, and the way back after a failure."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from aioverseer import (
    After,
    ApplyFailed,
    DependencyCycle,
    NotReady,
    Overseer,
    OverseerError,
    Plan,
    PlanIsStale,
    Restart,
    Spec,
    SpecError,
    State,
    StopFailed,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted

READY = ready.line("up")


def up() -> FakeChild:
    """A program that becomes ready after a second."""
    return FakeChild().runs(1).prints("up")


def broken() -> FakeChild:
    """A program that ends before it is ready."""
    return FakeChild().prints("no such table").exits(3)


def spec(id: str, *argv: str, **options: Any) -> Spec:
    """A Spec that is ready after a line, and is not run again after a failure."""
    given: Any = {"ready": READY, "restart": Restart("never"), **options}
    return Spec.of(id, argv or (id,), **given)


def actions(plan: Plan) -> list[tuple[str, str]]:
    """The steps of the plan, in order."""
    return [(step.id, step.action) for step in plan.steps]


def state_of(overseer: Overseer) -> dict[str, tuple[Spec, State]]:
    """Specs and states of all services."""
    return {id: (overseer[id].spec, overseer[id].state) for id in overseer}


def pids(overseer: Overseer) -> dict[str, int | None]:
    """The pid of each service."""
    return {id: overseer[id].pid for id in overseer}


async def test_plan_adds_removes_restarts_and_updates() -> None:
    overseer, clock, _ = scripted(*(up() for _ in range(9)))
    async with overseer:
        report = await ended(overseer.plan([spec("a"), spec("b"), spec("c"), spec("d")]).apply(by="alice"), clock)
        assert [step.action for step in report.done] == ["add"] * 4
        assert report.by == "alice"
        before = pids(overseer)
        wanted = [spec("a"), spec("b", "b", "--new"), spec("c", critical=True), spec("e")]
        plan = overseer.plan(wanted)
        assert actions(plan) == [("d", "remove"), ("c", "update"), ("b", "restart"), ("e", "add")]
        assert plan.unchanged == ("a",)
        report = await ended(plan.apply(), clock)
        assert {step.id for step in report.done} == {"b", "c", "d", "e"}
        assert report.failed is None
        after = pids(overseer)
        assert overseer.list_all() == ["a", "b", "c", "e"]
        assert (after["a"], after["c"]) == (before["a"], before["c"])
        assert after["b"] != before["b"]
        assert [overseer[id].spec for id in overseer] == wanted
        assert all(overseer[id].state is State.RUNNING for id in overseer)
        assert not overseer.plan(wanted)


async def test_plan_for_people_hides_what_may_be_secret() -> None:
    overseer, _, _ = scripted()
    async with overseer:
        overseer.add(spec("web", "web", "--a", extra_env={"TOKEN": "hunter1", "OLD": "hunter2"}, stdin="hunter3"))
        overseer.add(spec("old"))
        plan = overseer.plan([
            spec(
                "web",
                "web",
                "--a=1 2",
                extra_env={"TOKEN": "hunter4", "NEW": "hunter5"},
                stdin="hunter6",
                restart=Restart("never", max_restarts=3),
                ready_timeout=60,
                nice=5,
            ),
            spec("worker"),
        ])  # fmt: skip
        text = str(plan)
        assert "hunter" not in text + repr(plan) + repr(plan.steps[1].to_json())
        assert text.splitlines() == [
            "- old   stops, and is removed",
            "~ web   starts",
            "    ~ command: web --a => web '--a=1 2'   (restart)",
            "    + extra_env.NEW: (hidden)   (restart)",
            "    - extra_env.OLD: (hidden)   (restart)",
            "    ~ extra_env.TOKEN: (hidden) => (hidden)   (restart)",
            "    + nice: 5   (restart)",
            "    ~ ready_timeout: 30.0 => 60.0   (next run)",
            "    + restart.max_restarts: 3   (in place)",
            "    ~ stdin: (hidden) => (hidden)   (restart)",
            "+ worker   starts",
            f"1 to add, 1 to start, 1 to remove; 0 unchanged. Digest: {plan.digest}",
        ]
        assert str(overseer.plan([])).endswith("2 to remove; 0 unchanged. Digest: " + overseer.plan([]).digest)


async def test_empty_plan_does_nothing() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        plan = overseer.plan([])
        assert not plan
        assert str(plan) == "nothing to do: 0 unchanged"
        report = await ended(plan.apply(), clock)
        assert report.done == ()
        assert str(report) == "done in 0.00 s: nothing"


async def test_starts_come_in_order_and_stops_in_reverse() -> None:
    overseer, clock, _ = scripted(*(up() for _ in range(9)))
    async with overseer:
        await ended(overseer.plan([spec("web", after="db"), spec("db"), spec("top", after="web")]).apply(), clock)
        plan = overseer.plan([spec("web", "w2", after="db"), spec("db", "d2"), spec("top", "t2", after="web")])
        seen = overseer.events()
        await ended(plan.apply(by="alice"), clock)
        events = [await anext(seen) for _ in range(12)]
        changes = [event for event in events if event.kind == "change"]
        states = [(event.id, str(event.state)) for event in events if event.kind == "state"]
        assert states[:6] == [
            ("top", "stopping"),
            ("top", "interrupted"),
            ("web", "stopping"),
            ("web", "interrupted"),
            ("db", "stopping"),
            ("db", "interrupted"),
        ]
        assert [event.by for event in changes] == ["alice"] * 3
        assert events[0].reason == "a plan is applied by alice"
        assert [step.id for step in plan.steps] == ["db", "web", "top"]


async def test_dependents_follow_as_their_edges_say() -> None:
    overseer, clock, _ = scripted(*(up() for _ in range(20)))
    others = [
        spec("follows", after=After("db", on_restart="restart")),
        spec("chain", after=After("follows", on_restart="restart")),
        spec("ends", after=After("db", on_end="stop")),
        spec("stays", after="db"),
    ]
    async with overseer:
        await ended(overseer.plan([spec("db"), *others]).apply(), clock)
        before = pids(overseer)
        plan = overseer.plan([spec("db", "db", "--new"), *others])
        assert sorted(actions(plan)) == [
            ("chain", "restart"),
            ("db", "restart"),
            ("ends", "restart"),
            ("follows", "restart"),
        ]
        reasons = {step.id: step.reasons for step in plan.steps}
        assert reasons["follows"] == ("it follows 'db', after with on_restart=\"restart\"",)
        assert reasons["ends"] == ("it follows 'db', after with on_end=\"stop\"",)
        await ended(plan.apply(), clock)
        assert all(overseer[id].state is State.RUNNING for id in overseer)
        assert [id for id, pid in pids(overseer).items() if pid == before[id]] == ["stays"]
        assert all(overseer[id].restarts == 0 for id in overseer)


async def test_service_that_does_not_run_is_started_and_one_that_has_finished_is_not() -> None:
    overseer, clock, _ = scripted(
        by_id={"job": [FakeChild().prints("up").exits(0)], "web": [up(), up()], "sick": [broken(), up()]}
    )
    specs = [spec("job"), spec("web"), spec("sick")]
    async with overseer:
        for each in specs:
            overseer.add(each)
        with pytest.raises(NotReady):
            await ended(overseer.start_all(), clock)
        await clock.advance(5)
        await ended(overseer.stop("web"), clock)
        plan = overseer.plan(specs)
        assert actions(plan) == [("sick", "start"), ("web", "start")]
        assert plan.steps[0].reasons == ("it does not run",)
        await ended(plan.apply(), clock)
        assert {id: overseer[id].state for id in overseer} == {
            "job": State.FINISHED,
            "web": State.RUNNING,
            "sick": State.RUNNING,
        }


async def test_failure_is_rolled_back() -> None:
    overseer, clock, _ = scripted(
        by_id={
            "a": [up()],
            "b": [up(), up(), up()],
            "gone": [up(), up()],
            "new": [up()],
            "bad": [broken()],
        }
    )
    async with overseer:
        await ended(overseer.plan([spec("a"), spec("b"), spec("gone")]).apply(), clock)
        before, kept, handle = state_of(overseer), overseer["a"].pid, overseer["gone"]
        plan = overseer.plan(
            [spec("a", nice=None, critical=True), spec("b", "b2"), spec("new"), spec("bad", after="b")]
        )
        with pytest.raises(ApplyFailed, match=r"plan \w+ has failed at 'bad' \(add\), rolled back: ") as caught:
            await ended(plan.apply(by="alice"), clock)
        report = caught.value.report
        assert caught.value.id == "bad"
        assert caught.value.status is not None
        assert "no such table" in str(caught.value)
        assert isinstance(caught.value.__cause__, NotReady)
        assert report.rolled_back
        assert report.problems == ()
        assert report.failed is not None
        assert report.failed.id == "bad"
        assert [(step.id, step.action) for step in report.done] == [("a", "update"), ("b", "restart"), ("new", "add")]
        assert "bad (add): failed, rolled back" in str(report)
        assert state_of(overseer) == before
        assert overseer["a"].pid == kept
        assert overseer["gone"] is handle


async def test_failure_may_be_left_as_it_is() -> None:
    overseer, clock, _ = scripted(by_id={"gone": [up(), up()], "bad": [broken()], "good": [up()]})
    async with overseer:
        await ended(overseer.plan([spec("gone")]).apply(), clock)
        plan = overseer.plan([spec("bad"), spec("good")])
        with pytest.raises(ApplyFailed, match="left as it is") as caught:
            await ended(plan.apply(on_failure="leave"), clock)
        assert not caught.value.report.rolled_back
        await clock.advance(5)
        assert {id: overseer[id].state for id in overseer} == {
            "bad": State.FINISHED,
            "gone": State.INTERRUPT,
            "good": State.RUNNING,
        }


async def test_program_that_does_not_stop_fails_the_plan() -> None:
    overseer, clock, _ = scripted(by_id={"rock": [up().ignores(signal.SIGTERM, signal.SIGKILL)], "a": [up(), up()]})
    await overseer.__aenter__()
    await ended(overseer.plan([spec("rock"), spec("a", after="rock")]).apply(), clock)
    with pytest.raises(ApplyFailed, match="'rock' does not die") as caught:
        await ended(overseer.plan([]).apply(), clock)
    assert isinstance(caught.value.__cause__, StopFailed)
    assert not caught.value.report.rolled_back
    assert overseer.list_all() == ["a", "rock"]
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(60)
    with pytest.raises(StopFailed):
        await leaving


async def test_second_plan_is_refused_meanwhile() -> None:
    overseer, clock, _ = scripted(up(), up())
    async with overseer:
        first, second = overseer.plan([spec("a")]), overseer.plan([spec("b")])
        applied = asyncio.ensure_future(first.apply(by="alice"))
        await clock.advance(0)
        with pytest.raises(OverseerError, match="another plan is being applied by alice"):
            await second.apply()
        await ended(applied, clock)
        with pytest.raises(PlanIsStale, match="has changed since plan"):
            await second.apply()
        assert overseer.list_all() == ["a"]


@pytest.mark.parametrize("change", ["add", "remove", "update", "stop"])
async def test_plan_is_stale_once_the_overseer_has_changed(change: str) -> None:
    overseer, clock, _ = scripted(*(up() for _ in range(9)))
    async with overseer:
        await ended(overseer.plan([spec("a"), spec("b")]).apply(), clock)
        plan = overseer.plan([spec("a"), spec("b"), spec("c")])
        match change:
            case "add":
                overseer.add(spec("d"))
            case "update":
                overseer.update("a", critical=True)
            case _:
                await ended(overseer.stop("a"), clock)
                if change == "remove":
                    overseer.remove("a")
        before = state_of(overseer)
        with pytest.raises(PlanIsStale):
            await plan.apply()
        assert state_of(overseer) == before


async def test_plan_of_another_moment_is_applied_if_it_says_the_same() -> None:
    overseer, clock, _ = scripted(up())
    async with overseer:
        plan, same = overseer.plan([spec("a")]), overseer.plan([spec("a")])
        assert plan.digest == same.digest
        await ended(plan.apply(), clock)


async def test_cancelled_call_rolls_back_before_the_cancellation_goes_on() -> None:
    overseer, clock, _ = scripted(by_id={"a": [up(), up(), up()], "b": [FakeChild()], "gone": [up(), up()]})
    async with overseer:
        await ended(overseer.plan([spec("a"), spec("gone")]).apply(), clock)
        before = state_of(overseer)
        applied = asyncio.ensure_future(overseer.plan([spec("a", "a2"), spec("b", after="a")]).apply())
        await clock.advance(5)
        assert overseer["b"].state is State.STARTING
        applied.cancel()
        await clock.advance(0)
        with pytest.raises(asyncio.CancelledError):
            await applied
        assert "b" not in overseer
        await clock.advance(5)
        assert state_of(overseer) == before


async def test_stop_of_all_ends_a_plan_and_nothing_is_started_again() -> None:
    overseer, clock, _ = scripted(by_id={"a": [up(), FakeChild()]})
    async with overseer:
        await ended(overseer.plan([spec("a")]).apply(), clock)
        applied = asyncio.ensure_future(overseer.plan([spec("a", "a2")]).apply())
        await clock.advance(0.5)
        await ended(overseer.stop_all(), clock)
        with pytest.raises(ApplyFailed) as caught:
            await ended(applied, clock)
        assert not caught.value.report.rolled_back
        assert overseer["a"].state is State.INTERRUPT
        assert overseer["a"].spec == spec("a")


async def test_stop_by_somebody_else_counts() -> None:
    overseer, clock, _ = scripted(by_id={"a": [up(), FakeChild()], "b": [up(), up(), up()]})
    async with overseer:
        await ended(overseer.plan([spec("a"), spec("b")]).apply(), clock)
        applied = asyncio.ensure_future(overseer.plan([spec("a", "a2", after="b"), spec("b", "b2")]).apply())
        await clock.advance(3)
        await ended(overseer.stop("a", by="bob"), clock)
        with pytest.raises(ApplyFailed):
            await ended(applied, clock)
        assert overseer["a"].state is State.INTERRUPT
        assert (overseer["b"].state, overseer["b"].spec) == (State.RUNNING, spec("b"))


async def test_overseer_may_be_left_in_the_middle() -> None:
    overseer, clock, _ = scripted(by_id={"a": [up(), FakeChild()]})
    async with overseer:
        await ended(overseer.plan([spec("a")]).apply(), clock)
        applied = asyncio.ensure_future(overseer.plan([spec("a", "a2")]).apply())
        await clock.advance(0.5)
    with pytest.raises(ApplyFailed, match="left as it is"):
        await applied
    assert overseer["a"].state is State.INTERRUPT


async def test_supervision_of_all_goes_on_while_all_restart() -> None:
    overseer, clock, _ = scripted(by_id={"a": [up(), up()], "b": [up()]})
    async with overseer:
        overseer.add(spec("a"))
        supervised = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(5)
        await ended(overseer.plan([spec("a", "a2"), spec("b")]).apply(), clock)
        assert not supervised.done()
        assert overseer["b"].restarts == 0
        await ended(overseer.stop_all(), clock)
        assert sorted(await supervised) == ["a", "b"]


async def test_tasks_of_the_application_stay() -> None:
    overseer, clock, _ = scripted(up(), up())

    async def work() -> None:
        await asyncio.Event().wait()

    async with overseer:
        overseer.add_task("work", work)
        await ended(overseer.start("work"), clock)
        await ended(overseer.plan([spec("a", after="work")]).apply(), clock)
        assert overseer["work"].state is State.RUNNING
        with pytest.raises(SpecError, match="'work' is a task, a resource or an external service"):
            overseer.plan([spec("work")])


@pytest.mark.parametrize(
    ("specs", "kind", "message"),
    [
        ([spec("a"), spec("a", "b")], SpecError, "'a' is in the plan twice"),
        ([spec("a", after="b")], SpecError, "after='b' is not registered"),
        ([spec("a", after="b"), spec("b", after="a")], DependencyCycle, "circle"),
        (["a"], SpecError, "a plan takes Specs, and str is none"),
    ],
)
async def test_wrong_specs_are_refused_at_once(specs: Any, kind: type[Exception], message: str) -> None:
    overseer, _, _ = scripted()
    async with overseer:
        with pytest.raises(kind, match=message):
            overseer.plan(specs)


async def test_wrong_arguments_of_apply_are_refused() -> None:
    wrong: Any = "explode"
    number: Any = 7
    overseer, _, _ = scripted()
    plan = overseer.plan([spec("a")])
    with pytest.raises(OverseerError, match="is not in use"):
        await plan.apply()
    async with overseer:
        with pytest.raises(SpecError, match="on_failure='explode' is unknown"):
            await plan.apply(on_failure=wrong)
        with pytest.raises(SpecError, match="by=7 is no name"):
            await plan.apply(by=number)
        assert overseer.list_all() == []


async def test_function_with_the_same_name_is_no_change() -> None:
    def checks() -> Any:
        async def is_up() -> bool:
            return True

        return ready.check(is_up)

    overseer, _, _ = scripted()
    overseer.add(spec("a", ready=checks()))
    plan = overseer.plan([spec("a", ready=checks())])
    assert actions(plan) == [("a", "start")]
    assert plan.steps[0].changes == ()


PRINT_DIGEST = """
from aioverseer import Overseer, Restart, Spec, ready
overseer = Overseer()
overseer.add("old", "old")
specs = [
    Spec.of("a", ["a"], extra_env={"B": "1", "A": "2"}, restart=Restart(success_codes={3, 1, 2})),
    Spec.of("b", ["b"], after=["a"], ready=ready.http("http://a", status={204, 200})),
]
print(overseer.plan(specs).digest)
"""


def test_digest_is_the_same_in_each_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_threaded_overseer_plans_and_applies() -> None:
    with ThreadedOverseer(containment="basic") as overseer:
        plan = overseer.plan([Spec.of("a", ["sleep", "60"])])
        assert [step.action for step in plan.steps] == ["add"]
        assert bool(plan)
        assert plan.apply(by="alice").done == plan.steps
        service = overseer["a"]
        assert service.status().by == "alice"
        bad = overseer.plan([Spec.of("a", ["no-such-program-of-ours"])])
        with pytest.raises(ApplyFailed):
            bad.apply()
        assert service.state is State.RUNNING
        assert service.spec.argv == ("sleep", "60")
        assert str(overseer.plan([])).startswith("- a   stops, and is removed")
