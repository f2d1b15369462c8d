"""What ends a command before it has begun, with the exit code that says so. Only the error lives here."""

from __future__ import annotations

__all__ = ["USAGE", "Problem"]

USAGE = 2


class Problem(Exception):
    """Something that the user can mend; its text says how.

    Attributes:
        code: The exit code of the command.
    """

    def __init__(self, text: str, *, code: int = USAGE) -> None:
        super().__init__(text)
        self.code = code
