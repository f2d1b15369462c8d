"""The restart budget of a service or a group: a verdict on each end of a run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from aioverseer.core.clock import Rng
from aioverseer.core.options.restart import Restart, RunEnd, wants_restart
from aioverseer.core.text.counted import counted

__all__ = ["Budget", "Done", "EndVerdict", "RestartIn", "Spent"]


@dataclass(slots=True, kw_only=True)
class RestartIn:
    """Verdict: run the program again.

    Attributes:
        delay: Seconds to wait before the restart.
        attempt: Number of restarts before this one since a run was ready for ``reset_after``.
        left: Number of restarts that the budget allows after this one; None is no limit.
    """

    delay: float
    attempt: int
    left: int | None


@dataclass(slots=True, kw_only=True)
class Done:
    """Verdict: the policy wants no restart."""


@dataclass(slots=True, kw_only=True)
class Spent:
    """Verdict: the policy wants a restart, but the budget is spent.

    Attributes:
        max_restarts: Limit that was reached.
        within: Seconds of its window; None is for ever.
    """

    max_restarts: int
    within: float | None

    def __str__(self) -> str:
        """Return the verdict as part of a reason."""
        span = "" if self.within is None else f" within {self.within:g} s"
        return f"its {counted(self.max_restarts, 'restart')}{span} {'is' if self.max_restarts == 1 else 'are'} spent"


EndVerdict = RestartIn | Done | Spent
"""Verdict on the end of a run."""


class Budget:
    """Restarts that a service or a group has used of its policy: their times, and the attempt counter.

    A restart counts from the moment of its verdict. Memory is bounded by ``max_restarts``.
    """

    __slots__ = ("_attempt", "_policy", "_previous", "_times")

    def __init__(self, policy: Restart) -> None:
        self._policy = policy
        self._attempt = 0
        self._previous: float | None = None
        self._times: deque[float] = deque()

    def judge(self, exit: RunEnd, *, now: float, ready_for: float | None, rng: Rng | None) -> EndVerdict:
        """Judge the end of a run, and count the restart if there will be one.

        Args:
            exit: End of the run; None if the program could not be started.
            now: Monotonic seconds, never less than in the previous call.
            ready_for: Seconds for which the run was ready; None if it never was.
            rng: Source of random numbers for the jitter of the backoff, unless the backoff has its own.
        """
        if not wants_restart(self._policy, exit):
            return Done()
        return self.spend(now=now, ready_for=ready_for, rng=rng)

    def spend(self, *, now: float, ready_for: float | None, rng: Rng | None) -> RestartIn | Spent:
        """Count a restart that the policy wants, if the budget allows it.

        Args:
            now: As in ``judge``.
            ready_for: As in ``judge``.
            rng: As in ``judge``.
        """
        policy = self._policy
        if ready_for is not None and ready_for >= policy.reset_after:
            self.begin_delays_anew()
        most = policy.max_restarts
        if most is not None:
            self._forget(now)
            if len(self._times) >= most:
                return Spent(max_restarts=most, within=policy.within)
        own = policy.backoff.rng
        delay = policy.backoff.for_attempt(self._attempt, rng if own is None else own, self._previous)
        if most is not None:
            self._times.append(now)
        attempt = self._attempt
        self._attempt += 1
        self._previous = delay
        return RestartIn(delay=delay, attempt=attempt, left=self.left(now))

    def begin_delays_anew(self) -> None:
        """Let the next restart have the shortest delay. Its number in the window stays."""
        self._attempt = 0
        self._previous = None

    def left(self, now: float) -> int | None:
        """Return the number of restarts that are allowed now.

        Args:
            now: Monotonic seconds.

        Returns:
            Number of restarts, or None for no limit.
        """
        most = self._policy.max_restarts
        if most is None:
            return None
        self._forget(now)
        return most - len(self._times)

    def refills_in(self, now: float) -> float | None:
        """Return the time until one more restart is allowed than now.

        Args:
            now: Monotonic seconds.

        Returns:
            Seconds; None if no restart is counted, if the window is endless, or if there is no limit.
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
