"""The pipe on which a program says with a newline that it is ready, as services of s6 do.

One descriptor of ours, one that is passed on. What follows from the newline is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable

__all__ = ["ReadyPipe"]

_LEAST = 10
"""Above all numbers that a program asks for, so that moving one to its place never overwrites another."""


class ReadyPipe:
    """Waits for a newline.

    Attributes:
        theirs: The end for the program, -1 once it was let go of.
    """

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: When the system has no descriptor left.
        """
        self._ours, low = os.pipe()
        try:
            self.theirs = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LEAST)
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(low)
        os.set_blocking(self._ours, False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready: Callable[[], None] = _ignore

    def spawned(self) -> None:
        """Let go of the program's end: it has its own by now, or never will."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Begin to read, on the running event loop.

        Args:
            on_ready: Called once, at the first newline.
        """
        self.spawned()
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self.drain)

    def drain(self) -> None:
        """Take what has come."""
        if self._ours < 0:
            return
        try:
            chunk = os.read(self._ours, 4096)
        except (BlockingIOError, InterruptedError):
            return
        if b"\n" in chunk:
            self.close()
            self._on_ready()
        elif not chunk:  # nobody holds it any more: nothing comes
            self.close()

    def close(self) -> None:
        """Let go of both ends. Idempotent."""
        self.spawned()
        if self._ours >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1


def _ignore() -> None:
    """Nobody listens yet."""
