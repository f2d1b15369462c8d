"""The levels of containment: which one is in force, and why.

Values and one decision. What the system offers is found out in ``system/containment``; nothing is asked of it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from aioverseer.core.errors import ContainmentError, SpecError
from aioverseer.core.export import exported_from

__all__ = ["AskedContainment", "Containment", "Facilities", "Level", "Mechanism", "Survivor", "check_asked", "decide"]

Level = Literal["none", "basic", "guarded", "strict"]
"""How far the promise reaches that nothing is left behind."""
AskedContainment = Literal["auto", "basic", "guarded", "strict", "pidns"]
"""What can be asked for: a level, or ``"pidns"``, which is ``"strict"`` kept by pid namespaces."""
Mechanism = Literal["scripted", "event loop", "groups", "marker", "guardian", "shim", "cgroup", "pidns"]
"""What keeps the promise."""

_HOST_KILLED = "everything, when the host itself is killed by SIGKILL"
_DAEMON = "a daemon that has left its session and emptied its environment"
_LEFT_GROUP = "whatever has left the process group of its service"
_MOVED = "a program that moves itself into another cgroup, which takes the rights of the host"
_SHIM_TOO = (
    "what a program has started, and the program itself where it has a user= of its own, when the host and the shim "
    "are killed together by SIGKILL"
)
_OTHER_USER = "a program that has changed its user, where the host is not root"


@dataclass(slots=True, kw_only=True)
class Facilities:
    """What the system offers.

    Attributes:
        proc: Whether ``/proc`` tells of processes and their environments.
        guardian: Why a guardian cannot be had; None when it can.
        shim: Why a shim cannot be had; None when it can.
        cgroup: Why a cgroup for each program cannot be had; None when it can.
        pidns: Why a pid namespace for each program cannot be had; None when it can.
    """

    proc: bool = True
    guardian: str | None = None
    shim: str | None = None
    cgroup: str | None = "none was looked for"
    pidns: str | None = "none was looked for"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """A process that a program has left behind.

    Attributes:
        pid: Its number.
        command: Its command line, shortened.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        """Return both."""
        return f"pid {self.pid} ({self.command})"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """Which level of containment is in force, and why.

    Attributes:
        level: The level: ``"basic"``, ``"guarded"`` or ``"strict"``; ``"none"`` for scripted children.
        mechanism: What keeps the promise at this level.
        asked: What was asked for.
        reason: Why it is this level, one sentence.
        escapes: What can still escape, one phrase each; empty when nothing can.
    """

    level: Level
    mechanism: Mechanism
    asked: AskedContainment
    reason: str
    escapes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all of it as one sentence."""
        escapes = "; ".join(self.escapes) or "nothing"
        return f"{self.level} (by {self.mechanism}): {self.reason}; what can still escape: {escapes}"


def check_asked(value: object, owner: str) -> AskedContainment:
    """Return what was asked for, when it is a level.

    Args:
        value: The value of the option.
        owner: Who has the option, for the message.

    Raises:
        SpecError: When it is none.
    """
    if value in get_args(AskedContainment):
        return cast("AskedContainment", value)
    known = ", ".join(map(repr, get_args(AskedContainment)))
    raise SpecError(
        f"{owner}: containment={value!r} is no level: pass one of {known}", option="containment", value=value
    )


def decide(asked: AskedContainment, found: Facilities) -> Containment:
    """Decide which level is in force.

    Args:
        asked: What was asked for.
        found: What the system offers.

    Raises:
        ContainmentError: When ``"strict"`` or ``"pidns"`` is asked for and cannot be had.
    """
    if asked == "pidns":
        if found.pidns is not None:
            raise ContainmentError(
                f'containment="pidns" cannot be had: {found.pidns}; ask for "strict", "guarded" or "basic"'
            )
        return Containment(
            level="strict",
            mechanism="pidns",
            asked=asked,
            reason="each program runs in a pid namespace of its own, which the kernel ends as one",
        )
    if asked == "strict":
        # Only a guardian ends a cgroup whose host was killed; a shim sees that itself.
        no_cgroup = found.cgroup or found.guardian
        if no_cgroup is None:
            return Containment(
                level="strict",
                mechanism="cgroup",
                asked=asked,
                reason="each program runs in a cgroup of its own, which is killed as one",
                escapes=(_MOVED,),
            )
        if found.shim is not None:
            raise ContainmentError(
                f'containment="strict" cannot be had: {no_cgroup}, and {found.shim}; ask for "guarded" or "basic"'
            )
        return Containment(
            level="strict",
            mechanism="shim",
            asked=asked,
            reason="each program runs below a shim that ends with it all that it has started",
            escapes=(f"{_DAEMON}, when somebody kills the shim of its program by SIGKILL", _SHIM_TOO),
        )
    if not found.proc:
        return Containment(
            level="basic",
            mechanism="groups",
            asked=asked,
            reason="this system has no /proc, so only groups are swept",
            escapes=(_LEFT_GROUP, _HOST_KILLED),
        )
    if asked == "basic":
        return _marked(asked, "it was asked for")
    if found.guardian is not None:
        return _marked(asked, found.guardian)
    why = "it was asked for" if asked == "guarded" else "the system has all that it needs"
    return Containment(level="guarded", mechanism="guardian", asked=asked, reason=why, escapes=(_DAEMON, _OTHER_USER))


def _marked(asked: AskedContainment, reason: str) -> Containment:
    return Containment(
        level="basic", mechanism="marker", asked=asked, reason=reason, escapes=(_DAEMON, _OTHER_USER, _HOST_KILLED)
    )
