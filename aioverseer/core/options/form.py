"""Form: the conversion of one kind of value to JSON values and back, with the JSON Schema of what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from aioverseer.core.export import exported_from
from aioverseer.core.options.flaws import refused

__all__ = ["NO_TABLE", "Form", "is_list", "is_tuple", "table"]


NO_TABLE = "write a table of names and values"
"""Advice about data that are no table."""


@exported_from("aioverseer.forms")
class Form:
    """Conversion of one kind of value."""

    def write(self, value: Any) -> Any:
        """Return JSON values for a value."""
        raise NotImplementedError

    def read(self, data: Any) -> Any:
        """Return the value of JSON values.

        Args:
            data: The JSON values.

        Raises:
            DataError: If the data cannot be a value of this kind; with all that is wrong, and no value in it.
        """
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the data that ``read`` takes; forms by name are below ``#/$defs``."""
        raise NotImplementedError


def is_list(data: Any) -> TypeGuard[list[Any]]:
    """Return whether JSON values are a list."""
    return isinstance(data, list)


def is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    """Return whether a value is a tuple."""
    return isinstance(value, tuple)


def table(data: Any) -> Mapping[str, Any]:
    """Return data that must be an object with texts as keys."""
    kind = type(data).__name__
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in cast("Mapping[object, object]", data)):
        raise refused(f"is of type {kind}: {NO_TABLE}")
    return cast("Mapping[str, Any]", data)
