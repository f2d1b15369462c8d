"""Each public name is shown as users import it, wherever its class is written."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import subprocess
import sys
import traceback
import typing
from pathlib import Path
from typing import Any

import pytest

import aioverseer
import aioverseer.abc
import aioverseer.config
import aioverseer.forms
import aioverseer.framing
import aioverseer.listen
import aioverseer.pytest_plugin
import aioverseer.testing
import aioverseer.threaded
from aioverseer import OverseerError, ProgramError, SpawnError, Spec, SpecError, State, Status, ready

MODULES = (
    aioverseer,
    aioverseer.abc,
    aioverseer.config,
    aioverseer.forms,
    aioverseer.framing,
    aioverseer.listen,
    aioverseer.ready,
    aioverseer.testing,
)
OF_ASYNCIO = {"QueueShutDown"} if sys.version_info >= (3, 13) else set[str]()
"""Python has this class itself since 3.13."""
LATE_TYPES = {"Spec", "SpecOptions"}
"""Classes whose annotations name types that are imported when they are used: this keeps the import short."""


def public_things() -> list[tuple[str, str, Any]]:
    """Return module, name and value of each public class and function."""
    return [
        (module.__name__, name, getattr(module, name))
        for module in MODULES
        for name in module.__all__
        if name not in OF_ASYNCIO
        and (inspect.isclass(getattr(module, name)) or inspect.isroutine(getattr(module, name)))
    ]


THINGS = public_things()
CLASSES = [(name, thing) for _, name, thing in THINGS if inspect.isclass(thing)]
OF_PROBLEMS = {aioverseer.config.ConfigError}
"""Errors that are made of problems, and not of a message; ``tests/faces/config/test_problems.py`` has them."""
ERRORS = [thing for _, thing in CLASSES if issubclass(thing, OverseerError) and thing not in OF_PROBLEMS]


@pytest.mark.parametrize(("module", "name", "thing"), THINGS, ids=[f"{module}.{name}" for module, name, _ in THINGS])
def test_module_is_where_users_import_the_name(module: str, name: str, thing: Any) -> None:
    assert (module, name) == (thing.__module__, thing.__qualname__)
    assert getattr(importlib.import_module(module), name) is thing
    assert inspect.isroutine(thing) or repr(thing) in {f"<class '{module}.{name}'>", f"<enum {name!r}>"}


def test_threaded_exports_names_of_the_package() -> None:
    assert {"aioverseer"} == {getattr(aioverseer.threaded, name).__module__ for name in aioverseer.threaded.__all__}


@pytest.mark.parametrize("module", [*MODULES, aioverseer.threaded, aioverseer.pytest_plugin], ids=lambda m: m.__name__)
def test_public_names_are_sorted_and_exist(module: Any) -> None:
    """Constants first, then classes, then the rest: the order of ruff."""

    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    names = list(module.__all__)
    assert sorted(set(names), key=rank) == names
    assert [] == [name for name in names if not hasattr(module, name)]


def test_names_for_type_checkers_are_those_of_the_lazy_loader() -> None:
    """The imports under TYPE_CHECKING, ``__all__`` and the table of the loader name the same things."""
    tree = ast.parse(inspect.getsource(aioverseer))
    checked = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("aioverseer.")
        for alias in node.names
    }
    loader: dict[str, str] = vars(aioverseer)["_HOMES"]
    assert checked == loader
    assert set(aioverseer.__all__) == set(loader)
    assert set(aioverseer.__all__) <= set(dir(aioverseer))


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_traceback_shows_the_public_name(kind: type[OverseerError]) -> None:
    status = Status(id="db", argv=("db",))
    error = kind("it failed", id="db", status=status) if issubclass(kind, ProgramError) else kind("it failed")
    assert [f"{kind.__module__}.{kind.__name__}: it failed\n"] == traceback.format_exception_only(error)


def test_traceback_shows_the_public_name_of_an_inner_import() -> None:
    """No attribute of the package was asked for when the error is raised."""
    code = "from aioverseer.core.report.status import NotReady\nraise NotReady('it failed', id='db')"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20)
    assert "aioverseer.NotReady: it failed" == outcome.stderr.splitlines()[-1]


STATUS = Status(id="db", argv=("postgres",), state=State.FATAL, reason="it is a test")


@pytest.mark.parametrize(
    "value",
    [
        STATUS,
        State.RUNNING,
        Spec(id="db", argv=("postgres",), after=(aioverseer.After("net"),), ready=ready.tcp(5432)),
        aioverseer.Stop(timeout=3.0),
        aioverseer.Step(2, 3.0),
        aioverseer.Restart("always"),
        aioverseer.Exit(code=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_survive_pickle(value: Any) -> None:
    data = pickle.dumps(value)
    assert value == pickle.loads(data) == copy.deepcopy(value)
    assert b"aioverseer.core" not in pickle.dumps(type(value), protocol=0)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickle(kind: type[OverseerError]) -> None:
    if issubclass(kind, ProgramError):
        error: OverseerError = kind("it failed", id="db", status=STATUS, lines=["one"])
    elif issubclass(kind, SpecError):
        error = kind("it failed", option="nice", value=99)
    elif issubclass(kind, SpawnError):
        error = kind("it failed", errno=2, filename="nosuch")
    else:
        error = kind("it failed")
    error.add_note("said by a test")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (kind, str(error)) == (type(again), str(again))
        for name in ("id", "status", "lines", "option", "value", "errno", "filename", "__notes__"):
            assert getattr(error, name, None) == getattr(again, name, None)


def test_pickles_are_read_before_the_name_was_loaded() -> None:
    code = f"import pickle; print(pickle.loads({pickle.dumps(STATUS)!r}).reason)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert "it is a test\n" == outcome.stdout


@pytest.mark.parametrize(("name", "kind"), CLASSES, ids=[name for name, _ in CLASSES])
def test_type_hints_of_public_classes_resolve(name: str, kind: type) -> None:
    """Typing looks names up in ``__module__``, where the imports of the definition are not."""
    if name not in LATE_TYPES:
        assert set(kind.__annotations__) <= set(typing.get_type_hints(kind))


@pytest.mark.parametrize(("name", "kind"), CLASSES, ids=[name for name, _ in CLASSES])
def test_source_of_public_classes_is_never_that_of_another_file(name: str, kind: type) -> None:
    """``inspect`` joins the file of ``__module__`` to the line of the class: an error is better than wrong lines."""
    try:
        source = inspect.getsource(kind)
    except OSError:
        return
    assert source.lstrip().startswith(("@", f"class {name}"))


@pytest.mark.parametrize("name", ["Overseer", "Service", "Process", "ThreadedOverseer"])
def test_source_of_methods_is_found(name: str) -> None:
    method = getattr(aioverseer, name).stop if name != "ThreadedOverseer" else aioverseer.ThreadedOverseer.stop_all
    assert "def stop" in inspect.getsource(method)
    assert "aioverseer" in Path(inspect.getsourcefile(method) or "").parts
