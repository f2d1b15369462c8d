"""What the command line says about events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest

from aioverseer import Event, State, Status
from aioverseer.cli.formatting import sentence


@pytest.mark.parametrize("kind", ["log", "leftovers", "health"])
@pytest.mark.parametrize("state", [State.RUNNING, State.FINISHED, State.STOPPING])
def test_news_of_a_log_are_shown_as_they_are(state: State, kind: Literal["log", "leftovers", "health"]) -> None:
    """They are no start and no end, whatever state the service is in."""
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
    assert "web: its log file x cannot be written: No space left on device" == sentence(event, terse=True)
