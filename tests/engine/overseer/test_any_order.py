"""Any order of operations: a simple model, an Overseer and the process table agree after each of them.

Each rule waits for the end of its operation, so the model knows the exact result. ``test_overseer_stateful.py`` and
``tests/cancel/`` cover concurrent operations. Scripted children in virtual
time give breadth; with real ones the table of the system is a witness.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aioverseer import (
    Backoff,
    NotReady,
    Overseer,
    ProcessNotRunning,
    Restart,
    ServiceIsLive,
    State,
    Stop,
    UnknownService,
)
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer.testing import FakeChild, ScriptedLauncher
from tests.support.step_loop import LoopTime, StepLoop, children, descriptors

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
AGAIN = Restart("always", max_restarts=None, backoff=Backoff(0, 0))
NEVER = Restart("never")
TWICE = Restart("on-failure", max_restarts=2, within=None, backoff=Backoff(0.001, 0.001))
PROGRAMS = {"a": ("sleep", "100"), "b": ("sleep", "100"), "missing": ("/nowhere/program",)}

names = st.sampled_from(["a", "b"])
every = st.sampled_from(sorted(PROGRAMS))


@dataclass
class Model:
    """The invariants of a service."""

    policy: Restart = NEVER
    up: bool = False
    ended: State | None = None
    restarts: int = 0
    runs: int = 0


class AnyOrder(RuleBasedStateMachine):
    """One overseer, entered and left again and again."""

    real = False

    @initialize()
    def enter(self) -> None:
        """Begin."""
        self.open_before = descriptors()
        self.loop = StepLoop(virtual=not self.real)
        clock = LoopTime(self.loop)
        scripts = {"missing": [FakeChild().cannot_start(number=errno.ENOENT)]}
        launcher: Any = SystemLauncher() if self.real else ScriptedLauncher(clock, by_id=scripts)
        self.launcher = launcher
        self.overseer = Overseer(clock=clock, launcher=launcher, rng=random.Random(0))
        self.events = self.overseer.events()
        self.model: dict[str, Model] = {}
        self.seq = 0
        self.last: dict[str, State] = {}
        self.running: dict[str, int] = {}
        self.play(self.overseer.__aenter__())
        for name in PROGRAMS:
            self.add(name)

    def play(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Play an operation to its end."""

        async def limited() -> Any:
            async with asyncio.timeout(10 if self.real else None):
                return await work

        return self.loop.run_until_complete(limited())

    @rule(name=every)
    def add_again(self, name: str) -> None:
        """The removed service."""
        self.add(name)

    def add(self, name: str) -> None:
        """Once each."""
        if name not in self.model:
            self.overseer.add(name, *PROGRAMS[name], restart=NEVER, stop=Stop(timeout=5))
            self.model[name] = Model()
            self.running[name] = 0
            self.last.pop(name, None)

    @rule(name=every)
    def remove(self, name: str) -> None:
        """Only what is not live."""
        if name not in self.model:
            with pytest.raises(UnknownService):
                self.overseer.remove(name)
        elif self.model[name].up:
            with pytest.raises(ServiceIsLive):
                self.overseer.remove(name)
        else:
            self.overseer.remove(name)
            del self.model[name]

    @rule(name=every, policy=st.sampled_from([AGAIN, NEVER, TWICE]))
    def update(self, name: str, policy: Restart) -> None:
        """Another policy, for the next end."""
        if name in self.model:
            self.overseer.update(name, restart=policy)
            self.model[name].policy = policy

    def started(self, name: str) -> None:
        """It was started, or was up already."""
        one = self.model[name]
        if not one.up:
            one.up, one.ended, one.restarts = True, None, 0
            one.runs += 1

    @rule(name=every, verb=st.sampled_from(["start", "restart"]))
    def start(self, name: str, verb: str) -> None:
        """Until it is ready, or has failed for good."""
        if name not in self.model:
            return
        one = self.model[name]
        work = getattr(self.overseer, verb)(name)
        if name == "missing":
            with pytest.raises(NotReady):
                self.play(work)
            self.failed(one)
            return
        self.play(work)
        if verb == "restart" and one.up:
            one.restarts += 1
            one.runs += 1
        self.started(name)

    def failed(self, one: Model) -> None:
        """It could not be started, and no policy tries it again."""
        one.ended, one.restarts = State.FATAL, 0

    @rule(name=every, kill=st.booleans())
    def stop(self, name: str, kill: bool) -> None:
        """The program of each service."""
        if name in self.model:
            self.play(self.overseer.stop(name, kill=kill))
            self.stopped(name)

    def stopped(self, name: str) -> None:
        """It was stopped."""
        one = self.model[name]
        if one.up:
            one.up, one.ended = False, State.INTERRUPT

    @rule(names=st.sets(names, min_size=1))
    def crash(self, names: set[str]) -> None:
        """Several at once; the policy of each judges."""
        self.play(self.crashed(names))

    async def crashed(self, names: set[str]) -> None:
        """Kill them and wait for what follows."""
        for name in names & set(self.model):
            one = self.model[name]
            if not one.up:
                with pytest.raises(ProcessNotRunning):
                    self.overseer.signal(name, signal.SIGKILL)
                continue
            self.overseer.signal(name, signal.SIGKILL)
        for name in sorted(names & set(self.model)):
            one, service = self.model[name], self.overseer[name]
            if not one.up:
                continue
            if one.policy is AGAIN or (one.policy is TWICE and self.budget(name) > 0):
                one.restarts += 1
                one.runs += 1
                wanted = one.restarts
                await service.wait_for(
                    lambda status, wanted=wanted: status.restarts == wanted and status.state is State.RUNNING  # type: ignore[misc]  # it knows wanted
                )
            else:
                await service.wait()
                one.up = False
                one.ended = State.FATAL if one.policy is TWICE else State.INTERRUPT

    def budget(self, name: str) -> int:
        """Restarts left."""
        left = self.overseer[name].why().restarts_left
        return 1 if left is None else left

    @rule(name=names, turns=st.integers(0, 30), verb=st.sampled_from(["start", "supervise"]))
    def cancel(self, name: str, turns: int, verb: str) -> None:
        """A call that is cancelled takes back what it has begun, and nothing else."""
        if name in self.model:
            self.play(self.cancelled(name, turns, verb))

    async def cancelled(self, name: str, turns: int, verb: str) -> None:
        """Begin, wait so many turns of the loop, cancel."""
        one = self.model[name]
        before = self.overseer.status(name).started_at, self.overseer[name].restarts
        begun = (event for event in self.news() if event.kind == "state" and event.state is State.RUNNING)
        runs = sum(event.id == name for event in begun)
        assert runs == 0
        call = asyncio.ensure_future(getattr(self.overseer, verb)(name))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        if not call.cancelled():
            assert verb == "start"
            self.started(name)
            return
        found = [event for event in self.news() if event.id == name]
        if one.up or not found:
            assert before == (self.overseer.status(name).started_at, self.overseer[name].restarts)
            return
        one.runs += sum(event.kind == "state" and event.state is State.RUNNING for event in found)
        ended: State = found[-1].state
        assert ended.is_final
        one.ended, one.restarts = ended, 0

    @rule()
    def start_all(self) -> None:
        """All that are there."""
        if "missing" in self.model:
            self.play(self.stop_all_of({"missing"}))
            self.overseer.remove("missing")
            del self.model["missing"]
        self.play(self.overseer.start_all())
        for name in self.model:
            self.started(name)

    async def stop_all_of(self, names: set[str]) -> None:
        """Stop these."""
        for name in names:
            await self.overseer.stop(name)

    @rule()
    def stop_all(self) -> None:
        """All that are live, and no others."""
        report = self.play(self.overseer.stop_all())
        assert {name for name, one in self.model.items() if one.up} == set(report.outcomes)
        for name in self.model:
            self.stopped(name)

    @precondition(lambda self: self.model)
    @rule()
    def leave_and_enter(self) -> None:
        """It can be used again."""
        self.play(self.overseer.__aexit__(None, None, None))
        for name in self.model:
            self.stopped(name)
        self.agree()
        self.play(self.overseer.__aenter__())

    def news(self) -> list[Any]:
        """The events since the last look: no gap, each begins where the last one ended."""
        found: list[Any] = []
        while (event := self.events.get_nowait()) is not None:
            self.seq += 1
            assert (self.seq, 0) == (event.seq, event.missed)
            assert event.previous is self.last.get(event.id, State.INITIAL)
            self.last[event.id] = event.state
            self.running[event.id] += event.kind == "state" and event.state is State.RUNNING
            found.append(event)
        return found

    @invariant()
    def agree(self) -> None:
        """The model, the overseer, its events and the process table."""
        self.news()
        assert sorted(self.model) == self.overseer.list_all()
        for name, one in self.model.items():
            service = self.overseer[name]
            wanted = State.RUNNING if one.up else one.ended or State.INITIAL
            assert (wanted, one.restarts, one.runs) == (service.state, service.restarts, self.running[name]), name
            assert self.last.get(name, State.INITIAL) is service.state
        up = sum(one.up for one in self.model.values())
        assert f"live={up}>" in repr(self.overseer)
        pids = sorted(self.overseer[name].pid or 0 for name, one in self.model.items() if one.up)
        if self.real:
            assert pids == sorted(children())
        else:
            assert pids == sorted(child.pid for child in self.launcher.children if not child._exit.done())
            assert len(pids) == sum(not child.closed for child in self.launcher.children)
        assert [] == self.loop.errors

    def teardown(self) -> None:
        """Leave: nothing is left."""
        if not hasattr(self, "loop"):
            return
        try:
            self.play(self.overseer.__aexit__(None, None, None))
            for name in self.model:
                self.stopped(name)
            self.agree()
            assert not asyncio.all_tasks(self.loop)
        finally:
            self.loop.close()
        assert self.open_before == descriptors()


class AnyOrderForReal(AnyOrder):
    """With programs of the system."""

    real = True


def walk(machine: type[RuleBasedStateMachine], examples: int) -> None:
    """Walk about."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * (20 if LONG else 1),
            stateful_step_count=30,
            deadline=None,
            derandomize=not LONG,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.mark.timeout(600 if LONG else 30)
def test_scripted_programs_in_any_order() -> None:
    """Breadth."""
    walk(AnyOrder, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(600 if LONG else 30)
def test_real_programs_in_any_order() -> None:
    """With the process table as a witness."""
    walk(AnyOrderForReal, 15)
