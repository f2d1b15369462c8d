"""Answers of a probe attempt that did not succeed."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Hangs", "NotYet"]


class NotYet(Exception):
    """The answer is no, for the reason in its text."""


class Hangs(NotYet):
    """There is no answer, and the attempt goes on although it was cancelled; there must be no other one beside it.

    Attributes:
        task: The attempt.
    """

    def __init__(self, text: str, task: asyncio.Future[Any]) -> None:
        super().__init__(text)
        self.task = task
