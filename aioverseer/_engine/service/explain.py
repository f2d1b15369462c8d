"""Explain why one service is in its state, what it waits for and what comes next.

Everything is read from the state machine and the current run at the moment of the question, so no answer is outdated.
"""

from __future__ import annotations

from aioverseer._engine.service.view import ServiceView
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.options.restart import wants_restart
from aioverseer.core.report.why import Awaited, Why
from aioverseer.core.state import State

__all__ = ["explain"]


def explain(service: ServiceView) -> Why:
    """Return why a service is in its state."""
    machine, now = service.machine, service.clock.now()
    awaits = (*service.blockers(), *_awaited_program(service, now))
    due, due_at = _next_event(service)
    due_in = None if due_at is None else max(0.0, due_at - now)
    if machine.state is State.BACKOFF and awaits:
        # The throttle or the group starts the service, and only they know when: the time may have changed.
        due_in = awaits[0].due_in
    return Why(
        id=service.id,
        state=machine.state,
        reason=service.reason(),
        since=max(0.0, now - machine.since) if machine.state is not State.INITIAL else 0.0,
        awaits=awaits,
        due=due,
        due_in=due_in,
        restarts_left=machine.left(now),
        refills_in=machine.refills_in(now),
        by=machine.by,
        pending=service.pending,
    )


def _next_event(service: ServiceView) -> tuple[str | None, float | None]:
    """Return the next event that needs no request, and its monotonic time where that is known."""
    machine, process, trigger = service.machine, service.process, service.trigger
    match machine.state:
        case State.RUNNING if process is not None and process.runtime_due is not None:
            return "its end by max_runtime", process.runtime_due
        case State.WAITING | State.RUNNING if trigger is not None and machine.is_armed:
            return "its next run", trigger.due
        case State.BACKOFF:
            return "a restart", machine.due
        case State.STARTING if service.steps is not None and service.steps.start is not None:
            return "its start", service.steps.start.due
        case State.STARTING if process is not None and not machine.deferred:
            if process.machine.start_due is not None:
                return "its start", process.machine.start_due
            if process.ready_due is not None:
                return "it is ready, or is ended", process.ready_due
            return "it becomes ready", None
        case State.STOPPING if not service.is_unstoppable:
            if process is not None and _ended_by_itself(process.machine) and machine.wanted:
                exit = process.machine.leader_exit or process.machine.exit
                left = machine.left(service.clock.now())
                return "a restart" if left != 0 and wants_restart(machine.policy, exit) else "its end", None
            return "a new run" if machine.wanted else "its end", None
        case _:
            return None, None


def _ended_by_itself(machine: ProcessMachine) -> bool:
    """Return whether the policy judges an end whose leftovers or ``cleanup`` are awaited."""
    return machine.ended_by_itself or machine.state is State.FINISHED


def _awaited_program(service: ServiceView, now: float) -> list[Awaited]:
    """Return what the service waits for by itself: its trigger, or what its own program does."""
    process, state, trigger = service.process, service.state, service.trigger
    if state is State.WAITING and trigger is not None:
        due = trigger.due
        due_in = None if due is None else max(0.0, due - now)
        return [Awaited(kind=trigger.kind, text=trigger.awaited, due_in=due_in)]
    if service.steps is not None and service.steps.start is not None:
        return service.steps.awaited()
    if process is None or service.is_deferred:
        return []
    if state is State.STARTING and process.machine.pid is not None:  # 0 for a task
        text = process.readiness or "its program to be ready"
        due = process.ready_due
        return [Awaited(kind="readiness", text=text, due_in=None if due is None else max(0.0, due - now))]
    if state is not State.STOPPING:
        return []
    text, due = service.ending
    return [Awaited(kind="program", text=text, due_in=None if due is None else max(0.0, due - now))]
