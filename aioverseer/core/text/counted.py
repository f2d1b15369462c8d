"""Numbers of things, with the noun in the singular or the plural."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, noun: str, *, verb: bool = False) -> str:
    """Return ``1 line``, ``2 lines``, or with a verb ``1 line is``, ``2 lines are``.

    Args:
        n: Number of things.
        noun: Noun in the singular; its plural ends with an s.
        verb: Whether the verb "is" or "are" follows.
    """
    text = f"{n} {noun}" if n == 1 else f"{n} {noun}s"
    return text + (" is" if n == 1 else " are") * verb
