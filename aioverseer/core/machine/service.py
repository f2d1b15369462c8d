"""The table of a Service: run -> judge -> backoff -> run again, and what is wanted of it.

Pure decisions. What the table is fed with, and what it answers, is in ``inputs.py``; ``_engine/service/runner.py`` performs the actions
and feeds what came of them. How one run starts and stops is decided in ``run.py``; whether an end is followed by a
restart is judged in ``restart.py``.
"""

from __future__ import annotations

from typing import ClassVar, cast

from aioverseer.core.clock import Rng
from aioverseer.core.machine.actions import (
    AskThrottle,
    AwaitReady,
    ReportThrottled,
    ServiceAction,
    StartProcess,
    StopProcess,
)
from aioverseer.core.machine.budget import Budget, Done, RestartIn, Spent
from aioverseer.core.machine.inputs import (
    Admitted,
    DependenciesMet,
    DependencyFailed,
    Failed,
    GroupMembership,
    HeldByGroup,
    ProcessEnded,
    ProcessUnhealthy,
    Ready,
    ReleasedByGroup,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartDeferred,
    StartRequested,
    StoppedByGroup,
    StopRequested,
    Throttled,
    TimerFired,
)
from aioverseer.core.machine.table import Arm, Disarm, Input, Machine, Rules
from aioverseer.core.options.restart import Restart, wants_restart
from aioverseer.core.state import Exit, State

__all__ = ["ServiceMachine"]


