"""The restart budget: what follows the end of a run, and what one supervision has used of its policy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from aioverseer.core.clock import Rng
from aioverseer.core.options.restart import Ending, Restart, wants_restart

__all__ = ["Budget", "Done", "RestartIn", "Spent", "Verdict"]


@dataclass(slots=True, kw_only=True)
class RestartIn:
    """Verdict: run it again.

    Attributes:
        delay: Seconds to wait before.
        attempt: How many restarts came before this one without a run that was ready for ``reset_after``.
        left: Restarts that the budget still allows at this moment, this one counted; None is no limit.
    """

    delay: float
    attempt: int
    left: int | None


@dataclass(slots=True, kw_only=True)
class Done:
    """Verdict: it has ended for good, as the policy wants it."""


@dataclass(slots=True, kw_only=True)
class Spent:
    """Verdict: the policy wants another run, and the budget does not allow it.

    Attributes:
        max_restarts: The limit that was reached.
        within: Seconds of its window; None is for ever.
    """

    max_restarts: int
    within: float | None


Verdict = RestartIn | Done | Spent
"""What follows the end of a run."""


class Budget:
    """What one supervision has used of its policy: the attempt counter and the times of its restarts.

    A restart counts from the moment at which it was judged. Memory is bounded by ``max_restarts``.
    """

    __slots__ = ("_attempt", "_policy", "_previous", "_times")

    def __init__(self, policy: Restart) -> None:
        self._policy = policy
        self._attempt = 0
        self._previous: float | None = None
        self._times: deque[float] = deque()

    def judge(self, exit: Ending, *, now: float, ready_for: float | None, rng: Rng | None) -> Verdict:
        """Judge the end of a run, and count the restart when there is to be one.

        Args:
            exit: How it ended; None when it could not be started.
            now: Monotonic seconds, never less than in the call before.
            ready_for: Seconds for which the run had been ready; None when it never was.
            rng: Source of chance for the jitter of the backoff; None when that has its own, or no jitter.

        Raises:
            SpecError: When the backoff has jitter and there is no source of chance.
        """
        if not wants_restart(self._policy, exit):
            return Done()
        return self.spend(now=now, ready_for=ready_for, rng=rng)

    def spend(self, *, now: float, ready_for: float | None, rng: Rng | None) -> RestartIn | Spent:
        """Count a restart that is wanted, if it is allowed.

        Args:
            now: As in ``judge``.
            ready_for: As in ``judge``.
            rng: As in ``judge``.

        Raises:
            SpecError: As ``judge``.
        """
        policy = self._policy
        if ready_for is not None and ready_for >= policy.reset_after:
            self._attempt = 0
            self._previous = None
        most = policy.max_restarts
        if most is not None:
            self._forget(now)
            if len(self._times) >= most:
                return Spent(max_restarts=most, within=policy.within)
        delay = policy.backoff.for_attempt(self._attempt, rng, self._previous)
        if most is not None:
            self._times.append(now)
        attempt = self._attempt
        self._attempt += 1
        self._previous = delay
        return RestartIn(delay=delay, attempt=attempt, left=self.left(now))

    def left(self, now: float) -> int | None:
        """Return how many restarts are allowed at this moment.

        Args:
            now: Monotonic seconds.

        Returns:
            The number, or None when there is no limit.
        """
        most = self._policy.max_restarts
        if most is None:
            return None
        self._forget(now)
        return most - len(self._times)

    def refills_in(self, now: float) -> float | None:
        """Return the time until one more restart is allowed than at this moment.

        Args:
            now: Monotonic seconds.

        Returns:
            Seconds, or None when none is in use, when none comes back, or when there is no limit.
        """
        within = self._policy.within
        self._forget(now)
        if within is None or not self._times:
            return None
        return max(0.0, self._times[0] + within - now)

    def _forget(self, now: float) -> None:
        within = self._policy.within
        if within is None:
            return
        times = self._times
        while times and times[0] <= now - within:
            times.popleft()
