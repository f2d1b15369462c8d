"""Specs as tables of a file: what a file says after its variables and placeholders were replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aioverseer import Spec
from aioverseer.config.convert.escapes import escaped
from aioverseer.config.shapes import is_list, is_table

__all__ = ["tables_of"]


def tables_of(specs: Iterable[Spec]) -> dict[str, dict[str, Any]]:
    """Return the tables of services, which a load reads as the same Specs.

    Args:
        specs: The Specs.
    """
    tables: dict[str, dict[str, Any]] = {}
    for spec in specs:
        options = spec.to_dict()
        del options["id"]
        tables[spec.id] = _escaped(options)
    return tables


def _escaped(data: Any) -> Any:
    if isinstance(data, str):
        return escaped(data)
    if is_table(data):
        return {key: _escaped(each) for key, each in data.items()}
    return [_escaped(each) for each in data] if is_list(data) else data
