"""LeftoverSweep: kills processes that a service has left behind outside of its group, once it has ended for good."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._system.protocols import Launcher
from aioverseer.core.state import State

__all__ = ["LeftoverSweep"]


class LeftoverSweep:
    """Sweeps after each service of one overseer."""

    def __init__(
        self,
        launcher: Launcher,
        publisher: EventPublisher,
        *,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        is_at_work: Callable[[], bool],
    ) -> None:
        """Prepare the sweeps.

        Args:
            launcher: The launcher of the programs, which can sweep after them.
            publisher: The publisher of survivors.
            start_task: Function that runs a coroutine until the overseer is left.
            is_at_work: Function that returns whether ``start_task`` may be called now.
        """
        self._launcher = launcher
        self._publisher = publisher
        self._start_task = start_task
        self._is_at_work = is_at_work

    def on_transition(self, transition: ServiceTransition) -> None:
        """Sweep after a service that has ended for good, or whose trigger starts the next run."""
        ended = transition.state.is_final or (transition.state is State.WAITING and transition.snapshot.pid is not None)
        if ended and self._is_at_work():
            self._start_task(functools.partial(self._sweep, transition.id))

    async def _sweep(self, id: str) -> None:
        for survivor in await self._launcher.sweep():
            self._publisher.publish(id, f"has left {survivor} behind, which could not be killed", "leftovers")
