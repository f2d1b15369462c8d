"""Shapes of data: type guards for the tables and lists of a file."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["Path", "is_list", "is_table"]

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list."""
    return isinstance(value, list)
