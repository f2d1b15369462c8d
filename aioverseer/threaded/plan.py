"""ThreadedPlan: a Plan whose ``apply`` blocks the calling thread."""

from __future__ import annotations

from functools import partial
from typing import Literal

from aioverseer import ApplyReport, Plan, PlanStep
from aioverseer.core.export import exported_from
from aioverseer.threaded.loop import Loop

__all__ = ["ThreadedPlan"]


@exported_from("aioverseer")
class ThreadedPlan:
    """The steps that make the services of an overseer those that are wanted; made by ``ThreadedOverseer.plan``."""

    def __init__(self, loop: Loop, plan: Plan) -> None:
        """Create a plan. Use ``ThreadedOverseer.plan`` instead."""
        self._loop = loop
        self._plan = plan

    def __repr__(self) -> str:
        """Return the number of steps and the digest."""
        return f"<Threaded{repr(self._plan)[1:]}"

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self._plan)

    def __str__(self) -> str:
        """Return the plan as lines for people."""
        return str(self._plan)

    @property
    def steps(self) -> tuple[PlanStep, ...]:
        """Steps in their order; see ``Plan``."""
        return self._plan.steps

    @property
    def unchanged(self) -> tuple[str, ...]:
        """Ids of the services that stay as they are, sorted."""
        return self._plan.unchanged

    @property
    def digest(self) -> str:
        """Text that is the same for equal plans, in each process and on each machine."""
        return self._plan.digest

    def apply(self, *, on_failure: Literal["rollback", "leave"] = "rollback", by: str = "") -> ApplyReport:
        """Perform the steps, and return once all services of the plan are ready; see ``Plan.apply``.

        Args:
            on_failure: ``"rollback"``, or ``"leave"`` to stop at the step that has failed.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            PlanIsStale: If the overseer has changed since the plan was made. Nothing has happened then.
            ApplyFailed: If a step has failed. Its ``report`` says what was done; its cause is the error.
            OverseerError: If another plan is being applied, or the overseer is not in use.
        """
        return self._loop.run(partial(self._plan.apply, on_failure=on_failure, by=by))
