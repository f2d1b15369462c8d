"""The error that ends a command before it runs anything."""

from __future__ import annotations

__all__ = ["FAILED", "USAGE", "CommandError"]

FAILED = 1
USAGE = 2


class CommandError(Exception):
    """A mistake that the user can mend. The text says how.

    Attributes:
        code: The exit code of the command.
    """

    def __init__(self, text: str, *, code: int = USAGE) -> None:
        super().__init__(text)
        self.code = code
