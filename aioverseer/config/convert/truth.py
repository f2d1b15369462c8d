"""Words for true and false in YAML, as its version 1.1 reads them and Go does."""

from __future__ import annotations

__all__ = ["truth"]

_TRUE = frozenset({"true", "yes", "on", "y", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "0"})


def truth(value: object) -> bool | None:
    """Return what a text says; None if it says neither."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None
