"""Inputs of the two state machines."""

from __future__ import annotations

from aioverseer.core.machine.table import Input
from aioverseer.core.options.by import asked
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.schedule_base import Overlap
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import AskingStep
from aioverseer.core.state import Exit

__all__ = [
    "Admitted",
    "DependenciesMet",
    "DependencyFailed",
    "Exited",
    "Extend",
    "Failed",
    "HeldByGroup",
    "InternalError",
    "LaunchStopped",
    "LeaderEnded",
    "MainChanged",
    "ProcessEnded",
    "ProcessEnding",
    "Ready",
    "ReleasedByGroup",
    "RestartRequested",
    "SpawnFailed",
    "Spawned",
    "StartDeferred",
    "StartRequested",
    "StepFailed",
    "StopRequested",
    "StoppedByGroup",
    "SuccessorTakesOver",
    "Throttled",
    "TimerFired",
    "Triggered",
    "Unhealthy",
]


class RestartRequested(Input):
    """A user requests a restart: the service stops and is still wanted. ``by`` names the user.

    ``why`` is the reason of a restart that no user has requested, such as a change of a watched file.
    """

    __slots__ = ("by", "why")

    def __init__(self, *, by: str = "", why: str = "") -> None:
        self.by = by
        self.why = why


class StartDeferred(Input):
    """A user requests a start, and the dependencies of the service are not met yet. ``by`` names the user."""

    __slots__ = ("by", "why")

    def __init__(self, *, why: str, by: str = "") -> None:
        self.why = why
        self.by = by


class DependenciesMet(Input):
    """The dependencies of the service are met."""

    __slots__ = ()


class DependencyFailed(Input):
    """A required dependency can no longer be met."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error


class ProcessEnding(Input):
    """The run is being stopped without a request: it is unhealthy, or its leader has ended and left others behind.

    ``ended`` tells the second case.
    """

    __slots__ = ("ended", "why")

    def __init__(self, *, why: str, ended: bool = False) -> None:
        self.why = why
        self.ended = ended


class ProcessEnded(Input):
    """The run has ended and its output is delivered.

    ``exit`` is None if no program was spawned. ``left`` is the end of a sentence about failed steps of the ladder and
    about leftovers, or empty.
    """

    __slots__ = ("exit", "left")

    def __init__(self, *, exit: Exit | None, left: str = "") -> None:
        self.exit = exit
        self.left = left


class SuccessorTakesOver(Input):
    """A run that was started beside the current one takes its place.

    ``ready_at`` is the monotonic time at which it became ready, and None if it is not. ``by`` names the user.
    """

    __slots__ = ("by", "ready_at")

    def __init__(self, *, ready_at: float | None, by: str = "") -> None:
        self.ready_at = ready_at
        self.by = by


class Failed(Input):
    """An exception in a step of the service: from the user's ``rng``, or a bug. With ``live`` its run goes on."""

    __slots__ = ("error", "live")

    def __init__(self, *, error: BaseException, live: bool) -> None:
        self.error = error
        self.live = live


class HeldByGroup(Input):
    """The group stops the service and holds it until ReleasedByGroup is fed."""

    __slots__ = ("due", "why")

    def __init__(self, *, why: str, due: float) -> None:
        self.why = why
        self.due = due


class ReleasedByGroup(Input):
    """The group starts the service again, or no longer waits for its end."""

    __slots__ = ()


class StoppedByGroup(Input):
    """The group ends, or restarts without this service, which ends for good."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Throttled(Input):
    """The throttle of the overseer puts the restart in its queue, until Admitted is fed."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Admitted(Input):
    """The throttle allows the restart."""

    __slots__ = ()


class StartRequested(Input):
    """A user requests a start. ``by`` names the user."""

    __slots__ = ("by",)

    def __init__(self, *, by: str = "") -> None:
        self.by = by


class StopRequested(Input):
    """A stop is requested; ``kill`` skips to the last step of the ladder, and ``by`` names the user who asked.

    ``ladder`` takes the place of that of the run, unless the run is being stopped already.
    """

    __slots__ = ("by", "kill", "ladder", "why")

    def __init__(
        self, *, kill: bool = False, why: str = "a stop was asked for", ladder: Stop | None = None, by: str = ""
    ) -> None:
        self.kill = kill
        self.why = asked(why, by)
        self.ladder = ladder
        self.by = by


class TimerFired(Input):
    """The armed timer has fired: a delay, a backoff, a time limit or a step of the ladder is over."""

    __slots__ = ()


class Triggered(Input):
    """The trigger of the service has fired, or a user requests a run now; ``overlap`` is for a run under way."""

    __slots__ = ("by", "overlap", "why")

    def __init__(self, *, why: str, overlap: Overlap = "skip", by: str = "") -> None:
        self.why = asked(why, by)
        self.overlap = overlap
        self.by = by


class Spawned(Input):
    """The operating system has started the program."""

    __slots__ = ("pid",)

    def __init__(self, *, pid: int) -> None:
        self.pid = pid


class Ready(Input):
    """The program can do its work."""

    __slots__ = ()


class Extend(Input):
    """The program asks for at least so many seconds from now to become ready."""

    __slots__ = ("seconds",)

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds


class Unhealthy(Input):
    """The program lives but does not do its work. It will be stopped, and its end counts as a failure.

    ``ladder`` takes the place of that of the run.
    """

    __slots__ = ("error", "ladder", "why")

    def __init__(self, *, error: BaseException, why: str, ladder: Stop | None = None) -> None:
        self.error = error
        self.why = why
        self.ladder = ladder


class SpawnFailed(Input):
    """The operating system could not start the program; ``impossible`` if no later attempt can succeed either."""

    __slots__ = ("error", "impossible")

    def __init__(self, *, error: BaseException, impossible: bool = False) -> None:
        self.error = error
        self.impossible = impossible


class LaunchStopped(Input):
    """The launch was given up before the spawn, because a stop was requested."""

    __slots__ = ()


class LeaderEnded(Input):
    """The leader has ended and has left live processes behind, which must end too."""

    __slots__ = ("exit", "left")

    def __init__(self, *, exit: Exit, left: tuple[Survivor, ...]) -> None:
        self.exit = exit
        self.left = left


class MainChanged(Input):
    """Another process of the program is its main process from now on."""

    __slots__ = ("pid",)

    def __init__(self, *, pid: int) -> None:
        self.pid = pid


class StepFailed(Input):
    """A step of the ladder that is no signal could not be taken, or its command has failed or was killed.

    Without ``why`` nothing has failed, and the rest of its time is of no use.
    ``number`` is the place of the step, and None once its time is over: the ladder has gone on by itself then.
    """

    __slots__ = ("number", "step", "why")

    def __init__(self, *, step: AskingStep, why: str, number: int | None = None) -> None:
        self.step = step
        self.why = why
        self.number = number


class Exited(Input):
    """The program has ended, its leftovers are ended or kept, and its output is delivered.

    ``upstream`` says that the exit is that of a program before it in its pipeline; empty if it is its own.
    ``said`` is the error that the program has named itself, as the end of a sentence; empty if it has not.
    """

    __slots__ = ("exit", "said", "upstream")

    def __init__(self, *, exit: Exit, upstream: str = "", said: str = "") -> None:
        self.exit = exit
        self.upstream = upstream
        self.said = said


class InternalError(Input):
    """An internal error of this library; the program, if there was one, has been killed."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error
