"""The state of a group of services at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aioverseer.core.export import exported_from
from aioverseer.core.text.counted import counted

__all__ = ["GroupStatus", "Phase"]

Phase = Literal["down", "up", "restarting", "ending"]
"""State of a group; see ``GroupStatus``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A snapshot of a group of services; from ``Overseer.group_status``.

    Attributes:
        name: Name of the group.
        phase: ``"up"``: a member is live. ``"down"``: no member is live. ``"restarting"``: members are being stopped
            and started again, by the strategy of this group or of a group around it. ``"ending"``: all members are
            being stopped for good.
        reason: Last thing that happened to the group, one sentence; empty if nothing has.
        gave_up: Whether the group ended because its budget was spent, and has not been started since.
        members: Ids of the services in the group and in the groups inside it, in the order of their start.
        restarts_left: Number of restarts that the budget allows now; None is no limit.
        refills_in: Seconds until the budget allows one more restart; None if it never does.
    """

    name: str
    phase: Phase
    reason: str
    gave_up: bool
    members: tuple[str, ...]
    restarts_left: int | None
    refills_in: float | None

    def __str__(self) -> str:
        """Return the snapshot as one sentence."""
        text = f"group {self.name!r} is {self.phase}"
        if self.reason:
            text += f": {self.reason}"
        if self.restarts_left is not None:
            text += f"; {counted(self.restarts_left, 'restart')} left"
            if self.refills_in is not None:
                text += f", one more in {self.refills_in:.1f} s"
        return text
