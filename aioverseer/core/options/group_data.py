"""Groups as data: the form of their options, with the names of files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from aioverseer.core.options.forms import Record
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.spec_data import FORMS

__all__ = ["group_form", "read_group"]


@functools.cache
def group_form(make: Callable[..., Any]) -> Record:
    """Return the form of a group.

    Args:
        make: The class.
    """
    fields = {"restart": FORMS["restart"], "on_give_up": FORMS["on_give_up"]}
    return Record(make, fields, defaults={"restart": Restart()})


def read_group(make: Callable[..., Any], name: str, data: Mapping[str, Any]) -> Any:
    """Return the group of JSON values; see ``Group.from_dict``.

    Args:
        make: The class.
        name: Name of the group.
        data: Its options.
    """
    return group_form(make).read({**data, "name": name}, f"groups.{name}")
