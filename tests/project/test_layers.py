"""Imports go one way, and each file touches only what its layer allows.

The rules are read from the syntax tree. Imports inside functions and under TYPE_CHECKING count. A module that has no
row in the table is an error, so that its author decides where it belongs.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "aioverseer"

PUBLIC = {"", "ready", "listen", "forms", "framing", "abc"}
"""The package itself and the modules beside it that users import by name."""
PUBLIC_FOLDERS = {"config.convert", "config.export"}
"""Folders of a library that tools import by name."""
LIBRARIES = {"config", "control", "fleet", "threaded", "testing"}
TOOLS = {"cli", "tui", "web", "metrics", "mcp", "pytest_plugin", "__main__"}
FACES = LIBRARIES | TOOLS
"""Packages that use public names only."""
ROWS = [
    {"core/errors", "core/state", "core/clock", "core/typing", "core/export"},
    {"core/options"},
    {"core/text"},
    {"core/machine", "core/report"},
    {"_aio"},
    {"_system/host", "_system/protocols"},
    {"_system/containment", "_system/logfile", "_system/inprocess"},
    {"_system/process"},
    {"_system/probes"},
    {"_engine/output", "_engine/health"},
    {"_engine/process"},
    {"_engine/service"},
    {"_engine/events"},
    {"_engine/overseer"},
    PUBLIC,
    LIBRARIES,
    TOOLS,
]
"""From low to high. A module imports from its own row and from the rows below it."""
RANK = {box: rank for rank, row in enumerate(ROWS) for box in row}
FOLDERS = {"core", "_aio", "_system", "_engine"}
"""The inner packages. Their ``__init__.py``, and those of their folders, hold a docstring and nothing else."""
ONLY = {"testing": {"abc", "_aio", "_system/host", *(box for box in RANK if box.startswith("core/"))}}
"""All that a package may import, where it is not that of its row."""
EXCEPTIONS = {
    ("", "threaded"),  # a name for type checkers; it is loaded on first use
    ("threaded", "core/export"),  # the label of public classes
    ("config", "core/export"),  # the same
    ("__main__", "cli"),
    ("pytest_plugin", "testing"),
}
"""Arrows that the rules would refuse, from one box to another."""

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
MAY_IMPORT = {
    "testing/ports.py": {"fcntl"},
    "testing/keeping.py": {"subprocess"},
    "pytest_plugin/folders.py": {"fcntl"},
}
"""Files outside of ``_system/`` that need one of these: locks for ports, and a process that outlives its host."""
METHODS_ONLY_IN_SYSTEM = {"subprocess_exec", "subprocess_shell"}
"""Of an event loop, whatever its variable is called."""

LATE_IMPORTS = {
    "__init__.py": "it imports what it exports on first use, and random numbers with a Backoff",
    "_engine/overseer/assembly.py": "a feature that few hosts use",
    "_engine/overseer/overseer.py": "a handle",
    "_engine/process/process.py": "a handle",
    "_engine/service/service.py": "a handle",
    "cli/parser.py": "the help does not wait for the forms of options",
    "config/env_files.py": "python-dotenv is an extra",
    "config/export/yaml_text.py": "PyYAML is an extra",
    "core/options/group.py": "groups as data, which few hosts need",
    "core/options/spec.py": "Specs as data, which few hosts need",
    "core/options/unknown.py": "difflib is slow to import, and only errors need it",
    "_system/probes/attempts.py": "httpx is an extra",
    "mcp/__init__.py": "the MCP SDK is an extra",
    "_system/process/cpython.py": "another platform may not have the module",
    "_system/containment/guardian/child_table.py": "for another platform",
    "_system/containment/guardian/boot.py": "a program that is run as a file",
    "pytest_plugin/async_plugins.py": "the async plugins of pytest are extras",
}
"""Files that may import inside a function, and why."""

GOALS = {
    "entries at the root": 24,
    "circles of imports": 0,
    "import levels": 8,
    "class names used twice": 0,
    "imports inside functions": 35,
    "imports inside functions of other files": 0,
    "arrows upward": 0,
}
"""The measures of the whole package, with their highest allowed values."""

Arrow = tuple[str, int]
"""A full dotted name and the line that imports or uses it."""


class Module:
    """One source file: its dotted name, its box in the table, and what it imports."""

    def __init__(self, package: Path, file: Path) -> None:
        inner = file.relative_to(package)
        parts = [package.name, *inner.with_suffix("").parts]
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.file = str(inner)
        self.path = str(file.relative_to(package.parent))
        self.tree = ast.parse(file.read_text(encoding="utf-8"), self.path)
        self.box = box_of(self.name)

    def arrows(self, nodes: Iterable[ast.AST]) -> Iterator[Arrow]:
        """Yield what is imported, ``from a import b`` as ``a.b``, and a name given as text to import_module."""
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
        """Return the full name of the module after ``from``."""
        if not node.level:
            return node.module or ""
        above = self.name.split(".")
        above = above[: len(above) - node.level + self.is_package]
        return ".".join([*above, *filter(None, [node.module])])

    def all_arrows(self) -> Iterator[Arrow]:
        """Yield every import, wherever it stands."""
        return self.arrows(ast.walk(self.tree))

    def late_lines(self) -> list[int]:
        """Return the lines of the import statements inside functions."""
        functions = (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        return sorted({line for function in functions for _, line in self.arrows(ast.walk(function))})

    def classes(self) -> Iterator[str]:
        """Yield the names of all classes, nested ones too, without leading underscores."""
        return (node.name.lstrip("_") for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    def calls(self) -> Iterator[Arrow]:
        """Yield the attributes used: ``os.kill`` of an imported module, by any alias; ``?.name`` of all else."""
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


def box_of(name: str) -> str:
    """Return the entry of the table for a dotted name: one part of it, or two in ``core``, ``_system``, ``_engine``."""
    parts = name.split(".")[1:]
    return "/".join(parts[: 1 + (parts[0] in FOLDERS - {"_aio"})]) if parts else ""


class Package:
    """All modules, and what can be counted about them together."""

    def __init__(self, package: Path) -> None:
        self.path = package
        files = sorted(package.rglob("*.py"))
        self.modules = {module.name: module for module in (Module(package, file) for file in files)}
        self.graph = {
            name: {found for target, _ in module.all_arrows() if (found := self.module_of(target)) and found != name}
            for name, module in self.modules.items()
        }

    def module_of(self, target: str) -> str:
        """Return the module that an import reaches: ``a.b`` itself, or ``a`` for a name in it; empty for others."""
        if target in self.modules:
            return target
        above = target.rpartition(".")[0]
        return above if above in self.modules else NAME if target.startswith(f"{NAME}.") else ""

    def measures(self) -> dict[str, list[str]]:
        """Return what each measure in GOALS counts."""
        late = [
            (module.file, f"{module.path}:{line}") for module in self.modules.values() for line in module.late_lines()
        ]
        classes = Counter(name for module in self.modules.values() for name in module.classes())
        return {
            "entries at the root": sorted(path.name for path in self.path.iterdir() if path.name != "__pycache__"),
            "circles of imports": [" ".join(names) for names in self.circles()],
            "import levels": self.longest_chain(),
            "class names used twice": [name for name, count in classes.items() if count > 1],
            "imports inside functions": [where for _, where in late],
            "imports inside functions of other files": [where for file, where in late if file not in LATE_IMPORTS],
            "arrows upward": list(self.upward()),
        }

    def circles(self) -> list[list[str]]:
        """Return the sets of modules that import one another; the package itself, which names all, is left out."""
        graph = {name: targets - {NAME} for name, targets in self.graph.items() if name != NAME}
        return [sorted(group) for group in strongly_connected(graph) if len(group) > 1]

    def longest_chain(self) -> list[str]:
        """Return the longest chain of imports, from the bottom, with files and folders at the root as boxes."""
        root = {name: ".".join(name.split(".")[:2]) for name in self.modules}
        graph: dict[str, set[str]] = {box: set() for box in root.values()}
        for name, targets in self.graph.items():
            graph[root[name]] |= {root[target] for target in targets} - {root[name]}
        for box, other in EXCEPTIONS:
            if box == "":
                graph[NAME].discard(f"{NAME}.{other}")
        chains: dict[str, list[str]] = {}
        for group in strongly_connected(graph):  # from low to high
            below = {target for box in group for target in graph[box]} - set(group)
            chain = max((chains[box] for box in sorted(below)), key=len, default=[])
            chains |= {box: [*chain, *sorted(group)] for box in group}
        return max(chains.values(), key=len)

    def problems(self) -> list[str]:
        """Return each line of the package that is against a rule which holds already."""
        return [line for module in self.modules.values() for line in _problems_of(module, self.modules)]

    def upward(self) -> Iterator[str]:
        """Yield each import of something that stands above its file."""
        for module in self.modules.values():
            if module.box not in RANK:
                continue
            for target, line in module.all_arrows():
                if target.partition(".")[0] == NAME and (why := _refused(module, target, self.modules)):
                    yield f"{module.path}:{line}: {why}"


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach one another, each after the groups that it points at (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            place = stack.index(node)
            groups.append(stack[place:])
            del stack[place:]

    for node in graph:
        if node not in order:
            visit(node)
    return groups


def _problems_of(module: Module, modules: dict[str, Module]) -> Iterator[str]:
    box = module.box
    inner = box.partition("/")[0]
    if not ast.get_docstring(module.tree):
        yield f"{module.path}: no docstring"
    if module.is_package and inner in FOLDERS:
        if len(module.tree.body) > 1:
            yield f"{module.path}: an inner folder's __init__.py holds its docstring alone"
        return
    if box not in RANK:
        yield f"{module.path}: {box!r} has no row in the table"
        return
    for target, line in module.all_arrows():
        top = target.partition(".")[0]
        where = f"{module.path}:{line}"
        if inner == "core" and top in NOT_IN_CORE:
            yield f"{where}: core is pure and does not import {top}"
        elif inner != "_system" and top in ONLY_IN_SYSTEM - MAY_IMPORT.get(module.file, set()):
            yield f"{where}: only _system/ imports {top}"
        elif inner != "_system" and target.rpartition(".")[2] in CALLS_ONLY_IN_SYSTEM.get(top, ()):
            yield f"{where}: only _system/ uses {target}"
    for call, line in module.calls():
        owner, _, name = call.rpartition(".")
        where = f"{module.path}:{line}"
        if inner != "_system" and (name in CALLS_ONLY_IN_SYSTEM.get(owner, ()) or name in METHODS_ONLY_IN_SYSTEM):
            yield f"{where}: only _system/ uses {call}"
        if box in FACES and owner == NAME and name in FOLDERS:
            yield f"{where}: a face uses public names only, not {call}"


def _refused(module: Module, target: str, modules: dict[str, Module]) -> str:
    """Return why the module may not import the target, which is in our package; empty when it may."""
    box, other = module.box, box_of(target)
    if f"{NAME}.{other.partition('/')[0]}" not in modules:
        other = ""  # a name of the package itself
    elif other in FOLDERS:
        other = box_of(f"{target}.{target}")  # a folder without a module says nothing
    if other == box or (box, other) in EXCEPTIONS:
        return ""
    if box in ONLY:
        return "" if other in ONLY[box] else f"{box} may not import {target}"
    if box in FACES:
        return _refused_to_face(box, target, other, modules)
    if other not in RANK:
        return f"{target} has no row in the table"
    return f"{box or 'the package'} imports {target}, which stands above it" if RANK[other] > RANK[box] else ""


def _refused_to_face(box: str, target: str, other: str, modules: dict[str, Module]) -> str:
    """Allowed are names of the package, and of a public module: ``from aioverseer.config import load``."""
    names = target.split(".")[1:]
    private = any(name.startswith("_") and not name.endswith("__") for name in names)
    depth = 2 if ".".join(names[:2]) in PUBLIC_FOLDERS else 1
    deep = len(names) > depth and ".".join([NAME, *names[: depth + 1]]) in modules
    if "core" in names[:1] or private or deep:
        return f"a face uses public names only, not {target}"
    if other == "testing":
        return f"{box} imports {target}, which is for tests"
    if other in TOOLS or (other in LIBRARIES and box in LIBRARIES and RANK[other] > RANK[box]):
        return f"{box} imports {target}, which is a tool"
    return ""


PACKAGE = Package(ROOT / NAME)


def test_the_package_keeps_its_layers() -> None:
    assert PACKAGE.problems() == []


@pytest.mark.parametrize("name", GOALS)
def test_measure_is_at_its_goal(name: str) -> None:
    counted = PACKAGE.measures()[name]
    assert len(counted) <= GOALS[name], "\n".join([f"{name}: {len(counted)}", *counted])


GOOD = {
    "__init__.py": (
        "from aioverseer._engine.overseer.overseer import Overseer\nfrom aioverseer.threaded import T\n"
        "from aioverseer import ready"
    ),
    "__main__.py": "from aioverseer.cli import main",
    "abc.py": "from aioverseer._system.protocols import Launcher",
    "ready.py": "import os\nfrom aioverseer.core.options.spec import Spec\nos.path",
    "core/__init__.py": "",
    "core/errors.py": "from aioverseer.core.export import label",
    "core/export.py": "",
    "core/options/__init__.py": "",
    "core/options/spec.py": "import math\nfrom aioverseer.core.errors import E\nfrom .. import errors",
    "core/machine/__init__.py": "",
    "core/machine/table.py": "from aioverseer.core.options.spec import Spec",
    "_aio/__init__.py": "",
    "_aio/timers.py": "import asyncio",
    "_system/__init__.py": "",
    "_system/protocols.py": "from aioverseer.core.options.spec import Spec",
    "_system/process/__init__.py": "",
    "_system/process/launch.py": (
        "import asyncio, os, subprocess\nfrom ...core.options.spec import Spec\n"
        "from aioverseer._aio import timers\nos.kill"
    ),
    "_engine/__init__.py": "",
    "_engine/process/__init__.py": "",
    "_engine/process/process.py": "from aioverseer._system.process import launch",
    "_engine/service/__init__.py": "",
    "_engine/service/service.py": "from aioverseer._engine.process.process import Process",
    "_engine/overseer/__init__.py": "",
    "_engine/overseer/overseer.py": "from aioverseer._engine.service.service import Service",
    "threaded/__init__.py": "from aioverseer.threaded.overseer import T",
    "threaded/overseer.py": "from aioverseer.core.export import label\nfrom aioverseer import Overseer",
    "testing/__init__.py": "from aioverseer.core.options.spec import Spec\nfrom aioverseer.abc import Launcher",
    "config/__init__.py": "from aioverseer.config._toml import load",
    "config/_toml.py": "from aioverseer import Spec",
    "config/convert/__init__.py": "from aioverseer.config.convert.ini import read",
    "config/convert/ini.py": "",
    "cli/__init__.py": "from aioverseer import ready\nfrom aioverseer.config import load\nfrom . import _up",
    "cli/_up.py": "from aioverseer import __version__\nfrom aioverseer.config.convert import read",
    "pytest_plugin/__init__.py": "from aioverseer import Overseer\nfrom aioverseer.testing import Ports",
}
"""A small package that keeps all rules."""


def write(folder: Path, changes: dict[str, str]) -> Package:
    """Write the small package with some files changed, each with a docstring."""
    package = folder / NAME
    for name, code in (GOOD | changes).items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'"""{name}"""\n{code}\n')
    return Package(package)


def refused(package: Package) -> list[str]:
    """Return every line that is against a rule."""
    return [*package.problems(), *package.upward()]


def test_good_package_is_accepted(tmp_path: Path) -> None:
    package = write(tmp_path, {})
    assert refused(package) == []
    measures = package.measures()
    assert ([], [], []) == (
        measures["circles of imports"],
        measures["class names used twice"],
        measures["imports inside functions"],
    )
    chain = [name.removeprefix("aioverseer.") for name in measures["import levels"]]
    assert ["_aio", "_system", "_engine", "aioverseer", "config", "cli", "__main__"] == chain


UP = "from aioverseer._engine.service.service import Service"


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("core/options/spec.py", "import asyncio", "core is pure and does not import asyncio"),
        ("core/options/spec.py", "def f():\n    from os import path", "core is pure and does not import os"),
        (
            "core/options/spec.py",
            "from aioverseer._system.process import launch",
            "core/options imports aioverseer._sys",
        ),
        ("core/options/spec.py", "from ..machine.table import Machine", "core/options imports aioverseer.core.machine"),
        ("core/options/spec.py", "from aioverseer import Overseer", "imports aioverseer.Overseer, which stands above"),
        ("_aio/timers.py", "from aioverseer._system.protocols import Launcher", "_aio imports aioverseer._system"),
        ("_system/process/launch.py", f"import asyncio\n{UP}", "_system/process imports aioverseer._engine.service"),
        ("_engine/process/process.py", UP, "which stands above it"),
        (
            "_engine/process/process.py",
            f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {UP}",
            "stands above",
        ),
        (
            "_engine/process/process.py",
            "from ..service.service import Service",
            "_engine/process imports aioverseer._e",
        ),
        (
            "_engine/process/process.py",
            "import importlib\nimportlib.import_module('aioverseer._engine.overseer.overseer')",
            "_engine/process imports aioverseer._engine.overseer.overseer",
        ),
        ("_engine/process/process.py", "import subprocess", "only _system/ imports subprocess"),
        ("_engine/process/process.py", "import os\nos.kill(1, 9)", "only _system/ uses os.kill"),
        ("_engine/process/process.py", "import os as o\no.killpg(1, 9)", "only _system/ uses os.killpg"),
        ("_engine/process/process.py", "from os import pipe", "only _system/ uses os.pipe"),
        (
            "_engine/process/process.py",
            "import asyncio\nasyncio.create_subprocess_exec",
            "only _system/ uses asyncio.c",
        ),
        (
            "_engine/process/process.py",
            "async def f(loop):\n    await loop.subprocess_exec()",
            "only _system/ uses ?.subprocess_exec",
        ),
        ("_engine/service/service.py", "from aioverseer.testing import Clock", "which stands above"),
        ("_engine/overseer/overseer.py", "from aioverseer.cli import main", "which stands above"),
        ("_engine/overseer/overseer.py", "from aioverseer.threaded import T", "which stands above"),
        ("_engine/overseer/overseer.py", "from aioverseer import ready", "which stands above"),
        (
            "_engine/overseer/__init__.py",
            "from aioverseer._engine.overseer import overseer",
            "holds its docstring alone",
        ),
        ("__init__.py", "from aioverseer.cli import main", "the package imports aioverseer.cli.main, which stands"),
        ("ready.py", "from aioverseer.threaded import T", "ready imports aioverseer.threaded.T, which stands above"),
        ("testing/__init__.py", "from aioverseer._engine.process.process import P", "testing may not import"),
        ("testing/__init__.py", "from aioverseer import Process", "testing may not import"),
        ("threaded/overseer.py", "from aioverseer.core.options.spec import Spec", "a face uses public names only"),
        ("threaded/overseer.py", "from aioverseer.testing import ManualClock", "which is for tests"),
        ("config/_toml.py", "from aioverseer.cli import main", "config imports aioverseer.cli.main, which is a tool"),
        ("pytest_plugin/__init__.py", "from aioverseer.cli import main", "which is a tool"),
        (
            "cli/_up.py",
            "from aioverseer.core.options.spec import Spec",
            "a face uses public names only, not aioverseer.c",
        ),
        ("cli/_up.py", "from aioverseer import core", "a face uses public names only, not aioverseer.core"),
        (
            "cli/_up.py",
            "import aioverseer\naioverseer._system",
            "a face uses public names only, not aioverseer._system",
        ),
        ("cli/_up.py", "from aioverseer.config import _toml", "a face uses public names only"),
        ("cli/_up.py", "from aioverseer.config.convert.ini import read", "a face uses public names only"),
        ("cli/_up.py", "from aioverseer.threaded.overseer import T", "a face uses public names only"),
        ("extra.py", "", "'extra' has no row in the table"),
        ("_system/extra.py", "", "'_system/extra' has no row in the table"),
    ],
)
def test_bad_arrow_is_reported(tmp_path: Path, name: str, code: str, problem: str) -> None:
    """Each rule can fail, and the message names the line."""
    (line,) = refused(write(tmp_path, {name: code}))
    assert problem in line
    assert line.startswith(f"{NAME}/{name}:")


def test_circle_of_types_is_counted(tmp_path: Path) -> None:
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from aioverseer.core.errors import E"
    counted = write(tmp_path, {"core/export.py": code}).measures()
    assert ["aioverseer.core.errors aioverseer.core.export"] == counted["circles of imports"]


def test_class_name_used_twice_is_counted(tmp_path: Path) -> None:
    counted = write(tmp_path, {"ready.py": "class _Queue: ...", "_aio/timers.py": "class Queue: ..."}).measures()
    assert ["Queue"] == counted["class names used twice"]


def test_import_inside_a_function_is_counted(tmp_path: Path) -> None:
    """Outside of the files that may have one, it is counted as such too."""
    code = "def f():\n    from aioverseer.core.options.spec import Spec"
    allowed = "_engine/overseer/assembly.py"
    counted = write(
        tmp_path, {allowed: code, "_aio/timers.py": f"class A:\n    {code.replace(chr(10), chr(10) + '    ')}"}
    )
    elsewhere = ["aioverseer/_aio/timers.py:4"]
    assert elsewhere == counted.measures()["imports inside functions of other files"]
    assert [*elsewhere, f"aioverseer/{allowed}:3"] == counted.measures()["imports inside functions"]


def test_module_without_docstring_is_reported(tmp_path: Path) -> None:
    package = write(tmp_path, {}).path
    (package / "ready.py").write_text("import os\n")
    assert Package(package).problems() == ["aioverseer/ready.py: no docstring"]


def imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter imports for a statement."""
    code = f"import sys; before = set(sys.modules); {statement}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return set(done.stdout.split())


def test_importing_the_package_needs_nothing_optional() -> None:
    """A fresh interpreter imports the standard library, anyio and what anyio needs."""
    packages = {name.partition(".")[0] for name in imported_by("import aioverseer")}
    assert packages - sys.stdlib_module_names <= {
        NAME,
        "anyio",
        "exceptiongroup",
        "idna",
        "sniffio",
        "typing_extensions",
    }


def test_overseer_imports_nothing_for_probes_and_faces() -> None:
    """The classes of probes alone take a tenth of the time of the import."""
    modules = imported_by("from aioverseer import Overseer")
    unwanted = ("core.options.probes", "_engine.health", "cli", "config", "mcp", "pytest_plugin", "testing", "threaded")
    assert f"{NAME}._engine.overseer.overseer" in modules
    assert [] == [name for name in modules if name.startswith(tuple(f"{NAME}.{part}" for part in unwanted))]
    slow = {"ipaddress", "pathlib", "urllib.parse"}
    assert set() == slow & (modules - imported_by("import anyio, asyncio, dataclasses, typing"))
