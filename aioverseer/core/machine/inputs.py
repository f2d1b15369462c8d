"""What the table of a Service is fed with, and the actions that it answers with.

Values, and the place in a group that a table may ask. What they lead to is decided in ``supervision.py``; what both
tables know, such as ``StartAsked``, is in ``run.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aioverseer.core.machine.table import Input
from aioverseer.core.state import Exit

if TYPE_CHECKING:  # few hosts have groups
    from aioverseer.core.machine.strategies import AlreadyRestarting, EndGroup, RestartTogether


__all__ = [
    "Admitted",
    "DependenciesMet",
    "DependencyFailed",
    "Exited",
    "Extend",
    "Failed",
    "GroupMembership",
    "HeldByGroup",
    "InternalError",
    "ProcessEnded",
    "ProcessUnhealthy",
    "Ready",
    "ReleasedByGroup",
    "RestartRequested",
    "SpawnFailed",
    "Spawned",
    "StartDeferred",
    "StartRequested",
    "StopRequested",
    "StoppedByGroup",
    "Throttled",
    "TimerFired",
    "Unhealthy",
]


class RestartRequested(Input):
    """Somebody wants a new run: a stop, and still wanted."""

    __slots__ = ()


class StartDeferred(Input):
    """Somebody wants it to run, once others are where it waits for them to be."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class DependenciesMet(Input):
    """Those that it has waited for are where they should be."""

    __slots__ = ()


class DependencyFailed(Input):
    """One that it waits for, and needs, cannot get there any more."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error


class ProcessUnhealthy(Input):
    """The run is being ended, because it does not do its work."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class ProcessEnded(Input):
    """The run is over and its output delivered; ``exit`` is None when it never had a program."""

    __slots__ = ("exit",)

    def __init__(self, *, exit: Exit | None) -> None:
        self.exit = exit


class Failed(Input):
    """Something raised in a step of it: a source of chance of the user's, or a bug; ``live``: its run goes on."""

    __slots__ = ("error", "live")

    def __init__(self, *, error: BaseException, live: bool) -> None:
        self.error = error
        self.live = live


class HeldByGroup(Input):
    """Its group wants it to end, and to wait until it is its turn to be started again: until Resumed is fed."""

    __slots__ = ("due", "why")

    def __init__(self, *, why: str, due: float) -> None:
        self.why = why
        self.due = due


class ReleasedByGroup(Input):
    """Its group has it start again; or waits no more for its end."""

    __slots__ = ()


class StoppedByGroup(Input):
    """Its group ends, or starts again without it: it ends for good."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Throttled(Input):
    """The throttle of the overseer allows no further restart now: it stands in the queue, until Admitted is fed."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Admitted(Input):
    """The throttle allows its restart."""

    __slots__ = ()


class GroupMembership(Protocol):
    """The place of a service in a group, which judges its ends instead of a budget of its own."""

    def judge(
        self, what: str, *, now: float, ready_for: float | None
    ) -> RestartTogether | AlreadyRestarting | EndGroup:
        """Decide on an end after which it is to be restarted."""
        ...

    def left(self, now: float) -> int | None:
        """Return how many restarts are allowed at this moment; None is no limit."""
        ...

    def refills_in(self, now: float) -> float | None:
        """Return the seconds until one more restart is allowed, or None when that never happens."""
        ...


class StartRequested(Input):
    """Somebody wants it to run."""

    __slots__ = ()


class StopRequested(Input):
    """Somebody wants it to end; with ``kill`` by the last step of the ladder at once."""

    __slots__ = ("kill", "why")

    def __init__(self, *, kill: bool = False, why: str = "a stop was asked for") -> None:
        self.kill = kill
        self.why = why


class TimerFired(Input):
    """The armed timer has run out: the delay before the start is over, or a rung has had its time."""

    __slots__ = ()


class Spawned(Input):
    """The operating system has started it."""

    __slots__ = ("pid",)

    def __init__(self, *, pid: int) -> None:
        self.pid = pid


class Ready(Input):
    """It can do its work."""

    __slots__ = ()


class Extend(Input):
    """It asks for time: it is to be given at least so many seconds from now to become ready."""

    __slots__ = ("seconds",)

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds


class Unhealthy(Input):
    """It lives but does not do its work: it is to be ended, and that is a failure."""

    __slots__ = ("error", "why")

    def __init__(self, *, error: BaseException, why: str) -> None:
        self.error = error
        self.why = why


class SpawnFailed(Input):
    """The operating system could not start it."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error


class Exited(Input):
    """It has ended, and its output has been delivered."""

    __slots__ = ("exit",)

    def __init__(self, *, exit: Exit) -> None:
        self.exit = exit


class InternalError(Input):
    """Something of ours went wrong; the program, if there was one, has been killed."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error
