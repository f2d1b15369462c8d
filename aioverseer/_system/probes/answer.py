"""Exceptions of a probe attempt that has not succeeded."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Hangs", "NotYet", "StrangerFound"]


class NotYet(Exception):
    """The attempt has failed, for the reason in its text."""


class Hangs(NotYet):
    """The attempt has timed out and goes on in spite of its cancellation. No other attempt may start before it ends.

    Attributes:
        task: Task of the attempt.
    """

    def __init__(self, text: str, task: asyncio.Future[Any]) -> None:
        super().__init__(text)
        self.task = task


class StrangerFound(NotYet):
    """The answer came from a program that is not the one of the probe. The text says who holds the port."""
