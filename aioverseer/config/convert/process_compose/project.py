"""The project of process-compose: what holds for all processes, and their order."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from aioverseer.config.convert.conversion import Conversion
from aioverseer.config.convert.process_compose.keys import DEPENDENCY, LOST_IN_PROJECT, PROJECT
from aioverseer.config.convert.process_compose.logs import log_file
from aioverseer.config.convert.process_compose.process import ProcessReader
from aioverseer.config.convert.process_compose.texts import INDEX, Texts, placeholder
from aioverseer.config.convert.references import References
from aioverseer.config.convert.source import Source
from aioverseer.config.convert.table_keys import TableKeys, TableReport, is_list, is_table, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import number
from aioverseer.config.convert.yaml_tree import parse
from aioverseer.config.problems import ConfigError, Problem

__all__ = ["read_process_compose"]

_ONE_WORD = re.compile(r"[\w./:@%+,=-]+")
_TABLES = frozenset(
    "availability depends_on liveness_probe readiness_probe shutdown log_configuration vars schedule watch exec "
    "http_get rotation".split()
)
"""Keys whose tables are merged with those of a process that is extended."""
_DEEPEST = 20


def read_process_compose(source: Source) -> Conversion:
    """Read a file of process-compose.

    Args:
        source: The file.

    Raises:
        ConfigError: If the text is no YAML, or has no processes.
    """
    return _Project(source).conversion()


class _Project:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = self._with_file(parse(source.text, path=source.path), source.path, 0)
        if not is_table(self._data.get("processes")):
            self._refuse("processes is no mapping of names to processes", "write it, or name another file")
        self._report = TableReport()
        self._keys = TableKeys(self._report, "", self._data)
        self._references = References(on=truth(self._keys.get("disable_env_expansion")) is not True)
        self._shell = ["bash", "-c"]
        self._variables: dict[str, str] = {}
        self._processes = self._extended()
        self._replicas = {name: self._replicas_of(data) for name, data in self._processes.items()}
        self._made: dict[str, Any] = {"version": 1}

    def conversion(self) -> Conversion:
        self._read_shell()
        self._read_globals()
        services: dict[str, Any] = {}
        processes = self._keys.inner("processes", self._keys.get("processes"))
        read: dict[str, tuple[TableKeys, ProcessReader]] = {}
        for name, data in self._processes.items():
            keys = processes.inner(name, data, place=f"processes.{name}")
            process = ProcessReader(keys, name, data, self._texts(data, name), replicas=self._replicas[name])
            options = process.read()
            if options is not None:
                services[name] = options
                read[name] = keys, process
        for name, (keys, process) in read.items():
            self._order(keys, services[name], name, services)
            process.close()
        self._made["services"] = services
        self._unsaid()
        return Conversion(data=self._made, notes=self._report.notes())

    def _with_file(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return the data of a file with those of the file that it extends, if included files can be read."""
        base, included = data.get("extends"), self._source.included
        if not isinstance(base, str) or not base or included is None:
            return data
        if depth > _DEEPEST:
            self._refuse(f"{path} extends itself", "take extends out of one of them")
        folder = posixpath.dirname(base)
        found = included(base)
        if not found:
            self._refuse(f"{path} extends {base}, which does not exist", "write it, or take extends out")
        for file, text in found.items():
            under = self._with_file(parse(text, path=file), file, depth + 1)
            processes = _placed(under.get("processes"), folder)
            data = _merged({**under, "processes": processes}, data) | {
                "processes": _merged_processes(processes, data.get("processes"))
            }
        return data

    def _extended(self) -> dict[str, dict[str, Any]]:
        own: dict[str, Any] = self._data["processes"]
        made: dict[str, dict[str, Any]] = {}
        for name, data in own.items():
            if not is_table(data):
                self._refuse(f"the process {name} is no mapping", "write command: below it")
            made[name] = self._with_base(name, data, own, 0)
        return made

    def _with_base(self, name: str, data: dict[str, Any], own: Mapping[str, Any], depth: int) -> dict[str, Any]:
        base = data.get("extends")
        if not isinstance(base, str):
            return data
        if not is_table(own.get(base)):
            self._refuse(f"the process {name} extends {base}, which is no process of this file", "name another one")
        if depth > _DEEPEST:
            self._refuse(f"the process {name} extends itself", "take extends out of one of them")
        under = self._with_base(base, own[base], own, depth + 1)
        return _merged({key: value for key, value in under.items() if key != "extends"}, data)

    def _replicas_of(self, data: Mapping[str, Any]) -> int:
        given = data.get("replicas")
        return int(number(self._references.default(given)) or 1) if isinstance(given, str) else 1

    def _texts(self, data: Mapping[str, Any], name: str) -> Texts:
        own = data.get("vars")
        variables = {**self._variables, **({} if not is_table(own) else _scalars(own))}
        many = self._replicas[name] > 1
        variables["PC_REPLICA_NUM"] = INDEX if many else "0"
        templates = truth(data.get("is_template_disabled")) is not True
        return Texts(self._references, variables, self._shell, templates=templates)

    def _read_shell(self) -> None:
        shell = self._keys.table("shell")
        if shell is None:
            return
        command, argument = shell.get("shell_command"), shell.get("shell_argument")
        if isinstance(command, str) and command:
            self._shell = [command, *([argument] if isinstance(argument, str) and argument else [])]
        shell.carried("shell_command", "the words before each command that needs a shell")
        shell.carried("shell_argument", "the words before each command that needs a shell")
        elevated = "sudo comes before a process that is elevated"
        lost = {"elevated_shell_command": elevated, "elevated_shell_argument": elevated}
        shell.close(lost, ("shell_command", "shell_argument"))

    def _read_globals(self) -> None:
        keys, made = self._keys, self._made
        say = Texts(self._references, {}, self._shell)
        name = keys.get("name")
        if isinstance(name, str) and name:
            made["name"] = say.text(name)
        keys.carried("name", "name")
        # process-compose reads .env by itself, for the references of the file and for all processes.
        made["env_files"] = ["?.env"]
        variables = keys.get("vars")
        if is_table(variables):
            self._read_vars(variables, say)
        path = keys.get("log_location")
        if isinstance(path, str) and path:
            made["overseer"] = {"log": log_file(keys, say.text(path), "overseer.log")}
        elif "log_configuration" in keys:
            self._shared_log_settings()
        lines = texts(keys.get("environment"))
        if lines:
            pairs = (line.partition("=") for line in lines)
            made["defaults"] = {"extra_env": {each: say.text(value) for each, equals, value in pairs if equals}}
        elif keys.get("environment") is not None and lines is None:
            keys.lost("environment", "is no list of NAME=value, so it is left out")
        keys.carried("environment", "defaults.extra_env")

    def _read_vars(self, variables: Mapping[str, Any], say: Texts) -> None:
        scalars = _scalars(variables)
        kept = {name: value for name, value in scalars.items() if _ONE_WORD.fullmatch(value)}
        self._variables = {**scalars, **{name: placeholder(f"vars.{name}") for name in kept}}
        if kept:
            self._made["vars"] = {name: say.text(value) for name, value in kept.items()}
        for name in variables.keys() - scalars.keys():
            self._keys.part("vars", name, "lost", "a variable is one text here; fill it in where it is used")
        self._keys.carried("vars", "vars" if len(kept) == len(scalars) else "vars, and the texts that use them")

    def _shared_log_settings(self) -> None:
        """Settle log settings without a file: they hold for the files of the processes."""
        self._keys.lost("log_configuration", "there is no log_location at the top; write it for each process")

    def _order(self, keys: TableKeys, options: dict[str, Any], name: str, services: Mapping[str, Any]) -> None:
        given = keys.get("depends_on")
        if not is_table(given):
            given = {}
        after: dict[str, str] = {}
        for wanted, rules in given.items():
            rule = rules.get("condition") if is_table(rules) else rules
            until = DEPENDENCY.get(rule if isinstance(rule, str) else "process_started")
            target = self._target(wanted)
            if until is None:
                keys.part("depends_on", wanted, "lost", f"its condition is unknown: there are {', '.join(DEPENDENCY)}")
            elif target in self._processes and target not in services:
                keys.part("depends_on", wanted, "lost", "this process is left out")
            else:
                if target != wanted:
                    keys.part("depends_on", wanted, "changed", f"it waits for all of {target}")
                after[target] = until
        if after:
            options["after"] = after
            keys.carried("depends_on", f"services.{name}.after")
        elif given:
            keys.lost("depends_on", "none of these processes is left")
        keys.carried("depends_on", "nothing, as it is empty")

    def _target(self, wanted: str) -> str:
        """Return the process that a name means: its own, or that of one of its replicas."""
        for name, count in self._replicas.items():
            if count > 1 and wanted in _replica_names(name, count):
                return name
        return wanted

    def _unsaid(self) -> None:
        keys = self._keys
        keys.carried("version", "nothing, as it is the version of the format")
        keys.carried("is_strict", "nothing, as unknown keys are always errors")
        keys.carried("disable_env_expansion", "the texts, in which $ stays as it is")
        if truth(keys.get("ordered_shutdown")) is True:
            keys.carried("ordered_shutdown", "nothing, as services always stop in the reverse order")
        keys.changed("ordered_shutdown", "services always stop in the reverse order of their start")
        if self._source.included is not None:
            keys.carried("extends", "the processes and settings, which have those of the other file")
        keys.changed("extends", "convert that file too, and name both in one: include = ['base.toml']")
        for number_of, problem in enumerate(self._references.problems):
            keys.part("processes", f"variable {number_of + 1}", "changed", problem)
        keys.close(LOST_IN_PROJECT, PROJECT)

    def _refuse(self, message: str, hint: str) -> NoReturn:
        raise ConfigError([Problem(file=self._source.path, path=("processes",), message=message, hint=hint)])


