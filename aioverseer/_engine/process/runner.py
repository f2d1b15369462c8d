"""ProcessRunner: takes one run from INITIAL to a final state.

It feeds the state machine of the run, performs the actions that the machine returns, and reports to the owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import signal
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, assert_never

from aioverseer._aio.fork import generation
from aioverseer._aio.running_loop import running_loop
from aioverseer._aio.timers import OneShotTimer, resolve
from aioverseer._aio.watchers import Watchers
from aioverseer._engine.output.command_output import CommandOutput
from aioverseer._engine.output.pump import ByteSink, LineSink
from aioverseer._engine.output.streams import OutputStreams, no_prompts
from aioverseer._engine.process.owner import ProcessOwner
from aioverseer._engine.process.run_task import RunTask
from aioverseer._engine.process.stdin import StdinFeeder
from aioverseer._engine.process.upstream import Upstream
from aioverseer._system.process.pipes import PipeEnd
from aioverseer._system.protocols import Launcher, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError
from aioverseer.core.machine.actions import (
    Launch,
    PerformStep,
    ReadyTimedOut,
    ReportSpawned,
    SendSignal,
    SignalOutside,
    SignalUnreached,
    Unstoppable,
)
from aioverseer.core.machine.inputs import (
    Extend,
    LaunchStopped,
    LeaderEnded,
    MainChanged,
    Ready,
    SpawnFailed,
    StartRequested,
    StepFailed,
    StopRequested,
    TimerFired,
    Unhealthy,
)
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Arm, Disarm, Input, Transition
from aioverseer.core.options.pipeline import stop_seconds
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.report.status import (
    RunEnded,
    StatusSnapshot,
    last_lines,
    late,
    main_process_missing,
    overdue,
    run_ended,
    stranger_found,
    unhealthy,
)
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer.core.options.alive import Alive

__all__ = ["ProcessRunner"]

_log = logging.getLogger("aioverseer")

_DROPPED_TIMEOUT = 2.0
"""Seconds in which a program that has closed its output must end by itself, if its handle was dropped."""


class ProcessRunner:
    """The engine of one run.

    Attributes:
        spec: The options of the run.
        clock: The source of time.
        launcher: The launcher of the program.
        number: The number of the run, from 1. Reports to the owner carry it.
        machine: The state of the run. Read it freely; only ``submit`` feeds it.
        run_task: The program and its task.
        streams: The output of the program.
        stdin: The input of the program; None where the program reads the null device.
        upstream: The engine of the program whose output is the input of this one; None without one.
        health: The probes; None for a program without ``ready``, ``alive``, ``main_pid`` and ``reload="notify"``.
        make_output: Factory of the receiver of the output of a command on behalf of the program; None for none.
        was_ready: Whether the program has ever been ready.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        clock: Clock,
        launcher: Launcher,
        closes_launcher: bool = False,
        make_handle: Callable[[ProcessRunner], object],
        load_health: Callable[[], type[Health]],
        number: int = 1,
        owner: ProcessOwner | None = None,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], object] | None = None,
        line_sink: Callable[[str], LineSink] | None = None,
        byte_sink: Callable[[str], ByteSink] | None = None,
        recent_lines: Callable[[], list[str]] | None = None,
        upstream: ProcessRunner | None = None,
        sockets: Callable[[], ReadinessChannels] | None = None,
    ) -> None:
        """Assemble the parts. Nothing is started.

        Args:
            spec: The options of the run.
            clock: The source of time.
            launcher: The launcher of the program.
            closes_launcher: Whether the launcher belongs to this run alone, and is closed after it.
            make_handle: Function that returns the object that functions of the user receive, such as that of
                ``ready.check``. It is called each time that one is called, so the run keeps no handle alive.
            load_health: Function that imports the class that runs probes, which few programs need.
            number: The number of the run.
            owner: The receiver of the reports; None for a lone Process.
            start_task: Function that runs the task of the run; None for an asyncio task of its own.
            line_sink: Factory of a consumer of lines, given ``"stdout"`` or ``"stderr"``.
            byte_sink: Factory of a consumer of bytes, given ``"stdout"`` or ``"stderr"``.
            recent_lines: Function that returns the last lines, for error messages; None for the lines of this run.
            upstream: The engine of the program before it in a pipeline; None makes one if the Spec names a program.
            sockets: Function that opens listening sockets, or finds them open, and returns channels with them alone;
                None for none.
        """
        self.spec = spec
        self.number = number
        self.clock = clock
        self.launcher = launcher
        self._owner = owner
        self._recent_lines = recent_lines
        self.health: Health | None = None
        if any((spec.ready, spec.alive, spec.main_pid, spec.reload == "notify")):
            self.health = load_health()(
                spec=spec,
                clock=clock,
                launcher=launcher,
                process=functools.partial(make_handle, self),
                on_ready=lambda: self.submit(Ready()),
                on_extend=lambda seconds: self.submit(Extend(seconds=seconds)),
                on_unhealthy=self._end_unhealthy,
                on_stranger=self._end_blocked,
                on_main=self._on_main,
                on_main_missing=self._end_missing,
                publish=self._on_health_notice,
                warn=functools.partial(self._on_health_notice, level=logging.WARNING),
            )
        if upstream is None and isinstance(spec.stdin, Spec):
            # The lines that the program writes to its standard error are lines of the service, in its logs too.
            upstream = ProcessRunner(
                spec.stdin.updated(buffered=False) if owner is not None else spec.stdin,
                clock=clock,
                launcher=launcher,
                make_handle=make_handle,
                load_health=load_health,
                line_sink=line_sink,
                byte_sink=byte_sink,
            )
        self.upstream = upstream
        self.stdin = StdinFeeder(spec) if spec.stdin is not None or spec.pty else None
        listeners: list[Callable[[str], LineSink | None]] = []
        if line_sink is not None:
            listeners.append(line_sink)
        if self.health is not None and self.health.reads_lines:
            listeners.append(self.health.watch)
        self.streams = OutputStreams(
            spec,
            clock=clock,
            listeners=listeners,
            byte_sink=byte_sink,
            of_service=owner is not None,
            watch_prompts=no_prompts if self.health is None else self.health.watch_prompts,
            # A reader may keep the queues for longer than the run.
            end_error=functools.partial(_end_error, weakref.ref(self), spec.id),
        )
        self.make_output = None if line_sink is None else functools.partial(CommandOutput, spec, line_sink, byte_sink)
        self.machine = ProcessMachine.from_spec(spec)
        self.run_task = RunTask(
            spec,
            machine=self.machine,
            clock=clock,
            launcher=launcher,
            closes_launcher=closes_launcher,
            owner=owner,
            number=number,
            start_task=start_task,
            streams=self.streams,
            stdin=self.stdin,
            health=self.health,
            upstream=None if upstream is None else Upstream(upstream, clock=clock),
            make_output=self.make_output,
            sockets=sockets,
        )
        self.was_ready = False
        self._in_vain = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generation = 0
        self._timer = OneShotTimer(clock)
        self._overdue: OneShotTimer | None = None
        self._watchers: Watchers[ProcessMachine] = Watchers()
        # Separate, because their condition need not be evaluated before the end.
        self._end_watchers: Watchers[ProcessMachine] = Watchers()

    # Requests.

    def start(self) -> None:
        """Start the program. Idempotent."""
        self.check_fork()
        self.submit(StartRequested())

    def start_in_vain(self, error: Exception | None, why: str) -> None:
        """Let the run end without a launch, as the steps before it have failed or were given up.

        Args:
            error: The error of those steps; None for a stop.
            why: The reason of the stop.
        """
        self._in_vain = True
        self.submit(StartRequested())
        if error is not None:
            self.submit(SpawnFailed(error=error))
        else:
            self.submit(StopRequested(why=why))
            self.submit(LaunchStopped())

    def stop(self, *, kill: bool = False, why: str = "a stop was asked for", ladder: Stop | None = None) -> None:
        """Begin to end the program by its ladder. Idempotent.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
            why: The reason of the new state.
            ladder: A ladder for this stop, if none is under way; None for that of the options.
        """
        self.check_fork()
        self.submit(StopRequested(kill=kill, why=why, ladder=ladder))
        if kill or self.machine.pid is None:  # before the spawn no step of the ladder reaches the program upstream
            self.run_task.stop_upstream(kill=kill, why=why)

    def write_to(self, end: PipeEnd) -> None:
        """Set the end of a pipe for the standard output of a program of a pipeline, before the start."""
        self.run_task.output = end

    def submit(self, given: Input) -> None:
        """Feed the state machine and perform the actions that it returns.

        Raises:
            OverseerError: If this is called on another event loop than the one on which the run was started.
        """
        if self.is_of_parent:
            return
        if self._loop is None or self._loop is not asyncio.get_running_loop():
            self.check_loop()
        for action in self.machine.feed(given, self.clock.now()):
            match action:  # the frequent ones first
                case Transition():
                    self._on_transition(action)
                case Launch():
                    if not self._in_vain:
                        self.run_task.begin(self.submit)
                case ReportSpawned():
                    self._limit_runtime()
                    if self._owner is not None:
                        self._owner.on_spawned(self.number, action.pid)
                case SendSignal():
                    self.run_task.send(action)
                case PerformStep():
                    self.run_task.perform(action, self.submit)
                case SignalOutside():
                    self.run_task.send_outside(action)
                case SignalUnreached():
                    self.run_task.send_unreached(action)
                case Arm():
                    self._timer.arm(self.machine.now + action.seconds, self._on_timer)
                case Disarm():
                    self._timer.cancel()
                case ReadyTimedOut():
                    self._end_late()
                case Unstoppable():
                    if self._owner is None:
                        _log.error("%s: %s", self.spec.id, self.machine.reason)
                    else:
                        self._owner.on_unstoppable(self.number)
                    self._watchers.notify(self.machine)
                    self._end_watchers.notify(self.machine)
                case _:
                    assert_never(action)
        if isinstance(given, LeaderEnded | StepFailed | MainChanged):
            self._watchers.notify(self.machine)  # its reason has changed, its state perhaps not

    @property
    def is_of_service(self) -> bool:
        """Whether a service has begun the run, and begins the next one."""
        return self._owner is not None

    @property
    def stop_seconds(self) -> float:
        """Seconds that a stop takes at most, with the last output, over the whole pipeline."""
        return max(stop_seconds(self.spec), self.machine.ladder.seconds + self.spec.drain_timeout)

    @property
    def is_running(self) -> bool:
        """Whether the program is starting or running in this process, and nobody has asked for its stop."""
        return self.machine.state in (State.STARTING, State.RUNNING) and not self.is_of_parent

    def abandon(self) -> None:
        """Begin to end the program, because nobody holds its handle any more. May be called in any thread."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(lambda: self.stop(why="its Process was dropped"))
        except RuntimeError:  # the loop is closed
            if self.run_task.child is not None:
                with contextlib.suppress(OSError):
                    self.run_task.child.signal(signal.SIGKILL)

    def abandon_late(self, on_stop: Callable[[], object]) -> None:
        """Begin to end the program, unless it soon ends by itself. May be called in any thread.

        Args:
            on_stop: Called when the program is being ended.
        """
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._stop_after_grace, on_stop)
        except RuntimeError:  # the loop is closed
            self.abandon()
            on_stop()

    def _stop_after_grace(self, on_stop: Callable[[], object]) -> None:
        def stop() -> None:
            if self.is_running:
                self.abandon()
                on_stop()

        timer = self.clock.call_at(self.clock.now() + _DROPPED_TIMEOUT, stop)
        self.watch_end().add_done_callback(lambda _: timer.cancel())

    def end_unbegun(self) -> None:
        """End a run whose task was cancelled before its first step, and so could report nothing.

        This happens when all tasks of an event loop are cancelled.
        """
        self.run_task.end_unbegun(self.submit)

    def release(self) -> None:
        """Close the pipes and descriptors of an ended run. The output of its leftovers is not read any more."""
        self.streams.release()
        if self.upstream is not None:
            self.upstream.release()

    def check_loop(self) -> None:
        """Bind the run to the running event loop, or check that it is bound to it: nothing here is thread-safe.

        Raises:
            OverseerError: If the run is bound to another event loop, or to the process that this is a fork of.
        """
        self.check_fork()
        loop = running_loop()
        if self._loop is None:
            self._loop = loop
            self._generation = generation()
        elif self._loop is not loop:
            raise OverseerError(
                f"{self.spec.id!r} belongs to another event loop: use it on the loop on which it was started"
            )

    @property
    def is_of_parent(self) -> bool:
        """Whether the run is that of the process that this is a fork of."""
        return self._loop is not None and self._generation != generation()

    def check_fork(self) -> None:
        """Check that the run is one of this process.

        Raises:
            OverseerError: If it is that of the process that this is a fork of.
        """
        if self.is_of_parent:
            raise OverseerError(
                f"{self.spec.id!r} belongs to the process of which this one is a fork: use it there, or clone() it"
            )

    # Futures for callers.

    def watch(self, wanted: Callable[[ProcessMachine], bool]) -> asyncio.Future[ProcessMachine]:
        """Return a future for the first state that satisfies a condition. The current state counts."""
        self.check_loop()
        return self._watchers.watch(self.machine, wanted)

    def watch_end(self) -> asyncio.Future[ProcessMachine]:
        """Return a future for the end of the program, or for the end of a ladder that did not end it."""
        if self.is_of_parent or self._loop is None or self._loop is not asyncio.get_running_loop():
            self.check_loop()
        return self._end_watchers.watch(self.machine, ProcessMachine.is_over)

    # The state of the run.

    @property
    def is_still_read(self) -> bool:
        """Whether the program has ended, and output of leftovers is still read, also of those upstream."""
        return self.streams.ended_child is not None or (self.upstream is not None and self.upstream.is_still_read)

    @property
    def ready_due(self) -> float | None:
        """Monotonic time by which the program must be ready; None when it is ready or has no limit."""
        return self.machine.due

    @property
    def runtime_due(self) -> float | None:
        """Monotonic time at which a running program is ended by ``max_runtime``; None without a limit."""
        return self._overdue.due if self._overdue is not None and self._overdue.is_armed else None

    @property
    def readiness(self) -> str:
        """The unfulfilled probe and its last answer, as words after "waits for"; empty when there is none."""
        return "" if self.health is None else self.health.blocker

    @property
    def ready_match(self) -> re.Match[str] | None:
        """Match of the line by which the program became ready; None without one."""
        return None if self.health is None else self.health.ready_match

    @property
    def health_summary(self) -> str:
        """Readiness, liveness and the notices of the program, as the end of a sentence; empty when there are none."""
        return "" if self.health is None else self.health.summary

    def snapshot(self, *, lines: bool = True) -> StatusSnapshot:
        """Return the values from which a Status is made.

        Args:
            lines: Whether the lines of a buffered run are included.
        """
        machine, run_task = self.machine, self.run_task
        stdout, stderr = self.streams.kept_lines() if lines else (None, None)
        return StatusSnapshot(
            self.spec,
            machine.pid or None,
            machine.state,
            machine.exit,
            machine.error,
            run_task.started_at,
            run_task.stopped_at,
            run_task.runtime,
            stdout,
            stderr,
            0,
            self.reason,
            0,
            0,
            self.launcher.containment_of(self.spec).level,
            self.last_lines() if lines and self._recent_lines is None else (),
        )

    async def end_error(self, wanted: str) -> RunEnded:
        """Return the error of a wait for output that cannot come any more. Safe to cancel.

        The output mostly ends an instant before the program. So this waits for its end, with the reason, up to
        ``drain_timeout``: a program may close its output and live on.

        Args:
            wanted: The output that was waited for, as words after "before".
        """
        gate = asyncio.get_running_loop().create_future()
        timer = self.clock.call_at(self.clock.now() + self.spec.drain_timeout, lambda: resolve(gate))
        end = self.watch_end()
        end.add_done_callback(lambda _: resolve(gate))
        try:
            await gate
        finally:
            timer.cancel()
            end.cancel()
        return run_ended(self.snapshot().status(), wanted, self.last_lines())

    @property
    def reason(self) -> str:
        """The reason of the current state, and whose reading a running program waits for."""
        held_up = [] if self.machine.state.is_final else self.streams.held_up
        if not held_up:
            return self.machine.reason
        return f"{self.machine.reason}; waits for a reader of its {' and '.join(held_up)}"

    def last_lines(self) -> list[str]:
        """Return the last lines for an error message: of the program, or of the one in its pipeline that has failed."""
        if self._recent_lines is not None:
            return self._recent_lines()
        if self.upstream is not None and self.machine.upstream_words and (lines := self.upstream.last_lines()):
            return lines
        return last_lines(self.streams.last_lines())

    # Reports of the state machine and of the probes.

    def _on_transition(self, transition: Transition) -> None:
        state, health = transition.state, self.health
        if state.is_final:
            self.streams.end_queues(transition.reason)
        if state is State.RUNNING:
            self.was_ready = True
            if health is not None:
                health.begin_liveness()
        elif health is not None and transition.previous is not State.INITIAL:
            health.stop()
        if self._overdue is not None and state is not State.RUNNING:
            self._overdue.cancel()
        if self._owner is not None:
            self._owner.on_transition(self.number, transition)
        self._watchers.notify(self.machine)
        if state.is_final:
            self._end_watchers.notify(self.machine)

    def _on_timer(self) -> None:
        self.submit(TimerFired())

    def _on_health_notice(self, text: str, *, level: int = logging.INFO) -> None:
        if self._owner is not None:
            self._owner.on_notice(self.number, text, "health", level=level)
        else:
            _log.log(level, "%s %s", self.spec.id, text)

    def _on_main(self, pid: int) -> None:
        before = self.machine.pid
        self.submit(MainChanged(pid=pid))
        if before != pid:
            self._on_health_notice(f"has another main process: pid {pid}, in place of pid {before}")
            if self._owner is not None:
                self._owner.on_main_changed(self.number)

    def _end_missing(self, why: str) -> None:
        error = main_process_missing(self.snapshot(lines=False).status(), why, self.last_lines())
        self.submit(Unhealthy(error=error, why=f"it cannot become ready: {why}"))

    def _end_late(self) -> None:
        seconds = self.run_task.runtime
        error = late(self.snapshot(lines=False).status(), seconds, self.health_summary, self.last_lines())
        self.submit(Unhealthy(error=error, why=f"it was not ready within {seconds:.3g} s"))

    def change_alive(self, alive: Alive | None) -> bool:
        """Check liveness by other rules from now on; return False if that has to wait for the next run."""
        return alive is None if self.health is None else self.health.change_alive(alive)

    def _limit_runtime(self) -> None:
        """Arm the timer of ``max_runtime``, if there is a limit. Each end of the run cancels it."""
        limit = self.spec.max_runtime
        if limit is not None:
            self._overdue = OneShotTimer(self.clock)
            self._overdue.arm(self.clock.now() + limit, self._end_overdue)

    def _end_overdue(self) -> None:
        limit = self.spec.max_runtime or 0.0
        error = overdue(self.snapshot(lines=False).status(), limit, self.last_lines())
        self.submit(Unhealthy(error=error, why=f"it ran for longer than max_runtime={limit:g} s"))

    def _end_blocked(self, held: str) -> None:
        if self.machine.state is not State.STARTING:  # it has ended, or is stopped, in this iteration of the loop
            return
        error = stranger_found(self.snapshot(lines=False).status(), held, self.last_lines())
        self.submit(Unhealthy(error=error, why=f"it cannot become ready: {held}"))

    def _end_unhealthy(self, why: str) -> None:
        error = unhealthy(self.snapshot(lines=False).status(), why, self.last_lines())
        alive = self.spec.alive if self.health is None else self.health.alive
        ladder = None if alive is None else alive.stop
        self.submit(Unhealthy(error=error, why=f"it is not alive: {why}", ladder=ladder))


async def _end_error(known: weakref.ref[ProcessRunner], id: str, wanted: str) -> RunEnded:
    runner = known()
    if runner is None:
        return RunEnded(f"{id!r} has ended before {wanted}", id=id)
    return await runner.end_error(wanted)
