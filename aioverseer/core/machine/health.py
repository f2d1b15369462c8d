"""The judgement of liveness checks: whether a program that was ready still does its work."""

from __future__ import annotations

from aioverseer.core.options.alive import Alive

__all__ = ["LivenessJudge", "is_late"]

_LATE = 0.25
"""Delay of a timer in seconds that shows that the host was busy: far above the delays of an idle host (some
milliseconds), far below any time limit."""


def is_late(due: float, now: float) -> bool:
    """Return whether a timer fired so late that the host was busy and its checks prove nothing."""
    return now - due > _LATE


class LivenessJudge:
    """Judge of the liveness checks of one run.

    Attributes:
        is_alive: Whether the program counts as alive.
        failed: Number of checks in a row that have failed.
        error: Message of the last failed check.
    """

    def __init__(self, policy: Alive, *, since: float) -> None:
        """Begin with a program that is alive.

        Args:
            policy: Rules of the checks.
            since: Monotonic time at which the program became ready.
        """
        self.is_alive = True
        self.failed = 0
        self.error = ""
        self._policy = policy
        self._counts_from = since + policy.grace
        self._passed = 0

    def passed(self) -> bool:
        """Record a successful check; return whether ``is_alive`` changes."""
        self.failed = 0
        self._passed += 1
        if self.is_alive or self._passed < self._policy.successes:
            return False
        self.is_alive = True
        return True

    def failed_at(self, now: float, error: str) -> bool:
        """Record a failed check; return whether ``is_alive`` changes."""
        self.error = error
        self._passed = 0
        if now < self._counts_from:
            return False
        self.failed += 1
        return self._judge()

    def trigger(self, error: str) -> bool:
        """Record that the program asks to be treated as not alive; return whether ``is_alive`` changes."""
        self.error = error
        self._passed = 0
        self.failed = max(self.failed, self._policy.failures)
        return self._judge()

    def _judge(self) -> bool:
        if not self.is_alive or self.failed < self._policy.failures:
            return False
        self.is_alive = False
        return True
