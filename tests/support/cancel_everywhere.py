"""Cancels a scenario at each of its steps, and checks what must be true afterwards.

The scenarios are in ``tests/cancel/``.
"""

from __future__ import annotations

import asyncio
import errno
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
    "CANCELLATIONS",
    "LONG",
    "PROGRAMS",
    "Rig",
    "Scenario",
    "all_tasks",
    "by_scope",
    "cancel_at_each_step",
    "once",
    "repeatedly",
    "twice",
]

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
"""Whether every scenario runs with real programs as well, which takes some minutes."""

PROGRAMS: dict[str, tuple[FakeChild, tuple[str, ...]]] = {
    "lasts": (FakeChild(), ("sh", "-c", "sleep 100 & exec sleep 100")),
    "ends": (FakeChild().runs(1).exits(0), ("true",)),
    "fails": (FakeChild().runs(1).exits(1), ("false",)),
    "stubborn": (FakeChild().ignores(signal.SIGTERM), ("sh", "-c", "trap '' TERM; exec sleep 100")),
    "talks": (FakeChild().prints("1", "2").runs(1).prints("3").exits(0), ("sh", "-c", "echo 1; echo 2; echo 3")),
    "reads": (FakeChild(), ("cat",)),
    "missing": (FakeChild().cannot_start(number=errno.ENOENT), ("/nowhere/program",)),
}
"""The script and the real command of each program."""


NEVER = Restart("never")
TWICE = Restart("on-failure", max_restarts=2, within=None, backoff=Backoff(0.01, 0.01))
SCRIPTED_STOP, REAL_STOP = Stop(timeout=5.0), Stop(timeout=0.02)
"""Made once, as a scenario runs thousands of times."""

Scenario = Callable[["Rig"], Coroutine[Any, Any, object]]


@dataclass
class Rig:
    """The parts of a scenario.

    Attributes:
        runs: The Processes of the scenario.
        all_gone: Set by a scenario after which no program may live.
        rolled_back: Services that are started by a call which stops them again if it is cancelled.
        scope: The scope in which the scenario runs.
        runner: The task that runs and cancels the scenario.
    """

    loop: StepLoop
    real: bool
    runner: asyncio.Task[Any] | None = None
    overseer: Overseer = field(init=False)
    launcher: Any = field(init=False)
    clock: LoopTime = field(default_factory=LoopTime)
    runs: list[Process] = field(default_factory=list)
    overseers: list[tuple[Overseer, EventStream]] = field(default_factory=list)
    all_gone: bool = False
    rolled_back: list[Service] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    entered: list[str] = field(default_factory=list)
    """The resources and tasks of the scenario that are in use."""

    async def within(self, scenario: Scenario) -> None:
        """Run a scenario in the scope."""
        with self.scope:
            await scenario(self)

    def __post_init__(self) -> None:
        scripts = {name: [script] for name, (script, _) in PROGRAMS.items()}
        self.launcher = SystemLauncher() if self.real else ScriptedLauncher(self.clock, by_id=scripts)
        self.overseer = self.another()

    @property
    def stop(self) -> Stop:
        """The ladder of all programs."""
        return REAL_STOP if self.real else SCRIPTED_STOP

    def another(self) -> Overseer:
        """Return a new Overseer, whose events are checked at the end."""
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


# --- ways to cancel: called at each step from the chosen one on, with the number of steps since that one


