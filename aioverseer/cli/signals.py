"""CommandSignals: the signals that the command itself handles while its services run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["CommandSignals"]

_SAME_REQUEST = 0.1
"""Seconds within which several signals count as one: for Ctrl-C, the terminal and a parent process may both send it."""

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RELAYED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT)


class CommandSignals:
    """A context manager that handles signals.

    The first signal that asks for an end stops the services, and one that comes 0.1 s or more after it kills them.
    """

    def __init__(
        self,
        *,
        stop: Callable[[signal.Signals], None],
        kill: Callable[[], None],
        relay: Callable[[signal.Signals], None] | None = None,
    ) -> None:
        """Change nothing before the block.

        Args:
            stop: Called with the first signal that asks for an end.
            kill: Called for the second one.
            relay: Called with a signal that is for the program alone. It is given where there is one program, which
                stands for this process: SIGQUIT then asks for an end too, and Ctrl-Z suspends both. None handles none
                of these signals.
        """
        self._stop = stop
        self._kill = kill
        self._relay = relay
        self._first_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> Self:
        """Set the handlers."""
        self._loop = asyncio.get_running_loop()
        for number in _STOPS:
            # Ignored by nohup: keep running without a terminal.
            if number is not signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:
                self._handle(number, self._on_stop)
        if self._relay is not None:
            self._handle(signal.SIGQUIT, self._on_stop)
            for number in _RELAYED:
                self._handle(number, self._relay)
            if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
                self._handle(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Set the handlers of Python again."""
        if self._loop is not None:
            for number in self._handled:
                self._loop.remove_signal_handler(number)

    def _handle(self, number: signal.Signals, handler: Callable[[signal.Signals], None]) -> None:
        if self._loop is not None:
            self._loop.add_signal_handler(number, handler, number)
            self._handled.append(number)

    def _on_stop(self, number: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if self._first_at is None:
            self._first_at = now
            self._stop(number)
        elif now - self._first_at >= _SAME_REQUEST:
            self._kill()

    def _suspend(self, number: signal.Signals) -> None:
        """Suspend the program, then this process, until a shell continues it.

        The program has a session of its own, so the terminal does not suspend it.
        """
        if self._relay is None or self._loop is None:
            return
        # SIGTSTP would do nothing: the kernel ignores it in a process group without a parent in its session.
        self._relay(signal.SIGSTOP)
        self._loop.remove_signal_handler(number)
        signal.raise_signal(number)
        self._loop.add_signal_handler(number, self._suspend, number)
        self._relay(signal.SIGCONT)
