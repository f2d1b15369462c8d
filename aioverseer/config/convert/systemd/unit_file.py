"""Unit files: sections with keys, where a key may come several times and an empty value begins anew."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from aioverseer.config.problems import ConfigError, Problem

__all__ = ["UnitFile", "read_unit"]

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]")
_COMMENT = ("#", ";")


@dataclass(slots=True)
class UnitFile:
    """A unit file, with those that change it.

    Attributes:
        name: Name of the unit, for example ``web.service``.
        sections: Values of each key, by section. An empty list is a key without an effect.
    """

    name: str
    sections: dict[str, dict[str, list[str]]] = field(default_factory=dict[str, dict[str, list[str]]])


def read_unit(text: str, path: str, unit: UnitFile) -> None:
    """Add the keys of a text to a unit.

    Args:
        text: The text of the file.
        path: The path of the file, for the error.
        unit: The unit; of a drop-in file the one that it changes.

    Raises:
        ConfigError: With each line that is not understood.
    """
    problems: list[Problem] = []
    here: dict[str, list[str]] | None = None
    for number, line in _lines(text):
        if found := _SECTION.fullmatch(line):
            here = unit.sections.setdefault(found["name"], {})
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or here is None:
            # The text of the line is no part of the message: it may hold the value of a variable.
            why = "stands before the first section" if here is None else "is no section, no comment and no Key=value"
            problems.append(Problem(file=path, line=number, message=f"this line {why}"))
        elif value:
            here.setdefault(key, []).append(value)
        else:
            here[key] = []
    if problems:
        raise ConfigError(problems)


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines with their first numbers. A backslash at the end goes on, over comments too."""
    lines: list[tuple[int, str]] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith(_COMMENT) or (not stripped and not parts):
            continue
        if not parts:
            first = number
        goes_on = stripped.endswith("\\")
        parts.append(stripped[:-1] if goes_on else stripped)
        if not goes_on:
            lines.append((first, " ".join(parts).strip()))
            parts = []
    if parts:
        lines.append((first, " ".join(parts).strip()))
    return [(number, line) for number, line in lines if line]
