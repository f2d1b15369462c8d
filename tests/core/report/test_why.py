from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from aioverseer.core.report.why import Why
from aioverseer.core.state import State


@pytest.mark.parametrize(
    ("state", "more", "expected"),
    [
        (State.RUNNING, {}, "db is running for 1.2 s: because"),
        (State.STARTING, {"due": "it becomes ready"}, "db is starting for 1.2 s: because; next: it becomes ready"),
        (
            State.BACKOFF,
            {"due": "a restart", "due_in": 0.75, "restarts_left": 3, "refills_in": 59.96},
            "db is backoff for 1.2 s: because; next: a restart in 0.8 s; 3 restarts left, one more in 60.0 s",
        ),
        (
            State.BACKOFF,
            {"due": "a restart", "due_in": 0.0},
            "db is backoff for 1.2 s: because; next: a restart in 0.0 s",
        ),
        (State.RUNNING, {"restarts_left": 0}, "db is running for 1.2 s: because; 0 restarts left"),
        (State.RUNNING, {"due_in": 3.0, "refills_in": 3.0}, "db is running for 1.2 s: because"),
        (State.FATAL, {"restarts_left": 0, "refills_in": 3.0}, "db is fatal for 1.2 s: because"),
        (State.INITIAL, {"restarts_left": 5}, "db is initial for 1.2 s: because; 5 restarts left"),
    ],
)
def test_why_is_one_sentence(state: State, more: dict[str, Any], expected: str) -> None:
    """It has what is known, and nothing of what does not matter any more."""
    assert expected == str(Why(id="db", state=state, reason="because", since=1.23, **more))


def test_why_is_frozen_data_too() -> None:
    """Programs read the fields, people the sentence."""
    why = Why(id="db", state=State.RUNNING, reason="is ready", since=2.0)
    assert ("db", State.RUNNING, "is ready", 2.0, (), None, None, None, None, "", ()) == dataclasses.astuple(why)
    with pytest.raises(dataclasses.FrozenInstanceError):
        why.reason = ""  # type: ignore[misc]  # that it is refused is the point
