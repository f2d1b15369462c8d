"""Descriptions of options for schemas, from the docstrings of their classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["described"]

_ROW = re.compile(r"^    \*{0,2}(\w+): ", re.MULTILINE)


def described(properties: Mapping[str, dict[str, Any]], owner: object, names: Mapping[str, str]) -> dict[str, Any]:
    """Return properties of a schema with the descriptions of a docstring.

    Args:
        properties: Schemas by the names in the data.
        owner: Class or function with the docstring.
        names: Names of the docstring, by those in the data.
    """
    texts = _descriptions(owner)
    return {
        name: _with_text(texts[names[name]], schema) if names[name] in texts else schema
        for name, schema in properties.items()
    }


def _with_text(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    # In draft 7 other keys beside "$ref" do not count.
    return {"description": text, **({"allOf": [schema]} if "$ref" in schema else schema)}


def _descriptions(owner: object) -> dict[str, str]:
    """Return the texts of the sections Attributes and Args; none where Python runs without docstrings."""
    doc = inspect.getdoc(owner) or ""
    if isinstance(owner, type):
        init = inspect.getdoc(vars(owner)["__init__"]) if "__init__" in vars(owner) else None
        doc = f"{init or ''}\n\n{doc}"
    found: dict[str, str] = {}
    for section in re.findall(r"^(?:Attributes|Args):\n((?:(?: .*)?\n?)*)", doc, re.MULTILINE):
        starts = list(_ROW.finditer(section))
        for number, start in enumerate(starts):
            end = starts[number + 1].start() if number + 1 < len(starts) else len(section)
            found[start[1]] = " ".join(section[start.end() : end].split()).replace("``", "`")
    return found
