"""Plans with sets of instances: scaled, rolled, restarted, and taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioverseer import (
    After,
    ApplyFailed,
    DuplicateService,
    Overseer,
    OverseerError,
    Plan,
    Restart,
    Roll,
    RollFailed,
    Spec,
    State,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock
from tests.support.overseers import ended, scripted

READY = ready.line("up")


def up() -> FakeChild:
    """A program that becomes ready after a second."""
    return FakeChild().runs(1).prints("up")


def broken() -> FakeChild:
    """A program that ends before it is ready."""
    return FakeChild().exits(3)


def spec(id: str, *argv: str, **options: Any) -> Spec:
    """A Spec that is ready after a line, and is not run again after a failure."""
    given: Any = {"ready": READY, "restart": Restart("never"), **options}
    return Spec.of(id, argv or (id,), **given)


def actions(plan: Plan) -> list[tuple[str, str]]:
    """The steps of the plan, in order."""
    return [(step.id, step.action) for step in plan.steps]


def pids(overseer: Overseer) -> dict[str, int | None]:
    """The pid of each service."""
    return {id: overseer[id].pid for id in overseer}


def running(overseer: Overseer) -> list[str]:
    """Names of the services that run."""
    return [id for id in overseer if overseer[id].state is State.RUNNING]


async def apply(overseer: Overseer, clock: ManualClock, *specs: Spec) -> Plan:
    """Apply a plan, and return it."""
    plan = overseer.plan(specs)
    await ended(plan.apply(by="alice"), clock)
    return plan


def world(*scripts: FakeChild, **by_id: list[FakeChild]) -> Any:
    """An overseer with ready programs, except where scripts are given."""
    names = [*(f"web.{n}" for n in range(6)), "web", "db", "top", "bad"]
    scripts_of = {name: [*by_id.get(name.replace(".", "_"), []), *(up() for _ in range(6))] for name in names}
    return scripted(*scripts, by_id=scripts_of)


async def test_set_is_added_scaled_rolled_and_removed() -> None:
    overseer, clock, _ = world()
    async with overseer:
        assert actions(await apply(overseer, clock, spec("db"), spec("web", instances=2, after="db"))) == [
            ("db", "add"),
            ("web", "add"),
        ]
        assert running(overseer) == ["db", "web.0", "web.1"]
        first = pids(overseer)

        plan = await apply(overseer, clock, spec("db"), spec("web", instances=3, after="db"))
        assert actions(plan) == [("web", "scale")]
        assert str(plan).splitlines()[:2] == ["~ web   scales", "    ~ instances: 2 => 3   (in place)"]
        assert running(overseer) == ["db", "web.0", "web.1", "web.2"]
        assert {id: pids(overseer)[id] for id in first} == first

        second = pids(overseer)
        plan = await apply(overseer, clock, spec("db"), spec("web", "web", "--new", instances=2, after="db"))
        assert actions(plan) == [("web", "roll")]
        assert running(overseer) == ["db", "web.0", "web.1"]
        third = pids(overseer)
        assert third["db"] == second["db"]
        assert not {third["web.0"], third["web.1"]} & set(second.values())
        assert [service.spec.argv for service in overseer.instances("web")] == [("web", "--new")] * 2
        assert not overseer.plan([spec("db"), spec("web", "web", "--new", instances=2, after="db")])

        plan = await apply(overseer, clock, spec("db"))
        assert actions(plan) == [("web", "remove")]
        assert overseer.list_all() == ["db"]


async def test_options_in_place_change_all_instances_without_a_roll() -> None:
    overseer, clock, _ = world()
    async with overseer:
        await apply(overseer, clock, spec("web", instances=2))
        before = pids(overseer)
        plan = await apply(overseer, clock, spec("web", instances=2, critical=True))
        assert actions(plan) == [("web", "update")]
        assert pids(overseer) == before
        assert [service.spec.critical for service in overseer.instances("web")] == [True, True]


async def test_set_follows_and_a_roll_is_no_reason_to_follow() -> None:
    overseer, clock, _ = world()
    edge = After("db", on_restart="restart")
    top = spec("top", after=After("web", on_restart="restart", on_end="stop"))
    async with overseer:
        await apply(overseer, clock, spec("db"), spec("web", instances=2, after=edge), top)
        plan = await apply(overseer, clock, spec("db"), spec("web", "new", instances=2, after=edge), top)
        assert actions(plan) == [("web", "roll")]
        plan = await apply(overseer, clock, spec("db", "new"), spec("web", "newer", instances=2, after=edge), top)
        assert actions(plan) == [("db", "restart"), ("web", "restart"), ("top", "restart")]
        assert running(overseer) == ["db", "top", "web.0", "web.1"]


async def test_failed_roll_is_rolled_back_with_the_rest() -> None:
    overseer, clock, _ = world(web_1=[up(), broken()])
    async with overseer:
        old = [spec("db"), spec("web", instances=2)]
        await apply(overseer, clock, *old)
        plan = overseer.plan([spec("db", "new"), spec("web", "new", instances=2, after="db")])
        assert actions(plan) == [("db", "restart"), ("web", "roll")]
        with pytest.raises(ApplyFailed, match=r"at 'web' \(roll\), rolled back") as caught:
            await ended(plan.apply(), clock, 300)
        assert isinstance(caught.value.__cause__, RollFailed)
        assert caught.value.report.rolled_back
        assert running(overseer) == ["db", "web.0", "web.1"]
        assert not overseer.plan(old)


@pytest.mark.parametrize("on_failure", ["pause", "continue"])
async def test_roll_that_is_left_in_the_middle_is_taken_back(on_failure: Any) -> None:
    overseer, clock, _ = world(web_1=[up(), broken()])
    async with overseer:
        old = [spec("web", instances=2, roll=Roll(on_failure=on_failure))]
        await apply(overseer, clock, *old)
        plan = overseer.plan([spec("web", "new", instances=2, roll=Roll(on_failure=on_failure))])
        with pytest.raises(ApplyFailed) as caught:
            await ended(plan.apply(), clock, 300)
        assert caught.value.report.problems == ()
        assert running(overseer) == ["web.0", "web.1"]
        assert not overseer.plan(old)


async def test_completed_roll_and_scale_are_taken_back_after_a_later_failure() -> None:
    overseer, clock, _ = world(bad=[broken()])
    async with overseer:
        old = [spec("web", instances=3)]
        await apply(overseer, clock, *old)
        with pytest.raises(ApplyFailed) as caught:
            await ended(overseer.plan([spec("web", "new", instances=2), spec("bad", after="web")]).apply(), clock, 300)
        assert [(step.id, step.action) for step in caught.value.report.done] == [("web", "roll")]
        assert caught.value.report.rolled_back
        assert running(overseer) == ["web.0", "web.1", "web.2"]
        assert not overseer.plan(old)


async def test_cancelled_roll_is_taken_back() -> None:
    overseer, clock, _ = world(web_0=[up(), FakeChild()])
    async with overseer:
        old = [spec("web", instances=2)]
        await apply(overseer, clock, *old)
        before = pids(overseer)
        applied = asyncio.ensure_future(overseer.plan([spec("web", "new", instances=2)]).apply())
        await clock.advance(5)
        applied.cancel()
        await clock.advance(60)
        with pytest.raises(asyncio.CancelledError):
            await applied
        assert pids(overseer) == before
        assert not overseer.plan(old)


async def test_service_becomes_a_set_and_a_set_a_service() -> None:
    overseer, clock, _ = world(bad=[broken()])
    async with overseer:
        await apply(overseer, clock, spec("web"), spec("top", after="web"))
        plan = await apply(overseer, clock, spec("web", instances=2), spec("top", after="web"))
        assert actions(plan) == [("web", "restart")]
        assert running(overseer) == ["top", "web.0", "web.1"]
        with pytest.raises(ApplyFailed):
            await ended(overseer.plan([spec("web"), spec("bad", after="web")]).apply(), clock)
        assert running(overseer) == ["top", "web.0", "web.1"]
        await apply(overseer, clock, spec("web"))
        assert running(overseer) == ["web"]


async def test_one_instance_that_was_stopped_is_started() -> None:
    overseer, clock, _ = world()
    async with overseer:
        old = [spec("web", instances=2)]
        await apply(overseer, clock, *old)
        kept = overseer["web.0"].pid
        await ended(overseer.stop("web.1"), clock)
        plan = await apply(overseer, clock, *old)
        assert actions(plan) == [("web", "start")]
        assert running(overseer) == ["web.0", "web.1"]
        assert overseer["web.0"].pid == kept


async def test_name_of_an_instance_cannot_be_that_of_a_service() -> None:
    overseer, _, _ = world()
    async with overseer:
        with pytest.raises(DuplicateService, match=r"'web\.1' and an instance of 'web'"):
            overseer.plan([spec("web", instances=2), spec("web.1")])


async def test_instance_that_goes_gets_no_new_run() -> None:
    overseer, clock, _ = world()
    async with overseer:
        await apply(overseer, clock, spec("web", instances=3))
        events = overseer.events()
        await apply(overseer, clock, spec("web", "new", instances=1))
        told = [event for event in iter(events.get_nowait, None) if event.kind == "roll"]
        assert {"web.0"} == {event.id for event in told}
        assert running(overseer) == ["web.0"]


async def test_paused_roll_refuses_a_plan_for_its_set_alone() -> None:
    overseer, clock, _ = world(web_1=[up(), broken()])
    async with overseer:
        paused = Roll(on_failure="pause")
        await apply(overseer, clock, spec("web", instances=2, roll=paused), spec("db"))
        overseer.update("web", "new")
        with pytest.raises(RollFailed):
            await ended(overseer.roll("web"), clock)
        web = overseer.instances("web").spec
        await apply(overseer, clock, web, spec("db", "new"))
        with pytest.raises(OverseerError, match=r"a roll of 'web' is paused, .*: call resume_roll\(\)"):
            overseer.plan([spec("web", "newer", instances=2, roll=paused), spec("db", "new")])
        await ended(overseer.instances("web").cancel_roll(), clock)
        await apply(overseer, clock, spec("web", "newer", instances=2, roll=paused), spec("db", "new"))
        assert running(overseer) == ["db", "web.0", "web.1"]
