"""HostSignalJudge: decides what a signal that the host has received asks for."""

from __future__ import annotations

import enum

__all__ = ["HostSignalJudge", "Request"]

_SAME_REQUEST = 0.1
"""Seconds within which several signals count as one: for Ctrl-C, the terminal and a parent process may both send it."""


class Request(enum.Enum):
    """The request of a signal of the host."""

    STOP = "stop"
    """Stop all services and end the block."""
    KILL = "kill"
    """Kill all services."""
    REPEATED = "repeated"
    """Nothing new."""
    ORDINARY = "ordinary"
    """The effect that the signal would have without this library, at once."""


class HostSignalJudge:
    """Judges the signals of one block, from the first one on."""

    def __init__(self) -> None:
        """Begin before the first signal."""
        self._first_at: float | None = None
        self._has_killed = False
        self._unhandled_since: float | None = None

    def judge(self, now: float, *, block_runs: bool, may_force: bool = True) -> Request:
        """Return what a signal asks for.

        The time since the first signal counts. Signals in between would otherwise move the window on for ever.

        Args:
            now: The monotonic time.
            block_runs: Whether the code of the block is still running.
            may_force: Whether a person may have sent it again on purpose. SIGHUP comes from the kernel and from shells.
        """
        if self._first_at is None:
            self._first_at = now
            request = Request.STOP
        elif not may_force:
            request = Request.REPEATED
        elif self._has_killed:
            if block_runs or self._is_held_up(now):
                return Request.ORDINARY
            request = Request.REPEATED
        elif now - self._first_at < _SAME_REQUEST:
            request = Request.REPEATED
        else:
            self._has_killed = True
            request = Request.KILL
        if self._unhandled_since is None:
            self._unhandled_since = now
        return request

    def on_handled(self) -> None:
        """Record that the event loop has handled all signals so far."""
        self._unhandled_since = None

    def _is_held_up(self, now: float) -> bool:
        """Return whether the event loop has not handled a signal in time: other code holds it up."""
        return self._unhandled_since is not None and now - self._unhandled_since >= _SAME_REQUEST