def _placed(processes: object, folder: str) -> dict[str, Any]:
    """Return the processes of a file that is extended, with working directories below its folder."""
    made: dict[str, Any] = {}
    for name, data in processes.items() if is_table(processes) else ():
        own = data.get("working_dir") if is_table(data) else None
        place = posixpath.join(folder, own) if isinstance(own, str) and own else folder
        made[name] = {**data, "working_dir": place} if is_table(data) and place else data
    return made


def _merged_processes(under: dict[str, Any], over: object) -> dict[str, Any]:
    made = dict(under)
    for name, data in over.items() if is_table(over) else ():
        lower = made.get(name)
        made[name] = _merged(lower, data) if is_table(lower) and is_table(data) else data
    return made


def _scalars(table: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in table.items() if isinstance(value, str)}


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a process with the keys of the one that it extends. Lists of variables are joined."""
    made = dict(under)
    for key, value in over.items():
        lower = made.get(key)
        if key in _TABLES and is_table(lower) and is_table(value):
            made[key] = _merged(lower, value)
        elif key == "environment" and is_list(lower) and is_list(value):
            made[key] = [*lower, *value]
        else:
            made[key] = value
    return made


def _replica_names(name: str, count: int) -> set[str]:
    width = 1 + int(math.log10(count))
    return {f"{name}-{number:0{width}}" for number in range(count)}
