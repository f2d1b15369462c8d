"""The choice of a level of containment from what the system offers."""

from __future__ import annotations

import pytest

from aioverseer import ContainmentError, Overseer, SpecError
from aioverseer.core.options.containment import AskedContainment, Facilities, Level, Mechanism, check_asked, decide
from aioverseer.testing import ManualClock, ScriptedLauncher

ALL = Facilities()
NO_PROC = Facilities(proc=False, guardian="none", shim="none")
NO_GUARDIAN = Facilities(guardian="it cannot be started")
NO_SHIM = Facilities(shim="there is no Python")
CGROUP = Facilities(cgroup=None)
PIDNS = Facilities(pidns=None)
CGROUP_ALONE = Facilities(cgroup=None, guardian="it cannot be started")


@pytest.mark.parametrize(
    ("asked", "found", "level", "mechanism"),
    [
        ("auto", ALL, "guarded", "guardian"),
        ("guarded", ALL, "guarded", "guardian"),
        ("basic", ALL, "basic", "marker"),
        ("strict", ALL, "strict", "shim"),
        ("strict", CGROUP, "strict", "cgroup"),
        ("strict", CGROUP_ALONE, "strict", "shim"),
        ("auto", CGROUP, "guarded", "guardian"),
        ("auto", NO_SHIM, "guarded", "guardian"),
        ("auto", NO_GUARDIAN, "basic", "marker"),
        ("guarded", NO_GUARDIAN, "basic", "marker"),
        ("strict", NO_GUARDIAN, "strict", "shim"),
        ("pidns", PIDNS, "strict", "pidns"),
        ("strict", PIDNS, "strict", "shim"),
        ("auto", PIDNS, "guarded", "guardian"),
        ("auto", NO_PROC, "basic", "groups"),
        ("basic", NO_PROC, "basic", "groups"),
    ],
)
def test_level_is_the_best_available_one(
    asked: AskedContainment, found: Facilities, level: Level, mechanism: Mechanism
) -> None:
    """The value asked for is kept."""
    containment = decide(asked, found)
    assert (level, mechanism, asked) == (containment.level, containment.mechanism, containment.asked)


def test_each_level_reports_what_can_escape() -> None:
    """A killed host leaves its programs if there is no guardian. A shim needs none."""
    assert any("SIGKILL" in way for way in decide("auto", NO_GUARDIAN).escapes)
    assert not any("SIGKILL" in way for way in decide("auto", ALL).escapes)
    assert not any("the host itself" in way for way in decide("strict", NO_GUARDIAN).escapes)
    assert any("the host and the shim" in way for way in decide("strict", NO_GUARDIAN).escapes)
    assert () == decide("pidns", PIDNS).escapes


@pytest.mark.parametrize("asked", ["basic", "guarded", "strict"])
def test_daemon_without_marks_can_escape(asked: AskedContainment) -> None:
    """It needs less for that where no limit can mark it."""
    both, one = decide(asked, ALL).escapes, decide(asked, Facilities(limit=False)).escapes
    assert any("emptied its environment and changed its limits" in way for way in both)
    assert any("left its session and emptied its environment" in way for way in one)


def test_fall_to_a_lower_level_says_why() -> None:
    """In one sentence, with what can escape."""
    text = str(decide("auto", NO_GUARDIAN))
    assert "basic (by marker): it cannot be started; what can still escape: a daemon" in text


def test_unavailable_strict_is_refused() -> None:
    """It never falls to another level, and the error says what to do."""
    with pytest.raises(ContainmentError, match="there is no Python; ask for"):
        decide("strict", NO_SHIM)


@pytest.mark.parametrize("value", ["", "loose", None, 3])
def test_unknown_level_is_refused(value: object) -> None:
    """The error has the owner, the value and the known levels."""
    with pytest.raises(SpecError, match=r"web: containment=.* is no level: pass one of 'auto', 'basic'"):
        check_asked(value, "web")


def test_overseer_refuses_an_unknown_level() -> None:
    """Before anything is started."""
    with pytest.raises(SpecError, match="containment='loose'"):
        Overseer(containment="loose")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the fault that is tested


def test_scripted_children_have_no_containment() -> None:
    """The overseer reports the level of its launcher."""
    assert "none" == Overseer(launcher=ScriptedLauncher(ManualClock())).containment.level


def test_pid_namespaces_that_cannot_be_had_are_refused_with_the_reason() -> None:
    """The message names the levels that can be asked for instead."""
    with pytest.raises(ContainmentError, match=r'"pidns" is not available: no right; ask for "strict"'):
        decide("pidns", Facilities(pidns="no right"))
