"""Waiters: callers that wait for a state, for the end, or for the outcome of a stop of one service.

A caller whose wait is in vain gets an error at once, with the reason and the last lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.explain import explain
from aioverseer._engine.service.view import ServiceView
from aioverseer.core.errors import OverseerError, UnknownService
from aioverseer.core.report.events import StopOutcome
from aioverseer.core.report.status import NotReady, NotReadyInTime, Status, StatusSnapshot, StopFailed
from aioverseer.core.state import State

__all__ = ["StopRequest", "Waiters"]

_Wanted = State | Callable[[Status], bool]
"""Condition of a wait. None, in its place, is a service that is ready, or waits for its trigger."""

_WITHOUT_RUN = (State.INITIAL, State.WAITING, State.BACKOFF)
_DEVICE = "it may wait for a device or a file system, see its state in ps"
_SWALLOWS = "it swallows its cancellation: have it end when it is cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """A stop whose outcome a caller waits for.

    Attributes:
        outcome: The future that the caller awaits.
        run: The run to be stopped; None when nothing was running.
        number: The number of a run whose launch has not been reached; None without such a run.
        since: Monotonic time of the request.
    """

    outcome: asyncio.Future[StopOutcome]
    run: ProcessRunner | None
    number: int | None
    since: float


class Waiters:
    """Completes the futures of callers that wait for one service."""

    def __init__(self, service: ServiceView) -> None:
        """Begin without callers.

        Args:
            service: The service, which reports each change by ``on_change``.
        """
        self._service = service
        self._watchers: Watchers[StatusSnapshot] = Watchers()
        self._stops: list[StopRequest] = []
        self._has_conditions = False
        """Whether a condition of a caller was ever waited for, which may ask for a process id."""
        self._removed = False
        self._detached = False

    def until(self, wanted: _Wanted) -> asyncio.Future[StatusSnapshot]:
        """Return a future for a snapshot that satisfies a condition; it gets an error once none can follow."""
        self._has_conditions = self._has_conditions or not isinstance(wanted, State)
        return self._watchers.watch(self._service.snapshot(), self._condition(wanted))

    def until_up(self) -> asyncio.Future[StatusSnapshot]:
        """Return a future for a service that is ready, or waits for its trigger; an error as in ``until``."""
        return self._watchers.watch(self._service.snapshot(), self._condition(None))

    def until_run(self) -> asyncio.Future[StatusSnapshot]:
        """Return a future for the readiness of the run that has just begun; an error if it ends before."""
        judge = self._condition(State.RUNNING)

        def judge_run(snapshot: StatusSnapshot) -> bool | BaseException:
            verdict = judge(snapshot)
            if verdict is False and snapshot.state is State.WAITING:
                return self._service.machine.was_ready or self._not_ready(
                    NotReady, State.RUNNING, f"it is {snapshot.state}: {snapshot.reason}"
                )
            return verdict

        return self._watchers.watch(self._service.snapshot(), judge_run)

    def for_end(self) -> asyncio.Future[StatusSnapshot]:
        """Return a future for the snapshot of the final end; it gets an error when that end may never come."""
        return self._watchers.watch(self._service.snapshot(), self._is_at_end)

    async def at_most(
        self, timeout: float, future: asyncio.Future[StatusSnapshot], wanted: _Wanted | None
    ) -> StatusSnapshot:
        """Wait for a future of ``until``.

        Args:
            timeout: Seconds to wait at most.
            future: The future that ``until`` has returned.
            wanted: The condition of the future, for the message of an error; None for ``until_up``.
        """
        clock = self._service.clock
        timer = clock.call_at(clock.now() + timeout, lambda: self.time_out(future, wanted, timeout))
        try:
            return await future
        finally:
            timer.cancel()

    def time_out(self, future: asyncio.Future[StatusSnapshot], wanted: _Wanted | None, timeout: float) -> None:
        """Fail a future of ``until``, because its time is over.

        Args:
            future: The future.
            wanted: The condition of the future; None for ``until_up``.
            timeout: The seconds of the message.
        """
        if not future.done():
            why = explain(self._service)
            future.set_exception(self._not_ready(NotReadyInTime, wanted, f"after {timeout:g} s {why}"))

    def begin_stop(self) -> StopRequest:
        """Return a new request; call this before the stop is submitted, and ``for_stop`` after it."""
        service = self._service
        idle = service.state in _WITHOUT_RUN or service.state.is_final or service.is_deferred
        return StopRequest(
            outcome=asyncio.get_running_loop().create_future(),
            run=None if idle else service.process,
            number=None if idle or service.process is not None else service.machine.runs,
            since=service.clock.now(),
        )

    def for_stop(self, request: StopRequest) -> asyncio.Future[StopOutcome]:
        """Return the future of a request: its result is set at the end of the run, or at the end of its ladder.

        If the service is started again meanwhile, the result has the Status of the run that was stopped.
        """
        self._stops.append(request)
        self._complete_stops()
        return request.outcome

    def on_change(self, snapshot: StatusSnapshot) -> None:
        """Complete the futures that a change concerns.

        Args:
            snapshot: The service after the change, without lines.
        """
        if self._watchers:
            has_lines = snapshot.spec.buffered or snapshot.state.is_final
            self._watchers.notify(self._service.snapshot() if has_lines else snapshot)
        if self._stops:
            self._complete_stops()

    def on_spawned(self) -> None:
        """Complete the futures whose condition asks for a process id: the state has not changed."""
        if self._has_conditions and self._watchers:
            self._watchers.notify(self._service.snapshot())

    def close(self) -> None:
        """End all waits for good: the service was removed."""
        self._removed = True
        self._watchers.notify(self._service.snapshot())

    def detach(self) -> None:
        """End all waits: the overseer was left, so no change follows. The overseer may be entered again."""
        self._detached = True
        self._watchers.notify(self._service.snapshot())
        self._detached = False

    def stop_failed(self, status: Status) -> StopFailed:
        """Return the error about a program that does not end."""
        why = _SWALLOWS if self._service.is_task else _DEVICE
        return StopFailed(
            f"{self._service.id!r} does not die: {status.reason}; {why}",
            id=self._service.id,
            status=status,
            lines=self._service.last_lines(),
        )

    def check(self) -> None:
        """Raise UnknownService when the service was removed."""
        if self._removed:
            raise self._unknown()

    def _complete_stops(self) -> None:
        service = self._service
        waiting: list[StopRequest] = []
        for request in self._stops:
            if request.outcome.done():  # the caller was cancelled
                continue
            # The run is over although the service is not: another run was requested.
            is_over = request.run is not service.process or service.is_deferred
            overtaken = request.run is not None and is_over
            if request.number is not None:
                overtaken = request.number != service.machine.runs or service.is_deferred
            if not (overtaken or service.is_unstoppable or not service.state.is_live):
                waiting.append(request)
                continue
            snapshot = service.snapshot()
            if overtaken:
                snapshot = service.history[-1] if request.run is None else request.run.snapshot()
            request.outcome.set_result(
                StopOutcome(
                    id=service.id,
                    status=snapshot.status(),
                    signals=() if request.run is None else tuple(request.run.machine.ladder.signals),
                    steps=() if request.run is None else tuple(step.name for step in request.run.machine.ladder.taken),
                    failures=() if request.run is None else tuple(request.run.machine.ladder.failures),
                    seconds=service.clock.now() - request.since,
                    survived=service.is_unstoppable and not overtaken,
                    left=() if request.run is None else request.run.run_task.survivors,
                    leftovers=() if request.run is None else request.run.machine.left,
                    leftovers_signal=None if request.run is None else request.run.machine.left_signal or None,
                )
            )
        self._stops = waiting

    def _condition(self, wanted: _Wanted | None) -> Callable[[StatusSnapshot], bool | BaseException]:
        """Return a function of a snapshot: True if it is wanted, an error if no wanted one can follow, else False."""

        def judge(snapshot: StatusSnapshot) -> bool | BaseException:
            try:
                if _is_met(wanted, snapshot):
                    return True
            except Exception as error:  # noqa: BLE001  # the caller's own function: only the caller gets its error
                return error
            if snapshot.state.is_final:
                # NotReadyInTime only if the last failure was a timeout: earlier runs may have failed otherwise.
                late = isinstance(self._service.machine.error, NotReadyInTime)
                kind = NotReadyInTime if late else NotReady
                return self._not_ready(kind, wanted, f"it is {snapshot.state}: {snapshot.reason}")
            return self._hopeless() or False

        return judge

    def _is_at_end(self, snapshot: StatusSnapshot) -> bool | BaseException:
        return snapshot.state.is_final or self._hopeless() or False

    def _hopeless(self) -> OverseerError | None:
        """Return an error if no further change can be expected; else None."""
        service = self._service
        if service.is_unstoppable:
            return self.stop_failed(service.snapshot().status())
        if self._removed:
            return self._unknown()
        if self._detached:
            return OverseerError(f"the overseer of {service.id!r} was left, and {service.id!r} is {service.state}")
        return None

    def _unknown(self) -> UnknownService:
        return UnknownService(f"service {self._service.id!r} was removed: add it again")

    def _not_ready(self, kind: type[NotReady], wanted: _Wanted | None, why: str) -> NotReady:
        what = f"is not {wanted}" if isinstance(wanted, State) else "is not what was waited for"
        if wanted is None or wanted is State.RUNNING:
            what = "is not ready"
        service = self._service
        status = service.snapshot().status()
        error = kind(f"{service.id!r} {what}: {why}", id=service.id, status=status, lines=service.last_lines())
        error.__cause__ = status.error
        return error


def _is_met(wanted: _Wanted | None, snapshot: StatusSnapshot) -> bool:
    if wanted is None:
        return snapshot.state.is_up
    return snapshot.state is wanted if isinstance(wanted, State) else wanted(snapshot.status())
