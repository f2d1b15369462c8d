"""A first ``aioverseer.toml``, made of the files that a folder has already."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aioverseer import SpecError
from aioverseer.config.convert import Note, read
from aioverseer.config.document import parse
from aioverseer.config.excerpts import problem_in_line
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.procfile import FIRST_PORT
from aioverseer.config.procfile_tables import procfile_tables
from aioverseer.config.shapes import is_list, is_table
from aioverseer.core.export import exported_from

__all__ = ["READ", "SEEN", "Starter", "starter_from"]

_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_LOCKS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
READ = ("Procfile", "Procfile.dev", *_COMPOSE, "package.json", "manage.py", "pyproject.toml", "requirements.txt")
"""Names of files whose text counts."""
SEEN = (".env", *_LOCKS)
"""Names of files of which it counts that they are there."""

_FRONT = ("dev", "start", "serve")
_BESIDE = re.compile(r"(dev|watch|start):[\w:.-]+|worker|queue|watch")
"""Scripts of a package.json: the first one of these, and those that run beside it."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A first file, made by ``make_starter``.

    Attributes:
        text: Text of ``aioverseer.toml``.
        sources: Names of the files that its services come from; empty for an example.
        notes: Notes about the keys of a compose file.
        unread: Errors about files that cannot be read, or have problems.
    """

    text: str
    sources: tuple[str, ...]
    notes: tuple[Note, ...]
    unread: tuple[ConfigError, ...] = ()


@dataclass(slots=True)
class _Found:
    """Services from one source."""

    source: str
    services: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    comments: dict[str, str] = field(default_factory=dict[str, str])
    notes: tuple[Note, ...] = ()
    unread: tuple[ConfigError, ...] = ()


@dataclass(frozen=True, slots=True)
class _StarterFolder:
    """The folder of the files.

    Attributes:
        folder: Its path.
        first_port: Port of the first service of a Procfile.
    """

    folder: str
    first_port: int

    def path(self, name: str) -> str:
        """Return the path of a file in it."""
        return os.path.join(self.folder, name)


def starter_from(files: Mapping[str, str], *, name: str, folder: str = "", first_port: int = FIRST_PORT) -> Starter:
    """Return a first file for a folder.

    A Procfile counts alone, as it names all programs. Otherwise a compose file counts, and without one the scripts of
    ``package.json``, ``manage.py`` and the scripts of ``pyproject.toml`` do. Without any of them the file has an
    example.

    Args:
        files: Texts of files in the folder by their names: those of ``READ``, and with any text those of ``SEEN``.
        name: Name of the project.
        folder: Path of the folder, for messages.
        first_port: Port of the first service of a Procfile.
    """
    tried = list(_found_in(files, _StarterFolder(folder, first_port)))
    unread = tuple(error for each in tried for error in each.unread)
    found = [each for each in tried if each.services]
    sources = tuple(each.source for each in found)
    if not found:
        found = [_example()]
    lines = [
        "# aioverseer check shows what starts when, and aioverseer up runs it.",
        "version = 1",
        f"name = {_value(''.join(filter(str.isprintable, name)).strip() or 'app')}",
    ]
    if ".env" in files:
        lines += ["", 'env_files = ["?.env"]  # the question mark: it may be missing']
    taken: set[str] = set()
    for each in found:
        lines += ["", f"# From {each.source}:" if each.source else "# An example:"]
        for id, options in each.services.items():
            if id in taken:
                continue
            taken.add(id)
            comment = f"  # {each.comments[id]}" if id in each.comments else ""
            lines += [f"[services.{_key(id)}]{comment}"]
            lines += [f"{_key(option)} = {_value(value)}" for option, value in options.items()]
            lines.append("")
        lines.pop()
    notes = tuple(note for each in found for note in each.notes)
    return Starter(text="\n".join(lines) + "\n", sources=sources, notes=notes, unread=unread)


def _found_in(files: Mapping[str, str], place: _StarterFolder) -> Iterator[_Found]:
    """Yield what each file tells of; the last one counts alone if it has all programs."""
    readers: tuple[tuple[tuple[str, ...], Callable[[str, str, _StarterFolder], _Found]], ...] = (
        (("Procfile.dev", "Procfile"), _from_procfile),
        (_COMPOSE, _from_compose),
    )
    for names, read_all in readers:
        for name in names:
            if name in files:
                whole = read_all(name, files[name], place)
                yield whole
                if whole.services:
                    return
    for name, read_some in (
        ("manage.py", _from_manage),
        ("package.json", _from_package),
        ("pyproject.toml", _from_pyproject),
    ):
        if name in files:
            yield read_some(files, place)


def _from_procfile(name: str, text: str, place: _StarterFolder) -> _Found:
    path = place.path(name)
    tables, problems = procfile_tables(text, path=path, first=place.first_port)
    return _Found(name, services=tables, unread=(ConfigError(problems),) if problems else ())


def _from_compose(name: str, text: str, place: _StarterFolder) -> _Found:
    path = place.path(name)
    try:
        conversion = read(text, kind="compose", path=path)
    except ConfigError as error:
        return _Found(name, unread=(error,))
    except (SpecError, ModuleNotFoundError) as error:  # the last: there is no reader of YAML here
        return _Found(name, unread=(ConfigError([Problem(file=path, message=str(error))]),))
    return _Found(name, services=dict(conversion.data.get("services", {})), notes=conversion.notes)


def _from_manage(files: Mapping[str, str], place: _StarterFolder) -> _Found:  # noqa: ARG001  # the signature of all readers
    """Return the services of a Django project."""
    command = ["python", "manage.py", "runserver", "127.0.0.1:8000"]
    found = _Found("manage.py", services={"web": {"command": command, "ready": {"tcp": 8000}}})
    package = re.search(r"DJANGO_SETTINGS_MODULE['\"],\s*['\"](\w+)", files["manage.py"])
    needs = files.get("pyproject.toml", "") + files.get("requirements.txt", "")
    if package and re.search(r"(?im)\bcelery\b", needs):
        words = ["celery", "--app", package[1], "worker", "--loglevel", "info"]
        found.services["worker"] = {"command": words, "stop": {"timeout": 60.0}}
        found.comments["worker"] = "a stop lets it end its tasks"
    return found


def _from_package(files: Mapping[str, str], place: _StarterFolder) -> _Found:
    """Return the scripts of a package that run on."""
    found = _Found("package.json")
    try:
        data: Any = json.loads(files["package.json"])
    except json.JSONDecodeError as error:
        said = f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        text, path = files["package.json"], place.path("package.json")
        found.unread = (ConfigError([problem_in_line(error.lineno, error.colno, said, None, text=text, file=path)]),)
        return found
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
        return found
    scripts: Any = data.get("scripts", {}) if is_table(data) else {}
    if not is_table(scripts):
        return found
    runner = next((tool for lock, tool in _LOCKS.items() if lock in files), "npm")
    beside = [script for script in scripts if _BESIDE.fullmatch(script)]
    # A script "dev" that starts all of "dev:*" would start them twice.
    front = [script for script in _FRONT if script in scripts and not _starts_others(scripts[script], beside)][:1]
    for script in [*front, *beside]:
        found.services[re.sub(r"[^A-Za-z0-9_.-]", "-", script)] = {"command": [runner, "run", script]}
    return found


def _starts_others(command: object, others: list[str]) -> bool:
    return isinstance(command, str) and any(re.search(rf"\b{re.escape(other)}\b", command) for other in others)


def _from_pyproject(files: Mapping[str, str], place: _StarterFolder) -> _Found:
    """Return the scripts of a Python project, which may be commands for people: they are off."""
    found = _Found("pyproject.toml")
    try:
        path = place.path("pyproject.toml")
        project: Any = parse(files["pyproject.toml"], file=path, folder=place.folder).data.get("project", {})
    except ConfigError as error:
        found.unread = (error,)
        return found
    scripts: Any = project.get("scripts", {}) if is_table(project) else {}
    for script in scripts if is_table(scripts) else ():
        found.services[script] = {"command": [script], "enabled": False}
        found.comments[script] = "remove enabled = false if it is a service"
    return found


def _example() -> _Found:
    command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8000"]
    return _Found("", services={"web": {"command": command, "ready": {"tcp": 8000}}})


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if is_table(value):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    if is_list(value):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)
