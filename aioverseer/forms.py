"""Values as data: forms read JSON values, write them, and tell their JSON Schema.

``Spec.from_dict``, files and control interfaces share them. A form finds everything that is wrong in the data at once,
each thing with its place: ``DataError.flaws``. No value is part of a message, as it may be a secret.
"""

from __future__ import annotations

from aioverseer.core.options.command_text import split_command
from aioverseer.core.options.data_words import hint_for_option
from aioverseer.core.options.event_hook_data import hook_form
from aioverseer.core.options.flaws import DataError, Flaw
from aioverseer.core.options.form import Form
from aioverseer.core.options.forms import CommandLine, Either, ListOf, MappingOf, OrNone, Table
from aioverseer.core.options.group_data import group_form
from aioverseer.core.options.leaf_forms import Flag, Number, Seconds, Signal, Size, Text, Whole, Word
from aioverseer.core.options.overseer_options import overseer_form
from aioverseer.core.options.spec_data import service_form

__all__ = [
    "CommandLine",
    "DataError",
    "Either",
    "Flag",
    "Flaw",
    "Form",
    "ListOf",
    "MappingOf",
    "Number",
    "OrNone",
    "Seconds",
    "Signal",
    "Size",
    "Table",
    "Text",
    "Whole",
    "Word",
    "group_form",
    "hint_for_option",
    "hook_form",
    "overseer_form",
    "service_form",
    "split_command",
]
