"""Trouble of a log file: told when it begins and when it is over, and what was lost in between.

What is tried, and when it is tried again, never lives here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["Trouble", "TroubleReport"]


class TroubleReport(Protocol):
    """Hears what happens in the thread that writes."""

    def lost(self, lines: Counter[str]) -> None:
        """Count lines that are lost, by the id of their service."""
        ...

    def tell(self, id: str, reason: str) -> None:
        """Tell of a change, in one sentence; the id may be empty when no service is concerned more than another."""
        ...


class Trouble:
    """Something that does not work at the moment, or does."""

    def __init__(self, begin: str, end: str, news: TroubleReport) -> None:
        """Make a trouble that has not begun.

        Args:
            begin: What is told, with the reason, when it begins.
            end: What is told when it is over.
            news: Who is told.
        """
        self._begin = begin
        self._end = end
        self._news = news
        self._reason: str | None = None
        self._lost = 0
        self._unmarked = 0

    def met(self, id: str, error: BaseException) -> None:
        """Take note that it did not work; told once until it is over.

        Args:
            id: Id of the service whose lines met it.
            error: What happened.
        """
        begun = self._reason is not None
        self._reason = _words(error)
        if not begun:
            self._news.tell(id, f"{self._begin}: {self._reason}")

    def lose(self, entries: Sequence[Entry], error: BaseException) -> None:
        """Take note that it did not work, and of the entries that are lost by it."""
        lines = Counter(entry.id for entry in entries if not isinstance(entry, Gap))
        self._lost += lines.total()
        # Lines whose mark is lost were counted when they were dropped.
        self._unmarked += lines.total() + sum(entry.n for entry in entries if isinstance(entry, Gap))
        self._news.lost(lines)
        self.met(next((entry.id for entry in entries if entry.id), ""), error)

    def gap(self, time: datetime) -> Gap | None:
        """Return the mark for lines that were lost and have none yet; None when there are none."""
        if not self._unmarked:
            return None
        return Gap(id="", n=self._unmarked, time=time, reason=self._reason or "")

    def marked(self) -> None:
        """Take note that the mark was written."""
        self._unmarked = 0

    def over(self, id: str) -> None:
        """Take note that it works; told when it did not before.

        Args:
            id: Id of the service whose lines found out.
        """
        if self._reason is None:
            return
        lost, self._lost = self._lost, 0
        self._reason = None
        amount = {0: "", 1: "; 1 line was lost"}.get(lost, f"; {lost} lines were lost")
        self._news.tell(id, f"{self._end}{amount}")


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
