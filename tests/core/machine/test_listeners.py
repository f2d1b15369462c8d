"""The verdict on a listening socket that answers a probe."""

from __future__ import annotations

import pytest

from aioverseer.core.machine.listeners import Holder, Kinship, Verdict, held_by, judge


def holders(*kinds: Kinship) -> list[Holder]:
    """Return a process of each kind, pids 1, 2, ..."""
    return [Holder(pid=pid, name=f"p{pid}", kinship=kind) for pid, kind in enumerate(kinds, 1)]


@pytest.mark.parametrize(
    ("kinds", "before", "later"),
    [
        ([], Verdict.STRANGER, Verdict.PROGRAM),
        ([Kinship.UNRELATED], Verdict.STRANGER, Verdict.PROGRAM),
        ([Kinship.OTHER_RUN], Verdict.STRANGER, Verdict.STRANGER),
        ([Kinship.HOST], Verdict.STRANGER, Verdict.STRANGER),
        ([Kinship.EARLIER_RUN], Verdict.PROGRAM, Verdict.PROGRAM),
        ([Kinship.ENDING], Verdict.ENDING, Verdict.ENDING),
        ([Kinship.PROGRAM], Verdict.PROGRAM, Verdict.PROGRAM),
        ([Kinship.OTHER_RUN, Kinship.PROGRAM], Verdict.PROGRAM, Verdict.PROGRAM),
    ],
)
def test_verdict(kinds: list[Kinship], before: Verdict, later: Verdict) -> None:
    """A socket from before the start is a stranger's, and so is that of another program of this host."""
    assert before is judge(holders(*kinds), was_before=True)
    assert later is judge(holders(*kinds), was_before=False)


def test_oldest_holder_is_named() -> None:
    """The master of several workers that share the socket."""
    found = [Holder(pid=pid, name="nginx", kinship=Kinship.UNRELATED) for pid in (14, 12, 13)]
    assert "port 80 is held by pid 12 (nginx)" == held_by("port 80", found)
    nameless = [Holder(pid=3, name="", kinship=Kinship.OTHER_RUN)]
    assert "port 80 is held by pid 3, another program of this host" == held_by("port 80", nameless)


def test_user_of_an_invisible_holder_is_named() -> None:
    """The table of sockets has the user, while the descriptors of other users cannot be read."""
    assert "port 80 is held by a process of user redis that cannot be seen from here" == held_by(
        "port 80", [], user="redis"
    )
    assert "socket /s is held by a process that cannot be seen from here" == held_by("socket /s", [])
