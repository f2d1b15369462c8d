"""Why: the answer to "why is it in this state, and what comes next", as data and as one sentence.

Values only; ``_engine/service/explain.py`` and those who hold services back fill them in.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from aioverseer.core.export import exported_from
from aioverseer.core.state import State

__all__ = ["Awaited", "AwaitedKind", "Why"]

AwaitedKind = Literal["service", "group", "throttle", "readiness", "program", "stop"]
"""What kind of thing is waited for; see ``Awaited``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One thing that a service waits for.

    Attributes:
        kind: ``"service"``: another one, which is not where ``after`` wants it to be. ``"group"``: its group, which
            starts it again. ``"throttle"``: its turn, see ``Overseer(restart_rate=...)``. ``"readiness"``: its program,
            to be ready. ``"program"``: its program, to end. ``"stop"``: another one, which ends before this one is
            stopped.
        name: The service or the group, where it is one.
        text: What that is, as words of a sentence behind "waits for".
        due_in: Seconds until it comes at the latest, or until something is done about it; None when that is not known.
    """

    kind: AwaitedKind
    name: str = ""
    text: str
    due_in: float | None = None

    def __str__(self) -> str:
        """Return the text, with the time."""
        return self.text if self.due_in is None else f"{self.text} (in {self.due_in:.1f} s)"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a service is in its state.

    Attributes:
        id: Id of the service.
        state: Where it is.
        reason: Why, one sentence; the same as in its Status.
        since: Seconds that it has been there.
        awaits: What it waits for, and who holds it up.
        due: What happens next by itself, or None when nothing does.
        due_in: Seconds until then, where that is known.
        restarts_left: Restarts that the budget allows at this moment, its own or that of its group; None is no limit.
        refills_in: Seconds until it allows one more; None when it does not.
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

    def __str__(self) -> str:
        """Return all of it as one sentence."""
        text = f"{self.id} is {self.state} for {self.since:.1f} s: {self.reason}"
        awaits = [one for one in self.awaits if one.text not in self.reason]
        if awaits:
            text += f"; waits for {', and for '.join(map(str, awaits))}"
        if self.due is not None:
            text += f"; next: {self.due}"
            if self.due_in is not None and self.due_in not in [one.due_in for one in awaits]:
                text += f" in {self.due_in:.1f} s"
        if self.restarts_left is not None and not self.state.is_final:
            text += f"; {self.restarts_left} restarts left"
            if self.refills_in is not None:
                text += f", one more in {self.refills_in:.1f} s"
        return text

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values, with the state by its name, and the sentence as ``text``."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "state": str(self.state),
            "awaits": [dataclasses.asdict(one) for one in self.awaits],
            "text": str(self),
        }
