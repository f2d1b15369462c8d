"""Durations and sizes as Go, Docker and pm2 write them, in seconds and bytes."""

from __future__ import annotations

import re

__all__ = ["binary_size", "go_duration", "number", "plain", "pm2_duration"]

_GO = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_GO_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_PM2 = re.compile(r"(\d+)([hms]?)")
_PM2_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 0.001}


def plain(value: float) -> int | float:
    """Return a number without a fraction as an int, for a file that is easy to read."""
    value = round(value, 6)
    return int(value) if value == int(value) else value


def number(text: str) -> float | None:
    """Return the number that a text is; None for any other text."""
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text.strip()) else None


def go_duration(text: str) -> int | float | None:
    """Return the seconds of ``1m30s``; None for any other text. ``0`` needs no unit."""
    text = text.strip()
    if text == "0":
        return 0
    parts = _GO.findall(text)
    if not parts or "".join(amount + unit for amount, unit in parts) != text:
        return None
    return plain(sum(float(amount) * _GO_UNITS[unit] for amount, unit in parts))


def pm2_duration(text: str) -> int | float | None:
    """Return the seconds of ``10s``, or of a number of milliseconds; None for any other text."""
    found = _PM2.fullmatch(text.strip())
    return None if found is None else plain(int(found[1]) * _PM2_UNITS[found[2]])


def binary_size(text: str) -> int | None:
    """Return the bytes of ``512m`` or ``1.5GB``, in steps of 1024; None for any other text."""
    found = _SIZE.fullmatch(text.strip())
    return None if found is None else int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " "))
