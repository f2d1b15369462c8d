"""InstancesStatus: a snapshot of a set of instances; and the one state of the set, by counts of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aioverseer.core.export import exported_from
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import Status
from aioverseer.core.state import State

__all__ = ["InstancesStatus", "counted_states", "state_of_set", "status_of_set"]

_IN_BETWEEN = (State.STARTING, State.BACKOFF, State.STOPPING)
"""States of one instance that make up the state of a set in which others run; the first one that occurs."""
_ENDS = (State.FATAL, State.INTERRUPT, State.FINISHED, State.INITIAL)
"""States of one instance that make up the state of a set in which none is live; the first one that occurs."""


def state_of_set(counts: Mapping[State, int]) -> State:
    """Return the one state of a set.

    A set in which an instance starts, waits to restart or stops is in that state, in this order. Otherwise the set is
    running if an instance is, also when others have ended, and then waiting. If none is live, the worst end counts.

    Args:
        counts: Number of instances in each state.
    """
    present = {state for state, count in counts.items() if count}
    for state in _IN_BETWEEN:
        if state in present:
            return state
    for state in (State.RUNNING, State.WAITING):
        if state in present:
            return state
    for state in _ENDS:
        if state in present:
            return state
    return next(iter(present), State.INITIAL)


def counted_states(counts: Mapping[State, int], wanted: int) -> str:
    """Return the counts as words: ``3 of 4 ready, 1 backoff``."""
    others = (f"{count} {state}" for state, count in sorted(counts.items()) if count and state is not State.RUNNING)
    return ", ".join((f"{counts.get(State.RUNNING, 0)} of {wanted} ready", *others))


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class InstancesStatus(Status):
    """A snapshot of a set of instances, which is a Status of the set as a whole.

    ``state`` is one state for all, ``reason`` says how many are in which state, and ``restarts`` is the sum. ``argv``
    is that of the set, with its placeholders. Once no instance is live, ``exit_code``, ``signal`` and ``error`` are
    the ones of the first instance that has failed, if any has.

    Attributes:
        wanted: Number of instances.
        ready: Number of instances that are ready.
        counts: Number of instances in each state that occurs.
        instances: Status of each instance, in their order.
    """

    wanted: int = 0
    ready: int = 0
    counts: Mapping[State, int]
    instances: tuple[Status, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values: those of ``Status.to_json``, the counts, and the names of the instances."""
        return {
            **Status.to_json(self),
            "wanted": self.wanted,
            "ready": self.ready,
            "counts": {str(state): count for state, count in self.counts.items()},
            "instances": [status.id for status in self.instances],
        }


def status_of_set(spec: Spec, counts: Mapping[State, int], instances: Iterable[Status]) -> InstancesStatus:
    """Return the status of a set.

    Args:
        spec: Spec of the set.
        counts: Number of instances in each state.
        instances: Status of each instance.
    """
    each = tuple(instances)
    state = state_of_set(counts)
    failed = next((status for status in each if not status.ok), None) if state.is_final else None
    shown = failed or (each[0] if state.is_final and each else None)
    not_ready = next((status for status in each if not status.state.is_up), None)
    reason = counted_states(counts, len(each))
    if not_ready is not None and not_ready.reason:
        reason += f"; {not_ready.id!r}: {not_ready.reason}"
    return InstancesStatus(
        id=spec.id,
        argv=spec.argv,
        state=state,
        exit_code=None if shown is None else shown.exit_code,
        signal=None if shown is None else shown.signal,
        error=None if shown is None else shown.error,
        restarts=sum(status.restarts for status in each),
        reason=reason,
        cwd=spec.cwd,
        delay_start=spec.delay_start,
        max_restarts=spec.restart.max_restarts,
        log_lost=sum(status.log_lost for status in each),
        containment=each[0].containment if each else "",
        last_lines=() if failed is None else failed.last_lines,
        wanted=len(each),
        ready=counts.get(State.RUNNING, 0),
        counts={state: count for state, count in sorted(counts.items()) if count},
        instances=each,
    )
