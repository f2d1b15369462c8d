"""Numbers among the options: the check of their range, and the number that a text stands for."""

from __future__ import annotations

import re
import sys
from typing import Any

__all__ = [
    "expands",
    "is_number",
    "no_seconds",
    "no_whole_number",
    "seconds_in",
    "whole_in",
]

_TIME = r"\s*(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)?\s*"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZE = r"\s*(\d+)\s*([kmgt])i?b?\s*"
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


def no_seconds(value: object, *, least: float = 0.0, above: bool = False, none: str = "") -> str | None:
    """Return why a value is no number of seconds, with the range; None if it is one.

    Args:
        value: Value to check.
        least: Least number of seconds.
        above: Whether the number must be more than ``least``.
        none: Meaning of None, for the message; empty where None is refused.
    """
    number: Any = value
    if is_number(value) and least <= number <= sys.float_info.max and not (above and number == least):
        return None  # before the text of an error: each question with a timeout passes here
    range_ = f"pass seconds, {f'more than {least:g}' if above else f'{least:g} or more'}"
    if none:
        range_ += f", or None {none}"
    if not is_number(value):
        return f"is no time: {range_}{_joined(seconds_in(value))}"
    if number != number:  # nan  # noqa: PLR0124
        return f"is no time: {range_}"
    return f"is no time, as it has no end: {range_}" if number > sys.float_info.max else f"is too low: {range_}"


def no_whole_number(value: object, unit: str, *, least: int, none: str = "") -> str | None:
    """Return why a value is no whole number, with the range and the unit; None if it is one.

    Args:
        value: Value to check.
        unit: Things that the number counts, in the plural.
        least: Least number.
        none: Meaning of None, for the message; empty where None is refused.
    """
    range_ = f"{least} or more" + (f", or None {none}" if none else "")
    if not isinstance(value, int) or isinstance(value, bool):
        return f"is no whole number of {unit}: pass {range_}{_joined(whole_in(value))}"
    return f"is too low: pass a whole number of {unit}, {range_}" if value < least else None


def expands(text: str) -> str | None:
    """Return why a path is surely meant otherwise: it begins with ``~`` or a variable, which only shells expand."""
    if re.match(r"~[\w.-]*(/|$)", text):
        return f"begins with ~, which only a shell expands: pass os.path.expanduser({text!r})"
    if re.match(r"\$(\w|\{\w)", text):
        return f"begins with a variable, which only a shell expands: pass os.path.expandvars({text!r})"
    return None


def _joined(hint: str | None) -> str:
    return "" if hint is None else f"; write {hint}"


def is_number(value: object) -> bool:
    """Return whether a value is a number, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def seconds_in(value: object) -> str | None:
    """Return the number of seconds that a text such as ``10s``, or a timedelta, stands for."""
    total = getattr(value, "total_seconds", None)
    if callable(total):
        return f"{total():g}"
    if isinstance(value, str) and (found := re.fullmatch(_TIME, value.lower())):
        number, unit = found.groups()
        factor = 1 if unit is None else _SECONDS["ms" if unit.startswith(("ms", "mil")) else unit[0]]
        return f"{float(number) * factor:g}"
    return None


def whole_in(value: object) -> str | None:
    """Return the whole number that a float, or a text such as ``64`` or ``512M``, stands for."""
    if isinstance(value, float) and value == value // 1:
        return str(int(value))
    if not isinstance(value, str):
        return None
    if value.strip().isdecimal():
        return value.strip()
    found = re.fullmatch(_SIZE, value, re.IGNORECASE)
    return f"{found[1]} * 1024**{_POWERS[found[2].lower()]}" if found else None
