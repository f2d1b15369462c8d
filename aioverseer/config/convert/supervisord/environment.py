"""The key ``environment`` of supervisord: ``A="1",B="two words"``."""

from __future__ import annotations

import re

from aioverseer.config.convert.supervisord.expressions import Expressions

__all__ = ["with_itself"]

_PAIR = re.compile(
    r"""\s*(?P<name>[^\s=,"']+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s,"']*))\s*(?:,|$)"""
)


def with_itself(text: str, expressions: Expressions) -> tuple[dict[str, str], bool]:
    """Return the variables, and whether one of them holds its own name, as in ``PATH="$PATH:/opt"``.

    supervisord hands such a ``$PATH`` to the program as it stands. Nobody means that, so the value of the variable
    takes its place.

    Args:
        text: Value of the key.
        expressions: Values of its expressions.

    Raises:
        ValueError: If the text is no list of names and values. No value is part of the message.
    """
    found: dict[str, str] = {}
    expanded = False
    start = 0
    while text[start:].strip(" \t\n,"):
        pair = _PAIR.match(text, start)
        if pair is None:
            last = f" after {[*found][-1]}" if found else ""
            raise ValueError(f'is not understood{last}: write NAME="value", and a comma before the next name')
        name: str = pair["name"]
        value: str = next(pair[kind] for kind in ("double", "single", "bare") if pair[kind] is not None)
        itself = re.compile(rf"\$(?:{re.escape(name)}(?!\w)|\$\{{{re.escape(name)}\}})")
        parts = itself.split(expressions.text(value))
        found[name] = f"${{{name}}}".join(parts)
        expanded = expanded or len(parts) > 1
        start = pair.end()
    return found, expanded
