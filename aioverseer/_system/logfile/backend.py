"""The logs of one overseer as one object: the thread that writes them, and a backlog for each log."""

from __future__ import annotations

from collections.abc import Callable

from aioverseer._system.logfile.bridge import LoggedLines
from aioverseer._system.logfile.file import AppendedFile
from aioverseer._system.logfile.writer import Backlog, LogWriter
from aioverseer.core.options.log import Log, LogBridge

__all__ = ["LogBackend"]


class LogBackend:
    """Opens backlogs that are written in one thread.

    Attributes:
        writer: The thread.
    """

    def __init__(
        self, name: str, *, on_lost: Callable[[str, int], None], on_trouble: Callable[[str, str], None]
    ) -> None:
        """Prepare a thread. The first entry starts it.

        Args:
            name: Name of the thread.
            on_lost: Called on the event loop with a service's id and the number of its lost lines.
            on_trouble: Called on the event loop with a service's id and a sentence about its log.
        """
        self.writer = LogWriter(name, on_lost=on_lost, on_trouble=on_trouble)

    def open(self, log: Log, name: str) -> Backlog:
        """Return a new backlog.

        Args:
            log: Rules for the log.
            name: Path of the file, or name of the logger.
        """
        if isinstance(log, LogBridge):
            return Backlog(LoggedLines(name, log, report=self.writer), self.writer, blocks=True)
        return Backlog(AppendedFile(name, log, report=self.writer), self.writer, blocks=log.overflow == "block")
