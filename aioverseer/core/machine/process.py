"""The state machine of one run of a program, from INITIAL to a final state.

It also takes the steps of the stop ladder.
"""

from __future__ import annotations

import signal
from typing import ClassVar, Self, cast

from aioverseer.core.machine.actions import (
    Launch,
    PerformStep,
    ProcessAction,
    ReadyTimedOut,
    ReportSpawned,
    SendSignal,
    SignalOutside,
    SignalUnreached,
    Unstoppable,
)
from aioverseer.core.machine.inputs import (
    Exited,
    Extend,
    InternalError,
    LaunchStopped,
    LeaderEnded,
    MainChanged,
    Ready,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFailed,
    StopRequested,
    TimerFired,
    Unhealthy,
)
from aioverseer.core.machine.ladder import Ladder
from aioverseer.core.machine.table import Arm, Disarm, Input, Machine, Rules
from aioverseer.core.options.containment import IN_BACKGROUND, Survivor, left_behind, shown
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.pipeline import ladder_seconds
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import LEAST_FINAL_TIMEOUT, Stop
from aioverseer.core.options.stop_steps import Step
from aioverseer.core.state import Exit, State, signal_name

__all__ = ["ProcessMachine"]

_LEFTOVER_TIMEOUT = 2.0
"""Seconds between the first step and SIGKILL for leftovers that the ladder has not reached before."""

_SOON = 0.1
"""Seconds after a step before it also goes to other groups of the leader's session. Most leaders have ended by then."""


