"""Imports go one way, and what touches the operating system stays where it belongs.

The rules are read from the syntax tree, imports inside functions and under TYPE_CHECKING included: an arrow
is an arrow. A new module that stands in no layer is an error, so that somebody decides where it belongs.
"""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "aioverseer"

FACES = {"__main__", "cli", "config", "web", "pytest_plugin", "threaded"}
LAYERS = [
    {"core"},
    {"system"},
    {"process", "ready", "output", "journal", "driver", "lifetime", "input"},
    {"host", "runs", "waits", "explaining"},
    {"service"},
    {"registry", "ordering", "grouping", "rounds", "aftermath", "turns"},
    {"news", "recorder", "starting", "stopping", "signalling", "lifespan", "tasks", "body"},
    {"hosting"},
    {"overseer"},
    FACES,
]
"""From low to high: a module imports from its own layer and from those below."""
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
ONLY = {"testing": {"testing", "core", "system"}}
"""What stands beside the layers, and all that it may import."""
FRONT = {"threaded"}
"""The one face that the package itself re-exports."""

NOT_IN_CORE = set(
    "anyio asyncio fcntl logging multiprocessing os pty random select selectors socket subprocess threading "
    "time".split()
)
ONLY_IN_SYSTEM = {"fcntl", "multiprocessing", "pty", "subprocess"}
CALLS_ONLY_IN_SYSTEM = {
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "os": set(
        "fork forkpty kill killpg pidfd_open pipe pipe2 popen posix_spawn posix_spawnp system "
        "wait wait3 wait4 waitid waitpid".split()
    ),
    "signal": {"pidfd_send_signal"},
}
METHODS_ONLY_IN_SYSTEM = {"subprocess_exec", "subprocess_shell"}
"""Of an event loop, whatever it is called."""

Arrow = tuple[str, int]
"""A full dotted name and the line that asks for it."""


