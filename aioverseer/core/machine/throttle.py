"""The throttle for restart storms: a token bucket for the restarts of one overseer, and a queue."""

from __future__ import annotations

import math

__all__ = ["TokenBucket"]


class TokenBucket:
    """Token bucket for restarts, with a queue of services that wait for one.

    First come, first served. A service is in the queue once, and at its end again after each restart. So a service in a
    crash loop delays each other service by one restart at most.

    Attributes:
        rate: Restarts a second.
        burst: Restarts that may come at once after a time without any: those of one second, and at least one.
    """

    __slots__ = ("_queue", "_since", "_taken", "burst", "rate")

    def __init__(self, rate: float, *, burst: int | None = None) -> None:
        """Begin with a full bucket.

        Args:
            rate: Restarts a second, more than 0.
            burst: Restarts that may come at once; None for those of one second.
        """
        self.rate = rate
        self.burst = max(1, int(rate)) if burst is None else burst
        # Time when the bucket was last full, and the tokens taken since. Unlike a level of tokens, they need no
        # update as time passes, and rounding errors do not add up.
        self._since = -math.inf
        self._taken = 0
        self._queue: dict[str, None] = {}

    def __len__(self) -> int:
        """Return the number of services in the queue."""
        return len(self._queue)

    def __contains__(self, id: object) -> bool:
        """Return whether a service is in the queue."""
        return id in self._queue

    def ask(self, id: str, now: float) -> bool:
        """Return whether a service may restart now, and count the restart; else add the service to the queue.

        Args:
            id: Id of the service.
            now: Monotonic seconds, never less than in the previous call.
        """
        if not self._queue and now >= self._next_at():
            self._take(now)
            return True
        self._queue.setdefault(id)
        return False

    def leave(self, id: str) -> None:
        """Remove a service from the queue."""
        self._queue.pop(id, None)

    def next_due(self) -> float | None:
        """Return the monotonic time of the next restart; None if the queue is empty."""
        return self._next_at() if self._queue else None

    def admit(self, now: float) -> str | None:
        """Take the first service out of the queue and count its restart, if one is due.

        Args:
            now: Monotonic seconds; a restart is due at the time that ``next_due`` returns.

        Returns:
            Id of the service, or None if no restart is due.
        """
        if not self._queue or now < self._next_at():
            return None
        self._take(now)
        id = next(iter(self._queue))
        del self._queue[id]
        return id

    def due(self, id: str) -> float:
        """Return the monotonic time of the restart of a service in the queue, if none before it leaves."""
        return self._next_at() + self.ahead(id) / self.rate

    def ahead(self, id: str) -> int:
        """Return the number of services in the queue before this one."""
        return list(self._queue).index(id)

    def _next_at(self) -> float:
        return self._since + (self._taken + 1 - self.burst) / self.rate

    def _take(self, now: float) -> None:
        if now >= self._since + self._taken / self.rate:
            self._since, self._taken = now, 0
        self._taken += 1
