"""Private names of the standard library are used in four files of the package, and the docs say why."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "aioverseer/_aio/fork.py",
    "aioverseer/_engine/output/line_queue.py",
    "aioverseer/_system/host/signals.py",
    "aioverseer/_system/process/cpython.py",
}
"""Listed in docs/explanation/spawning.md."""

PUBLIC = {"os._exit", "sys._getframe", "_signal"}
"""Documented although they begin with an underscore. And the module below ``signal``: the guardian, a program that must
start fast, uses its public names without the enums, which take most of the import."""

INNER = {
    "_args",
    "_asyncio_future_blocking",
    "_callback",
    "_csock",
    "_data",
    "_finished",
    "_get_loop",
    "_getters",
    "_log_destroy_pending",
    "_make_subprocess_transport",
    "_putters",
    "_selector",
    "_signal_handlers",
    "_ssock",
    "_unfinished_tasks",
    "_watcher",
}
"""Private attributes of objects of the standard library that the package uses, or has used."""


def private_names(source: str) -> Iterator[str]:
    """Private modules that are imported, private names of modules, and inner attributes, also as text for getattr."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    own: set[str] = set()
    slots: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    modules[alias.asname or alias.name.partition(".")[0]] = alias.name
                    if alias.name.startswith("_") and alias.name not in PUBLIC:
                        yield alias.name
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] in sys.stdlib_module_names:
                for alias in names:
                    if (module.startswith("_") and module != "__future__") or alias.name.startswith("_"):
                        yield f"{module}.{alias.name}"
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                own.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                slots.update(ast.walk(value))
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case _:
                pass
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                owner = ast.unparse(node.value)
                head, _, rest = owner.partition(".")
                full = f"{modules.get(head, head)}{'.' if rest else ''}{rest}.{name}"
                is_stdlib = head in modules and modules[head].partition(".")[0] in sys.stdlib_module_names
                if (is_stdlib and full not in PUBLIC) or (name in INNER and owner != "self"):
                    yield full
                elif name in INNER and name not in own:
                    yield full  # inherited from a class of the standard library
            case ast.Constant(value=str(text)) if text in INNER and node not in slots:
                yield text
            case _:
                pass


def test_private_names_are_used_in_three_files_only() -> None:
    """Each other file gets by with public names."""
    found = {
        str(file.relative_to(ROOT)): sorted(set(names))
        for file in sorted((ROOT / "aioverseer").rglob("*.py"))
        if (names := list(private_names(file.read_text(encoding="utf-8"))))
    }
    assert set(found) == ALLOWED, {file: names for file, names in found.items() if file not in ALLOWED}


def test_each_of_them_is_explained() -> None:
    """The page has the name, the public alternative, and when it goes."""
    page = (ROOT / "docs/explanation/spawning.md").read_text(encoding="utf-8")
    for file in sorted(ALLOWED):
        assert file.removeprefix("aioverseer/") in page
        for name in set(private_names((ROOT / file).read_text(encoding="utf-8"))):
            assert name.rpartition(".")[2] in page, f"{file}: {name}"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import _posixsubprocess", ["_posixsubprocess"]),
        ("import asyncio\nasyncio._set_running_loop(None)", ["asyncio._set_running_loop"]),
        ("import asyncio\nasyncio.events._get_running_loop()", ["asyncio.events._get_running_loop"]),
        ("from asyncio import base_events as b\nb.x", []),
        ("from asyncio.events import _get_running_loop", ["asyncio.events._get_running_loop"]),
        ("import signal as s\ns._signal_to_enum", ["signal._signal_to_enum"]),
        ("getattr(loop, '_signal_handlers', {})", ["_signal_handlers"]),
        ("handle._callback", ["handle._callback"]),
        ("self._callback = 1\nself._callback", []),
        ("import os\nos._exit(1)\nself._own = 1", []),
    ],
)
def test_each_kind_is_found(source: str, names: list[str]) -> None:
    """And what is allowed is not."""
    assert names == list(private_names(source))
