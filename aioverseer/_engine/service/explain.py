"""Why one service is in its state, what it waits for itself, and what comes next: as ``why()`` says it.

Read from its table and its current run when somebody asks, so that nothing can be out of date; nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.report.why import Awaited, Why
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.service.owner import ServiceOwner

__all__ = ["explain"]


def explain(runs: ServiceRunner, host: ServiceOwner) -> Why:
    """Return why a service is in its state."""
    machine, now = runs.machine, host.clock.now()
    awaits = (*host.awaited(runs.id), *_awaited(runs, now))
    due, due_at = _coming(runs)
    due_in = None if due_at is None else max(0.0, due_at - now)
    if machine.state is State.BACKOFF and awaits:  # only the throttle, or the group, knows: its due may have changed
        due_in = awaits[0].due_in
    return Why(
        id=runs.id,
        state=machine.state,
        reason=runs.reason(),
        since=max(0.0, now - machine.since) if machine.state is not State.INITIAL else 0.0,
        awaits=awaits,
        due=due,
        due_in=due_in,
        restarts_left=machine.left(now),
        refills_in=machine.refills_in(now),
    )


def _coming(runs: ServiceRunner) -> tuple[str | None, float | None]:
    """Return what happens next by itself, and the monotonic time, where it is known."""
    machine, process = runs.machine, runs.process
    match machine.state:
        case State.BACKOFF:
            return "a restart", machine.due
        case State.STARTING if process is not None and not machine.deferred:
            if process.start_due is not None:
                return "its start", process.start_due
            if process.ready_due is not None:
                return "it is ready, or is ended", process.ready_due
            return "it becomes ready", None
        case State.STOPPING if not runs.is_unstoppable:
            return "a new run" if machine.wanted else "its end", None
        case _:
            return None, None


def _awaited(runs: ServiceRunner, now: float) -> list[Awaited]:
    """Return what it waits for itself: its program."""
    process, state = runs.process, runs.state
    if process is None or runs.is_held:
        return []
    if state is State.STARTING and process.pid is not None:
        text = process.readiness or "its program to be ready"
        due = process.ready_due
        return [Awaited(kind="readiness", text=text, due_in=None if due is None else max(0.0, due - now))]
    if state is not State.STOPPING:
        return []
    text, due = runs.ending
    return [Awaited(kind="program", text=text, due_in=None if due is None else max(0.0, due - now))]
