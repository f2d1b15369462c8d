"""What the table of a Service is fed with, and the actions that it answers with.

Values, and the place in a group that a table may ask. What they lead to is decided in ``supervision.py``; what both
tables know, such as ``StartAsked``, is in ``run.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aioverseer.core.machine import Action, Arm, Disarm, Input
from aioverseer.core.state import Exit

if TYPE_CHECKING:  # few hosts have groups
    from aioverseer.core.groups import Ended, Joined, Together

__all__ = [
    "Admitted",
    "AskTurn",
    "AwaitReady",
    "Barred",
    "BeginRun",
    "Dismissed",
    "EndRun",
    "Failed",
    "Halted",
    "Queued",
    "Released",
    "RestartAsked",
    "Resumed",
    "RunEnded",
    "RunFailing",
    "Seat",
    "ServiceAction",
    "StartHeld",
    "TellWait",
]


class RestartAsked(Input):
    """Somebody wants a new run: a stop, and still wanted."""

    __slots__ = ()


class StartHeld(Input):
    """Somebody wants it to run, once others are where it waits for them to be."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Released(Input):
    """Those that it has waited for are where they should be."""

    __slots__ = ()


class Barred(Input):
    """One that it waits for, and needs, cannot get there any more."""

    __slots__ = ("error",)

    def __init__(self, *, error: BaseException) -> None:
        self.error = error


class RunFailing(Input):
    """The run is being ended, because it does not do its work."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class RunEnded(Input):
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


class Halted(Input):
    """Its group wants it to end, and to wait until it is its turn to be started again: until Resumed is fed."""

    __slots__ = ("due", "why")

    def __init__(self, *, why: str, due: float) -> None:
        self.why = why
        self.due = due


class Resumed(Input):
    """Its group has it start again; or waits no more for its end."""

    __slots__ = ()


class Dismissed(Input):
    """Its group ends, or starts again without it: it ends for good."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Queued(Input):
    """The breaker of the overseer allows no further restart now: it stands in the queue, until Admitted is fed."""

    __slots__ = ("why",)

    def __init__(self, *, why: str) -> None:
        self.why = why


class Admitted(Input):
    """The breaker allows its restart."""

    __slots__ = ()


class Seat(Protocol):
    """The place of a service in a group, which judges its ends instead of a budget of its own."""

    def judge(self, what: str, *, now: float, ready_for: float | None) -> Together | Joined | Ended:
        """Decide on an end after which it is to be restarted."""
        ...

    def left(self, now: float) -> int | None:
        """Return how many restarts are allowed at this moment; None is no limit."""
        ...

    def refills_in(self, now: float) -> float | None:
        """Return the seconds until one more restart is allowed, or None when that never happens."""
        ...


class BeginRun(Action):
    """Make a new Process, start it ``delay`` seconds from now, then feed Spawned or SpawnFailed."""

    __slots__ = ("delay", "number")

    def __init__(self, *, number: int, delay: float) -> None:
        self.number = number
        self.delay = delay


class EndRun(Action):
    """Stop the current Process by its ladder, or at once with ``kill``; then feed RunEnded."""

    __slots__ = ("kill", "why")

    def __init__(self, *, kill: bool, why: str) -> None:
        self.kill = kill
        self.why = why


class AwaitReady(Action):
    """Feed Ready once the run can do its work; at once where no probe is configured."""

    __slots__ = ()


class AskTurn(Action):
    """Ask the breaker for a restart, and feed what it says before all else: Admitted, or Queued."""

    __slots__ = ()


class TellWait(Action):
    """Tell that it waits for the breaker: the reason has changed, and the state has not."""

    __slots__ = ()


ServiceAction = BeginRun | EndRun | AwaitReady | Arm | Disarm | AskTurn | TellWait
