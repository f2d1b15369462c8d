from __future__ import annotations

import errno
import pickle
import re
import typing
from typing import Any

import pytest

from aioverseer.core import errors
from aioverseer.core.errors import (
    ContainmentError,
    DependencyCycle,
    DuplicateService,
    OverseerError,
    ProcessNotRunning,
    ServiceIsLive,
    SpawnError,
    SpecError,
    UnknownService,
)
from aioverseer.core.report import changes, roll, status
from aioverseer.core.report.changes import ApplyFailed, PlanIsStale
from aioverseer.core.report.roll import RollFailed
from aioverseer.core.report.status import (
    CriticalServiceEnded,
    GaveUp,
    NotReady,
    NotReadyInTime,
    ProcessFailed,
    ProgramError,
    RunEnded,
    Status,
    StopFailed,
)

TREE: dict[type[OverseerError], list[type[BaseException]]] = {
    # error: further base classes, from near to far; only Exception is above these
    OverseerError: [],
    SpecError: [OverseerError, ValueError],
    DependencyCycle: [SpecError, OverseerError, ValueError],
    ContainmentError: [OverseerError],
    UnknownService: [OverseerError, LookupError],
    DuplicateService: [OverseerError],
    ServiceIsLive: [OverseerError],
    PlanIsStale: [OverseerError],
    ProcessNotRunning: [OverseerError, ProcessLookupError, OSError],
    SpawnError: [OverseerError, OSError],
    ProgramError: [OverseerError],
    ProcessFailed: [ProgramError, OverseerError],
    NotReady: [ProgramError, OverseerError],
    NotReadyInTime: [NotReady, ProgramError, OverseerError, TimeoutError, OSError],
    RunEnded: [ProgramError, OverseerError],
    RollFailed: [ProgramError, OverseerError],
    ApplyFailed: [ProgramError, OverseerError],
    GaveUp: [ProgramError, OverseerError],
    CriticalServiceEnded: [ProgramError, OverseerError],
    StopFailed: [ProgramError, OverseerError],
}
ABOUT_A_PROGRAM = [kind for kind in TREE if issubclass(kind, ProgramError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_each_error_stands_in_the_tree(kind: type[OverseerError]) -> None:
    """All that it is can be read here: one catch-all of ours, and the built-in that a caller expects."""
    above = [base for base in kind.__mro__[1:] if base not in (Exception, BaseException, object)]
    assert TREE[kind] == above


def test_the_tree_is_whole() -> None:
    """Every error of the module is in the table above, in ``__all__`` and in the module's own picture."""
    names = {
        name
        for module in (errors, status, roll, changes)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, OverseerError) and name in module.__all__
    }
    assert {kind.__name__ for kind in TREE} == names
    assert names <= {*errors.__all__, *status.__all__, *roll.__all__, *changes.__all__}
    assert names == set(re.findall(r"^[│ ├└─]*([A-Z]\w+)\b", (errors.__doc__ or "").split("```")[1], re.MULTILINE))


def test_a_spec_error_has_the_option_and_the_value() -> None:
    """As data, whatever the sentence says; a pickled copy too."""
    error = SpecError("nice=99 is out of bounds", option="nice", value=99)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert ("nice=99 is out of bounds", "nice", 99) == (str(one), one.option, one.value)
    bare = DependencyCycle("a -> b -> a")
    assert ("a -> b -> a", None, None) == (str(bare), bare.option, bare.value)


def test_a_spawn_error_keeps_errno_and_filename() -> None:
    """``errno`` and ``filename`` for programs, the sentence for people."""
    error = SpawnError("there is no program 'nosuch'", errno=errno.ENOENT, filename="nosuch")
    assert ("there is no program 'nosuch'", errno.ENOENT, "nosuch") == (str(error), error.errno, error.filename)
    bare = SpawnError("the start was cancelled")
    assert ("the start was cancelled", None, None) == (str(bare), bare.errno, bare.filename)


@pytest.mark.parametrize("kind", [OverseerError, UnknownService, DuplicateService, ServiceIsLive, ProcessNotRunning])
def test_a_plain_error_is_its_sentence(kind: type[OverseerError]) -> None:
    """No quotes around it, as a KeyError would have, and no number before it."""
    assert "there is no service 'db'" == str(kind("there is no service 'db'"))


@pytest.mark.parametrize("kind", ABOUT_A_PROGRAM, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "'db' failed"),
        (["one"], "'db' failed\nlast lines:\n  one"),
        (["one", "", "  two"], "'db' failed\nlast lines:\n  one\n  \n    two"),
    ],
)
def test_an_error_about_a_program_shows_its_last_words(kind: Any, lines: list[str], expected: str) -> None:
    """Id, Status and lines are data; the message has the lines below it."""
    status = Status(id="db", argv=("db",))
    error = kind("'db' failed", id="db", status=status, lines=lines)
    assert expected == str(error)
    assert ("db", status, tuple(lines)) == (error.id, error.status, error.lines)


def test_an_error_about_a_program_needs_its_name_only() -> None:
    """There may be no Status yet, and no line."""
    error = StopFailed("it does not die", id="db")
    assert ("db", None, ()) == (error.id, error.status, error.lines)


@pytest.mark.parametrize("kind", [GaveUp, ProcessFailed])
def test_an_error_about_an_end_always_has_a_status(kind: type[GaveUp | ProcessFailed]) -> None:
    """A handler reads its status without a check for None."""
    told: Any = {"id": "db"}
    with pytest.raises(TypeError, match="status"):
        kind("'db' failed", **told)
    assert Status is typing.get_type_hints(vars(kind)["status"].fget)["return"]
