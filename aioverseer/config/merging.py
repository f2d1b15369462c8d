"""Merging of tables: by key, and the upper one replaces everything else. Also the layer that a value came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aioverseer.config.document import Document
from aioverseer.config.shapes import Path, is_list, is_table

__all__ = ["Layer", "Origin", "Stack", "merge"]

_PROBES = {
    each: each for each in "tcp unix http line prompt file command notify fd check all any entered function".split()
}
_ONE_OF = {
    "ready": _PROBES,
    "probe": _PROBES,
    "schedule": {"cron": "cron", "every": "every"},
    "stop": {"signal": "signal", "timeout": "signal", "steps": "steps"},
    "stdin": {"file": "file", "base64": "base64", "program": "program"},
}
"""Options whose table is of one kind, and the kind that each key tells. A table of another kind replaces it."""


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both tables as one; neither is changed.

    Args:
        under: The lower table.
        over: The upper one. Its values replace those of the lower one, and tables are merged.
    """
    merged = dict(under)
    for key, value in over.items():
        lower = merged.get(key)
        if is_table(value) and is_table(lower) and not _is_other_kind(key, lower, value):
            value = merge(lower, value)  # noqa: PLW2901  # the value that counts
        merged[key] = value
    return merged


def _is_other_kind(key: str, under: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    kinds = _ONE_OF.get(key)
    if kinds is None:
        return False
    mine, theirs = ({kinds[each] for each in kinds.keys() & table} for table in (over, under))
    return bool(mine and theirs) and mine != theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The place in a file that a value came from."""

    document: Document
    path: Path

    @property
    def value(self) -> Any:
        """The value as the file has it, with the variables of the file in full; None where it cannot be found."""
        data: Any = self.document.data
        for key in self.path[len(self.document.root) :]:
            if not _has(data, (key,)):
                return None
            data = data[key]
        return [data, self.document.data.get("vars")] if "{vars." in str(data) else data


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A table of a document that is merged with others.

    Attributes:
        document: The document.
        path: Path of the table in it.
        data: The table.
        is_override: Whether it is a profile or a setting.
    """

    document: Document
    path: Path
    data: Mapping[str, Any]
    is_override: bool = False


class Stack:
    """Layers in their order, the lowest first."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    @property
    def all(self) -> Sequence[Layer]:
        """All layers."""
        return self._layers

    @property
    def files(self) -> list[Layer]:
        """The files without their profiles."""
        return [each for each in self._layers if not each.is_override]

    @property
    def settings(self) -> list[Layer]:
        """The settings of the command line."""
        return [each for each in self._layers if each.is_override and not each.path]

    def merged(self) -> dict[str, Any]:
        """Return all layers as one table."""
        merged: dict[str, Any] = {}
        for layer in self._layers:
            merged = merge(merged, layer.data)
        return merged

    def origin(self, path: Path) -> Origin:
        """Return where a value of the merged table stands; for a missing one, where the table around it stands.

        An option of a service that its own table does not have is looked for among the defaults.
        """
        for length in range(len(path), 0, -1):
            for wanted in _places(path[:length]):
                having = [layer for layer in self._layers if _has(layer.data, wanted)]
                if having:
                    # The topmost layer has the value that counts. The lowest one has the table that lacks a value.
                    lacks = length < len(path) and all(is_table(_value(layer.data, wanted)) for layer in having)
                    layer = having[0] if lacks else having[-1]
                    return Origin(document=layer.document, path=(*layer.path, *wanted))
        return Origin(document=self._layers[0].document, path=self._layers[0].path)


def _places(path: Path) -> list[Path]:
    match path:
        case ("services", str(), _, *_):
            return [path, ("defaults", *path[2:])]
        case _:
            return [path]


_MISSING = object()


def _has(data: Any, path: Path) -> bool:
    return _value(data, path) is not _MISSING


def _value(data: Any, path: Path) -> Any:
    for key in path:
        if is_table(data) and key in data:
            data = data[str(key)]
        elif is_list(data) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            return _MISSING
    return data