class ServiceMachine(Machine[ServiceAction]):
    """What is wanted of one service, where it is, and its restart budget.

    Attributes:
        wanted: Whether it is to run, whatever it does at the moment.
        runs: How many runs were begun since the service exists.
        restarts: How many runs followed the first since it was last started.
        error: Why the last run could not be started.
        gave_up: Whether it ended because its budget is spent.
        due: Monotonic time when the backoff is over; None outside of BACKOFF, and when it is over.
        rationed: Whether a throttle is asked before each restart that follows a backoff.
        turn: What it does when the throttle lets it; empty when it does not wait for that.
        held: Whether it waits for others before its first run.
        spawned: Whether a program of it has been started since it was last started.
        begun: Whether that has been tried at least.
        readied: Whether it has been ready since then.
        stopped: Whether its end, if it has ended, is what somebody asked for.
        seat: Its place in a group with a strategy; None outside of one.
        halted: Whether its group has ended it, or has it wait, to start it again.
        dismissed: Whether its end, if it has ended, is what its group wanted.
    """

    name: ClassVar[str] = "service"

    def __init__(self, *, policy: Restart, rng: Rng, delay: float) -> None:
        super().__init__()
        self.wanted = False
        self.runs = 0
        self.restarts = 0
        self.error: BaseException | None = None
        self.gave_up = False
        self.due: float | None = None
        self.has_throttle = False
        self.restart_reason = ""
        self._rng = rng
        self._policy: Restart = policy
        self._delay = delay
        self._budget = Budget(policy)
        self._ready_at: float | None = None
        self._steady: float | None = None  # ready time of runs that were ended by a restart on request: not judged yet
        self.deferred = False
        self.spawned = False
        self.was_ready = False
        self.stopped_on_request = False
        self.membership: GroupMembership | None = None
        self.held_by_group = False
        self.stopped_by_group = False
        self._group_due = 0.0  # when its group starts again, for one that has still to end
        self.begun = False
        self._anew = False  # wanted again after a stop: what follows is a new start, not the rest of a restart
        self._in_turn = False  # and that is to wait for those that come first
        self._kill = False
        self._failure: BaseException | None = None  # what it ends FATAL for, once its run is over

    def has_run(self, _given: Input) -> bool:
        """Whether it has a run that something can come of."""
        return not self.deferred

    def may_fail(self, given: Failed) -> bool:
        """Whether a run that is said to go on can be there."""
        return not (self.deferred and given.live)

    def has_asked(self, _given: Input) -> bool:
        """Whether it waits for the throttle."""
        return bool(self.restart_reason)

    def is_armed(self, _given: Input) -> bool:
        """Whether it waits for its backoff, not for the throttle."""
        return not self.restart_reason

    @property
    def policy(self) -> Restart:
        """The policy that judges the next end."""
        return self._policy

    def apply_policy(self, *, policy: Restart, delay: float) -> None:
        """Take new rules, for the next end and the next start; a changed policy begins a fresh budget."""
        self._delay = delay
        if policy != self._policy:
            self._policy = policy
            self._budget = Budget(policy)

    def left(self, now: float) -> int | None:
        """Return how many restarts are allowed at this moment; None is no limit."""
        return (self.membership or self._budget).left(now)

    def refills_in(self, now: float) -> float | None:
        """Return the seconds until one more restart is allowed, or None when that never happens."""
        return (self.membership or self._budget).refills_in(now)

    def start(self, _given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """STARTING: the first run, with a fresh budget, after ``delay_start``."""
        return self._start()

    def _fresh(self) -> None:
        self.wanted = True
        self.restarts = 0
        self.gave_up = self.stopped_by_group = False
        self.spawned = self.was_ready = self.stopped_on_request = False
        self.begun = False
        self.error = None
        self._budget = Budget(self._policy)

    def hold(self, given: StartDeferred) -> list[ServiceAction]:
        """STARTING: wanted, with a fresh budget, but others come first."""
        self._fresh()
        self.deferred = True
        self.to(State.STARTING, given.why)
        return []

    def hold_on(self, given: StartDeferred) -> list[ServiceAction]:
        """Nothing new, but perhaps for whom it waits."""
        if self.deferred:
            self.reason = given.why
        return []

    def release(self, _given: DependenciesMet | StartRequested | RestartRequested) -> list[ServiceAction]:
        """Begin the first run if it has waited for others; else nothing new."""
        return self._start() if self.deferred else []

    def bar(self, given: DependencyFailed) -> list[ServiceAction]:
        """FATAL, if it has waited for others; else nothing new."""
        if not self.deferred:
            return []
        self.deferred = False
        self.wanted = False
        self.error = given.error
        self.to(State.FATAL, _first_line(given.error))
        return []

    def note_failing(self, given: ProcessUnhealthy) -> list[ServiceAction]:
        """STOPPING, and still wanted: the policy will judge it."""
        if self._ready_at is not None:
            self._steady = max(self._steady or 0.0, self.now - self._ready_at)
            self._ready_at = None
        self.to(State.STOPPING, given.why)
        return []

    def _start(self) -> list[ServiceAction]:
        self._fresh()
        return self._first()

    def _start_anew(self) -> list[ServiceAction]:
        return self.hold(StartDeferred(why="waits for its turn")) if self._in_turn else self._start()

    def _first(self) -> list[ServiceAction]:
        reason = f"waits {self._delay:g} s before its start" if self._delay > 0 else "is being started"
        return self._begin(reason, delay=self._delay)

    def _next(self, reason: str) -> list[ServiceAction]:
        """Begin the next run; the first one, after ``delay_start``, when its group has cut that short."""
        if not self.begun:
            return self._first()
        self.restarts += 1
        return self._begin(reason)

    def launch_now(self, _given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """STARTING: somebody does not want to wait for the backoff."""
        return [Disarm(), *self._next("is being restarted on request, before its backoff was over")]

    def launch_due(self, _given: TimerFired) -> list[ServiceAction]:
        """STARTING: the backoff is over. Where there is a throttle, it is asked first."""
        return self._restart("is being restarted after its backoff")

    def _restart(self, reason: str) -> list[ServiceAction]:
        if self.has_throttle:
            self.restart_reason = reason
            self.due = None
            return [AskThrottle()]
        self.restarts += 1
        return self._begin(reason)

    def note_queued(self, given: Throttled) -> list[ServiceAction]:
        """Wait for its turn: too many services are being restarted."""
        self.reason = given.why
        return [ReportThrottled()]

    def launch_admitted(self, _given: Admitted) -> list[ServiceAction]:
        """STARTING: it is its turn."""
        self.restarts += 1
        return self._begin(self.restart_reason)

    def _wait_no_more(self) -> Disarm:
        self.due = None
        self.restart_reason = ""
        return Disarm()

    def note_spawn(self, _given: Spawned) -> list[ServiceAction]:
        """The program runs: wait until it is ready."""
        self.spawned = True
        self.begun = True
        return [AwaitReady()]

    def note_ready(self, _given: Ready) -> list[ServiceAction]:
        """RUNNING."""
        self._ready_at = self.now
        self.was_ready = True
        self.to(State.RUNNING, "is ready")
        return []

    def stop(self, given: StopRequested) -> list[ServiceAction]:
        """STOPPING, and no longer wanted. INTERRUPT where it has waited for others only."""
        self.wanted = False
        self.stopped_on_request = True
        if self.deferred:
            self.deferred = False
            self.to(State.INTERRUPT, f"{given.why} before it was started")
            return []
        self._kill = given.kill
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=given.kill, why=given.why)]

    def restart(self, _given: RestartRequested) -> list[ServiceAction]:
        """STOPPING, and still wanted. The first run where it has waited for others only."""
        if self.deferred:
            return self._start()
        self.to(State.STOPPING, "a restart was asked for")
        return [StopProcess(kill=False, why="a restart was asked for")]

    def stop_backoff(self, given: StopRequested) -> list[ServiceAction]:
        """INTERRUPT: nothing runs, and nothing will."""
        self.wanted = False
        self.stopped_on_request = True
        self.held_by_group = False
        self.to(State.INTERRUPT, f"{given.why} while it waited to restart")
        return [self._wait_no_more()]

    def want_again(self, _given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """Wanted: a new run follows the end of this one, with a fresh budget when it was not wanted before."""
        if not self.wanted:
            self.wanted = True
            self._anew = True
        self._in_turn = False
        return []

    def want_again_in_turn(self, _given: StartDeferred) -> list[ServiceAction]:
        """The same, but when it was not wanted before, the new run comes once it is its turn."""
        if not self.wanted:
            self.wanted = True
            self._anew = self._in_turn = True
        return []

    def want_no_more(self, given: StopRequested) -> list[ServiceAction]:
        """Not wanted: no run follows; with ``kill`` the ladder is cut short."""
        self.stopped_on_request = True
        if self.wanted:
            self.wanted = self.held_by_group = False
            self.reason = given.why
        if given.kill and not self._kill:
            self._kill = True
            return [StopProcess(kill=True, why=given.why)]
        # A Process that outlived its whole ladder takes a further stop as one more SIGKILL.
        return [StopProcess(kill=self._kill, why=given.why)]

    def unwant(self, _given: StopRequested) -> list[ServiceAction]:
        """Nothing runs, and nothing is wanted."""
        self.wanted = False
        self.stopped_on_request = True
        return []

    def halt(self, given: HeldByGroup) -> list[ServiceAction]:
        """STOPPING, to be started again with its group. BACKOFF where it has waited for others only."""
        self.held_by_group = True
        self._group_due = given.due
        if self.deferred:
            self.deferred = False
            return self._wait_for_group(given.why)
        self._note_steady()
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=False, why=given.why)]

    def halt_backoff(self, given: HeldByGroup) -> list[ServiceAction]:
        """Wait for its group instead of its own backoff."""
        disarm = self._wait_no_more()
        self.held_by_group = True
        self.due = given.due
        self.reason = given.why
        return [disarm]

    def halt_stopping(self, given: HeldByGroup) -> list[ServiceAction]:
        """Wait for its group once the run has ended, if it is wanted: a stop that was asked for goes before."""
        if self.wanted:
            self.held_by_group = True
            self._group_due = given.due
        return []

    def resume(self, _given: ReleasedByGroup) -> list[ServiceAction]:
        """STARTING: it is its turn in its group. Where there is a throttle, it is asked first.

        One that had not begun waits again for those that come first.
        """
        self.held_by_group = False
        if not self.begun:
            self.deferred = True
            self.to(State.STARTING, "waits for its turn")
            return [self._wait_no_more()]
        return [self._wait_no_more(), *self._restart("is being restarted with its group")]

    def resume_stopping(self, _given: ReleasedByGroup) -> list[ServiceAction]:
        """Its group waits no more for its end: a new run follows that by itself."""
        self.held_by_group = False
        return []

    def dismiss(self, given: StoppedByGroup) -> list[ServiceAction]:
        """STOPPING, and no longer wanted. INTERRUPT where it has waited for others only."""
        self.wanted = self.held_by_group = False
        self.stopped_by_group = True
        if self.deferred:
            self.deferred = False
            self.to(State.INTERRUPT, given.why)
            return []
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=False, why=given.why)]

    def dismiss_backoff(self, given: StoppedByGroup) -> list[ServiceAction]:
        """INTERRUPT: nothing runs, and nothing will."""
        self.wanted = self.held_by_group = False
        self.stopped_by_group = True
        self.to(State.INTERRUPT, given.why)
        return [self._wait_no_more()]

    def dismiss_stopping(self, given: StoppedByGroup) -> list[ServiceAction]:
        """Not wanted: no run follows."""
        if self.wanted:
            self.wanted = self.held_by_group = False
            self.stopped_by_group = True
            self.reason = given.why
        return []

    def _wait_for_group(self, what: str) -> list[ServiceAction]:
        self._ready_at = None
        self.due = self._group_due
        self.to(State.BACKOFF, what)
        return []

    def _note_steady(self) -> None:
        if self._ready_at is not None:
            self._steady = max(self._steady or 0.0, self.now - self._ready_at)

    def fail(self, given: Failed) -> list[ServiceAction]:
        """FATAL; by way of STOPPING when its run has to be killed first."""
        self.wanted = False
        self.deferred = self.held_by_group = False
        self.due = None
        self._failure = given.error
        if not given.live:
            self._end_failed(given.error)
            return []
        self._kill = True
        why = f"something raised in a step of it: {given.error!r}"
        self.to(State.STOPPING, why)
        return [StopProcess(kill=True, why=why)]

    def fail_backoff(self, given: Failed) -> list[ServiceAction]:
        """FATAL: nothing runs."""
        self.wanted = self.held_by_group = False
        self._end_failed(given.error)
        return [self._wait_no_more()]

    def _end_failed(self, error: BaseException) -> None:
        self.error = error
        self.to(State.FATAL, f"something raised in a step of it: {error!r}")

    def judge_spawn(self, given: SpawnFailed) -> list[ServiceAction]:
        """The policy judges a program that could not be started like one that failed."""
        self.error = given.error
        self.begun = True
        return self._judge(None, _first_line(given.error))

    def judge_end(self, given: ProcessEnded) -> list[ServiceAction]:
        """The policy judges the end: BACKOFF, or a final state."""
        if given.exit is None:  # its delay was cut by somebody who holds the Process itself
            self.wanted = False
            self.to(State.INTERRUPT, "was stopped before it was started")
            return []
        early = " before it was ready" if self.state is State.STARTING else ""
        return self._judge(given.exit, f"{given.exit}{early}")

    def end_stopped(self, given: ProcessEnded) -> list[ServiceAction]:
        """INTERRUPT, or STARTING when it is wanted again; FATAL when it was stopped for an error."""
        if self.wanted:
            if self.held_by_group:
                return self._wait_for_group(self.reason)
            if self._anew:
                return self._start_anew()
            if self._ready_at is not None:
                self._steady = max(self._steady or 0.0, self.since - self._ready_at)
            self.restarts += 1
            return self._begin("is being restarted on request")
        if self._failure is not None:
            self._end_failed(self._failure)
            return []
        how = "" if given.exit is None else f"; {given.exit}"
        self.to(State.INTERRUPT, f"{self.reason}{how}")
        return []

    def fail_stopped(self, given: SpawnFailed) -> list[ServiceAction]:
        """It could not be started before it was stopped: FATAL; judged or started anew when it is wanted."""
        if self.wanted:
            if self.held_by_group:
                return self._wait_for_group(self.reason)
            return self._start_anew() if self._anew else self.judge_spawn(given)
        self.error = given.error
        self.to(State.FATAL, _first_line(given.error))
        return []

    def _begin(self, reason: str, delay: float = 0.0) -> list[ServiceAction]:
        self.runs += 1
        self.deferred = self.held_by_group = False
        self.stopped_on_request = False
        self.error = None
        self.due = None
        self.restart_reason = ""
        self._ready_at = None
        self._anew = self._in_turn = False
        self._kill = False
        self._failure = None
        self.to(State.STARTING, reason)
        return [StartProcess(number=self.runs, delay=delay)]

    def _judge(self, exit: Exit | None, what: str) -> list[ServiceAction]:
        ready_for = None if self._ready_at is None else self.now - self._ready_at
        if self._steady is not None:
            ready_for = max(ready_for or 0.0, self._steady)
            self._steady = None
        if self.membership is not None and wants_restart(self._policy, exit):
            return self._judge_in_group(self.membership, exit, what, ready_for)
        verdict = self._budget.judge(exit, now=self.now, ready_for=ready_for, rng=self._rng)
        match verdict:
            case RestartIn(delay=delay, left=left):
                self.due = self.now + delay
                budget = "" if left is None else f" ({left} of {self._policy.max_restarts} restarts left)"
                self.to(State.BACKOFF, f"{what}; restarts in {delay:.3g} s{budget}")
                return [Arm(seconds=delay)]
            case Spent(max_restarts=most, within=within):
                self.wanted = False
                self.gave_up = True
                span = "" if within is None else f" within {within:g} s"
                self.to(State.FATAL, f"gave up: {what}, and its {most} restarts{span} are spent")
            case Done():
                self.wanted = False
                self.to(_end_state(exit), what)
        return []

    def _judge_in_group(
        self, membership: GroupMembership, exit: Exit | None, what: str, ready_for: float | None
    ) -> list[ServiceAction]:
        from aioverseer.core.machine.strategies import (  # noqa: PLC0415
            AlreadyRestarting,  # few hosts have groups
            RestartTogether,  # few hosts have groups
        )

        verdict = membership.judge(what, now=self.now, ready_for=ready_for)
        if isinstance(verdict, AlreadyRestarting):
            self.held_by_group = True
            self.to(State.BACKOFF, f"{what}; restarts with group {verdict.group!r}")
            return []
        if isinstance(verdict, RestartTogether):
            self.due = self.now + verdict.delay
            budget = "" if verdict.left is None else f" ({verdict.left} restarts of the group left)"
            how = f"restarts with group {verdict.group!r} ({verdict.strategy})"
            self.to(State.BACKOFF, f"{what}; {how} in {verdict.delay:.3g} s{budget}")
            if len(verdict.members) == 1:  # itself
                return [Arm(seconds=verdict.delay)]
            self.held_by_group = True
            return []
        self.wanted = False
        if verdict.gave_up:
            self.gave_up = True
            self.to(State.FATAL, verdict.why)
        else:
            self.stopped_by_group = True
            self.to(_end_state(exit), f"{what}; {verdict.why}")
        return []


