"""One epoll for the descriptors of many children on an event loop.

The loop watches the epoll, and the epoll watches the descriptors: an epoll is a descriptor itself.
``loop.add_reader`` and ``remove_reader`` cost ten times as much as epoll_ctl(2), for handles, selector keys and checks
of transports, and each restart needs four of them.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

from aioverseer._aio.fork import replace_epoll

__all__ = ["Poller", "ReaderWatch", "poller_for"]


class ReaderWatch(Protocol):
    """The methods of an event loop that call back while a descriptor is readable."""

    def add_reader(self, descriptor: int, callback: Callable[[], None], /) -> object:
        """Call back in each iteration in which the descriptor is readable or at its end."""
        ...

    def remove_reader(self, descriptor: int, /) -> object:
        """Stop calling back. Call this before closing the descriptor."""
        ...


class Poller:
    """A ReaderWatch that the event loop sees as one descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Create it without descriptors. ``close`` must follow.

        Args:
            loop: The event loop on which callbacks run.
        """
        self.loop = loop
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add_reader(self, descriptor: int, callback: Callable[[], None], /) -> None:
        """Call back in each iteration in which the descriptor is readable; see ``ReaderWatch``."""
        if self._epoll.closed:
            self.loop.add_reader(descriptor, callback)
            return
        self._epoll.register(descriptor, select.EPOLLIN)
        self._callbacks[descriptor] = callback

    def separate(self) -> None:
        """Forget all descriptors, in a fork of the host. The parent goes on to watch them."""
        self._callbacks.clear()
        if not self._epoll.closed:
            replace_epoll(self._epoll.fileno())

    def remove_reader(self, descriptor: int, /) -> None:
        """Stop calling back; see ``ReaderWatch``."""
        # The kernel forgets a closed descriptor only when no process holds the pipe, and a fork of the host may do so.
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        elif self._epoll.closed:
            self.loop.remove_reader(descriptor)

    def close(self) -> None:
        """Close the epoll. Idempotent.

        The event loop itself watches the remaining descriptors, such as those of a program that does not die.
        """
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
            # A callback before this one may have removed the descriptor. A new pipe with the same number has nothing to
            # read yet, and its callback copes with that.
            callback = self._callbacks.get(descriptor)
            if callback is None:
                continue
            try:
                callback()
            except Exception as error:  # noqa: BLE001  # as in the event loop: a bug in one callback must not stop the others
                self.loop.call_exception_handler({"message": "a reader of aioverseer has failed", "exception": error})


def poller_for(loop: asyncio.AbstractEventLoop) -> Poller | None:
    """Return a new Poller; None where the system has no epoll, or no descriptors are left."""
    try:
        return Poller(loop) if hasattr(select, "epoll") else None
    except OSError:
        return None
