"""Service: a named, supervised program, whose handle survives its restarts.

What follows what is decided by the table in ``core/supervision.py``; in here its actions are performed: each run is a
Process, each backoff a timer. Sets of services and their order never live here.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, assert_never

from aioverseer.core.clock import Clock, Rng, Timer
from aioverseer.core.errors import (
    GaveUp,
    NotReady,
    NotReadyInTime,
    OverseerError,
    ProcessNotRunning,
    StopFailed,
    UnknownService,
)
from aioverseer.core.events import Kind, StopOutcome
from aioverseer.core.inputs import (
    Admitted,
    AskTurn,
    AwaitReady,
    BeginRun,
    EndRun,
    Failed,
    Queued,
    RestartAsked,
    RunEnded,
    RunFailing,
    Seat,
    ServiceAction,
    TellWait,
)
from aioverseer.core.lines import Line
from aioverseer.core.machine import Arm, Disarm, Input, Report
from aioverseer.core.restart import is_success
from aioverseer.core.run import Due, Ready, Spawned, SpawnFailed, StartAsked, StopAsked
from aioverseer.core.spec import Spec
from aioverseer.core.state import State
from aioverseer.core.status import Facts, Status, last_lines
from aioverseer.core.supervision import Supervision
from aioverseer.output import Hub, Logs, Outlet, Overflow, Subscribers, Subscription
from aioverseer.process import Hooks, Process
from aioverseer.system.seam import Launcher
from aioverseer.system.waiting import Watchers, settle

if TYPE_CHECKING:
    from aioverseer.core.order import Fact
    from aioverseer.core.why import Awaited, Why
    from aioverseer.system.members import MemberLauncher

__all__ = ["HISTORY_RUNS", "Host", "Service", "Turns"]

HISTORY_RUNS = 50
"""Ended runs that a Service remembers."""

_ERROR_LINES = 20
"""Last lines that an error carries."""

_SWALLOWS = "it swallows its cancellation: have it end when it is cancelled"

_MARGIN = 2.0
"""Seconds on top of a ladder before a cancelled call stops waiting for what it undoes."""


class Turns(Protocol):
    """The breaker for restart storms, which is asked before each restart that follows a backoff."""

    @property
    def reason(self) -> str:
        """Why a service waits for it, as the reason of its state."""
        ...

    def ask(self, id: str) -> bool:
        """Return whether a service may be restarted now; else it is fed Admitted later."""
        ...

    def leave(self, id: str) -> None:
        """Let a service wait no more."""
        ...

    def awaited(self, id: str) -> list[Awaited]:
        """Return what a service waits for here; nothing when it does not."""
        ...


class Host(Protocol):
    """What a Service needs of the Overseer that holds it."""

    clock: Clock
    rng: Rng
    launcher: Launcher
    subscribers: Subscribers
    log_files: Logs
    turns: Turns | None

    def check(self, *, starting: bool = False) -> None:
        """Raise OverseerError unless this is the right event loop, and starts are possible when ``starting``."""
        ...

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left."""
        ...

    def hear(self, facts: Facts, report: Report) -> None:
        """Take note of a transition of the service that the facts are of."""
        ...

    def hear_stuck(self, id: str) -> None:
        """Take note that a service's program is still there after its whole ladder."""
        ...

    def awaited(self, id: str) -> list[Awaited]:
        """Return what others have a service wait for: its order, its group, the breaker, a stop of all."""
        ...

    def hear_spawn(self, id: str) -> None:
        """Take note that a program has been started which is not ready yet."""
        ...

    def hear_news(self, id: str, reason: str, kind: Kind) -> None:
        """Take note of news of a service that are no transition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One who asked for a stop and waits for what came of it."""

    outcome: asyncio.Future[StopOutcome]
    run: Process | None
    """What was to be stopped; None when nothing was running."""
    since: float


