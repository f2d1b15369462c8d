"""The throttle for restart storms: so many restarts a second for a whole overseer, and a queue for the rest.

A token bucket, and whose turn is next; pure. ``_engine/overseer/throttle.py`` has the timer, and tells the services. When a single service
is restarted, and how often, is decided in ``restart.py``.
"""

from __future__ import annotations

import math

from aioverseer.core.errors import SpecError

__all__ = ["TokenBucket", "check_rate"]


def check_rate(value: object) -> float:
    """Check the option ``restart_rate``.

    Raises:
        SpecError: When it is no number of restarts a second.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise SpecError(
            f"restart_rate={value!r} is no rate: pass restarts a second, more than 0, or None for no limit",
            option="restart_rate",
            value=value,
        )
    return float(value)


class TokenBucket:
    """What one overseer has used of its restarts, and who waits for one.

    First come, first served. A service stands in the queue once, and behind all others again after each restart, so the
    turns go round: one that is always in a crash loop does not keep the others waiting for longer than a round.

    Attributes:
        rate: Restarts a second.
        burst: Restarts that may come at once, after a time without any: those of a second, and one at least.
    """

    __slots__ = ("_queue", "_since", "_taken", "burst", "rate")

    def __init__(self, rate: float, *, burst: int | None = None) -> None:
        """Begin with a full bucket.

        Args:
            rate: Restarts a second, more than 0.
            burst: Restarts that may come at once; None for those of a second.
        """
        self.rate = rate
        self.burst = max(1, int(rate)) if burst is None else burst
        # When the bucket was full for the last time, and what was taken since: that needs not be brought up to date,
        # and no rounding adds up.
        self._since = -math.inf
        self._taken = 0
        self._queue: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def __contains__(self, id: object) -> bool:
        """Return whether a service waits."""
        return id in self._queue

    def ask(self, id: str, now: float) -> bool:
        """Ask for a restart; return whether it may be now, and is counted. Else the service waits for its turn.

        Args:
            id: The service.
            now: Monotonic seconds, never less than in the call before.
        """
        if not self._queue and now >= self._next_at():
            self._take(now)
            return True
        self._queue.setdefault(id)
        return False

    def leave(self, id: str) -> None:
        """Let a service wait no more."""
        self._queue.pop(id, None)

    def next_due(self) -> float | None:
        """Return the monotonic time of the next turn; None when nobody waits."""
        return self._next_at() if self._queue else None

    def admit(self, now: float) -> str | None:
        """Take the first out of the queue, and count its restart, if it is time.

        Args:
            now: Monotonic seconds; at the time that ``next_due`` has told, it is time.

        Returns:
            The service whose turn it is; None when it is nobody's.
        """
        if not self._queue or now < self._next_at():
            return None
        self._take(now)
        id = next(iter(self._queue))
        del self._queue[id]
        return id

    def due(self, id: str) -> float:
        """Return the monotonic time at which it is the turn of a service that waits, if nobody leaves before."""
        return self._next_at() + self.ahead(id) / self.rate

    def ahead(self, id: str) -> int:
        """Return how many wait in front of a service that waits."""
        return list(self._queue).index(id)

    def _next_at(self) -> float:
        return self._since + (self._taken + 1 - self.burst) / self.rate

    def _take(self, now: float) -> None:
        if now >= self._since + self._taken / self.rate:
            self._since, self._taken = now, 0
        self._taken += 1
