"""WatchRule: when changes of files restart a service, and when they do so in a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LOOP", "Verdict", "WatchRule"]

LOOP = 5
"""Restarts in a row, each soon after the program was ready, that are a loop."""

_SOON = 2.0
"""Seconds after the readiness, beyond the debounce, within which nobody edits by hand five times in a row."""

_PATIENCE = 10.0
"""Longest wait, as a multiple of the debounce, while changes do not end."""

Verdict = Literal["restart", "loop", "wait"]
"""Decision once the changes have settled."""


@dataclass(slots=True)
class WatchRule:
    """The rule for one service, from its start to its end.

    Attributes:
        debounce: Seconds without a change before a restart.
        due: Monotonic time of the next decision; None without a change.
        changed: Path of the last change; empty for an unknown one.
        suspended: Whether a loop was found, so that changes have no effect.
    """

    debounce: float
    due: float | None = None
    changed: str = ""
    suspended: bool = False
    _first: float = 0.0
    _busy: bool = False
    _ready_at: float | None = None
    _in_a_row: int = 0

    def change(self, path: str, now: float) -> None:
        """Record a change. During a restart it is remembered, so that one more follows."""
        if self.suspended:
            return
        if self.due is None:
            self._first = now
        self.changed = path
        self.due = min(now + self.debounce, self._first + self.debounce * _PATIENCE)

    def settle(self, now: float) -> Verdict:
        """Decide, as no change has come for the debounce. Call this at ``due``."""
        if self.due is None or now < self.due or self._busy:
            return "wait"
        self.due = None
        is_soon = self._ready_at is not None and now - self._ready_at < self.debounce + _SOON
        self._in_a_row = self._in_a_row + 1 if is_soon else 1
        if self._in_a_row > LOOP:
            self.suspended = True
            return "loop"
        return "restart"

    def begin_run(self) -> None:
        """Record that a run is being started or ended: a restart now would be one too many."""
        self._busy = True

    def end_restart(self, now: float, *, ready: bool) -> None:
        """Record that the program is ready, or waits for its backoff. Remembered changes settle from now on."""
        self._busy = False
        if ready:
            self._ready_at = now
        if self.due is not None:
            self.due = max(self.due, now + self.debounce)
            self._first = now
