"""Hooks as data: the form of their options, with the names of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.event_words import WORDS
from aioverseer.core.options.flaws import DataError
from aioverseer.core.options.forms import COMMAND, ListOf, MappingOf, Table, flaw_of
from aioverseer.core.options.leaf_forms import PATH, Seconds, Text, Whole, Word

__all__ = ["hook_form", "read_event_hook"]

_HOOK = Table(
    {
        "on": ListOf(Word(WORDS), alone=True, least=1),
        "run": COMMAND,
        "services": ListOf(Text("name"), alone=True, least=1),
        "timeout": Seconds(above=True),
        "max_running": Whole(1, unit="runs"),
        "cwd": PATH,
        "extra_env": MappingOf(
            Text(empty=True, number=True), Text("name of a variable", pattern=r"[^=\u0000]+", example="PATH")
        ),
    },
    required=("on", "run"),
    docs={
        "on": "Texts of states, kinds of events, or `failed`: an end that is a failure.",
        "run": "The command, which gets the event as JSON on its standard input.",
        "services": "Names of services, or of sets of instances; all without any.",
        "timeout": "Time of one run of the command.",
        "max_running": "Runs of the command at once. With 1, they keep the order of the events.",
        "cwd": "Working directory of the command.",
        "extra_env": "Variables in addition to those of the overseer.",
    },
)


@exported_from("aioverseer.forms")
def hook_form() -> Table:
    """Return the form of the options of an EventHook, read as keywords."""
    return _HOOK


def read_event_hook(make: Callable[..., Any], data: Any) -> Any:
    """Return the hook of JSON values; see ``EventHook.from_dict``.

    Args:
        make: The class.
        data: Its options.
    """
    try:
        options = _HOOK.read(data)
    except DataError as error:
        raise DataError.of(error.flaws, owner="hook: ") from None
    try:
        return make(**options)
    except SpecError as error:
        raise DataError.of([flaw_of(error, {}, _HOOK.fields)], owner="hook: ") from error
