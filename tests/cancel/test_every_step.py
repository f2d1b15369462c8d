"""A cancellation at any step of the event loop leaves no child, task, descriptor or timer, and every state valid.

Each scenario is played again and again, and struck at its first, second, third ... step until it ends untouched. The
long enumeration is played with scripted children in virtual time, a smaller one with real programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from aioverseer import (
    Backoff,
    Event,
    GaveUp,
    NotReady,
    Overseer,
    OverseerError,
    Process,
    ProcessNotRunning,
    Restart,
    Service,
    SpawnError,
    State,
    Stop,
)
from aioverseer.journal import EventStream
from aioverseer.system.launch import SystemLauncher
from aioverseer.system.waiting import settle
from aioverseer.testing import FakeChild, ScriptedLauncher
from stepping import LoopTime, StepLoop, children, descriptors, play

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
"""Every scenario with real programs as well: some minutes."""

PROGRAMS: dict[str, tuple[FakeChild, tuple[str, ...]]] = {
    "lasts": (FakeChild(), ("sh", "-c", "sleep 100 & exec sleep 100")),
    "ends": (FakeChild().runs(1).exits(0), ("true",)),
    "fails": (FakeChild().runs(1).exits(1), ("false",)),
    "stubborn": (FakeChild().ignores(signal.SIGTERM), ("sh", "-c", "trap '' TERM; exec sleep 100")),
    "talks": (FakeChild().prints("1", "2").runs(1).prints("3").exits(0), ("sh", "-c", "echo 1; echo 2; echo 3")),
    "reads": (FakeChild(), ("cat",)),
    "missing": (FakeChild().cannot_start(), ("/nowhere/program",)),
}
"""What each is when it is scripted, and when it is real."""


Scenario = Callable[["Rig"], Coroutine[Any, Any, object]]


@dataclass
class Rig:
    """What a scenario is played with.

    Attributes:
        runs: The Processes that it has made.
        all_gone: Set by a scenario that promises that nothing of it lives once it has been left.
        taken_back: The services that a call is starting which takes that back when it is cancelled.
        scope: Where the scenario is played.
        driver: Who plays it.
    """

    loop: StepLoop
    real: bool
    driver: asyncio.Task[Any] | None = None
    overseer: Overseer = field(init=False)
    launcher: Any = field(init=False)
    clock: LoopTime = field(default_factory=LoopTime)
    runs: list[Process] = field(default_factory=list)
    overseers: list[tuple[Overseer, EventStream]] = field(default_factory=list)
    all_gone: bool = False
    taken_back: list[Service] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def within(self, scenario: Scenario) -> None:
        """Play a scenario in the scope."""
        with self.scope:
            await scenario(self)

    def __post_init__(self) -> None:
        scripts = {name: [script] for name, (script, _) in PROGRAMS.items()}
        self.launcher = SystemLauncher() if self.real else ScriptedLauncher(self.clock, by_id=scripts)
        self.overseer = self.another()

    @property
    def stop(self) -> Stop:
        """The ladder of everything."""
        return Stop(timeout=0.02 if self.real else 5.0)

    def another(self) -> Overseer:
        """Return an Overseer; its events are looked at in the end."""
        made = Overseer(clock=self.clock, launcher=self.launcher, rng=random.Random(0))
        self.overseers.append((made, made.events()))
        return made

    def process(self, name: str, **options: Any) -> Process:
        """Return a run of a program."""
        options.setdefault("stop", self.stop)
        run = Process(*PROGRAMS[name][1], id=name, clock=self.clock, launcher=self.launcher, **options)
        self.runs.append(run)
        return run

    def add(self, name: str, overseer: Overseer | None = None, **options: Any) -> Service:
        """Register a program."""
        options.setdefault("stop", self.stop)
        options.setdefault("restart", Restart("never"))
        return (self.overseer if overseer is None else overseer).add(name, *PROGRAMS[name][1], **options)


# --- one run


async def run_to_its_end(rig: Rig) -> None:
    """Awaited by the one who has begun it; another one starts late."""
    await rig.process("ends")
    late = rig.process("lasts", delay_start=0.01)
    await late.start()
    await late.stop(kill=True)


async def await_it(rig: Rig) -> None:
    """It is stopped when the one who waits is cancelled."""
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
    """What a cancelled call has begun to start is stopped before the cancellation goes on."""
    overseer = rig.overseer
    overseer.remove("missing")
    rig.taken_back = [overseer["stubborn"]]
    await overseer["stubborn"].start()
    rig.taken_back = [overseer[id] for id in overseer if id != "stubborn"]
    await overseer.start_all()
    rig.taken_back = []
    await overseer.stop_all()
    rig.taken_back = [overseer["fails"]]
    await overseer.supervise("fails")
    rig.taken_back = []
    rig.taken_back = [overseer[id] for id in overseer]
    supervising = asyncio.ensure_future(overseer.supervise_all())
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        supervising.cancel()
        cancelled = await settle(supervising, within=1000)
    if cancelled is not None:
        raise cancelled
    rig.taken_back = []


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
    a_whole_block,
    a_block_that_raises,
    a_spawn_in_flight_is_left,
]

# --- how it is struck: called at each step from the chosen one on, with its number from there


def once(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
    """One cancellation."""
    if since == 0:
        victim.cancel()


def twice(gap: int) -> Callable[..., None]:
    """A second one during the clean-up."""

    def strike(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
        if since in (0, gap):
            victim.cancel()

    strike.__name__ = f"twice_{gap}"
    return strike


def again_and_again(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
    """A cancellation at each of many steps."""
    if since < 200:
        victim.cancel()


def everybody(_victim: asyncio.Task[Any], since: int, rig: Rig) -> None:
    """All tasks of the loop at once, as at the end of asyncio.run: our own as well, some before their first step."""
    if since == 0:
        for task in asyncio.all_tasks() - {rig.driver}:
            task.cancel()


def by_scope(_victim: asyncio.Task[Any], since: int, rig: Rig) -> None:
    """The scope of anyio, which cancels in each turn of the loop until it has been left."""
    if since == 0:
        rig.scope.cancel()


async def struck(rig: Rig, scenario: Scenario, strike: Callable[..., None], at: int) -> bool:
    """Play a scenario, strike at a step, look at what is left; return whether it had ended before that step."""
    loop = rig.loop
    before, open_before = asyncio.all_tasks(), descriptors()
    rig.driver = asyncio.current_task()
    again = Restart("on-failure", max_restarts=2, within=None, backoff=Backoff(0.01, 0.01))
    for name in PROGRAMS:
        rig.add(name, restart=again if name in {"fails", "missing"} else Restart("never"))
    await rig.overseer.__aenter__()
    victim = asyncio.ensure_future(rig.within(scenario))
    hit = False

    def on_step() -> None:
        nonlocal hit
        since = loop.steps - at
        if since >= 0 and not victim.done():
            hit = True
            strike(victim, since, rig)

    loop.on_step = on_step
    await asyncio.wait([victim])
    loop.on_step = None
    if hit and strike is not by_scope:
        assert victim.cancelled(), f"the cancellation was swallowed: {victim!r}"
    else:
        await victim
    if strike is not everybody:
        assert [] == [service for service in rig.taken_back if service.state.is_live]
    if rig.all_gone and strike is not everybody:
        gone(rig)
    if strike is not everybody:
        await is_usable(rig)
    for run in rig.runs:
        await run.stop(kill=True)
    await rig.overseer.__aexit__(None, None, None)
    for run in rig.runs:
        assert run.state is State.INITIAL or run.state.is_final
    for overseer, stream in rig.overseers:
        in_order(overseer, [event async for event in stream])
    gone(rig)
    assert before == asyncio.all_tasks()
    if not rig.real:
        assert [] == loop.pending()
    assert open_before == descriptors()
    assert [] == loop.errors
    return not hit


def gone(rig: Rig) -> None:
    """No program of the scenario lives, and no descriptor is kept for it."""
    if rig.real:
        assert [] == children()
    else:
        for child in rig.launcher.children:
            assert child._exit.done(), f"{child.spec.id} lives"
            assert child.closed, f"descriptors of {child.spec.id} are open"


def in_order(overseer: Overseer, events: list[Event]) -> None:
    """The events have no gap, each begins where the last one of its service ended, and all end in a final state."""
    last: dict[str, State] = {}
    for number, event in enumerate(events, 1):
        assert number == event.seq
        assert event.previous is last.get(event.id, State.INITIAL)
        assert event.state is event.status.state
        last[event.id] = event.state
    for id in overseer:
        assert overseer[id].state is last.get(id, State.INITIAL)
        assert overseer[id].state is State.INITIAL or overseer[id].state.is_final
    assert "live=0>" in repr(overseer)


async def is_usable(rig: Rig) -> None:
    """What was cancelled is over or on its way to its end, and the overseer goes on."""
    for id in rig.overseer:
        service = rig.overseer[id]
        if service.state.is_live:
            await service.stop()
        assert service.state is State.INITIAL or service.state.is_final
    assert State.RUNNING is (await rig.overseer["lasts"].start()).state
    with pytest.raises(ProcessNotRunning):
        rig.overseer["reads"].signal(signal.SIGUSR1)
    await rig.overseer["lasts"].stop()


def enumerate_steps(scenario: Scenario, strike: Callable[..., None], *, real: bool, stride: int = 1) -> int:
    """Strike at each step in turn; return how many there were."""
    for at in itertools.count(1, stride):
        try:
            over = play(functools.partial(_attempt, scenario, strike, at, real), virtual=not real)
        except BaseException as error:
            error.add_note(f"{scenario.__name__}, struck {strike.__name__} at step {at}")
            raise
        if over:
            return at
    raise AssertionError("it never ends")


async def _attempt(scenario: Scenario, strike: Callable[..., None], at: int, real: bool, loop: StepLoop) -> bool:
    # Many times what it takes: on a machine with much to do, programs that were killed need seconds to be gone.
    async with asyncio.timeout((60 if LONG else 10) if real else None):
        return await struck(Rig(loop, real), scenario, strike, at)


GAPS = (1, 2, 3, 5, 8, 13, 21) if LONG else (2,)
STRIKES: list[Callable[..., None]] = [once, *map(twice, GAPS), again_and_again, by_scope, everybody]


@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted(scenario: Scenario, strike: Callable[..., None]) -> None:
    """Every step, in virtual time: a wait that never ends is seen at once."""
    assert enumerate_steps(scenario, strike, real=False) > 3


REAL: list[tuple[Scenario, Callable[..., None]]] = [
    (await_it, once),
    (start_and_stop, once),
    (start_and_stop, everybody),
    (stop_the_stubborn, again_and_again),
    (write_to_it, once),
    (feed_it, twice(2)),
    (service_restarts, once),
    (service_is_supervised, once),
    (service_is_supervised, everybody),
    (lines_of_services, once),
    (a_whole_block, once),
    (a_whole_block, again_and_again),
    (a_whole_block, everybody),
    (a_whole_block, by_scope),
    (start_and_stop, by_scope),
    (a_spawn_in_flight_is_left, twice(1)),
]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(300 if LONG else 30)
@pytest.mark.parametrize(
    ("scenario", "strike"),
    [(scenario, strike) for scenario in SCENARIOS for strike in STRIKES] if LONG else REAL,
    ids=lambda each: each.__name__,
)
def test_real(scenario: Scenario, strike: Callable[..., None]) -> None:
    """The same with programs of the system, some with a child of their own; in long scenarios each third step."""
    stride = 1 if LONG or scenario in (await_it, start_and_stop) else 3
    assert enumerate_steps(scenario, strike, real=True, stride=stride) > 3


async def test_task_of_an_overseer_that_is_cancelled_before_its_first_step_is_told() -> None:
    """Who enters is not cancelled, and does not wait for ever."""
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
