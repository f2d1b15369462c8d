"""Shutdown: stops all services, level by level, within ``shutdown_timeout``."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.report.events import StopOutcome, StopReport
from aioverseer.core.report.why import Awaited
from aioverseer.core.state import State

__all__ = ["Shutdown"]

_ENDING = (State.STOPPING, State.BACKOFF)
"""States in which no dependent needs the program any more, and a restart may follow."""

_log = logging.getLogger("aioverseer")


class _OrderedStop:
    """One stop of all services, in progress.

    Attributes:
        by: Name of the one who asked for it.
        now: Stops of the services whose level was reached, by name.
        later: Names of the others, level by level.
        early: Stops of services that ended, or were about to end, before their level was reached. They stay down.
    """

    def __init__(self, levels: list[list[str]], by: str) -> None:
        self.by = by
        self.now: dict[str, asyncio.Future[StopOutcome]] = {}
        self.later = levels
        self.early: dict[str, asyncio.Future[StopOutcome]] = {}


class Shutdown:
    """Stops the services of one overseer in their order.

    Attributes:
        count: Number of stops of all services so far.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        dependencies: DependencyTracker,
        publisher: EventPublisher,
        *,
        clock: Clock,
        timeout: float | None,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        on_end: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            name: The name of the overseer.
            registry: The services.
            dependencies: The order of the services.
            publisher: The publisher of events about services that hold up the stop, or are killed.
            clock: The source of time.
            timeout: Seconds after which a stop kills everything that is left; None for no limit but the ladders.
            start_task: Function that runs a coroutine until the overseer is left.
            on_end: Called after a stop of all.
        """
        self._on_end = on_end
        self.count = 0
        self._name = name
        self._registry = registry
        self._services = registry.services
        self._live = registry.live
        self._dependencies = dependencies
        self._publisher = publisher
        self._clock = clock
        self._timeout = timeout
        self._start_task = start_task
        self._plans: list[_OrderedStop] = []

    @property
    def is_busy(self) -> bool:
        """Whether all services are being stopped."""
        return bool(self._plans)

    async def stop_all(self, *, kill: bool, by: str) -> StopReport:
        """Stop all services, also when the caller is cancelled meanwhile; see ``Overseer.stop_all``."""
        if kill or len(self.levels()) <= 1:
            return await self.stop(kill=kill, by=by)  # it requests all stops before it waits
        stopped: asyncio.Future[StopReport] = asyncio.get_running_loop().create_future()

        async def stop() -> None:
            report = await self.stop(kill=False, by=by)
            if not stopped.done():
                stopped.set_result(report)

        def on_end(_task: asyncio.Task[None]) -> None:
            if not stopped.done():  # all tasks of the loop were cancelled, this one perhaps before its first step
                stopped.set_exception(OverseerError(f"overseer {self._name!r} was cancelled while it stopped all"))

        # In a task of its own: later levels must be stopped although the caller may have been cancelled.
        self._start_task(stop).add_done_callback(on_end)
        return await stopped

    def stop_soon(self) -> None:
        """Begin to stop all services in their order, and do not wait."""
        self._start_task(self._stop_in_order)

    def kill(self) -> None:
        """Kill all live services, and do not wait. No strategy may follow these ends."""
        self.count += 1
        if self._registry.groups is not None:
            self._registry.groups.suspend_restarts(stopping=1)
        self.request_stops([self._services[id] for id in self._live], kill=True)

    def request_stops(self, services: Iterable[ServiceRunner], *, kill: bool) -> None:
        """Begin to stop services, dependents first, and do not wait.

        Args:
            services: The services, in the order of their start.
            kill: Whether to kill them.
        """
        requested = {service.id: service for service in services}
        for id in self._dependencies.stop_order(requested):
            requested[id].request_stop(kill=kill)

    async def stop(self, *, kill: bool, by: str = "") -> StopReport:
        """Stop all live services and return what each stop took."""
        groups = self._registry.groups
        if groups is None:
            return await self._stop(kill=kill, by=by)
        groups.suspend_restarts(stopping=1)
        try:
            return await self._stop(kill=kill, by=by)
        finally:
            groups.suspend_restarts(stopping=-1)

    async def _stop_in_order(self) -> None:
        await self.stop(kill=False)

    def levels(self) -> list[list[str]]:
        """Return the live services in the order of their stop. Deferred services are stopped with the first level.

        Services of one level come in the reverse order of their start.
        """
        started_last = list(self._live)[::-1]
        try:
            order = self._dependencies.graph().stop_levels
        except SpecError:  # each service was started on its own, so there is no order to keep
            return [started_last]
        place = {id: number for number, level in enumerate(order) for id in level}
        levels: list[list[str]] = [[] for _ in order]
        deferred: list[str] = []
        for id in started_last:
            (deferred if self._services[id].is_deferred else levels[place[id]]).append(id)
        deferred.sort(key=place.__getitem__)
        levels = [level for level in levels if level]
        return [deferred + levels[0], *levels[1:]] if levels else [deferred]

    async def _stop(self, *, kill: bool, by: str) -> StopReport:
        self.count += 1
        began = self._clock.now()
        plan = _OrderedStop([self._dependencies.stop_order(self._live)] if kill else self.levels(), by)
        outcomes: dict[str, StopOutcome] = {}
        self._plans.append(plan)
        self._dependencies.suspend_restarts(stopping=1)
        try:
            for id in [id for level in plan.later[1:] for id in level]:
                if self._services[id].state in _ENDING:
                    self._stop_early(plan, id)
            while plan.later:
                seconds: float | None = None
                if self._timeout is not None and not kill:
                    left = max(0.0, began + self._timeout - self._clock.now())
                    seconds = left / len(plan.later)
                outcomes |= await self._stop_level(plan, plan.later.pop(0), kill=kill, within=seconds)
        finally:
            self._dependencies.suspend_restarts(stopping=-1)
            self._plans.remove(plan)
            if not self._plans:
                self._on_end()
        return StopReport(outcomes=outcomes)

    def on_transition(self, transition: ServiceTransition) -> None:
        """Stop a service that enters BACKOFF while earlier levels are being stopped: it must not restart meanwhile.

        systemd does the same: it restarts no unit that has a stop job.
        """
        if transition.state is not State.BACKOFF:
            return
        id = transition.id
        for plan in self._plans:
            if any(id in level for level in plan.later):
                self._stop_early(plan, id)

    def _stop_early(self, plan: _OrderedStop, id: str) -> None:
        plan.early[id] = self._services[id].stop(by=plan.by)

    async def _stop_level(
        self, plan: _OrderedStop, level: list[str], *, kill: bool, within: float | None
    ) -> dict[str, StopOutcome]:
        # All stops of a level run at the same time, so awaiting one after the other takes as long as the slowest.
        services = [self._services[id] for id in level if id in self._services]
        plan.now = stopping = {
            service.id: plan.early[service.id]
            if service.id in plan.early and not service.state.is_live
            else service.stop(kill=kill, by=plan.by)
            for service in services
        }
        cut: set[str] = set()

        def left() -> list[str]:
            return sorted(id for id, stop in stopping.items() if not stop.done())

        def name_blockers(seconds: float) -> None:
            for id in left():
                text = f"{self._holds_up(id, plan)}; it is killed in {seconds:.3g} s (shutdown_timeout)"
                self._publisher.publish(id, text, "stop")

        def kill_the_rest() -> None:
            cut.update(left())
            _log.warning("the time for stopping %s is over: killing", ", ".join(sorted(cut)))
            for id in self._dependencies.stop_order(id for id in self._live if id in cut):
                self._publisher.publish(id, "is killed, as its share of shutdown_timeout is over", "stop")
                self._services[id].request_stop(kill=True)

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

    def _holds_up(self, id: str, plan: _OrderedStop) -> str:
        later = [repr(other) for level in plan.later for other in level]
        whom = f"the stop of {', '.join(later)}" if later else "the stop"
        return f"holds up {whom}: waits for {self._services[id].ending[0]}"

    def blockers(self, id: str) -> list[Awaited]:
        """Return the services that have to end before a service is stopped, and what ends them."""
        found: list[Awaited] = []
        now = self._clock.now()
        for plan in self._plans:
            if not any(id in level for level in plan.later):
                continue
            for name, stop in plan.now.items():
                service = self._services.get(name)
                # A service whose stop is over may have been started again since.
                if stop.done() or service is None or not service.state.is_live or service.is_unstoppable:
                    continue
                text, due = service.ending
                due_in = None if due is None else max(0.0, due - now)
                found.append(
                    Awaited(
                        kind="stop", name=name, text=f"{name!r} to end before it, that is for {text}", due_in=due_in
                    )
                )
        return found
