"""Warnings of the library, such as the failure of a hook, as messages of the command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Generator

__all__ = ["log_records_shown"]


class _Shown(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._exceptions = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record. A record of another thread is passed on to the event loop."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self._exceptions.formatException(record.exc_info)}"
        if threading.get_ident() == self._thread:
            self._show(text)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._show, text)


@contextlib.contextmanager
def log_records_shown(show: Callable[[str], None]) -> Generator[None]:
    """Show the warnings of the library in the block, in place of plain lines on standard error.

    Args:
        show: Called on the running event loop with the text of each.
    """
    logger = logging.getLogger("aioverseer")
    handler = _Shown(show)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
