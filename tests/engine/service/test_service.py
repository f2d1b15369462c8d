"""One Service: its restart policy, its stops, its waits. Policies on a manual clock; real children where it matters."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from aioverseer import (
    Backoff,
    EventStream,
    Exit,
    GaveUp,
    Line,
    NotReady,
    NotReadyInTime,
    Overseer,
    OverseerError,
    ProcessNotRunning,
    QueueShutDown,
    Restart,
    Service,
    SpawnError,
    Spec,
    SpecError,
    State,
    Status,
    Stop,
    StopFailed,
    UnknownService,
    ready,
)
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.machine.table import Transition
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import child, limit

T = TypeVar("T")

HOUR = 3600.0
NEVER = Restart("never")
EXACT = Backoff(min=0.1, max=1.0, factor=3.0)


class Launcher(ScriptedLauncher):
    """Notes when each launch was asked for, and holds launches back while its gate is shut."""

    def __init__(self, clock: ManualClock, *scripts: FakeChild) -> None:
        super().__init__(clock, *scripts)
        self.clock = clock
        self.times: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> RunningChild:
        """Note the time, wait for the gate, launch."""
        self.times.append(self.clock.now())
        await self.gate.wait()
        return await super().launch(spec, capture=capture, channels=channels)


@dataclass
class World:
    """An overseer with one service, whose time and children belong to the test."""

    overseer: Overseer
    service: Service
    clock: ManualClock
    launcher: Launcher
    events: EventStream
    seen: list[State] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How many launches were asked for."""
        return len(self.launcher.times)

    @property
    def child(self) -> RunningChild:
        """The child launched last."""
        return self.launcher.children[-1]

    def states(self) -> list[State]:
        """The states since the last call."""
        found: list[State] = []
        while (event := self.events.get_nowait()) is not None:
            found.append(event.state)
        return found

    async def finish(self, work: Awaitable[T], most: float = HOUR) -> T:
        """Move the clock from timer to timer until this is done."""
        task = asyncio.ensure_future(work)
        await self.clock.settle()
        end = self.clock.now() + most
        while not task.done() and (left := self.clock.next_timer()) is not None and self.clock.now() + left <= end:
            await self.clock.advance(left)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            pytest.fail(f"still waiting: {self.service.why()}")
        return await task

    async def begin(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """Let it come as far as it can without time."""
        task = asyncio.ensure_future(work)
        await self.clock.settle()
        return task


@asynccontextmanager
async def world(*scripts: FakeChild, **options: Any) -> AsyncGenerator[World]:
    """Make a world; its service is killed at the end."""
    clock = ManualClock()
    launcher = Launcher(clock, *scripts)
    async with Overseer(clock=clock, launcher=launcher, rng=random.Random(7)) as overseer:
        service = overseer.add("svc", "program", "--flag", **options)
        made = World(overseer, service, clock, launcher, overseer.events())
        yield made
        if service.state.is_live and not service._runner.is_unstoppable:
            await made.finish(service.stop(kill=True))


# --- the restart policy

ENDS: dict[str, tuple[Callable[[], FakeChild], State]] = {
    "exit 0": (lambda: FakeChild().exits(0), State.FINISHED),
    "exit 1": (lambda: FakeChild().exits(1), State.FINISHED),
    "signal": (lambda: FakeChild().dies(signal.SIGSEGV), State.INTERRUPT),
    "spawn": (lambda: FakeChild().cannot_start(), State.FATAL),
}
RESTARTED = {
    "on-failure": {"exit 1", "signal", "spawn"},
    "always": {"exit 0", "exit 1", "signal", "spawn"},
    "never": set[str](),
    "on-abnormal": {"signal", "spawn"},
}


@pytest.mark.parametrize("when", list(RESTARTED))
@pytest.mark.parametrize("end", list(ENDS))
async def test_policy_restarts_after_the_ends_that_it_names(when: Any, end: str) -> None:
    """Each policy runs again after its ends and no other (B15, B22); what it does not want ends in its final state."""
    script, final = ENDS[end]
    async with world(script(), restart=Restart(when, max_restarts=1)) as w:
        status = await w.finish(w.overseer.supervise("svc"))
        again = end in RESTARTED[when]
        assert w.runs == (2 if again else 1)
        assert status.state is (State.FATAL if again else final)
        assert isinstance(status.error, GaveUp) is again


@pytest.mark.parametrize(("allowed", "runs"), [(0, 1), (1, 2), (3, 4)])
async def test_restarts_are_counted_as_restarts(allowed: int, runs: int) -> None:
    """Three restarts allowed are four runs, none allowed is one run (B16, B17)."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=allowed)) as w:
        status = await w.finish(w.overseer.supervise("svc"))
        assert (w.runs, status.restarts, len(w.service.history)) == (runs, allowed, runs)
        assert status.state is State.FATAL


async def test_no_limit_restarts_on_and_on() -> None:
    """With ``max_restarts=None`` an hour of crashes ends nothing, and the delay stays at its cap."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=None, backoff=Backoff(1, 30))) as w:
        await w.begin(w.overseer.supervise("svc"))
        await w.clock.advance(HOUR)
        assert w.service.state is State.BACKOFF
        assert 120 <= w.runs <= 130
        assert w.service.why().restarts_left is None


async def test_backoff_delays_are_exactly_those_of_the_formula() -> None:
    """The delay before restart n is ``min * factor**n``, capped as a whole (B19), and the first run has none (B21)."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=5, backoff=EXACT)) as w:
        await w.finish(w.overseer.supervise("svc"))
        expected = [0.0]
        for n in range(5):
            expected.append(expected[-1] + min(0.1 * 3.0**n, 1.0))
        assert w.launcher.times == expected


@pytest.mark.parametrize("jitter", [True, "full", "decorrelated"])
async def test_jittered_delays_follow_the_formula_with_the_same_random_source(jitter: Any) -> None:
    """A seeded ``rng`` gives the delays that the documented formula gives with the same seed."""
    backoff = Backoff(min=0.5, max=20.0, factor=2.0, jitter=jitter)
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=6, backoff=backoff, within=None)) as w:
        await w.finish(w.overseer.supervise("svc"))
        rng, expected, last = random.Random(7), [0.0], 0.5
        for n in range(6):
            d = min(0.5 * 2.0**n, 20.0)
            if jitter == "full":
                delay = rng.uniform(0, d)
            elif jitter == "decorrelated":
                delay = last = min(rng.uniform(0.5, 3 * last), 20.0)
            else:
                delay = rng.uniform(0.5, d) if d > 0.5 else d
            expected.append(expected[-1] + delay)
        assert w.launcher.times == pytest.approx(expected, rel=1e-12)


async def test_backoff_of_real_children_keeps_the_formula_within_tolerance() -> None:
    """Real crashes are restarted after the delay, never before it, and soon after it."""
    delays = [0.02, 0.04, 0.08]
    async with limit(), Overseer() as overseer:
        policy = Restart(max_restarts=3, backoff=Backoff(min=0.02, max=1.0))
        overseer.add("crash", "sh", "-c", "exit 3", restart=policy)
        events = overseer.events()
        times: dict[State, list[float]] = {State.BACKOFF: [], State.STARTING: []}
        task = asyncio.create_task(overseer.supervise("crash"))
        async for event in events:
            if event.state in times:
                times[event.state].append(event.time.timestamp())
            if event.state.is_final:
                break
        status = await task
        assert (status.state, status.exit_code, status.restarts) == (State.FATAL, 3, 3)
        waited = [b - a for a, b in zip(times[State.BACKOFF], times[State.STARTING][1:], strict=True)]
        for delay, measured in zip(delays, waited, strict=True):
            assert delay - 0.005 <= measured <= delay + 0.5


async def test_counter_is_reset_by_stable_ready_time_only() -> None:
    """After ``reset_after`` seconds of ready time the next delay is the first again; a shorter run goes on (B18)."""
    scripts = [FakeChild().exits(1), FakeChild().runs(9.9).exits(1), FakeChild().runs(10).exits(1), FakeChild()]
    async with world(*scripts, restart=Restart(max_restarts=9, backoff=EXACT, reset_after=10.0)) as w:
        await w.begin(w.overseer.supervise("svc"))
        await w.clock.advance(60)
        assert w.launcher.times == pytest.approx([0.0, 0.1, 0.1 + 9.9 + 0.3, 10.3 + 10.0 + 0.1])
        assert w.service.state is State.RUNNING


async def test_budget_heals_as_the_window_slides() -> None:
    """Only restarts within the window count, so a crash a minute is restarted for ever with one a minute allowed."""
    async with world(FakeChild().runs(61).exits(1), restart=Restart(max_restarts=1, within=60, backoff=EXACT)) as w:
        await w.begin(w.overseer.supervise("svc"))
        await w.clock.advance(HOUR)
        assert w.runs == 59
        assert w.service.state.is_live


async def test_failed_spawn_is_judged_like_any_failure() -> None:
    """A program that cannot be started is tried again after the backoff, and ``start`` returns once it runs."""
    scripts = [FakeChild().cannot_start("busy"), FakeChild().cannot_start("busy"), FakeChild()]
    async with world(*scripts, restart=Restart(backoff=EXACT)) as w:
        assert await w.finish(w.service.start()) is w.service
        assert (w.service.state, w.service.restarts, w.service.status().error) == (State.RUNNING, 2, None)
        assert w.launcher.times == pytest.approx([0.0, 0.1, 0.4])
        assert [status.state for status in w.service.history] == [State.FATAL, State.FATAL]


async def test_giving_up_keeps_the_last_exit_and_the_last_lines() -> None:
    """FATAL by a spent budget still has the exit of the last run; its error is GaveUp with what was written last."""
    script = FakeChild().prints("first", "out of memory").exits(41)
    async with world(script, restart=Restart(max_restarts=1)) as w:
        status = await w.finish(w.overseer.supervise("svc"))
        assert (status.state, status.exit_code, status.signal, status.ok) == (State.FATAL, 41, None, False)
        error = status.error
        assert isinstance(error, GaveUp)
        assert (error.id, error.lines[-1]) == ("svc", "out of memory")
        assert "gave up" in str(error)
        assert "its 1 restart within 60 s is spent" in str(error)
        assert "out of memory" in str(error)
        with pytest.raises(NotReady) as raised:
            await w.service.ready()
        assert raised.value.__cause__ is error


async def test_crash_loop_goes_running_backoff_starting_and_is_final_once() -> None:
    """The states of a crash loop are those of the contract, with one final state at the end."""
    async with world(FakeChild().runs(1).exits(1), restart=Restart(max_restarts=2)) as w:
        await w.finish(w.overseer.supervise("svc"))
        loop = [State.STARTING, State.RUNNING, State.BACKOFF]
        assert w.states() == [*loop, *loop, State.STARTING, State.RUNNING, State.FATAL]


async def test_codes_and_signals_of_the_policy_are_looked_at() -> None:
    """``success_codes``, ``success_signals``, ``prevent_codes`` and ``force_codes`` decide for a service too."""
    policy = Restart(success_codes={0, 3}, success_signals={signal.SIGUSR1}, prevent_codes={77}, force_codes={3})
    for script, again in (
        (FakeChild().exits(3), True),
        (FakeChild().exits(77), False),
        (FakeChild().dies(signal.SIGUSR1), False),
        (FakeChild().exits(4), True),
    ):
        async with world(script, FakeChild(), restart=policy) as w:
            await w.begin(w.overseer.supervise("svc"))
            await w.clock.advance(1)
            assert w.runs == 1 + again


async def test_each_new_start_has_a_fresh_budget_and_the_first_delay() -> None:
    """The budget of an earlier supervision does not count for the next (B20)."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=2, within=None, backoff=EXACT)) as w:
        for _ in range(3):
            begun, runs = w.clock.now(), w.runs
            status = await w.finish(w.overseer.supervise("svc"))
            assert (status.state, status.restarts) == (State.FATAL, 2)
            assert w.launcher.times[runs:] == pytest.approx([begun, begun + 0.1, begun + 0.4])


async def test_first_start_alone_waits_for_delay_start() -> None:
    """``delay_start`` comes before the first run of each start, and no restart waits for it."""
    async with world(FakeChild().exits(1), delay_start=5, restart=Restart(max_restarts=1, backoff=EXACT)) as w:
        await w.finish(w.overseer.supervise("svc"))
        await w.finish(w.overseer.supervise("svc"))
        assert w.launcher.times == pytest.approx([5.0, 5.1, 10.1, 10.2])


async def test_signal_is_no_stop_and_its_death_is_judged() -> None:
    """A program that dies of ``signal()`` is restarted by policy; the number is the one asked for (B06)."""
    async with world(FakeChild(), restart=Restart(backoff=EXACT)) as w:
        await w.finish(w.service.start())
        first = w.child
        w.service.signal(signal.SIGUSR2)
        await w.clock.advance(1)
        assert first.signals == [signal.SIGUSR2]
        assert (w.service.state, w.service.restarts, w.runs) == (State.RUNNING, 1, 2)
        assert w.service.history[0].signal == signal.SIGUSR2


async def test_signal_needs_a_live_program_and_a_real_signal() -> None:
    """Before the spawn, in backoff and at the end there is nothing to signal (B01), and 0 is no signal."""
    async with world(FakeChild().runs(1).exits(1), restart=Restart(max_restarts=1, backoff=EXACT)) as w:
        with pytest.raises(ProcessNotRunning, match="svc"):
            w.service.signal(signal.SIGHUP)
        w.launcher.gate.clear()
        start = await w.begin(w.service.start())
        with pytest.raises(ProcessNotRunning, match="starting"):
            w.service.signal(signal.SIGHUP)
        w.launcher.gate.set()
        await start
        with pytest.raises(SpecError):
            w.service.signal(0)
        await w.clock.advance(1)
        waits = re.escape(f"waits to restart ({w.service.status().reason}): wait for ready()")
        with pytest.raises(ProcessNotRunning, match=waits):
            w.service.signal(signal.SIGHUP)
        with pytest.raises(ProcessNotRunning, match=waits):
            await w.service.write("x")
        with pytest.raises(ProcessNotRunning, match=waits):
            await w.service.write_eof()
        await w.finish(w.service.wait())
        with pytest.raises(ProcessNotRunning):
            w.service.signal(signal.SIGHUP)
        assert all(child.signals == [] for child in w.launcher.children)


# --- stop

PROTECTED = FakeChild().ignores(signal.SIGTERM)


async def _initial(w: World) -> None:
    pass


async def _spawning(w: World) -> None:
    w.launcher.gate.clear()
    await w.begin(w.overseer.supervise("svc"))


async def _started(w: World) -> None:
    await w.begin(w.overseer.supervise("svc"))


async def _stopping(w: World) -> None:
    await w.finish(w.service.start())
    await w.begin(w.service.stop())


async def _ended(w: World) -> None:
    await w.finish(w.overseer.supervise("svc"))


async def _interrupted(w: World) -> None:
    await w.finish(w.service.start())
    await w.finish(w.service.stop())


@dataclass
class Case:
    """How to come into a state, and what a stop there is to lead to."""

    state: State
    script: FakeChild
    come: Callable[[World], Awaitable[None]]
    final: State
    signals: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


KILLED = (signal.SIGTERM, signal.SIGKILL)
CASES = {
    "initial": Case(State.INITIAL, FakeChild(), _initial, State.INITIAL),
    "spawning": Case(State.STARTING, FakeChild(), _spawning, State.INTERRUPT, (signal.SIGTERM,)),
    "delay": Case(State.STARTING, FakeChild(), _started, State.INTERRUPT, options={"delay_start": 5}),
    "backoff": Case(State.BACKOFF, FakeChild().exits(1), _started, State.INTERRUPT),
    "running": Case(State.RUNNING, FakeChild(), _started, State.INTERRUPT, (signal.SIGTERM,)),
    "running, ignores SIGTERM": Case(State.RUNNING, PROTECTED, _started, State.INTERRUPT, KILLED),
    "stopping": Case(State.STOPPING, PROTECTED, _stopping, State.INTERRUPT, KILLED),
    "finished": Case(State.FINISHED, FakeChild().exits(0), _ended, State.FINISHED),
    "interrupted": Case(State.INTERRUPT, FakeChild(), _interrupted, State.INTERRUPT),
    "fatal": Case(
        State.FATAL,
        FakeChild().cannot_start(),
        _ended,
        State.FATAL,
        options={"restart": Restart("always", max_restarts=1)},
    ),
}


async def _stopped_for_good(w: World, case: Case, stop: asyncio.Future[Any]) -> None:
    if case.come is _spawning:
        w.launcher.gate.set()
    await w.finish(asyncio.wait({stop}))
    runs, state = w.runs, w.service.state
    assert state is case.final
    await w.clock.advance(HOUR)
    assert (w.runs, w.service.state) == (runs, state), "a restart followed a stop"
    assert all(child.closed for child in w.launcher.children)
    assert not w.service.why().due


@pytest.mark.parametrize("name", CASES)
async def test_stop_works_in_every_state_and_no_restart_follows(name: str) -> None:
    """In each state a stop ends what there is, says what was needed, and is the last word (B02 to B05, B09)."""
    case = CASES[name]
    async with world(case.script, **{"restart": Restart("on-failure"), **case.options}) as w:
        await case.come(w)
        assert w.service.state is case.state
        stop = await w.begin(w.service._runner.stop())
        await _stopped_for_good(w, case, stop)
        outcome = stop.result()
        assert (outcome.id, outcome.signals, outcome.survived) == ("svc", case.signals, False)
        assert outcome.status.state is case.final
        assert outcome.seconds == pytest.approx(10.0 if case.signals == KILLED else 0.0)


@pytest.mark.parametrize("name", CASES)
async def test_two_stops_at_once_both_return_the_same_end(name: str) -> None:
    """A second stop while the first is at work waits for the same end, in every state."""
    case = CASES[name]
    async with world(case.script, **{"restart": Restart("always"), **case.options}) as w:
        if case.final is not State.FINISHED:
            await case.come(w)
            first, second = await w.begin(w.service.stop()), await w.begin(w.service.stop())
            await _stopped_for_good(w, case, asyncio.gather(first, second))
            assert first.result() == second.result()
            assert w.service.status().state is case.final


@pytest.mark.parametrize("name", CASES)
async def test_kill_takes_the_last_step_at_once(name: str) -> None:
    """With ``kill=True`` no time passes, not even when a polite stop is under way."""
    case = CASES[name]
    async with world(case.script, **case.options) as w:
        await case.come(w)
        begun = w.clock.now()
        stop = await w.begin(w.service.stop(kill=True))
        if case.come is _spawning:
            w.launcher.gate.set()
            await w.clock.settle()
        assert stop.done()
        assert (stop.result().state, w.clock.now()) == (case.final, begun)
        if case.signals:
            assert w.child.signals[-1] == signal.SIGKILL


async def test_program_that_nothing_ends_is_reported_and_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the whole ladder ``stop`` raises StopFailed, again when asked again, and leaving the overseer does too."""
    monkeypatch.setattr(
        "aioverseer._engine.process.run_task.FINAL_TIMEOUT", 0.05
    )  # for a run that is given up, on the loop's clock
    clock = ManualClock()
    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild().ignores(*KILLED)))
    await overseer.__aenter__()
    service = overseer.add("zombie", "program", drain_timeout=0.0)
    await service.start()
    for attempt in range(2):
        stop = asyncio.ensure_future(service.stop())
        await clock.advance(12 if attempt == 0 else 2)
        with pytest.raises(
            StopFailed, match="'zombie' does not die: a stop was asked for; pid 1001 is still there 2 s"
        ) as raised:
            await stop
        assert raised.value.status is not None
        assert raised.value.status.state is State.STOPPING
    report = asyncio.ensure_future(overseer.stop_all())
    await clock.advance(2)
    assert (await report).survivors == ["zombie"]
    assert "is still there" in str(report.result())
    leave = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(20)
    async with limit():
        with pytest.raises(StopFailed, match="zombie"):
            await leave


async def test_error_of_the_block_has_a_note_about_survivors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on its way out of the block is not replaced by StopFailed; it gets a note."""
    monkeypatch.setattr("aioverseer._engine.process.run_task.FINAL_TIMEOUT", 0.05)
    clock = ManualClock()
    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild().ignores(*KILLED)))

    async def use() -> None:
        async with overseer:
            await overseer.add("zombie", "program").start()
            raise KeyError("mine")

    task = asyncio.ensure_future(use())
    await clock.advance(20)
    async with limit():
        with pytest.raises(KeyError, match="mine") as raised:
            await task
    assert "zombie" in "".join(raised.value.__notes__)


