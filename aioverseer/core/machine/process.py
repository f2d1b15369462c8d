"""The table of one run: what a Process does from INITIAL to its end, the ladder of its stop included.

Pure decisions. ``_engine/process/runner.py`` performs the actions and feeds what came of them.
"""

from __future__ import annotations

import signal
from typing import ClassVar, cast

from aioverseer.core.machine.actions import Launch, ReadyTimedOut, RunAction, SendSignal, Unstoppable
from aioverseer.core.machine.inputs import (
    Exited,
    Extend,
    InternalError,
    Ready,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    TimerFired,
    Unhealthy,
)
from aioverseer.core.machine.table import Arm, Disarm, Input, Machine, Rules
from aioverseer.core.options.stop import Stop
from aioverseer.core.state import Exit, State, signal_name

__all__ = ["ProcessMachine"]


class ProcessMachine(Machine[RunAction]):
    """One run of one program.

    Attributes:
        pid: Process id, once spawned; 0 for what is no process, a task of the host.
        exit: How it ended, once it has.
        error: Why it could not be started, or was ended as a failure.
        due: Monotonic time at which it has to be ready; None when it has, or may take its time.
        start_due: Monotonic time at which it is launched, while it waits for that; else None.
        sent: The signals of the ladder that were sent, in order.
        unstoppable: Whether the whole ladder was of no use so far.
    """

    name: ClassVar[str] = "process"

    def __init__(
        self, *, ladder: Stop, delay: float, awaits_ready: bool = False, ready_timeout: float | None = None
    ) -> None:
        super().__init__()
        self.pid: int | None = None
        self.exit: Exit | None = None
        self.error: BaseException | None = None
        self.sent: list[int] = []
        self.unstoppable = False
        self._ladder = ladder
        self._delay = delay
        self.due: float | None = None
        self.start_due: float | None = None
        self._rung_due: float | None = None
        self._awaits_ready = awaits_ready
        self._ready_timeout = ready_timeout
        self._verdict: BaseException | None = None
        self._launched = False
        self._rung = 0
        self._why = ""

    @property
    def is_unhealthy(self) -> bool:
        """Whether it is being ended because it does not do its work."""
        return self._verdict is not None

    @property
    def _subject(self) -> str:
        return f"pid {self.pid}" if self.pid else "it"  # a member of another kind has none

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends it in STOPPING, as words behind "waits for", and the monotonic time of the next step.

        None for the time when nothing more is done.
        """
        program = "its program to be started" if self.pid is None else f"{self._subject} to end"
        if self.unstoppable or self._rung_due is None:
            return program, None
        steps = self._ladder.steps
        if self.pid is None or self._rung + 1 == len(steps):
            return f"{program}, or is reported as one that does not die", self._rung_due
        return f"{program}, or is sent {signal_name(steps[self._rung + 1].signal)}", self._rung_due

    # What is waited for.

    def is_over(self) -> bool:
        """Whether nothing more is to be waited for: it has ended, or does not die."""
        return self.state.is_final or self.unstoppable

    def is_past_start(self) -> bool:
        """Whether the system runs it, or never will."""
        return self.state in (State.RUNNING, State.STOPPING) or self.state.is_final or self.pid is not None

    def is_past_waiting(self) -> bool:
        """Whether it is ready, or never will be."""
        if self.state is State.STOPPING:
            # One that is ended because it was not ready in time is waited for, as long as that is of any use.
            return not self.is_unhealthy or self.unstoppable
        return self.state is State.RUNNING or self.state.is_final

    # Nothing comes of a launch before it or twice, and a timer runs out only where one is armed.

    def awaits_spawn(self, _given: Input) -> bool:
        """Whether it is being spawned."""
        return self._launched and self.pid is None

    def has_spawned(self, _given: Input) -> bool:
        """Whether it has been spawned."""
        return self.pid is not None

    def has_launched(self, _given: Input) -> bool:
        """Whether it is being spawned, or has been."""
        return self._launched

    def is_armed(self, _given: Input) -> bool:
        """Whether a timer is armed."""
        if self.state is State.STARTING and self.pid is not None:
            return self.due is not None
        return not self.unstoppable and (not self._launched or self.state is State.STOPPING)

    def begin(self, _given: StartRequested) -> list[RunAction]:
        """STARTING: launch, or wait out ``delay_start`` first."""
        if self._delay > 0:
            self.to(State.STARTING, f"waits {self._delay:g} s before its start")
            self.start_due = self.now + self._delay
            return [Arm(seconds=self._delay)]
        return self._launch("is being started")

    def launch(self, _given: TimerFired) -> list[RunAction]:
        """The delay is over: launch. When it should be ready by now: have it ended."""
        if self.pid is not None:
            return [ReadyTimedOut()]
        return self._launch("is being started after its delay")

    def _launch(self, reason: str) -> list[RunAction]:
        self._launched = True
        self.start_due = None
        self.to(State.STARTING, reason)
        return [Launch()]

    def note_spawn(self, given: Spawned) -> list[RunAction]:
        """RUNNING, or still STARTING until it is ready, for ``ready_timeout``."""
        self.pid = given.pid
        if not self._awaits_ready:
            self.to(State.RUNNING, self._at_work())
            return []
        self.reason = f"{self._at_work()}, and is not ready yet"
        if self._ready_timeout is None:
            return []
        self.due = self.now + self._ready_timeout
        return [Arm(seconds=self._ready_timeout)]

    def note_ready(self, _given: Ready) -> list[RunAction]:
        """RUNNING."""
        self.due = None
        self.to(State.RUNNING, f"{self._at_work()}, and is ready")
        return [Disarm()]

    def _at_work(self) -> str:
        return f"runs as pid {self.pid}" if self.pid else "runs on the event loop"

    def extend(self, given: Extend) -> list[RunAction]:
        """Lengthen the time within which it has to be ready; never shorten it."""
        if self.due is None or self.now + given.seconds <= self.due:
            return []
        self.due = self.now + given.seconds
        return [Arm(seconds=given.seconds)]

    def end_unhealthy(self, given: Unhealthy) -> list[RunAction]:
        """STOPPING: the first step of the ladder; its end is a failure."""
        self._aim(StopRequested(why=given.why))
        self._verdict = given.error
        self.to(State.STOPPING, given.why)
        return self._take_rung()

    def stop_after_spawn(self, given: Spawned) -> list[RunAction]:
        """It was to stop before it existed: begin the ladder."""
        self.pid = given.pid
        self.unstoppable = False
        return self._take_rung()

    def fail(self, given: SpawnFailed) -> list[RunAction]:
        """FATAL: it could not be started."""
        self.error = given.error
        self.to(State.FATAL, f"could not be started: {given.error}")
        return []

    def fail_stopped(self, given: SpawnFailed) -> list[RunAction]:
        """FATAL: it could not be started, and nobody has to wait for it any more."""
        self.unstoppable = False
        return [*self.fail(given), Disarm()]

    def give_up(self, given: InternalError) -> list[RunAction]:
        """FATAL: it could not be looked after."""
        self.error = given.error
        self.unstoppable = False
        self.due = None
        self.to(State.FATAL, f"was killed because of a bug of aioverseer: {given.error!r}")
        return [Disarm()]

    def stop_unstarted(self, given: StopRequested) -> list[RunAction]:
        """In the delay: INTERRUPT, nothing was launched. Else: STOPPING, by the ladder once it has been spawned."""
        if self.pid is not None:
            return self.stop(given)
        if self._launched:
            self._aim(given)
            self.to(State.STOPPING, f"{given.why} while it was being started")
            return [self._wait_for_spawn()]
        self.to(State.INTERRUPT, f"{given.why} before it was started")
        return [Disarm()]

    def stop(self, given: StopRequested) -> list[RunAction]:
        """STOPPING: the first step of the ladder, or the last one when it is to be killed."""
        self._aim(given)
        self.to(State.STOPPING, given.why)
        return self._take_rung()

    def stop_again(self, given: StopRequested) -> list[RunAction]:
        """Nothing new, unless it is to be killed now, or has outlived the whole ladder: SIGKILL."""
        if self._verdict is not None:
            # It is wanted no more, so it does not matter any more how it did its work.
            self._verdict = None
            self._why = given.why
        if not (given.kill or self.unstoppable):
            return []
        last = len(self._ladder.steps) - 1
        if self._rung == last and not self.unstoppable:
            return []
        self._rung = last
        self.unstoppable = False
        return self._take_rung() if self.pid is not None else [self._wait_for_spawn()]

    def next_rung(self, _given: TimerFired) -> list[RunAction]:
        """The step has had its time: take the next, or report that there is none."""
        if self.pid is None:
            self.unstoppable = True
            self.reason = f"{self._why}; the system has been starting it since, and there is nothing to signal yet"
            return [Unstoppable()]
        if self._rung + 1 < len(self._ladder.steps):
            self._rung += 1
            return self._take_rung()
        self.unstoppable = True
        self.reason = f"{self._subject} is still there {self._ladder.steps[-1].timeout:g} s after SIGKILL"
        return [Unstoppable()]

    def end(self, given: Exited) -> list[RunAction]:
        """INTERRUPT when a signal killed it, else FINISHED."""
        self.exit = given.exit
        state = State.FINISHED if given.exit.signal is None else State.INTERRUPT
        if self.state is State.STARTING:
            self.due = None
            self.to(state, f"{given.exit} before it was ready")
            return [Disarm()]
        self.to(state, str(given.exit))
        return []

    def end_stopped(self, given: Exited) -> list[RunAction]:
        """INTERRUPT: it was stopped on request, whatever its exit. FATAL when it was ended as a failure."""
        self.exit = given.exit
        self.unstoppable = False
        self.due = None
        if self._verdict is not None:
            self.error = self._verdict
            self.to(State.FATAL, f"{self._why}; {given.exit}")
            return [Disarm()]
        self.to(State.INTERRUPT, f"{self._why}; {given.exit}")
        return [Disarm()]

    def _aim(self, given: StopRequested) -> None:
        self.due = None
        self._why = given.why
        self._rung = len(self._ladder.steps) - 1 if given.kill else 0

    def _wait_for_spawn(self) -> Arm:
        # A spawn may take for ever, for example where the program lies on a file system that does not answer.
        seconds = sum(step.timeout for step in self._ladder.steps[self._rung :])
        self._rung_due = self.now + seconds
        return Arm(seconds=seconds)

    def _take_rung(self) -> list[RunAction]:
        step = self._ladder.steps[self._rung]
        last = self._rung == len(self._ladder.steps) - 1
        self.sent.append(step.signal)
        self._rung_due = self.now + step.timeout
        self.reason = f"{self._why}; {signal_name(step.signal)} was sent"
        # The last step takes the whole tree whatever the scope says: nothing is to be left behind.
        leader_only = self._ladder.scope == "leader" and not last
        actions: list[RunAction] = [SendSignal(signal=step.signal, leader_only=leader_only)]
        if step.signal != signal.SIGKILL:
            # A program that is stopped (SIGSTOP, a terminal) handles nothing before it goes on; systemd and s6
            # send SIGCONT along for the same reason. SIGKILL needs no such help.
            actions.append(SendSignal(signal=signal.SIGCONT, leader_only=leader_only))
        return [*actions, Arm(seconds=step.timeout)]


ProcessMachine.guards = {
    Spawned: ProcessMachine.awaits_spawn,
    SpawnFailed: ProcessMachine.awaits_spawn,
    TimerFired: ProcessMachine.is_armed,
    Exited: ProcessMachine.has_spawned,
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
        (State.STARTING, Spawned): ProcessMachine.note_spawn,
        (State.STARTING, SpawnFailed): ProcessMachine.fail,
        (State.STARTING, Ready): ProcessMachine.note_ready,
        (State.STARTING, Extend): ProcessMachine.extend,
        (State.STARTING, Unhealthy): ProcessMachine.end_unhealthy,
        (State.STARTING, Exited): ProcessMachine.end,
        (State.RUNNING, StartRequested): ProcessMachine.ignore,
        (State.RUNNING, InternalError): ProcessMachine.give_up,
        (State.RUNNING, StopRequested): ProcessMachine.stop,
        (State.RUNNING, Exited): ProcessMachine.end,
        (State.RUNNING, Extend): ProcessMachine.ignore,
        (State.RUNNING, Unhealthy): ProcessMachine.end_unhealthy,
        (State.STOPPING, StartRequested): ProcessMachine.ignore,
        (State.STOPPING, InternalError): ProcessMachine.give_up,
        (State.STOPPING, StopRequested): ProcessMachine.stop_again,
        (State.STOPPING, Spawned): ProcessMachine.stop_after_spawn,
        (State.STOPPING, SpawnFailed): ProcessMachine.fail_stopped,
        (State.STOPPING, TimerFired): ProcessMachine.next_rung,
        (State.STOPPING, Exited): ProcessMachine.end_stopped,
        (State.STOPPING, Ready): ProcessMachine.ignore,
        (State.STOPPING, Extend): ProcessMachine.ignore,
        (State.STOPPING, Unhealthy): ProcessMachine.ignore,
        **{(state, StartRequested): ProcessMachine.ignore for state in _FINAL},
        **{(state, StopRequested): ProcessMachine.ignore for state in _FINAL},
    },
)
