"""Event: a transition or another occurrence of one service; StopReport: the outcome of a stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from signal import Signals
from typing import Any, Literal, NamedTuple

from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Survivor, left_behind
from aioverseer.core.report.status import Status, StatusSnapshot
from aioverseer.core.state import State, signal_name

__all__ = ["Event", "EventRecord", "Kind", "StopOutcome", "StopReport"]

Kind = Literal[
    "state",
    "log",
    "health",
    "leftovers",
    "throttle",
    "stop",
    "group",
    "trigger",
    "change",
    "reload",
    "cleanup",
    "roll",
    "recycle",
    "watch",
]
"""Subject of an event; see ``Event.kind``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A transition of one service, or another occurrence.

    Attributes:
        seq: Number of the event in its overseer, from 1, without gaps.
        time: Wall-clock time, aware; a label.
        id: Id of the service.
        previous: State before the event.
        state: State after the event. Only an event of kind ``"state"`` changes it.
        reason: Reason for the state, or a description of the occurrence; one sentence.
        status: Status at the moment of the event.
        missed: Number of events that this subscriber has lost just before this one because it was too slow; 0 for
            none.
        kind: ``"state"``: a transition. ``"log"``: trouble with the log files of the service. ``"health"``: a message
            of the program about itself, or a change of its liveness. ``"leftovers"``: processes that a run has left
            behind, and what becomes of them or is to be done. ``"throttle"``: the service waits in the queue of
            ``restart_rate``. ``"stop"``: an obstacle to a stop. ``"group"``: a consequence for its group: the start or
            the end of a restart of several members, giving up, or the end of the group. ``"trigger"``: a run that its
            schedule has skipped, missed or put off. ``"change"``: options of the service were changed, or it is
            removed. ``"reload"``: a request to read its configuration again, and its outcome. ``"cleanup"``: a
            ``cleanup`` that has failed. ``"roll"``: a step of a roll: of the old run and of the new one, which ``run``
            tells apart. ``"recycle"``: an instance is recycled, or could not be. ``"watch"``: files of the service
            are not watched, or no longer.
        by: Name of the one who asked for it: the ``by`` of a start, a stop or a change. Empty if nobody asked, or no
            name was given.
        run: Number of the run, as in ``Line.run``: mostly the current or last one; 0 before the first.
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
    by: str = ""
    run: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
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
            "by": self.by,
            "run": self.run,
        }


class EventRecord(NamedTuple):
    """Data of an Event, which is made only when it is read; see ``StatusSnapshot``."""

    seq: int
    time: datetime
    previous: State
    state: State
    reason: str
    snapshot: StatusSnapshot
    kind: Kind
    by: str = ""
    run: int = 0

    def event(self, missed: int) -> Event:
        """Return the Event for a subscriber that has lost so many events just before."""
        return Event(
            seq=self.seq,
            time=self.time,
            id=self.snapshot.spec.id,
            previous=self.previous,
            state=self.state,
            reason=self.reason,
            status=self.snapshot.status(),
            missed=missed,
            kind=self.kind,
            by=self.by,
            run=self.run,
        )


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class StopOutcome:
    """Outcome of the stop of one service.

    Attributes:
        id: Id of the service.
        status: Status after the stop.
        signals: Signals that were sent, in order; empty if nothing was running.
        steps: Names of all steps that were taken, in order, those that are no signals too, for example
            ``("end of input", "SIGTERM")``.
        failures: One sentence about each step that could not be taken, or whose command has failed.
        seconds: Duration of the stop in seconds.
        survived: Whether the program is still there after the whole ladder.
        cut: Whether the program was killed because its share of ``shutdown_timeout`` was over.
        left: Processes that the last run has left behind and that are known to live on.
        leftovers: Processes that were still there when the program itself had ended, and that got its ladder too.
        leftovers_signal: Last signal that they got; None if there were none.
    """

    id: str
    status: Status
    signals: tuple[Signals | int, ...] = ()
    seconds: float = 0.0
    survived: bool = False
    cut: bool = False
    left: tuple[Survivor, ...] = ()
    leftovers: tuple[Survivor, ...] = ()
    leftovers_signal: Signals | int | None = None
    steps: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the outcome as one sentence."""
        taken = ", ".join(self.steps) or "nothing"
        end = "and is still there" if self.survived else f"and is {self.status.state}"
        if self.cut:
            end += ": its share of shutdown_timeout was over"
        if self.leftovers_signal is not None:
            end += f"; it left {left_behind(self.leftovers)}, ended by {signal_name(self.leftovers_signal)}"
        if self.left:
            end += f"; it has left {', '.join(map(str, self.left))}"
        if self.failures:
            end += f"; {'; '.join(self.failures)}"
        return f"{self.id} needed {taken} in {self.seconds:.2f} s {end}"


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """Outcome of a stop of several services.

    Attributes:
        outcomes: StopOutcome of each service that was live, by id.
    """

    outcomes: Mapping[str, StopOutcome]

    @property
    def ok(self) -> bool:
        """Whether every program has ended."""
        return not self.survivors

    @property
    def survivors(self) -> list[str]:
        """Ids of the services with a program that is still there, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if outcome.survived)

    @property
    def left(self) -> dict[str, tuple[Survivor, ...]]:
        """Processes that programs have left behind and that are known to live on, by the ids of their services."""
        return {id: outcome.left for id, outcome in self.outcomes.items() if outcome.left}

    @property
    def blockers(self) -> list[str]:
        """Ids of the services that were killed because their share of ``shutdown_timeout`` was over, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if outcome.cut)

    @property
    def escalated(self) -> list[str]:
        """Ids of the services that needed more than the first step of their ladder, sorted."""
        return sorted(id for id, outcome in self.outcomes.items() if len(outcome.steps) > 1)

    def __str__(self) -> str:
        """Return the report as lines, one for each service."""
        return "\n".join(str(self.outcomes[id]) for id in sorted(self.outcomes)) or "nothing was live"
