"""Those who wait for one service: until it is in a state, until its end, or for what came of a stop.

Who waits in vain is told at once, with the reason and the last lines. What the service does never depends on who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.process.process import Process
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.errors import OverseerError, UnknownService
from aioverseer.core.machine.inputs import StopRequested
from aioverseer.core.report.events import StopOutcome
from aioverseer.core.report.status import NotReady, NotReadyInTime, Status, StatusSnapshot, StopFailed
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.service.owner import ServiceOwner

__all__ = ["Waiters"]

_DEVICE = "it may wait for a device or a file system, see its state in ps"
_SWALLOWS = "it swallows its cancellation: have it end when it is cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One who asked for a stop and waits for what came of it."""

    outcome: asyncio.Future[StopOutcome]
    run: Process | None
    """What was to be stopped; None when nothing was running."""
    since: float


class Waiters:
    """Answers those who wait for one service."""

    def __init__(self, runs: ServiceRunner, host: ServiceOwner) -> None:
        """Begin with nobody.

        Args:
            runs: The service at work; it has to tell of its changes, see ``hear``.
            host: The overseer.
        """
        self._runs = runs
        self._host = host
        self._watchers: Watchers[StatusSnapshot] = Watchers()
        self._stops: list[_Asked] = []
        self._removed = False
        self._forsaken = False

    def until(self, wanted: State | Callable[[Status], bool]) -> asyncio.Future[StatusSnapshot]:
        """Return a future for the facts that are wanted; an error when they cannot come any more."""
        return self._watchers.watch(self._runs.facts(), self._towards(wanted))

    def for_end(self) -> asyncio.Future[StatusSnapshot]:
        """Return a future for the facts of its final end; an error when that may never come."""
        return self._watchers.watch(self._runs.facts(), self._at_end)

    async def at_most(
        self, timeout: float, future: asyncio.Future[StatusSnapshot], wanted: State | Callable[[Status], bool]
    ) -> StatusSnapshot:
        """Wait for a future of ``until``, no longer than this many seconds."""
        clock = self._host.clock
        timer = clock.call_at(clock.now() + timeout, lambda: self._time_out(future, wanted, timeout))
        try:
            return await future
        finally:
            timer.cancel()

    def for_stop(self, asked: StopRequested) -> asyncio.Future[StopOutcome]:
        """Begin a stop; the future has what it took, at its end or at that of its ladder.

        It also ends when somebody starts the service again meanwhile: then with the Status of the run that was stopped.
        """
        runs = self._runs
        idle = runs.state in (State.INITIAL, State.BACKOFF) or runs.state.is_final or runs.is_held
        waiter = _Asked(
            outcome=asyncio.get_running_loop().create_future(),
            run=None if idle else runs.process,
            since=self._host.clock.now(),
        )
        runs.post(asked)
        self._stops.append(waiter)
        self._tell_stops()
        return waiter.outcome

    def hear(self, facts: StatusSnapshot) -> None:
        """Take note of a change; the facts are without lines."""
        if self._watchers:
            self._watchers.notify(self._runs.facts() if facts.spec.buffered else facts)
        if self._stops:
            self._tell_stops()

    def close(self) -> None:
        """End the waits for good: the service was removed."""
        self._removed = True
        self._watchers.notify(self._runs.facts())

    def forsake(self) -> None:
        """End the waits: the overseer has been left, so nothing comes any more. It may be entered again."""
        self._forsaken = True
        self._watchers.notify(self._runs.facts())
        self._forsaken = False

    def stop_failed(self, status: Status) -> StopFailed:
        """Return what those are told who wait for a program that does not die."""
        why = _DEVICE if self._runs.member is None else _SWALLOWS
        return StopFailed(
            f"{self._runs.id!r} does not die: {status.reason}; {why}",
            id=self._runs.id,
            status=status,
            lines=self._runs.last_lines(),
        )

    def check(self) -> None:
        """Raise UnknownService when the service was removed."""
        if self._removed:
            raise self._unknown()

    def _tell_stops(self) -> None:
        """Answer those whose stop is over."""
        runs = self._runs
        waiting: list[_Asked] = []
        for asked in self._stops:
            if asked.outcome.done():  # it was cancelled: nobody waits there any more
                continue
            # Its run is over, although the service is not: somebody wants another one.
            over = asked.run is not runs.process or runs.is_held
            overtaken = asked.run is not None and over
            if not (overtaken or runs.is_unstoppable or not runs.state.is_live):
                waiting.append(asked)
                continue
            status = asked.run.status() if overtaken and asked.run is not None else runs.status()
            asked.outcome.set_result(
                StopOutcome(
                    id=runs.id,
                    status=status,
                    signals=() if asked.run is None else asked.run.signals_sent,
                    seconds=self._host.clock.now() - asked.since,
                    survived=runs.is_unstoppable and not overtaken,
                    left=() if asked.run is None else asked.run.survivors,
                )
            )
        self._stops = waiting

    def _towards(self, wanted: State | Callable[[Status], bool]) -> Callable[[StatusSnapshot], bool | BaseException]:
        """Return what says of the facts whether it is wanted, and gives an error when it cannot come any more."""

        def judge(facts: StatusSnapshot) -> bool | BaseException:
            try:
                if facts.state is wanted if isinstance(wanted, State) else wanted(facts.status()):
                    return True
            except Exception as error:  # noqa: BLE001  # the caller's own function: its error is for the caller alone
                return error
            if facts.state.is_final:
                # In time is what it was not, unless it was not ready for another reason again and again.
                late = isinstance(self._runs.machine.error, NotReadyInTime)
                kind = NotReadyInTime if late else NotReady
                return self._not_ready(kind, wanted, f"it is {facts.state}: {facts.reason}")
            return self._nothing_comes() or False

        return judge

    def _at_end(self, facts: StatusSnapshot) -> bool | BaseException:
        return facts.state.is_final or self._nothing_comes() or False

    def _nothing_comes(self) -> OverseerError | None:
        """Return why nothing happens to it any more, if that is so, as far as anybody can tell."""
        if self._runs.is_unstoppable:
            return self.stop_failed(self._runs.status())
        if self._removed:
            return self._unknown()
        if self._forsaken:
            id = self._runs.id
            return OverseerError(f"the overseer of {id!r} was left, and {id!r} is {self._runs.state}")
        return None

    def _unknown(self) -> UnknownService:
        return UnknownService(f"service {self._runs.id!r} was removed: add it again")

    def _time_out(
        self, future: asyncio.Future[StatusSnapshot], wanted: State | Callable[[Status], bool], timeout: float
    ) -> None:
        if not future.done():
            from aioverseer._engine.service.explain import explain  # noqa: PLC0415  # most hosts never ask

            why = explain(self._runs, self._host)
            future.set_exception(self._not_ready(NotReadyInTime, wanted, f"after {timeout:g} s {why}"))

    def _not_ready(self, kind: type[NotReady], wanted: State | Callable[[Status], bool], why: str) -> NotReady:
        what = f"is not {wanted}" if isinstance(wanted, State) else "is not what was waited for"
        if wanted is State.RUNNING:
            what = "is not ready"
        status = self._runs.status()
        error = kind(f"{self._runs.id!r} {what}: {why}", id=self._runs.id, status=status, lines=self._runs.last_lines())
        error.__cause__ = status.error
        return error
