"""The project of compose: what holds for all services, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from aioverseer.config.convert.compose.keys import DEPENDENCY, LOST_IN_PROJECT, PROJECT
from aioverseer.config.convert.compose.service import ComposeServiceReader, variables_of
from aioverseer.config.convert.conversion import Conversion
from aioverseer.config.convert.references import References
from aioverseer.config.convert.source import Source
from aioverseer.config.convert.table_keys import TableKeys, TableReport, is_list, is_table, texts
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.yaml_tree import parse
from aioverseer.config.problems import ConfigError, Problem

__all__ = ["read_compose"]

_DEEPEST = 20
_NOT_EXTENDED = frozenset({"extends", "depends_on", "links", "volumes_from"})
_HERE = (
    "programs run on this machine, with its files, users, network and environment, and with the variables of .env; "
    "write localhost where a value names another service as its host"
)


def read_compose(source: Source) -> Conversion:
    """Read a file of compose.

    Args:
        source: The file.

    Raises:
        ConfigError: If the text is no YAML, or has no services.
    """
    return _ComposeProject(source).conversion()


class _ComposeProject:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = parse(source.text, path=source.path)
        if not is_table(self._data.get("services")):
            self._refuse("services is no mapping of names to services", "write it, or name another file")
        self._report = TableReport()
        self._keys = TableKeys(self._report, "", self._data)
        self._references = References()

    def conversion(self) -> Conversion:
        keys, references = self._keys, self._references
        made: dict[str, Any] = {"version": 1}
        name = keys.get("name")
        if isinstance(name, str) and name:
            made["name"] = references.translated(name)
        keys.carried("name", "name")
        # compose reads .env by itself, for the references of the file alone. Here its services get the variables, too.
        made["env_files"] = ["?.env"]
        services: dict[str, Any] = {}
        read: dict[str, tuple[TableKeys, ComposeServiceReader]] = {}
        own: dict[str, Any] = self._data["services"]
        inner = keys.inner("services", own)
        for each, data in own.items():
            if not is_table(data):
                self._refuse(f"the service {each} is no mapping", "write command: below it")
            table = inner.inner(each, self._with_base(each, data, own, 0), place=f"services.{each}")
            service = ComposeServiceReader(table, each, references, own)
            options = service.read()
            if options is not None:
                services[each] = options
                read[each] = table, service
        for each, (table, service) in read.items():
            self._order(table, services[each], each, services)
            service.close()
        made["services"] = services
        self._unsaid()
        return Conversion(data=made, notes=self._report.notes())

    def _with_base(self, name: str, data: dict[str, Any], own: Mapping[str, Any], depth: int) -> dict[str, Any]:
        given = data.get("extends")
        base = given.get("service") if is_table(given) else given
        if not isinstance(base, str) or (is_table(given) and given.get("file") is not None):
            return data
        if not is_table(own.get(base)):
            self._refuse(f"the service {name} extends {base}, which is no service of this file", "name another one")
        if depth > _DEEPEST:
            self._refuse(f"the service {name} extends itself", "take extends out of one of them")
        under = self._with_base(base, own[base], own, depth + 1)
        return _merged({key: value for key, value in under.items() if key not in _NOT_EXTENDED}, data)

    def _order(self, keys: TableKeys, options: dict[str, Any], name: str, services: Mapping[str, Any]) -> None:
        extended = keys.get("extends")
        if is_table(extended) and extended.get("file") is not None:
            keys.lost("extends", "write the options of the other file here")
        given = keys.get("depends_on")
        wanted = given if is_table(given) else dict.fromkeys(texts(given) or [])
        after: dict[str, Any] = {}
        for other, rules in wanted.items():
            rule = rules if is_table(rules) else {}
            until = DEPENDENCY.get(str(rule.get("condition") or "service_started"))
            if until is None:
                keys.part("depends_on", other, "lost", f"its condition is unknown: there are {', '.join(DEPENDENCY)}")
            elif other in self._data["services"] and other not in services:
                keys.part("depends_on", other, "lost", "this service is left out")
            else:
                after[other] = _after(until, rule)
        if after:
            options["after"] = after
            keys.carried("depends_on", f"services.{name}.after")
        elif wanted:
            keys.lost("depends_on", "none of these services is left")
        keys.carried("depends_on", "nothing, as it is empty")

    def _unsaid(self) -> None:
        keys = self._keys
        keys.carried("version", "nothing, as it is the version of the format")
        keys.part("services", "*", "changed", _HERE)
        for number, problem in enumerate(self._references.problems):
            keys.part("services", f"variable {number + 1}", "changed", problem)
        keys.close(LOST_IN_PROJECT, PROJECT)

    def _refuse(self, message: str, hint: str) -> NoReturn:
        raise ConfigError([Problem(file=self._source.path, path=("services",), message=message, hint=hint)])


def _after(until: str, rule: Mapping[str, Any]) -> Any:
    made: dict[str, Any] = {"until": until}
    if truth(rule.get("required")) is False:
        made["hard"] = False
    if truth(rule.get("restart")) is True:
        made["on_restart"] = "restart"
    return until if len(made) == 1 else made


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a service with the keys of the one that it extends: mappings are merged, and lists are joined."""
    made = dict(under)
    for key, value in over.items():
        lower = made.get(key)
        if key == "environment" and lower is not None and value is not None:
            made[key] = {**variables_of(lower), **variables_of(value)}
        elif is_table(lower) and is_table(value):
            made[key] = _merged(lower, value)
        elif key not in {"command", "entrypoint"} and is_list(lower) and is_list(value):
            made[key] = [*lower, *value]
        else:
            made[key] = value
    return made
