"""What all programs on one event loop share: whose turn it is to spawn, what watches their pipes, the null device.

There while anybody holds it, and gone with the last of them. Nothing in here starts a program.
"""

from __future__ import annotations

import asyncio
import os
from weakref import WeakValueDictionary

from aioverseer.system.poller import Poller, ReaderWatch, poller_for

__all__ = ["Commons"]

_all: WeakValueDictionary[asyncio.AbstractEventLoop, Commons]


class Commons:
    """What is shared on one event loop; ``Commons.on`` finds it.

    Attributes:
        loop: The event loop.
        turn: To be held for one turn of the loop by whoever spawns: a spawn blocks the loop for a third of a
            millisecond, and two hundred that come due together would block it for seventy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """For ``on`` alone."""
        self.loop = loop
        self.turn = asyncio.Lock()
        self._holders = 0
        self._poller: Poller | None = None
        self._null = -1

    @staticmethod
    def on(loop: asyncio.AbstractEventLoop) -> Commons:
        """Return what is shared on this loop, made when nobody has it."""
        commons = _all.get(loop)
        if commons is None:
            commons = _all[loop] = Commons(loop)
        return commons

    @property
    def readers(self) -> ReaderWatch:
        """What tells that a descriptor can be read; to be used while it is held."""
        if self._poller is None:
            self._poller = poller_for(self.loop)
        return self._poller or self.loop

    @property
    def null(self) -> int:
        """The null device, for reading and writing; to be used while it is held."""
        if self._null < 0:
            self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return self._null

    def hold(self) -> None:
        """Keep it open until ``release``."""
        self._holders += 1

    def release(self) -> None:
        """Give up one hold; with the last its descriptors are closed."""
        self._holders -= 1
        if self._holders > 0:
            return
        if self._poller is not None:
            self._poller.close()
            self._poller = None
        if self._null >= 0:
            os.close(self._null)
            self._null = -1


_all = WeakValueDictionary()
