"""Sources: the files of one load, with those that they include, and their files of variables."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping
from typing import Any, NoReturn

from aioverseer.config.convert import KINDS, Note, kind_of, read, read_units
from aioverseer.config.document import Document, parse
from aioverseer.config.env_files import read_variables
from aioverseer.config.files import DOES_NOT_EXIST, matching, read_text
from aioverseer.config.foreign import unit_files
from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.procfile import names_of, read_procfile
from aioverseer.config.shapes import Path, is_list
from aioverseer.config.spec_tables import tables_of
from aioverseer.config.variables import Variables

__all__ = ["Sources", "unreadable"]

_ENV_FILE = "?.env"
"""File of variables beside a Procfile."""

_MOST = 1000
"""Files that one load may read."""
_FOREIGN = (".yaml", ".yml", ".json", ".ini", ".conf", ".cfg", ".js")
"""Ends of names that no Procfile has."""
_DEEPEST = 20
"""Files that include each other in a chain."""
_MOST_PROBLEMS = 100
"""Problems of included files, after which no more of them are looked at."""


class Sources:
    """The files of one load.

    Attributes:
        file: Absolute path of the first file.
        folder: Its folder, at which relative paths begin.
        files: Absolute paths of all files that were read.
        notes: Report about each key of the file of another supervisor.
        problems: Problems of included files, which are left out.
        names: Names of the variables in the commands of a Procfile, by the services.
    """

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        """Prepare; nothing is read yet.

        Args:
            file: Absolute path of the first file.
            environ: Variables of the environment.
        """
        self.file = file
        self._units = unit_files(file)
        self.folder = file if self._units else os.path.dirname(file)
        self.files: list[str] = []
        self.notes: tuple[Note, ...] = ()
        self.problems: list[Problem] = []
        self.names: dict[str, set[str]] = {}
        self._environ = environ
        self._known: set[str] = set()
        self._variables: dict[str, dict[str, str]] = {}

    def documents(self, formation: Mapping[str, int]) -> list[Document]:
        """Return the document of the first file, and those of all files that it includes.

        Args:
            formation: Numbers of instances by the names of services, for the ports of a Procfile.

        Raises:
            ConfigError: If the first file cannot be read, or is not valid in its format.
        """
        if self._units:
            conversion = read_units({each: self._read(each) for each in self._units})
            self.notes = conversion.notes
            return [Document(file=self.file, folder=self.folder, text="", data=conversion.data, is_toml=False)]
        text = self._read(self.file)
        name = os.path.basename(self.file)
        if not name.endswith(".toml"):
            return [self._converted(text, formation)]
        root = ("tool", "aioverseer") if name == "pyproject.toml" else ()
        return self._with_included(parse(text, file=self.file, folder=self.folder, root=root), [self.file])

    def env_file(self, name: str, folder: str) -> dict[str, str]:
        """Return the variables of a file, which is read once.

        Args:
            name: Path of the file; after a ``?`` it may be missing.
            folder: Folder at which a relative path begins.

        Raises:
            ConfigError: If it cannot be read, or a line is no variable.
        """
        file = _joined(folder, name.removeprefix("?"))
        if name.startswith("?") and not os.path.lexists(file):
            return {}
        if file not in self._variables:
            text = self._read(file)
            self._variables[file] = {}  # a file that is wrong is reported once
            self._variables[file] = read_variables(text, file=file, environ=self._environ)
        return self._variables[file]

    def _read(self, file: str) -> str:
        if len(self.files) >= _MOST:
            message = f"is one of more than {_MOST} files"
            raise ConfigError([Problem(file=file, message=message, hint="divide the services among several overseers")])
        text = read_text(file)
        self.files.append(file)
        self._known.add(os.path.realpath(file))
        return text

    def _converted(self, text: str, formation: Mapping[str, int]) -> Document:
        kind = kind_of(self.file, text)
        if kind is None and self.file.endswith(_FOREIGN):
            known = ", ".join(KINDS)
            raise ConfigError([Problem(file=self.file, message="its format is not known", hint=f"there are {known}")])
        if kind is None:
            environ = {**self.env_file(_ENV_FILE, self.folder), **self._environ}
            specs = read_procfile(text, path=self.file, environ=environ, formation=formation)
            self.names = names_of(text)
            data: Mapping[str, Any] = {"env_files": [_ENV_FILE], "services": tables_of(specs)}
        else:
            conversion = read(text, kind=kind, path=self.file, included=self._included_texts)
            data, self.notes = conversion.data, conversion.notes
        return Document(file=self.file, folder=self.folder, text=text, data=data, is_toml=False)

    def _included_texts(self, pattern: str) -> dict[str, str]:
        return {file: self._read(file) for file in matching(_joined(self.folder, pattern)) if os.path.lexists(file)}

    def _with_included(self, document: Document, trail: list[str]) -> list[Document]:
        found = [document]
        patterns = document.data.get("include", [])
        if not is_list(patterns):
            return found  # reported with all other sections
        for at, pattern in enumerate(patterns):
            path = ("include", at)
            with self._problems_kept():
                for file in self._included(document, path, pattern):
                    with self._problems_kept():
                        found += self._inner(document, path, file, trail)
                    if len(self.problems) >= _MOST_PROBLEMS:
                        return found
        return found

    def _inner(self, document: Document, path: Path, file: str, trail: list[str]) -> list[Document]:
        """Return an included file with all that it includes; nothing for a file that two others include."""
        real = os.path.realpath(file)
        if real in map(os.path.realpath, trail):
            circle = " -> ".join(map(os.path.basename, [*trail, file]))
            _refuse(document, path, f"a file includes itself: {circle}", "leave it out")
        if len(trail) >= _DEEPEST:
            _refuse(document, path, f"files include each other more than {_DEEPEST} times", "include less")
        if real in self._known:
            return []
        try:
            text = self._read(file)
        except ConfigError as error:
            name = document.data["include"][path[-1]]
            raise ConfigError(
                document.problem((*document.root, *path), *unreadable(name, each)) if each.line is None else each
                for each in error.problems
            ) from None
        inner = parse(text, file=file, folder=os.path.dirname(file))
        return self._with_included(inner, [*trail, file])

    @contextlib.contextmanager
    def _problems_kept(self) -> Generator[None]:
        """Keep the problems of an included file, so that those of all others are told too."""
        try:
            yield
        except ConfigError as error:
            self.problems += error.problems

    def _included(self, document: Document, path: Path, pattern: Any) -> list[str]:
        if not isinstance(pattern, str) or not pattern.lstrip("?") or "\0" in pattern:
            _refuse(document, path, "this is no path", 'write for example include = ["services/*.toml"]')
        variables = Variables(self._environ, {}, lambda _, message, hint: _refuse(document, path, message, hint))
        name: str = variables.replaced(pattern, path)
        files = matching(_joined(document.folder, name.removeprefix("?")))
        return [file for file in files if not name.startswith("?") or os.path.lexists(file)]


def unreadable(name: str, problem: Problem) -> tuple[str, str | None]:
    """Return message and hint for the place that names a file that cannot be read.

    Args:
        name: Path of the file as it is written there.
        problem: Problem of the file.
    """
    shown = name.removeprefix("?")
    hint = problem.hint
    if problem.message == DOES_NOT_EXIST:
        hint = f"write it, or {f'?{shown}'!r} for a file that may be missing"
    return f"{shown!r} {problem.message}", hint


def _joined(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path))


def _refuse(document: Document, path: Path, message: str, hint: str) -> NoReturn:
    raise ConfigError([document.problem((*document.root, *path), message, hint)])
