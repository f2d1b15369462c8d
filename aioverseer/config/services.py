"""Tables of services as Specs: defaults, variables, files of the environment, paths and placeholders."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from aioverseer import Spec, SpecError
from aioverseer.config.findings import Findings
from aioverseer.config.merging import merge
from aioverseer.config.shapes import Path, is_list, is_table, load_of
from aioverseer.config.unused import OF_FILES

__all__ = ["FILLED", "LARGEST", "PLACEHOLDERS_STAY", "ServiceReader", "absolute_logs", "escape_for"]

_WORD = r"index|id|run|port|fd\.[^{}:]+"
_WORDS = re.compile(rf"\{{({_WORD})\}}")
_PLACEHOLDER = re.compile(rf"\{{\{{(?P<kept>{_WORD})\}}\}}|\{{(?P<word>{_WORD})\}}")
LARGEST = 32 * 2**20
"""The load that all services together may get from one place that is not their own table."""
PLACEHOLDERS_STAY = frozenset({"instances", "port", "listen"})
"""Options whose services have placeholders that the overseer replaces, for each run."""
FILLED = ("command", "cwd", "extra_env", "ready", "alive", "main_pid")
"""Options in which placeholders are replaced."""
_PATTERNS = frozenset({"line", "prompt", "body"})


def escaped_words(text: str) -> str:
    """Return text whose placeholders are text: ``{id}`` becomes ``{{id}}``."""
    return _WORDS.sub(r"{{\1}}", text) if "{" in text else text


def escape_for(path: Path) -> Callable[[str], str]:
    """Return the function that makes a value of the environment text, at a place of the merged table.

    Args:
        path: The place.
    """
    match path:
        case ("services", str(), str(option), *rest) | ("defaults", str(option), *rest):
            pass
        case ("overseer", "log" as option, *rest):
            pass
        case _:
            return str
    if option in FILLED:
        return escaped_words
    is_path = option == "log" and next((each for each in reversed(rest) if isinstance(each, str)), "path") == "path"
    return _with_double_braces if is_path else str


def _with_double_braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


ReadEnvFile = Callable[[str, Path], Mapping[str, str]]
"""A function that reads a file of variables, given its name and its place in the merged table."""


class ServiceReader:
    """Makes the Specs of the services of one file."""

    def __init__(
        self,
        *,
        folder: str,
        defaults: Mapping[str, Any],
        variables: Mapping[str, str],
        read_env_file: ReadEnvFile,
        findings: Findings,
    ) -> None:
        """Prepare.

        Args:
            folder: Folder of the file, at which relative paths begin.
            defaults: Options of all services, with the variables replaced.
            variables: Variables of the environment that all services get in addition.
            read_env_file: Reads a file of variables.
            findings: Takes the problems.
        """
        self._folder = folder
        self._defaults = defaults
        self._variables = variables
        self._read_env_file = read_env_file
        self._findings = findings

    def read(self, id: str, table: Mapping[str, Any]) -> Spec | None:
        """Return the Spec of a service, or None after a problem.

        Args:
            id: Name of the service.
            table: Its table, with the variables replaced.
        """
        path: Path = ("services", id)
        options = merge(self._defaults, table)
        files = options.get("env_file", [])
        for name in OF_FILES:
            options.pop(name, None)
        if "id" in options:
            self._findings.add((*path, "id"), "the name of the table is the id", "leave it out")
        self._place_below(options)
        before = len(self._findings)
        is_template = not options.keys().isdisjoint(PLACEHOLDERS_STAY)
        if not is_template:
            self._fill(id, options, path)
        has_words = len(self._findings) > before
        # After the placeholders: values of these files are text. The overseer fills those of a template.
        self._add_environment(options, files, path, escape=escaped_words if is_template else str)
        if has_words:
            return None
        try:
            return Spec.from_dict({**options, "id": id})
        except SpecError as error:
            self._findings.add_error(path, error)
            return None

    # The environment.

    def check_files(self, tables: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether the files of variables of all services are small enough together, and report it if not.

        Args:
            tables: The tables of the services, with the variables replaced.
        """
        loads: dict[int, int] = {}
        total = 0
        for id, table in tables.items():
            files = table.get("env_file", self._defaults.get("env_file", []))
            path = ("services", id, "env_file")
            for place, name in _named(files, path):
                found = self._read_env_file(name, place)  # the same object for the same file
                key = builtins.id(found)
                if key not in loads:
                    loads[key] = load_of(dict(found))
                total += loads[key]
            if total > LARGEST:
                self._findings.add(path, "the files of all services are too large together", "write less in them")
                return False
        return True

    def _add_environment(
        self, options: dict[str, Any], files: Any, path: Path, *, escape: Callable[[str], str]
    ) -> None:
        given: dict[str, str] = {} if "env" in options else dict(self._variables)
        if not isinstance(files, str) and not is_list(files):
            self._findings.add((*path, "env_file"), "this is no path", 'write env_file = ".env"')
            return
        for place, file in _named(files, (*path, "env_file")):
            given |= self._read_env_file(file, place)
        own = options.get("extra_env", {})
        if given and is_table(own):
            options["extra_env"] = {name: escape(value) for name, value in given.items()} | own

    # Paths.

    def _place_below(self, options: dict[str, Any]) -> None:
        """Let relative paths begin at the folder of the file, and not at that of the overseer."""
        folder = self._folder
        options["cwd"] = cwd = _below(folder, options.get("cwd", folder))
        if "log" in options:
            options["log"] = absolute_logs(options["log"], folder)
        schedule, stdin = options.get("schedule"), options.get("stdin")
        if is_table(schedule) and "stamp" in schedule:
            options["schedule"] = {**schedule, "stamp": _below(folder, schedule["stamp"])}
        if is_table(stdin) and "file" in stdin and isinstance(cwd, str):
            options["stdin"] = {**stdin, "file": _below(cwd, stdin["file"])}

    # Placeholders.

    def _fill(self, id: str, options: dict[str, Any], path: Path) -> None:
        """Replace ``{id}`` for a lone service. The overseer replaces the words of instances, for each run."""
        for name in FILLED:
            if name in options:
                options[name] = self._filled(options[name], id, (*path, name))

    def _filled(self, data: Any, id: str, path: Path) -> Any:
        if is_table(data):
            return {key: self._filled(each, id, (*path, key)) for key, each in data.items()}
        if is_list(data):
            return [self._filled(each, id, (*path, at)) for at, each in enumerate(data)]
        if not isinstance(data, str) or "{" not in data:
            return data
        value = re.escape(id) if path[-1] in _PATTERNS else id
        return _PLACEHOLDER.sub(lambda found: self._word(found, value, path), data)

    def _word(self, found: re.Match[str], id: str, path: Path) -> str:
        if found["kept"]:
            return f"{{{found['kept']}}}"
        word = found["word"]
        if word != "id":
            self._findings.add(
                path,
                f"{{{word}}} has no value, as the service has no instances, port or listen",
                f'write instances = 1, port = "9000-9099" or listen, or {{{{{word}}}}} for the text',
            )
        return id


def absolute_logs(logs: Any, folder: str) -> Any:
    """Return the option ``log`` with its relative paths below a folder.

    Args:
        logs: A path, a table, or a list of them.
        folder: The folder.
    """
    if is_list(logs):
        return [absolute_logs(each, folder) for each in logs]
    if is_table(logs):
        return {**logs, "path": absolute_logs(logs["path"], folder)} if "path" in logs else logs
    return _below(_with_double_braces(folder), logs)


def _below(folder: str, path: Any) -> Any:
    if not isinstance(path, str) or path.startswith(("/", "~")) or not path:
        return path  # the Spec says what is wrong with it
    return os.path.normpath(os.path.join(folder, path))


def _named(files: Any, path: Path) -> list[tuple[Path, Any]]:
    """Return the files that an option names, each with its place; none for a value of another kind."""
    if isinstance(files, str):
        return [(path, files)]
    return [((*path, at), file) for at, file in enumerate(files)] if is_list(files) else []
