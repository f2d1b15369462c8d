"""A cancellation at any step of a restart of a group, of an escalation, of an automatic end, of a task or a resource.

The scenarios of groups, tasks and resources; they are run and cancelled as in ``test_every_step.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import Backoff, CriticalServiceEnded, GaveUp, NotReady, Overseer, Restart, State
from tests.support.cancel_everywhere import CANCELLATIONS, LONG, Rig, Scenario, all_tasks, cancel_at_each_step, once

SOON = Backoff(0.01, 0.01)
AGAIN = Restart("on-failure")


def budget(most: int) -> Restart:
    """A budget of a group."""
    return Restart(max_restarts=most, within=None, backoff=SOON)


# --- groups


async def one_for_all(rig: Rig) -> None:
    """One fails again and again; a stubborn one has to be killed each time; then all of it has given up."""
    await restarts_together(rig, "one_for_all")


async def rest_for_one(rig: Rig) -> None:
    """A later member restarts too; an earlier one ends only with the group."""
    await restarts_together(rig, "rest_for_one")


async def restarts_together(rig: Rig, strategy: Any) -> None:
    """Two restarts, and a giving up."""
    rig.all_gone = True
    overseer = rig.another()
    overseer.group("g", strategy, restart=budget(2))
    rig.add("lasts", overseer, group="g", restart=AGAIN)
    rig.add("fails", overseer, group="g", restart=AGAIN)
    rig.add("stubborn", overseer, group="g", restart=AGAIN, after="lasts")
    async with overseer:
        await overseer.supervise_all()
        assert isinstance(overseer["fails"].status().error, GaveUp)


async def start_in_a_restart_of_the_group(rig: Rig) -> None:
    """One of the members is restarted and stopped by hand meanwhile."""
    rig.all_gone = True
    overseer = rig.another()
    overseer.group("g", "one_for_all", restart=budget(1))
    rig.add("lasts", overseer, group="g", restart=AGAIN)
    rig.add("fails", overseer, group="g", restart=AGAIN)
    async with overseer:
        starting = asyncio.ensure_future(overseer.start_all())
        try:
            with contextlib.suppress(NotReady):
                await overseer["fails"].wait_for(State.BACKOFF)
                await overseer["lasts"].restart()
                await overseer["fails"].start()
                await overseer["lasts"].stop()
        finally:
            starting.cancel()
            await asyncio.wait([starting])


async def escalation(rig: Rig) -> None:
    """An inner group gives up at once, so its parent restarts all, and then gives up too: a function is called."""
    rig.all_gone = True
    told: list[GaveUp] = []

    async def on_give_up(error: GaveUp) -> None:
        await asyncio.sleep(0)
        told.append(error)
        await asyncio.sleep(0)

    overseer = rig.another()
    overseer.group("outer", "one_for_all", restart=budget(1), on_give_up=on_give_up)
    overseer.group("inner", parent="outer", restart=budget(0))
    rig.add("lasts", overseer, group="outer", restart=AGAIN)
    rig.add("fails", overseer, group="inner", restart=AGAIN)
    rig.add("reads", overseer, group="inner", restart=AGAIN, stdin="pipe")
    async with overseer:
        await overseer.supervise_all()
    assert ["outer"] == [error.id for error in told]


async def auto_shutdown(rig: Rig) -> None:
    """The group ends with its significant member."""
    rig.all_gone = True
    overseer = rig.another()
    overseer.group("g", auto_shutdown="any_significant")
    rig.add("stubborn", overseer, group="g")
    rig.add("lasts", overseer, group="g")
    rig.add("ends", overseer, group="g", significant=True)
    async with overseer:
        statuses = await overseer.supervise_all()
        assert State.INTERRUPT is statuses["lasts"].state


async def end_with_a_group(rig: Rig) -> None:
    """The block is cancelled by the giving up of a group."""
    rig.all_gone = True
    overseer = rig.another()
    overseer.group("g", restart=budget(0), on_give_up="end")
    rig.add("stubborn", overseer)
    rig.add("fails", overseer, group="g", restart=AGAIN)
    with contextlib.suppress(CriticalServiceEnded):
        async with overseer:
            await overseer.supervise_all()


# --- tasks and resources


def add_pool(rig: Rig, overseer: Overseer, **options: Any) -> None:
    """A resource that takes some turns to enter and to leave."""

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        await asyncio.sleep(0)
        rig.entered.append("pool")
        try:
            await asyncio.sleep(0)
            yield "the pool"
            await asyncio.sleep(0)
        finally:
            rig.entered.remove("pool")

    overseer.add_resource("pool", pool, stop=rig.stop, **options)


def add_poller(rig: Rig, overseer: Overseer, **options: Any) -> None:
    """A task that uses the pool, and fails in its first two runs."""
    tries = iter((True, True))

    async def poller() -> None:
        rig.entered.append("poller")
        try:
            assert "the pool" == overseer["pool"].resource
            await asyncio.sleep(0)
            if next(tries, False):
                raise ValueError("no answer")
            await asyncio.get_running_loop().create_future()
        finally:
            rig.entered.remove("poller")

    overseer.add_task("poller", poller, stop=rig.stop, **options)


async def task_and_resource(rig: Rig) -> None:
    """In order, with restarts; left while both are in use."""
    rig.all_gone = True
    overseer = rig.another()
    again = Restart("on-failure", max_restarts=2, within=None, backoff=SOON)
    add_pool(rig, overseer)
    add_poller(rig, overseer, after="pool", restart=again)
    async with overseer:
        await overseer.start_all()
        await overseer["poller"].wait_for(lambda status: status.restarts == 2 and status.state is State.RUNNING)
        await overseer["pool"].restart()


async def members_that_are_taken_back(rig: Rig) -> None:
    """A cancelled call leaves the resources that it began to enter, before the cancellation continues."""
    overseer = rig.overseer
    add_pool(rig, overseer, restart=Restart("never"))
    rig.rolled_back = [overseer["pool"]]
    await overseer["pool"].start()
    rig.rolled_back = []
    await overseer["pool"].stop()
    add_poller(rig, overseer, restart=Restart("never"), after="pool")
    rig.rolled_back = [overseer["poller"]]
    await overseer.supervise("poller")
    rig.rolled_back = []


async def members_of_a_group(rig: Rig) -> None:
    """A task that fails takes a resource and a program along, and all come back; the group gives up in the end."""
    rig.all_gone = True
    overseer = rig.another()
    overseer.group("g", "one_for_all", restart=budget(1))
    add_pool(rig, overseer, group="g")
    add_poller(rig, overseer, group="g", after="pool")
    rig.add("lasts", overseer, group="g", restart=AGAIN)
    async with overseer:
        statuses = await overseer.supervise_all()
        assert isinstance(statuses["poller"].error, GaveUp)


SCENARIOS: list[Scenario] = [
    one_for_all,
    rest_for_one,
    start_in_a_restart_of_the_group,
    escalation,
    auto_shutdown,
    end_with_a_group,
    task_and_resource,
    members_that_are_taken_back,
    members_of_a_group,
]


@pytest.mark.timeout(300 if LONG else 60)
@pytest.mark.parametrize("cancellation", CANCELLATIONS, ids=lambda cancellation: cancellation.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted(scenario: Scenario, cancellation: Callable[..., None]) -> None:
    """Every step, in virtual time."""
    assert cancel_at_each_step(scenario, cancellation, real=False) > 3


REAL: list[tuple[Scenario, Callable[..., None]]] = [
    (one_for_all, once),
    (one_for_all, all_tasks),
    (escalation, once),
    (members_of_a_group, all_tasks),
]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(600 if LONG else 60)
@pytest.mark.parametrize(
    ("scenario", "cancellation"),
    [(scenario, cancellation) for scenario in SCENARIOS for cancellation in CANCELLATIONS] if LONG else REAL,
    ids=lambda each: each.__name__,
)
def test_real(scenario: Scenario, cancellation: Callable[..., None]) -> None:
    """The same with programs of the system, cancelled at each ninth step."""
    assert cancel_at_each_step(scenario, cancellation, real=True, stride=3 if LONG else 9) > 3
