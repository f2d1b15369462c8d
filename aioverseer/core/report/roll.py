"""RollReport: the outcome of a rolling restart. RollFailed: the error that carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aioverseer.core.export import exported_from
from aioverseer.core.report.status import ProgramError, Status

__all__ = ["RollFailed", "RollOutcome", "RollReport"]

RollOutcome = Literal["done", "rolled back", "paused", "left as it is"]
"""Outcome of a roll; see ``RollReport.outcome``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class RollReport:
    """Outcome of a rolling restart.

    Attributes:
        id: Name of the set of instances.
        outcome: ``"done"``: each instance that was to run has a new run. ``"rolled back"``: the roll has failed, and
            all instances run with their old Spec. ``"paused"``: it has failed, and waits for ``resume_roll`` or
            ``cancel_roll``. ``"left as it is"``: it has failed or was stopped, and nothing follows.
        replaced: Names of the instances whose current run is a new one.
        kept: Names of the instances with their old run.
        skipped: Names of the instances that were not to run. A new Spec is theirs from their next start on.
        failed: Reasons of the instances whose new runs have failed, by name.
        reason: Reason of the failure, one sentence; empty if the roll is done.
        seconds: Duration of the roll in seconds, with its roll-back.
        by: Name of the one who asked for the roll; empty if no name was given.
    """

    id: str
    outcome: RollOutcome
    replaced: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    reason: str = ""
    seconds: float = 0.0
    by: str = ""

    @property
    def ok(self) -> bool:
        """Whether the roll is done."""
        return self.outcome == "done"

    def __str__(self) -> str:
        """Return the report as one sentence."""
        count = len(self.replaced) + len(self.kept)
        how = f"{len(self.replaced)} of {count} replaced in {self.seconds:.2f} s"
        return f"{self.id}: {self.outcome}, {how}{f': {self.reason}' if self.reason else ''}"

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "id": self.id,
            "outcome": self.outcome,
            "replaced": list(self.replaced),
            "kept": list(self.kept),
            "skipped": list(self.skipped),
            "failed": dict(self.failed),
            "reason": self.reason,
            "seconds": self.seconds,
            "by": self.by,
        }


@exported_from("aioverseer")
class RollFailed(ProgramError):
    """A rolling restart has failed; ``lines`` and ``status`` are those of the run that has failed.

    Attributes:
        report: The outcome, instance by instance.
    """

    def __init__(
        self,
        message: str,
        *,
        id: str,
        report: RollReport | None = None,
        status: Status | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        self.report = report or RollReport(id=id, outcome="left as it is", reason=message)
        super().__init__(message, id=id, status=status, lines=lines)
