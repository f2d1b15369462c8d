"""The bridge to ``logging``: lines become records of a logger.

It runs in the thread of ``log_writer.py``, so a handler that waits does not hold up the event loop. The host's logging
is used as it is; nothing in here configures it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aioverseer._system.logfile.trouble import Trouble, TroubleReport
from aioverseer.core.options.log import LogBridge
from aioverseer.core.text.lines import Line
from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["LoggedLines"]


class LoggedLines:
    """One logger, fed with lines.

    Attributes:
        named: Has no meaning here: the logger's name tells the service.
    """

    def __init__(self, logger: str, log: LogBridge, *, news: TroubleReport) -> None:
        """Describe a bridge.

        Args:
            logger: Name of the logger.
            log: The levels.
            news: Hears of lines that a handler did not take.
        """
        self.named = False
        self._logger = logging.getLogger(logger)
        self._levels = {"stdout": log.stdout, "stderr": log.stderr}
        self._trouble = Trouble(f"its logger {logger} has failed", f"its logger {logger} works again", news)

    def write(self, entries: Sequence[Entry]) -> None:
        """Give a record for each entry to the logger; a handler that raises costs that line."""
        for entry in entries:
            try:
                self._emit(entry)
            except BaseException as error:  # noqa: BLE001  # whatever a handler does, the other lines go on
                self._trouble.lose([entry], error)
            else:
                self._trouble.over(entry.id)

    def _emit(self, entry: Entry) -> None:
        logger = self._logger
        level = logging.WARNING if isinstance(entry, Gap) else self._levels[entry.stream]
        if not logger.isEnabledFor(level):
            return
        record = logger.makeRecord(logger.name, level, "", 0, "%s", (_text(entry),), None, None, _extra(entry))
        # The label of the line, not the moment at which this thread came to it.
        record.created = entry.time.timestamp()
        record.msecs = int(record.created % 1 * 1000) + 0.0
        logger.handle(record)

    def reopen(self) -> None:
        """Nothing to do: handlers belong to the host."""

    def close(self) -> None:
        """Nothing to do: handlers belong to the host."""

    def work(self) -> bool:
        """Nothing to do."""
        return False

    def stop_work(self) -> None:
        """Nothing to do."""


def _text(entry: Entry) -> str:
    if isinstance(entry, Gap):
        return f"{entry.n} lines are missing here: {entry.reason}"
    return entry.text if isinstance(entry.text, str) else entry.text.decode("utf-8", "backslashreplace")


def _extra(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Line):
        return {"service": entry.id, "stream": entry.stream, "run": entry.run}
    return {"service": entry.id}
