"""UsageMeter: the resources that the services of an overseer use. It works only when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.containment.usage import Slices, measure
from aioverseer.core.clock import Clock
from aioverseer.core.report.usage import CpuTotal, Figures, Usage

__all__ = ["UsageMeter"]

_PER_LOOK = 64
"""Services between two looks at the time."""


class UsageMeter:
    """Measures all services in one pass over the processes. Callers of the same moment share it."""

    def __init__(self, services: Mapping[str, ServiceRunner], *, clock: Clock) -> None:
        """Measure nothing yet.

        Args:
            services: The services by name.
            clock: The source of time.
        """
        self._services = services
        self._clock = clock
        self._totals: dict[str, CpuTotal] = {}
        self._task: asyncio.Task[dict[str, Usage]] | None = None

    async def measure(self) -> dict[str, Usage]:
        """Return the usage of each service by name. Safe to cancel: other callers may wait for the same pass."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._measure(), name="aioverseer usage")
        return await asyncio.shield(self._task)

    async def _measure(self) -> dict[str, Usage]:
        try:
            slices = Slices()
            leaders: dict[int, str] = {}
            runs: dict[str, frozenset[int]] = {}
            for place, (id, service) in enumerate(tuple(self._services.items())):
                if place % _PER_LOOK == 0:
                    await slices.rest()
                live = () if service.is_scripted else service.live_runs
                found = {run.number: run.machine.pid for run in live if run.machine.pid}
                for pid in found.values():
                    leaders[pid] = id
                runs[id] = frozenset(found)
            figures = await measure(leaders, slices)
            time = self._clock.wall()
            usage: dict[str, Usage] = {}
            for place, id in enumerate(sorted(runs)):
                if place % _PER_LOOK == 0:
                    await slices.rest()
                it = figures.get(id, Figures())
                total = self._totals.setdefault(id, CpuTotal())
                usage[id] = Usage(
                    time=time,
                    cpu_seconds=total.add(it.cpu_seconds, runs[id]),
                    memory=it.memory,
                    processes=it.processes,
                    threads=it.threads,
                    descriptors=it.descriptors,
                )
            for removed in self._totals.keys() - self._services.keys():
                del self._totals[removed]
            return usage
        finally:
            self._task = None
