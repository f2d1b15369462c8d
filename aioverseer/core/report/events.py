"""Event: news of one service, frozen at the moment when they happened; and what a stop had to do.

Values only; who hears of them is decided in ``_engine/events/publisher.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Survivor
from aioverseer.core.report.status import Status, StatusSnapshot
from aioverseer.core.state import State, signal_name

__all__ = ["Event", "EventRecord", "Kind", "StopOutcome", "StopReport"]

Kind = Literal["state", "log", "health", "leftovers", "throttle", "stop", "group"]
"""What an event is about; see ``Event.kind``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One transition of one service, or news of its log files.

    Attributes:
        seq: Number of the event in its overseer, from 1, without holes.
        time: Wall-clock time, aware; a label.
        id: Id of the service.
        previous: The state before.
        state: The state since.
        reason: Why, one sentence.
        status: Everything known at the transition.
        missed: How many events this subscriber has lost just before this one, because it was slower than the
            log is long; 0 for one that keeps up.
        kind: ``"state"`` for a transition; ``"log"`` for news of its log files, ``"health"`` for what it says of itself
            and whether it is alive, ``"leftovers"`` for a process that a run has left behind and that lives on,
            ``"throttle"`` when it begins to wait for its turn (``restart_rate``), ``"stop"`` for what holds a stop
            up, and ``"group"`` for what its end means to a group: a restart of several, the end of that, a giving up,
            an end; all with the same state before and since.
    """

    seq: int
    time: datetime
    id: str
    previous: State
    state: State
    reason: str
    status: Status
    missed: int = 0
    kind: Kind = "state"

    def to_json(self) -> dict[str, Any]:
        """Return a flat dict of JSON values."""
        return {
            "seq": self.seq,
            "time": self.time.isoformat(),
            "id": self.id,
            "previous": str(self.previous),
            "state": str(self.state),
            "reason": self.reason,
            "status": self.status.to_json(),
            "missed": self.missed,
            "kind": self.kind,
        }


class EventRecord(NamedTuple):
    """What an Event is made of when somebody reads it; see ``StatusSnapshot``."""

    seq: int
    time: datetime
    previous: State
    state: State
    reason: str
    facts: StatusSnapshot
    kind: Kind

    def event(self, missed: int) -> Event:
        """Make the Event for a reader who has lost so many just before."""
        return Event(
            seq=self.seq,
            time=self.time,
            id=self.facts.spec.id,
            previous=self.previous,
            state=self.state,
            reason=self.reason,
            status=self.facts.status(),
            missed=missed,
            kind=self.kind,
        )


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class StopOutcome:
    """What it took to stop one service.

    Attributes:
        id: Id of the service.
        status: Its Status afterwards.
        signals: The signals that were sent, in order; empty when it had nothing running.
        seconds: How long it took.
        survived: Whether it is still there after the whole ladder.
        cut: Whether it was killed because its share of ``shutdown_timeout`` was over.
        left: What its last run has left behind and is known to live on.
    """

    id: str
    status: Status
    signals: tuple[int, ...] = ()
    seconds: float = 0.0
    survived: bool = False
    cut: bool = False
    left: tuple[Survivor, ...] = ()

    def __str__(self) -> str:
        """Return the outcome as one sentence."""
        sent = ", ".join(signal_name(number) for number in self.signals) or "nothing"
        end = "and is still there" if self.survived else f"and is {self.status.state}"
        if self.cut:
            end += ": its share of shutdown_timeout was over"
        if self.left:
            end += f"; it has left {', '.join(map(str, self.left))}"
        return f"{self.id} needed {sent} in {self.seconds:.2f} s {end}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """Who needed what in a stop of several services.

    Attributes:
        outcomes: One StopOutcome for each service that was live, by id.
    """

    outcomes: Mapping[str, StopOutcome]

    @property
    def ok(self) -> bool:
        """Whether nothing is left."""
        return not self.survivors

    @property
    def survivors(self) -> list[str]:
        """Ids of the services whose program is still there, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if outcome.survived)

    @property
    def left(self) -> dict[str, tuple[Survivor, ...]]:
        """What programs have left behind and is known to live on, by the ids of their services."""
        return {id: outcome.left for id, outcome in self.outcomes.items() if outcome.left}

    @property
    def blockers(self) -> list[str]:
        """Ids of the services that were killed because their share of ``shutdown_timeout`` was over, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if outcome.cut)

    @property
    def escalated(self) -> list[str]:
        """Ids of the services that needed more than the first step of their ladder, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if len(outcome.signals) > 1)

    def __str__(self) -> str:
        """Return the report as lines, one for each service."""
        return "\n".join(str(self.outcomes[id]) for id in sorted(self.outcomes)) or "nothing was live"
