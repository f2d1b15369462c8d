"""What all programs on one event loop share: whose turn it is to spawn, what watches their pipes, the null device.

There while anybody holds it, and gone with the last of them. Nothing in here starts a program.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakValueDictionary

from aioverseer._aio.poller import Poller, ReaderWatch, poller_for
from aioverseer._aio.wake import Wake

__all__ = ["LoopResources", "SpawnQueue"]

_all: WeakValueDictionary[asyncio.AbstractEventLoop, LoopResources]


_SLICE = 0.004
"""Seconds of a turn within which further spawns may begin: each turn costs a look at all that is watched as well."""


class _QueuedSpawn(Wake):
    """A place in the queue."""

    __slots__ = ("shares",)

    def __init__(self, loop: asyncio.AbstractEventLoop, *, shares: bool) -> None:
        super().__init__(loop)
        self.shares = shares


class SpawnQueue:
    """Lets one through in each turn of the event loop, in the order in which they came, or several that may share it.

    A spawn blocks the loop for a third of a millisecond, and for two where the processors are busy: two hundred that
    come due together would block it for seventy or four hundred.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with nobody in it.

        Args:
            loop: The event loop.
            now: Monotonic time in seconds; not the loop's, as that of uvloop stands still within a turn.
        """
        self._loop = loop
        self._now = now
        self._busy = False
        self._until = 0.0
        """When it is too late for a further one in this turn."""
        self._waiting: deque[_QueuedSpawn] = deque()

    async def take(self, *, shares: bool = False) -> None:
        """Wait for a turn. Safe to cancel: the place goes to the next one.

        Args:
            shares: Whether it may be one in which another has been let through, less than four milliseconds ago.
        """
        if not self._busy:
            self._busy = True
            self._until = self._now() + _SLICE
            self._loop.call_soon(self._next)
        elif self._waiting or not shares or self._now() >= self._until:
            place = _QueuedSpawn(self._loop, shares=shares)
            self._waiting.append(place)
            await place

    def _next(self) -> None:
        while self._waiting and self._waiting[0].is_cancelled:
            self._waiting.popleft()
        if not self._waiting:
            self._busy = False
            return
        # Beforehand: what a task does not catch, such as KeyboardInterrupt, comes out of here.
        self._loop.call_soon(self._next)
        self._until = self._now() + _SLICE
        while True:
            place = self._waiting.popleft()
            if not place.is_cancelled:
                place.go()
            if not self._waiting or not self._waiting[0].shares or self._now() >= self._until:
                return


class LoopResources:
    """What is shared on one event loop; ``Commons.on`` finds it.

    Attributes:
        loop: The event loop.
        spawn_queue: To be asked by whoever spawns.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """For ``on`` alone."""
        self.loop = loop
        self.spawn_queue = SpawnQueue(loop)
        self._holders = 0
        self._poller: Poller | None = None
        self._null = -1

    @staticmethod
    def on(loop: asyncio.AbstractEventLoop) -> LoopResources:
        """Return what is shared on this loop, made when nobody has it."""
        commons = _all.get(loop)
        if commons is None:
            commons = _all[loop] = LoopResources(loop)
        return commons

    @property
    def readers(self) -> ReaderWatch:
        """What tells that a descriptor can be read; to be used while it is held.

        The loop itself where one program alone holds it: an epoll takes longer to make than it saves.
        """
        if self._poller is None and self._holders > 1:
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