class ProcessMachine(Machine[ProcessAction]):
    """State machine of one run of one program.

    Attributes:
        pid: Process id of the main process once the program has been spawned; 0 for a task of the host.
        exit: Exit code or signal once the run has ended.
        error: Reason why the program could not be started or was stopped as a failure.
        due: Monotonic time by which the run must be ready; None when it is ready, or has no time limit.
        start_due: Monotonic time of the launch while ``delay_start`` runs; else None.
        ladder: The stop ladder, with the steps that were taken.
        leader_exit: Exit of the leader while its leftovers are awaited, and afterwards; None if it left none.
        ended_by_itself: Whether the leader ended without a stop, and left others behind.
        left: Processes that the leader left behind and that got the ladder.
        left_signal: Last signal that they got; 0 for none.
        unstoppable: Whether the program outlived the whole ladder.
        upstream_words: Words about the program of the pipeline whose exit is that of the run, and about the error that
            the program has named itself; empty for neither.
    """

    name: ClassVar[str] = "process"

    def __init__(
        self,
        *,
        ladder: Stop,
        delay: float,
        awaits_ready: bool = False,
        ready_timeout: float | None = None,
        upstream: float = 0.0,
    ) -> None:
        super().__init__()
        self.pid: int | None = None
        self.exit: Exit | None = None
        self.error: BaseException | None = None
        self.unstoppable = False
        self.leader_exit: Exit | None = None
        self.ended_by_itself = False
        self.left: tuple[Survivor, ...] = ()
        self.left_signal: signal.Signals | int = 0
        self.ladder = Ladder(ladder, upstream=upstream)
        self._upstream = upstream
        self.upstream_words = ""
        self._killed_by: float | None = None  # latest time of SIGKILL for leftovers of a stopped leader
        self._delay = delay
        self.due: float | None = None
        self.start_due: float | None = None
        self._step_due: float | None = None
        self._awaits_ready = awaits_ready
        self._ready_timeout = ready_timeout
        self._failure: BaseException | None = None
        self._launched = False
        self._stop_reason = ""

    @classmethod
    def from_spec(cls, spec: Spec) -> Self:
        """Make the machine of one run of a Spec."""
        return cls(
            ladder=spec.stop,
            delay=spec.delay_start,
            awaits_ready=spec.ready is not None or isinstance(spec.main_pid, PidFile),
            ready_timeout=spec.ready_timeout,
            upstream=ladder_seconds(spec),
        )

    def apply_ladder(self, ladder: Stop) -> None:
        """Take another ladder for the next stop. A stop that is under way keeps its own."""
        if self.state is not State.STOPPING:
            self.ladder = Ladder(ladder, upstream=self._upstream)

    @property
    def is_unhealthy(self) -> bool:
        """Whether the run is stopped, or was, because it was unhealthy."""
        return self._failure is not None

    @property
    def is_killing(self) -> bool:
        """Whether the last step of the ladder has been taken, so that nothing is left to wait for."""
        return self.ladder.is_killing

    @property
    def left_words(self) -> str:
        """Words about the leftovers that got the ladder, as the end of a sentence; empty if there were none."""
        if self.leader_exit is None:
            return ""
        how = f", ended by {signal_name(self.left_signal)}" if self.left_signal else ""
        advice = f"; {IN_BACKGROUND}" if self.is_in_background else ""
        return f"left {left_behind(self.left)}{how}{advice}"

    @property
    def end_words(self) -> str:
        """Words about failed steps of the ladder and about leftovers, as the end of a sentence; empty for neither."""
        return "; ".join(filter(None, (self.upstream_words, *self.ladder.failures, self.left_words)))

    @property
    def is_in_background(self) -> bool:
        """Whether the leader has ended with code 0 and left others behind."""
        return self.ended_by_itself and self.leader_exit is not None and self.leader_exit.code == 0

    @property
    def _story(self) -> str:
        """Return why the run stops, which steps failed and, once the leader has ended, its end and its leftovers."""
        if self.leader_exit is None:
            return self._why_stopped
        exit = "" if self.ended_by_itself else f"; {self.leader_exit}"
        return f"{self._why_stopped}{exit}; left {left_behind(self.left)}"

    @property
    def _why_stopped(self) -> str:
        return "; ".join((self._stop_reason, *self.ladder.failures))

    @property
    def _subject(self) -> str:
        if self.leader_exit is not None:
            return f"what it left behind ({shown(self.left)})"
        return f"pid {self.pid}" if self.pid else "it"  # a task of the host has no pid

    @property
    def ending(self) -> tuple[str, float | None]:
        """Words that follow "waits for" in STOPPING, and the monotonic time of the next step.

        The time is None when no further step follows.
        """
        program = "its program to be started" if self.pid is None else f"{self._subject} to end"
        if self.unstoppable or self._step_due is None:
            return program, None
        following = self.ladder.following
        if self.leader_exit is not None and following is None:
            return program, None
        if self.pid is None or following is None:
            return f"{program}, or is reported as one that does not die", self._step_due
        return f"{program}, or {following.planned}", self._step_due

    # Conditions that waiters wait for.

    def is_over(self) -> bool:
        """Return whether waiting for the end is over: the run has ended, or cannot be stopped."""
        return self.state.is_final or self.unstoppable

    def is_past_start(self) -> bool:
        """Return whether the program has been spawned, or never will be."""
        return self.state in (State.RUNNING, State.STOPPING) or self.state.is_final or self.pid is not None

    def is_past_waiting(self) -> bool:
        """Return whether the run is ready, or never will be."""
        if self.state is State.STOPPING:
            # A run that is stopped as unhealthy ends with its own error, which says more: wait for that end.
            # So does a run whose leader has ended by itself.
            return not (self.is_unhealthy or self.ended_by_itself) or self.unstoppable
        return self.state is State.RUNNING or self.state.is_final

    # Guards. A launch has one outcome, which comes after it, and a timer fires only while it is armed.

    def awaits_spawn(self, _given: Input) -> bool:
        """Return whether the program is being spawned."""
        return self._launched and self.pid is None

    def has_spawned(self, _given: Input) -> bool:
        """Return whether the program has been spawned."""
        return self.pid is not None

    def has_live_leader(self, _given: Input) -> bool:
        """Return whether the program has been spawned, and its leader has not ended."""
        return self.pid is not None and self.leader_exit is None and not self.is_killing

    def has_launched(self, _given: Input) -> bool:
        """Return whether the program is being spawned, or has been."""
        return self._launched

    def is_armed(self, _given: Input) -> bool:
        """Return whether a timer is armed."""
        if self.state is State.STARTING and self.pid is not None:
            return self.due is not None
        return not self.unstoppable and (not self._launched or self.state is State.STOPPING)

    def begin(self, _given: StartRequested) -> list[ProcessAction]:
        """STARTING: launch the program, after ``delay_start`` if there is one."""
        if self._delay > 0:
            self.to(State.STARTING, f"waits {self._delay:g} s before its start")
            self.start_due = self.now + self._delay
            return [Arm(seconds=self._delay)]
        return self._launch("is being started")

    def launch(self, _given: TimerFired) -> list[ProcessAction]:
        """Launch the program once its delay is over. Later: report that it is not ready in time."""
        if self.pid is not None:
            return [ReadyTimedOut()]
        return self._launch("is being started after its delay")

    def _launch(self, reason: str) -> list[ProcessAction]:
        self._launched = True
        self.start_due = None
        self.to(State.STARTING, reason)
        return [Launch()]

    def record_spawn(self, given: Spawned) -> list[ProcessAction]:
        """RUNNING; with a readiness probe STARTING until it succeeds, for at most ``ready_timeout``."""
        self.pid = given.pid
        if not self._awaits_ready:
            self.to(State.RUNNING, self._at_work())
            return [ReportSpawned(pid=given.pid)]
        self.reason = f"{self._at_work()}, and is not ready yet"
        if self._ready_timeout is None:
            return [ReportSpawned(pid=given.pid)]
        self.due = self.now + self._ready_timeout
        return [Arm(seconds=self._ready_timeout), ReportSpawned(pid=given.pid)]

    def record_ready(self, _given: Ready) -> list[ProcessAction]:
        """RUNNING."""
        self.due = None
        self.to(State.RUNNING, f"{self._at_work()}, and is ready")
        return [Disarm()]

    def _at_work(self) -> str:
        return f"runs as pid {self.pid}" if self.pid else "runs on the event loop"

    def change_main(self, given: MainChanged) -> list[ProcessAction]:
        """Record the process id. From now on signals go to that process, and its end is that of the run."""
        self.pid = given.pid
        if self.state is State.RUNNING:
            self.reason = f"{self._at_work()}{', and is ready' if self._awaits_ready else ''}"
        elif self.state is State.STARTING:
            self.reason = f"{self._at_work()}, and is not ready yet"
        return []

    def extend(self, given: Extend) -> list[ProcessAction]:
        """Extend the time for becoming ready; never shorten it."""
        if self.due is None or self.now + given.seconds <= self.due:
            return []
        self.due = self.now + given.seconds
        return [Arm(seconds=given.seconds)]

    def end_unhealthy(self, given: Unhealthy) -> list[ProcessAction]:
        """STOPPING: take the first step of the ladder. The end counts as a failure."""
        self._plan_stop(StopRequested(why=given.why, ladder=given.ladder))
        self._failure = given.error
        self.to(State.STOPPING, given.why)
        return self._take_step()

    def stop_after_spawn(self, given: Spawned) -> list[ProcessAction]:
        """Begin the ladder: the stop was requested during the spawn."""
        self.pid = given.pid
        self.unstoppable = False
        return self._take_step()

    def fail(self, given: SpawnFailed) -> list[ProcessAction]:
        """FATAL: the program could not be started."""
        self.error = given.error
        self.to(State.FATAL, f"could not be started: {given.error}")
        return []

    def fail_stopped(self, given: SpawnFailed) -> list[ProcessAction]:
        """FATAL: the program could not be started. The timer of the stop is disarmed."""
        self.unstoppable = False
        return [*self.fail(given), Disarm()]

    def end_unstarted(self, _given: LaunchStopped) -> list[ProcessAction]:
        """INTERRUPT: there is no program. The timer of the stop is disarmed."""
        self.unstoppable = False
        self.to(State.INTERRUPT, f"{self._stop_reason} before it was started")
        return [Disarm()]

    def give_up(self, given: InternalError) -> list[ProcessAction]:
        """FATAL: an internal error; the program has been killed."""
        self.error = given.error
        self.unstoppable = False
        self.due = None
        self.to(State.FATAL, f"was killed because of a bug of aioverseer: {given.error!r}")
        return [Disarm()]

    def stop_unstarted(self, given: StopRequested) -> list[ProcessAction]:
        """INTERRUPT before the launch. Later STOPPING; the ladder begins once the program has been spawned."""
        if self.pid is not None:
            return self.stop(given)
        if self._launched:
            self._plan_stop(given)
            self.to(State.STOPPING, f"{given.why} while it was being started")
            return [self._wait_for_spawn()]
        self.to(State.INTERRUPT, f"{given.why} before it was started")
        return [Disarm()]

    def stop(self, given: StopRequested) -> list[ProcessAction]:
        """STOPPING: take the first step of the ladder, or with ``kill`` the last one."""
        self._plan_stop(given)
        self.to(State.STOPPING, given.why)
        return self._take_step()

    def stop_again(self, given: StopRequested) -> list[ProcessAction]:
        """Send SIGKILL if ``kill`` is set or the program outlived the whole ladder; else go on with the ladder."""
        if self._failure is not None:
            # Nobody wants the run any more, so its failure no longer counts.
            self._failure = None
            self._stop_reason = given.why
        if not (given.kill or self.unstoppable):
            return []
        if self.ladder.is_last and not self.unstoppable:
            return []
        self.ladder.begin(kill=True)
        self.unstoppable = False
        return self._take_step() if self.pid is not None else [self._wait_for_spawn()]

    def take_next_step(self, _given: TimerFired) -> list[ProcessAction]:
        """Take the next step of the ladder; after the last one report that the program is unstoppable."""
        if self.pid is None:
            self.unstoppable = True
            self.reason = (
                f"{self._stop_reason}; its spawn has not returned since then, and there is no process to signal yet"
            )
            return [Unstoppable()]
        if not self.ladder.is_last:
            self.ladder.index += 1
            return self._take_step()
        if self.leader_exit is not None:
            return []  # the sweep after SIGKILL has a limit of its own, and reports the survivors
        self.unstoppable = True
        self.reason = f"{self._subject} is still there {self.ladder.present.timeout:g} s after SIGKILL"
        return [Unstoppable()]

    def skip_step(self, given: StepFailed) -> list[ProcessAction]:
        """Record the failure. If the step is the present one, take the next one at once."""
        if given.why:
            self.ladder.failures.append(f"{given.step.name} failed: {given.why}")
        if given.number != self.ladder.index or isinstance(self.ladder.present, Step):
            return []
        self.ladder.index += 1
        return self._take_step()

    def end_leader(self, given: LeaderEnded) -> list[ProcessAction]:
        """STOPPING: take the first step of the ladder for the leftovers, and SIGKILL two seconds later."""
        early = " before it was ready" if self.state is State.STARTING else ""
        self._record_leftovers(given)
        self.due = None
        self.ended_by_itself = True
        self.ladder.begin_for_leftovers(_LEFTOVER_TIMEOUT)
        self._stop_reason = f"{given.exit}{early}"
        self.to(State.STOPPING, self._story)
        return self._take_step()

    def end_leader_stopped(self, given: LeaderEnded) -> list[ProcessAction]:
        """Go on with the ladder for the leftovers; with ``scope="leader"`` take its first step, which they missed."""
        self._record_leftovers(given)
        step = self.ladder.present
        if self.ladder.stop.scope == "tree" and not self.ladder.has_no_signals:
            if not isinstance(step, Step):
                self.reason = f"{self._story}; {step.taken}"
                return []
            self.left_signal = step.signal
            self.reason = f"{self._story}; {step.taken}"
            return [SignalUnreached(signal=step.signal), SignalUnreached(signal=signal.SIGCONT)]
        latest = self.now if self._killed_by is None else self._killed_by
        self.ladder.begin_for_leftovers(max(0.0, min(_LEFTOVER_TIMEOUT, latest - self.now)))
        return self._take_step()

    def _record_leftovers(self, given: LeaderEnded) -> None:
        self.leader_exit = given.exit
        self.left = given.left

    def end(self, given: Exited) -> list[ProcessAction]:
        """INTERRUPT if a signal killed the program, else FINISHED."""
        self.exit = given.exit
        self.upstream_words = "; ".join(filter(None, (given.upstream, given.said)))
        state = State.FINISHED if given.exit.signal is None else State.INTERRUPT
        if self.state is State.STARTING:
            self.due = None
            self.to(state, f"{given.exit} before it was ready")
            return [Disarm()]
        self.to(state, f"{given.exit}{f'; {self.upstream_words}' if self.upstream_words else ''}")
        return []

    def end_stopped(self, given: Exited) -> list[ProcessAction]:
        """INTERRUPT, whatever the exit; FATAL if the run was stopped as unhealthy.

        A leader that ended by itself before the stop counts as in ``end``.
        """
        self.exit = given.exit
        self.unstoppable = False
        self.due = None
        left = f"; {self.left_words}" if self.leader_exit is not None else ""
        if self.ended_by_itself:
            state = State.FINISHED if given.exit.signal is None else State.INTERRUPT
            self.to(state, f"{self._why_stopped}{left}")
            return [Disarm()]
        if self._failure is not None:
            self.error = self._failure
            self.to(State.FATAL, f"{self._why_stopped}; {given.exit}{left}")
            return [Disarm()]
        self.to(State.INTERRUPT, f"{self._why_stopped}; {given.exit}{left}")
        return [Disarm()]

    def _plan_stop(self, given: StopRequested) -> None:
        self.due = None
        self._stop_reason = given.why
        if given.ladder is not None:
            self.ladder = Ladder(given.ladder, upstream=self._upstream)
        self.ladder.begin(kill=given.kill)

    def _wait_for_spawn(self) -> Arm:
        # A spawn can block without end, for example on a network file system that does not answer.
        seconds = self.ladder.seconds_left
        self._step_due = self.now + seconds
        return Arm(seconds=seconds)

    def _take_step(self) -> list[ProcessAction]:
        step, last = self.ladder.present, self.ladder.is_last
        if self._killed_by is None:
            self._killed_by = self.now + self.ladder.seconds_left - LEAST_FINAL_TIMEOUT
        # With scope="leader", the leftovers of a stopped leader get a step that the ladder has taken before.
        scope = self.ladder.stop.scope
        is_new = self.leader_exit is None or self.ended_by_itself or scope == "tree" or last
        if is_new or step.name not in (each.name for each in self.ladder.taken):
            self.ladder.taken.append(step)
        self._step_due = self.now + step.timeout
        self.reason = f"{self._story}; {step.taken}"
        # The last step kills the whole tree whatever the scope is, so that nothing is left behind.
        leader_only = scope == "leader" and not last and self.leader_exit is None
        # A program that is suspended (by SIGSTOP or a terminal) handles no signal and reads no input until it
        # continues. systemd and s6 send SIGCONT for the same reason. SIGKILL works on a suspended program.
        go_on = SendSignal(signal=signal.SIGCONT, leader_only=leader_only)
        arm = Arm(seconds=step.timeout)
        if not isinstance(step, Step):
            return [go_on, PerformStep(number=self.ladder.index, step=step), arm]
        if self.leader_exit is not None:
            self.left_signal = step.signal
        actions: list[ProcessAction] = [SendSignal(signal=step.signal, leader_only=leader_only)]
        if step.signal != signal.SIGKILL:
            actions.append(go_on)
            if scope == "tree" and self.leader_exit is None:
                actions.append(self._signal_outside(step))
        return [*actions, arm]

    @staticmethod
    def _signal_outside(step: Step) -> SignalOutside:
        """Return when a step goes to processes that no signal to the leader's group reaches.

        A shell with job control makes a group for each job, in its own session, and may wait for jobs without telling
        them anything. Programs that make sessions, such as PostgreSQL or another supervisor, end what they have started
        in an order of their own. So they have most of the step for that.
        """
        late = max(step.timeout / 2, step.timeout - _LEFTOVER_TIMEOUT)
        return SignalOutside(signal=step.signal, soon=min(_SOON, step.timeout / 2), late=late)


