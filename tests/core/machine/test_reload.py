"""Which notice of a program says that it has reloaded."""

from __future__ import annotations

import pytest

from aioverseer.core.machine.reload import ReloadJudge
from aioverseer.core.text.sd_notify import read_notice


@pytest.mark.parametrize(
    ("said_ready", "notices", "done"),
    [
        (True, ["READY=1"], [True]),
        (True, ["RELOADING=1", "STATUS=half", "READY=1"], [False, False, True]),
        (False, ["READY=1"], [False]),
        (False, ["READY=1", "READY=1"], [False, True]),
        (False, ["RELOADING=1", "READY=1"], [False, True]),
        (False, ["RELOADING=1\nREADY=1"], [True]),
        (True, ["STOPPING=1", "READY=0"], [False, False]),
    ],
)
def test_first_ready_that_is_not_about_the_start(said_ready: bool, notices: list[str], done: list[bool]) -> None:
    judge = ReloadJudge(said_ready=said_ready)
    assert done == [judge.is_done(read_notice(notice.encode())) for notice in notices]
