"""Shapes of data: type guards for the tables and lists of a file."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["Path", "is_list", "is_table", "load_of", "size_of"]

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


_EACH = 32
"""Characters that cost as much as a key or a value."""


def load_of(value: Any) -> int:
    """Return what a copy of a value costs: its characters, and more for each key and value."""
    if isinstance(value, str):
        return _EACH + len(value)
    if is_table(value):
        return _EACH + sum(_EACH + len(key) + load_of(each) for key, each in value.items())
    return _EACH + sum(map(load_of, value if is_list(value) else ()))


def size_of(value: Any) -> int:
    """Return the number of characters and values in a value."""
    if isinstance(value, str):
        return len(value)
    inner = list(value.values()) if is_table(value) else value if is_list(value) else []
    return 1 + sum(size_of(each) for each in inner)
