"""The state machine of a service: run, judge the end, back off, run again.

Whether the service is wanted is a field of its own, apart from the state: a restart is a stop of a wanted service.
"""

from __future__ import annotations

from typing import ClassVar, cast

from aioverseer.core.clock import Rng
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
from aioverseer.core.machine.budget import Budget, Done, RestartIn, Spent
from aioverseer.core.machine.inputs import (
    Admitted,
    DependenciesMet,
    DependencyFailed,
    Failed,
    HeldByGroup,
    ProcessEnded,
    ProcessEnding,
    Ready,
    ReleasedByGroup,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartDeferred,
    StartRequested,
    StoppedByGroup,
    StopRequested,
    SuccessorTakesOver,
    Throttled,
    TimerFired,
    Triggered,
)
from aioverseer.core.machine.membership import AlreadyRestarting, GroupMembership, RestartTogether
from aioverseer.core.machine.table import Arm, Disarm, Input, Machine, Rules, Transition
from aioverseer.core.machine.trigger import Trigger
from aioverseer.core.options.by import asked
from aioverseer.core.options.restart import Restart, never_restarts, wants_restart
from aioverseer.core.state import Exit, State
from aioverseer.core.text.counted import counted

__all__ = ["ServiceMachine"]


class ServiceMachine(Machine[ServiceAction]):
    """State machine of one service, with its restart budget.

    Attributes:
        wanted: Whether the service should run, whatever its state is.
        runs: Number of runs since the service was added.
        restarts: Number of runs after the first one since the last start.
        error: Reason why the last run could not be started.
        gave_up: Whether the service ended because its restart budget is spent, or no restart can help.
        hopeless: Whether the service gave up because its program can never be started.
        due: Monotonic time of the end of the backoff; None outside of BACKOFF and once the backoff is over.
        has_throttle: Whether each restart by policy asks a throttle first.
        restart_reason: Reason of the restart that waits for the throttle; empty if none waits.
        deferred: Whether the service waits for its dependencies before its first run.
        begun: Whether a spawn was tried since the last start.
        spawned: Whether a spawn succeeded since the last start.
        ever_spawned: Whether a spawn of this program succeeded since the service was added.
        was_ready: Whether the service was ready since the last start.
        stopped_on_request: Whether its end, if it has ended, was requested.
        membership: Membership in a group with a strategy; None without one.
        held_by_group: Whether the group has stopped the service, or has it wait, to start it again.
        stopped_by_group: Whether its end, if it has ended, was decided by its group.
        trigger: Starts each run by itself; None for a service that runs from its start on.
        by: Name of the one who asked for the present state; empty if nobody did, or gave a name.
        ended_by_itself: Whether the run has ended without a stop, and its leftovers or its ``cleanup`` are awaited.
        judged: Whether the policy has judged the end of the last run; a request or the group has ended it otherwise.
        has_successor: Whether a run lives that will take the place of the current one.
        has_side_runs: Whether a run lives beside the current one: a successor, or an old run that is being stopped.
    """

    name: ClassVar[str] = "service"

    def __init__(self, *, policy: Restart, rng: Rng, delay: float) -> None:
        super().__init__()
        self.wanted = False
        self.runs = 0
        self.restarts = 0
        self.error: BaseException | None = None
        self.gave_up = False
        self.hopeless = False
        self.judged = False
        self.by = ""
        self.due: float | None = None
        self.has_throttle = False
        self.restart_reason = ""
        self._rng = rng
        self._policy: Restart = policy
        self._delay = delay
        self._budget = Budget(policy)
        self._ready_at: float | None = None
        self._steady: float | None = None  # longest ready time, in seconds, of runs that no judgement has counted yet
        self.deferred = False
        self.spawned = False
        self.ever_spawned = False
        self.was_ready = False
        self.stopped_on_request = False
        self.membership: GroupMembership | None = None
        self.held_by_group = False
        self.stopped_by_group = False
        self._group_due = 0.0  # when its group starts again, while its run still stops
        self.begun = False
        self.has_successor = False
        self.has_side_runs = False
        self._anew = False  # wanted again after a stop: a new start follows, not a restart
        self._defer_anew = False  # that start must wait for its dependencies
        self._kill = False
        self._why_restarted = ""  # reason of a restart that nobody has requested
        self.ended_by_itself = False
        self._ended_early = False  # before it was ready
        self._failure: BaseException | None = None  # error of the FATAL state that follows the end of its run
        self.trigger: Trigger | None = None
        self._armed = False
        self._told = (False, False)  # the last SetTrigger
        self._ended = ""  # end of the last run, for the reason of WAITING
        self._queued = ""  # reason of a run that follows the present one; empty for none

    def feed(self, given: Input, now: float) -> list[ServiceAction | Transition]:
        """Apply the rule for one input; see ``Machine.feed``. A change of what the trigger has to do is an action."""
        actions = super().feed(given, now)
        if self.trigger is not None and (wanted := (self.is_armed, self.state is State.WAITING)) != self._told:
            self._told = wanted
            place = -1 if actions and isinstance(actions[-1], Transition) else len(actions)
            actions[place:place] = [SetTrigger(armed=wanted[0], waiting=wanted[1])]
        return actions

    @property
    def is_armed(self) -> bool:
        """Whether its trigger may start it: the service was started, and is still wanted."""
        return self._armed and self.wanted

    def has_trigger(self, _given: Triggered) -> bool:
        """Return whether the service has a trigger."""
        return self.trigger is not None

    def begin_delays_anew(self) -> None:
        """Let the next restart have the shortest delay: the program has asked for it. A group has delays of its own."""
        self._budget.begin_delays_anew()

    def take_trigger(self, trigger: Trigger | None) -> None:
        """Let a trigger start each run that follows the present one, or none, in any state but WAITING.

        The caller arms the trigger. Later changes are actions.
        """
        self.trigger = trigger
        self._armed = trigger is not None and self.wanted and not self.deferred
        self._told = (self.is_armed, self.state is State.WAITING)
        self.rephrase()

    def rephrase(self) -> None:
        """Update the reason of WAITING: the trigger has changed."""
        if self.state is State.WAITING:
            self.reason = self._waits()

    def has_run(self, _given: Input) -> bool:
        """Return whether the service has a run, which may send inputs."""
        return not self.deferred

    def may_fail(self, given: Failed) -> bool:
        """Return whether the failure is possible: a deferred service has no live run."""
        return not (self.deferred and given.live)

    @property
    def ready_at(self) -> float | None:
        """Monotonic time at which the current run became ready; None while it is not."""
        return self._ready_at if self.state is State.RUNNING else None

    @property
    def may_take_over(self) -> bool:
        """Whether there is a successor that may take the place of the current run."""
        return self.has_successor and self.wanted and not (self.held_by_group or self.deferred or self._anew)

    def can_exchange(self, _given: SuccessorTakesOver) -> bool:
        """Return whether a successor may take the place of the current run."""
        return self.may_take_over

    def number_beside(self) -> int:
        """Return the number of a run that begins beside the current one."""
        self.runs += 1
        return self.runs

    def awaits_throttle(self, _given: Input) -> bool:
        """Return whether the service waits for the throttle."""
        return bool(self.restart_reason)

    def awaits_timer(self, _given: Input) -> bool:
        """Return whether the service waits for its timer, not for the throttle."""
        return not self.restart_reason

    @property
    def policy(self) -> Restart:
        """Restart policy that judges the next end."""
        return self._policy

    def apply_policy(self, *, policy: Restart, delay: float) -> None:
        """Apply a policy to the next end and a delay to the next start. A changed policy has a fresh budget."""
        self._delay = delay
        if policy != self._policy:
            self._policy = policy
            self._budget = Budget(policy)

    def change_program(self) -> None:
        """Record that the next run is that of another program, which has never run yet."""
        self.ever_spawned = False

    def record_program(self) -> None:
        """Record that the program of the current run could be started."""
        self.ever_spawned = True

    def left(self, now: float) -> int | None:
        """Return the number of restarts that are allowed now; None is no limit."""
        if never_restarts(self.policy):
            return 0
        return (self.membership or self._budget).left(now)

    def refills_in(self, now: float) -> float | None:
        """Return the seconds until one more restart is allowed, or None if that never happens."""
        return (self.membership or self._budget).refills_in(now)

    def start(self, given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """STARTING: begin the first run, with a fresh budget, after ``delay_start``. WAITING if there is a trigger."""
        self.by = given.by
        return self._start()

    def run_once(self, given: Triggered) -> list[ServiceAction]:
        """STARTING: begin a run on request. The trigger stays disarmed."""
        self._armed = False
        self.by = given.by
        return self._run(given.why)

    def run_now(self, given: Triggered) -> list[ServiceAction]:
        """STARTING: begin a run, with a fresh budget."""
        self.by = given.by
        return self._run(given.why)

    def run_queued(self, _given: TimerFired) -> list[ServiceAction]:
        """STARTING: begin the run that was put off until the end of the last one."""
        return self._run(self._queued)

    def stop_waiting(self, given: StopRequested | StoppedByGroup) -> list[ServiceAction]:
        """INTERRUPT: disarm the trigger."""
        self.wanted = False
        self.by = given.by if isinstance(given, StopRequested) else ""
        self.stopped_on_request = isinstance(given, StopRequested)
        self.stopped_by_group = not self.stopped_on_request
        self.to(State.INTERRUPT, f"{given.why} while it waited" if self.stopped_on_request else given.why)
        return []

    def arm(self, _given: StartRequested) -> list[ServiceAction]:
        """Arm the trigger if there is one; else do nothing."""
        self._armed = self.trigger is not None
        return []

    def overlap(self, given: Triggered) -> list[ServiceAction]:
        """Skip the trigger, put its run off until the end of this one, or replace this one, as its ``overlap`` says."""
        if self.deferred:
            self.by = given.by
            return self._run(given.why)
        if not self.wanted:  # a run on request while the service is being stopped
            self._armed = False
            self.by = given.by
            self.wanted = self._anew = True
            self._defer_anew = self.ended_by_itself = False
            self._queued = given.why
            return []
        if given.overlap == "skip":
            return [ReportOverlap(what=f"{given.why}: skipped, as a run is {self.state}")]
        if given.overlap == "queue":
            self._queued = self._queued or given.why
            return [ReportOverlap(what=f"{given.why}: runs after the present run, which is {self.state}")]
        self.by = given.by
        return self._replace(given.why)

    def _replace(self, why: str) -> list[ServiceAction]:
        if self.held_by_group:
            return [ReportOverlap(what=f"{why}: skipped, as its group starts it again")]
        if self.state is State.BACKOFF:
            return [self._leave_backoff(), *self._run(why)]
        self._queued = why
        self._anew = True
        self._defer_anew = self.ended_by_itself = False
        if self.state is State.STOPPING:
            return []
        what = f"{why}, and the run before it is replaced"
        self.to(State.STOPPING, what)
        return [StopProcess(kill=False, why=what)]

    def _fresh(self) -> None:
        self.wanted = True
        self.restarts = 0
        self.gave_up = self.hopeless = self.stopped_by_group = False
        self.spawned = self.was_ready = self.stopped_on_request = False
        self.begun = self.judged = False
        self.error = None
        self._queued = self._ended = ""
        self._budget = Budget(self._policy)

    def defer(self, given: StartDeferred) -> list[ServiceAction]:
        """STARTING, with a fresh budget: wait for the dependencies before the first run."""
        self._fresh()
        self._armed = False
        self.deferred = True
        self.by = given.by
        self.to(State.STARTING, given.why)
        return []

    def defer_again(self, given: StartDeferred) -> list[ServiceAction]:
        """Update the reason if the service waits for dependencies; else do nothing."""
        if self.deferred:
            self.reason = given.why
        return []

    def start_deferred(self, given: DependenciesMet | StartRequested | RestartRequested) -> list[ServiceAction]:
        """Begin the first run if it waits for dependencies, or wait for the trigger; else do nothing."""
        if self.deferred:
            if not isinstance(given, DependenciesMet):
                self.by = given.by
            return self._start()
        return self.arm(given) if isinstance(given, StartRequested) else []

    def fail_dependency(self, given: DependencyFailed) -> list[ServiceAction]:
        """FATAL if the service waits for dependencies; else do nothing."""
        if not self.deferred:
            return []
        self.deferred = False
        self.wanted = False
        self.error = given.error
        self.to(State.FATAL, _first_line(given.error))
        return []

    def record_ending(self, given: ProcessEnding) -> list[ServiceAction]:
        """STOPPING, and still wanted: the policy will judge the end."""
        self.by = ""
        if self._ready_at is not None:
            self._steady = max(self._steady or 0.0, self.now - self._ready_at)
            self._ready_at = None
        self.ended_by_itself = given.ended
        self._ended_early = self.state is State.STARTING
        self.to(State.STOPPING, given.why)
        return []

    def _start(self) -> list[ServiceAction]:
        self._fresh()
        self._armed = self.trigger is not None
        if not self._armed:
            return self._begin_first()
        self.deferred = self.held_by_group = False
        return self._wait()

    def _wait(self) -> list[ServiceAction]:
        self.to(State.WAITING, self._waits())
        return [Arm(seconds=0.0)] if self._queued else []

    def _waits(self) -> str:
        waits = "" if self.trigger is None else f"waits for {self.trigger.awaited}"
        return f"{self._ended}; {waits}" if self._ended else waits

    def _run(self, why: str) -> list[ServiceAction]:
        """Begin the first run of a fresh budget, for a trigger."""
        self._fresh()
        return self._begin_first(why)

    def _start_anew(self) -> list[ServiceAction]:
        if self._queued:
            return self._run(self._queued)
        return self.defer(StartDeferred(why="waits for its turn", by=self.by)) if self._defer_anew else self._start()

    def _begin_first(self, why: str = "") -> list[ServiceAction]:
        reason = f"waits {self._delay:g} s before its start" if self._delay > 0 else "is being started"
        return self._begin(f"{reason}: {why}" if why else reason, delay=self._delay)

    def _begin_next(self, reason: str) -> list[ServiceAction]:
        """Begin the next run; the first one, after ``delay_start``, if the group stopped the service before it."""
        if not self.begun:
            return self._begin_first()
        self.restarts += 1
        return self._begin(reason)

    def restart_now(self, given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """STARTING: restart at once, on request."""
        self.by = given.by
        if isinstance(given, StartRequested):
            self.arm(given)
        if isinstance(given, RestartRequested) and given.why:
            return [Disarm(), *self._begin_next(given.why)]
        request = asked("on request", given.by)
        return [Disarm(), *self._begin_next(f"is being restarted {request}, before its backoff was over")]

    def restart_due(self, _given: TimerFired) -> list[ServiceAction]:
        """STARTING: the backoff is over. If there is a throttle, ask it first."""
        return self._restart("is being restarted after its backoff")

    def _restart(self, reason: str) -> list[ServiceAction]:
        if self.has_throttle:
            self.restart_reason = reason
            self.due = None
            return [AskThrottle()]
        self.restarts += 1
        return self._begin(reason)

    def wait_for_throttle(self, given: Throttled) -> list[ServiceAction]:
        """Wait in the queue of the throttle: too many services are being restarted."""
        self.reason = given.why
        return [ReportThrottled()]

    def restart_admitted(self, _given: Admitted) -> list[ServiceAction]:
        """STARTING: the throttle allows the restart."""
        self.restarts += 1
        return self._begin(self.restart_reason)

    def _leave_backoff(self) -> Disarm:
        self.due = None
        self.restart_reason = ""
        return Disarm()

    def record_spawn(self, _given: Spawned) -> list[ServiceAction]:
        """Record that the program runs; Ready follows once it can do its work."""
        self.spawned = self.ever_spawned = True
        self.begun = True
        return []

    def record_late_spawn(self, _given: Spawned) -> list[ServiceAction]:
        """Record that the program can be started, although a stop came before it was."""
        self.ever_spawned = True
        return []

    def record_ready(self, _given: Ready) -> list[ServiceAction]:
        """RUNNING."""
        self._ready_at = self.now
        self.was_ready = True
        self.to(State.RUNNING, "is ready")
        return []

    def take_over(self, given: SuccessorTakesOver) -> list[ServiceAction]:
        """RUNNING, or STARTING if it is not ready: the successor takes the place of the current run."""
        actions: list[ServiceAction] = [ExchangeRuns()]
        if self.state is State.BACKOFF:
            actions.insert(0, self._leave_backoff())
        self._reset_run()
        self.begun = self.spawned = self.ever_spawned = True
        self._budget = Budget(self._policy)
        self._steady = None
        self._ready_at = given.ready_at
        self.by = given.by
        if given.ready_at is None:
            self.to(State.STARTING, "its new run is not ready yet")
        else:
            self.was_ready = True
            self.to(State.RUNNING, "is ready")
        return actions

    def stop(self, given: StopRequested) -> list[ServiceAction]:
        """STOPPING, and no longer wanted. INTERRUPT if the service waits for dependencies."""
        self.wanted = False
        self.stopped_on_request = True
        self.by = given.by
        if self.deferred:
            self.deferred = False
            self.to(State.INTERRUPT, f"{given.why} before it was started")
            return []
        self._kill = given.kill
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=given.kill, why=given.why, ladder=given.ladder)]

    def restart(self, given: RestartRequested) -> list[ServiceAction]:
        """STOPPING, and still wanted. STARTING, with the first run, if the service waits for dependencies."""
        self.by = given.by
        if self.deferred:
            return self._start()
        self._why_restarted = given.why
        why = given.why or asked("a restart was asked for", given.by)
        self.to(State.STOPPING, why)
        return [StopProcess(kill=False, why=why)]

    def stop_backoff(self, given: StopRequested) -> list[ServiceAction]:
        """INTERRUPT: cancel the restart. STOPPING if a run lives beside the one that has ended."""
        self.wanted = False
        self.stopped_on_request = True
        self.by = given.by
        self.held_by_group = False
        why = f"{given.why} while it waited to restart"
        if self.has_side_runs:
            return self._stop_side_runs(why, kill=given.kill)
        self.to(State.INTERRUPT, why)
        return [self._leave_backoff()]

    def _stop_side_runs(self, why: str, *, kill: bool = False) -> list[ServiceAction]:
        """STOPPING without a current run, until the runs beside it have ended."""
        self._kill = kill
        self.to(State.STOPPING, why)
        return [self._leave_backoff(), StopProcess(kill=kill, why=why)]

    def want_again(self, given: StartRequested | RestartRequested) -> list[ServiceAction]:
        """Begin a new run after the end of this one; with a fresh budget if the service was not wanted."""
        self.by = given.by
        if not self.wanted:
            self.wanted = True
            self._anew = True
            self._queued = ""
            self._armed = self.trigger is not None
        self._defer_anew = False
        self.ended_by_itself = False
        return []

    def want_again_deferred(self, given: StartDeferred) -> list[ServiceAction]:
        """Begin a new run after the end of this one, once dependencies are met; nothing if one follows anyway."""
        if not self.wanted or self.ended_by_itself:
            self.by = given.by
            self.wanted = True
            self._armed = False
            self._queued = ""
            self._anew = self._defer_anew = True
            self.ended_by_itself = False
        return []

    def want_no_more(self, given: StopRequested) -> list[ServiceAction]:
        """Cancel the next run; ``kill`` skips to the last step of the ladder."""
        self.stopped_on_request = True
        if self.wanted:
            self.wanted = self.held_by_group = False
            self.reason = given.why
            self.by = given.by
        if given.kill and not self._kill:
            self._kill = True
            return [StopProcess(kill=True, why=given.why)]
        # A run that outlived its whole ladder answers a further stop with another SIGKILL.
        return [StopProcess(kill=self._kill, why=given.why)]

    def unwant(self, _given: StopRequested) -> list[ServiceAction]:
        """Record that the service is not wanted."""
        self.wanted = False
        self.stopped_on_request = True
        return []

    def hold(self, given: HeldByGroup) -> list[ServiceAction]:
        """STOPPING, to be restarted with its group. BACKOFF if the service waits for dependencies."""
        self.held_by_group = True
        self._group_due = given.due
        self.by = ""
        if self.deferred:
            self.deferred = False
            return self._wait_for_group(given.why)
        self._record_steady()
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=False, why=given.why)]

    def hold_backoff(self, given: HeldByGroup) -> list[ServiceAction]:
        """Wait for the group instead of the backoff."""
        disarm = self._leave_backoff()
        self.held_by_group = True
        self.due = given.due
        self.reason = given.why
        return [disarm]

    def hold_stopping(self, given: HeldByGroup) -> list[ServiceAction]:
        """Wait for the group after the end of the run, unless a stop was requested, which goes first."""
        if self.wanted:
            self.held_by_group = True
            self._group_due = given.due
        return []

    def release(self, _given: ReleasedByGroup) -> list[ServiceAction]:
        """STARTING: restart with the group. If there is a throttle, ask it first.

        A service that had not begun its first run waits for its dependencies again.
        """
        self.held_by_group = False
        if not self.begun:
            self.deferred = True
            self.to(State.STARTING, "waits for its turn")
            return [self._leave_backoff()]
        return [self._leave_backoff(), *self._restart("is being restarted with its group")]

    def release_stopping(self, _given: ReleasedByGroup) -> list[ServiceAction]:
        """Restart after the end of the run without the group, which no longer waits for it."""
        self.held_by_group = False
        return []

    def stop_by_group(self, given: StoppedByGroup) -> list[ServiceAction]:
        """STOPPING, and no longer wanted. INTERRUPT if the service waits for dependencies."""
        self.wanted = self.held_by_group = False
        self.stopped_by_group = True
        self.by = ""
        if self.deferred:
            self.deferred = False
            self.to(State.INTERRUPT, given.why)
            return []
        self.to(State.STOPPING, given.why)
        return [StopProcess(kill=False, why=given.why)]

    def stop_backoff_by_group(self, given: StoppedByGroup) -> list[ServiceAction]:
        """INTERRUPT: cancel the restart, as the group ends. STOPPING if a run lives beside the one that has ended."""
        self.wanted = self.held_by_group = False
        self.stopped_by_group = True
        self.by = ""
        if self.has_side_runs:
            return self._stop_side_runs(given.why)
        self.to(State.INTERRUPT, given.why)
        return [self._leave_backoff()]

    def unwant_by_group(self, given: StoppedByGroup) -> list[ServiceAction]:
        """Cancel the next run, as the group ends."""
        if self.wanted:
            self.wanted = self.held_by_group = False
            self.stopped_by_group = True
            self.reason = given.why
            self.by = ""
        return []

    def _wait_for_group(self, what: str) -> list[ServiceAction]:
        self._ready_at = None
        self.due = self._group_due
        self.to(State.BACKOFF, what)
        return []

    def _record_steady(self) -> None:
        if self._ready_at is not None:
            self._steady = max(self._steady or 0.0, self.now - self._ready_at)

    def fail(self, given: Failed) -> list[ServiceAction]:
        """FATAL; STOPPING first if a live run must be killed."""
        self.wanted = False
        self.deferred = self.held_by_group = False
        self.due = None
        self.by = ""
        self._failure = given.error
        if not given.live:
            self._end_failed(given.error)
            return []
        self._kill = True
        why = f"one of its steps raised {given.error!r}"
        self.to(State.STOPPING, why)
        return [StopProcess(kill=True, why=why)]

    def fail_backoff(self, given: Failed) -> list[ServiceAction]:
        """FATAL: cancel the restart. STOPPING first if a run lives beside the one that has ended."""
        self.wanted = self.held_by_group = False
        if self.has_side_runs:
            self._failure = given.error
            return self._stop_side_runs(f"one of its steps raised {given.error!r}", kill=True)
        self._end_failed(given.error)
        return [self._leave_backoff()]

    def fail_waiting(self, given: Failed) -> list[ServiceAction]:
        """FATAL: disarm the trigger."""
        self.wanted = False
        self._end_failed(given.error)
        return []

    def _end_failed(self, error: BaseException) -> None:
        self.error = error
        self.to(State.FATAL, f"one of its steps raised {error!r}")

    def judge_spawn(self, given: SpawnFailed) -> list[ServiceAction]:
        """Judge a failed spawn like a failure: BACKOFF, or a final state. FATAL if it is impossible and never ran."""
        self.error = given.error
        self.begun = True
        # A program that has run before may come back: a deployment replaces its file.
        hopeless = given.impossible and not self.ever_spawned
        return self._judge(None, _first_line(given.error), hopeless=hopeless)

    def judge_end(self, given: ProcessEnded) -> list[ServiceAction]:
        """Judge the end by the policy: BACKOFF, or a final state."""
        if given.exit is None:  # the application stopped the Process itself during its delay
            self.wanted = False
            self.to(State.INTERRUPT, "was stopped before it was started")
            return []
        is_early = self.state is State.STARTING or (self.ended_by_itself and self._ended_early)
        early = " before it was ready" if is_early else ""
        return self._judge(given.exit, f"{given.exit}{early}", also=_also(given))

    def end_stopped(self, given: ProcessEnded) -> list[ServiceAction]:
        """INTERRUPT; STARTING or BACKOFF if the service is wanted; FATAL if an error stopped it."""
        if self.wanted:
            if self.held_by_group:
                return self._wait_for_group(self.reason)
            if self._anew:
                return self._start_anew()
            if self.ended_by_itself:
                return self.judge_end(given)
            if self._ready_at is not None:
                self._steady = max(self._steady or 0.0, self.since - self._ready_at)
            self.restarts += 1
            return self._begin(self._why_restarted or asked("is being restarted on request", self.by))
        if self._failure is not None:
            self._end_failed(self._failure)
            return []
        how = "" if given.exit is None else f"; {given.exit}{_also(given)}"
        self.to(State.INTERRUPT, f"{self.reason}{how}")
        return []

    def fail_stopped(self, given: SpawnFailed) -> list[ServiceAction]:
        """FATAL, as the stop came during a spawn that failed; judged or started again if the service is wanted."""
        if self.wanted:
            if self.held_by_group:
                return self._wait_for_group(self.reason)
            return self._start_anew() if self._anew else self.judge_spawn(given)
        self.error = given.error
        self.to(State.FATAL, _first_line(given.error))
        return []

    def _begin(self, reason: str, delay: float = 0.0) -> list[ServiceAction]:
        self.runs += 1
        self._reset_run()
        self.to(State.STARTING, reason)
        return [StartProcess(number=self.runs, delay=delay)]

    def _reset_run(self) -> None:
        """Forget what was known of the last run, as another one is the current one now."""
        self.deferred = self.held_by_group = False
        self.stopped_on_request = False
        self.error = None
        self.due = None
        self.restart_reason = ""
        self.judged = False
        self._ready_at = None
        self._anew = self._defer_anew = False
        self._kill = False
        self.ended_by_itself = False
        self._failure = None

    def _judge(self, exit: Exit | None, what: str, *, also: str = "", hopeless: bool = False) -> list[ServiceAction]:
        self.judged = True
        self.by = ""
        ready_for = None if self._ready_at is None else self.now - self._ready_at
        if self._steady is not None:
            ready_for = max(ready_for or 0.0, self._steady)
            self._steady = None
        if self.membership is not None and wants_restart(self._policy, exit):
            return self._judge_in_group(self.membership, exit, what + also, ready_for, hopeless=hopeless)
        if self.has_successor and (hopeless or not wants_restart(self._policy, exit) or self.left(self.now) == 0):
            self._steady = None
            self.to(State.BACKOFF, f"{what}{also}; its new run takes its place")
            return [AskSuccessor()]
        if hopeless and wants_restart(self._policy, exit):
            self.hopeless = True
            return self._give_up(f"gave up: {what}")
        verdict = self._budget.judge(exit, now=self.now, ready_for=ready_for, rng=self._rng)
        match verdict:
            case RestartIn(delay=delay, left=left):
                self.due = self.now + delay
                budget = (
                    "" if left is None else f" ({left} of {counted(self._policy.max_restarts or 0, 'restart')} left)"
                )
                self.to(State.BACKOFF, f"{what}{also}; restarts in {delay:.3g} s{budget}")
                return [Arm(seconds=delay)]
            case Spent():
                return self._give_up(f"gave up: {what}, and {verdict}{also}")
            case Done():
                if self.is_armed:
                    self._ended = what + also
                    return self._wait()
                self.wanted = False
                self.to(_end_state(exit), what + also)
        return []

    def _give_up(self, why: str) -> list[ServiceAction]:
        """FATAL; WAITING if there is a trigger that goes on."""
        self.gave_up = True
        if self.trigger is not None and self.trigger.outlives_give_up and self.is_armed:
            self._ended = why
            return self._wait()
        self.wanted = False
        self.to(State.FATAL, why)
        return []

    def _judge_in_group(
        self, membership: GroupMembership, exit: Exit | None, what: str, ready_for: float | None, *, hopeless: bool
    ) -> list[ServiceAction]:
        verdict = membership.judge(what, now=self.now, ready_for=ready_for, hopeless=hopeless)
        if isinstance(verdict, AlreadyRestarting):
            self.held_by_group = True
            self.to(State.BACKOFF, f"{what}; restarts with group {verdict.group!r}")
            return []
        if isinstance(verdict, RestartTogether):
            self.due = self.now + verdict.delay
            budget = "" if verdict.left is None else f" ({counted(verdict.left, 'restart')} of the group left)"
            how = f"restarts with group {verdict.group!r} ({verdict.strategy})"
            self.to(State.BACKOFF, f"{what}; {how} in {verdict.delay:.3g} s{budget}")
            if len(verdict.members) == 1:  # itself
                return [Arm(seconds=verdict.delay)]
            self.held_by_group = True
            return []
        self.wanted = False
        if verdict.gave_up:
            self.gave_up = True
            self.hopeless = hopeless
            self.to(State.FATAL, verdict.why)
        else:
            self.stopped_by_group = True
            self.to(_end_state(exit), f"{what}; {verdict.why}")
        return []


