"""Random walks over a set of instances against a model: scale, start, stop, restart, crashes, cancellations, time.

The model knows how many instances are wanted. Everything else is compared with what the children do.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Exit, Instances, Overseer, Restart, Service, State, Stop
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
LADDER = Stop(timeout=5.0)
LADDER_ENDS = 5.0 + 2.0
MOST = 4
SCRIPTS = [
    FakeChild(),
    FakeChild(),
    FakeChild().ends_on(signal.SIGTERM, after=2),
    FakeChild().ignores(signal.SIGTERM),
    FakeChild().runs(3).exits(1),
    FakeChild().runs(1).exits(0),
    FakeChild().cannot_start(),
]
POLICIES = [Restart("never"), Restart("always", max_restarts=3, within=None, backoff=Backoff(0.5, 4))]

indices = st.integers(0, MOST)
operations = st.one_of(
    st.tuples(st.just("scale"), indices),
    st.tuples(st.just("scale"), indices),
    st.tuples(st.sampled_from(["start", "stop", "kill", "restart", "start_all", "stop_all", "cancel", "ready"])),
    st.tuples(st.sampled_from(["crash", "stop_one", "start_one"]), indices),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.1, 1.0, 3.0, 10.0])),
    st.tuples(st.just("steps"), st.integers(1, 3)),
)


@dataclass
class Walk:
    """One overseer with one set, and what is known of them from outside."""

    overseer: Overseer
    clock: ManualClock
    launcher: ScriptedLauncher
    web: Instances
    wanted: int
    tasks: list[asyncio.Future[Any]] = field(default_factory=list)
    scales: list[tuple[int, asyncio.Future[Any]]] = field(default_factory=list)
    """The number before each ``scale``, and its task."""

    def begin(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Begin a call."""
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    async def do(self, operation: tuple[Any, ...]) -> None:
        """Perform one operation."""
        match operation:
            case ("scale", count):
                await self.scale(count)
            case ("crash", index):
                for child in self.alive(f"web.{index}"):
                    child.end(Exit(code=1))
            case ("stop_one" | "start_one" as verb, index) if index < len(self.web):
                self.begin(self.web[index].stop() if verb == "stop_one" else self.web[index].start())
                await asyncio.sleep(0)
            case ("kill",):
                self.begin(self.web.stop(kill=True))
                await asyncio.sleep(0)
            case ("start_all" | "stop_all" as verb,):
                self.begin(getattr(self.overseer, verb)())
                await asyncio.sleep(0)
            case ("cancel",):
                await self.cancel()
            case ("advance", seconds):
                await self.clock.advance(seconds)
            case ("steps", steps):
                for _ in range(steps):
                    await asyncio.sleep(0)
            case (str(verb),):
                self.begin(getattr(self.web, verb)())
                await asyncio.sleep(0)
            case _:
                pass

    async def scale(self, count: int) -> None:
        """Change the number. Instances that stay keep their children in this step."""
        before = {child: list(child.signals) for id in self.ids(min(count, self.wanted)) for child in self.alive(id)}
        kept = list(self.web[: min(count, self.wanted)])
        self.scales.append((self.wanted, self.begin(self.web.scale(count))))
        self.wanted = count
        await asyncio.sleep(0)
        assert [a is b for a, b in zip(kept, self.web, strict=False)] == [True] * len(kept)
        for child, signals in before.items():
            assert signals == child.signals, f"scale has ended {child}"

    async def cancel(self) -> None:
        """Cancel all calls. A ``scale`` that has added instances takes them away again, if no other one came since."""
        last = self.scales[-1] if self.scales else None
        open_scale = last is not None and not last[1].done() and last[0] < self.wanted
        for task in self.tasks:
            task.cancel()
        await self.clock.advance(LADDER_ENDS)
        if open_scale and last is not None:
            assert len(self.web) in (last[0], self.wanted)
            self.wanted = len(self.web)

    def ids(self, count: int) -> list[str]:
        """The names of the first instances."""
        return [f"web.{index}" for index in range(count)]

    def alive(self, id: str) -> list[RunningChild]:
        """The children of a service that have not ended."""
        return [child for child in self.launcher.of(id) if not child._exit.done()]

    def check(self) -> None:
        """The invariants of every moment."""
        web = self.web
        assert self.ids(self.wanted) == [service.id for service in web]
        assert self.wanted == len(web) == web.spec.instances
        assert all(service.index == index for index, service in enumerate(web))
        status = web.status()
        counts = Counter(service.state for service in web)
        assert counts == status.counts
        assert (self.wanted, counts[State.RUNNING]) == (status.wanted, status.ready)
        assert status.state is web.state
        if web.state.is_final:
            assert all(not service.state.is_live for service in web)
        if self.wanted and web.state is State.RUNNING:
            assert State.RUNNING in counts
        for name in self.overseer:
            assert self.overseer[name] is self.overseer[name]
        for index in range(MOST + 1):
            living = self.alive(f"web.{index}")
            assert len(living) <= 1, "two runs of one instance"
            if index >= self.wanted:
                self.check_taken(f"web.{index}", living)

    def check_taken(self, id: str, living: list[RunningChild]) -> None:
        """A service that was taken away has ended, or is being stopped under its old name."""
        if id in self.overseer:
            taken: Service = self.overseer[id]
            assert taken.state is State.STOPPING or not taken.state.is_live
        else:
            assert not living


async def walk(moves: list[tuple[Any, ...]], scripts: list[int], policy: int) -> None:
    """Perform the operations, check after each of them, then leave and look at what is left."""
    before = asyncio.all_tasks()
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *(SCRIPTS[number] for number in scripts))
    overseer = Overseer(clock=clock, launcher=launcher, rng=random.Random(0))
    await overseer.__aenter__()
    web = overseer.add_instances("web", "serve", instances=2, restart=POLICIES[policy], stop=LADDER)
    game = Walk(overseer, clock, launcher, web, 2)
    for move in moves:
        await game.do(move)
        game.check()
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(LADDER_ENDS)
    assert leaving.done(), "leaving takes longer than the ladder"
    await leaving
    await clock.settle()
    game.check()
    assert game.ids(game.wanted) == sorted(overseer), "what was taken away is still there"
    assert all(service.state is State.INITIAL or service.state.is_final for service in web)
    assert all(child.closed and child._exit.done() for child in launcher.children)
    assert all(task.done() for task in game.tasks), "somebody waits for ever"
    await asyncio.gather(*game.tasks, return_exceptions=True)
    assert asyncio.all_tasks() == before


@settings(
    max_examples=2000 if LONG else 120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(moves=[("start",), ("scale", 4), ("scale", 1), ("scale", 3), ("advance", 10.0)], scripts=[3], policy=0)
@example(moves=[("start",), ("scale", 4), ("steps", 1), ("cancel",), ("scale", 4)], scripts=[2], policy=1)
@example(moves=[("start",), ("scale", 1), ("stop",), ("scale", 2), ("start",)], scripts=[3], policy=1)
@example(moves=[("start",), ("scale", 0), ("scale", 2), ("stop",), ("scale", 0), ("scale", 1)], scripts=[0], policy=0)
@given(
    moves=st.lists(operations, max_size=25),
    scripts=st.lists(st.integers(0, len(SCRIPTS) - 1), min_size=1, max_size=6),
    policy=st.integers(0, 1),
)
def test_any_walk_keeps_the_promises(moves: list[tuple[Any, ...]], scripts: list[int], policy: int) -> None:
    asyncio.run(walk(moves, scripts, policy))
