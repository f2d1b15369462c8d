"""StreamWriter: writes to a standard stream in a thread, so that a slow reader does not block the event loop."""

from __future__ import annotations

import os
import select
from typing import IO

import anyio.to_thread

__all__ = ["StreamWriter"]


class StreamWriter:
    """One standard stream of this process.

    Attributes:
        has_blocked_write: Whether a cancelled write has left its thread waiting for a reader.
        is_open: Whether the stream was open when this process started.
        is_terminal: Whether the stream is a terminal.
    """

    def __init__(self, descriptor: int | None) -> None:
        """Write to a descriptor. None is a stream that was closed when this process started."""
        self.has_blocked_write = False
        self.is_open = descriptor is not None
        self.is_terminal = descriptor is not None and os.isatty(descriptor)
        self._descriptor = descriptor

    @classmethod
    def of(cls, stream: IO[str] | None) -> StreamWriter:
        """Flush a stream of ``sys``, and return a writer to its descriptor."""
        if stream is None:
            # The number of the closed descriptor may belong to another file by now.
            return cls(None)
        stream.flush()
        return cls(stream.fileno())

    def has_reader(self) -> bool:
        """Return whether the other end of a pipe, socket or terminal is still open; True for anything else."""
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, 0)  # errors and hang-ups are reported in any case
        return not poll.poll(0)

    async def write(self, data: bytes) -> None:
        """Write all bytes. A cancellation returns at once, while the thread stays in its write.

        Raises:
            OSError: If the write fails.
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
            self.has_blocked_write = not done


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Another process that shares the stream has made it non-blocking.
            select.select([], [descriptor], [])
