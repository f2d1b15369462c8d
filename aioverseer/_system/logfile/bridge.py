"""The bridge to ``logging``: lines become records of a logger.

It runs in the thread of ``writer.py``, so a slow handler does not block the event loop. It never configures logging.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aioverseer._system.logfile.trouble import Trouble, TroubleReport
from aioverseer.core.options.log import LogBridge
from aioverseer.core.text.counted import counted
from aioverseer.core.text.lines import Line
from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["LoggedLines"]


class LoggedLines:
    """One logger as the target of lines.

    Attributes:
        shows_ids: Unused: the name of the logger identifies the service.
    """

    def __init__(self, logger: str, log: LogBridge, *, report: TroubleReport) -> None:
        """Describe a bridge.

        Args:
            logger: Name of the logger.
            log: Levels of the two streams.
            report: Receiver of the lines that a handler has failed to take.
        """
        self.shows_ids = False
        self._logger = logging.getLogger(logger)
        self._levels = {"stdout": log.stdout, "stderr": log.stderr}
        self._trouble = Trouble(f"its logger {logger} has failed", f"its logger {logger} works again", report)

    def write(self, entries: Sequence[Entry]) -> None:
        """Log a record for each entry. If a handler raises, that line is lost and the others go on."""
        for entry in entries:
            try:
                self._emit(entry)
            except BaseException as error:  # noqa: BLE001  # a handler may raise anything
                self._trouble.lose([entry], error)
            else:
                self._trouble.over(entry.id)

    def _emit(self, entry: Entry) -> None:
        logger = self._logger
        level = logging.WARNING if isinstance(entry, Gap) else self._levels[entry.stream]
        if not logger.isEnabledFor(level):
            return
        record = logger.makeRecord(logger.name, level, "", 0, "%s", (_text(entry),), None, None, _extra(entry))
        # The time of the line, not the time at which this thread handles it.
        record.created = entry.time.timestamp()
        record.msecs = int(record.created % 1 * 1000) + 0.0
        logger.handle(record)

    def reopen(self) -> None:
        """Do nothing: handlers belong to the host."""

    def close(self) -> None:
        """Do nothing: handlers belong to the host."""

    def work(self) -> bool:
        """Return False: there is no background work."""
        return False

    def stop_work(self) -> None:
        """Do nothing: there is no background work."""


def _text(entry: Entry) -> str:
    if isinstance(entry, Gap):
        return f"{counted(entry.n, 'line', verb=True)} missing here: {entry.reason}"
    return entry.text if isinstance(entry.text, str) else entry.text.decode("utf-8", "backslashreplace")


def _extra(entry: Entry) -> dict[str, object]:
    # The same attributes for a mark of missing lines, because a formatter that lacks one fails.
    if isinstance(entry, Line):
        return {"service": entry.id, "stream": entry.stream, "run": entry.run, "seq": entry.seq, "missed": 0}
    return {"service": entry.id, "stream": "", "run": 0, "seq": 0, "missed": entry.n}
