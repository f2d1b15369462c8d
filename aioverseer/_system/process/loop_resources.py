"""The resources that all programs on one event loop share: the queue of spawns, the poller, the null device.

They exist as long as a program or a launcher holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from typing import NamedTuple
from weakref import WeakValueDictionary

from aioverseer._aio.fork import separate
from aioverseer._aio.poller import Poller, ReaderWatch, poller_for

__all__ = ["LoopResources", "SpawnQueue"]

_all: WeakValueDictionary[asyncio.AbstractEventLoop, LoopResources]


_SHARED = 8
"""Spawns that may share an iteration of the event loop, where all of them allow it: four milliseconds of about half a
millisecond each. An iteration of its own for each of them also costs a look at all that is watched."""


class _Place(NamedTuple):
    """A place in the queue."""

    admitted: asyncio.Future[None]
    shares: bool


class SpawnQueue:
    """A queue that admits one spawn in each iteration of the event loop, or several that may share an iteration.

    A spawn blocks the loop for a third of a millisecond, and for two where the processors are busy. Two hundred
    restarts that are due together would block the application for 70 to 400 ms.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Create an empty queue.

        Args:
            loop: The event loop.
        """
        self._loop = loop
        self._busy = False
        self._admits = 0
        """Spawns that may still share the present iteration."""
        self._waiting: deque[_Place] = deque()

    async def take(self, *, shares: bool = False) -> None:
        """Wait for admission. Safe to cancel: the next spawn is admitted then.

        Args:
            shares: Whether the spawn may share an iteration with others.
        """
        if not self._busy:
            self._busy = True
            self._admits = _SHARED - 1
            self._loop.call_soon(self._next)
        elif shares and self._admits > 0 and not self._waiting:
            self._admits -= 1
        else:
            place = _Place(self._loop.create_future(), shares)
            self._waiting.append(place)
            await place.admitted

    def _next(self) -> None:
        """Admit what may spawn in the next iteration."""
        was_free, self._admits = self._admits == _SHARED, _SHARED
        while self._waiting and self._admits > 0:
            place = self._waiting[0]
            if not place.admitted.done():  # else it was cancelled
                if not place.shares and self._admits < _SHARED:
                    break
                self._admits = self._admits - 1 if place.shares else 0
                place.admitted.set_result(None)
            self._waiting.popleft()
        # An admitted launch spawns in the next iteration, so only an iteration without one ends the work.
        if self._admits == _SHARED and was_free:
            self._busy = False
        else:
            self._loop.call_soon(self._next)


class LoopResources:
    """The shared resources of one event loop, found by ``LoopResources.on``.

    Attributes:
        loop: The event loop.
        spawn_queue: The queue that admits each spawn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Create them; use ``on`` instead."""
        self.loop = loop
        self.spawn_queue = SpawnQueue(loop)
        self._holders = 0
        self._poller: Poller | None = None
        self._null = -1

    @staticmethod
    def on(loop: asyncio.AbstractEventLoop) -> LoopResources:
        """Return the resources of an event loop, and create them for their first user."""
        resources = _all.get(loop)
        if resources is None:
            resources = _all[loop] = LoopResources(loop)
        return resources

    @property
    def readers(self) -> ReaderWatch:
        """The watch for readable descriptors; valid while the resources are held.

        It is the event loop itself for a single holder, as creating an epoll costs more than it saves there.
        """
        if self._poller is None and self._holders > 1:
            self._poller = poller_for(self.loop)
        return self._poller or self.loop

    @property
    def null(self) -> int:
        """A descriptor of the null device, for reading and writing; valid while the resources are held."""
        if self._null < 0:
            self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return self._null

    def separate(self) -> None:
        """Share nothing with the parent, in a fork of the host."""
        if self._poller is not None:
            with contextlib.suppress(OSError):  # no descriptors are left
                self._poller.separate()
        separate(self.loop)

    def hold(self) -> None:
        """Keep the resources open until ``release``."""
        self._holders += 1

    def release(self) -> None:
        """End one ``hold``. The last one closes the descriptors."""
        self._holders -= 1
        if self._holders > 0:
            return
        if self._poller is not None:
            self._poller.close()
            self._poller = None
        if self._null >= 0:
            os.close(self._null)
            self._null = -1


def _separate_all() -> None:
    for resources in list(_all.values()):
        resources.separate()


_all = WeakValueDictionary()
os.register_at_fork(after_in_child=_separate_all)
