"""Levels of containment, and the choice of the level for what the system offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from aioverseer.core.errors import ContainmentError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.meant import hint_for, with_hint

__all__ = [
    "IN_BACKGROUND",
    "AskedContainment",
    "Containment",
    "Facilities",
    "Level",
    "Mechanism",
    "Survivor",
    "check_asked",
    "decide",
    "left_behind",
    "shown",
]

Level = Literal["none", "basic", "guarded", "strict"]
"""Level of the promise that no process is left behind."""
AskedContainment = Literal["auto", "basic", "guarded", "strict", "pidns"]
"""Value of the option: a level, or ``"pidns"``, which is ``"strict"`` by means of pid namespaces."""
Mechanism = Literal["scripted", "event loop", "groups", "marker", "guardian", "shim", "cgroup", "pidns"]
"""Mechanism that keeps the promise."""

_SHOWN = 3
"""Processes that a sentence names."""
_MAX_COMMAND = 60
"""Characters of a command line in a sentence."""

_HOST_KILLED = "everything, when the host itself is killed by SIGKILL"
_DAEMON = "a daemon that has left its session, emptied its environment and changed its limits"
_DAEMON_WITHOUT_LIMIT = "a daemon that has left its session and emptied its environment"
_LEFT_GROUP = "whatever has left the process group of its service"
_MOVED = "a program that moves itself into another cgroup, which takes the rights of the host"
_SHIM_TOO = (
    "what a program has started, and the program itself where it has a user= of its own, when the host and the shim "
    "are killed together by SIGKILL"
)
_OTHER_USER = "a program that has changed its user, where the host is not root"


@dataclass(slots=True, kw_only=True)
class Facilities:
    """Facilities of the system for containment.

    Attributes:
        proc: Whether ``/proc`` shows processes and their environments.
        limit: Whether a limit can mark programs, in addition to their environment.
        guardian: Reason why there can be no guardian; None if there can.
        shim: Reason why there can be no shim; None if there can.
        cgroup: Reason why a program can have no cgroup of its own; None if it can.
        pidns: Reason why a program can have no pid namespace of its own; None if it can.
    """

    proc: bool = True
    limit: bool = True
    guardian: str | None = None
    shim: str | None = None
    cgroup: str | None = "none was looked for"
    pidns: str | None = "none was looked for"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """A process that a program has left behind.

    Attributes:
        pid: Process id.
        command: Command line, shortened.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        """Return the pid and the command."""
        return f"pid {self.pid} ({self.command})"


def left_behind(left: Sequence[Survivor]) -> str:
    """Return how many processes were left, and the first of them, as words that follow "left"."""
    if not left:
        return "processes behind that this system does not name"
    return f"{'1 process' if len(left) == 1 else f'{len(left)} processes'} behind: {shown(left)}"


IN_BACKGROUND = (
    "a program that goes into the background is not watched there: run it in the foreground (such as redis with "
    '"--daemonize no", nginx with "daemon off;", httpd with "-D FOREGROUND"), name its pid file by '
    'main_pid=PidFile("..."), or pass leftovers="keep"'
)
"""Advice for a program that exits with code 0 and leaves processes behind."""


def shown(left: Sequence[Survivor]) -> str:
    """Return the first of some processes, with short command lines, and how many more there are."""
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return f"{', '.join(map(_short, left[:_SHOWN]))}{more}"


def _short(survivor: Survivor) -> str:
    command = survivor.command
    if len(command) > _MAX_COMMAND:  # the folder is what a reader needs least
        path, *arguments = command.split(" ", 1)
        command = " ".join([path.rpartition("/")[2], *arguments])
    return f"pid {survivor.pid} ({command if len(command) <= _MAX_COMMAND else command[: _MAX_COMMAND - 3] + '...'})"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """Level of containment in force, and the reason for it.

    Attributes:
        level: Level in force: ``"basic"``, ``"guarded"`` or ``"strict"``; ``"none"`` for scripted children.
        mechanism: Mechanism that keeps the promise of this level.
        asked: Value of the option ``containment``.
        reason: Reason for this level, one sentence.
        escapes: Processes that can still escape, one phrase each; empty if none can.
    """

    level: Level
    mechanism: Mechanism
    asked: AskedContainment
    reason: str
    escapes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the level and the rest as one sentence."""
        escapes = "; ".join(self.escapes) or "nothing"
        return f"{self.level} (by {self.mechanism}): {self.reason}; what can still escape: {escapes}"


def check_asked(value: object, owner: str) -> AskedContainment:
    """Check the option ``containment`` and return its value.

    Args:
        value: Value of the option.
        owner: Owner of the option, for the message.

    Raises:
        SpecError: For an unknown value.
    """
    if value in get_args(AskedContainment):
        return cast("AskedContainment", value)
    known = ", ".join(map(repr, get_args(AskedContainment)))
    why = with_hint(f"is no level: pass one of {known}", hint_for("containment", value))
    raise SpecError(f"{owner}: containment={value!r} {why}", option="containment", value=value)


def decide(asked: AskedContainment, found: Facilities) -> Containment:
    """Choose the level of containment.

    Args:
        asked: Value of the option.
        found: Facilities of the system.

    Raises:
        ContainmentError: If ``"strict"`` or ``"pidns"`` is asked for and the system does not offer it.
    """
    daemon = _DAEMON if found.limit else _DAEMON_WITHOUT_LIMIT
    if asked == "pidns":
        if found.pidns is not None:
            raise ContainmentError(
                f'containment="pidns" is not available: {found.pidns}; ask for "strict", "guarded" or "basic"'
            )
        return Containment(
            level="strict",
            mechanism="pidns",
            asked=asked,
            reason="each program runs in a pid namespace of its own, which the kernel ends as one",
        )
    if asked == "strict":
        # Only a guardian kills a cgroup after the death of the host. A shim notices that death itself.
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
                f'containment="strict" is not available: {no_cgroup}, and {found.shim}; ask for "guarded" or "basic"'
            )
        return Containment(
            level="strict",
            mechanism="shim",
            asked=asked,
            reason="each program runs below a shim that ends with it all that it has started",
            escapes=(f"{daemon}, when somebody kills the shim of its program by SIGKILL", _SHIM_TOO),
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
        return _marked(asked, "it was asked for", daemon)
    if found.guardian is not None:
        return _marked(asked, found.guardian, daemon)
    why = "it was asked for" if asked == "guarded" else "the system has all that it needs"
    return Containment(level="guarded", mechanism="guardian", asked=asked, reason=why, escapes=(daemon, _OTHER_USER))


def _marked(asked: AskedContainment, reason: str, daemon: str) -> Containment:
    return Containment(
        level="basic", mechanism="marker", asked=asked, reason=reason, escapes=(daemon, _OTHER_USER, _HOST_KILLED)
    )
