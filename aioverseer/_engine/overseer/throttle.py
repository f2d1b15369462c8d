"""The throttle of one overseer, at work: one timer, and whose turn it is.

Who may be restarted when is decided in ``core/machine/throttle.py``; in here it is waited for, and told to the service. What a
service does meanwhile, and at its turn, is in its table.
"""

from __future__ import annotations

from collections.abc import Callable

from aioverseer.core.clock import Clock, Timer
from aioverseer.core.machine.throttle import TokenBucket
from aioverseer.core.report.why import Awaited

__all__ = ["RestartThrottle"]


class RestartThrottle:
    """Lets services be restarted, no more of them than the throttle allows; no timer is armed while nobody waits."""

    def __init__(self, rate: float, *, clock: Clock, admit: Callable[[str], None]) -> None:
        """Begin with nobody waiting.

        Args:
            rate: Restarts a second.
            clock: What time is measured by.
            admit: Called with the service whose turn it is.
        """
        self._bucket = TokenBucket(rate)
        self._clock = clock
        self._admit = admit
        self._timer: Timer | None = None
        self._due = 0.0

    @property
    def reason(self) -> str:
        """Why a service waits, as the reason of its state."""
        return f"waits for its turn: no more than {self._bucket.rate:g} restarts a second (restart_rate)"

    def ask(self, id: str) -> bool:
        """Return whether a service may be restarted now; else it is told when it is its turn."""
        if self._bucket.ask(id, self._clock.now()):
            return True
        self._arm()
        return False

    def leave(self, id: str) -> None:
        """Let a service wait no more."""
        self._bucket.leave(id)
        if self._timer is not None and not self._bucket:
            self._timer.cancel()
            self._timer = None

    def awaited(self, id: str) -> list[Awaited]:
        """Return what a service waits for here; nothing when it does not."""
        if id not in self._bucket:
            return []
        ahead = self._bucket.ahead(id)
        due_in = max(0.0, self._bucket.due(id) - self._clock.now())
        queue = f", behind {ahead} other{'s' if ahead > 1 else ''}" if ahead else ""
        return [Awaited(kind="throttle", text=f"its turn at the throttle{queue}", due_in=due_in)]

    def _arm(self) -> None:
        due = self._bucket.next_due()
        if due is not None and self._timer is None:
            self._due = due
            self._timer = self._clock.call_at(due, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        # A clock may call a little early: what it has called for is due.
        now = max(self._clock.now(), self._due)
        while (id := self._bucket.admit(now)) is not None:
            self._admit(id)
        self._arm()
