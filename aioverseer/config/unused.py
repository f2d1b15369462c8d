"""Checks of tables of which a load does not use every value: services that are left out, profiles, and defaults.

The forms that read values in use read these too, and the results are thrown away. A value with variables is left out,
as only a load that uses it knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioverseer import SpecError, SpecOptions
from aioverseer.config.findings import Findings
from aioverseer.config.shapes import Path, is_list, is_table
from aioverseer.forms import (
    Flag,
    Form,
    ListOf,
    Text,
    group_form,
    hint_for_option,
    hook_form,
    overseer_form,
    service_form,
)

__all__ = ["OF_FILES", "check_profile", "check_service", "without_variables"]

OF_FILES: dict[str, Form] = {
    "profiles": ListOf(Text()),
    "env_file": ListOf(Text(), alone=True),
    "enabled": Flag(),
}
"""Options of a service that files alone have, with the forms of their values."""


def check_service(table: Mapping[str, Any], path: Path, findings: Findings) -> None:
    """Report what is wrong in the table of a service, or in a part of it.

    Args:
        table: The table.
        path: Place of the table.
        findings: Takes the problems.
    """
    known = ["command", *SpecOptions.__annotations__, *OF_FILES]
    options = {name: value for name, value in table.items() if name in known}
    for name in table.keys() - options.keys():
        hint = None if findings.is_full else hint_for_option(name, known)
        findings.add((*path, name), f"there is no option {name!r}", hint, of_key=True)
    for name, form in OF_FILES.items():
        if name in options:
            _check(options.pop(name), form, (*path, name), findings)
    _check_table(options, service_form(), path, findings)


def check_profile(sections: Mapping[str, Any], path: Path, findings: Findings) -> None:
    """Report what is wrong in the tables of a profile.

    Args:
        sections: The sections of the profile whose types are right.
        path: Place of the profile.
        findings: Takes the problems.
    """
    for id, table in sections.get("services", {}).items():
        check_service(table, (*path, "services", id), findings)
    check_service(sections.get("defaults", {}), (*path, "defaults"), findings)
    _check_table(sections.get("overseer", {}), overseer_form(), (*path, "overseer"), findings)
    for name, table in sections.get("groups", {}).items():
        _check_table(table, group_form(), (*path, "groups", name), findings)
    for at, table in enumerate(sections.get("hooks", [])):
        _check(table, hook_form(), (*path, "hooks", at), findings)


def without_variables(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a table that have no variables in them."""
    return {name: value for name, value in table.items() if not _has_variables(value)}


def _check_table(table: Mapping[str, Any], form: Form, path: Path, findings: Findings) -> None:
    _check(without_variables(table), form, path, findings)


def _check(value: Any, form: Form, path: Path, findings: Findings) -> None:
    if _has_variables(value):
        return
    try:
        form.read(value)
    except SpecError as error:
        findings.add_error(path, error)


def _has_variables(value: Any) -> bool:
    if is_table(value):
        return any(map(_has_variables, value.values()))
    if is_list(value):
        return any(map(_has_variables, value))
    return isinstance(value, str) and ("${" in value or "{vars." in value)
