"""SignalHandling: stops all services at SIGINT and SIGTERM, and kills them at a second signal (``handle_signals``)."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._system.host.signals import HostSignals
from aioverseer.core.clock import Clock
from aioverseer.core.state import State

__all__ = ["SignalHandling"]

_log = logging.getLogger("aioverseer")

_SAME_REQUEST = 0.1
"""Seconds within which several signals count as one: for Ctrl-C, the terminal and a parent process may both send it."""


class SignalHandling:
    """Handles the signals of the host while an overseer is in use."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        shutdown: Shutdown,
        *,
        clock: Clock,
        on_signal: Callable[[signal.Signals], None],
    ) -> None:
        """Prepare. ``install`` sets the signal handlers.

        Args:
            name: The name of the overseer.
            registry: The services.
            shutdown: The stop of all services.
            clock: The source of time.
            on_signal: Called with each signal before anything else happens.
        """
        self._name = name
        self._registry = registry
        self._shutdown = shutdown
        self._clock = clock
        self._report = on_signal
        self._host_signals = HostSignals(self.on_signal)
        self._first_at: float | None = None
        self._had_early_signal = False

    def install(self) -> None:
        """Set the signal handlers.

        Raises:
            OverseerError: If this is called outside of the main thread, where Python has no signal handlers.
        """
        self._first_at = None
        self._had_early_signal = False
        self._host_signals.install()

    def restore(self) -> None:
        """Restore the handlers of the host. Idempotent."""
        self._host_signals.restore()

    def take_early_signal(self) -> bool:
        """Return whether a signal came while there was nothing to stop, and forget it.

        Such a signal requests a stop all the same.
        """
        early, self._had_early_signal = self._had_early_signal, False
        return early

    def on_signal(self, number: signal.Signals) -> None:
        """Stop all services, or kill them at the second signal."""
        # The second signal kills what the first one has not ended yet. Once everything has ended, the next signal is
        # a first one again.
        registry = self._registry
        live = [registry.services[id] for id in sorted(registry.live)]
        now = self._clock.now()
        again = (
            self._first_at is not None
            and now - self._first_at >= _SAME_REQUEST
            and any(service.state is State.STOPPING for service in live)
        )
        if not again:
            self._first_at = now
        self._report(number)
        self._had_early_signal = not live and not registry.is_watched
        _log.info("%s: received %s: %s all services", self._name, number.name, "killing" if again else "stopping")
        self._shutdown.on_signal(live, kill=again)
        registry.notify()