class Module:
    """One source file: its dotted name and what it imports."""

    def __init__(self, package: Path, file: Path) -> None:
        parts = [package.name, *file.relative_to(package).with_suffix("").parts]
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.path = str(file.relative_to(package.parent))
        self.tree = ast.parse(file.read_text(encoding="utf-8"), self.path)
        self.part = part_of(self.name)

    def arrows(self, nodes: Iterator[ast.AST]) -> Iterator[Arrow]:
        """What is imported, ``from a import b`` as ``a.b``; a name given as text to import_module too."""
        for node in nodes:
            match node:
                case ast.Import(names=names):
                    yield from ((alias.name, node.lineno) for alias in names)
                case ast.ImportFrom(names=names):
                    source = self.source(node)
                    yield from ((f"{source}.{alias.name}", node.lineno) for alias in names)
                case ast.Call(
                    func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield name, node.lineno
                case _:
                    pass

    def source(self, node: ast.ImportFrom) -> str:
        """The full name of the module after ``from``."""
        if not node.level:
            return node.module or ""
        above = self.name.split(".")
        above = above[: len(above) - node.level + self.is_package]
        return ".".join([*above, *filter(None, [node.module])])

    def all_arrows(self) -> Iterator[Arrow]:
        """Every import, wherever it stands."""
        return self.arrows(ast.walk(self.tree))

    def arrows_on_import(self) -> Iterator[Arrow]:
        """Only what runs when the module is imported."""
        return self.arrows(_at_import(self.tree))

    def calls(self) -> Iterator[Arrow]:
        """Attributes used: ``os.kill`` of an imported module, whatever its alias; ``?.name`` of all else."""
        aliases = {
            alias.asname or alias.name: alias.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                owner = ast.unparse(node.value)
                yield f"{aliases.get(owner, '?')}.{node.attr}", node.lineno


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(inner, ast.If) and "TYPE_CHECKING" in ast.unparse(inner.test):
            continue
        yield inner
        yield from _at_import(inner)


def part_of(name: str) -> str:
    """The first name below the package, empty for the package itself."""
    return [*name.split("."), ""][1]


def problems(package: Path) -> list[str]:
    """Everything in the package that is against the rules, one line each."""
    modules = {module.name: module for module in (Module(package, file) for file in sorted(package.rglob("*.py")))}
    found = [line for module in modules.values() for line in _problems_of(module, modules)]
    return found + _cycles(modules)


def _problems_of(module: Module, modules: dict[str, Module]) -> Iterator[str]:
    part = module.part
    if part and part not in RANK and part not in ONLY:
        yield f"{module.path}: {part!r} stands in no layer: add it to LAYERS"
        return
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: no docstring"
    for target, line in module.all_arrows():
        top = target.partition(".")[0]
        where = f"{module.path}:{line}"
        if top == NAME:
            reason = _refused(module, target, modules)
            if reason:
                yield f"{where}: {reason}"
        elif part == "core" and top in NOT_IN_CORE:
            yield f"{where}: core is pure and does not import {top}"
        elif part != "system" and top in ONLY_IN_SYSTEM:
            yield f"{where}: only system/ imports {top}"
        elif part != "system" and target.rpartition(".")[2] in CALLS_ONLY_IN_SYSTEM.get(top, ()):
            yield f"{where}: only system/ uses {target}"
    for call, line in module.calls():
        owner, _, name = call.rpartition(".")
        where = f"{module.path}:{line}"
        if part != "system" and (name in CALLS_ONLY_IN_SYSTEM.get(owner, ()) or name in METHODS_ONLY_IN_SYSTEM):
            yield f"{where}: only system/ uses {call}"
        if part in FACES and owner == NAME and name in {"core", "system"}:
            yield f"{where}: a face uses public names only, not {call}"


def _refused(module: Module, target: str, modules: dict[str, Module]) -> str:
    """Why the module may not import the target, which is in our package; empty when it may."""
    part, other = module.part, part_of(target)
    if f"{NAME}.{other}" not in modules:
        other = ""  # a name of the package itself
    if part in FACES and other != part:
        return _refused_to_face(target, other, modules)
    if not part:
        return f"the package imports the face {target}" if other in FACES - FRONT else ""
    if part in ONLY:
        return "" if other in ONLY[part] else f"{part} may import {sorted(ONLY[part])}, not {target}"
    if not other:
        return f"{part} imports {target} from the package, which stands above it" if part not in FACES else ""
    if other in ONLY:
        return f"{part} imports {target}, which is for tests"
    return f"{part} imports {target}, which stands above it" if RANK[other] > RANK[part] else ""


def _refused_to_face(target: str, other: str, modules: dict[str, Module]) -> str:
    """Allowed are names of the package, and of a public module: ``from aioverseer.config import load``."""
    names = target.split(".")[1:]
    inner = other in {"core", "system"}
    private = any(name.startswith("_") and not name.endswith("__") for name in names)
    deep = len(names) > 1 and ".".join([NAME, *names[:2]]) in modules
    return f"a face uses public names only, not {target}" if inner or private or deep else ""


def _cycles(modules: dict[str, Module]) -> list[str]:
    """A circle of modules that import one another when they are imported; the package itself is left out."""
    graph = {
        name: {
            found
            for target, _ in module.arrows_on_import()
            for found in (target, target.rpartition(".")[0])
            if found in modules and found not in {name, NAME}
        }
        for name, module in modules.items()
        if name != NAME
    }
    for name, targets in graph.items():
        # `from aioverseer.core import spec` means the module spec, not its package
        targets -= {t for t in targets if modules[t].is_package and name.startswith(t)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["modules import one another: " + " -> ".join(reversed(error.args[1]))]
    return []


def test_the_package_keeps_its_layers() -> None:
    """The rules of the design, in each file of the package."""
    assert problems(ROOT / NAME) == []


GOOD = {
    "__init__.py": "from aioverseer.overseer import Overseer\nfrom aioverseer.threaded import Threaded",
    "core/__init__.py": "",
    "core/errors.py": "if TYPE_CHECKING:\n    from aioverseer.core.options.spec import Spec",
    "core/spec.py": "import math\nfrom aioverseer.core.errors import E\nfrom . import errors",
    "system/__init__.py": "",
    "system/launch.py": "import asyncio, os, subprocess\nfrom ..core.spec import Spec\nos.kill",
    "process.py": "from aioverseer.output import Q\nfrom aioverseer._system.process import launch",
    "output.py": "import asyncio",
    "ready.py": "import os\nos.path",
    "service.py": "from aioverseer.process import Process",
    "overseer.py": "from aioverseer.service import Service",
    "threaded.py": "from aioverseer import Overseer",
    "testing.py": "from aioverseer.core.options.spec import Spec\nfrom aioverseer._system import launch",
    "config/__init__.py": "from aioverseer.config._toml import load",
    "config/_toml.py": "from aioverseer import Spec",
    "cli/__init__.py": "from aioverseer import ready\nfrom aioverseer.config import load\nfrom . import _up",
    "cli/_up.py": "from aioverseer import __version__",
}


def write(folder: Path, changes: dict[str, str]) -> Path:
    """A package of small modules, each with a docstring."""
    package = folder / NAME
    for name, code in (GOOD | changes).items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'"""{name}"""\n{code}\n')
    return package


def test_a_package_that_keeps_the_rules_is_accepted(tmp_path: Path) -> None:
    """What the design allows is no problem."""
    assert problems(write(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("core/spec.py", "import asyncio", "core is pure and does not import asyncio"),
        ("core/spec.py", "def f():\n    from os import path", "core is pure and does not import os"),
        (
            "core/spec.py",
            "from aioverseer._system import launch",
            "core imports aioverseer._system.process, which stands",
        ),
        (
            "core/spec.py",
            "from ..system.launch import launch",
            "core imports aioverseer._system.process.launch, which",
        ),
        (
            "core/spec.py",
            "from aioverseer import Overseer",
            "core imports aioverseer.Overseer from the package",
        ),
        (
            "system/launch.py",
            "import aioverseer.process",
            "system imports aioverseer.process, which stands above",
        ),
        (
            "process.py",
            "from .service import Service",
            "process imports aioverseer.service.Service, which stands",
        ),
        (
            "process.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from aioverseer.service import Service",
            "process imports aioverseer.service.Service, which stands above it",
        ),
        ("process.py", "import importlib\nimportlib.import_module('aioverseer.overseer')", "process imports"),
        ("process.py", "import subprocess", "only system/ imports subprocess"),
        ("process.py", "import os\nos.kill(1, 9)", "only system/ uses os.kill"),
        ("process.py", "import os as o\no.killpg(1, 9)", "only system/ uses os.killpg"),
        ("process.py", "from os import pipe", "only system/ uses os.pipe"),
        ("process.py", "import asyncio\nasyncio.create_subprocess_exec", "only system/ uses asyncio.create_"),
        (
            "process.py",
            "async def f(loop):\n    await loop.subprocess_exec()",
            "only system/ uses ?.subprocess_exec",
        ),
        (
            "service.py",
            "from aioverseer.overseer import Overseer",
            "service imports aioverseer.overseer.Overseer",
        ),
        ("service.py", "from aioverseer.testing import Clock", "which is for tests"),
        (
            "overseer.py",
            "from aioverseer.cli import main",
            "overseer imports aioverseer.cli.main, which stands above",
        ),
        (
            "overseer.py",
            "from aioverseer.threaded import T",
            "overseer imports aioverseer.threaded.T, which stands",
        ),
        (
            "__init__.py",
            "from aioverseer.cli import main",
            "the package imports the face aioverseer.cli.main",
        ),
        ("testing.py", "from aioverseer.process import Process", "testing may import"),
        ("testing.py", "from aioverseer import Process", "testing may import"),
        (
            "cli/_up.py",
            "from aioverseer.core.options.spec import Spec",
            "a face uses public names only, not aioverseer.core",
        ),
        ("cli/_up.py", "from aioverseer import core", "a face uses public names only, not aioverseer.core"),
        (
            "cli/_up.py",
            "import aioverseer\naioverseer.system",
            "a face uses public names only, not aioverseer._system",
        ),
        ("cli/_up.py", "from aioverseer.config import _toml", "a face uses public names only"),
        ("cli/_up.py", "from aioverseer.process import _x", "a face uses public names only"),
        ("extra.py", "", "'extra' stands in no layer"),
        ("output.py", "from aioverseer.process import P", "modules import one another: aioverseer."),
    ],
)
def test_a_bad_arrow_is_reported(tmp_path: Path, name: str, code: str, problem: str) -> None:
    """Each rule can fail, and says where."""
    found = problems(write(tmp_path, {name: code}))
    circles = [line for line in found if "one another" in line]
    (line,) = [line for line in found if line not in circles] or circles  # a bad arrow often closes a circle too
    assert problem in line
    assert line in circles or line.startswith(f"{NAME}/{name}:")


def test_a_module_without_docstring_is_reported(tmp_path: Path) -> None:
    """Each file says what it is."""
    package = write(tmp_path, {})
    (package / "ready.py").write_text("import os\n")
    assert problems(package) == ["aioverseer/ready.py: no docstring"]


def test_importing_the_package_needs_nothing_optional() -> None:
    """In a fresh interpreter only the standard library, anyio and what anyio needs are imported."""
    code = (
        "import sys; before = set(sys.modules); import aioverseer\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    allowed = {NAME, "anyio", "exceptiongroup", "idna", "sniffio", "typing_extensions"}
    assert set(done.stdout.split()) <= allowed
