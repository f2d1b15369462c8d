"""Sentences of the command about events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest

from aioverseer import Event, State, Status
from aioverseer.cli.formatting import describe


@pytest.mark.parametrize("kind", ["log", "leftovers", "health"])
@pytest.mark.parametrize("state", [State.RUNNING, State.FINISHED, State.STOPPING])
def test_events_that_are_no_transition_show_their_reason(
    state: State, kind: Literal["log", "leftovers", "health"]
) -> None:
    """The state of the service does not make them a start or an end."""
    event = Event(
        seq=1,
        time=datetime.now(UTC),
        id="web",
        previous=state,
        state=state,
        reason="its log file x cannot be written: No space left on device",
        status=Status(id="web", argv=("web",), state=state),
        kind=kind,
    )
    assert "web: its log file x cannot be written: No space left on device" == describe(event, terse=True)
