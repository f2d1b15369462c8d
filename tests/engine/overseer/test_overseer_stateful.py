"""Any sequence of wishes, ends and time: an Overseer with scripted children keeps its promises at every step.

A plain list of operations is drawn and played on one event loop, because a rule-based machine has no place for one.
The model is small: what somebody last asked of each service, and what a restart policy may do by itself.
"""

from __future__ import annotations

import asyncio
import errno
import random
import signal
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Event, Exit, Overseer, ProcessNotRunning, Restart, Service, ServiceIsLive, State, Stop
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher

LADDER = Stop(timeout=5.0)
LADDER_ENDS = 5.0 + 2.0
FOLLOWS = {
    State.INITIAL: {State.STARTING},
    State.STARTING: {State.RUNNING, State.BACKOFF, State.STOPPING, State.INTERRUPT, State.FATAL},
    State.RUNNING: {State.STOPPING, State.BACKOFF, State.FINISHED, State.INTERRUPT, State.FATAL},
    State.BACKOFF: {State.STARTING, State.INTERRUPT},
    State.STOPPING: {State.INTERRUPT, State.STARTING, State.BACKOFF, State.FATAL},
    State.FINISHED: {State.STARTING},
    State.INTERRUPT: {State.STARTING},
    State.FATAL: {State.STARTING},
}
"""Which state may follow which, whatever happens."""

SCRIPTS = [
    FakeChild(),
    FakeChild().ignores(signal.SIGTERM),
    FakeChild().runs(2).exits(1),
    FakeChild().runs(1).exits(0),
    FakeChild().exits(1),
    FakeChild().runs(3).dies(signal.SIGSEGV),
    FakeChild().cannot_start(),
    FakeChild().cannot_start(number=errno.ENOENT),
]
POLICIES = [
    Restart("never"),
    Restart("on-failure", max_restarts=2, within=None, backoff=Backoff(0.5, 4)),
    Restart("always", max_restarts=None, backoff=Backoff(1, 8, jitter=True)),
]
NAMES = ("a", "b", "c")

names = st.sampled_from(NAMES)
operations = st.one_of(
    st.tuples(st.just("add"), names, st.integers(0, len(POLICIES) - 1), st.sampled_from([0.0, 0.0, 2.0])),
    st.tuples(st.sampled_from(["start", "supervise", "stop", "kill", "restart", "remove", "signal", "cancel"]), names),
    st.tuples(st.just("exit"), names, st.sampled_from([0, 1, 1])),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.1, 1.0, 3.0, 10.0])),
    st.tuples(st.just("turns"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["start_all", "stop_all", "supervise_all"])),
)


@dataclass
class Play:
    """One overseer, and what is known of it from outside."""

    overseer: Overseer
    clock: ManualClock
    launcher: ScriptedLauncher
    tasks: list[tuple[str, asyncio.Future[Any]]] = field(default_factory=list)
    last: dict[int, State] = field(default_factory=dict)
    seq: int = 0
    stopped: set[Service] = field(default_factory=set)
    """Services whose last wish was a stop: no new run of them may begin."""
    services: dict[str, Service] = field(default_factory=dict)

    async def do(self, operation: tuple[Any, ...]) -> None:
        """Perform one operation."""
        match operation:
            case ("add", name, policy, delay):
                if name not in self.overseer:
                    self.services[name] = self.overseer.add(
                        name, "program", restart=POLICIES[policy], delay_start=delay, stop=LADDER
                    )
            case ("advance", seconds):
                await self.clock.advance(seconds)
            case ("turns", turns):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case ("start_all" | "stop_all" | "supervise_all" as verb,):
                if verb == "stop_all":
                    self.stopped |= {service for service in self.services.values() if service.state.is_live}
                else:
                    self.stopped.clear()
                self.begin("", getattr(self.overseer, verb)())
                await asyncio.sleep(0)
            case (verb, name, *rest) if name in self.overseer:
                await self.one(verb, self.overseer[name], rest)
            case _:
                pass

    async def one(self, verb: str, service: Service, rest: list[Any]) -> None:
        """Perform an operation on one service."""
        match verb:
            case "start" | "restart":
                self.stopped.discard(service)
                self.begin(service.id, getattr(service, verb)())
                await asyncio.sleep(0)
            case "supervise":
                if not service.state.is_live:
                    self.stopped.discard(service)
                self.begin(service.id, self.overseer.supervise(service.id))
                await asyncio.sleep(0)
            case "stop" | "kill":
                self.stopped.add(service)
                self.begin(service.id, service.stop(kill=verb == "kill"))
                await asyncio.sleep(0)
            case "cancel":
                for name, task in self.tasks:
                    if name == service.id:
                        task.cancel()
            case "remove":
                if service.state.is_live:
                    try:
                        self.overseer.remove(service.id)
                    except ServiceIsLive:
                        return
                    raise AssertionError("a live service was removed")
                self.overseer.remove(service.id)
                del self.services[service.id]
            case "signal":
                try:
                    service.signal(signal.SIGUSR1)
                except ProcessNotRunning:
                    assert not self.alive(service.id)
            case _:
                for child in self.alive(service.id):
                    child.end(Exit(code=rest[0]))

    def begin(self, name: str, work: Awaitable[Any]) -> None:
        """Begin a call; ``name`` is empty for one about all services."""
        self.tasks.append((name, asyncio.ensure_future(work)))

    def alive(self, id: str) -> list[RunningChild]:
        """The children of a service that have not ended."""
        return [child for child in self.launcher.children if child.spec.id == id and not child._exit.done()]

    def check(self, events: list[Event]) -> None:
        """The invariants of every moment."""
        for event in events:
            self.seq += 1
            assert event.seq == self.seq
            assert event.missed == 0
            assert event.state is event.status.state
            if event.kind == "state":
                assert event.state in FOLLOWS[event.previous], f"{event.previous} -> {event.state}"
            else:
                assert event.state is event.previous
        for name in NAMES:
            living = self.alive(name)
            assert len(living) <= 1, "two runs of one service"
            if name not in self.services:
                assert not living
                continue
            service = self.services[name]
            status = service.status()
            assert status.state is service.state
            if service.state is State.RUNNING:
                assert service.process is not None
                assert service.process.state in (State.RUNNING, State.STOPPING)
            if service.state.is_final or service.state in (State.INITIAL, State.BACKOFF):
                assert not living
                assert service.process is None
            if service.state.is_final:
                assert service.why().due is None
            budget = service.spec.restart.max_restarts
            if budget is not None and not (status.restarts <= budget):
                # More than the policy's own: only by wish.
                assert any(verb == name for verb, _ in self.tasks) or any(verb == "" for verb, _ in self.tasks)
            if service in self.stopped:
                assert service.state in (State.INITIAL, State.STOPPING) or service.state.is_final
        live = sum(service.state.is_live for service in self.services.values())
        assert f"live={live}>" in repr(self.overseer)


