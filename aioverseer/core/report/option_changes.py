"""The changes between two Specs as lines for people. Secrets are left out: the environment, and what is fed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, cast

from aioverseer.core.options.effects import EFFECTS, changed_options
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.spec_data import option_to_data
from aioverseer.core.report.changes import OptionChange

__all__ = ["option_changes"]

_SECRET = frozenset({"env", "extra_env", "stdin"})
"""Options whose values may be secret. A change of the environment names the variables."""
_SHOWN = 60
"""Characters of a value that a line shows."""
_ABSENT = object()
_HIDDEN = "(hidden)"


def option_changes(before: Spec, after: Spec) -> tuple[OptionChange, ...]:
    """Return the changes from one Spec to another, sorted by the names of the options.

    Functions are compared by module and name, as data has them.
    """
    changes: list[OptionChange] = []
    for name in changed_options(before, after):
        old, new = option_to_data(name, getattr(before, name)), option_to_data(name, getattr(after, name))
        if old == new:
            continue
        if name == "argv":
            changes.append(_change(name, "command", shlex.join(before.argv), shlex.join(after.argv)))
        elif name in _SECRET:
            changes += _secret_changes(name, old, new)
        else:
            changes += (_change(name, place, *pair) for place, *pair in _leaves(name, old, new))
    return tuple(changes)


def _secret_changes(name: str, old: Any, new: Any) -> Iterator[OptionChange]:
    """Yield the changes of variables, or of the input, without a value."""
    before, after = (cast("Mapping[str, Any]", each if isinstance(each, Mapping) else {}) for each in (old, new))
    if name == "stdin" or (old is None) != (new is None):
        yield _change(name, name, *(None if each is None else _HIDDEN for each in (old, new)))
        return
    for variable in sorted({*before, *after}):
        if before.get(variable) != after.get(variable):
            shown = (_HIDDEN if variable in values else None for values in (before, after))
            yield _change(name, f"{name}.{variable}", *shown)


def _leaves(place: str, old: Any, new: Any) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each value that differs, with its place; objects are looked into where both sides have one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new)
        for key in [*before, *(key for key in after if key not in before)]:
            one, other = before.get(key, _ABSENT), after.get(key, _ABSENT)
            if one != other:
                yield from _leaves(f"{place}.{key}", one, other)
        return
    yield place, _text(old), _text(new)


def _text(value: Any) -> str | None:
    if value is None or value is _ABSENT:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _change(name: str, place: str, before: str | None, after: str | None) -> OptionChange:
    return OptionChange(option=place, before=before, after=after, effect=EFFECTS[name])
