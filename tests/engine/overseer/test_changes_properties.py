"""Plans between any two sets of Specs: equal to a fresh overseer, or rolled back."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aioverseer import After, ApplyFailed, Overseer, Restart, Spec, State, Stop, ready
from aioverseer.testing import FakeChild, ManualClock
from tests.support.overseers import scripted

READY = ready.line("up")
NAMES = ("a", "b", "web", "c")
RUNS = (*NAMES, *(f"web.{number}" for number in range(3)))
EDGES: list[Any] = [
    {},
    {"on_restart": "restart"},
    {"on_end": "stop"},
    {"on_restart": "restart", "on_end": "stop"},
]


@st.composite
def sets(draw: st.DrawFn) -> tuple[Spec, ...]:
    """Return Specs that depend on earlier ones only; the name ``web`` may be a service, or a set of instances."""
    specs: list[Spec] = []
    for place, name in enumerate(NAMES):
        if not draw(st.booleans()):
            continue
        known = [spec.id for spec in specs]
        before = draw(st.lists(st.sampled_from(known), unique=True)) if known and place else []
        options: Any = {
            "after": [After(other, **draw(st.sampled_from(EDGES))) for other in before],
            "stop": Stop(timeout=draw(st.sampled_from([5.0, 6.0]))),
            "ready_timeout": draw(st.sampled_from([30.0, 40.0])),
        }
        if name == "web" and draw(st.booleans()):
            options["instances"] = draw(st.integers(1, 3))
        specs.append(
            Spec.of(name, [name, draw(st.sampled_from("12"))], ready=READY, restart=Restart("never"), **options)
        )
    return tuple(specs)


def up() -> FakeChild:
    """A program that becomes ready after a second."""
    return FakeChild().runs(1).prints("up")


def world(broken: str = "", run: int = -1) -> tuple[Overseer, ManualClock]:
    """An overseer with programs that become ready, but for one run of one of them."""
    scripts = {id: [up() for _ in range(12)] for id in RUNS}
    if broken:
        scripts[broken][run] = FakeChild().runs(1).exits(3)
    overseer, clock, _ = scripted(by_id=scripts)
    return overseer, clock


async def applied(overseer: Overseer, clock: ManualClock, specs: tuple[Spec, ...]) -> None:
    """Apply a plan to its end."""
    task = asyncio.ensure_future(overseer.plan(specs).apply())
    await clock.advance(300)
    await task


def seen(overseer: Overseer) -> dict[str, tuple[Spec, State]]:
    """Specs and states of all services. A service that is wanted runs, as no program of this file ends by itself."""
    assert all(overseer[id].restarts == 0 for id in overseer)
    return {id: (overseer[id].spec, overseer[id].state) for id in overseer}


def pids(overseer: Overseer) -> dict[str, int | None]:
    """The pid of each service."""
    return {id: overseer[id].pid for id in overseer}


def fixed(overseer: Overseer, ids: tuple[str, ...]) -> dict[str, int | None]:
    """The pids of services, and of the instances of sets, by names."""
    return {id: pid for id, pid in pids(overseer).items() if id in ids or id.rpartition(".")[0] in ids}


FEW = settings(
    max_examples=300 if os.environ.get("AIOVERSEER_LONG") else 20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@FEW
@given(sets(), sets())
def test_end_is_that_of_a_fresh_overseer_and_the_unchanged_keep_their_pids(
    a: tuple[Spec, ...], b: tuple[Spec, ...]
) -> None:
    async def check() -> None:
        overseer, clock = world()
        fresh, fresh_clock = world()
        async with overseer, fresh:
            await applied(overseer, clock, a)
            plan = overseer.plan(b)
            updated = tuple(step.id for step in plan.steps if step.action in ("update", "scale"))
            kept = fixed(overseer, (*plan.unchanged, *updated))
            await applied(overseer, clock, b)
            await applied(fresh, fresh_clock, b)
            assert seen(overseer) == seen(fresh)
            assert all(overseer[id].state is State.RUNNING for id in overseer)
            now = pids(overseer)
            assert {id: now[id] for id in kept if id in now} == {id: pid for id, pid in kept.items() if id in now}
            assert not overseer.plan(b)

    asyncio.run(check())


@FEW
@given(sets(), sets(), st.sampled_from(RUNS), st.booleans())
def test_failure_of_any_step_is_rolled_back(
    a: tuple[Spec, ...], b: tuple[Spec, ...], broken: str, is_new: bool
) -> None:
    async def check() -> None:
        overseer, clock = world(broken, 0 if is_new else 1)
        async with overseer:
            try:
                await applied(overseer, clock, a)
            except ApplyFailed:  # the very first run is broken: nothing may be left
                assert overseer.list_all() == []
                return
            before, numbers = seen(overseer), pids(overseer)
            plan = overseer.plan(b)
            kept = fixed(overseer, plan.unchanged)
            try:
                await applied(overseer, clock, b)
                is_applied = True
            except ApplyFailed as error:
                is_applied = not error.report.rolled_back
            assert not overseer.plan(b if is_applied else a)
            if not is_applied:
                assert seen(overseer) == before
            now = pids(overseer)
            assert {id: now.get(id) for id in kept} == kept
            assert numbers.keys() >= kept.keys()

    asyncio.run(check())


@FEW
@given(sets(), sets(), st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.5, 4.0]))
def test_cancelled_plan_is_rolled_back(a: tuple[Spec, ...], b: tuple[Spec, ...], after: float) -> None:
    async def check() -> None:
        overseer, clock = world()
        async with overseer:
            await applied(overseer, clock, a)
            before = seen(overseer)
            task = asyncio.ensure_future(overseer.plan(b).apply())
            await clock.advance(after)
            is_over = task.done()
            task.cancel()
            await clock.advance(300)
            assert task.done()
            if not is_over:
                assert task.cancelled()
                assert seen(overseer) == before
            assert not overseer.plan(b if is_over else a)

    asyncio.run(check())


async def test_plan_of_a_thousand_services_takes_little_time() -> None:
    """Few milliseconds on a quiet machine; the bound is for a busy one."""

    def specs(count: int, version: str) -> list[Spec]:
        return [
            Spec.of(
                f"s{number}", ["run", version if number % 100 == 0 else ""], ready=READY, extra_env={"N": f"{number}"}
            )
            for number in range(count)
        ]

    overseer, _, _ = scripted()
    for spec in specs(1000, "1"):
        overseer.add(spec)
    wanted = specs(1000, "2")
    assert sum(bool(step.changes) for step in overseer.plan(wanted).steps) == 10
    seconds: list[float] = []
    for _ in range(3):
        began = time.process_time()
        overseer.plan(wanted)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.3
