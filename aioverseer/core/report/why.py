"""Why: the reason for the state of a service and its next step, as data and as one sentence."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from aioverseer.core.export import exported_from
from aioverseer.core.state import State
from aioverseer.core.text.counted import counted

__all__ = ["Awaited", "AwaitedKind", "Why"]

AwaitedKind = Literal["service", "group", "throttle", "readiness", "program", "start", "stop", "time", "connection"]
"""Kind of thing that a service waits for; see ``Awaited``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One thing that a service waits for.

    Attributes:
        kind: ``"service"``: another service, which does not meet the condition of ``after`` yet. ``"group"``: its
            group, which will start it again. ``"throttle"``: its place in the queue of ``Overseer(restart_rate=...)``.
            ``"readiness"``: the program, which is not ready yet. ``"program"``: the program, which has not ended yet.
            ``"start"``: its turn among the programs that start (``Overseer(max_starting=...)``), or its ``prepare``.
            ``"stop"``: another service, which must end before this one is stopped. ``"time"``: the time of its next
            run. ``"connection"``: a connection to its socket.
        name: Name of the service or group; empty for other kinds.
        text: Description, as words that follow "waits for".
        due_in: Seconds until it comes at the latest, or until the next action; None if that is not known.
    """

    kind: AwaitedKind
    name: str = ""
    text: str
    due_in: float | None = None

    def __str__(self) -> str:
        """Return the text with the time."""
        return self.text if self.due_in is None else f"{self.text} (in {self.due_in:.1f} s)"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Reason for the state of a service.

    Attributes:
        id: Id of the service.
        state: State of the service.
        reason: Reason for the state, one sentence; the same as in its Status.
        since: Seconds since the service entered the state.
        awaits: Things that the service waits for.
        due: Next step that happens by itself, or None if there is none.
        due_in: Seconds until that step; None if that is not known.
        restarts_left: Number of restarts that the budget allows now, its own or that of its group; None is no limit.
        refills_in: Seconds until the budget allows one more; None if it never does.
        by: Name of the one who asked for the state: the ``by`` of the start, stop or restart. Empty if nobody asked, or
            no name was given.
        pending: Names of the options that were changed and take effect with the next run; ``"argv"`` is the command.
    """

    id: str
    state: State
    reason: str
    since: float
    awaits: tuple[Awaited, ...] = ()
    due: str | None = None
    due_in: float | None = None
    restarts_left: int | None = None
    refills_in: float | None = None
    by: str = ""
    pending: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the answer as one sentence."""
        text = f"{self.id} is {self.state} for {self.since:.1f} s: {self.reason}"
        if self.by and not self.reason.endswith(f" by {self.by}") and f" by {self.by};" not in self.reason:
            text += f" (asked for by {self.by})"
        awaits = [one for one in self.awaits if one.text not in self.reason]
        if awaits:
            text += f"; waits for {', and for '.join(map(str, awaits))}"
        if self.due is not None:
            text += f"; next: {self.due}"
            if self.due_in is not None and self.due_in not in [one.due_in for one in awaits]:
                text += f" in {self.due_in:.1f} s"
        if self.restarts_left is not None and not self.state.is_final:
            text += f"; {counted(self.restarts_left, 'restart')} left"
            if self.refills_in is not None:
                text += f", one more in {self.refills_in:.1f} s"
        if self.pending:
            text += f"; with its next run it takes its new {', '.join(self.pending)}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values, with the text of the state, and the sentence as ``text``."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "state": str(self.state),
            "awaits": [dataclasses.asdict(one) for one in self.awaits],
            "pending": list(self.pending),
            "text": str(self),
        }
