"""Shapes of data: type guards for the tables and lists of a file."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["Path", "is_list", "is_table", "size_of"]

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def size_of(value: Any) -> int:
    """Return the number of characters and values in a value."""
    if isinstance(value, str):
        return len(value)
    inner = list(value.values()) if is_table(value) else value if is_list(value) else []
    return 1 + sum(size_of(each) for each in inner)
