"""The limit on log records about failures: a crash storm must not flood the log of the application."""

from __future__ import annotations

from aioverseer.core.machine.throttle import TokenBucket

__all__ = ["LogLimit"]

_MAX_BUCKETS = 1000
"""Services whose buckets are kept. More of them fail together seldom, and are limited together then."""


class LogLimit:
    """Limits records of each service, and those of all services together.

    One service has ten warnings at once, and then one in ten seconds. The default restart policy makes fewer. All
    services together have a hundred records, and then one a second.

    Attributes:
        held_back: Number of records since the last one that was admitted.
    """

    def __init__(self) -> None:
        """Begin with full buckets."""
        self.held_back = 0
        self._all = TokenBucket(1.0, burst=100)
        self._each: dict[str, TokenBucket] = {}

    def admit(self, id: str, now: float) -> bool:
        """Return whether a warning about a service may be loud, and count it.

        Args:
            id: Id of the service.
            now: Monotonic seconds, never less than in the previous call.
        """
        if id not in self._each:
            if len(self._each) >= _MAX_BUCKETS:
                self._each.clear()
            self._each[id] = TokenBucket(0.1, burst=10)
        if _take(self._each[id], id, now) and _take(self._all, id, now):
            return True
        self.held_back += 1
        return False

    def admit_lines(self, id: str, now: float) -> bool:
        """Return whether an error about a service may have its last lines, and count it; see ``admit``."""
        return _take(self._all, id, now)


def _take(bucket: TokenBucket, id: str, now: float) -> bool:
    if bucket.ask(id, now):
        return True
    bucket.leave(id)
    return False
