"""Tables of hooks as values: their paths, variables, and the services that they name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Container, Iterable, Mapping
from typing import Any

from aioverseer import EventHook, SpecError
from aioverseer.config.findings import Findings
from aioverseer.config.sections import hint_for
from aioverseer.config.shapes import Path, is_table

__all__ = ["read_hooks"]


def read_hooks(
    tables: Iterable[Any],
    *,
    folder: str,
    variables: Mapping[str, str],
    services: Iterable[str],
    left_out: Mapping[str, str],
    findings: Findings,
) -> tuple[EventHook, ...]:
    """Return the hooks of a file.

    Args:
        tables: The tables, with the variables replaced.
        folder: Folder of the file, at which relative paths begin.
        variables: Variables of the environment that all commands get in addition.
        services: Names of the services.
        left_out: The services that are not part of this load, with the reason.
        findings: Takes the problems.
    """
    known = dict.fromkeys(services)
    hooks: dict[tuple[Any, ...], tuple[int, EventHook]] = {}
    """The hooks by all their values, with their places."""
    plain = [each.name for each in dataclasses.fields(EventHook) if each.name != "extra_env"]
    for at, table in enumerate(tables):
        path: Path = ("hooks", at)
        if not is_table(table):
            findings.add(path, "this is no table", 'write [[hooks]], on = ["fatal"], run = ["./notify.sh"]')
            continue
        try:
            hook = EventHook.from_dict(_placed(table, folder, variables))
        except SpecError as error:
            findings.add_error(path, error)
            continue
        for name in hook.services or ():
            if name not in left_out and not _is_known(name, known):
                findings.add((*path, "services"), f"{name!r} is no service", hint_for(name, known, findings))
        values = (*(getattr(hook, name) for name in plain), frozenset(hook.extra_env.items()))
        first = hooks.setdefault(values, (at, hook))[0]
        if first != at:
            findings.add(path, f"hook {first + 1} is the same", "leave one of them out")
    return tuple(hook for _, hook in hooks.values())


def _placed(table: Mapping[str, Any], folder: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a table whose command runs below the folder of the file, and with its variables."""
    placed = {"cwd": folder, **table}
    cwd, own = placed["cwd"], placed.get("extra_env", {})
    if isinstance(cwd, str) and cwd and not cwd.startswith("~"):
        placed["cwd"] = os.path.normpath(os.path.join(folder, cwd))
    if variables and is_table(own):
        placed["extra_env"] = {**variables, **own}
    return placed


def _is_known(name: str, known: Container[str]) -> bool:
    """Return whether a name is that of a service, of a set of instances, or of an instance."""
    owner, _, index = name.rpartition(".")
    return name in known or (index.isdecimal() and owner in known)
