"""RestartThrottle: makes services wait while more of them restart than ``restart_rate`` allows."""

from __future__ import annotations

from collections.abc import Callable

from aioverseer._aio.timers import OneShotTimer
from aioverseer.core.clock import Clock
from aioverseer.core.machine.throttle import TokenBucket
from aioverseer.core.options.overseer import check_rate
from aioverseer.core.report.why import Awaited

__all__ = ["RestartThrottle"]


class RestartThrottle:
    """One token bucket with one timer. The timer is armed only while a service waits."""

    def __init__(self, rate: float, *, clock: Clock, admit: Callable[[str], None]) -> None:
        """Begin with an empty queue.

        Args:
            rate: The number of restarts a second.
            clock: The source of time.
            admit: Function that restarts a service, given its name.

        Raises:
            SpecError: If ``rate`` is not a rate.
        """
        self._bucket = TokenBucket(check_rate(rate))
        self._clock = clock
        self._admit = admit
        self._timer = OneShotTimer(clock)

    @property
    def reason(self) -> str:
        """The reason of a service that waits."""
        return f"waits for its turn: no more than {self._bucket.rate:g} restarts a second (restart_rate)"

    def ask(self, id: str) -> bool:
        """Return whether a service may restart now. If not, it is queued and admitted later."""
        if self._bucket.ask(id, self._clock.now()):
            return True
        self._arm()
        return False

    def leave(self, id: str) -> None:
        """Remove a service from the queue."""
        self._bucket.leave(id)
        if not self._bucket:
            self._timer.cancel()

    def blockers(self, id: str) -> list[Awaited]:
        """Return the place of a service in the queue; nothing when it does not wait."""
        if id not in self._bucket:
            return []
        ahead = self._bucket.ahead(id)
        due_in = max(0.0, self._bucket.due(id) - self._clock.now())
        queue = f", behind {ahead} other{'s' if ahead > 1 else ''}" if ahead else ""
        return [Awaited(kind="throttle", text=f"its turn at the throttle{queue}", due_in=due_in)]

    def _arm(self) -> None:
        due = self._bucket.next_due()
        if due is not None and not self._timer.is_armed:
            self._timer.arm(due, self._on_timer)

    def _on_timer(self) -> None:
        # A clock may call slightly early. The timer was armed for ``due``, so ``due`` has come.
        now = max(self._clock.now(), self._timer.due)
        while (id := self._bucket.admit(now)) is not None:
            self._admit(id)
        self._arm()
