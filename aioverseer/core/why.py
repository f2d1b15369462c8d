"""Why: the answer to "why is it in this state, and what comes next", as data and as one sentence.

Values only; ``service.py`` fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass

from aioverseer.core.state import State

__all__ = ["Why"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a service is in its state.

    Attributes:
        id: Id of the service.
        state: Where it is.
        reason: Why, one sentence.
        since: Seconds that it has been there.
        due: What happens next by itself, or None when nothing does.
        due_in: Seconds until then, where that is known.
        restarts_left: Restarts that the budget allows at this moment; None is no limit.
        refills_in: Seconds until it allows one more; None when it does not.
    """

    id: str
    state: State
    reason: str
    since: float
    due: str | None = None
    due_in: float | None = None
    restarts_left: int | None = None
    refills_in: float | None = None

    def __str__(self) -> str:
        """Return all of it as one sentence."""
        text = f"{self.id} is {self.state} for {self.since:.1f} s: {self.reason}"
        if self.due is not None:
            text += f"; next: {self.due}"
            if self.due_in is not None:
                text += f" in {self.due_in:.1f} s"
        if self.restarts_left is not None and not self.state.is_final:
            text += f"; {self.restarts_left} restarts left"
            if self.refills_in is not None:
                text += f", one more in {self.refills_in:.1f} s"
        return text
