"""Overrides: profiles and settings change services and variables of the file, or add whole services."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from aioverseer import SpecOptions
from aioverseer.config.findings import Findings
from aioverseer.config.merging import Stack
from aioverseer.config.sections import hint_for
from aioverseer.config.shapes import Path, is_table

__all__ = ["check_variables", "services_that_exist"]


def services_that_exist(data: Mapping[str, Any], stack: Stack, findings: Findings, *, is_whole: bool) -> dict[str, Any]:
    """Report services that a profile or a setting changes and nothing defines, and return all others.

    A service is defined by a file, or by a profile or a setting that has its command.

    Args:
        data: The merged table.
        stack: The layers of the merged table.
        findings: Takes the problems.
        is_whole: Whether all files were read. If not, nothing is reported, as further services may exist.
    """
    services: dict[str, Any] = data.get("services", {})
    if "command" in data.get("defaults", {}):
        return services
    changed = {name: _services_in(profile) for name, profile in data.get("profiles", {}).items()}
    tables = [(services, id) for id in services] + [(each, id) for each in changed.values() for id in each]
    defined = {id for layer in stack.files for id in _services_in(layer.data)}
    # Only those that are not defined yet: to look for mistyped names is slow, and a file may have 20,000 services.
    defined |= {id for table, id in tables if id not in defined and _has_command(table[id])}
    unknown: list[tuple[Path, str]] = [(("services", id), id) for id in services if id not in defined]
    unknown += [
        (("profiles", name, "services", id), id) for name, each in changed.items() for id in each if id not in defined
    ]
    for path, id in unknown if is_whole else []:
        hint = None if findings.is_full else _hint(id, sorted(defined), findings)
        findings.add(path, f"there is no service {id!r}", hint, of_key=True)
    return {id: table for id, table in services.items() if id in defined}


def check_variables(data: Mapping[str, Any], stack: Stack, findings: Findings) -> None:
    """Report settings of variables that the file neither has nor uses.

    Args:
        data: The merged table.
        stack: The layers of the merged table.
        findings: Takes the problems.
    """
    given = {name for layer in stack.settings for name in _table(layer.data, "vars")}
    layers = [layer.data for layer in stack.files] + list(data.get("profiles", {}).values())
    known = {name for each in layers for name in _table(each, "vars")}
    unknown = given - known
    used = set(re.findall(r"\{vars\.([^{}.]*)", str([layer.data for layer in stack.all]))) if unknown else set[str]()
    for name in sorted(unknown - used):
        findings.add(("vars", name), f"there is no variable {name!r}", hint_for(name, sorted(known | used), findings))


def _services_in(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {id: table for id, table in _table(data, "services").items() if is_table(table)}


def _has_command(table: Mapping[str, Any]) -> bool:
    """Return whether a table has a command, or a mistyped one, which has a problem of its own."""
    return "command" in table or bool(difflib.get_close_matches("command", table, n=1, cutoff=0.8))


def _table(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if is_table(found) else {}


def _hint(id: str, known: Collection[str], findings: Findings) -> str | None:
    if known and id in {"command", *SpecOptions.__annotations__}:
        return f"write {next(iter(known))}.{id}=..., or defaults.{id}=... for all"
    return hint_for(id, known, findings)
