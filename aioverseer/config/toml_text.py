"""Data as text in TOML, as a person would write it: a section for each service, short tables on one line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

from aioverseer.core.export import exported_from

__all__ = ["to_toml"]

_WIDTH = 100
"""Longest table on one line."""
_SECTIONS = frozenset({"overseer", "services", "groups", "profiles"})
"""Keys at the top of a file, and in a profile, that are never on one line."""
_OF_TABLES = frozenset({"services", "groups", "profiles"})
"""Sections that are tables of tables."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_UNSAID = frozenset({"body", "cwd", "end", "env", "log", "stamp", "stdin", "timezone", "user"})
"""Options whose None is their default, and whose text ``"none"`` would be a value."""


@exported_from("aioverseer.config")
def to_toml(data: Mapping[str, Any]) -> str:
    r"""Return data in the form of ``aioverseer.toml`` as text.

    None is written as ``"none"``, as TOML has no null.

    Args:
        data: Tables, lists, texts, numbers and bools, by the keys of the file.

    Raises:
        TypeError: For a value that TOML cannot say.
    """
    lines: list[str] = []
    _write(data, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _write(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    """Add the lines of a table: its values on one line each first, then the tables that need sections.

    A header that nothing but further headers would follow is left out.
    """
    sections: list[tuple[str, Any]] = []
    for key, value in table.items():
        if value is None and key in _UNSAID:
            continue
        if _needs_section(key, value, path):
            sections.append((key, value))
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in sections:
        inner = (*path, key)
        if _is_list(value):
            for each in value:
                lines += ["", f"[[{_dotted(inner)}]]"]
                _write(each, inner, lines)
            continue
        if not value or not all(_needs_section(name, each, inner) for name, each in value.items()):
            lines += ["", f"[{_dotted(inner)}]"]
        _write(value, inner, lines)


def _needs_section(key: str, value: Any, path: tuple[str, ...]) -> bool:
    if _is_list(value):
        return not path and bool(value) and all(_is_table(each) for each in value)
    if not _is_table(value):
        return False
    inner = _below_profile((*path, key))
    is_section = len(inner) == 1 and inner[0] in _SECTIONS
    is_item = len(inner) == 2 and inner[0] in _OF_TABLES  # noqa: PLR2004  # a section and a name
    return is_section or is_item or not inner or len(f"{_key(key)} = {_value(value)}") > _WIDTH


def _below_profile(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path without ``profiles.dev`` at its beginning, as a profile has the sections of a file."""
    return path[2:] if path[0] == "profiles" and len(path) > 1 else path


def _value(value: Any) -> str:
    if _is_table(value):
        pairs = [(key, each) for key, each in value.items() if each is not None or key not in _UNSAID]
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in pairs)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, cast('Iterable[Any]', value)))}]"
    match value:
        case None:
            return '"none"'
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(int(value))
        case float():
            return repr(float(value)) if math.isfinite(value) else str(float(value))
        case _:
            raise TypeError(f"TOML has no value of type {type(value).__name__}: write texts, numbers, lists and tables")


def _text(text: str) -> str:
    signs = (_ESCAPES.get(sign) or (sign if sign >= " " and sign != "\x7f" else f"\\u{ord(sign):04X}") for sign in text)
    return f'"{"".join(signs)}"'


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _dotted(path: Iterable[str]) -> str:
    return ".".join(map(_key, path))


def _is_table(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
