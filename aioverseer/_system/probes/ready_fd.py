"""The pipe to which a program writes a newline when it is ready, as services of s6 do."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable

__all__ = ["ReadyPipe"]

_MIN_FD = 10
"""Higher than any number that ``ready.fd`` accepts: so moving a descriptor to its number overwrites no other one."""


class ReadyPipe:
    """Waits for a newline.

    Attributes:
        theirs: Descriptor for the program; -1 once it is closed.
    """

    def __init__(self) -> None:
        """Open the pipe.

        Raises:
            OSError: If no descriptor is left.
        """
        self._ours, low = os.pipe()
        try:
            self.theirs = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _MIN_FD)
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(low)
        os.set_blocking(self._ours, False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready: Callable[[], None] = _ignore
        self._on_end: Callable[[], None] = _ignore

    def spawned(self) -> None:
        """Close the program's end after the spawn or its failure."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def listen(self, on_ready: Callable[[], None], on_end: Callable[[], None]) -> None:
        """Begin to read, on the running event loop.

        Args:
            on_ready: Called once, at the first newline.
            on_end: Called once, if the program closes the descriptor without a newline.
        """
        self.spawned()
        self._on_ready = on_ready
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self.drain)

    def drain(self) -> None:
        """Read the bytes that have arrived."""
        if self._ours < 0:
            return
        try:
            chunk = os.read(self._ours, 4096)
        except (BlockingIOError, InterruptedError):
            return
        if b"\n" in chunk:
            self.close()
            self._on_ready()
        elif not chunk:  # every writer has closed the pipe
            self.close()
            self._on_end()

    def close(self) -> None:
        """Close both ends. Idempotent."""
        self.spawned()
        if self._ours >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1


def _ignore() -> None:
    """Do nothing before ``listen``."""
