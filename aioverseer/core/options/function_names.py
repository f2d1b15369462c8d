"""Names of functions and other objects that stand in Specs: the module, a colon, and the name inside of it."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any, cast

from aioverseer.core.options.flaws import DataError, Flaw

__all__ = ["is_function", "object_name", "resolve"]


def is_function(value: Any) -> bool:
    """Return whether a value is a function or a class that its name leads to.

    A lambda, a function inside of another one and a bound method have names, and no name leads to them.
    """
    name = getattr(value, "__qualname__", None)
    return callable(value) and isinstance(name, str) and "<" not in name and not _is_bound(value)


def _is_bound(value: Any) -> bool:
    owner = getattr(value, "__self__", None)
    if isinstance(owner, type):  # a class method, by the name of its class or of a class below that
        return bool(value.__qualname__ != f"{owner.__qualname__}.{value.__name__}")
    return owner is not None and not isinstance(owner, ModuleType)  # built-in functions are bound to their module


def object_name(value: Any) -> str:
    """Return module and name of a function or a class, or those of the class of another object.

    A ``functools.partial`` has the name of its function. An open file adds its own name.
    """
    while isinstance(value, functools.partial):
        value = cast("Any", value).func
    is_named = isinstance(getattr(value, "__qualname__", None), str)
    named: Any = value if is_named else value.__class__
    text = f"{named.__module__}:{named.__qualname__}"
    file = getattr(value, "name", None) if not is_named and hasattr(value, "fileno") else None
    return f"{text} {file!r}" if isinstance(file, str | int) else text


def resolve(name: str) -> Any:
    """Return the function or class of a name, and import its module.

    Args:
        name: Module and name, such as ``"app.checks:is_up"``.

    Raises:
        DataError: If there is no such module or name.
    """
    module, colon, inner = name.partition(":")
    if not (module and colon and inner):
        raise DataError.of([Flaw(message='is no name of a function: write "module:name"')])
    try:
        found: Any = importlib.import_module(module)
        for part in inner.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError.of([Flaw(message=f"names {name!r}, which cannot be found: {error}")]) from error
    return found
