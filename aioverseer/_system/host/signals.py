"""HostSignals: takes SIGINT, SIGTERM and, in a terminal, SIGHUP of the host for a while, and gives them back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from aioverseer.core.errors import OverseerError

__all__ = ["HostSignals"]

_TAKEN = (signal.SIGINT, signal.SIGTERM)
_STANDARD = (0, 1)
"""Descriptors of standard input and output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Previous:
    """The previous handling of a signal.

    Attributes:
        handler: The result of ``signal.getsignal``.
        handle: The asyncio handle of ``loop.add_signal_handler``; None for none.
        is_waker: Whether the event loop has got a handler of ours, so that signals wake it up.
    """

    handler: Any
    handle: Any
    is_waker: bool


class HostSignals:
    """Takes the signals, and restores the previous handlers.

    SIGHUP tells that the terminal was closed. It is taken only in a terminal and where its action is the default: a
    daemon reads its files again, and ``nohup`` ignores it.

    The handler is one of ``signal.signal``. A handler of the event loop would have to wait for code that holds the
    loop up.

    Attributes:
        handler: The handler of all signals.
        previous: The previous handling of each signal.
    """

    def __init__(self, on_signal: Callable[[signal.Signals], bool]) -> None:
        """Change nothing before ``install``.

        Args:
            on_signal: Called for each signal between any two steps of the main thread, as handlers of
                ``signal.signal`` are. Returns whether the signal must have its ordinary effect at once.
        """
        self._on_signal = on_signal
        self.handler = self._handle  # one object, which ``signal.getsignal`` returns again
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self.previous: dict[int, _Previous] = {}

    def install(self) -> None:
        """Handle SIGINT, SIGTERM and, in a terminal, SIGHUP.

        Raises:
            OverseerError: If this is called outside of the main thread, where Python has no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OverseerError(
                "handle_signals=True works in the main thread only: leave it out, and stop the overseer from there"
            )
        self._pid = os.getpid()
        self._loop = loop = asyncio.get_running_loop()
        self.previous = {number: self._take(loop, number) for number in (*_TAKEN, *_hangup())}
        _installed.append(self)

    def _take(self, loop: asyncio.AbstractEventLoop, number: int) -> _Previous:
        handler = signal.getsignal(number)
        handle = None
        # A second overseer finds the handler of the first one, which wakes the loop up already. uvloop keeps its
        # handlers to itself: they stay, and the loop calls them at once.
        is_waker = _owner_of(handler) is None and getattr(handler, "__self__", None) is not loop
        if is_waker:
            # A handler of loop.add_signal_handler can only be read from this private dict.
            handle = getattr(loop, "_signal_handlers", {}).get(number)
            # Without a handler of the loop, a signal that comes just before the loop waits would not end its wait.
            loop.add_signal_handler(number, _wake)
        signal.signal(number, self.handler)
        return _Previous(handler=handler, handle=handle, is_waker=is_waker)

    def restore(self) -> None:
        """Restore the previous handlers. Idempotent.

        A handler that the application has set meanwhile stays.
        """
        if self not in _installed:
            return
        _installed.remove(self)
        for number, previous in self.previous.items():
            heirs = (other for other in _installed if number in other.previous)
            heir = next((other for other in heirs if other.previous[number].handler is self.handler), None)
            if heir is not None:  # an overseer that was entered later and is still in use
                heir.previous[number] = previous
            elif signal.getsignal(number) is self.handler:
                self._put_back(number, previous)

    def _put_back(self, number: int, previous: _Previous) -> None:
        loop, handle, handler = self._loop, previous.handle, _revived(previous.handler)
        if loop is not None and not loop.is_closed() and previous.is_waker:
            loop.remove_signal_handler(number)
            if handle is not None:
                loop.add_signal_handler(number, handle._callback, *handle._args)  # noqa: SLF001  # no public API has them
        if handler is not None and handler is not signal.getsignal(number):
            signal.signal(number, handler)  # None was not set from Python, so Python cannot restore it

    def let_through(self, number: int) -> None:
        """Let a signal have its ordinary effect, after ``restore``: the effect that it has without this overseer.

        It may go to another overseer, or to a handler of the application.

        Raises:
            KeyboardInterrupt: For SIGINT without a handler of the application.
            SystemExit: For SIGTERM or SIGHUP without a handler of the application, with code 143 or 129.
        """
        self._call(number, self.previous[number], None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a fork by a library in C, which runs no fork handlers of Python
            _forget()
            signal.raise_signal(number)
            return
        loop = self._loop
        # A loop that does not run any more, or not just now, cannot stop anything.
        if loop is None or not loop.is_running() or self._on_signal(signal.Signals(number)):
            previous = self.previous[number]
            while (owner := _owner_of(previous.handler)) is not None:
                previous = owner.previous[number]
            self._call(number, previous, frame)

    def _call(self, number: int, previous: _Previous, frame: FrameType | None) -> None:
        handler, handle, loop = previous.handler, previous.handle, self._loop
        if loop is not None and not loop.is_closed():
            if handle is not None:
                loop.call_soon_threadsafe(handle._callback, *handle._args)  # noqa: SLF001
                return
            if getattr(handler, "__self__", None) is loop:  # uvloop has called it
                return
        if handler is signal.SIG_IGN:
            return
        if not callable(handler) or handler is signal.default_int_handler or _is_of_asyncio(handler):
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + number)
        handler(number, frame)


_installed: list[HostSignals] = []
"""All that have taken the signals of this process, the last one last."""


def _hangup() -> tuple[signal.Signals, ...]:
    """Return SIGHUP if it is to be taken."""
    handler = signal.getsignal(signal.SIGHUP)
    is_free = handler is signal.SIG_DFL or _owner_of(handler) is not None
    return (signal.SIGHUP,) if is_free and any(map(os.isatty, _STANDARD)) else ()


def _wake() -> None:
    """Do nothing: the loop has been woken up."""


def _owner_of(handler: Any) -> HostSignals | None:
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, HostSignals) else None


def _is_of_asyncio(handler: Any) -> bool:
    """Return whether a handler is that of ``asyncio.run``, which no application has set."""
    function = handler.func if isinstance(handler, functools.partial) else handler
    return str(getattr(function, "__module__", "")).startswith("asyncio.")


def _revived(handler: Any) -> Any:
    """Return the handler of ``asyncio.run``, or Python's own once the task of that handler has ended.

    An ``asyncio.Runner`` that runs again sets a handler only where it finds Python's own.
    """
    if _is_of_asyncio(handler):
        task = getattr(handler, "keywords", {}).get("main_task")
        if isinstance(task, asyncio.Future) and task.done():
            return signal.default_int_handler
    return handler


def _forget() -> None:
    """Give a fork of the host its own handlers back: the overseers belong to its parent."""
    while _installed:
        owner = _installed.pop()
        for number, previous in owner.previous.items():
            if signal.getsignal(number) is owner.handler:
                # SIG_DFL for None: the handler was not set from Python.
                with contextlib.suppress(ValueError):  # raised outside of the main thread
                    signal.signal(number, previous.handler or signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)
