"""GroupStatus as one sentence."""

from __future__ import annotations

import pytest

from aioverseer import GroupStatus


@pytest.mark.parametrize(
    ("reason", "left", "refills", "text"),
    [
        ("", None, None, "group 'g' is up"),
        ("restarts", 2, None, "group 'g' is up: restarts; 2 restarts left"),
        ("", 0, 1.25, "group 'g' is up; 0 restarts left, one more in 1.2 s"),
    ],
)
def test_status_is_a_sentence(reason: str, left: int | None, refills: float | None, text: str) -> None:
    """Only what is known is said."""
    status = GroupStatus(
        name="g", phase="up", reason=reason, gave_up=False, members=("a",), restarts_left=left, refills_in=refills
    )
    assert text == str(status)
