"""``on_standard_streams``: run a session on an event loop, with writers to the standard streams."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from aioverseer.cli.stream_writer import StreamWriter

__all__ = ["on_standard_streams"]


def on_standard_streams(work: Callable[[StreamWriter, StreamWriter], Coroutine[Any, Any, int]]) -> int:
    """Run a coroutine function, and return its exit code.

    Args:
        work: Called with the writers to standard output and standard error.
    """
    out, err = StreamWriter.of(sys.stdout), StreamWriter.of(sys.stderr)
    logger = logging.getLogger("aioverseer")
    logger.addFilter(_is_no_event)
    try:
        code = asyncio.run(work(out, err))
    finally:
        logger.removeFilter(_is_no_event)
    if out.has_blocked_write or err.has_blocked_write:
        # A thread is blocked in a write that nobody reads. An orderly end of the interpreter would wait for it.
        os._exit(code)
    return code


def _is_no_event(record: logging.LogRecord) -> bool:
    """Return whether a log record is about anything but an event of a service: the session shows those itself."""
    return not hasattr(record, "service")
