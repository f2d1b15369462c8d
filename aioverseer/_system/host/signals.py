"""Handlers for the host's SIGINT and SIGTERM. The host's own handlers are restored afterwards."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

from aioverseer.core.errors import OverseerError

__all__ = ["HostSignals"]

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class HostSignals:
    """Installs a handler for both signals, and restores the previous handlers."""

    def __init__(self, on_signal: Callable[[signal.Signals], None]) -> None:
        """Change nothing before ``install``.

        Args:
            on_signal: Called on the event loop for each signal.
        """
        self._on_signal = on_signal
        self._before: dict[signal.Signals, Any] = {}
        self._of_loop: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Handle SIGINT and SIGTERM.

        Raises:
            OverseerError: If this is called outside of the main thread, where Python has no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OverseerError(
                "handle_signals=True works in the main thread only: leave it out, and stop the overseer from there"
            )
        loop = asyncio.get_running_loop()
        # A handler of loop.add_signal_handler can only be read from this private dict. uvloop has none and loses it.
        handles: dict[int, Any] = getattr(loop, "_signal_handlers", {})
        for number in _WATCHED:
            if number in handles:
                self._of_loop[number] = handles[number]
            self._before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self._on_signal, number)

    def restore(self) -> None:
        """Restore the previous handlers. Idempotent."""
        loop = asyncio.get_running_loop()
        while self._before:
            number, handler = self._before.popitem()
            loop.remove_signal_handler(number)
            handle = self._of_loop.pop(number, None)
            if handle is not None:
                loop.add_signal_handler(number, handle._callback, *handle._args)  # noqa: SLF001  # no public API has them
            elif handler is not None:  # None: it was not set from Python, so Python cannot restore it
                signal.signal(number, handler)
