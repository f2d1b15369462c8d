"""Descriptions of services in files, read into public ``Spec`` values.

Each format has a module of its own. The modules are pure: ``files.py`` alone reads files, and passes their text on.
Each public name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aioverseer.config.advice import Advice, advise
    from aioverseer.config.convert.conversion import Conversion, Note
    from aioverseer.config.file_schema import schema
    from aioverseer.config.foreign import convert_file
    from aioverseer.config.loaded import Config, ControlOptions
    from aioverseer.config.loader import load
    from aioverseer.config.problems import ConfigError, Problem
    from aioverseer.config.procfile import read_procfile
    from aioverseer.config.start_order import draw_graph, draw_tree
    from aioverseer.config.starter import Starter
    from aioverseer.config.starter_folder import make_starter
    from aioverseer.config.toml_text import to_toml

__all__ = [
    "Advice",
    "Config",
    "ConfigError",
    "ControlOptions",
    "Conversion",
    "Note",
    "Problem",
    "Starter",
    "advise",
    "convert_file",
    "draw_graph",
    "draw_tree",
    "load",
    "make_starter",
    "read_procfile",
    "schema",
    "to_toml",
]

_HOMES = {
    "Advice": "advice",
    "Config": "loaded",
    "ConfigError": "problems",
    "ControlOptions": "loaded",
    "Conversion": "convert.conversion",
    "Note": "convert.conversion",
    "Problem": "problems",
    "Starter": "starter",
    "advise": "advice",
    "convert_file": "foreign",
    "draw_graph": "start_order",
    "draw_tree": "start_order",
    "load": "loader",
    "make_starter": "starter_folder",
    "read_procfile": "procfile",
    "schema": "file_schema",
    "to_toml": "toml_text",
}
"""The module that defines each name."""


def __getattr__(name: str) -> object:
    """Return a public name, and import it on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return all names, whether they were imported yet or not."""
    return sorted({*globals(), *__all__})
