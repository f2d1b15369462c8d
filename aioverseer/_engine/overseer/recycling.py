"""Recycling: replaces runs because of their memory or their age, outside of the restart budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aioverseer._aio.timers import OneShotTimer
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import OverseerError
from aioverseer.core.machine.inputs import RestartRequested
from aioverseer.core.machine.recycling import RecycleRule, pause_between_looks
from aioverseer.core.options.recycle import Recycle
from aioverseer.core.report.roll import RollFailed
from aioverseer.core.report.usage import Usage
from aioverseer.core.state import State

__all__ = ["Recycling"]

_PAUSE = 10.0
"""Seconds before an instance that another roll has held up is tried again."""


class _WatchedRun:
    """The run of one service, from its readiness to its end."""

    def __init__(self, option: Recycle, number: int, rule: RecycleRule, timer: OneShotTimer) -> None:
        self.option = option
        self.number = number
        self.rule = rule
        self.timer = timer


class Recycling:
    """Watches the runs of services with ``recycle``, and replaces them.

    One timer serves the memory of all, and is armed only while a service with a limit for it is ready. An age has a
    timer for each run.
    """

    def __init__(
        self,
        services: Mapping[str, ServiceRunner],
        *,
        clock: Clock,
        rng: Rng,
        measure: Callable[[], Coroutine[Any, Any, dict[str, Usage]]],
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        roll: Callable[[str, str], Coroutine[Any, Any, object]],
        may_roll: Callable[[str], bool],
        warn: Callable[[str, str], None],
    ) -> None:
        """Begin without runs.

        Args:
            services: The services by name.
            clock: The source of time.
            rng: The source of random numbers for ages.
            measure: Function that measures all services.
            start_task: Function that runs a coroutine until the overseer is left.
            roll: Function that rolls one instance, given the names of the set and of the instance.
            may_roll: Function that returns whether no other roll of a set is under way, given its name.
            warn: Function that publishes a sentence about a service as a warning.
        """
        self._services = services
        self._clock = clock
        self._rng = rng
        self._measure = measure
        self._start_task = start_task
        self._roll = roll
        self._may_roll = may_roll
        self._warn = warn
        self._runs: dict[str, _WatchedRun] = {}
        self._timer = OneShotTimer(clock)
        self._is_looking = False
        self._rolling: set[str] = set()
        """Instances that are being rolled."""
        self._waiting: dict[str, str] = {}
        """Instances that are due while another roll of their set is under way, each with the reason."""

    def on_transition(self, transition: ServiceTransition) -> None:
        """Begin with a run that is ready, and forget one that is not."""
        service = self._services.get(transition.id)
        if service is None or transition.state is not State.RUNNING:
            self._forget(transition.id)
            return
        self._begin(service)

    def on_spec(self, service: ServiceRunner) -> None:
        """Take changed limits, also for a run that is ready."""
        known = self._runs.get(service.id)
        if service.state is State.RUNNING and (known is None or known.option != service.spec.recycle):
            self._begin(service)

    def _begin(self, service: ServiceRunner) -> None:
        self._forget(service.id)
        option = service.spec.recycle
        if option is None:
            return
        ready_at = service.machine.ready_at
        rule = RecycleRule(option, began=self._clock.now() if ready_at is None else ready_at, rng=self._rng)
        run = self._runs[service.id] = _WatchedRun(option, service.number, rule, OneShotTimer(self._clock))
        if rule.due is not None:
            run.timer.arm(rule.due, lambda: self._on_age(service, run))
        self._arm()

    def _forget(self, id: str) -> None:
        self._waiting.pop(id, None)
        run = self._runs.pop(id, None)
        if run is not None:
            run.timer.cancel()
            if not self._waiting and pause_between_looks(each.option for each in self._runs.values()) is None:
                self._timer.cancel()

    def _arm(self) -> None:
        pause = pause_between_looks(run.option for run in self._runs.values())
        if pause is None and self._waiting:
            pause = _PAUSE
        if pause is not None and not self._is_looking and not self._timer.is_armed:
            self._timer.arm(self._clock.now() + pause, self._on_timer)

    def _on_age(self, service: ServiceRunner, run: _WatchedRun) -> None:
        if service.number != run.number:  # a successor has taken over in a roll
            self._begin(service)
            return
        # A clock may call slightly early. The timer was armed for ``due``, so ``due`` has come.
        if why := run.rule.grow_old(max(self._clock.now(), run.timer.due)):
            self._replace(service.id, why)

    def _on_timer(self) -> None:
        self._is_looking = True
        self._start_task(self._look).add_done_callback(self._on_looked)

    def _on_looked(self, task: asyncio.Task[None]) -> None:
        # A cancelled task means that the overseer is left, or that the loop is being closed.
        self._is_looking = False
        if not task.cancelled():
            self._arm()

    async def _look(self) -> None:
        usage = await self._measure()
        now = self._clock.now()
        for id, why in tuple(self._waiting.items()):
            self._replace(id, why)
        for id, run in tuple(self._runs.items()):
            service = self._services.get(id)
            if service is None or id not in usage:
                continue
            if service.number != run.number:  # a successor has taken over in a roll
                self._begin(service)
            elif why := run.rule.look(usage[id].memory, now):
                self._replace(id, why)

    def _replace(self, id: str, why: str) -> None:
        """Roll an instance, or restart another service."""
        self._waiting.pop(id, None)
        service = self._services.get(id)
        if service is None or service.state is not State.RUNNING or not service.machine.wanted:
            return
        if service.place is None:
            service.submit(RestartRequested(why=f"is recycled: {why}"))
        elif id not in self._rolling and not self._may_roll(service.place.name):
            # It may replace this run as well. Nobody is told until this run is rolled.
            self._waiting[id] = why
            self._arm()
        elif id not in self._rolling:
            self._rolling.add(id)
            self._start_task(lambda: self._roll_one(service, why))

    async def _roll_one(self, service: ServiceRunner, why: str) -> None:
        """Roll an instance. The roll itself goes on when this is cancelled."""
        place = service.place
        try:
            if place is not None:
                self._warn(service.id, f"is recycled: {why}")
                await self._roll(place.name, place.id)
        except RollFailed as error:
            self._warn(service.id, f"could not be recycled, and is tried again later: {error}".partition("\n")[0])
        except OverseerError:  # another roll of the set has begun since
            self._waiting[service.id] = why
        finally:
            self._rolling.discard(service.id)
        if service.id in self._waiting:
            self._arm()
        elif service.state is State.RUNNING:
            self._begin(service)
