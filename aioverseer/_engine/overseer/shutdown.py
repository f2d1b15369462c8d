"""The stop of all services, level by level, under one time; and who holds whom up meanwhile.

Which levels there are is decided in ``core/machine/dependencies.py``. How one service is stopped is decided by its own table.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.service.service import Service
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.machine.inputs import StopRequested
from aioverseer.core.report.events import Kind, StopOutcome, StopReport
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer.core.report.why import Awaited

__all__ = ["Shutdown"]

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


class Shutdown:
    """Stops the services of one overseer in their order.

    Attributes:
        count: How often a stop of all was asked for.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        *,
        clock: Clock,
        timeout: float | None,
        tell: Callable[[str, str, Kind], None],
        start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
    ) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            name: The overseer's.
            registry: Whom it is about.
            clock: What time is measured by.
            timeout: Seconds that a stop may take before everything left is killed; None leaves that to the ladders.
            tell: Called with a service, a sentence and the kind of news that this is.
            start_soon: Runs something until the overseer is left.
        """
        self.count = 0
        self._name = name
        self._registry = registry
        self._services = registry.services
        self._live = registry.live
        self._ordering = registry.ordering
        self._clock = clock
        self._timeout = timeout
        self._tell = tell
        self._start_soon = start_soon
        self._plans: list[_Plan] = []

    async def stop_all(self, *, kill: bool) -> StopReport:
        """Stop all, although nobody may wait for it any more; see ``Overseer.stop_all``."""
        if kill or len(self.levels()) <= 1:
            return await self.stop(kill=kill)  # all of them are asked before it waits
        stopped: asyncio.Future[StopReport] = asyncio.get_running_loop().create_future()

        async def stop() -> None:
            report = await self.stop(kill=False)
            if not stopped.done():
                stopped.set_result(report)

        def give_up(_task: asyncio.Task[None]) -> None:
            if not stopped.done():  # cancelled, perhaps before its first step, as all tasks of a loop are
                stopped.set_exception(OverseerError(f"overseer {self._name!r} was cancelled while it stopped all"))

        # In a task of its own, as the later levels are to be stopped although nobody waits for it any more.
        self._start_soon(stop).add_done_callback(give_up)
        return await stopped

    def stop_soon(self) -> None:
        """Stop all in their order, in a task of its own."""
        self._start_soon(self._stop_in_order)

    def obey(self, live: list[Service], *, kill: bool) -> None:
        """Stop these, all that are live, because of a signal to the host, at once where no order is to be kept."""
        self.count += 1
        if self._registry.grouping is not None:
            self._registry.grouping.stand_down()
        if kill or len(self.levels()) <= 1:
            self.ask(live, kill=kill)
        else:
            self.stop_soon()

    def kill(self) -> None:
        """Kill all that are live and wait for nothing; nothing may follow the ends that this is about to bring."""
        self.count += 1
        if self._registry.grouping is not None:
            self._registry.grouping.stand_down(stopping=1)
        self.ask([self._services[id] for id in sorted(self._live)], kill=True)

    def ask(self, services: Iterable[Service], *, kill: bool) -> None:
        """Ask services to stop, one right after the other, and wait for nothing."""
        asked = {service.id: service for service in services}
        for id in self._ordering.backwards(asked):
            asked[id].post(StopRequested(kill=kill))

    async def stop(self, *, kill: bool) -> StopReport:
        """Stop all that are live, and return who needed what."""
        grouping = self._registry.grouping
        if grouping is None:
            return await self._stop(kill=kill)
        grouping.stand_down(stopping=1)
        try:
            return await self._stop(kill=kill)
        finally:
            grouping.stand_down(stopping=-1)

    async def _stop_in_order(self) -> None:
        await self.stop(kill=False)

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

    async def _stop(self, *, kill: bool) -> StopReport:
        self.count += 1
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

    def hear_backoff(self, id: str) -> None:
        """Take note that a service is in BACKOFF: if it ends while those before it are being stopped, it stays down.

        As in systemd, which restarts nothing that has a job to stop it.
        """
        for plan in self._plans:
            if any(id in level for level in plan.later):
                self._stop_early(plan, id)

    def _stop_early(self, plan: _Plan, id: str) -> None:
        plan.early[id] = self._services[id].ask_to_stop(StopRequested())

    async def _stop_level(self, plan: _Plan, *, kill: bool, within: float | None) -> dict[str, StopOutcome]:
        # All of them are on their way at once: waiting for one after the other takes as long as the slowest.
        services = [self._services[id] for id in plan.now if id in self._services]
        stopping = {
            service.id: plan.early[service.id]
            if service.id in plan.early and not service.state.is_live
            else service.ask_to_stop(StopRequested(kill=kill))
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
                self._services[id].post(StopRequested(kill=True))

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
        from aioverseer.core.report.why import Awaited  # noqa: PLC0415  # most hosts never ask

        found: list[Awaited] = []
        now = self._clock.now()
        for plan in self._plans:
            if not any(id in level for level in plan.later):
                continue
            for name in plan.now:
                service = self._services.get(name)
                if service is None or not service.state.is_live or service.is_unstoppable:
                    continue
                text, due = service.ending
                due_in = None if due is None else max(0.0, due - now)
                found.append(
                    Awaited(
                        kind="stop", name=name, text=f"{name!r} to end before it, that is for {text}", due_in=due_in
                    )
                )
        return found