def chained(events: list[Event]) -> None:
    """Each event of a service begins in the state where its last one ended; a new one of the name begins anew."""
    last: dict[str, State] = {}
    for event in events:
        expected = last.get(event.id, State.INITIAL)
        anew = event.previous is State.INITIAL and (expected.is_final or expected is State.INITIAL)
        assert event.previous is expected or anew
        if event.kind == "state":
            last[event.id] = event.state
    assert all(state.is_final for state in last.values())


async def play(moves: list[tuple[Any, ...]], scripts: list[int]) -> None:
    """Play the operations, checking after each of them, then leave and look at what is left."""
    before = asyncio.all_tasks()
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *(SCRIPTS[number] for number in scripts))
    overseer = Overseer(clock=clock, launcher=launcher, rng=random.Random(0))
    await overseer.__aenter__()
    stream, whole = overseer.events(), overseer.events()
    game = Play(overseer, clock, launcher)

    def news() -> list[Event]:
        found: list[Event] = []
        while (event := stream.get_nowait()) is not None:
            found.append(event)
        return found

    await game.do(("add", "a", 1, 0.0))
    for move in moves:
        await game.do(move)
        if any(task.cancelling() for _, task in game.tasks if isinstance(task, asyncio.Task)):
            # The roll-back of a cancelled call is a stop that the model does not follow, and it may take the ladder.
            await clock.advance(LADDER_ENDS)
        game.check(news())
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(LADDER_ENDS)
    assert leaving.done(), "leaving takes longer than the ladder"
    await leaving
    await clock.settle()
    game.check(news())
    assert all(service.state is State.INITIAL or service.state.is_final for service in game.services.values())
    assert all(child.closed and child._exit.done() for child in launcher.children)
    assert [name for name, task in game.tasks if not task.done()] == [], "somebody waits for ever"
    await asyncio.gather(*(task for _, task in game.tasks), return_exceptions=True)
    await clock.advance(1000)
    assert news() == [], "something went on after leaving"
    chained([event async for event in whole])
    assert asyncio.all_tasks() == before


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(moves=[("start", "a"), ("stop", "a"), ("start", "a"), ("stop", "a"), ("advance", 10.0)], scripts=[1, 1])
@example(moves=[("supervise", "a"), ("advance", 10.0), ("supervise_all",), ("stop_all",), ("start_all",)], scripts=[4])
@example(
    moves=[("start", "a"), ("cancel", "a"), ("restart", "a"), ("remove", "a"), ("add", "a", 0, 0.0)], scripts=[1, 6]
)
@given(
    moves=st.lists(operations, max_size=25),
    scripts=st.lists(st.integers(0, len(SCRIPTS) - 1), min_size=1, max_size=6),
)
def test_any_sequence_of_operations_keeps_the_promises(moves: list[tuple[Any, ...]], scripts: list[int]) -> None:
    """States, events, children, budgets and tasks are right after each step, and nothing is left behind at the end."""
    asyncio.run(play(moves, scripts))
