"""EVENT_HOOK: the form of a hook as data, which files use."""

from __future__ import annotations

from aioverseer.core.options.event_hook import EventHook
from aioverseer.core.options.forms import PLAIN, ListOf, MappingOf, Record, WordOr

__all__ = ["EVENT_HOOK"]

_WORDS = WordOr(ListOf(PLAIN))

EVENT_HOOK = Record(
    EventHook,
    {"on": _WORDS, "run": ListOf(PLAIN), "services": _WORDS, "extra_env": MappingOf(PLAIN)},
    defaults={"extra_env": {}},
)
"""The form of an ``EventHook``."""
