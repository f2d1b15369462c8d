"""Placeholders such as ``{index}`` in the texts of an option, with the words that a target has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["fill", "uses"]

_WORD = r"index|id|run|port|fd\.[^{}:]+"
_PLACEHOLDER = re.compile(rf"\{{\{{(?P<kept>{_WORD})\}}\}}|\{{(?P<word>{_WORD})\}}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced.

    Without values it is no template, and stays as it is. A word without a value stays as it is, too.

    Args:
        text: The text of an option.
        values: The value of each word.
    """
    if not values:
        return text

    def value_of(found: re.Match[str]) -> str:
        word: str | None = found["word"]
        return f"{{{found['kept']}}}" if word is None else values.get(word, found[0])

    return _PLACEHOLDER.sub(value_of, text)


def uses(texts: Iterable[str]) -> frozenset[str]:
    """Return the words in braces of some texts."""
    return frozenset(found["word"] for text in texts for found in _PLACEHOLDER.finditer(text) if found["word"])
