"""Liveness judgement: whether a program that is ready still does its work."""

from __future__ import annotations

from aioverseer.core.options.alive import Alive

__all__ = ["LivenessJudge", "is_late"]

_LATE = 0.25
"""Seconds behind its time at which a timer shows that the host itself was busy: far above the delays of a host that is
well (some milliseconds), far below what a time limit is."""


def is_late(due: float, now: float) -> bool:
    """Return whether a timer came so late that the host was busy, and nobody else can be blamed."""
    return now - due > _LATE


class LivenessJudge:
    """What the checks of one run have shown so far.

    Attributes:
        well: Whether it is taken for alive.
        failed: Checks in a row that have failed.
        error: What the last failed check had to say.
    """

    def __init__(self, policy: Alive, *, since: float) -> None:
        """Begin with a program that is well.

        Args:
            policy: The rules.
            since: Monotonic time at which it became ready.
        """
        self.well = True
        self.failed = 0
        self.error = ""
        self._policy = policy
        self._counts_from = since + policy.grace
        self._passed = 0

    def passed(self) -> bool:
        """Take note of a check that succeeded; return whether that changes what it is taken for."""
        self.failed = 0
        self._passed += 1
        if self.well or self._passed < self._policy.successes:
            return False
        self.well = True
        return True

    def failed_at(self, now: float, error: str) -> bool:
        """Take note of a check that failed; return whether that changes what it is taken for."""
        self.error = error
        self._passed = 0
        if now < self._counts_from:
            return False
        self.failed += 1
        return self._judge()

    def trigger(self, error: str) -> bool:
        """Take note that it asks to be treated as not alive; return whether that changes anything."""
        self.error = error
        self._passed = 0
        self.failed = max(self.failed, self._policy.failures)
        return self._judge()

    def _judge(self) -> bool:
        if not self.well or self.failed < self._policy.failures:
            return False
        self.well = False
        return True
