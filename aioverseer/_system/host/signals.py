"""SIGINT and SIGTERM of the host, while somebody has asked for them; the host's own handlers are put back afterwards.

The only place that touches the signal handlers of the host. What a signal leads to is decided by the caller.
"""

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
    """Takes the signals of the host over, and gives them back."""

    def __init__(self, on_signal: Callable[[signal.Signals], None]) -> None:
        """Prepare; nothing is taken over before ``install``.

        Args:
            on_signal: Called on the event loop for each signal.
        """
        self._on_signal = on_signal
        self._before: dict[signal.Signals, Any] = {}
        self._of_loop: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Take SIGINT and SIGTERM over.

        Raises:
            OverseerError: Outside of the main thread, where Python has no signal handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise OverseerError(
                "handle_signals=True works in the main thread only: leave it out, and stop the overseer from there"
            )
        loop = asyncio.get_running_loop()
        # What the host gave to its event loop can be read there only; a loop without this dict (uvloop) forgets it.
        handles: dict[int, Any] = getattr(loop, "_signal_handlers", {})
        for number in _WATCHED:
            if number in handles:
                self._of_loop[number] = handles[number]
            self._before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self._on_signal, number)

    def restore(self) -> None:
        """Put back what was there. Idempotent."""
        loop = asyncio.get_running_loop()
        while self._before:
            number, handler = self._before.popitem()
            loop.remove_signal_handler(number)
            handle = self._of_loop.pop(number, None)
            if handle is not None:
                loop.add_signal_handler(number, handle._callback, *handle._args)  # noqa: SLF001  # there is no public way
            elif handler is not None:  # None: it was not set from Python, and cannot be put back from here
                signal.signal(number, handler)
