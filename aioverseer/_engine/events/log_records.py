"""LogRecords: the events of one overseer as records of the logger ``aioverseer``.

Each event makes one record. A restart and a failed end are warnings, a giving up is an error with the last lines, and
everything else is information.
"""

from __future__ import annotations

import logging

from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock
from aioverseer.core.machine.log_limit import LogLimit
from aioverseer.core.options.restart import is_success
from aioverseer.core.report.events import Kind
from aioverseer.core.report.status import with_last_lines
from aioverseer.core.state import State

__all__ = ["LogRecords", "level_of"]

_log = logging.getLogger("aioverseer")


class LogRecords:
    """Logs the events of one overseer."""

    def __init__(self, clock: Clock) -> None:
        """Begin without records.

        Args:
            clock: The source of time for the limit on warnings.
        """
        self._clock = clock
        self._limit = LogLimit()

    def on_transition(self, service: ServiceRunner | None, transition: ServiceTransition) -> None:
        """Log a change of state.

        Args:
            service: The service; None if it was removed meanwhile.
            transition: The change.
        """
        level = logging.INFO if service is None else level_of(service, transition.state)
        if not _log.isEnabledFor(level):
            return
        reason = transition.reason
        if service is not None and level == logging.WARNING:
            if self._limit.admit(transition.id, self._clock.now()):
                reason = self._warning(service, reason)
            else:
                level = logging.INFO
        elif service is not None and level == logging.ERROR and self._limit.admit_lines(service.id, self._clock.now()):
            reason = with_last_lines(reason, service.last_lines())
        _log.log(
            level,
            "%s: %s -> %s: %s",
            transition.id,
            transition.previous,
            transition.state,
            _writable(reason),
            extra={"service": transition.id, "kind": "state"},
        )

    def _warning(self, service: ServiceRunner, reason: str) -> str:
        error = service.last_error
        if service.is_task and error is not None:
            reason = f"{reason} ({type(error).__name__}: {error})"
        if self._limit.held_back:
            reason = f"{reason} ({self._limit.held_back} warnings before this one were logged as information)"
            self._limit.held_back = 0
        return with_last_lines(reason, service.last_lines()) if service.state.is_final else reason

    def on_event(self, id: str, text: str, kind: Kind, *, level: int | None = None) -> None:
        """Log an event that changes no state.

        Args:
            id: The name of the service.
            text: The end of a sentence that begins with the name.
            kind: The kind of the event.
            level: The level; None for that of the kind.
        """
        if level is None:
            level = logging.WARNING if kind in ("leftovers", "log") else logging.INFO
        elif level == logging.WARNING and not self._limit.admit(id, self._clock.now()):
            level = logging.INFO
        _log.log(level, "%s: %s", id, _writable(text), extra={"service": id, "kind": kind})


def _writable(text: str) -> str:
    """Return the text with lone surrogates as escapes: handlers write UTF-8, and raise for them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def level_of(service: ServiceRunner, state: State) -> int:
    """Return the level of the record of a change of state; WARNING and more for an end that is a failure."""
    machine = service.machine
    if service.gave_up is not None and state in (State.FATAL, State.WAITING):
        return logging.ERROR
    if machine.stopped_on_request or not (state.is_final or state in (State.BACKOFF, State.WAITING)):
        return logging.INFO
    if state is State.FATAL:
        return logging.ERROR if machine.begun else logging.WARNING  # a dependency, which has an error of its own
    if not machine.judged:
        return logging.INFO
    if state is State.BACKOFF:
        return logging.WARNING
    exit = None if service.process is None else service.process.machine.exit
    return logging.INFO if is_success(machine.policy, exit) else logging.WARNING
