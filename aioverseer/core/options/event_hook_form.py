"""EVENT_HOOK: the form of a hook as data, with the names of files."""

from __future__ import annotations

from aioverseer.core.export import exported_from
from aioverseer.core.options.event_hook import WORDS, EventHook
from aioverseer.core.options.forms import COMMAND, ListOf, OrNone, Record
from aioverseer.core.options.leaf_forms import PATH, TEXT, Seconds, Whole, Word
from aioverseer.core.options.spec_data import FORMS

__all__ = ["EVENT_HOOK", "hook_form"]

EVENT_HOOK = Record(
    EventHook,
    {
        "on": ListOf(Word(WORDS), alone=True, least=1),
        "run": COMMAND,
        "services": OrNone(ListOf(TEXT, alone=True, least=1), word=False),
        "timeout": Seconds(above=True),
        "max_running": Whole(1, unit="runs"),
        "cwd": OrNone(PATH, word=False),
        "extra_env": FORMS["extra_env"],
    },
    defaults={"extra_env": {}},
)
"""The form of an ``EventHook``."""


@exported_from("aioverseer.forms")
def hook_form() -> Record:
    """Return the form of an EventHook."""
    return EVENT_HOOK
