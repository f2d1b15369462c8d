"""The report of a host to systemd: whether all of its services are ready, as a status in one line.

A service counts from its first start until somebody stops it. A finished one counts as ready if it was a success.
"""

from __future__ import annotations

from aioverseer.core.state import State

__all__ = ["HostReport"]

_MOST_NAMES = 3
"""Services that are not ready that the status names."""
_LONGEST = 400
"""Characters of the status."""


class HostReport:
    """The services of one overseer, as systemd needs to know them.

    Attributes:
        is_ready: Whether all services were ready at one time. It stays True.
    """

    __slots__ = ("_due", "_good", "_others", "is_ready")

    def __init__(self) -> None:
        self.is_ready = False
        self._good: set[str] = set()
        self._others: dict[str, str] = {}
        self._due = 0.0

    def change(self, id: str, state: State, reason: str, *, success: bool) -> None:
        """Record the state of a service.

        Args:
            id: Name of the service.
            state: Its new state.
            reason: The reason for it.
            success: Whether an end was a success.
        """
        if state is State.INTERRUPT:
            self.forget(id)
        elif state.is_up or success:
            self._others.pop(id, None)
            self._good.add(id)
        else:
            self._good.discard(id)
            self._others[id] = f"{id} is {state}: {reason}"

    def forget(self, id: str) -> None:
        """Count a service no more. Idempotent."""
        self._good.discard(id)
        self._others.pop(id, None)

    def becomes_ready(self) -> bool:
        """Return True once: when all services that count are ready for the first time."""
        if self.is_ready or self._others or not self._good:
            return False
        self.is_ready = True
        return True

    @property
    def status(self) -> str:
        """The number of services that are ready, and the reasons of some that are not."""
        others = list(self._others.values())
        more = f"; and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
        text = "; ".join([f"{len(self._good)} of {len(self._good) + len(others)} ready", *others[:_MOST_NAMES]])
        return f"{' '.join(text.split())[:_LONGEST]}{more}"

    def extend(self, now: float, seconds: float) -> float | None:
        """Return the seconds to ask for, so that systemd waits; None if it waits long enough already.

        A later request for less would take time away from an earlier one.

        Args:
            now: Monotonic seconds.
            seconds: Seconds from now that something may take.
        """
        if now + seconds <= self._due:
            return None
        self._due = now + seconds
        return seconds
