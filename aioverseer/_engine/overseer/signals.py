"""What SIGINT and SIGTERM of the host lead to, where they are asked for: the stop of all, and by a second one its end.

Who takes the signals over, and gives them back, is ``_system/host/signals.py``.
"""

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

_ONE_WISH = 0.1
"""Seconds within which several signals are one wish: a terminal and a parent that passes it on both send Ctrl-C."""


class SignalHandling:
    """Obeys the signals of the host while an overseer is in use."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        stopping: Shutdown,
        *,
        clock: Clock,
        on_signal: Callable[[signal.Signals], None],
    ) -> None:
        """Prepare; nothing is taken over before ``install``.

        Args:
            name: The overseer's.
            registry: Whom it is about.
            stopping: What is asked to stop all.
            clock: What time is measured by.
            on_signal: Told of each signal before anything follows.
        """
        self._name = name
        self._registry = registry
        self._stopping = stopping
        self._clock = clock
        self._on_signal = on_signal
        self._host_signals = HostSignals(self.hear)
        self._first_at: float | None = None
        self._unheard = False

    def install(self) -> None:
        """Take the signals over.

        Raises:
            OverseerError: Outside of the main thread, where Python has no signal handlers.
        """
        self._first_at = None
        self._unheard = False
        self._host_signals.install()

    def restore(self) -> None:
        """Give them back. Idempotent."""
        self._host_signals.restore()

    def take_unheard(self) -> bool:
        """Return whether a signal has found nothing to stop, once: it was a wish all the same."""
        unheard, self._unheard = self._unheard, False
        return unheard

    def hear(self, number: signal.Signals) -> None:
        """Do what a signal asks for."""
        # A second one kills what the first one has not ended yet; once all that is over it is a first one again.
        registry = self._registry
        live = [registry.services[id] for id in sorted(registry.live)]
        now = self._clock.now()
        again = (
            self._first_at is not None
            and now - self._first_at >= _ONE_WISH
            and any(service.state is State.STOPPING for service in live)
        )
        if not again:
            self._first_at = now
        self._on_signal(number)
        self._unheard = not live and not registry.is_watched
        _log.info("%s: received %s: %s all services", self._name, number.name, "killing" if again else "stopping")
        self._stopping.obey(live, kill=again)
        registry.tell()
