"""The sections of a file: which there are, and what each may hold."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Mapping
from typing import Any

from aioverseer.config.findings import Findings
from aioverseer.config.loaded import ControlOptions
from aioverseer.config.shapes import Path, is_table
from aioverseer.config.unused import check_profile, without_variables

__all__ = ["SECTIONS", "check_names", "check_outline", "check_profiles", "hint_for", "read_control"]

SECTIONS: dict[str, tuple[type, str]] = {
    "$schema": (str, 'write the address of the schema, as editors read it: "$schema" = "./aioverseer.schema.json"'),
    "version": (int, "write version = 1"),
    "name": (str, 'write a text: name = "shop"'),
    "include": (list, 'write a list of paths: include = ["services/*.toml"]'),
    "env_files": (list, 'write a list of paths: env_files = [".env", "?.env.local"]'),
    "vars": (dict, "write a table of names and values"),
    "defaults": (dict, "write a table of options: [defaults]"),
    "profiles": (dict, "write a table for each: [profiles.dev.services.web]"),
    "control": (dict, 'write a table: control = { tcp = "127.0.0.1:8470" }'),
    "overseer": (dict, "write a table: [overseer]"),
    "groups": (dict, 'write a table for each: [groups.workers], strategy = "one_for_all"'),
    "services": (dict, 'write a table for each: [services.web], command = ["python", "serve.py"]'),
    "hooks": (list, 'write a list of tables: [[hooks]], on = ["fatal"], run = ["./notify.sh"]'),
}
"""Each key at the top of a file, its type, and an example."""

OF_PROFILES = ("env_files", "vars", "defaults", "control", "overseer", "groups", "services", "hooks")
"""Sections that a profile may change."""

_TABLES = ("services", "groups", "profiles")
"""Sections that are tables of tables."""

VERSION = 1

_MOST_SHOWN = 10
"""Names that exist, in one message."""

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}")


def hint_for(name: str, known: Collection[str], findings: Findings) -> str | None:
    """Return a name that was probably meant, or those that there are; None where so many problems need no advice.

    Args:
        name: A name that does not exist.
        known: Names that exist.
        findings: The problems so far.
    """
    if findings.is_full:
        return None
    near = difflib.get_close_matches(name, known, n=1) if findings.may_compare(len(known)) else []
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(itertools.islice(known, _MOST_SHOWN))
    more = f" and {len(known) - _MOST_SHOWN} more" if len(known) > _MOST_SHOWN else ""
    return f"there are {shown}{more}" if known else "there are none"


def check_names(data: Mapping[str, Any], known: Collection[str], path: Path, findings: Findings) -> None:
    """Report the keys of a table that do not exist.

    Args:
        data: The table.
        known: Keys that exist.
        path: Place of the table.
        findings: Takes the problems.
    """
    for key in data:
        if key not in known:
            findings.add((*path, key), "there is no such key", hint_for(key, known, findings), of_key=True)


def check_outline(data: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Report unknown sections and sections of another type, and return those that can be looked at.

    Args:
        data: The merged table of a file.
        findings: Takes the problems.
    """
    check_names(data, SECTIONS, (), findings)
    good = _of_right_type(data, (), findings)
    version = good.get("version", VERSION)
    if version != VERSION:
        findings.add(("version",), f"version {version} is not known", f"this aioverseer reads version = {VERSION}")
    for name, profile in good.get("profiles", {}).items():
        check_names(profile, OF_PROFILES, ("profiles", name), findings)
        good["profiles"][name] = _of_right_type(profile, ("profiles", name), findings)
    return good


def check_profiles(profiles: Mapping[str, Mapping[str, Any]], findings: Findings) -> None:
    """Report what is wrong in profiles, those that were not chosen too.

    Args:
        profiles: Their sections whose types are right.
        findings: Takes the problems.
    """
    for name, sections in profiles.items():
        check_profile(sections, ("profiles", name), findings)
        read_control(without_variables(sections.get("control", {})), findings, ("profiles", name, "control"))


def read_control(table: Mapping[str, Any], findings: Findings, path: Path = ("control",)) -> ControlOptions:
    """Return the options of the control interface.

    Args:
        table: The section ``control``.
        findings: Takes the problems.
        path: Place of the table.
    """
    check_names(table, ("tcp", "metrics"), path, findings)
    tcp, metrics = table.get("tcp"), table.get("metrics", False)
    if tcp is not None and (not isinstance(tcp, str) or not _is_address(tcp)):
        findings.add((*path, "tcp"), "this is no address", 'write tcp = "127.0.0.1:8470"')
        tcp = None
    if not isinstance(metrics, bool):
        findings.add((*path, "metrics"), "this is neither", "write true or false")
        metrics = False
    return ControlOptions(tcp=tcp, metrics=metrics)


def _is_address(text: str) -> bool:
    return _ADDRESS.fullmatch(text) is not None and int(text.rpartition(":")[2]) < 2**16


def _of_right_type(data: Mapping[str, Any], path: Path, findings: Findings) -> dict[str, Any]:
    """Return the sections whose types are right, and report all others."""
    good: dict[str, Any] = {}
    for key, value in data.items():
        if key not in SECTIONS:
            continue
        kind, example = SECTIONS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            findings.add((*path, key), f"this is {_word(value)}", example)
        elif key in _TABLES and is_table(value):
            good[key] = {name: inner for name, inner in value.items() if is_table(inner)}
            for name in value.keys() - good[key].keys():
                findings.add((*path, key, name), f"this is {_word(value[name])}", example)
        else:
            good[key] = value
    return good


def _word(value: object) -> str:
    """Return the name of a type in TOML."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return "a date or time"
