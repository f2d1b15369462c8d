from __future__ import annotations

import dataclasses
import json
import signal
from datetime import UTC, datetime

import pytest

from aioverseer.core.report.events import Event, StopOutcome, StopReport
from aioverseer.core.report.status import Status
from aioverseer.core.state import State, signal_name

FINAL = Status(id="db", argv=("db",), pid=7, state=State.INTERRUPT, signal=signal.SIGTERM)
EVENT = Event(
    seq=3,
    time=datetime(2030, 1, 2, tzinfo=UTC),
    id="db",
    previous=State.STOPPING,
    state=State.INTERRUPT,
    reason="a stop was asked for",
    status=FINAL,
)


def outcome(id: str, *signals: int, survived: bool = False, state: State = State.INTERRUPT) -> StopOutcome:
    """Outcome of the stop of a service."""
    status = Status(id=id, argv=(id,), state=state)
    steps = tuple(signal_name(number) for number in signals)
    return StopOutcome(id=id, status=status, signals=signals, steps=steps, seconds=0.256, survived=survived)


def test_an_event_is_flat_json() -> None:
    """States are texts, the time is ISO 8601, the status is its own JSON."""
    expected = {
        "seq": 3,
        "time": "2030-01-02T00:00:00+00:00",
        "id": "db",
        "previous": "stopping",
        "state": "interrupted",
        "reason": "a stop was asked for",
        "status": FINAL.to_json(),
        "missed": 0,
        "kind": "state",
        "by": "",
        "run": 0,
    }
    assert expected == json.loads(json.dumps(EVENT.to_json()))
    assert expected | {"missed": 2} == dataclasses.replace(EVENT, missed=2).to_json()


def test_an_event_is_frozen_with_all_that_it_holds() -> None:
    """An event shows the state at the transition, also if it is read later (B47)."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENT.state = State.RUNNING  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENT.status.state = State.RUNNING  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (outcome("a"), "a needed nothing in 0.26 s and is interrupted"),
        (outcome("a", signal.SIGTERM), "a needed SIGTERM in 0.26 s and is interrupted"),
        (outcome("a", 45, signal.SIGKILL, state=State.FATAL), "a needed signal 45, SIGKILL in 0.26 s and is fatal"),
        (
            outcome("a", signal.SIGTERM, signal.SIGKILL, survived=True, state=State.STOPPING),
            "a needed SIGTERM, SIGKILL in 0.26 s and is still there",
        ),
    ],
    ids=str,
)
def test_an_outcome_is_one_sentence(one: StopOutcome, expected: str) -> None:
    """The report names signals, seconds and state of each service."""
    assert expected == str(one)


@pytest.mark.parametrize(
    ("outcomes", "ok", "survivors", "escalated", "text"),
    [
        ([], True, [], [], "nothing was live"),
        ([outcome("a", 15), outcome("b")], True, [], [], None),
        ([outcome("c", 15, 9), outcome("b", 9), outcome("a", 2, 15)], True, [], ["a", "c"], None),
        ([outcome("c", 15, 9, survived=True), outcome("a", 9, survived=True)], False, ["a", "c"], ["c"], None),
    ],
)
def test_a_report_has_a_line_for_each_service(
    outcomes: list[StopOutcome], ok: bool, survivors: list[str], escalated: list[str], text: str | None
) -> None:
    """One line for each service, sorted; what survived is never hidden (B07)."""
    report = StopReport(outcomes={one.id: one for one in outcomes})
    assert (ok, survivors, escalated) == (report.ok, report.survivors, report.escalated)
    lines = "\n".join(str(one) for one in sorted(outcomes, key=lambda one: one.id))
    assert (lines if text is None else text) == str(report)
