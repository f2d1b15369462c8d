"""The steps of a plan and the outcome: PlanStep, OptionChange, ApplyReport and ApplyFailed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aioverseer.core.errors import OverseerError
from aioverseer.core.export import exported_from
from aioverseer.core.options.effects import Effect
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import ProgramError, Status

__all__ = ["Action", "ApplyFailed", "ApplyReport", "OptionChange", "PlanIsStale", "PlanStep"]

Action = Literal["remove", "update", "add", "start", "restart", "scale", "roll"]
"""Kind of a step of a plan; see ``PlanStep``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class OptionChange:
    """A change of one option, or of one value inside of it.

    Attributes:
        option: Name of the option, with the names inside of it: ``"restart.max_restarts"``; ``"command"`` for the
            program and its arguments.
        before: The value of today as text, or None where there is none. Values of the environment and of ``stdin``
            are left out, as they may be secret.
        after: The planned value, in the same way.
        effect: When it takes effect: ``"in place"``, ``"next run"`` or ``"restart"``.
    """

    option: str
    before: str | None
    after: str | None
    effect: Effect

    @property
    def root(self) -> str:
        """Name of the whole option in ``Spec``."""
        name = self.option.partition(".")[0]
        return "argv" if name == "command" else name

    def __str__(self) -> str:
        """Return the change as a line."""
        if self.before is None and self.after is None:
            return f"~ {self.option}   ({self.effect})"
        if self.before is None:
            return f"+ {self.option}: {self.after}   ({self.effect})"
        if self.after is None:
            return f"- {self.option}: {self.before}   ({self.effect})"
        return f"~ {self.option}: {self.before} => {self.after}   ({self.effect})"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """A step of a plan: one service, or one set of instances.

    Attributes:
        id: Name of the service, or of the set of instances.
        action: ``"remove"``: stop it and remove it. ``"update"``: give it other options; nothing is restarted.
            ``"add"``: add it and start it. ``"start"``: start it, as it does not run. ``"restart"``: stop it, and start
            it again after its dependencies. ``"scale"``: start or stop some instances. ``"roll"``: replace the
            instances one after the other.
        reasons: Why, one sentence each.
        changes: Changes of options.
        before: The Spec of today; None for a service that is added.
        after: The planned Spec; None for a service that is removed.
    """

    id: str
    action: Action
    reasons: tuple[str, ...] = ()
    changes: tuple[OptionChange, ...] = ()
    before: Spec | None = None
    after: Spec | None = None

    def __str__(self) -> str:
        """Return the step as lines: what is done, and each change."""
        mark = {"add": "+", "remove": "-"}.get(self.action, "~")
        reasons = "; ".join(self.reasons)
        head = f"{mark} {self.id}   {_WORDS[self.action]}{f' ({reasons})' if reasons else ''}"
        return "\n".join([head, *(f"    {change}" for change in self.changes)])

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values, without values of the environment."""
        return {
            "id": self.id,
            "action": self.action,
            "reasons": list(self.reasons),
            "changes": [
                {"option": each.option, "before": each.before, "after": each.after, "effect": each.effect}
                for each in self.changes
            ],
        }


_WORDS: dict[Action, str] = {
    "remove": "stops, and is removed",
    "update": "changes",
    "add": "starts",
    "start": "starts",
    "restart": "restarts",
    "scale": "scales",
    "roll": "rolls",
}


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport:
    """The outcome of a plan.

    Attributes:
        digest: Digest of the plan.
        by: Name of the one who asked for it.
        done: Steps that were completed, in order, also those that were rolled back afterwards.
        failed: Step that has failed; None if none has.
        rolled_back: Whether all services have their old Specs again, and those run that ran before.
        problems: One sentence about each service that could not be rolled back.
        seconds: Duration in seconds.
    """

    digest: str
    by: str = ""
    done: tuple[PlanStep, ...] = ()
    failed: PlanStep | None = None
    rolled_back: bool = False
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return the report as one sentence."""
        done = ", ".join(f"{step.id} ({step.action})" for step in self.done) or "nothing"
        text = f"done in {self.seconds:.2f} s: {done}"
        if self.failed is None:
            return text
        end = "failed, rolled back" if self.rolled_back else "failed, left as it is"
        problems = "".join(f"; {problem}" for problem in self.problems)
        return f"{text}; {self.failed.id} ({self.failed.action}): {end}{problems}"


@exported_from("aioverseer")
class ApplyFailed(ProgramError):
    """A step of a plan has failed. The message says whether the plan was rolled back; the cause is the error.

    Attributes:
        report: The steps that were done, and whether they were rolled back.
    """

    def __init__(
        self,
        message: str,
        *,
        id: str,
        status: Status | None = None,
        lines: Sequence[str] = (),
        report: ApplyReport | None = None,
    ) -> None:
        super().__init__(message, id=id, status=status, lines=lines)
        self.report = ApplyReport(digest="") if report is None else report


@exported_from("aioverseer")
class PlanIsStale(OverseerError):
    """The overseer has changed since the plan was made: make another one."""