def _first_line(error: BaseException) -> str:
    """Return the message of an error without the last lines of the program: a reason is one sentence."""
    return str(error).partition("\n")[0]


def _also(given: ProcessEnded) -> str:
    return f"; {given.left}" if given.left else ""


def _end_state(exit: Exit | None) -> State:
    """Return the final state of a service that ended by itself and is not restarted."""
    if exit is None:
        return State.FATAL
    return State.FINISHED if exit.signal is None else State.INTERRUPT


_FINAL = (State.INTERRUPT, State.FINISHED, State.FATAL)
_WITH_RUN = (State.STARTING, State.BACKOFF, State.RUNNING, State.STOPPING)

ServiceMachine.guards = {
    **dict.fromkeys((Spawned, SpawnFailed, Ready, ProcessEnded, ProcessEnding), ServiceMachine.has_run),
    Failed: ServiceMachine.may_fail,
    SuccessorTakesOver: ServiceMachine.can_exchange,
    **dict.fromkeys((Admitted, Throttled), ServiceMachine.awaits_throttle),
    TimerFired: ServiceMachine.awaits_timer,
    Triggered: ServiceMachine.has_trigger,
}
ServiceMachine.table = cast(
    "Rules",
    {
        (State.INITIAL, StartRequested): ServiceMachine.start,
        (State.INITIAL, RestartRequested): ServiceMachine.start,
        (State.INITIAL, StopRequested): ServiceMachine.unwant,
        (State.INITIAL, StartDeferred): ServiceMachine.defer,
        (State.INITIAL, Failed): ServiceMachine.ignore,
        (State.INITIAL, Triggered): ServiceMachine.run_once,
        (State.WAITING, StartRequested): ServiceMachine.ignore,
        (State.WAITING, StartDeferred): ServiceMachine.ignore,
        (State.WAITING, RestartRequested): ServiceMachine.ignore,
        (State.WAITING, StopRequested): ServiceMachine.stop_waiting,
        (State.WAITING, Triggered): ServiceMachine.run_now,
        (State.WAITING, TimerFired): ServiceMachine.run_queued,
        (State.WAITING, Failed): ServiceMachine.fail_waiting,
        (State.WAITING, HeldByGroup): ServiceMachine.ignore,
        (State.WAITING, StoppedByGroup): ServiceMachine.stop_waiting,
        **{(state, Triggered): ServiceMachine.overlap for state in _WITH_RUN},
        (State.STARTING, StartRequested): ServiceMachine.start_deferred,
        (State.STARTING, StartDeferred): ServiceMachine.defer_again,
        (State.STARTING, DependenciesMet): ServiceMachine.start_deferred,
        (State.STARTING, DependencyFailed): ServiceMachine.fail_dependency,
        (State.STARTING, ProcessEnding): ServiceMachine.record_ending,
        (State.STARTING, RestartRequested): ServiceMachine.restart,
        (State.STARTING, StopRequested): ServiceMachine.stop,
        (State.STARTING, Spawned): ServiceMachine.record_spawn,
        (State.STARTING, SpawnFailed): ServiceMachine.judge_spawn,
        (State.STARTING, Ready): ServiceMachine.record_ready,
        (State.STARTING, ProcessEnded): ServiceMachine.judge_end,
        (State.STARTING, Failed): ServiceMachine.fail,
        (State.RUNNING, StartRequested): ServiceMachine.arm,
        (State.RUNNING, RestartRequested): ServiceMachine.restart,
        (State.RUNNING, StopRequested): ServiceMachine.stop,
        (State.RUNNING, SpawnFailed): ServiceMachine.judge_spawn,
        (State.RUNNING, ProcessEnded): ServiceMachine.judge_end,
        (State.RUNNING, Failed): ServiceMachine.fail,
        (State.RUNNING, ProcessEnding): ServiceMachine.record_ending,
        (State.BACKOFF, StartRequested): ServiceMachine.restart_now,
        (State.BACKOFF, RestartRequested): ServiceMachine.restart_now,
        (State.BACKOFF, StopRequested): ServiceMachine.stop_backoff,
        (State.BACKOFF, TimerFired): ServiceMachine.restart_due,
        (State.BACKOFF, Throttled): ServiceMachine.wait_for_throttle,
        (State.BACKOFF, Admitted): ServiceMachine.restart_admitted,
        (State.BACKOFF, Failed): ServiceMachine.fail_backoff,
        (State.STOPPING, StartRequested): ServiceMachine.want_again,
        (State.STOPPING, StartDeferred): ServiceMachine.want_again_deferred,
        (State.STOPPING, RestartRequested): ServiceMachine.want_again,
        (State.STOPPING, StopRequested): ServiceMachine.want_no_more,
        (State.STOPPING, Spawned): ServiceMachine.record_late_spawn,
        (State.STOPPING, SpawnFailed): ServiceMachine.fail_stopped,
        (State.STOPPING, Ready): ServiceMachine.ignore,
        (State.STOPPING, ProcessEnded): ServiceMachine.end_stopped,
        (State.STOPPING, Failed): ServiceMachine.fail,
        (State.STOPPING, ProcessEnding): ServiceMachine.ignore,
        (State.STARTING, SuccessorTakesOver): ServiceMachine.take_over,
        (State.RUNNING, SuccessorTakesOver): ServiceMachine.take_over,
        (State.BACKOFF, SuccessorTakesOver): ServiceMachine.take_over,
        (State.STOPPING, SuccessorTakesOver): ServiceMachine.take_over,
        (State.INITIAL, HeldByGroup): ServiceMachine.ignore,
        (State.INITIAL, StoppedByGroup): ServiceMachine.ignore,
        (State.STARTING, HeldByGroup): ServiceMachine.hold,
        (State.STARTING, StoppedByGroup): ServiceMachine.stop_by_group,
        (State.RUNNING, HeldByGroup): ServiceMachine.hold,
        (State.RUNNING, StoppedByGroup): ServiceMachine.stop_by_group,
        (State.BACKOFF, HeldByGroup): ServiceMachine.hold_backoff,
        (State.BACKOFF, StoppedByGroup): ServiceMachine.stop_backoff_by_group,
        (State.STOPPING, HeldByGroup): ServiceMachine.hold_stopping,
        (State.STOPPING, StoppedByGroup): ServiceMachine.unwant_by_group,
        (State.BACKOFF, ReleasedByGroup): ServiceMachine.release,
        (State.STOPPING, ReleasedByGroup): ServiceMachine.release_stopping,
        **{(state, StartRequested): ServiceMachine.start for state in _FINAL},
        **{(state, Triggered): ServiceMachine.run_once for state in _FINAL},
        **{(state, StartDeferred): ServiceMachine.defer for state in _FINAL},
        **{(state, RestartRequested): ServiceMachine.start for state in _FINAL},
        **{(state, StopRequested): ServiceMachine.unwant for state in _FINAL},
        **{(state, Failed): ServiceMachine.ignore for state in _FINAL},
        **{(state, HeldByGroup): ServiceMachine.ignore for state in _FINAL},
        **{(state, StoppedByGroup): ServiceMachine.ignore for state in _FINAL},
    },
)
