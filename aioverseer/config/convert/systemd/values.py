"""Times, sizes and other values, as systemd reads them."""

from __future__ import annotations

import re

__all__ = ["NO", "YES", "read_bytes", "read_seconds"]

YES = ("yes", "true", "on", "1", "y", "t")
NO = ("no", "false", "off", "0", "n", "f")

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµμ]*)", re.IGNORECASE)
_UNITS: dict[str, float] = {
    **dict.fromkeys(("us", "usec", "µs", "μs"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
    **dict.fromkeys(("month", "months"), 2_629_800),
    **dict.fromkeys(("y", "year", "years"), 31_557_600),
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)B?", re.IGNORECASE)


def read_seconds(text: str) -> float | None:
    """Return the seconds of a time span, such as ``1min 30s``; infinity for ``infinity``, None if it is none."""
    stripped = text.strip()
    if stripped.lower() == "infinity":
        return float("inf")
    seconds, end = 0.0, 0
    while end < len(stripped):
        found = _PART.match(stripped, end)
        # "M" is months and "m" minutes; all other units are in any case.
        unit = None if found is None else {"M": "months", "m": "min"}.get(found[2], found[2].lower())
        if found is None or unit not in _UNITS:
            return None
        seconds += float(found[1]) * _UNITS[unit]
        end = found.end()
    seconds = round(seconds, 6)
    return None if not stripped else int(seconds) if seconds.is_integer() else seconds


def read_bytes(text: str) -> int | None:
    """Return the bytes of a size, such as ``512M``; None if it is none."""
    found = _SIZE.fullmatch(text.strip())
    return None if found is None else int(float(found[1]) * 1024 ** " KMGTPE".index(found[2].upper() or " "))