class Service:
    """A named, supervised program.

    Made by ``Overseer.add``. ``await service`` waits for its final end. All of its methods are to be called on the
    overseer's event loop; reading its state is possible from anywhere.
    """

    def __init__(self, spec: Spec, host: Host, member: MemberLauncher | None = None) -> None:
        """Register a Spec; nothing is started. A member stands in for the program."""
        self._spec = spec
        self._host = host
        self.member = member
        self._machine = Supervision(policy=spec.restart, rng=host.rng, delay=spec.delay_start)
        self._machine.rationed = host.turns is not None
        self._hub = Hub(spec.id, clock=host.clock, shared=host.subscribers)
        self._process: Process | None = None
        self._timer: Timer | None = None
        self._inbox: deque[Input] = deque()
        self._feeding = False
        self._heard: list[Process] = []
        """Earlier runs which left something behind that is still listened to."""
        self._due_runs: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._has_task = False
        self._history: deque[Facts] = deque(maxlen=HISTORY_RUNS)
        self._watchers: Watchers[Facts] = Watchers()
        self._stops: list[_Asked] = []
        self._gave_up: GaveUp | None = None
        self._run = 0
        """Number of the current or last run, from 1."""
        self._hooks = Hooks(
            run_soon=self._run_soon,
            outlet=self._outlet,
            on_report=self._on_report,
            on_stuck=self._on_stuck,
            on_spawn=self._on_spawn,
            on_news=self._on_news,
            last_lines=self._last_lines,
        )
        self._removed = False
        self._forsaken = False

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        pid = "" if self.pid is None else f" pid={self.pid}"
        return f"<Service {self.id!r} {shlex.join(self._spec.argv)!r} {self.state}{pid}>"

    @property
    def id(self) -> str:
        """Its name in the overseer."""
        return self._spec.id

    @property
    def spec(self) -> Spec:
        """What its next run will be; ``Overseer.update`` changes it."""
        return self._spec

    @property
    def state(self) -> State:
        """Where it is."""
        return self._machine.state

    @property
    def process(self) -> Process | None:
        """The current or last run; None before the first."""
        return self._process

    @property
    def pid(self) -> int | None:
        """Process id of the current or last run; None before its spawn."""
        return None if self._process is None else self._process.pid

    @property
    def resource(self) -> Any:
        """What the ``__aenter__`` of a resource returned.

        Raises:
            ProcessNotRunning: When it is no resource, or is not entered now.
        """
        if self.member is None or not self.member.is_resource or self.state is not State.RUNNING:
            raise ProcessNotRunning(f"{self.id!r} has no resource now: it is {self.state}; see Overseer.add_resource")
        return self.member.value

    @property
    def restarts(self) -> int:
        """How many runs followed the first since it was last started."""
        return self._machine.restarts

    @property
    def history(self) -> tuple[Status, ...]:
        """The final Status of each of the last runs, oldest first."""
        return tuple(facts.status() for facts in self._history)

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about it.

        Args:
            lines: Whether the lines of a buffered run are part of it.
        """
        return self.facts(lines=lines).status()

    def why(self) -> Why:
        """Return why it is in its state, what it waits for, and what comes next; ``str()`` of it is one sentence."""
        from aioverseer.core.why import Why  # noqa: PLC0415  # most hosts never ask

        machine, now = self._machine, self._host.clock.now()
        awaits = (*self._host.awaited(self.id), *self._awaited(now))
        due, due_at = self._coming()
        due_in = None if due_at is None else max(0.0, due_at - now)
        if machine.state is State.BACKOFF and awaits:  # only the breaker, or the group, knows: its due may have changed
            due_in = awaits[0].due_in
        return Why(
            id=self.id,
            state=machine.state,
            reason=self._reason(),
            since=max(0.0, now - machine.since) if machine.state is not State.INITIAL else 0.0,
            awaits=awaits,
            due=due,
            due_in=due_in,
            restarts_left=machine.left(now),
            refills_in=machine.refills_in(now),
        )

    def _coming(self) -> tuple[str | None, float | None]:
        """Return what happens next by itself, and the monotonic time, where it is known."""
        machine, process = self._machine, self._process
        match machine.state:
            case State.BACKOFF:
                return "a restart", machine.due
            case State.STARTING if process is not None and not machine.held:
                if process.start_due is not None:
                    return "its start", process.start_due
                if process.ready_due is not None:
                    return "it is ready, or is ended", process.ready_due
                return "it becomes ready", None
            case State.STOPPING if not self.is_stuck:
                return "a new run" if machine.wanted else "its end", None
            case _:
                return None, None

    def _awaited(self, now: float) -> list[Awaited]:
        """Return what it waits for itself: its program."""
        from aioverseer.core.why import Awaited  # noqa: PLC0415  # as above

        process, state = self._process, self.state
        if process is None or self._machine.held:
            return []
        if state is State.STARTING and process.pid is not None:
            text = process.readiness or "its program to be ready"
            due = process.ready_due
            return [Awaited(kind="readiness", text=text, due_in=None if due is None else max(0.0, due - now))]
        if state is not State.STOPPING:
            return []
        text, due = self.ending
        return [Awaited(kind="program", text=text, due_in=None if due is None else max(0.0, due - now))]

    def _reason(self) -> str:
        """Return why it is in its state: the same words in why(), in its Status and in errors."""
        process = self._process
        live = self.state in (State.STARTING, State.RUNNING, State.STOPPING)
        if process is None or not live:
            return self._machine.reason
        reason = f"{self._machine.reason}; {process.stuck_reason}" if process.is_stuck else self._machine.reason
        return f"{reason} ({process.news})" if process.news else reason

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines that it wrote, oldest first, over all its runs.

        Args:
            n: How many at most; what is remembered is bounded (200 lines, 64 KiB).
        """
        return self._hub.tail(n)

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Return a queue of the lines that it writes from now on, over all its runs.

        The queue ends when the service does, after the last line, and goes on when it is started again.

        Args:
            stream: One stream, or None for both.
            history: Begin with up to so many remembered lines.
            size: Lines that the queue holds.
            overflow: What becomes of lines beyond that: ``"drop_oldest"`` and ``"drop_newest"`` put a ``Dropped(n)``
                in their place, ``"block"`` slows the program, ``"error"`` ends the queue with ``asyncio.QueueFull``.

        Raises:
            SpecError: For a value that cannot be.
        """
        self._host.check()
        return self._hub.subscribe(
            stream=stream, history=history, size=size, overflow=overflow, ended=self.state.is_final
        )

    async def start(self) -> Self:
        """Start it and return once it is ready; a failed start is judged by the policy like any failure.

        In BACKOFF it does not wait for the delay. When the call that began the start is cancelled, the service is
        stopped before the cancellation goes on.

        Raises:
            NotReady: When it ends for good, or is stopped, without having become ready; with the last lines.
            StopFailed: At once when its earlier program is still there after the whole ladder. It stays wanted: should
                that end after all, a new run follows.
        """
        self._check_start()
        if self.state is State.RUNNING:
            return self
        began = not self.state.is_live
        self.post(StartAsked())
        await self._ready_or_undone(began=began)
        return self

    async def restart(self) -> Self:
        """Stop it by its ladder, start it again, and return once it is ready.

        In a final state, or before its first start, this is ``start()``. When this is cancelled, the restart goes on
        by itself.

        Raises:
            NotReady: When it ends for good, or is stopped, without having become ready.
            StopFailed: As in ``start``.
        """
        self._check_start()
        began = not self.state.is_live
        self.post(RestartAsked())
        await self._ready_or_undone(began=began)
        return self

    async def _ready_or_undone(self, *, began: bool) -> None:
        # Watched with the state that the start has just left out: RUNNING means a run after it.
        future = self._watchers.watch(self.facts(), self._towards(State.RUNNING))
        try:
            await future
        except asyncio.CancelledError:
            if began:
                await self.undo("its start was cancelled")
            raise

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until it is ready. Safe to cancel.

        Args:
            timeout: Seconds; None is no limit.

        Raises:
            NotReady: At once when it has ended and so cannot become ready, with the last lines.
            NotReadyInTime: When the time is over.
        """
        await self.wait_for(State.RUNNING, timeout)
        return self

    async def wait(self) -> Status:
        """Wait for its final end and return the Status; nothing is started. Safe to cancel.

        Raises:
            StopFailed: At once when its program is still there after the whole ladder, as its end may never come.
        """
        self._host.check()
        return (await self._watchers.watch(self.facts(), self._at_end)).status()

    def __await__(self) -> Generator[Any, None, Status]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def wait_for(self, wanted: State | Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait until it is in a state, or a function says True of its Status; every transition is looked at.

        Args:
            wanted: A State, or a function of a Status.
            timeout: Seconds; None is no limit.

        Returns:
            The Status that was wanted. Safe to cancel.

        Raises:
            NotReady: At once when it has ended otherwise, so that this cannot come true any more.
            NotReadyInTime: When the time is over.
            StopFailed: At once when its program is still there after the whole ladder.
        """
        self._host.check()
        future = self._watchers.watch(self.facts(), self._towards(wanted))
        if timeout is None or future.done():
            return (await future).status()
        clock = self._host.clock
        timer = clock.call_at(clock.now() + timeout, lambda: self._time_out(future, wanted, timeout))
        try:
            return (await future).status()
        finally:
            timer.cancel()

    async def stop(self, *, kill: bool = False) -> Status:
        """End it by its ladder and return the Status. Valid in every state, idempotent; no restart follows.

        When this is cancelled, the stop goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.

        Raises:
            StopFailed: When its program is still there after the whole ladder.
        """
        outcome = await self.stop_outcome(kill=kill)
        if outcome.survived:
            raise self._stop_failed(outcome.status)
        return outcome.status

    async def stop_outcome(self, *, kill: bool = False) -> StopOutcome:
        """Do what ``stop`` does, and return what it took rather than raise."""
        self._host.check()
        return await self.ask_to_stop(StopAsked(kill=kill))

    def ask_to_stop(self, asked: StopAsked) -> asyncio.Future[StopOutcome]:
        """Begin a stop; the future has what it took, at its end or at that of its ladder.

        It also ends when somebody starts the service again meanwhile: then with the Status of the run that was stopped.
        """
        idle = self.state in (State.INITIAL, State.BACKOFF) or self.state.is_final or self.is_held
        waiter = _Asked(
            outcome=asyncio.get_running_loop().create_future(),
            run=None if idle else self._process,
            since=self._host.clock.now(),
        )
        self.post(asked)
        self._stops.append(waiter)
        self._tell_stops()
        return waiter.outcome

    def _tell_stops(self) -> None:
        """Answer those whose stop is over."""
        waiting: list[_Asked] = []
        for asked in self._stops:
            if asked.outcome.done():  # it was cancelled: nobody waits there any more
                continue
            # Its run is over, although the service is not: somebody wants another one.
            over = asked.run is not self._process or self.is_held
            overtaken = asked.run is not None and over
            if not (overtaken or self.is_stuck or not self.state.is_live):
                waiting.append(asked)
                continue
            status = asked.run.status() if overtaken and asked.run is not None else self.status()
            asked.outcome.set_result(
                StopOutcome(
                    id=self.id,
                    status=status,
                    signals=() if asked.run is None else asked.run.signals_sent,
                    seconds=self._host.clock.now() - asked.since,
                    survived=self.is_stuck and not overtaken,
                    left=() if asked.run is None else asked.run.survivors,
                )
            )
        self._stops = waiting

    @property
    def is_stuck(self) -> bool:
        """Whether its program is still there although the whole ladder has been taken."""
        return self._process is not None and self._process.is_stuck

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends its program, as words behind "waits for", and the monotonic time of the next step of its ladder."""
        if self._process is None or self.state is not State.STOPPING:
            return "its end", None
        return self._process.ending

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to its program and all that it started. This is no stop: the policy judges what follows.

        Args:
            number: The signal, for example ``signal.SIGHUP``.
            scope: ``"leader"`` reaches the program alone.

        Raises:
            ProcessNotRunning: When no program of it is live.
            SpecError: When it is no signal.
        """
        self._host.check()
        self._live_process().signal(number, scope=scope)

    async def write(self, data: bytes | str) -> None:
        """Write to the standard input of the current run; see ``Process.write``."""
        self._host.check()
        await self._live_process().write(data)

    async def write_eof(self) -> None:
        """End the standard input of the current run behind all that is being written; see ``Process.write_eof``."""
        self._host.check()
        await self._live_process().write_eof()

    def close_stdin(self) -> None:
        """End the standard input of the current run. Idempotent."""
        self._host.check()
        if self._process is not None:
            self._process.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal of the current run; see ``Process.resize``."""
        self._host.check()
        self._live_process().resize(columns, rows)

    def reopen_log(self) -> None:
        """Close its log files; the next line opens what bears their names then. For tools that rename them.

        This is needed only to have a renamed file let go at once: a file is looked at before each write anyway.
        """
        self._host.check()
        self._host.log_files.reopen(self.id)

    async def flush_log(self) -> None:
        """Wait until all lines so far are in its log files, or are counted as lost. Safe to cancel."""
        self._host.check()
        await self._host.log_files.flush()

    # What follows is for the Overseer that holds this Service, and for the Service itself.

    def facts(self, *, lines: bool = True) -> Facts:
        """Return what a Status is made of."""
        machine, process, spec = self._machine, self._process, self._spec
        stdout, stderr = process.kept_lines() if lines and process is not None else (None, None)
        return Facts(
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
            self._reason(),
            spec.restart.max_restarts,
            self._host.log_files.lost(spec.id),
            (self.member or self._host.launcher).containment_of(spec).level,
        )

    def adopt(self, spec: Spec) -> None:
        """Take a new Spec, for the next run; a new policy judges the next end."""
        self._spec = spec
        self._machine.adopt(policy=spec.restart, delay=spec.delay_start)

    def close(self) -> None:
        """End the subscriptions and waits for good: the service was removed."""
        self._removed = True
        self.release()
        self._hub.end()
        self._watchers.tell(self.facts())

    def forsake(self) -> None:
        """End the waits: the overseer has been left, so nothing comes any more. It may be entered again."""
        self.release()
        self._forsaken = True
        self._watchers.tell(self.facts())
        self._forsaken = False

    def release(self) -> None:
        """Listen no more to what earlier runs have left behind."""
        for run in (*self._heard, self._process):
            if run is not None and run.is_heard:
                run.release()
        self._heard = []

    def room(self) -> None:
        """Read the pipes again for which no lossless subscriber is blocked any more."""
        self._hub.room()

    async def undo(self, why: str) -> None:
        """Stop it and wait for that through any cancellation, no longer than its ladder takes."""
        ended = self.ask_to_stop(StopAsked(why=why))
        within = self._spec.stop.total + self._spec.drain_timeout + _MARGIN
        await settle(ended, within=within, clock=self._host.clock)
        ended.cancel()

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
                    self._perform(self._machine.feed(self._inbox.popleft(), self._host.clock.now()))
                except Exception as error:  # noqa: BLE001  # the user's source of chance, or a bug: this service ends
                    self._fail(error)
        finally:
            self._feeding = False

    def _fail(self, error: Exception) -> None:
        """End for good, with the program, because a step of this service has raised: half of it may be missing."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"aioverseer: a step of service {self.id!r} has raised, it ends FATAL", "exception": error}
        )
        self._inbox.clear()
        live = self._process is not None and self._process.state.is_live
        self._perform(self._machine.feed(Failed(error=error, live=live), self._machine.now))

    def _perform(self, actions: Iterable[ServiceAction | Report]) -> None:
        for action in actions:
            match action:  # the frequent ones first
                case Report():
                    self._tell(action)
                case BeginRun():
                    self._begin(action)
                case EndRun():
                    if self._process is not None:
                        self._process.post(StopAsked(kill=action.kill, why=action.why))
                case AwaitReady():
                    # With no probe, what the system has started is ready: by the same path as with one. (With one it
                    # has said so itself, where all of its start was a single step, as with eager tasks.)
                    process = self._process
                    if process is not None and process.spec.ready is None and process.state is State.RUNNING:
                        self._inbox.append(Ready())
                case Arm(seconds=seconds) if seconds <= 0:
                    # By way of a timer it would be a turn of the loop later.
                    self._inbox.append(Due())
                case Arm():
                    self._disarm()
                    self._timer = self._host.clock.call_at(self._machine.now + action.seconds, self._on_due)
                case Disarm():
                    self._disarm()
                case AskTurn():
                    # Before what has come in since: that may be what takes it out of the queue.
                    turns = self._host.turns
                    may = turns is None or turns.ask(self.id)
                    self._inbox.appendleft(Admitted() if turns is None or may else Queued(why=turns.reason))
                case TellWait():
                    self._host.hear_news(self.id, self._machine.reason, "breaker")
                case _:
                    assert_never(action)

    def _begin(self, action: BeginRun) -> None:
        self._gave_up = None
        self._run = action.number
        self._hub.begin()
        if self._heard or (self._process is not None and self._process.is_heard):
            self._heard = [run for run in (*self._heard, self._process) if run is not None and run.is_heard]
        self._hub.log_to(self._host.log_files.sinks(self.id, self._hub.room))
        self._process = Process.from_spec(
            self._spec.updated(delay_start=action.delay) if action.delay != self._spec.delay_start else self._spec,
            clock=self._host.clock,
            launcher=self.member or self._host.launcher,
            hooks=self._hooks,
        )
        self._process.post(StartAsked())

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
            if self._process is not None:
                self._process.end_unbegun()

    async def _run_due(self) -> None:
        try:
            while self._due_runs:
                await self._due_runs.popleft()()
        finally:
            self._has_task = False

    def _outlet(self, stream: str) -> Outlet:
        return self._hub.inlet(stream, self._run)

    def _on_report(self, process: Process, report: Report) -> None:
        """Hear a transition of the current run."""
        if report.state is State.RUNNING:
            self.post(Spawned(pid=process.pid or 0) if process.spec.ready is None else Ready())
        elif report.state is State.STOPPING and process.is_unwell:
            self.post(RunFailing(why=report.reason))
        elif report.state.is_final:
            self._history.append(process.facts())
            if process.error is not None:
                self.post(SpawnFailed(error=process.error))
            else:
                self.post(RunEnded(exit=process.exit))

    def _on_spawn(self) -> None:
        """Hear that the current run has been started, and is not ready yet."""
        if self._process is not None:
            self.post(Spawned(pid=self._process.pid or 0))
            self._host.hear_spawn(self.id)

    def _on_news(self, reason: str, kind: Kind) -> None:
        self._host.hear_news(self.id, reason, kind)

    def fact(self) -> Fact:
        """Return what those need to know that are started after it."""
        from aioverseer.core.order import Fact  # noqa: PLC0415  # loaded by the overseer that asks

        machine = self._machine
        exit = None if self._process is None else self._process.exit
        return Fact(
            state=machine.state,
            started=machine.spawned,
            readied=machine.readied,
            success=machine.state is State.FINISHED and is_success(machine.policy, exit),
            stuck=self.is_stuck,
        )

    @property
    def is_held(self) -> bool:
        """Whether it waits for others before its first run."""
        return self._machine.held

    @property
    def has_begun(self) -> bool:
        """Whether a start of its program has been tried since it was last started."""
        return self._machine.begun

    @property
    def was_stopped(self) -> bool:
        """Whether its end, if it has ended, is what somebody asked for."""
        return self._machine.stopped

    @property
    def was_dismissed(self) -> bool:
        """Whether its end, if it has ended, is what its group wanted."""
        return self._machine.dismissed

    @property
    def gave_up(self) -> GaveUp | None:
        """The error, if it has ended because its budget, or that of its group, is spent."""
        return self._gave_up if self._machine.gave_up else None

    @property
    def is_halted(self) -> bool:
        """Whether it is held down by its group, to be started again with the others."""
        return self._machine.halted

    def sit(self, seat: Seat | None) -> None:
        """Take a place in a group with a strategy, which judges its ends from now on; or leave it."""
        self._machine.seat = seat

    def _tell(self, report: Report) -> None:
        if report.state.is_final:
            if self._machine.gave_up:
                subject = f"{self.id!r} " if self._machine.seat is None else ""
                self._gave_up = GaveUp(
                    f"{subject}{self._machine.reason}: see why it ends, or give it another Restart policy",
                    id=self.id,
                    status=self.status(),
                    lines=self._last_lines(),
                )
            self._hub.end()
        # Without the lines that a buffered service keeps: the journal of the events must stay bounded.
        facts = self.facts(lines=False)
        self._host.hear(facts, report)
        if self._watchers:
            self._watchers.tell(self.facts() if self._spec.buffered else facts)
        self._tell_stops()

    def _on_stuck(self) -> None:
        self._tell_stops()
        if self._watchers:
            self._watchers.tell(self.facts())
        self._host.hear_stuck(self.id)

    def _on_due(self) -> None:
        self._timer = None
        self.post(Due())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._host.turns is not None:
            self._host.turns.leave(self.id)

    def _towards(self, wanted: State | Callable[[Status], bool]) -> Callable[[Facts], bool | BaseException]:
        """Return what says of the facts whether it is wanted, and gives an error when it cannot come any more."""

        def judge(facts: Facts) -> bool | BaseException:
            try:
                if facts.state is wanted if isinstance(wanted, State) else wanted(facts.status()):
                    return True
            except Exception as error:  # noqa: BLE001  # the caller's own function: its error is for the caller alone
                return error
            if facts.state.is_final:
                # In time is what it was not, unless it was not ready for another reason again and again.
                late = isinstance(self._machine.error, NotReadyInTime)
                kind = NotReadyInTime if late else NotReady
                return self._not_ready(kind, wanted, f"it is {facts.state}: {facts.reason}")
            return self._nothing_comes() or False

        return judge

    def _at_end(self, facts: Facts) -> bool | BaseException:
        return facts.state.is_final or self._nothing_comes() or False

    def _nothing_comes(self) -> OverseerError | None:
        """Return why nothing happens to it any more, if that is so, as far as anybody can tell."""
        if self.is_stuck:
            return self._stop_failed(self.status())
        if self._removed:
            return UnknownService(f"service {self.id!r} was removed: add it again")
        if self._forsaken:
            return OverseerError(f"the overseer of {self.id!r} was left, and {self.id!r} is {self.state}")
        return None

    def _stop_failed(self, status: Status) -> StopFailed:
        why = _SWALLOWS if self.member is not None else "it may wait for a device or a file system, see its state in ps"
        return StopFailed(
            f"{self.id!r} does not die: {status.reason}; {why}",
            id=self.id,
            status=status,
            lines=self._last_lines(),
        )

    def _check_start(self) -> None:
        self._host.check(starting=True)
        if self._removed:
            raise UnknownService(f"service {self.id!r} was removed: add it again")

    def _time_out(
        self, future: asyncio.Future[Facts], wanted: State | Callable[[Status], bool], timeout: float
    ) -> None:
        if not future.done():
            future.set_exception(self._not_ready(NotReadyInTime, wanted, f"after {timeout:g} s {self.why()}"))

    def _not_ready(self, kind: type[NotReady], wanted: State | Callable[[Status], bool], why: str) -> NotReady:
        what = f"is not {wanted}" if isinstance(wanted, State) else "is not what was waited for"
        if wanted is State.RUNNING:
            what = "is not ready"
        status = self.status()
        error = kind(f"{self.id!r} {what}: {why}", id=self.id, status=status, lines=self._last_lines())
        error.__cause__ = status.error
        return error

    def _last_lines(self) -> list[str]:
        return last_lines([line.text for line in self._hub.tail(_ERROR_LINES)])

    def _live_process(self) -> Process:
        if self._process is None:
            raise ProcessNotRunning(f"{self.id!r} is not running: {self._machine.reason}")
        return self._process
