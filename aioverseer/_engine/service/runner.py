"""The runs of one service, one after the other: what its table asks for is done here.

Each run is a Process, each backoff a timer. What follows what is decided in ``core/machine/service.py``; who waits for a
service, and what it shows to others, never lives here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, assert_never

from aioverseer._engine.output.hub import Hub
from aioverseer._engine.output.pump import LineSink
from aioverseer._engine.process.owner import Hooks
from aioverseer._engine.process.process import Process
from aioverseer.core.clock import Timer
from aioverseer.core.machine.actions import (
    AskThrottle,
    AwaitReady,
    ReportThrottled,
    ServiceAction,
    StartProcess,
    StopProcess,
)
from aioverseer.core.machine.inputs import (
    Admitted,
    Failed,
    ProcessEnded,
    ProcessUnhealthy,
    Ready,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    Throttled,
    TimerFired,
)
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.table import Arm, Disarm, Input, Transition
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import GaveUp, Status, StatusSnapshot, last_lines
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.service.owner import ServiceOwner
    from aioverseer._system.inprocess import MemberLauncher

__all__ = ["HISTORY_RUNS", "ServiceRunner"]

HISTORY_RUNS = 50
"""Ended runs that a Service remembers."""

_ERROR_LINES = 20
"""Last lines that an error carries."""


class ServiceRunner:
    """Feeds the table of one service, and performs what it asks for.

    Attributes:
        spec: What the next run will be.
        member: What stands in for the program; None for a program.
        machine: The table; nobody else feeds it.
        hub: Where the lines of all runs go.
        process: The current or last run; None before the first.
        history: What the last runs were at their ends, oldest first.
        on_change: Called with the facts, without lines, after each transition that the host has heard of, and when the
            program does not die.
    """

    def __init__(self, spec: Spec, host: ServiceOwner, member: MemberLauncher | None) -> None:
        """Begin without any. A member stands in for the program."""
        self.spec = spec
        self.member = member
        self.machine = ServiceMachine(policy=spec.restart, rng=host.rng, delay=spec.delay_start)
        self.machine.has_throttle = host.turns is not None
        self.hub = Hub(spec.id, clock=host.clock, shared=host.subscribers)
        self.process: Process | None = None
        self.history: deque[StatusSnapshot] = deque(maxlen=HISTORY_RUNS)
        self.on_change: Callable[[StatusSnapshot], None] = lambda _facts: None
        self._host = host
        self._timer: Timer | None = None
        self._inbox: deque[Input] = deque()
        self._feeding = False
        self._heard: list[Process] = []
        """Earlier runs which left something behind that is still listened to."""
        self._due_runs: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._has_task = False
        self._gave_up: GaveUp | None = None
        self._run = 0
        """Number of the current or last run, from 1."""
        self._hooks = Hooks(
            run_soon=self._run_soon,
            outlet=self._outlet,
            on_report=self._on_report,
            on_unstoppable=self.on_unstoppable,
            on_spawn=self._on_spawn,
            on_news=self._on_news,
            last_lines=self.last_lines,
        )

    # What there is to know.

    @property
    def id(self) -> str:
        """The name of the service."""
        return self.spec.id

    @property
    def state(self) -> State:
        """Where the service is."""
        return self.machine.state

    @property
    def is_held(self) -> bool:
        """Whether it waits for others before its first run."""
        return self.machine.deferred

    @property
    def is_unstoppable(self) -> bool:
        """Whether its program is still there although the whole ladder has been taken."""
        return self.process is not None and self.process.is_unstoppable

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends its program, as words behind "waits for", and the monotonic time of the next step of its ladder."""
        if self.process is None or self.machine.state is not State.STOPPING:
            return "its end", None
        return self.process.ending

    @property
    def gave_up(self) -> GaveUp | None:
        """The error, if it has ended because its budget, or that of its group, is spent."""
        return self._gave_up if self.machine.gave_up else None

    def facts(self, *, lines: bool = True) -> StatusSnapshot:
        """Return what a Status is made of."""
        machine, process, spec = self.machine, self.process, self.spec
        stdout, stderr = process.kept_lines() if lines and process is not None else (None, None)
        return StatusSnapshot(
            spec,
            None if process is None else process.pid,
            machine.state,
            None if process is None else process.exit,
            self._gave_up or machine.error or (None if self.member is None else self.member.error),
            None if process is None else process.started_at,
            None if process is None else process.stopped_at,
            0.0 if process is None else process.runtime,
            stdout,
            stderr,
            machine.restarts,
            self.reason(),
            spec.restart.max_restarts,
            self._host.log_files.lost(spec.id),
            (self.member or self._host.launcher).containment_of(spec).level,
        )

    def status(self) -> Status:
        """Return a snapshot of everything known about it."""
        return self.facts().status()

    def reason(self) -> str:
        """Return why it is in its state: the same words in why(), in its Status and in errors."""
        process = self.process
        live = self.machine.state in (State.STARTING, State.RUNNING, State.STOPPING)
        if process is None or not live:
            return self.machine.reason
        reason = (
            f"{self.machine.reason}; {process.unstoppable_reason}" if process.is_unstoppable else self.machine.reason
        )
        return f"{reason} ({process.news})" if process.news else reason

    def last_lines(self) -> list[str]:
        """Return the last lines over all runs, as an error carries them."""
        return last_lines([line.text for line in self.hub.tail(_ERROR_LINES)])

    # What is asked of them.

    def adopt(self, spec: Spec) -> None:
        """Take a new Spec, for the next run; a new policy judges the next end."""
        self.spec = spec
        self.machine.apply_policy(policy=spec.restart, delay=spec.delay_start)

    def release(self) -> None:
        """Listen no more to what earlier runs have left behind."""
        for run in (*self._heard, self.process):
            if run is not None and run.is_heard:
                run.release()
        self._heard = []

    def post(self, given: Input) -> None:
        """Feed the table and perform what it asks for.

        What comes of an action is fed after all actions before it were performed, so that news are told in order.
        """
        self._inbox.append(given)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._inbox:
                try:
                    self._perform(self.machine.feed(self._inbox.popleft(), self._host.clock.now()))
                except Exception as error:  # noqa: BLE001  # the user's source of chance, or a bug: this service ends
                    self._fail(error)
        finally:
            self._feeding = False

    def _fail(self, error: Exception) -> None:
        """End for good, with the program, because a step of this service has raised: half of it may be missing."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"aioverseer: a step of service {self.spec.id!r} has raised, it ends FATAL", "exception": error}
        )
        self._inbox.clear()
        live = self.process is not None and self.process.state.is_live
        self._perform(self.machine.feed(Failed(error=error, live=live), self.machine.now))

    def _perform(self, actions: Iterable[ServiceAction | Transition]) -> None:
        for action in actions:
            match action:  # the frequent ones first
                case Transition():
                    self._tell(action)
                case StartProcess():
                    self._begin(action)
                case StopProcess():
                    if self.process is not None:
                        self.process.post(StopRequested(kill=action.kill, why=action.why))
                case AwaitReady():
                    # With no probe, what the system has started is ready: by the same path as with one. (With one it
                    # has said so itself, where all of its start was a single step, as with eager tasks.)
                    process = self.process
                    if process is not None and process.spec.ready is None and process.state is State.RUNNING:
                        self._inbox.append(Ready())
                case Arm(seconds=seconds) if seconds <= 0:
                    # By way of a timer it would be a turn of the loop later.
                    self._inbox.append(TimerFired())
                case Arm():
                    self._disarm()
                    self._timer = self._host.clock.call_at(self.machine.now + action.seconds, self._on_due)
                case Disarm():
                    self._disarm()
                case AskThrottle():
                    # Before what has come in since: that may be what takes it out of the queue.
                    turns = self._host.turns
                    may = turns is None or turns.ask(self.spec.id)
                    self._inbox.appendleft(Admitted() if turns is None or may else Throttled(why=turns.reason))
                case ReportThrottled():
                    self._host.hear_news(self.spec.id, self.machine.reason, "throttle")
                case _:
                    assert_never(action)

    def _begin(self, action: StartProcess) -> None:
        self._gave_up = None
        self._run = action.number
        self.hub.begin()
        if self._heard or (self.process is not None and self.process.is_heard):
            self._heard = [run for run in (*self._heard, self.process) if run is not None and run.is_heard]
        self.hub.log_to(self._host.log_files.sinks(self.spec.id, self.hub.resume_reading))
        self.process = Process.from_spec(
            self.spec.updated(delay_start=action.delay) if action.delay != self.spec.delay_start else self.spec,
            clock=self._host.clock,
            launcher=self.member or self._host.launcher,
            hooks=self._hooks,
        )
        self.process.post(StartRequested())

    def _run_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a run in the task of this service, which begins the next one in the turn in which it ended the last."""
        self._due_runs.append(work)
        if not self._has_task:
            self._has_task = True
            self._host.start_soon(self._run_due).add_done_callback(self._on_task_end)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and self._due_runs:
            # Before its first step, when all tasks of a loop are: nobody else can tell those who wait.
            self._due_runs.clear()
            self._has_task = False
            if self.process is not None:
                self.process.end_unbegun()

    async def _run_due(self) -> None:
        try:
            while self._due_runs:
                await self._due_runs.popleft()()
        finally:
            self._has_task = False

    def _on_due(self) -> None:
        self._timer = None
        self.post(TimerFired())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._host.turns is not None:
            self._host.turns.leave(self.spec.id)

    # What the current run reports, and what is told of it.

    def _outlet(self, stream: str) -> LineSink:
        return self.hub.sink(stream, self._run)

    def _on_report(self, process: Process, report: Transition) -> None:
        """Hear a transition of the current run."""
        if report.state is State.RUNNING:
            self.post(Spawned(pid=process.pid or 0) if process.spec.ready is None else Ready())
        elif report.state is State.STOPPING and process.is_unhealthy:
            self.post(ProcessUnhealthy(why=report.reason))
        elif report.state.is_final:
            self.history.append(process.facts())
            if process.error is not None:
                self.post(SpawnFailed(error=process.error))
            else:
                self.post(ProcessEnded(exit=process.exit))

    def _on_spawn(self) -> None:
        """Hear that the current run has been started, and is not ready yet."""
        if self.process is not None:
            self.post(Spawned(pid=self.process.pid or 0))
            self._host.hear_spawn(self.spec.id)

    def _on_news(self, reason: str, kind: Kind) -> None:
        self._host.hear_news(self.spec.id, reason, kind)

    def _tell(self, report: Transition) -> None:
        if report.state.is_final:
            if self.machine.gave_up:
                subject = f"{self.spec.id!r} " if self.machine.membership is None else ""
                self._gave_up = GaveUp(
                    f"{subject}{self.machine.reason}: see why it ends, or give it another Restart policy",
                    id=self.spec.id,
                    status=self.status(),
                    lines=self.last_lines(),
                )
            self.hub.end()
        # Without the lines that a buffered service keeps: the journal of the events must stay bounded.
        facts = self.facts(lines=False)
        self._host.hear(facts, report)
        self.on_change(facts)

    def on_unstoppable(self) -> None:
        self.on_change(self.facts(lines=False))
        self._host.hear_unstoppable(self.spec.id)
