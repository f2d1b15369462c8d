"""StartQueue: lets no more programs start at once than ``max_starting`` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioverseer.core.machine.start_limit import StartLimit, check_max_starting
from aioverseer.core.report.why import Awaited

__all__ = ["StartQueue"]


class StartQueue:
    """The places and the queue of one overseer. Nobody is admitted while all services are being stopped."""

    def __init__(self, places: int, *, begin_turn: Callable[[str], None], is_stopping: Callable[[], bool]) -> None:
        """Begin with free places.

        Args:
            places: The number of programs that may start at once.
            begin_turn: Function that lets a service start, given its name.
            is_stopping: Function that returns whether all services are being stopped.

        Raises:
            SpecError: If ``places`` is no number of programs.
        """
        self._limit = StartLimit(check_max_starting(places))
        self._begin_turn = begin_turn
        self._is_stopping = is_stopping
        self._is_due = False

    def ask(self, id: str) -> bool:
        """Return whether a program may start now. If not, it is queued."""
        return self._limit.ask(id)

    def leave(self, id: str) -> None:
        """Record that a program starts no more, or no longer waits."""
        if self._limit.leave(id):
            self.admit_soon()

    def admit_soon(self) -> None:
        """Let services of the queue start in the next iteration of the event loop.

        Not at once: a stop of several services requests one stop after the other, and the next one may be in the queue.
        """
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._admit)

    def reason(self, id: str) -> str:
        """Return the reason of a service that waits; empty if it does not."""
        if id not in self._limit:
            return ""
        return f"waits for its turn: no more than {self._limit.places} programs start at once (max_starting)"

    def blockers(self, id: str) -> list[Awaited]:
        """Return the programs that start before a service; nothing if it does not wait."""
        if id not in self._limit:
            return []
        ahead = self._limit.ahead(id)
        queue = f", and behind {ahead} other{'s' if ahead > 1 else ''}" if ahead else ""
        names = ", ".join(map(repr, self._limit.starting))
        return [Awaited(kind="start", text=f"its turn after {names}{queue}")]

    def _admit(self) -> None:
        self._is_due = False
        while not self._is_stopping() and (id := self._limit.admit()) is not None:
            self._begin_turn(id)
