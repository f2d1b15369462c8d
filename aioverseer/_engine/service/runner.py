"""ServiceRunner: runs one program again and again.

It feeds the state machine of the service, performs the actions that the machine returns, and reports to the owner.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from aioverseer._aio.fork import in_copy
from aioverseer._aio.shield import settle
from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.output.hub import Hub
from aioverseer._engine.output.log_routing import LogRouting
from aioverseer._engine.output.subscription import Subscribers
from aioverseer._engine.output.tail import TAIL_LINES
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.owner import (
    ServiceOwner,
    ServiceTransition,
    SideRuns,
    SocketHolder,
    StartGate,
    Throttle,
)
from aioverseer._engine.service.place import InstancePlace
from aioverseer._engine.service.run_factory import RunFactory
from aioverseer._engine.service.run_sockets import RunSockets
from aioverseer._engine.service.runs import RunFollower, RunReaders, Runs
from aioverseer._engine.service.task_chain import TaskChain
from aioverseer._engine.service.trigger import TriggerSource
from aioverseer._engine.service.waiters import Waiters
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import SpecError
from aioverseer.core.machine.actions import (
    AskSuccessor,
    AskThrottle,
    ExchangeRuns,
    ReportOverlap,
    ReportThrottled,
    ServiceAction,
    SetTrigger,
    StartProcess,
    StopProcess,
)
from aioverseer.core.machine.impossible import is_impossible
from aioverseer.core.machine.inputs import (
    Admitted,
    Failed,
    ProcessEnded,
    ProcessEnding,
    Ready,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    SuccessorTakesOver,
    Throttled,
    TimerFired,
    Triggered,
)
from aioverseer.core.machine.membership import GroupMembership
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.table import Arm, Disarm, Input, Transition
from aioverseer.core.options.effects import EFFECTS, changed_options
from aioverseer.core.options.pipeline import stop_seconds
from aioverseer.core.options.restart import wants_restart
from aioverseer.core.options.spec import Spec, is_template
from aioverseer.core.options.stop import Stop
from aioverseer.core.report.events import Kind, StopOutcome
from aioverseer.core.report.status import GaveUp, StatusSnapshot, last_lines, lines_of_runs
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import Exit, State

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.service.run_spec import RunSpecs
    from aioverseer._engine.service.run_steps import RunSteps
    from aioverseer._system.inprocess import TaskLauncher
    from aioverseer.core.report.usage import Usage

__all__ = ["HISTORY_RUNS", "ServiceRunner"]

HISTORY_RUNS = 50
"""Ended runs that a service remembers."""

_MARGIN = 2.0
"""Seconds that a roll-back waits in addition to the ladder: for the last output, and for a busy host."""

_GOOD = Exit(code=0)
_ERROR_LINES = 20
"""Last lines that an error carries."""


class _UseCheck(Protocol):
    def __call__(self, *, starting: bool = False) -> None: ...


class ServiceRunner:
    """The engine of one service.

    Attributes:
        spec: The options of the next run.
        task_launcher: Launcher of a function or a context manager in place of a program; None for a program.
        place: Which instance of which set the service is; None for a lone service.
        clock: The source of time.
        machine: The state of the service. Read it freely; only ``submit`` feeds it.
        hub: The distributor of the lines of all runs.
        log_routing: The logs of the overseer.
        waiters: Callers that wait for this service.
        measure: Function that measures what each service uses.
        process: The current or last run; None before the first. Only this attribute says which run is current: reports
            name a run by its number.
        run_factory: The factory of the runs.
        history: Snapshots of the last runs at their ends, oldest first.
        steps: The steps before and after each run; None until the first of them.
        trigger: The source that starts each run; None for a service that runs from its start on.
        side_runs: The runs beside the current one; None unless there has been a roll.
    """

    def __init__(
        self,
        spec: Spec,
        task_launcher: TaskLauncher | None,
        *,
        place: InstancePlace | None = None,
        owner: ServiceOwner,
        clock: Clock,
        rng: Rng,
        launcher: Launcher,
        subscribers: Subscribers,
        log_routing: LogRouting,
        throttle: Throttle | None,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        make_handle: Callable[[ProcessRunner], Any],
        load_health: Callable[[], type[Health]],
        run_specs_of: Callable[[int], RunSpecs],
        load_run_steps: Callable[[], type[RunSteps]],
        start_queue: StartGate | None,
        service_handle: Callable[[ServiceRunner], Any],
        check: _UseCheck,
        is_leaving: Callable[[], bool],
        blockers: Callable[[str], list[Awaited]],
        sockets: Callable[[], SocketHolder],
        measure: Callable[[], Coroutine[Any, Any, dict[str, Usage]]],
        make_trigger: Callable[[ServiceRunner], TriggerSource | None],
    ) -> None:
        """Create a service in INITIAL. Nothing is started.

        Args:
            spec: The options of the service.
            task_launcher: Launcher of a function or a context manager in place of a program; None for a program.
            place: Which instance of which set the service is; None for a lone service.
            owner: The receiver of the reports.
            clock: The source of time.
            rng: The source of random numbers for backoff delays.
            launcher: The launcher of programs.
            subscribers: Readers of the lines of all services.
            log_routing: The logs of the overseer.
            throttle: The limit on restarts; None for no limit.
            start_task: Function that runs a coroutine until the overseer is left.
            make_handle: Factory of the objects that users receive for runs.
            load_health: Function that imports the class that runs probes.
            run_specs_of: Function of the number of the instance that makes the Specs of its runs.
            load_run_steps: Function that imports the class for the steps before and after runs.
            start_queue: The limit on programs that start at once; None for no limit.
            service_handle: Function that returns the object that functions of the user receive for a service.
            check: Function that raises OverseerError unless the overseer is in use on this event loop, and also while
                the overseer is being left if ``starting``.
            is_leaving: Function that returns whether the overseer is being left.
            blockers: Function that returns what others make a service wait for, given its name.
            sockets: Function that returns the listening sockets of the overseer, for a service with ``listen``.
            measure: Function that measures what each service uses, in one pass for all.
            make_trigger: Factory of the source that starts each run, by the options; None for options without one.
        """
        self.spec = spec
        self.task_launcher = task_launcher
        self.place = place
        self.clock = clock
        self.machine = ServiceMachine(policy=spec.restart, rng=rng, delay=spec.delay_start)
        self.machine.has_throttle = throttle is not None
        self.hub = Hub(spec.id, clock=clock, shared=subscribers)
        self.log_routing = log_routing
        self.check = check
        self.process: ProcessRunner | None = None
        self.history: deque[StatusSnapshot] = deque(maxlen=HISTORY_RUNS)
        self.waiters = Waiters(self)
        self.trigger: TriggerSource | None = None
        self.steps: RunSteps | None = None
        self._service_handle = service_handle
        self._load_run_steps = load_run_steps
        self._start_queue = start_queue if task_launcher is None else None
        self._run_readers = RunReaders()
        self._owner = owner
        self._sockets = RunSockets(sockets, has_other_runs=lambda: self.side_runs is not None and self.side_runs.live)
        self.run_factory = RunFactory(
            owner=self,
            clock=clock,
            launcher=task_launcher or launcher,
            hub=self.hub,
            recent_lines=self.last_lines,
            make_handle=self._handle_of,
            load_health=load_health,
            load_run_specs=lambda: run_specs_of(0 if place is None else place.index),
            register_log=log_routing.register,
            sockets=self._sockets,
        )
        self._throttle = throttle
        self._start_task = start_task
        self._make_handle = make_handle
        self._is_leaving = is_leaving
        self._blockers = blockers
        self.measure = measure
        self._spec_of_run: Spec | None = None
        self._waiting: frozenset[str] = frozenset()
        self._make_trigger = make_trigger
        self._timer = OneShotTimer(clock)
        self._inbox: deque[Input] = deque()
        self._feeding = False
        self._handle: Any = None
        self._successor_handle: Any = None
        # Earlier runs with leftovers whose output is still read.
        self._still_read: list[ProcessRunner] = []
        self._chain = self.new_chain()
        self.side_runs: SideRuns | None = None
        # The end of the last run of a service that ends, while a run beside it still lives.
        self._held_end: Input | None = None
        # Events that a step has caused before the report of its change of state.
        self._late_notices: deque[Callable[[], None]] = deque()
        self._gave_up: GaveUp | None = None
        self._follow_trigger()

    # The state of the service.

    @property
    def id(self) -> str:
        """The name of the service."""
        return self.spec.id

    @property
    def state(self) -> State:
        """The current state."""
        return self.machine.state

    @property
    def number(self) -> int:
        """The number of the current or last run; 0 before the first."""
        return 0 if self.process is None else self.process.number

    @property
    def live_runs(self) -> list[ProcessRunner]:
        """The runs that live: the current one, and during a roll others beside it."""
        current = [self.process] if self.process is not None and self.process.machine.state.is_live else []
        return current if self.side_runs is None else [*current, *self.side_runs.runs]

    @property
    def is_scripted(self) -> bool:
        """Whether the children of the service are no processes of the machine: scripts of a test, or a task."""
        return self.run_factory.launcher.containment_of(self.spec).level == "none"

    @property
    def handle(self) -> Any:
        """The handle of the current or last run; None before the first."""
        if self._handle is None and self.process is not None:
            self._handle = self._make_handle(self.process)
        return self._handle

    @property
    def is_task(self) -> bool:
        """Whether the service is a function or a context manager of the host instead of a program."""
        return self.task_launcher is not None

    @property
    def is_external(self) -> bool:
        """Whether the service is not ours, and is only waited for."""
        return self.task_launcher is not None and self.task_launcher.is_external

    @property
    def is_deferred(self) -> bool:
        """Whether the service waits for its dependencies before its first run."""
        return self.machine.deferred

    @property
    def is_disarmed(self) -> bool:
        """Whether a run on request is under way, after which no other follows: a start arms the trigger."""
        machine = self.machine
        if self.trigger is None or machine.is_armed:
            return False
        return machine.wanted and machine.state.is_live and not machine.deferred

    @property
    def run_spec(self) -> Spec:
        """The options of the service at the start of its current or last run; before the first, its options now."""
        return self._spec_of_run or self.spec

    @property
    def pending(self) -> tuple[str, ...]:
        """Names of the options that take effect with the next run, because the current one has others."""
        before = self._spec_of_run
        if before is None or before is self.spec or self.process is None or not self.process.machine.state.is_live:
            return ()
        names = changed_options(before, self.spec)
        return tuple(name for name in names if EFFECTS[name] != "in place" or name in self._waiting)

    @property
    def is_unstoppable(self) -> bool:
        """Whether the program still exists after its whole ladder."""
        if self.process is not None and self.process.machine.unstoppable:
            return True
        return self.side_runs is not None and self.machine.state is State.STOPPING and self.side_runs.is_stuck

    @property
    def ending(self) -> tuple[str, float | None]:
        """The end of the program as words after "waits for", and the monotonic time of the next step of the ladder."""
        if self.steps is not None and (ending := self.steps.ending) is not None:
            return ending
        if self.process is None or self.machine.state is not State.STOPPING:
            return "its end", None
        return self.process.machine.ending

    @property
    def gave_up(self) -> GaveUp | None:
        """The error, if the service has ended because its budget, or that of its group, is spent."""
        return self._gave_up if self.machine.gave_up else None

    def snapshot(self, *, lines: bool = True) -> StatusSnapshot:
        """Return the values from which a Status is made.

        Args:
            lines: Whether the lines of a buffered run are included.
        """
        machine, process, spec = self.machine, self.process, self.spec
        error = self._gave_up or self.last_error
        level = self.run_factory.launcher.containment_of(spec).level
        lost = self.log_routing.lost(spec.id)
        due_at = None if self.trigger is None else self.trigger.due_at
        if process is None:
            return StatusSnapshot(
                spec,
                None,
                machine.state,
                None,
                error,
                None,
                None,
                0.0,
                None,
                None,
                machine.restarts,
                machine.reason,
                spec.restart.max_restarts,
                lost,
                level,
                next=due_at,
                by=machine.by,
            )
        run_task = process.run_task
        if is_template(spec):
            spec = process.spec  # with the values of its run
        stdout, stderr = process.streams.kept_lines() if lines else (None, None)
        return StatusSnapshot(
            spec,
            process.machine.pid or None,
            machine.state,
            process.machine.exit,
            error,
            run_task.started_at,
            run_task.stopped_at,
            run_task.runtime,
            stdout,
            stderr,
            machine.restarts,
            self.reason(),
            spec.restart.max_restarts,
            lost,
            level,
            self.last_lines() if lines and machine.state.is_final and process.machine.exit != _GOOD else (),
            due_at,
            machine.by,
        )

    @property
    def last_error(self) -> BaseException | None:
        """The error of the last run: why it could not be started, or what its task has raised; None for none."""
        return self.machine.error or (None if self.task_launcher is None else self.task_launcher.error)

    def reason(self) -> str:
        """Return the reason of the current state: the same words in ``why()``, in the Status and in errors."""
        reason, process = self.machine.reason, self.process
        if self.steps is not None and (step := self.steps.reason) and self.machine.state.is_live:
            return f"{reason}; {step}"
        if process is None or self.machine.state not in (State.STARTING, State.RUNNING, State.STOPPING):
            return reason
        if process.machine.unstoppable:
            reason = f"{reason}; {process.machine.reason}"
        if process.health_summary:
            reason = f"{reason} ({process.health_summary})"
        held_up = process.streams.held_up
        return f"{reason}; waits for a reader of its {' and '.join(held_up)}" if held_up else reason

    def last_lines(self) -> list[str]:
        """Return the last lines of all runs, for an error message."""
        return lines_of_runs(self.hub.tail(_ERROR_LINES))

    def last_words(self, run: int) -> list[str]:
        """Return the last lines of standard error of a run, for an error message; of both streams if there are none.

        Answers would hide the few lines that say why the run has ended.
        """
        lines = [line for line in self.hub.tail(TAIL_LINES) if line.run == run]
        return last_lines([line.text for line in lines if line.stream == "stderr"] or [line.text for line in lines])

    def blockers(self) -> list[Awaited]:
        """Return what others make the service wait for: dependencies, its group, the throttle, a stop of all."""
        return self._blockers(self.id)

    # Requests.

    def start(self, *, by: str = "") -> None:
        """Start the service.

        Args:
            by: The name of the one who asks.
        """
        self.submit(StartRequested(by=by))

    def use_trigger(self, trigger: TriggerSource | None) -> None:
        """Let a source start each run that follows the present one, or none."""
        if self.trigger is not None:
            if trigger is None and self.state is State.WAITING:
                self.submit(Triggered(why="nothing else starts it any more"))
            self.trigger.set(armed=False, waiting=False)
        self.trigger = trigger
        self.machine.take_trigger(trigger)
        if trigger is not None:
            trigger.set(armed=self.machine.is_armed, waiting=self.state is State.WAITING)

    def _follow_trigger(self) -> None:
        """Take the source that the options name, unless the present one goes on with them."""
        trigger, spec = self.trigger, self.spec
        if trigger is None and spec.schedule is None and not spec.on_demand:
            return
        if trigger is None or not trigger.update(spec):
            self.use_trigger(self._make_trigger(self))

    def open_sockets(self) -> Iterable[int]:
        """Open the sockets of the service without a run, and return their descriptors.

        Raises:
            SpawnError: If one cannot be opened.
        """
        return self._sockets.hold(self.spec, announced=True).sockets.values()

    def run_now(self, *, by: str = "") -> None:
        """Start the service, without waiting for its trigger. In BACKOFF the start does not wait for the delay.

        Args:
            by: The name of the one who asks.
        """
        is_idle = self.state is State.WAITING or not self.state.is_live or self.is_deferred
        if self.trigger is not None and (is_idle or self.state is State.STOPPING):
            self.submit(Triggered(why="a run was asked for", overlap="replace", by=by))
        else:
            self.start(by=by)

    def request_stop(
        self, *, kill: bool = False, why: str = "a stop was asked for", ladder: Stop | None = None, by: str = ""
    ) -> None:
        """Begin to stop the service, without a future for the outcome.

        Args:
            kill: Whether to take the last step of the ladder, SIGKILL, at once.
            why: The reason of the new state.
            ladder: A ladder for this stop, if none is under way; None for that of the options.
            by: The name of the one who asks.
        """
        self.submit(StopRequested(kill=kill, why=why, ladder=ladder, by=by))
        if self.machine.state.is_final:  # it had given up before, and kept its sockets
            self._sockets.release(self.spec.id)

    def stop(
        self, *, kill: bool = False, why: str = "a stop was asked for", ladder: Stop | None = None, by: str = ""
    ) -> asyncio.Future[StopOutcome]:
        """Begin to stop the service, and return a future for the outcome; see ``Waiters.for_stop``.

        Args:
            kill: Whether to take the last step of the ladder, SIGKILL, at once.
            why: The reason of the new state.
            ladder: A ladder for this stop, if none is under way; None for that of the options.
            by: The name of the one who asks.
        """
        request = self.waiters.begin_stop()
        self.request_stop(kill=kill, why=why, ladder=ladder, by=by)
        return self.waiters.for_stop(request)

    @property
    def stop_seconds(self) -> float:
        """Seconds that a stop takes at most, of the present run or of the next one."""
        present = 0.0 if self.process is None else self.process.stop_seconds
        cleanup = 0.0 if self.spec.cleanup is None else self.spec.stop.total
        return max(present, stop_seconds(self.spec)) + cleanup

    async def roll_back(self, why: str) -> asyncio.CancelledError | None:
        """Stop the service and wait for that through any cancellation, no longer than the ladder takes.

        Args:
            why: The reason of the new state.

        Returns:
            A cancellation that came meanwhile.
        """
        if in_copy():
            return None
        if self._is_leaving():
            return None  # the stop of all services is under way, and keeps their order
        stopped = self.stop(why=why)
        within = self.stop_seconds + _MARGIN
        cancelled = await settle(stopped, within=within, clock=self.clock)
        stopped.cancel()
        return cancelled

    def apply_spec(self, spec: Spec) -> None:
        """Take new options for the next run. A new policy judges the next end, a new ladder serves the next stop."""
        # Another program, or another folder to find it in, has never run: a mistake in it shows at once.
        if (spec.argv[0], spec.cwd) != (self.spec.argv[0], self.spec.cwd):
            self.machine.change_program()
        before, self.spec = self.spec, spec
        if self.process is not None:
            self._change_ladder(self.process)
            if self.process.machine.state.is_live:
                self._change_run(self.process, before)
        self.machine.apply_policy(policy=spec.restart, delay=spec.delay_start)
        self._follow_trigger()

    def _change_run(self, process: ProcessRunner, before: Spec) -> None:
        """Give the current run those options that take effect at once."""
        # A placeholder has a value for each run, and the current one has begun with its own.
        fixed = is_template(self.spec)
        if self.spec.alive != before.alive:
            self._note_waiting("alive", waits=fixed or not process.change_alive(self.spec.alive))
        if (self.spec.log, self.spec.group) != (before.log, before.group):
            self._note_waiting("log", waits=fixed)
            if not fixed:
                self._open_logs()
                self.hub.resume_reading()

    def _change_ladder(self, process: ProcessRunner) -> None:
        ladder = self.spec.stop
        try:
            ladder = self.run_factory.ladder_of(process.number, ladder)
        except SpecError:  # a placeholder that the current run has no value for, such as a port
            self._note_waiting("stop", waits=True)
            return
        self._note_waiting("stop", waits=False)
        process.machine.apply_ladder(ladder)

    def command_of(self, run: int, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words of a command for a live run, with the values of its placeholders.

        Raises:
            SpecError: For a placeholder that the run has no value for.
        """
        return self.run_factory.command_of(run, argv)

    def _note_waiting(self, name: str, *, waits: bool) -> None:
        self._waiting = self._waiting | {name} if waits else self._waiting - {name}

    def read_runs(self) -> Runs[Any]:
        """Return a new reader of the runs, from the current one on."""
        runs = self._run_readers.add(on_left=self._on_reader_left)
        process = self.process
        if process is not None and process.machine.state.is_live:
            for run in filter(None, (process, None if self.side_runs is None else self.side_runs.successor)):
                run.streams.keep_for_reader()
                runs.add(self._handle_of(run), run.streams)
        elif self.machine.state.is_final:
            runs.end()
        return runs

    def follow_runs(self, follower: RunFollower) -> None:
        """Add a follower of the runs, from the current one on."""
        self._run_readers.followers = (*self._run_readers.followers, follower)
        if self.process is not None and self.process.machine.state.is_live:
            follower.on_run(self.process)
        if self.side_runs is not None and self.side_runs.successor is not None:
            follower.on_run(self.side_runs.successor)

    def unfollow_runs(self, follower: RunFollower) -> None:
        """Remove a follower. Idempotent."""
        followers = self._run_readers.followers
        self._run_readers.followers = tuple(other for other in followers if other is not follower)

    def _on_reader_left(self) -> None:
        if self.process is not None and not self._run_readers.any:
            self.process.streams.relax()

    def join_group(self, membership: GroupMembership | None) -> None:
        """Let a group judge the ends of this service from now on; None for the service's own policy."""
        self.machine.membership = membership

    def resume_reading(self) -> None:
        """Read those pipes again that no lossless subscriber blocks any more."""
        self.hub.resume_reading()

    def release(self) -> None:
        """Stop reading the output of leftovers."""
        for run in (*self._still_read, self.process):
            if run is not None and run.is_still_read:
                run.release()
        self._still_read = []

    def close(self) -> None:
        """End subscriptions and waits for good: the service was removed."""
        self.release()
        self._sockets.release(self.spec.id)
        self.hub.end("the service was removed")
        self.waiters.close()
        self._run_readers.close()

    def detach(self) -> None:
        """End the waits: the overseer was left. It may be entered again."""
        self.release()
        self._sockets.release(self.spec.id)
        self._run_readers.close()
        self.waiters.detach()

    def submit(self, given: Input) -> None:
        """Feed the state machine and perform the actions that it returns.

        An input that an action causes is fed after all actions before it were performed, so reports stay in order.
        """
        if in_copy():  # the service is that of the parent of this fork
            return
        self._inbox.append(given)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._inbox:
                try:
                    self._perform(self.machine.feed(self._inbox.popleft(), self.clock.now()))
                except Exception as error:  # noqa: BLE001  # an error of the user's random source, or a bug: only this service ends
                    self._fail(error)
        finally:
            self._feeding = False

    def _fail(self, error: Exception) -> None:
        """End the service and its program for good: a step has raised, and half of its actions may be missing."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"aioverseer: a step of service {self.spec.id!r} has raised, it ends FATAL", "exception": error}
        )
        self._inbox.clear()
        live = self.process is not None and self.process.machine.state.is_live
        live = live or (self.side_runs is not None and self.side_runs.live)
        live = live or (self.steps is not None and self.steps.is_busy)
        self._perform(self.machine.feed(Failed(error=error, live=live), self.machine.now))

    def _perform(self, actions: Sequence[ServiceAction | Transition]) -> None:
        for action in actions:
            match action:  # the frequent ones first
                case Transition():
                    self._report(action)
                case StartProcess():
                    self._start_process(action)
                case StopProcess():
                    if self.steps is not None:
                        self.steps.stop(kill=action.kill)
                    if self.process is not None:
                        self.process.stop(kill=action.kill, why=action.why, ladder=action.ladder)
                    if self.side_runs is not None:
                        self._stop_side_runs(self.side_runs, action)
                case Arm(seconds=seconds) if seconds <= 0:
                    # A timer would fire one loop iteration later. Inputs that came in the meantime may end the wait.
                    self._inbox.appendleft(TimerFired())
                case Arm():
                    self._disarm()
                    self._timer.arm(self.machine.now + action.seconds, self._on_timer)
                case Disarm():
                    self._disarm()
                case AskThrottle():
                    throttle = self._throttle
                    may_restart = throttle is None or throttle.ask(self.spec.id)
                    # Before inputs that came in the meantime: one of them may take the service out of the queue.
                    self._inbox.appendleft(
                        Admitted() if throttle is None or may_restart else Throttled(why=throttle.reason)
                    )
                case ExchangeRuns():
                    if self.side_runs is not None:
                        self.side_runs.exchange()
                case AskSuccessor():
                    ready_at = None if self.side_runs is None else self.side_runs.ready_at
                    # Before inputs that came in the meantime: a stop would end the successor.
                    self._inbox.appendleft(SuccessorTakesOver(ready_at=ready_at))
                case ReportThrottled():
                    self._owner.on_notice(self.spec.id, self.machine.reason, "throttle")
                case SetTrigger():
                    if self.trigger is not None:
                        self.trigger.set(armed=action.armed, waiting=action.waiting)
                case ReportOverlap():
                    self._owner.on_notice(self.spec.id, action.what, "trigger")
                case _:
                    assert_never(action)
        if self.side_runs is not None and ExchangeRuns() in actions:
            self.side_runs.on_exchanged()  # after the report of the change, if there was one
        while self._late_notices:
            self._late_notices.popleft()()

    def _stop_side_runs(self, side_runs: SideRuns, action: StopProcess) -> None:
        has_current = self.process is not None and self.process.machine.state.is_live
        has_current = has_current or (self.steps is not None and self.steps.is_busy)
        if not self.machine.wanted and not has_current and side_runs.live and self._held_end is None:
            self._held_end = ProcessEnded(exit=None)  # no current run will report its end
        if not self.machine.wanted or self.machine.held_by_group:
            side_runs.stop(kill=action.kill, why=action.why)

    def _start_process(self, action: StartProcess) -> None:
        self._gave_up = None
        self._handle = None
        self._spec_of_run = self.spec
        self._waiting = frozenset()
        self.hub.begin()
        self._run_readers.reopen()
        self._keep_reading(self.process)
        if not self.spec.listen:  # an earlier run may have had sockets
            self._sockets.release(self.spec.id)
        spec = self.spec
        if self.has_steps(spec):
            self._take_steps(spec, action)
            return
        if action.delay != spec.delay_start:
            spec = spec.updated(delay_start=action.delay)
        self.process = self.run_factory.make(spec, number=action.number, chain=self._chain)
        self._open_logs()
        self.begin_run(self.process)

    # Steps before and after runs: ``prepare``, ``cleanup``, and a turn among the programs that start.

    def has_steps(self, spec: Spec) -> bool:
        """Return whether there are steps before a run with these options."""
        return spec.prepare is not None or self._start_queue is not None

    def _run_steps(self) -> RunSteps:
        if self.steps is None:
            self.steps = self._new_steps()
        return self.steps

    def _new_steps(self) -> RunSteps:
        return self._load_run_steps()(
            clock=self.clock,
            launcher=self.run_factory.launcher,
            queue=self._start_queue,
            start_task=self._start_task,
            handle=lambda: self._service_handle(self),
            line_sink=self.hub.sink,
            byte_sink=self.hub.log_feed,
            on_notice=lambda run, text, kind, level: self.on_notice(run, text, kind, level=level),
        )

    def take_steps_beside(
        self,
        spec: Spec,
        *,
        number: int,
        chain: TaskChain,
        launch: Callable[[ProcessRunner], None],
        launch_in_vain: Callable[[ProcessRunner, Exception | None], None],
    ) -> RunSteps:
        """Take the steps before a run that lives beside the current one.

        Args:
            spec: Its options, with their placeholders.
            number: Its number.
            chain: The task in which it runs.
            launch: Called with the run that is to be started.
            launch_in_vain: Called with a run that is not to be started, and the error, or None if it was stopped.
        """
        run_spec, make_run = self.run_factory.prepare(spec, number=number, chain=chain)
        steps = self._new_steps()
        steps.begin(
            run_spec,
            number,
            0.0,
            launch=lambda changed: launch(make_run(changed)),
            launch_in_vain=lambda error: launch_in_vain(make_run(run_spec), error),
        )
        return steps

    @property
    def is_preparing(self) -> bool:
        """Whether the steps before the launch of the current run go on."""
        return self.steps is not None and self.steps.start is not None

    def _take_steps(self, spec: Spec, action: StartProcess) -> None:
        """Take the steps before a run, which have its placeholders, and launch it then."""
        number = action.number
        run_spec, make_run = self.run_factory.prepare(spec, number=number, chain=self._chain)
        self._open_logs()
        self.process = None

        def launch(changed: Spec) -> None:
            self.process = make_run(changed)
            self.begin_run(self.process)

        def launch_in_vain(error: Exception | None) -> None:
            unlaunched = run_spec.updated(delay_start=0)
            self.process = run = make_run(unlaunched)
            self._run_readers.on_run(run, self._handle_of)
            run.start_in_vain(error, self.machine.reason)

        self._run_steps().begin(run_spec, number, action.delay, launch=launch, launch_in_vain=launch_in_vain)

    def _open_logs(self) -> None:
        self.hub.log_to(self.log_routing.sinks(self.spec.id, self.hub.resume_reading))

    def _keep_reading(self, run: ProcessRunner | None) -> None:
        """Record a run with leftovers whose output is still read."""
        if self._still_read or (run is not None and run.is_still_read):
            earlier = (*self._still_read, run)
            self._still_read = [run for run in earlier if run is not None and run.is_still_read]

    def _handle_of(self, run: ProcessRunner) -> Any:
        if run is self.process:
            return self.handle
        if self.side_runs is None or run is not self.side_runs.successor:
            return self._make_handle(run)
        if self._successor_handle is None:
            self._successor_handle = self._make_handle(run)
        return self._successor_handle

    # Runs: the current one, and those of ``side_runs``.

    def new_chain(self) -> TaskChain:
        """Return a new task for runs that follow each other."""
        return TaskChain(self._start_task)

    def begin_run(self, run: ProcessRunner) -> None:
        """Start a run, and hand it out to the readers of ``runs()``."""
        self._run_readers.on_run(run, self._handle_of)
        run.start()

    def end_run(self, run: ProcessRunner) -> None:
        """Record the end of a run, whose output is complete."""
        # Only in STOPPING has somebody asked for the end: an end by itself has cleared the name, or follows.
        by = self.machine.by if run is self.process and self.machine.state is State.STOPPING else ""
        self.history.append(run.snapshot()._replace(by=by) if by else run.snapshot())
        self._run_readers.on_run_end(run)
        if run is not self.process:
            self._keep_reading(run)
            if run.spec.cleanup is not None:
                self._run_steps().clean_up_beside(run, requested=not run.machine.is_unhealthy)

    def exchange(self, run: ProcessRunner, chain: TaskChain, *, adopt: Callable[[], None]) -> ProcessRunner | None:
        """Make another run the current one, and return the old one, which goes on.

        Args:
            run: The new run.
            chain: Its task, in which the next run begins.
            adopt: Function that gives the service the Spec of the run.
        """
        old = self.process
        self._handle, self._successor_handle = self._successor_handle, None
        self._gave_up = None
        self._keep_reading(old)
        self.process, self._chain = run, chain
        adopt()
        self._sockets.release(self.spec.id, keeping=self.spec)
        self.machine.record_program()
        self._spec_of_run = self.spec
        self._waiting = frozenset()
        if run.spec.log is not self.spec.log:  # with the paths of this run
            self.log_routing.register(run.spec)
        self._open_logs()
        return old

    def on_side_end(self) -> None:
        """Handle the end of a run beside the current one: the service may have waited for it to end itself."""
        held = self._held_end
        if held is not None and not (self.side_runs is not None and self.side_runs.live):
            self._held_end = None
            self.submit(held)

    def publish(self, text: str, kind: Kind, *, run: int, level: int | None = None, by: str = "") -> None:
        """Publish something about one of the runs that changes no state; in a step after the report of its change."""
        notice = functools.partial(self._owner.on_notice, self.spec.id, text, kind, level=level, run=run, by=by)
        if self._feeding:
            self._late_notices.append(notice)
        else:
            notice()

    def _on_timer(self) -> None:
        self.submit(TimerFired())

    def _disarm(self) -> None:
        self._timer.cancel()
        if self._throttle is not None:
            self._throttle.leave(self.spec.id)

    # Reports of the current run: ``ProcessOwner``.

    def on_transition(self, run: int, transition: Transition) -> None:
        """Handle a change of state of the current run; see ``ProcessOwner``."""
        if transition.state.is_final:
            self.run_factory.end(run)
        if self._start_queue is not None and transition.state is not State.STARTING:
            self._start_queue.leave(self.spec.id, run)
        process = self.process
        if process is None or process.number != run:
            if self.side_runs is not None:
                self.side_runs.on_transition(run, transition)
            return
        if transition.state is State.RUNNING:
            self.submit(Ready())
        elif transition.state is State.STOPPING and (process.machine.is_unhealthy or process.machine.ended_by_itself):
            self.submit(ProcessEnding(why=transition.reason, ended=process.machine.ended_by_itself))
        elif transition.state.is_final:
            self.end_run(process)
            if process.spec.cleanup is None:
                self._on_end(process)
            else:
                self._clean_up(process, transition.reason)
        if self.side_runs is not None:
            self.side_runs.on_change()

    def _on_end(self, process: ProcessRunner) -> None:
        """Go on after the end of the current run, and of its ``cleanup``."""
        ended: Input
        if process.machine.error is not None:
            error = process.machine.error
            ended = SpawnFailed(error=error, impossible=is_impossible(process.spec, error))
        else:
            ended = ProcessEnded(exit=process.machine.exit, left=process.machine.end_words)
            if process.health is not None and process.health.asked_for_reset:
                self.machine.begin_delays_anew()
        if self.side_runs is not None and self.side_runs.live and self._is_held(process):
            self._held_end = ended
        else:
            self.submit(ended)

    def _clean_up(self, process: ProcessRunner, why: str) -> None:
        """Run ``cleanup``, and go on with the end of the run after it. Until then the service is STOPPING."""
        requested = self.machine.state is State.STOPPING and not process.machine.is_unhealthy
        if self.machine.state in (State.STARTING, State.RUNNING):
            self.submit(ProcessEnding(why=why, ended=True))
        self._run_steps().clean_up(process, requested=requested, then=lambda: self._on_end(process))

    def _is_held(self, process: ProcessRunner) -> bool:
        """Return whether a service that ends with its current run waits for the runs beside it."""
        machine, error = self.machine, process.machine.error
        if machine.state is State.STOPPING and not machine.wanted:
            return True
        is_asked_for = not (process.machine.is_unhealthy or process.machine.ended_by_itself or machine.ended_by_itself)
        if machine.state is State.STOPPING and is_asked_for:
            return False  # a restart was asked for, or its group restarts
        impossible = error is not None and is_impossible(process.spec, error) and not machine.ever_spawned
        if not impossible and self.will_run_again(None if error is not None else process.machine.exit):
            return False
        if machine.has_successor and machine.membership is None:
            return False  # which takes its place
        self.submit(ProcessEnding(why=f"{process.machine.reason}; an earlier run still ends", ended=True))
        if self.side_runs is not None:
            self.side_runs.stop(kill=False, why="the service ends")
        return True

    def on_spawned(self, run: int, pid: int) -> None:
        """Handle the spawn of the current run."""
        process = self.process
        if process is None or process.number != run:
            return
        self.submit(Spawned(pid=pid))
        if process.machine.state is State.STARTING:
            self.waiters.on_spawned()
            self._owner.on_spawned(self.spec.id)

    def on_main_changed(self, run: int) -> None:
        """Handle another main process of the current run, for those that wait for a process id."""
        if self.process is not None and self.process.number == run:
            self.waiters.on_change(self.snapshot(lines=False))

    def will_run_again(self, exit: Exit | None) -> bool:
        """Return whether another run follows an end that nobody has asked for; see ``ProcessOwner``."""
        machine = self.machine
        return machine.wanted and wants_restart(machine.policy, exit) and machine.left(self.clock.now()) != 0

    def on_unstoppable(self, run: int) -> None:
        """Handle a program of the current run that still exists after its whole ladder."""
        process = self.process
        if process is None or process.number != run:
            if self.side_runs is None:
                return
            self.side_runs.on_unstoppable(run)
            if not self.is_unstoppable:
                return  # an old run does not end, and the current one serves
        if process is not None:
            snapshot = self.snapshot(lines=False)
            self.waiters.on_change(snapshot)
            self._run_readers.on_unstoppable(process, lambda: self.waiters.stop_failed(snapshot.status()))
            self._owner.on_unstoppable(self.spec.id)

    def on_notice(self, run: int, text: str, kind: Kind, *, level: int | None = None) -> None:
        """Handle something that is worth an event."""
        self._owner.on_notice(self.spec.id, text, kind, level=level, run=run)

    # Reports to the owner.

    def _give_up(self) -> None:
        reason = self.last_error
        subject = f"{self.spec.id!r} " if self.machine.membership is None else ""
        is_told = self.machine.hopeless or (self.process is not None and self.process.machine.is_in_background)
        remedy = "" if is_told else ": see why it ends, or give it another Restart policy"
        self._gave_up = GaveUp(
            f"{subject}{self.machine.reason}{remedy}",
            id=self.spec.id,
            status=self.snapshot().status(),
            lines=self.last_lines(),
        )
        self._gave_up.__cause__ = reason

    def _report(self, transition: Transition) -> None:
        if self.machine.gave_up and (transition.state.is_final or transition.state is State.WAITING):
            self._give_up()
        if transition.state.is_final:
            if not self.machine.gave_up:  # after a giving up clients wait for the next start
                self._sockets.release(self.spec.id)
            self.hub.end(f"the service is {self.machine.state}, {self.machine.reason}")
            self._run_readers.end()
        # Without the lines of a buffered run: the memory of the journal must stay bounded.
        snapshot = self.snapshot(lines=False)
        self._owner.on_transition(
            ServiceTransition(
                snapshot,
                previous=transition.previous,
                state=transition.state,
                reason=transition.reason,
                by=self.machine.by,
                run=self.number,
            )
        )
        self.waiters.on_change(snapshot)
        if self.side_runs is not None:
            self.side_runs.on_change()
