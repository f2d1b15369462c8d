"""Actions that the machines return. A runner performs each."""

from __future__ import annotations

from aioverseer.core.machine.table import Action, Arm, Disarm
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import AskingStep

__all__ = [
    "AskSuccessor",
    "AskThrottle",
    "ExchangeRuns",
    "Launch",
    "PerformStep",
    "ProcessAction",
    "ReadyTimedOut",
    "ReportOverlap",
    "ReportSpawned",
    "ReportThrottled",
    "SendSignal",
    "ServiceAction",
    "SetTrigger",
    "SignalOutside",
    "SignalUnreached",
    "StartProcess",
    "StopProcess",
    "Unstoppable",
]


class StartProcess(Action):
    """Make a new run, start it ``delay`` seconds from now, then feed Spawned or SpawnFailed."""

    __slots__ = ("delay", "number")

    def __init__(self, *, number: int, delay: float) -> None:
        self.number = number
        self.delay = delay


class StopProcess(Action):
    """Stop the current run by its ladder or by ``ladder``, with ``kill`` by the last step; then feed ProcessEnded."""

    __slots__ = ("kill", "ladder", "why")

    def __init__(self, *, kill: bool, why: str, ladder: Stop | None = None) -> None:
        self.kill = kill
        self.why = why
        self.ladder = ladder


class ExchangeRuns(Action):
    """Make the successor the current run, and stop the old run if it lives."""

    __slots__ = ()


class AskSuccessor(Action):
    """Feed SuccessorTakesOver: the current run has ended for good, and the successor lives."""

    __slots__ = ()


class AskThrottle(Action):
    """Ask the throttle for a restart, and feed its answer, Admitted or Throttled, before any other input."""

    __slots__ = ()


class ReportThrottled(Action):
    """Report that the service waits for the throttle: its reason has changed, its state has not."""

    __slots__ = ()


class SetTrigger(Action):
    """Arm or disarm the trigger of the service; feed Triggered when it fires.

    ``armed`` lasts from the start to the stop of the service, and ``waiting`` while it has no run.
    """

    __slots__ = ("armed", "waiting")

    def __init__(self, *, armed: bool, waiting: bool) -> None:
        self.armed = armed
        self.waiting = waiting


class ReportOverlap(Action):
    """Report what becomes of a trigger that has fired during a run."""

    __slots__ = ("what",)

    def __init__(self, *, what: str) -> None:
        self.what = what


ServiceAction = (
    StartProcess
    | StopProcess
    | ExchangeRuns
    | AskSuccessor
    | Arm
    | Disarm
    | AskThrottle
    | ReportThrottled
    | SetTrigger
    | ReportOverlap
)


class Launch(Action):
    """Spawn the program, then feed Spawned or SpawnFailed. Other inputs may come in between."""

    __slots__ = ()


class ReportSpawned(Action):
    """Report the spawn to the owner. The transition to RUNNING follows as soon as the run is ready."""

    __slots__ = ("pid",)

    def __init__(self, *, pid: int) -> None:
        self.pid = pid


class SendSignal(Action):
    """Send a signal to the program and everything it started, or to the program alone.

    After LeaderEnded it goes to the leftovers. SIGKILL then also ends the wait for them.
    """

    __slots__ = ("leader_only", "signal")

    def __init__(self, *, signal: int, leader_only: bool) -> None:
        self.signal = signal
        self.leader_only = leader_only


class PerformStep(Action):
    """Take a step that is no signal; feed StepFailed with its number if that cannot be done.

    The step ends with the next SendSignal or PerformStep, or with the run.
    """

    __slots__ = ("number", "step")

    def __init__(self, *, number: int, step: AskingStep) -> None:
        self.number = number
        self.step = step


class SignalOutside(Action):
    """Send the signal of this step to processes outside of the leader's group too, if the leader still lives then.

    ``soon`` and ``late`` are seconds from now: for processes in the leader's session, and for those in other sessions.
    """

    __slots__ = ("late", "signal", "soon")

    def __init__(self, *, signal: int, soon: float, late: float) -> None:
        self.signal = signal
        self.soon = soon
        self.late = late


class SignalUnreached(Action):
    """Send the signal of the present step to those leftovers that it has not reached, as they left the group."""

    __slots__ = ("signal",)

    def __init__(self, *, signal: int) -> None:
        self.signal = signal


class ReadyTimedOut(Action):
    """Feed Unhealthy: the run has not become ready in time."""

    __slots__ = ()


class Unstoppable(Action):
    """Report to all waiters that the program is still there after the whole ladder."""

    __slots__ = ()


ProcessAction = (
    Launch
    | ReportSpawned
    | SendSignal
    | PerformStep
    | SignalOutside
    | SignalUnreached
    | Arm
    | Disarm
    | ReadyTimedOut
    | Unstoppable
)
