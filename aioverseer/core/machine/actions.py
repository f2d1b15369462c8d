"""Actions that the machines return. A runner performs each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioverseer.core.machine.table import Action, Arm, Disarm

if TYPE_CHECKING:  # few hosts have groups
    pass


__all__ = [
    "AskThrottle",
    "AwaitReady",
    "Launch",
    "ReadyTimedOut",
    "ReportThrottled",
    "RunAction",
    "SendSignal",
    "ServiceAction",
    "StartProcess",
    "StopProcess",
    "Unstoppable",
]


class StartProcess(Action):
    """Make a new Process, start it ``delay`` seconds from now, then feed Spawned or SpawnFailed."""

    __slots__ = ("delay", "number")

    def __init__(self, *, number: int, delay: float) -> None:
        self.number = number
        self.delay = delay


class StopProcess(Action):
    """Stop the current Process by its ladder, or at once with ``kill``; then feed ProcessEnded."""

    __slots__ = ("kill", "why")

    def __init__(self, *, kill: bool, why: str) -> None:
        self.kill = kill
        self.why = why


class AwaitReady(Action):
    """Feed Ready once the run can do its work; at once where no probe is configured."""

    __slots__ = ()


class AskThrottle(Action):
    """Ask the throttle for a restart, and feed what it says before all else: Admitted, or Queued."""

    __slots__ = ()


class ReportThrottled(Action):
    """Tell that it waits for the throttle: the reason has changed, and the state has not."""

    __slots__ = ()


ServiceAction = StartProcess | StopProcess | AwaitReady | Arm | Disarm | AskThrottle | ReportThrottled


class Launch(Action):
    """Spawn the program, then feed Spawned or SpawnFailed, whatever is fed in between."""

    __slots__ = ()


class SendSignal(Action):
    """Send a signal to the program, alone or with all that it started."""

    __slots__ = ("leader_only", "signal")

    def __init__(self, *, signal: int, leader_only: bool) -> None:
        self.signal = signal
        self.leader_only = leader_only


class ReadyTimedOut(Action):
    """Feed Unwell: it has not become ready in time."""

    __slots__ = ()


class Unstoppable(Action):
    """Tell whoever waits for the stop that the program is still there after the whole ladder."""

    __slots__ = ()


RunAction = Launch | SendSignal | Arm | Disarm | ReadyTimedOut | Unstoppable
