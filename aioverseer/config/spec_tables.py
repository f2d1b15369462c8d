"""Specs as tables of a file: what a file says after its variables and placeholders were replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aioverseer import Spec
from aioverseer.config.convert.escapes import escaped, escaped_variables
from aioverseer.config.services import FILLED, PLACEHOLDERS_STAY
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
        # The overseer replaces the words of a service whose runs get values. A load replaces those of any other one.
        is_template = not options.keys().isdisjoint(PLACEHOLDERS_STAY)
        tables[spec.id] = {
            name: _escaped(each, escaped if name in FILLED and not is_template else escaped_variables)
            for name, each in options.items()
        }
    return tables


def _escaped(data: Any, escape: Callable[[str], str]) -> Any:
    if isinstance(data, str):
        return escape(data)
    if is_table(data):
        return {key: _escaped(each, escape) for key, each in data.items()}
    return [_escaped(each, escape) for each in data] if is_list(data) else data
