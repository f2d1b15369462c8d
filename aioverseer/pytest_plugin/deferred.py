"""Modules that are imported on first use, because each of them imports the whole library.

pytest loads the plugin in every environment that has the library installed. A run without services must not pay for it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aioverseer import testing
    from aioverseer.pytest_plugin import folders, overseers, shared, tracebacks

__all__ = ["folders", "overseers", "shared", "testing", "tracebacks"]

_MODULES = {
    "folders": "aioverseer.pytest_plugin.folders",
    "overseers": "aioverseer.pytest_plugin.overseers",
    "shared": "aioverseer.pytest_plugin.shared",
    "testing": "aioverseer.testing",
    "tracebacks": "aioverseer.pytest_plugin.tracebacks",
}


def __getattr__(name: str) -> ModuleType:
    """Import a module when it is first asked for; see PEP 562."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = globals()[name] = importlib.import_module(_MODULES[name])
    return module
