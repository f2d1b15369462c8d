"""Words and numbers as supervisord reads them."""

from __future__ import annotations

import re

__all__ = ["NO", "YES", "read_size"]

YES = ("true", "yes", "on", "1")
NO = ("false", "no", "off", "0")

_SIZE = re.compile(r"(\d+)(kb|mb|gb)?", re.IGNORECASE)
_FACTORS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def read_size(text: str) -> int | None:
    """Return a size in bytes, for example of ``50MB``; None if it is none."""
    found = _SIZE.fullmatch(text.strip())
    return int(found[1]) * _FACTORS[(found[2] or "").lower()] if found else None
