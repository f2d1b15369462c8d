"""Sink: a standard stream of ours, written by a thread, so that whoever reads it slowly holds up nothing else.

Bytes only; what they say is decided in ``screen.py``, and in which order in ``lanes.py``.
"""

from __future__ import annotations

import os
import select
from typing import IO

import anyio.to_thread

__all__ = ["StreamWriter"]


class StreamWriter:
    """One standard stream.

    Attributes:
        is_unstoppable: Whether a write was given up while it was waiting for a reader; its thread still waits.
        is_terminal: Whether a human looks at it.
    """

    def __init__(self, descriptor: int | None) -> None:
        """Write to a descriptor; None stands for a stream that was closed before we were started."""
        self.is_unstoppable = False
        self.is_terminal = descriptor is not None and os.isatty(descriptor)
        self._descriptor = descriptor

    @classmethod
    def of(cls, stream: IO[str] | None) -> StreamWriter:
        """Return the sink for a stream of ``sys``, which holds nothing back any more."""
        if stream is None:
            # Its number may mean something else by now.
            return cls(None)
        stream.flush()
        return cls(stream.fileno())

    async def write(self, data: bytes) -> None:
        """Write all of it. When this is cancelled, the thread is left alone with it.

        Raises:
            OSError: As the system says.
        """
        if self._descriptor is None or not data:
            return
        done = False
        try:
            await anyio.to_thread.run_sync(_write, self._descriptor, data, abandon_on_cancel=True)
            done = True
        except OSError:
            done = True
            raise
        finally:
            self.is_unstoppable = not done


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Somebody who shares the stream has made it non-blocking.
            select.select([], [descriptor], [])
