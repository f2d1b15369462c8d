"""Exports of Specs without a file, and the settings of a unit."""

from __future__ import annotations

from typing import Any

import yaml

from aioverseer import Spec
from aioverseer.config import Config
from aioverseer.config.export import Export, export

__all__ = ["documents", "exported", "file_with", "said", "settings"]


def file_with(*specs: Spec, **more: Any) -> Config:
    """Return the content of a file.

    Args:
        specs: The services.
        more: Further attributes of the Config.
    """
    path = "/srv/shop/aioverseer.toml"
    usual: dict[str, Any] = {"name": "shop", "path": path, "files": (path,), "specs": specs}
    return Config(**usual | more)


def exported(kind: str, *specs: Spec, **more: Any) -> Export:
    """Return the export of some Specs.

    Args:
        kind: The target.
        specs: The services.
        more: Further attributes of the file.
    """
    return export(file_with(*specs, **more), kind)


def settings(text: str) -> list[str]:
    """Return the settings of a unit, without sections and comments."""
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


def documents(export: Export) -> list[Any]:
    """Return the documents of the only file of an export, which is YAML."""
    (text,) = export.files.values()
    return list(yaml.safe_load_all(text))


def said(export: Export, key: str) -> list[tuple[str, str]]:
    """Return the kind and the text of each note about a key."""
    return [(note.what, note.text) for note in export.notes if note.key == key]
