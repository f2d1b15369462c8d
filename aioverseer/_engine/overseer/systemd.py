"""SystemdReports: tells systemd how the services of the host are, if systemd has started the host."""

from __future__ import annotations

import asyncio

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._system.host.systemd import HostNotifier
from aioverseer.core.clock import Clock
from aioverseer.core.machine.host_report import HostReport
from aioverseer.core.options.restart import is_success
from aioverseer.core.state import State

__all__ = ["SystemdReports"]

_MARGIN = 5.0
"""Seconds in addition to the limits of a start or a stop: for a busy host."""


class SystemdReports:
    """The reports of one overseer, between entering and leaving.

    ``READY=1`` is sent once, when all services that were started are ready. ``WATCHDOG=1`` is sent by the event loop at
    half of the time that systemd gives, so a host whose loop is held up is restarted.
    """

    def __init__(self, clock: Clock) -> None:
        """Send nothing before ``install``.

        Args:
            clock: The source of time.
        """
        self._clock = clock
        self._notifier = HostNotifier()
        self._report = HostReport()
        self._watchdog = OneShotTimer(clock)
        self._half = 0.0
        self._status = ""
        self._is_due = False
        self._is_leaving = False
        self._is_reloading = False

    def install(self) -> None:
        """Begin: open the socket of systemd, and begin to feed the watchdog."""
        self._report = HostReport()
        self._status = ""
        self._is_due = self._is_leaving = self._is_reloading = False
        seconds = self._notifier.open()
        if seconds is not None:
            self._half = seconds / 2
            self._feed_watchdog()

    def restore(self) -> None:
        """End: stop feeding the watchdog, and close the socket. Idempotent."""
        self._watchdog.cancel()
        self._notifier.close()

    def on_transition(self, transition: ServiceTransition) -> None:
        """Record a change of state. It is sent at the end of the iteration of the loop, together with others."""
        if not self._notifier.is_open or self._is_leaving:
            return
        snapshot, spec = transition.snapshot, transition.snapshot.spec
        success = transition.state is State.FINISHED and is_success(spec.restart, snapshot.exit)
        self._report.change(transition.id, transition.state, transition.reason, success=success)
        if not self._report.is_ready and transition.state in (State.STARTING, State.BACKOFF):
            limit = spec.ready_timeout if spec.ready is not None else 0.0
            if limit is not None:
                self._extend(limit + spec.delay_start + spec.restart.backoff.max)
        self._send_soon()

    def on_removal(self, id: str) -> None:
        """Count a service no more that was removed. It may have been the last one that was not ready."""
        self._report.forget(id)
        if self._notifier.is_open:
            self._send_soon()

    def begin_reload(self) -> None:
        """Report that the host changes its services."""
        if self._report.is_ready:
            self._is_reloading = True
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={self._notifier.monotonic_usec()}")

    def end_reload(self) -> None:
        """Report that the host has changed its services."""
        if self._is_reloading and not self._is_leaving:
            self._notifier.send("READY=1")
        self._is_reloading = False

    def begin_leaving(self, seconds: float) -> None:
        """Report that all services are stopped, and ask for the time of their ladders.

        Args:
            seconds: Seconds that this takes at most.
        """
        self._is_leaving = True
        self._notifier.send("STOPPING=1", "STATUS=stopping all services", _extension(seconds + _MARGIN))

    def _extend(self, seconds: float) -> None:
        if (asked := self._report.extend(self._clock.now(), seconds + _MARGIN)) is not None:
            self._notifier.send(_extension(asked))

    def _send_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        if self._is_leaving:
            return
        status = self._report.status
        changes = [] if status == self._status else [f"STATUS={status}"]
        self._status = status
        if self._report.becomes_ready():
            changes.insert(0, "READY=1")
        if changes:
            self._notifier.send(*changes)

    def _feed_watchdog(self) -> None:
        self._notifier.send("WATCHDOG=1")
        self._watchdog.arm(self._clock.now() + self._half, self._feed_watchdog)


def _extension(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"
