"""StartQueue: lets no more programs start at once than ``max_starting`` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioverseer.core.machine.start_limit import StartLimit
from aioverseer.core.options.overseer import check_max_starting
from aioverseer.core.report.why import Awaited

__all__ = ["StartQueue"]


class StartQueue:
    """The places and the queue of one overseer. Nobody is admitted while all services are being stopped."""

    def __init__(self, places: int, *, is_stopping: Callable[[], bool]) -> None:
        """Begin with free places.

        Args:
            places: The number of programs that may start at once.
            is_stopping: Function that returns whether all services are being stopped.

        Raises:
            SpecError: If ``places`` is no number of programs.
        """
        self._limit = StartLimit(check_max_starting(places))
        self._turns: dict[tuple[str, int], Callable[[], None]] = {}
        self._is_stopping = is_stopping
        self._is_due = False

    def ask(self, id: str, run: int, begin_turn: Callable[[], None]) -> bool:
        """Return whether a run may start now. If not, it is queued.

        Args:
            id: The name of the service.
            run: The number of the run.
            begin_turn: Function that starts a queued run.
        """
        may_start = self._limit.ask(id, run)
        if not may_start:
            self._turns[id, run] = begin_turn
        return may_start

    def leave(self, id: str, run: int) -> None:
        """Record that a run starts no more, or no longer waits. Idempotent."""
        self._turns.pop((id, run), None)
        if self._limit.leave(id, run):
            self.admit_soon()

    def admit_soon(self) -> None:
        """Let runs of the queue start in the next iteration of the event loop.

        Not at once: a stop of several services requests one stop after the other, and the next one may be in the queue.
        """
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._admit)

    def reason(self, id: str, run: int) -> str:
        """Return the reason of a run that waits; empty if it does not."""
        if not self._limit.is_queued(id, run):
            return ""
        return f"waits for its turn: no more than {self._limit.places} programs start at once (max_starting)"

    def blockers(self, id: str, run: int) -> list[Awaited]:
        """Return the programs that start before a run; nothing if it does not wait."""
        if not self._limit.is_queued(id, run):
            return []
        ahead = self._limit.ahead(id)
        queue = f", and for {ahead} other{'s' if ahead > 1 else ''} before it" if ahead else ""
        names = ", ".join(map(repr, self._limit.starting))
        return [Awaited(kind="start", text=f"{names} to be ready{queue}")]

    def _admit(self) -> None:
        self._is_due = False
        while not self._is_stopping() and (admitted := self._limit.admit()) is not None:
            id, runs = admitted
            turns = [self._turns.pop((id, run)) for run in runs]
            for begin_turn in turns:
                begin_turn()
