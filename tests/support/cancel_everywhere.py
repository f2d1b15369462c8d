"""Scenarios that are struck at each of their steps: what they are played with, how, and what must be true afterwards.

The scenarios live in ``tests/cancel/``; the loop that counts the steps in ``stepping.py``.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from aioverseer import Backoff, Event, Overseer, Process, ProcessNotRunning, Restart, Service, State, Stop
from aioverseer._engine.events.journal import EventStream
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer.testing import FakeChild, ScriptedLauncher
from tests.support.step_loop import LoopTime, StepLoop, children, descriptors, play

__all__ = [
    "LONG",
    "PROGRAMS",
    "STRIKES",
    "Rig",
    "Scenario",
    "again_and_again",
    "by_scope",
    "enumerate_steps",
    "everybody",
    "once",
    "twice",
]

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


NEVER = Restart("never")
TWICE = Restart("on-failure", max_restarts=2, within=None, backoff=Backoff(0.01, 0.01))
SCRIPTED_STOP, REAL_STOP = Stop(timeout=5.0), Stop(timeout=0.02)
"""Made once: a scenario is played some thousand times."""

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
    entered: list[str] = field(default_factory=list)
    """The resources and tasks of the scenario that are in use."""

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
        return REAL_STOP if self.real else SCRIPTED_STOP

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
        options.setdefault("restart", NEVER)
        return (self.overseer if overseer is None else overseer).add(name, *PROGRAMS[name][1], **options)


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
    for name in PROGRAMS:
        rig.add(name, restart=TWICE if name in {"fails", "missing"} else NEVER)
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
    """No program, task or resource of the scenario lives, and no descriptor is kept for it."""
    assert [] == rig.entered
    if rig.real:
        assert [] == children()
    else:
        for child in rig.launcher.children:
            assert child.has_ended, f"{child.spec.id} lives"
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
