"""SignalHandling: ends the block of an overseer at signals of the host (``handle_signals``)."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from aioverseer._system.host.signals import HostSignals
from aioverseer.core.clock import Clock
from aioverseer.core.machine.host_signals import HostSignalJudge, Request

__all__ = ["SignalHandling"]

_log = logging.getLogger("aioverseer")


class SignalHandling:
    """Handles the signals of the host while an overseer is in use.

    Attributes:
        received: The last signal; None before the first.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        block_runs: Callable[[], bool],
        end_block: Callable[[], None],
        kill: Callable[[], None],
    ) -> None:
        """Prepare. ``install`` sets the signal handlers.

        Args:
            name: The name of the overseer.
            clock: The source of time.
            block_runs: Function that returns whether the block of the overseer has not been left yet.
            end_block: Function that stops all services and cancels the block.
            kill: Function that kills all services.
        """
        self.received: signal.Signals | None = None
        self._name = name
        self._clock = clock
        self._block_runs = block_runs
        self._end_block = end_block
        self._kill = kill
        self._host_signals = HostSignals(self.on_signal)
        self._judge = HostSignalJudge()
        self._first: signal.Signals | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def install(self) -> None:
        """Set the signal handlers.

        Raises:
            OverseerError: If this is called outside of the main thread, where Python has no signal handlers.
        """
        self.received = self._first = None
        self._judge = HostSignalJudge()
        self._loop = asyncio.get_running_loop()
        self._host_signals.install()

    def restore(self) -> None:
        """Restore the handlers of the host. Idempotent."""
        self._host_signals.restore()

    def on_signal(self, number: signal.Signals) -> bool:
        """Handle a signal, between any two steps of the main thread.

        Only values are stored here. The event loop does the work, as soon as it gets to run.

        Returns:
            Whether the signal must have its ordinary effect at once.
        """
        self.received = number
        may_force = number is not signal.SIGHUP
        request = self._judge.judge(self._clock.now(), block_runs=self._block_runs(), may_force=may_force)
        if request is Request.ORDINARY:
            self._first = None
            return True
        if request is Request.STOP:
            self._first = number
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._perform, self._judge, request, number)
        return False

    def let_through(self) -> bool:
        """Let the signal that has ended the block have its ordinary effect, once the handlers are restored.

        Returns:
            Whether a handler of the application, or another overseer, has taken the signal. False if no signal has
            ended the block, or its effect came earlier.

        Raises:
            KeyboardInterrupt: For SIGINT without a handler of the application.
            SystemExit: For SIGTERM or SIGHUP without a handler of the application, with code 143 or 129.
        """
        number, self._first = self._first, None
        if number is None:
            return False
        self._host_signals.let_through(number)
        return True

    def _perform(self, judge: HostSignalJudge, request: Request, number: signal.Signals) -> None:
        if judge is not self._judge:  # the block has ended, and the overseer was entered again
            return
        judge.on_handled()
        match request:
            case Request.STOP:
                _log.info("%s: received %s: stopping all services", self._name, number.name)
                self._end_block()
            case Request.KILL:
                _log.info("%s: received %s: killing all services", self._name, number.name)
                self._kill()
            case _:
                pass
