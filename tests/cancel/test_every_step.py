"""A cancellation at any step of the event loop leaves no child, task, descriptor or timer, and every state valid.

Each scenario is run repeatedly, and cancelled at its first, second, third ... step, until it ends before that step. The
long enumeration is played with scripted children in virtual time, a smaller one with real programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from aioverseer import (
    Backoff,
    Every,
    GaveUp,
    NotReady,
    Overseer,
    OverseerError,
    Restart,
    Roll,
    SpawnError,
    State,
)
from aioverseer._aio.shield import settle
from tests.support.cancel_everywhere import (
    CANCELLATIONS,
    LONG,
    PROGRAMS,
    Rig,
    Scenario,
    all_tasks,
    by_scope,
    cancel_at_each_step,
    once,
    repeatedly,
    twice,
)
from tests.support.step_loop import children

# --- one run


async def run_to_its_end(rig: Rig) -> None:
    """One run is awaited by the task that began it; another starts late."""
    await rig.process("ends")
    late = rig.process("lasts", delay_start=0.01)
    await late.start()
    await late.stop(kill=True)


async def await_it(rig: Rig) -> None:
    """A cancelled wait stops the run."""
    rig.all_gone = True
    await rig.process("ends")
    await rig.process("talks", buffered=True).wait()


async def start_and_stop(rig: Rig) -> None:
    """One call after the other."""
    run = rig.process("lasts", stdin="pipe", streaming=True)
    await run.start()
    await run.stop()


async def start_what_is_missing(rig: Rig) -> None:
    """The spawn fails."""
    rig.all_gone = True
    with contextlib.suppress(SpawnError):
        await rig.process("missing").start()


async def stop_the_stubborn(rig: Rig) -> None:
    """The ladder to its last step."""
    rig.all_gone = True
    async with rig.process("stubborn") as run:
        await asyncio.sleep(0)
        await run.stop()


async def a_block_with_lines(rig: Rig) -> None:
    """Lines from a queue, in a block."""
    rig.all_gone = True
    async with rig.process("talks", streaming=True) as run:
        assert run.stdout is not None
        assert ["1", "2", "3"] == [line async for line in run.stdout]
        await run.wait()


async def write_to_it(rig: Rig) -> None:
    """More than a pipe holds, and the end of the input."""
    rig.all_gone = True
    async with rig.process("reads", stdin="pipe", streaming=True) as run:
        await run.write("x" * 200_000 if rig.real else "x")
        await run.write_eof()


async def feed_it(rig: Rig) -> None:
    """From an iterator that gives nothing any more, and is closed in any case."""
    closed = False

    async def words() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{number}\n"
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            nonlocal closed
            closed = True

    rig.all_gone = True
    async with rig.process("reads", stdin=words, buffered=True) as run:
        await asyncio.sleep(0.001)  # it is stopped in the middle; where time is virtual this takes none
        await run.stop()
        assert closed


# --- a service


async def service_starts_and_stops(rig: Rig) -> None:
    """Its verbs, one after the other."""
    service = rig.overseer["lasts"]
    await service.start()
    await service.ready()
    await service.stop()


async def calls_that_take_back(rig: Rig) -> None:
    """A cancelled call stops the services that it began to start, before the cancellation continues."""
    overseer = rig.overseer
    overseer.remove("missing")
    rig.rolled_back = [overseer["stubborn"]]
    await overseer["stubborn"].start()
    rig.rolled_back = [overseer[id] for id in overseer if id != "stubborn"]
    await overseer.start_all()
    rig.rolled_back = []
    await overseer.stop_all()
    rig.rolled_back = [overseer["fails"]]
    await overseer.supervise("fails")
    rig.rolled_back = []
    rig.rolled_back = [overseer[id] for id in overseer]
    supervising = asyncio.ensure_future(overseer.supervise_all())
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        supervising.cancel()
        cancelled = await settle(supervising, within=1000)
    if cancelled is not None:
        raise cancelled
    rig.rolled_back = []


async def service_restarts(rig: Rig) -> None:
    """By wish, and while it is still being stopped."""
    service = rig.overseer["stubborn"]
    await service.start()
    await service.restart()
    stopping = asyncio.ensure_future(service.stop())
    try:
        await asyncio.sleep(0)
        await service.start()
    finally:
        stopping.cancel()
        await asyncio.wait([stopping])


async def service_is_supervised(rig: Rig) -> None:
    """Over restarts by policy, until its budget is spent."""
    status = await rig.overseer.supervise("fails")
    assert isinstance(status.error, GaveUp)


async def spawn_fails_again_and_again(rig: Rig) -> None:
    """Judged by the policy each time."""
    with contextlib.suppress(NotReady):
        await rig.overseer["missing"].start()


async def all_are_supervised(rig: Rig) -> None:
    """Until all have ended; one of them by a stop."""
    supervising = asyncio.ensure_future(rig.overseer.supervise_all())
    try:
        await rig.overseer["lasts"].wait_for(State.RUNNING)
        await asyncio.sleep(0)
        await rig.overseer.stop_all()
        await supervising
    finally:
        supervising.cancel()
        await asyncio.wait([supervising])


async def all_start_and_stop(rig: Rig) -> None:
    """start_all, stop_all."""
    rig.overseer.remove("missing")
    await rig.overseer.start_all()
    await rig.overseer.stop_all()


async def lines_of_services(rig: Rig) -> None:
    """A lossless subscriber of one, and the lines of all."""
    service = rig.overseer["talks"]
    own = service.lines(overflow="block", size=1)
    every = rig.overseer.logs()
    await service.start()
    async for _line in own:
        await asyncio.sleep(0)
    await every.get_batch()
    await service.wait()


async def waits_with_a_limit(rig: Rig) -> None:
    """wait_for that runs out, and events."""
    service = rig.overseer["lasts"]
    events = rig.overseer.events()
    await service.start()
    await anext(events)
    with contextlib.suppress(NotReady):
        await service.wait_for(lambda status: status.restarts > 5, timeout=0.01)


async def schedules_are_triggered(rig: Rig) -> None:
    """One run on request while it is armed, one while it is not, and a stop in the middle of each."""
    rig.all_gone = True
    overseer = rig.another()
    service = overseer.add("often", *PROGRAMS["lasts"][1], stop=rig.stop, schedule=Every(0.01, overlap="replace"))
    async with overseer:
        await service.start()
        await service.wait_for(lambda status: status.restarts == 0 and status.pid is not None)
        await service.trigger()
        await service.stop()
        rig.rolled_back = [service]
        await service.trigger()
        rig.rolled_back = []
        await service.stop()


# --- an overseer


async def a_whole_block(rig: Rig) -> None:
    """Enter, start, leave with programs that run, one of them stubborn."""
    rig.all_gone = True
    overseer = rig.another()
    rig.add("lasts", overseer)
    rig.add("stubborn", overseer)
    async with overseer:
        await overseer.start_all()


async def a_block_that_raises(rig: Rig) -> None:
    """Left by an error while one is being spawned and one waits to restart."""
    rig.all_gone = True
    overseer = rig.another()
    rig.add("fails", overseer, restart=Restart("always", max_restarts=None, backoff=Backoff(0.01, 0.01)))
    rig.add("lasts", overseer)
    with contextlib.suppress(ZeroDivisionError):
        async with overseer:
            await overseer["fails"].start()
            await overseer["fails"].wait_for(State.BACKOFF)
            starting = asyncio.ensure_future(overseer["lasts"].start())
            try:
                await asyncio.sleep(0)
                raise ZeroDivisionError
            finally:
                starting.cancel()
                await asyncio.wait([starting])


async def a_spawn_in_flight_is_left(rig: Rig) -> None:
    """Nobody waits for the start when the block ends."""
    rig.all_gone = True
    overseer = rig.another()
    service = rig.add("lasts", overseer)
    async with overseer:
        starting = asyncio.ensure_future(service.start())
        try:
            await asyncio.sleep(0)
        finally:
            starting.cancel()
    await asyncio.wait([starting])


async def instances_are_scaled(rig: Rig) -> None:
    """Up, down and up again while the last one still ends; a cancelled call leaves a set that can be used."""
    rig.all_gone = True
    overseer = rig.another()
    many = overseer.add_instances("many", *PROGRAMS["lasts"][1], instances=1, stop=rig.stop, restart=Restart("never"))
    try:
        async with overseer, many:
            await many.scale(3)
            down = asyncio.ensure_future(many.scale(1))
            try:
                await asyncio.sleep(0)
                await many.scale(2)
                await many.ready()
                await many.restart()
            finally:
                down.cancel()
                await asyncio.wait([down])
    finally:
        assert [service.id for service in many] == list(overseer) == [f"many.{index}" for index in range(len(many))]


async def instances_are_rolled(rig: Rig) -> None:
    """A cancelled roll leaves one run of each; a stop in the middle of one, and leaving, leave none."""
    rig.all_gone = True
    overseer = rig.another()
    rules = Roll(min_ready=0.0, deadline=5.0)
    many = overseer.add_instances(
        "many", *PROGRAMS["lasts"][1], instances=2, stop=rig.stop, restart=Restart("never"), roll=rules
    )
    async with overseer, many:
        await many.roll()
        overseer.update("many", *PROGRAMS["lasts"][1], nice=1)
        rolling = asyncio.ensure_future(many.roll())
        rolling.add_done_callback(lambda task: task.cancelled() or task.exception())  # retrieved, however it ends
        try:
            await asyncio.sleep(0)
            await many[0].stop()
        finally:
            await asyncio.wait([rolling])


SCENARIOS: list[Scenario] = [
    calls_that_take_back,
    await_it,
    run_to_its_end,
    start_and_stop,
    start_what_is_missing,
    stop_the_stubborn,
    a_block_with_lines,
    write_to_it,
    feed_it,
    service_starts_and_stops,
    service_restarts,
    service_is_supervised,
    spawn_fails_again_and_again,
    all_are_supervised,
    all_start_and_stop,
    lines_of_services,
    waits_with_a_limit,
    schedules_are_triggered,
    a_whole_block,
    a_block_that_raises,
    a_spawn_in_flight_is_left,
    instances_are_scaled,
    instances_are_rolled,
]


@pytest.mark.parametrize("cancellation", CANCELLATIONS, ids=lambda cancellation: cancellation.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted(scenario: Scenario, cancellation: Callable[..., None]) -> None:
    """Every step, in virtual time: a wait that never ends is seen at once."""
    assert cancel_at_each_step(scenario, cancellation, real=False) > 3


REAL: list[tuple[Scenario, Callable[..., None]]] = [
    (await_it, once),
    (start_and_stop, once),
    (start_and_stop, all_tasks),
    (stop_the_stubborn, repeatedly),
    (write_to_it, once),
    (feed_it, twice(2)),
    (service_restarts, once),
    (service_is_supervised, once),
    (service_is_supervised, all_tasks),
    (lines_of_services, once),
    (a_whole_block, once),
    (a_whole_block, repeatedly),
    (a_whole_block, all_tasks),
    (a_whole_block, by_scope),
    (start_and_stop, by_scope),
    (a_spawn_in_flight_is_left, twice(1)),
]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(300 if LONG else 30)
@pytest.mark.parametrize(
    ("scenario", "cancellation"),
    [(scenario, cancellation) for scenario in SCENARIOS for cancellation in CANCELLATIONS] if LONG else REAL,
    ids=lambda each: each.__name__,
)
def test_real(scenario: Scenario, cancellation: Callable[..., None]) -> None:
    """The same with programs of the system, some with a child of their own; in long scenarios each third step."""
    stride = 1 if LONG or scenario in (await_it, start_and_stop) else 3
    assert cancel_at_each_step(scenario, cancellation, real=True, stride=stride) > 3


async def test_entering_fails_when_the_overseers_task_is_cancelled_unstarted() -> None:
    """The entering task is not cancelled, and does not wait for ever."""
    overseer = Overseer()
    before = asyncio.all_tasks()
    entering = asyncio.ensure_future(overseer.__aenter__())
    while not (own := asyncio.all_tasks() - before - {entering}):
        await asyncio.sleep(0)
    own.pop().cancel()
    with pytest.raises(OverseerError, match="before it had begun"):
        await entering
    async with overseer:
        assert State.FINISHED is (await overseer.supervise(overseer.add("once more", "true").id)).state


async def test_task_of_an_overseer_that_is_cancelled_takes_its_programs_along() -> None:
    """It alone, by somebody who cancels what he does not know: those who wait are told, and leaving works."""
    before = asyncio.all_tasks()
    overseer = Overseer()
    await overseer.__aenter__()
    own = asyncio.all_tasks() - before
    service = await overseer.add("family", *PROGRAMS["lasts"][1], restart=Restart("always")).start()
    waiting = asyncio.ensure_future(service.wait())
    await asyncio.sleep(0)
    own.pop().cancel()
    assert (await waiting).state.is_final
    await overseer.__aexit__(None, None, None)
    assert [] == children()