def _first_line(error: BaseException) -> str:
    """Return what an error says, without the last lines of the program: a reason is one sentence."""
    return str(error).partition("\n")[0]


def _end_state(exit: Exit | None) -> State:
    """Return where a service is that ended by itself and is not restarted."""
    if exit is None:
        return State.FATAL
    return State.FINISHED if exit.signal is None else State.INTERRUPT


_FINAL = (State.INTERRUPT, State.FINISHED, State.FATAL)

ServiceMachine.guards = {
    **dict.fromkeys((Spawned, SpawnFailed, Ready, ProcessEnded, ProcessUnhealthy), ServiceMachine.has_run),
    Failed: ServiceMachine.may_fail,
    **dict.fromkeys((Admitted, Throttled), ServiceMachine.has_asked),
    TimerFired: ServiceMachine.is_armed,
}
ServiceMachine.table = cast(
    "Rules",
    {
        (State.INITIAL, StartRequested): ServiceMachine.start,
        (State.INITIAL, RestartRequested): ServiceMachine.start,
        (State.INITIAL, StopRequested): ServiceMachine.unwant,
        (State.INITIAL, StartDeferred): ServiceMachine.hold,
        (State.INITIAL, Failed): ServiceMachine.ignore,
        (State.STARTING, StartRequested): ServiceMachine.release,
        (State.STARTING, StartDeferred): ServiceMachine.hold_on,
        (State.STARTING, DependenciesMet): ServiceMachine.release,
        (State.STARTING, DependencyFailed): ServiceMachine.bar,
        (State.STARTING, ProcessUnhealthy): ServiceMachine.note_failing,
        (State.STARTING, RestartRequested): ServiceMachine.restart,
        (State.STARTING, StopRequested): ServiceMachine.stop,
        (State.STARTING, Spawned): ServiceMachine.note_spawn,
        (State.STARTING, SpawnFailed): ServiceMachine.judge_spawn,
        (State.STARTING, Ready): ServiceMachine.note_ready,
        (State.STARTING, ProcessEnded): ServiceMachine.judge_end,
        (State.STARTING, Failed): ServiceMachine.fail,
        (State.RUNNING, StartRequested): ServiceMachine.ignore,
        (State.RUNNING, RestartRequested): ServiceMachine.restart,
        (State.RUNNING, StopRequested): ServiceMachine.stop,
        (State.RUNNING, SpawnFailed): ServiceMachine.judge_spawn,
        (State.RUNNING, ProcessEnded): ServiceMachine.judge_end,
        (State.RUNNING, Failed): ServiceMachine.fail,
        (State.RUNNING, ProcessUnhealthy): ServiceMachine.note_failing,
        (State.BACKOFF, StartRequested): ServiceMachine.launch_now,
        (State.BACKOFF, RestartRequested): ServiceMachine.launch_now,
        (State.BACKOFF, StopRequested): ServiceMachine.stop_backoff,
        (State.BACKOFF, TimerFired): ServiceMachine.launch_due,
        (State.BACKOFF, Throttled): ServiceMachine.note_queued,
        (State.BACKOFF, Admitted): ServiceMachine.launch_admitted,
        (State.BACKOFF, Failed): ServiceMachine.fail_backoff,
        (State.STOPPING, StartRequested): ServiceMachine.want_again,
        (State.STOPPING, StartDeferred): ServiceMachine.want_again_in_turn,
        (State.STOPPING, RestartRequested): ServiceMachine.want_again,
        (State.STOPPING, StopRequested): ServiceMachine.want_no_more,
        (State.STOPPING, Spawned): ServiceMachine.ignore,
        (State.STOPPING, SpawnFailed): ServiceMachine.fail_stopped,
        (State.STOPPING, Ready): ServiceMachine.ignore,
        (State.STOPPING, ProcessEnded): ServiceMachine.end_stopped,
        (State.STOPPING, Failed): ServiceMachine.fail,
        (State.STOPPING, ProcessUnhealthy): ServiceMachine.ignore,
        (State.INITIAL, HeldByGroup): ServiceMachine.ignore,
        (State.INITIAL, StoppedByGroup): ServiceMachine.ignore,
        (State.STARTING, HeldByGroup): ServiceMachine.halt,
        (State.STARTING, StoppedByGroup): ServiceMachine.dismiss,
        (State.RUNNING, HeldByGroup): ServiceMachine.halt,
        (State.RUNNING, StoppedByGroup): ServiceMachine.dismiss,
        (State.BACKOFF, HeldByGroup): ServiceMachine.halt_backoff,
        (State.BACKOFF, StoppedByGroup): ServiceMachine.dismiss_backoff,
        (State.STOPPING, HeldByGroup): ServiceMachine.halt_stopping,
        (State.STOPPING, StoppedByGroup): ServiceMachine.dismiss_stopping,
        (State.BACKOFF, ReleasedByGroup): ServiceMachine.resume,
        (State.STOPPING, ReleasedByGroup): ServiceMachine.resume_stopping,
        **{(state, StartRequested): ServiceMachine.start for state in _FINAL},
        **{(state, StartDeferred): ServiceMachine.hold for state in _FINAL},
        **{(state, RestartRequested): ServiceMachine.start for state in _FINAL},
        **{(state, StopRequested): ServiceMachine.unwant for state in _FINAL},
        **{(state, Failed): ServiceMachine.ignore for state in _FINAL},
        **{(state, HeldByGroup): ServiceMachine.ignore for state in _FINAL},
        **{(state, StoppedByGroup): ServiceMachine.ignore for state in _FINAL},
    },
)
