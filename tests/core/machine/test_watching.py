"""When changes of files restart a service, and which files count."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import SpecError, Watch
from aioverseer.core.machine.watching import LOOP, WatchRule
from aioverseer.core.options.watch import counts


def test_changes_settle_before_the_restart() -> None:
    it = WatchRule(0.3)
    it.end_restart(0, ready=True)
    for now in (100.0, 100.2, 100.4):
        it.change("a.py", now)
    assert "wait" == it.settle(100.5)
    assert pytest.approx(100.7) == it.due
    assert "restart" == it.settle(100.7)
    assert "wait" == it.settle(200)


def test_changes_without_end_restart_all_the_same() -> None:
    it = WatchRule(0.3)
    for step in range(100):
        it.change("a.py", step * 0.1)
    assert it.due == pytest.approx(3.0)


def test_changes_during_a_restart_are_one_more() -> None:
    it = WatchRule(0.3)
    it.begin_run()
    it.change("a.py", 1)
    it.change("b.py", 2)
    assert "wait" == it.settle(50)
    it.end_restart(60, ready=True)
    assert ("wait", "restart", "wait") == (it.settle(60), it.settle(60.3), it.settle(99))


def test_change_after_a_failed_start_counts() -> None:
    """Nobody waits for a backoff after an edit."""
    it = WatchRule(0.3)
    it.begin_run()
    it.end_restart(1, ready=False)
    it.change("a.py", 1)
    assert "restart" == it.settle(1.3)


def loop_of(times: int, pause: float) -> list[str]:
    it, now, found = WatchRule(0.3), 0.0, list[str]()
    for _ in range(times):
        it.begin_run()
        it.end_restart(now, ready=True)
        now += pause
        it.change("out.txt", now)
        now += 0.3
        found.append(it.settle(now))
    return found


def test_loop_is_found_and_suspended() -> None:
    assert [*["restart"] * LOOP, "loop", "wait"] == loop_of(LOOP + 2, 0.1)


def test_edits_by_hand_are_no_loop() -> None:
    assert ["restart"] * 30 == loop_of(30, 3.0)


@given(st.lists(st.tuples(st.sampled_from(["change", "begin", "ready", "settle"]), st.floats(0, 5))))
def test_no_change_is_forgotten(steps: list[tuple[str, float]]) -> None:
    """Once a run is ready and nothing changes any more, all changes have been answered."""
    it, now, pending = WatchRule(0.3), 0.0, False
    for what, pause in steps:
        now += pause
        if what == "change":
            it.change("a", now)
            pending = True
        elif what == "begin":
            it.begin_run()
        elif what == "ready":
            it.end_restart(now, ready=True)
        elif it.settle(now) == "restart":
            pending = False
    it.end_restart(now, ready=True)
    assert pending == (it.settle(now + 99) != "wait") or it.suspended


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.py", True),
        ("sub/b.py", True),
        ("a.txt", False),
        ("__pycache__/a.py", False),
        (".git/a.py", False),
        ("build/a.py", False),
        ("sub/gen/a.py", False),
        ("gen/a.py", True),
        (".#a.py", False),
    ],
)
def test_names_that_count(path: str, expected: bool) -> None:  # a row of the table
    assert expected == counts(Watch("src", include="*.py", exclude=["build", "sub/gen/*"]), path.split("/"))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Watch, "are none"),
        (lambda: Watch("~/x"), "begins with ~"),
        (lambda: Watch("a", debounce=-1), "debounce=-1"),
        (lambda: Watch("a", include=cast("Any", [1])), "is no pattern"),
        (lambda: Watch("a", **cast("Any", {"ignore": "b"})), "write exclude="),
    ],
)
def test_options_are_checked(make: object, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        make()  # type: ignore[operator]  # each case is a function