ProcessMachine.guards = {
    Spawned: ProcessMachine.awaits_spawn,
    SpawnFailed: ProcessMachine.awaits_spawn,
    LaunchStopped: ProcessMachine.awaits_spawn,
    TimerFired: ProcessMachine.is_armed,
    Exited: ProcessMachine.has_spawned,
    StepFailed: ProcessMachine.has_spawned,
    LeaderEnded: ProcessMachine.has_live_leader,
    MainChanged: ProcessMachine.has_spawned,
    Ready: ProcessMachine.has_spawned,
    Extend: ProcessMachine.has_spawned,
    Unhealthy: ProcessMachine.has_spawned,
    InternalError: ProcessMachine.has_launched,
}

_FINAL = (State.INTERRUPT, State.FINISHED, State.FATAL)

ProcessMachine.table = cast(
    "Rules",
    {
        (State.INITIAL, StartRequested): ProcessMachine.begin,
        (State.INITIAL, StopRequested): ProcessMachine.ignore,
        (State.STARTING, StartRequested): ProcessMachine.ignore,
        (State.STARTING, InternalError): ProcessMachine.give_up,
        (State.STARTING, StopRequested): ProcessMachine.stop_unstarted,
        (State.STARTING, TimerFired): ProcessMachine.launch,
        (State.STARTING, Spawned): ProcessMachine.record_spawn,
        (State.STARTING, SpawnFailed): ProcessMachine.fail,
        (State.STARTING, Ready): ProcessMachine.record_ready,
        (State.STARTING, Extend): ProcessMachine.extend,
        (State.STARTING, Unhealthy): ProcessMachine.end_unhealthy,
        (State.STARTING, Exited): ProcessMachine.end,
        (State.STARTING, LeaderEnded): ProcessMachine.end_leader,
        (State.STARTING, MainChanged): ProcessMachine.change_main,
        (State.RUNNING, StartRequested): ProcessMachine.ignore,
        (State.RUNNING, InternalError): ProcessMachine.give_up,
        (State.RUNNING, StopRequested): ProcessMachine.stop,
        (State.RUNNING, Exited): ProcessMachine.end,
        (State.RUNNING, LeaderEnded): ProcessMachine.end_leader,
        (State.RUNNING, MainChanged): ProcessMachine.change_main,
        (State.RUNNING, Extend): ProcessMachine.ignore,
        (State.RUNNING, Unhealthy): ProcessMachine.end_unhealthy,
        (State.STOPPING, StartRequested): ProcessMachine.ignore,
        (State.STOPPING, InternalError): ProcessMachine.give_up,
        (State.STOPPING, StopRequested): ProcessMachine.stop_again,
        (State.STOPPING, Spawned): ProcessMachine.stop_after_spawn,
        (State.STOPPING, SpawnFailed): ProcessMachine.fail_stopped,
        (State.STOPPING, LaunchStopped): ProcessMachine.end_unstarted,
        (State.STOPPING, TimerFired): ProcessMachine.take_next_step,
        (State.STOPPING, StepFailed): ProcessMachine.skip_step,
        (State.STOPPING, Exited): ProcessMachine.end_stopped,
        (State.STOPPING, LeaderEnded): ProcessMachine.end_leader_stopped,
        (State.STOPPING, MainChanged): ProcessMachine.change_main,
        (State.STOPPING, Ready): ProcessMachine.ignore,
        (State.STOPPING, Extend): ProcessMachine.ignore,
        (State.STOPPING, Unhealthy): ProcessMachine.ignore,
        **{(state, StartRequested): ProcessMachine.ignore for state in _FINAL},
        **{(state, StopRequested): ProcessMachine.ignore for state in _FINAL},
    },
)
