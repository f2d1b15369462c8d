"""Trouble with a log: reported when it begins and when it ends, with the number of lost lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from aioverseer.core.text.counted import counted
from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["Trouble", "TroubleReport"]


class TroubleReport(Protocol):
    """Receiver of reports from the thread that writes logs."""

    def lost(self, lines: Counter[str]) -> None:
        """Report lost lines, counted by the id of their service."""
        ...

    def publish(self, id: str, reason: str) -> None:
        """Report in one sentence that trouble has begun or ended; the id is empty if it concerns no single service."""
        ...


class Trouble:
    """One kind of failure, which is under way or not."""

    def __init__(self, begin: str, end: str, report: TroubleReport) -> None:
        """Create trouble that has not begun.

        Args:
            begin: Sentence to report, with the reason, when it begins.
            end: Sentence to report when it ends.
            report: Receiver of both.
        """
        self._begin = begin
        self._end = end
        self._report = report
        self._reason: str | None = None
        self._lost = 0
        self._unmarked = 0

    def met(self, id: str, error: BaseException) -> None:
        """Record a failure. It is reported once until the trouble ends.

        Args:
            id: Id of the service whose lines have met it.
            error: Error that was raised.
        """
        begun = self._reason is not None
        self._reason = _words(error)
        if not begun:
            self._report.publish(id, f"{self._begin}: {self._reason}")

    def lose(self, entries: Sequence[Entry], error: BaseException) -> None:
        """Record a failure and the entries that it has cost."""
        lines = Counter(entry.id for entry in entries if not isinstance(entry, Gap))
        self._lost += lines.total()
        # A lost gap stands for lines that were counted when they were dropped, so they are not counted as lost again.
        self._unmarked += lines.total() + sum(entry.n for entry in entries if isinstance(entry, Gap))
        self._report.lost(lines)
        self.met(next((entry.id for entry in entries if entry.id), ""), error)

    def gap(self, time: datetime) -> Gap | None:
        """Return the gap for lost lines that the log does not show yet; None when there are none."""
        if not self._unmarked:
            return None
        return Gap(id="", n=self._unmarked, time=time, reason=self._reason or "")

    def marked(self) -> None:
        """Record that the gap was written."""
        self._unmarked = 0

    def over(self, id: str) -> None:
        """Record a success. It is reported if trouble was under way.

        Args:
            id: Id of the service whose lines were written.
        """
        if self._reason is None:
            return
        lost, self._lost = self._lost, 0
        self._reason = None
        amount = f"; {counted(lost, 'line')} {'was' if lost == 1 else 'were'} lost" if lost else ""
        self._report.publish(id, f"{self._end}{amount}")


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
