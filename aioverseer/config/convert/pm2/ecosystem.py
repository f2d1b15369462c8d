"""The ecosystem file of pm2: its apps, and their variables for each environment."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from aioverseer.config.convert.conversion import Conversion
from aioverseer.config.convert.pm2.app import read_app, variables_of
from aioverseer.config.convert.pm2.keys import ALIASES, APP, LOST_IN_APP
from aioverseer.config.convert.pm2.loose_json import parse
from aioverseer.config.convert.source import Source
from aioverseer.config.convert.table_keys import TableKeys, TableReport, is_list, is_table
from aioverseer.config.problems import ConfigError, Problem

__all__ = ["read_pm2"]

_ENVIRONMENT = re.compile(r"env_(\S+)")
_FLAGS = {
    "source_map_support": True,
    "disable_source_map_support": False,
    "filter_env": False,
    "shutdown_with_message": False,
    "vizion": True,
    "force": False,
    "append_env_to_name": False,
    "trace": False,
    "disable_trace": True,
    "windowsHide": True,
}
"""Values at which a lost key says nothing."""


def read_pm2(source: Source) -> Conversion:
    """Read an ecosystem file of pm2.

    Args:
        source: The file.

    Raises:
        ConfigError: If the text is a program, no JSON, or has no apps.
    """
    found = parse(source.text, path=source.path)
    report = TableReport()
    top = TableKeys(report, "", found if is_table(found) else {"apps": found})
    apps = _apps(found, source.path)
    made: dict[str, Any] = {"version": 1}
    services: dict[str, Any] = {}
    profiles: dict[str, Any] = {}
    whole = top.inner("apps", {str(number): each for number, each in enumerate(apps)})
    for number, data in enumerate(apps):
        if not is_table(data):
            _refuse(source.path, f"app {number + 1} is no object", "write one for each app")
        renamed, spelled = _renamed(data)
        keys = whole.inner(str(number), renamed, place=f"apps[{number}]", spelled=spelled)
        for key in ALIASES.keys() & keys.data.keys():
            keys.lost(key, f"another name of {ALIASES[key]}, which is there as well")
        name = _name(keys, number, services)
        options = read_app(keys, f"services.{name}", processors=os.cpu_count() or 1)
        if options is None:
            keys.close(dict.fromkeys(keys.data, "there is no script to run, so the app is left out"))
            continue
        services[name] = options
        _environments(keys, name, profiles)
        for key, usual in _FLAGS.items():
            if keys.get(key) is usual:
                keys.carried(key, "nothing, as it is the usual value")
        keys.close(LOST_IN_APP, [*APP, *ALIASES])
    made["services"] = services
    if profiles:
        made["profiles"] = profiles
    if is_table(found) and "apps" in found:
        top.close({"deploy": "aioverseer copies nothing to other machines"}, ("apps",))
    return Conversion(data=made, notes=report.notes())


def _apps(found: Any, path: str) -> list[Any]:
    """Return the apps of a file: an object with apps, a list of apps, or one app alone."""
    if is_list(found):
        return found
    given = found.get("apps") if is_table(found) else None
    if is_list(given):
        return given
    if is_table(given):
        return [given]
    if not is_table(found) or not any(key in found for key in ("script", "exec", "cmd", "command")):
        _refuse(path, "there is no list of apps", 'write {"apps": [{"script": "app.js"}]}, or name another file')
    return [found]


def _renamed(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return an app by the names of the table, and how the file spells those that have another one.

    A key of two names stays under the one that pm2 does not take.
    """
    made: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for key, value in data.items():
        name = ALIASES.get(key, key)
        taken = name != key and (name in data or name in made)
        made[key if taken else name] = value
        if name != key and not taken:
            spelled[name] = key
    return made, spelled


def _name(keys: TableKeys, number: int, services: Mapping[str, Any]) -> str:
    given, script = keys.get("name"), keys.get("script")
    name = str(given).strip() if given is not None else ""
    if not name and isinstance(script, str):
        name = posixpath.splitext(posixpath.basename(script.split(" ")[0]))[0]
    name = name or f"app{number}"
    if name in services:
        count = 2
        while f"{name}-{count}" in services:
            count += 1
        keys.changed("name", f"services.{name}-{count}, as each service has a name of its own")
        return f"{name}-{count}"
    keys.carried("name", f"services.{name}")
    return name


def _environments(keys: TableKeys, name: str, profiles: dict[str, Any]) -> None:
    for key in keys.data:
        found = _ENVIRONMENT.fullmatch(key)
        if found is None:
            continue
        variables = variables_of(keys.get(key))
        if not variables:
            keys.lost(key, "has no variables")
            continue
        profile = profiles.setdefault(found[1], {"services": {}})
        profile["services"][name] = {"extra_env": variables}
        keys.carried(key, f"profiles.{found[1]}.services.{name}.extra_env")


def _refuse(path: str, message: str, hint: str) -> NoReturn:
    raise ConfigError([Problem(file=path, path=("apps",), message=message, hint=hint)])
