"""Groups as data: the form of their options, with the names of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.flaws import DataError
from aioverseer.core.options.forms import Table, flaw_of
from aioverseer.core.options.leaf_forms import FLAG, Text, Word
from aioverseer.core.options.spec_data import GIVE_UP, RESTART

__all__ = ["group_form", "read_group"]

_GROUP = Table(
    {
        "strategy": Word(["one_for_one", "one_for_all", "rest_for_one"]),
        "restart": RESTART,
        "parent": Text(empty=True),
        "auto_shutdown": Word(["never", "any_significant", "all_significant"]),
        "on_give_up": GIVE_UP,
        "significant": FLAG,
    },
    docs={
        "strategy": "Choice of members that are restarted together.",
        "restart": "One budget and backoff for all members.",
        "parent": "Name of the group that this one is a member of.",
        "auto_shutdown": "Condition for the end of the group.",
        "on_give_up": "Consequence when the group has given up.",
        "significant": "Whether the end of this group counts for `auto_shutdown` of its parent.",
    },
)


@exported_from("aioverseer.forms")
def group_form() -> Table:
    """Return the form of the options of a Group, read as keywords."""
    return _GROUP


def read_group(make: Callable[..., Any], name: str, data: Any) -> Any:
    """Return the group of JSON values; see ``Group.from_dict``.

    Args:
        make: The class.
        name: Name of the group.
        data: Its options.
    """
    owner = f"group {name!r}: "
    try:
        options = _GROUP.read(data)
    except DataError as error:
        raise DataError.of(error.flaws, owner=owner) from None
    try:
        return make(name=name, **options)
    except SpecError as error:
        raise DataError.of([flaw_of(error, {}, _GROUP.fields)], owner=owner) from error