def once(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
    """Cancel the scenario at one step."""
    if since == 0:
        victim.cancel()


def twice(gap: int) -> Callable[..., None]:
    """Return a function that cancels at two steps, the second one during the clean-up."""

    def cancellation(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
        if since in (0, gap):
            victim.cancel()

    cancellation.__name__ = f"twice_{gap}"
    return cancellation


def repeatedly(victim: asyncio.Task[Any], since: int, _rig: Rig) -> None:
    """Cancel the scenario at each of 200 steps."""
    if since < 200:
        victim.cancel()


def all_tasks(_victim: asyncio.Task[Any], since: int, rig: Rig) -> None:
    """Cancel all tasks at once, as the end of asyncio.run does: those of the library too, even before they begin."""
    if since == 0:
        for task in asyncio.all_tasks() - {rig.runner}:
            task.cancel()


def by_scope(_victim: asyncio.Task[Any], since: int, rig: Rig) -> None:
    """Cancel the scope of anyio, which cancels in each loop iteration until its block has ended."""
    if since == 0:
        rig.scope.cancel()


async def cancel_at_step(rig: Rig, scenario: Scenario, cancellation: Callable[..., None], at: int) -> bool:
    """Run a scenario, cancel it at a step, and check what is left; return whether it had ended before that step."""
    loop = rig.loop
    before, open_before = asyncio.all_tasks(), descriptors()
    rig.runner = asyncio.current_task()
    for name in PROGRAMS:
        rig.add(name, restart=TWICE if name == "fails" else NEVER)
    await rig.overseer.__aenter__()
    victim = asyncio.ensure_future(rig.within(scenario))
    hit = False

    def on_step() -> None:
        nonlocal hit
        since = loop.steps - at
        if since >= 0 and not victim.done():
            hit = True
            cancellation(victim, since, rig)

    loop.on_step = on_step
    await asyncio.wait([victim])
    loop.on_step = None
    if hit and cancellation is not by_scope:
        assert victim.cancelled(), f"the cancellation was swallowed: {victim!r}"
    else:
        await victim
    if cancellation is not all_tasks:
        assert [] == [service for service in rig.rolled_back if service.state.is_live]
    if rig.all_gone and cancellation is not all_tasks:
        assert_all_gone(rig)
    if cancellation is not all_tasks:
        await assert_usable(rig)
    for run in rig.runs:
        await run.stop(kill=True)
    await rig.overseer.__aexit__(None, None, None)
    for run in rig.runs:
        assert run.state is State.INITIAL or run.state.is_final
    for overseer, stream in rig.overseers:
        assert_in_order(overseer, [event async for event in stream])
    assert_all_gone(rig)
    assert before == asyncio.all_tasks()
    if not rig.real:
        assert [] == loop.pending()
    assert open_before == descriptors()
    assert [] == loop.errors
    return not hit


def assert_all_gone(rig: Rig) -> None:
    """Check that no program, task or resource of the scenario lives, and that no descriptor is open for it."""
    assert [] == rig.entered
    if rig.real:
        assert [] == children()
    else:
        for child in rig.launcher.children:
            assert child.has_ended, f"{child.spec.id} lives"
            assert child.closed, f"descriptors of {child.spec.id} are open"


def assert_in_order(overseer: Overseer, events: list[Event]) -> None:
    """Check that events have no gap, that states of a service follow each other, and that all end in a final state."""
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


async def assert_usable(rig: Rig) -> None:
    """Check that cancelled services can be stopped, and that the overseer can start services."""
    for id in rig.overseer:
        service = rig.overseer[id]
        if service.state.is_live:
            await service.stop()
        assert service.state is State.INITIAL or service.state.is_final
    assert State.RUNNING is (await rig.overseer["lasts"].start()).state
    with pytest.raises(ProcessNotRunning):
        rig.overseer["reads"].signal(signal.SIGUSR1)
    await rig.overseer["lasts"].stop()


def cancel_at_each_step(scenario: Scenario, cancellation: Callable[..., None], *, real: bool, stride: int = 1) -> int:
    """Cancel at each step in turn; return the number of steps."""
    for at in itertools.count(1, stride):
        try:
            over = play(functools.partial(_attempt, scenario, cancellation, at, real), virtual=not real)
        except BaseException as error:
            error.add_note(f"{scenario.__name__}, cancelled {cancellation.__name__} at step {at}")
            raise
        if over:
            return at
    raise AssertionError("it never ends")


async def _attempt(scenario: Scenario, cancellation: Callable[..., None], at: int, real: bool, loop: StepLoop) -> bool:
    # A multiple of the usual time: on a loaded machine, killed programs need seconds to end.
    async with asyncio.timeout((60 if LONG else 10) if real else None):
        return await cancel_at_step(Rig(loop, real), scenario, cancellation, at)


GAPS = (1, 2, 3, 5, 8, 13, 21) if LONG else (2,)
CANCELLATIONS: list[Callable[..., None]] = [once, *map(twice, GAPS), repeatedly, by_scope, all_tasks]
