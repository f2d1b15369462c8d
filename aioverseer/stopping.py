"""The stop of all services, level by level, under one time; and who holds whom up meanwhile.

Which levels there are is decided in ``core/order.py``. How one service is stopped lives in ``service.py``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.events import Kind, StopOutcome, StopReport
from aioverseer.core.run import StopAsked
from aioverseer.core.state import State
from aioverseer.ordering import Ordering
from aioverseer.service import Service

if TYPE_CHECKING:
    from aioverseer.core.why import Awaited

__all__ = ["Stopping"]

_ENDING = (State.STOPPING, State.BACKOFF)
"""Where a service has no program that others can need, or soon has none, and may be on its way to another one."""

_log = logging.getLogger("aioverseer")


class _Plan:
    """One stop under way: who is being stopped, and who is behind them."""

    def __init__(self, levels: list[list[str]]) -> None:
        self.now: list[str] = []
        self.later = levels
        self.early: dict[str, asyncio.Future[StopOutcome]] = {}
        """Those that ended, or were to, before their turn came: they are not started again."""


class Stopping:
    """Stops the services of one overseer in their order."""

    def __init__(
        self,
        services: Mapping[str, Service],
        live: AbstractSet[str],
        ordering: Ordering,
        *,
        clock: Clock,
        timeout: float | None,
        tell: Callable[[str, str, Kind], None],
    ) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            services: All services by their names; the overseer changes it.
            live: The names of those that are live.
            ordering: Knows who needs whom.
            clock: What time is measured by.
            timeout: Seconds that a stop may take before everything left is killed; None leaves that to the ladders.
            tell: Called with a service, a sentence and the kind of news that this is.
        """
        self._services = services
        self._live = live
        self._ordering = ordering
        self._clock = clock
        self._timeout = timeout
        self._tell = tell
        self._plans: list[_Plan] = []

    def levels(self) -> list[list[str]]:
        """Return the live services in the order of their stop; what waits to start is stopped with the first."""
        try:
            order = self._ordering.check().stop_levels
        except SpecError:  # each of them was started by itself: there is no order to keep
            return [sorted(self._live)]
        held = [id for level in order for id in level if id in self._live and self._services[id].is_held]
        levels = [[id for id in level if id in self._live and id not in held] for level in order]
        levels = [level for level in levels if level]
        return [held + levels[0], *levels[1:]] if levels else [held]

    async def stop(self, *, kill: bool) -> StopReport:
        """Stop all that are live, and return who needed what."""
        asked = self._clock.now()
        plan = _Plan([self._ordering.backwards(self._live)] if kill else self.levels())
        outcomes: dict[str, StopOutcome] = {}
        self._plans.append(plan)
        self._ordering.stand_down(stopping=1)
        try:
            for id in [id for level in plan.later[1:] for id in level]:
                if self._services[id].state in _ENDING:
                    self._stop_early(plan, id)
            while plan.later:
                seconds: float | None = None
                if self._timeout is not None and not kill:
                    left = max(0.0, asked + self._timeout - self._clock.now())
                    seconds = left / len(plan.later)
                plan.now = plan.later.pop(0)
                outcomes |= await self._stop_level(plan, kill=kill, within=seconds)
        finally:
            self._ordering.stand_down(stopping=-1)
            self._plans.remove(plan)
        return StopReport(outcomes=outcomes)

    def hear(self, id: str, state: State) -> None:
        """Take note of a transition: a service that ends while those before it are being stopped stays down.

        As in systemd, which restarts nothing that has a job to stop it.
        """
        if state is State.BACKOFF:
            for plan in self._plans:
                if any(id in level for level in plan.later):
                    self._stop_early(plan, id)

    def _stop_early(self, plan: _Plan, id: str) -> None:
        plan.early[id] = self._services[id].ask_to_stop(StopAsked())

    async def _stop_level(self, plan: _Plan, *, kill: bool, within: float | None) -> dict[str, StopOutcome]:
        # All of them are on their way at once: waiting for one after the other takes as long as the slowest.
        services = [self._services[id] for id in plan.now if id in self._services]
        stopping = {
            service.id: plan.early[service.id]
            if service.id in plan.early and not service.state.is_live
            else service.ask_to_stop(StopAsked(kill=kill))
            for service in services
        }
        cut: set[str] = set()

        def left() -> list[str]:
            return sorted(id for id, stop in stopping.items() if not stop.done())

        def name_blockers(seconds: float) -> None:
            for id in left():
                self._tell(
                    id, f"{self._holds_up(id, plan)}; it is killed in {seconds:.3g} s (shutdown_timeout)", "stop"
                )

        def kill_the_rest() -> None:
            cut.update(left())
            _log.warning("the time for stopping %s is over: killing", ", ".join(sorted(cut)))
            for id in self._ordering.backwards(cut):
                self._tell(id, "is killed, as its share of shutdown_timeout is over", "stop")
                self._services[id].post(StopAsked(kill=True))

        timers = []
        if within is not None:
            now = self._clock.now()
            timers = [
                self._clock.call_at(now + within / 2, lambda: name_blockers(within / 2)),
                self._clock.call_at(now + within, kill_the_rest),
            ]
        try:
            outcomes = {id: await stop for id, stop in stopping.items()}
        finally:
            for timer in timers:
                timer.cancel()
        return {id: dataclasses.replace(outcome, cut=id in cut) for id, outcome in outcomes.items()}

    def _holds_up(self, id: str, plan: _Plan) -> str:
        behind = [repr(other) for level in plan.later for other in level]
        whom = f"the stop of {', '.join(behind)}" if behind else "the stop"
        return f"holds up {whom}: waits for {self._services[id].ending[0]}"

    def awaited(self, id: str) -> list[Awaited]:
        """Return those that have to end before a service is stopped, with what ends them."""
        from aioverseer.core.why import Awaited  # noqa: PLC0415  # most hosts never ask

        found: list[Awaited] = []
        now = self._clock.now()
        for plan in self._plans:
            if not any(id in level for level in plan.later):
                continue
            for name in plan.now:
                service = self._services.get(name)
                if service is None or not service.state.is_live or service.is_stuck:
                    continue
                text, due = service.ending
                due_in = None if due is None else max(0.0, due - now)
                found.append(
                    Awaited(
                        kind="stop", name=name, text=f"{name!r} to end before it, that is for {text}", due_in=due_in
                    )
                )
        return found
