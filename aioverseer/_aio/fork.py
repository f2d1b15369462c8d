"""The fork of a host: a copy of every object, and every descriptor shared with the parent.

An object of the parent must do nothing in the fork. It compares its generation with the current one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import selectors
import socket
import sys
from typing import Any
from weakref import WeakSet

__all__ = ["generation", "in_copy", "replace_epoll", "separate"]


class _Generation:
    number = 0


def generation() -> int:
    """Return the number of forks between the first process and this one. An object of another number is a copy."""
    return _Generation.number


def _begin() -> None:
    _Generation.number += 1


os.register_at_fork(after_in_child=_begin)


def in_copy() -> bool:
    """Return whether the running event loop is the copy of the parent's loop, in a fork: clean-up must do nothing."""
    if not _copies:
        return False
    try:
        return asyncio.get_running_loop() in _copies
    except RuntimeError:  # in the iteration in which the host has forked, no loop is running
        return True


_copies: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def separate(loop: asyncio.AbstractEventLoop) -> None:
    """Give the copy of an event loop an epoll and a wake-up pipe of its own, in a fork.

    asyncio changes the shared ones when the copy is closed, as ``sys.exit()`` in the fork does by ``asyncio.run``. The
    parent would not be woken any more. The copy watches no other descriptor: their data belongs to the parent.
    uvloop does the same by itself.
    """
    _copies.add(loop)
    _let_end(loop)
    # The names are private: no public one returns these objects. Where they are missing, the loop is not changed.
    selector: object = getattr(loop, "_selector", None)
    ours: object = getattr(loop, "_ssock", None)
    theirs: object = getattr(loop, "_csock", None)
    if not isinstance(selector, selectors.EpollSelector) or loop.is_closed():
        return
    with contextlib.suppress(OSError):  # no descriptors are left
        replace_epoll(selector.fileno())
        if isinstance(ours, socket.socket) and isinstance(theirs, socket.socket):
            _replace_pair(ours, theirs)
            with select.epoll.fromfd(os.dup(selector.fileno())) as epoll:
                epoll.register(ours.fileno(), select.EPOLLIN)
    for task in asyncio.all_tasks(loop):
        # Its own process goes on with it. The end of the fork is no reason for a message.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]  # no public name


def _let_end(loop: asyncio.AbstractEventLoop) -> None:
    """Let ``sys.exit()`` and Ctrl-C end the copy of an event loop, where a step of a task has forked.

    asyncio takes the running loop from the fork, so that ``asyncio.run`` works there. From Python 3.14 on, the end of
    the step then raises RuntimeError in place of SystemExit. The error goes to the exception handler, and the loop
    waits for ever: the future of ``asyncio.run`` is done, and stops it only for other exceptions.
    """
    previous = loop.get_exception_handler()

    def report(context: dict[str, Any]) -> None:
        if previous is None:
            loop.default_exception_handler(context)
        else:
            previous(loop, context)

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error: object = context.get("exception")
        if not isinstance(error, RuntimeError) or "is not the running loop" not in str(error):
            report(context)
            return
        asyncio._set_running_loop(loop)  # noqa: SLF001  # the step is over, and the next ones need it
        loop.set_exception_handler(previous)
        if isinstance(error.__context__, SystemExit | KeyboardInterrupt):
            raise error.__context__

    if sys.version_info >= (3, 14):
        loop.set_exception_handler(handle)


def replace_epoll(descriptor: int) -> None:
    """Put an empty epoll in the place of a shared one.

    Raises:
        OSError: If no descriptors are left.
    """
    with select.epoll() as fresh:
        os.dup2(fresh.fileno(), descriptor, inheritable=False)


def _replace_pair(*shared: socket.socket) -> None:
    for end, old in zip(socket.socketpair(), shared, strict=True):
        end.setblocking(False)  # noqa: FBT003  # it takes no keyword
        os.dup2(end.fileno(), old.fileno(), inheritable=False)
        end.close()
