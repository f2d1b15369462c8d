"""Watches the pipes of many children for one event loop.

The loop watches this, and this the pipes: ``epoll`` itself can be watched. ``loop.add_reader`` and ``remove_reader``
take ten times as long, for handles, selector keys and looks at its transports, and each restart needs four of them.
What is read and why never lives here.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

__all__ = ["Poller", "ReaderWatch", "poller_for"]


class ReaderWatch(Protocol):
    """What calls back while a descriptor can be read: an event loop, or a Poller."""

    def add_reader(self, descriptor: int, callback: Callable[[], None], /) -> object:
        """Call back in each turn in which it can be read, or has ended."""
        ...

    def remove_reader(self, descriptor: int, /) -> object:
        """Call back no more. To be done before the descriptor is closed."""
        ...


class Poller:
    """A ReaderWatch that costs the event loop one descriptor, whatever the number of pipes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without pipes; ``close`` must follow.

        Args:
            loop: The event loop to call back on.
        """
        self.loop = loop
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add_reader(self, descriptor: int, callback: Callable[[], None], /) -> None:
        """Call back in each turn in which it can be read; see ``ReaderWatch``."""
        if self._epoll.closed:
            self.loop.add_reader(descriptor, callback)
            return
        self._epoll.register(descriptor, select.EPOLLIN)
        self._callbacks[descriptor] = callback

    def remove_reader(self, descriptor: int, /) -> None:
        """Call back no more; see ``ReaderWatch``."""
        # Not left to the kernel: it forgets a descriptor once nobody holds the pipe, and a fork of the host may.
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        elif self._epoll.closed:
            self.loop.remove_reader(descriptor)

    def close(self) -> None:
        """Leave to the loop itself what is still watched: a program that nothing could end so far. Idempotent."""
        if self._epoll.closed:
            return
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        callbacks, self._callbacks = self._callbacks, {}
        if not self.loop.is_closed():
            for descriptor, callback in callbacks.items():
                self.loop.add_reader(descriptor, callback)

    def _on_ready(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            # Whoever was called before may have removed it; a new pipe of the same number just finds nothing to read.
            callback = self._callbacks.get(descriptor)
            if callback is None:
                continue
            try:
                callback()
            except Exception as error:  # noqa: BLE001  # as in the loop itself: a bug there must not stop the others
                self.loop.call_exception_handler({"message": "a reader of aioverseer has failed", "exception": error})


def poller_for(loop: asyncio.AbstractEventLoop) -> Poller | None:
    """Return a new Poller, or None where the system has no epoll, or no descriptor is left for one."""
    try:
        return Poller(loop) if hasattr(select, "epoll") else None
    except OSError:
        return None