async def test_stop_of_a_real_program_that_ignores_sigterm() -> None:
    """A real program that ignores SIGTERM is killed when its time is over, and the report says so (B05, B07)."""
    deaf = child("import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(100)")
    async with limit(), Overseer() as overseer:
        service = overseer.add("deaf", *deaf, stop=Stop(timeout=0.1), restart=Restart("always"))
        lines = service.lines()
        await service.start()
        assert (await lines.get()).__class__ is Line
        outcome = await service._runner.stop()
        assert outcome.signals == KILLED
        assert 0.1 <= outcome.seconds < 2.0
        assert "SIGTERM, SIGKILL" in str(outcome)
        assert (outcome.status.state, outcome.status.signal) == (State.INTERRUPT, signal.SIGKILL)
        assert service.pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(service.pid, 0)


async def test_obeyed_stop_is_interrupt_even_with_exit_code_zero() -> None:
    """A service stopped on request is INTERRUPT whatever its exit, and keeps its code (B10)."""
    polite = child(
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("up")
        time.sleep(100)
        """
    )
    async with limit(), Overseer() as overseer:
        service = overseer.add("polite", *polite, restart=Restart("always"))
        lines = service.lines()
        await service.start()
        await lines.get()
        status = await service.stop()
        assert (status.state, status.exit_code, status.signal) == (State.INTERRUPT, 0, None)


async def test_cancelled_stop_goes_on_by_itself() -> None:
    """The ladder runs to its end even when the caller of the stop is cancelled."""
    async with world(PROTECTED) as w:
        await w.finish(w.service.start())
        stop = await w.begin(w.service.stop())
        stop.cancel()
        await w.clock.advance(10)
        assert (w.service.state, w.child.signals) == (State.INTERRUPT, list(KILLED))


async def test_start_during_a_stop_is_the_last_word_and_the_stop_returns() -> None:
    """A start while it stops wants a new run; the stop still returns, with the end of the run that it stopped."""
    async with world(PROTECTED, FakeChild()) as w:
        await w.finish(w.service.start())
        stop = await w.begin(w.service._runner.stop())
        start = await w.begin(w.service.start())
        await w.clock.advance(10)
        assert stop.done()
        assert start.done()
        outcome = stop.result()
        assert (outcome.status.state, outcome.status.signal) == (State.INTERRUPT, signal.SIGKILL)
        assert (outcome.signals, outcome.status.pid) == (KILLED, 1001)
        assert (w.service.state, w.service.pid) == (State.RUNNING, 1002)


async def test_stop_after_a_restart_wish_wins() -> None:
    """Restart, then stop while the old run ends: nothing runs afterwards."""
    async with world(PROTECTED) as w:
        await w.finish(w.service.start())
        restart = await w.begin(w.service.restart())
        stop = await w.begin(w.service.stop())
        await w.clock.advance(HOUR)
        assert stop.done()
        with pytest.raises(NotReady):
            await restart
        assert (w.runs, w.service.state) == (1, State.INTERRUPT)


# --- start and restart


@pytest.mark.parametrize("name", CASES)
async def test_start_in_every_state_leads_to_running(name: str) -> None:
    """From whatever state, ``start`` returns once the program runs, with one program and no more."""
    case = CASES[name]
    first = case.script if case.script.steps or case.script.error else FakeChild().ignores(*case.script.ignored)
    scripts = [first, first] if case.state is State.FATAL else [first]
    async with world(*scripts, FakeChild(), **{"restart": Restart(), **case.options}) as w:
        await case.come(w)
        begun = w.clock.now()
        start = await w.begin(w.service.start())
        w.launcher.gate.set()
        assert await w.finish(start) is w.service
        assert w.service.state is State.RUNNING
        assert sum(not child.closed for child in w.launcher.children) == 1
        if case.state is State.BACKOFF:
            assert w.clock.now() == begun, "it waited for the backoff"


@pytest.mark.parametrize("name", CASES)
async def test_restart_in_every_state_leads_to_a_new_run(name: str) -> None:
    """A restart is a stop and still wanted: the old run ends first, then a new one is running."""
    case = CASES[name]
    first = case.script if case.script.steps or case.script.error else FakeChild().ignores(*case.script.ignored)
    scripts = [first, first] if case.state is State.FATAL else [first]
    async with world(*scripts, FakeChild(), **{"restart": Restart(), **case.options}) as w:
        await case.come(w)
        before = w.service.process
        restart = await w.begin(w.service.restart())
        w.launcher.gate.set()
        assert await w.finish(restart) is w.service
        assert w.service.state is State.RUNNING
        assert w.service.process is not before
        assert sum(not child.closed for child in w.launcher.children) == 1
        assert before is None or before.state.is_final


async def test_start_that_ends_for_good_raises_with_the_last_lines() -> None:
    """``start`` raises NotReady when the policy is at its end, with what the program said (also for a spawn)."""
    async with world(FakeChild().cannot_start("no such program"), restart=NEVER) as w:
        with pytest.raises(NotReady, match="no such program") as raised:
            await w.service.start()
        assert isinstance(raised.value.__cause__, SpawnError)
        assert raised.value.status is not None
        assert raised.value.status.state is State.FATAL


async def test_a_service_that_ends_at_once_counts_as_ready_for_its_starter() -> None:
    """A program that is spawned and ends at once was running: ``start`` returns, and events show it."""
    async with world(FakeChild().exits(0)) as w:
        await w.finish(w.service.start())
        await w.clock.settle()
        assert w.states() == [State.STARTING, State.RUNNING, State.FINISHED]


# --- waiting


async def test_ready_returns_when_running_and_fails_in_time() -> None:
    """``ready`` returns at RUNNING; with a timeout it raises NotReadyInTime, which says what it waits for."""
    async with world(FakeChild(), delay_start=5) as w:
        early = await w.begin(w.service.ready(timeout=4.0))
        late = await w.begin(w.service.ready(timeout=6.0))
        await w.begin(w.overseer.supervise("svc"))
        await w.clock.advance(4)
        with pytest.raises(NotReadyInTime, match="'svc' is not ready: after 4 s svc is starting") as raised:
            await early
        assert isinstance(raised.value, TimeoutError)
        assert not late.done()
        await w.clock.advance(1)
        assert await late is w.service
        assert await w.service.ready(timeout=0) is w.service
        assert w.clock.next_timer() is None, "a timer is left"


async def test_wait_that_cannot_come_true_raises_at_once_with_the_last_lines() -> None:
    """No time passes once the service has ended; the reason and the last lines are in the error."""
    async with world(FakeChild().prints("cannot bind port 80").exits(1), restart=NEVER) as w:
        waits = [
            await w.begin(w.service.wait_for(State.STOPPING, timeout=1000)),
            await w.begin(w.service.wait_for(lambda status: status.pid == 1, timeout=1000)),
        ]
        await w.begin(w.overseer.supervise("svc"))
        assert w.clock.now() == 0
        for wait in waits:
            with pytest.raises(NotReady, match="exited with code 1") as raised:
                await wait
            assert raised.value.lines == ("cannot bind port 80",)
            assert not isinstance(raised.value, TimeoutError)
        with pytest.raises(NotReady, match="is not ready: it is finished"):
            await w.service.ready()


async def test_wait_for_sees_the_pid_of_a_program_that_starts() -> None:
    """Its state has not changed then."""
    async with Overseer() as overseer:
        web = overseer.add("web", "sleep", "100", ready=ready.line("never"))
        starting = asyncio.create_task(web.start())
        status = await web.wait_for(lambda status: status.pid is not None, timeout=20)
        assert (State.STARTING, web.pid) == (status.state, status.pid)
        starting.cancel()


async def test_wait_for_sees_states_that_last_less_than_a_turn() -> None:
    """Every transition is shown, also those that are over before anybody else runs."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=1, backoff=Backoff(0, 0))) as w:
        transient = [State.STARTING, State.RUNNING, State.BACKOFF, State.FATAL]
        waits = [await w.begin(w.service.wait_for(state)) for state in transient]
        second = await w.begin(
            w.service.wait_for(lambda status: status.restarts == 1 and status.state is State.RUNNING)
        )
        await w.finish(w.overseer.supervise("svc"))
        assert [wait.result().state for wait in waits] == transient
        assert second.result().restarts == 1


async def test_error_in_the_function_of_a_waiter_is_for_that_waiter_alone() -> None:
    """A predicate that raises gives its error to whoever passed it; the service and other waiters go on."""

    def broken(status: Status) -> bool:
        if status.state is State.INITIAL:
            return False
        raise KeyError("mine")

    async with world(FakeChild().runs(1).exits(1), FakeChild()) as w:
        mine = await w.begin(w.service.wait_for(broken))
        other = await w.begin(w.service.wait_for(State.BACKOFF))
        await w.begin(w.overseer.supervise("svc"))
        with pytest.raises(KeyError, match="mine"):
            await mine
        await w.clock.advance(5)
        assert other.done()
        assert (w.service.state, w.runs) == (State.RUNNING, 2)


async def test_awaiting_a_service_waits_for_its_final_end_and_starts_nothing() -> None:
    """``await service`` and ``wait`` return the final Status, raise nothing, and can be cancelled freely."""
    async with world(FakeChild().runs(1).exits(9), restart=Restart(max_restarts=1)) as w:

        async def plain() -> Status:
            return await w.service

        wait, awaited, cancelled = [await w.begin(work) for work in (w.service.wait(), plain(), w.service.wait())]
        await w.clock.advance(HOUR)
        assert w.runs == 0
        cancelled.cancel()
        await w.finish(w.overseer.supervise("svc"))
        assert (await wait).state is State.FATAL
        assert (await awaited).exit_code == 9
        assert (await w.service.wait()).exit_code == 9


async def test_waits_end_when_the_service_is_removed_or_the_overseer_is_left() -> None:
    """Nobody waits for ever for a service that is not there any more, and a removed one cannot be started."""
    clock = ManualClock()
    overseer = Overseer(clock=clock, launcher=ScriptedLauncher(clock))
    async with overseer:
        gone, kept = overseer.add("gone", "x"), overseer.add("kept", "x")
        waits = [asyncio.ensure_future(work) for work in (gone.wait(), gone.ready(), kept.wait(), kept.ready())]
        await clock.settle()
        overseer.remove("gone")
        for wait in waits[:2]:
            with pytest.raises(UnknownService, match="'gone' was removed"):
                await wait
        for verb in (gone.start, gone.restart):
            with pytest.raises(UnknownService, match="was removed"):
                await verb()
        assert not waits[2].done()
    for wait in waits[2:]:
        with pytest.raises(OverseerError, match="was left"):
            await wait


@pytest.mark.parametrize("verb", ["start", "restart", "supervise"])
async def test_cancelled_start_rolls_back_only_its_own_start(verb: str) -> None:
    """The call that began a start stops it when cancelled; one that joined a live service leaves it alone."""
    async with world(FakeChild(), delay_start=5) as w:
        verbs: dict[str, Callable[[], Awaitable[Any]]] = {
            "start": w.service.start,
            "restart": w.service.restart,
            "supervise": lambda: w.overseer.supervise("svc"),
        }
        first = await w.begin(verbs[verb]())
        assert str(w.service.state) == "starting"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (w.service.state, w.runs) == (State.INTERRUPT, 0)
        await w.finish(w.service.start())
        joined = await w.begin(verbs["supervise"]())
        joined.cancel()
        await w.clock.settle()
        assert w.service.state is State.RUNNING


# --- output


async def test_write_reaches_the_current_run() -> None:
    """``write`` feeds the standard input of the run that is live; without one it says so."""
    async with world(FakeChild(), stdin="pipe") as w:
        with pytest.raises(ProcessNotRunning):
            await w.service.write("early")
        await w.finish(w.service.start())
        await w.service.write("one\n")
        await w.finish(w.service.restart())
        await w.service.write(b"two\n")
        w.service.close_stdin()
        assert [child.stdin.received for child in w.launcher.children if child.stdin] == [b"one\n", b"two\n"]


async def test_lines_live_on_across_restarts_and_end_with_the_service() -> None:
    """One queue has the lines of all runs (B33), numbered by run; it ends with the service (B31)."""
    script = FakeChild().prints("out").prints("err", stream="stderr").exits(1)
    async with world(script, restart=Restart(max_restarts=1)) as w:
        both, errors = w.service.lines(), w.service.lines("stderr")
        await w.finish(w.overseer.supervise("svc"))
        got = [line async for line in both]
        lines = [(line.run, line.stream, line.text) for line in got]
        assert lines == [(1, "stdout", "out"), (1, "stderr", "err"), (2, "stdout", "out"), (2, "stderr", "err")]
        assert [str(line.text) async for line in errors] == ["err", "err"]
        with pytest.raises(QueueShutDown):
            both.get_nowait()
        await w.finish(w.overseer.supervise("svc"))
        assert [line.run for line in await both.get_batch()] == [3, 3, 4, 4]


async def test_late_subscriber_may_begin_with_remembered_lines() -> None:
    """``history`` gives remembered lines first; ``tail`` has the last ones over all runs."""
    async with world(FakeChild().prints(*"abcde").exits(0)) as w:
        await w.finish(w.overseer.supervise("svc"))
        await w.finish(w.overseer.supervise("svc"))
        past = [line.text async for line in w.service.lines(history=7)]
        assert past == [*"de", *"abcde"]
        assert [line.text for line in w.service.tail(3)] == [*"cde"]
        assert w.service.tail(0) == []
        assert len(w.service.tail(100)) == 10


async def test_last_words_of_a_real_crash_are_delivered_before_its_end() -> None:
    """All lines, the last one without a newline included, are there when the end is told (B23, B29)."""
    crash = child("import sys; [print(n) for n in range(1000)]; sys.stdout.write('the end'); sys.exit(5)")
    async with limit(), Overseer() as overseer:
        service = overseer.add("crash", *crash, restart=NEVER)
        lines = service.lines(size=2000)
        status = await overseer.supervise("crash")
        assert status.exit_code == 5
        texts = [line.text for line in await lines.get_batch()]
        assert texts == [*map(str, range(1000)), "the end"]
        assert service.tail(1)[0].text == "the end"


# --- its status and lines


async def test_history_has_each_run_frozen() -> None:
    """The final Status of each run stays as it was, oldest first, bounded."""
    scripts = [FakeChild().exits(1), FakeChild().dies(signal.SIGABRT), FakeChild().exits(0)]
    async with world(*scripts, restart=Restart(max_restarts=None, backoff=Backoff(0, 0))) as w:
        await w.finish(w.overseer.supervise("svc"))
        ends = [(status.pid, status.exit_code, status.signal) for status in w.service.history]
        assert ends == [(1001, 1, None), (1002, None, signal.SIGABRT), (1003, 0, None)]
        assert [status.state for status in w.service.history] == [State.FINISHED, State.INTERRUPT, State.FINISHED]
        for _ in range(60):
            await w.finish(w.overseer.supervise("svc"))
        assert len(w.service.history) == 50


async def test_why_is_a_sentence_in_every_state() -> None:
    """The reason, what comes next and what is left of the budget can be read at any moment."""
    scripts = [FakeChild().runs(3).exits(1), PROTECTED]
    async with world(*scripts, restart=Restart(max_restarts=2, within=60, backoff=EXACT)) as w:
        assert str(w.service.why()).startswith("svc is initial for 0.0 s: it has not been started")
        await w.begin(w.overseer.supervise("svc"))
        await w.clock.advance(2)
        assert str(w.service.why()) == "svc is running for 2.0 s: is ready; 2 restarts left"
        await w.clock.advance(1.05)
        why = w.service.why()
        assert (why.state, why.due, why.restarts_left) == (State.BACKOFF, "a restart", 1)
        assert why.due_in == pytest.approx(0.05)
        assert why.refills_in == pytest.approx(59.95)
        assert "exited with code 1; restarts in 0.1 s (1 of 2 restarts left); next: a restart in" in str(why)
        await w.clock.advance(1)
        stop = await w.begin(w.service.stop())
        assert w.service.why().due == "its end"
        again = await w.begin(w.service.start())
        assert w.service.why().due == "a new run"
        again.cancel()
        w.overseer["svc"]._runner.apply_spec(w.service.spec)
        stop2 = await w.begin(w.service.stop())
        await w.clock.advance(10)
        assert stop.done()
        assert stop2.done()
        assert "a stop was asked for" in str(w.service.why())


async def test_status_and_json_in_every_state() -> None:
    """A Status is frozen and complete in every state, without invented values (B43, B51), and no environment."""
    async with world(FakeChild().runs(2).exits(3), extra_env={"TOKEN": "secret"}, delay_start=1, restart=NEVER) as w:
        initial = w.service.status()
        assert (initial.state, initial.pid, initial.started_at, initial.runtime) == (State.INITIAL, None, None, 0.0)
        start = await w.begin(w.service.start())
        assert (w.service.status().state, w.service.status().runtime) == (State.STARTING, 0.0)
        await w.finish(start)
        await w.clock.advance(1)
        running = w.service.status()
        assert (running.pid, running.runtime, running.exit) == (1001, 1.0, None)
        final = await w.finish(w.service.wait())
        assert (final.exit_code, final.runtime, final.ok, running.runtime) == (3, 2.0, False, 1.0)
        data = w.overseer.to_json("svc")
        assert json.loads(json.dumps(data)) == data
        assert (data["state"], data["exitCode"], data["error"], data["id"]) == ("finished", 3, None, "svc")
        assert (data["cmd"], data["argv"], data["PID"]) == ("program --flag", ["program", "--flag"], 1001)
        assert data["startTime"] == "2030-01-01T00:00:01+00:00"
        assert data["stopTime"] == "2030-01-01T00:00:03+00:00"
        assert "secret" not in json.dumps(data) + repr(final) + repr(w.service)


async def test_buffered_lines_belong_to_the_current_run() -> None:
    """With ``buffered`` a Status has all lines, however often it was asked for during the run (B24, B25)."""
    async with world(FakeChild().prints("a").runs(1).prints("b").exits(0), buffered=True) as w:
        await w.finish(w.service.start())
        early = w.service.status()
        final = await w.finish(w.service.wait())
        assert (early.stdout, final.stdout, final.stderr) == (["a"], ["a", "b"], [])


async def test_update_is_for_the_next_run_and_the_next_judgement() -> None:
    """Changed options do not touch the run that is live; the next one has them. A wrong option changes nothing."""
    async with world(FakeChild().runs(5).exits(1), cwd="/") as w:
        await w.finish(w.service.start())
        w.overseer.update("svc", cwd="/tmp", restart=Restart("on-failure", max_restarts=1, backoff=EXACT))
        with pytest.raises(SpecError, match="did you mean 'restart'"):
            w.overseer.update("svc", restarts=NEVER)  # type: ignore[call-arg]  # wrong on purpose
        assert w.child.spec.cwd == "/"
        await w.clock.advance(6)
        assert (w.runs, w.child.spec.cwd) == (2, "/tmp")
        w.overseer.update("svc", restart=NEVER)
        status = await w.finish(w.service.wait())
        assert (status.state, status.cwd, w.runs) == (State.FINISHED, "/tmp", 2)


async def test_second_supervise_waits_for_the_same_end_and_cuts_no_backoff() -> None:
    """Two supervisions of one service are one: same end, no extra run, no shortened delay (B39)."""
    async with world(FakeChild().exits(1), restart=Restart(max_restarts=2, backoff=EXACT)) as w:
        first = await w.begin(w.overseer.supervise("svc"))
        assert w.service.state is State.BACKOFF
        second = await w.begin(w.overseer.supervise("svc"))
        assert w.runs == 1
        results = await w.finish(asyncio.gather(first, second))
        assert results[0] == results[1]
        assert w.launcher.times == pytest.approx([0.0, 0.1, 0.4])


async def test_repr_names_program_state_and_pid() -> None:
    """The representation is enough to recognise the service in a debugger."""
    async with world(FakeChild()) as w:
        assert repr(w.service) == "<Service 'svc' 'program --flag' initial>"
        await w.finish(w.service.start())
        assert repr(w.service) == "<Service 'svc' 'program --flag' running pid=1001>"


async def test_restart_of_a_real_service_gives_a_new_process() -> None:
    """A real restart ends the old program before the new one runs."""
    async with limit(), Overseer() as overseer:
        service = overseer.add("sleeper", sys.executable, "-I", "-S", "-c", "import time; time.sleep(100)")
        await service.start()
        first = service.pid
        assert first is not None
        await service.restart()
        assert service.pid != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert (service.restarts, service.history[0].state) == (1, State.INTERRUPT)


async def test_report_of_an_earlier_run_changes_nothing() -> None:
    """Every report names its run, so a service ignores a run that it has replaced."""
    async with world(FakeChild(), FakeChild()) as w:
        await w.service.start()
        await w.finish(w.service.restart())
        runner = w.service._runner
        runner.on_spawned(1, 7)
        runner.on_transition(1, Transition(previous=State.RUNNING, state=State.FINISHED, reason="exited with code 0"))
        runner.on_unstoppable(1)
        assert (State.RUNNING, 2) == (w.service.state, runner.machine.runs)


async def test_block_of_a_program_that_nothing_ends_raises() -> None:
    """As leaving the overseer does."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(*KILLED))
    overseer = Overseer(clock=clock, launcher=launcher)
    await overseer.__aenter__()

    async def block() -> None:
        async with overseer.add("zombie", "program", drain_timeout=0.0):
            pass

    ending = asyncio.ensure_future(block())
    await clock.advance(20)
    async with limit():
        with pytest.raises(StopFailed, match="'zombie' does not die: its block has ended"):
            await ending
    launcher.children[0].end(Exit(signal=9))
    await clock.settle()
    async with limit():
        await overseer.__aexit__(None, None, None)


async def test_cancellation_waits_for_the_end_of_a_block() -> None:
    """The program has its whole ladder. The CancelledError comes after it."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        left = asyncio.Event()

        async def block() -> None:
            async with overseer.add("slow", "program", stop=Stop(timeout=5)):
                left.set()

        ending = asyncio.ensure_future(block())
        await clock.settle()
        assert left.is_set()
        ending.cancel()
        await clock.settle()
        assert not ending.done()
        await clock.advance(6)
        async with limit():
            with pytest.raises(asyncio.CancelledError):
                await ending
        assert overseer.status("slow").state is State.INTERRUPT
