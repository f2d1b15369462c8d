"""Exceptions of a probe attempt that has not succeeded."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Hangs", "NotYet"]


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
