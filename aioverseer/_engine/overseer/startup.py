"""The start of all services, and their supervision until all have ended; what a cancelled call began is taken back.

Who has to wait for whom lives in ``_engine/overseer/dependencies.py``, how one service starts is decided by its own table.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.critical import Bodies
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.service.service import Service
from aioverseer._system.host.fd_limit import fitting
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.machine.inputs import StartRequested
from aioverseer.core.report.status import Status
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.overseer.signals import SignalHandling

__all__ = ["Startup"]

_log = logging.getLogger("aioverseer")


class Startup:
    """Starts the services of one overseer."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        stopping: Shutdown,
        news: EventPublisher,
        bodies: Bodies,
        signalling: SignalHandling | None,
    ) -> None:
        """Look after a registry; it is looked up each time.

        Args:
            name: The overseer's.
            registry: Whom it is about.
            stopping: Takes back what was begun, and knows whether all were stopped meanwhile.
            news: Tells when a service is ready.
            bodies: Knows whether a critical service has ended.
            signalling: Knows of signals that have found nothing to stop.
        """
        self._name = name
        self._registry = registry
        self._stopping = stopping
        self._news = news
        self._bodies = bodies
        self._signalling = signalling
        self._warned_of = 0

    async def supervise(self, service: Service) -> Status:
        """Start one service, and wait for its final end; see ``Overseer.supervise``."""
        began = not service.state.is_live
        if began:
            service.post(StartRequested())
        try:
            return await service.wait()
        except asyncio.CancelledError:
            if began:
                await service.undo("its supervision was cancelled")
            raise

    async def start_all(self) -> None:
        """Start all, and wait until all are ready; see ``Overseer.start_all``."""
        events = self._news.events()
        services = list(self._registry.services.values())
        began = self._start(services)
        for service in services:
            if service.state is State.STOPPING:  # still wanted, as in its own start
                self._registry.ordering.start_after_stop(service)
        waiting = {service.id: service for service in services if service.state is not State.RUNNING}
        try:
            for service in services:
                if service.is_unstoppable:
                    await service.ready()
            while waiting:
                event = await anext(events)
                if event.id not in waiting or event.kind not in ("state", "stop"):
                    continue
                if event.state is State.RUNNING:
                    del waiting[event.id]
                elif event.state.is_final or waiting[event.id].is_unstoppable:
                    # It ended, or never will, so this raises what its own start would have raised.
                    await waiting[event.id].ready()
        except asyncio.CancelledError:
            await self._undo(began)
            raise
        except StopAsyncIteration:
            if self._bodies.ended is not None:
                raise self._bodies.ended from None
            raise OverseerError(f"overseer {self._name!r} was left while its services were starting") from None

    async def supervise_all(self) -> dict[str, Status]:
        """Start all, those added meanwhile too, and wait until all have ended; see ``Overseer.supervise_all``."""
        registry = self._registry
        stops = self._stopping.count
        # A signal that found nothing to stop was a wish all the same.
        if self._signalling is not None and self._signalling.take_unheard():
            stops -= 1
        known: set[Service] = set()
        began: list[Service] = []

        def fresh() -> list[Service]:
            if stops != self._stopping.count:  # all were asked to stop meanwhile: what is added since is not started
                return []
            return [service for service in registry.services.values() if service not in known]

        try:
            while True:
                seen, new = registry.added, fresh()
                known.update(new)
                try:
                    began += self._start(new)
                except SpecError as error:
                    if new == list(registry.services.values()):
                        raise
                    # Those that run already must not suffer from one that was added in error.
                    registry.ordering.bar(new, error)
                if registry.is_over:
                    break
                await self._over_or_added(seen)
        except asyncio.CancelledError:
            await self._undo(began)
            raise
        return {id: service.status() for id, service in sorted(registry.services.items())}

    async def _over_or_added(self, seen: int) -> None:
        """Wait until nothing is live, or a service was added behind the first ``seen``, or a critical one has ended."""
        registry, bodies = self._registry, self._bodies
        await registry.watch(lambda added: registry.is_over or added != seen or bodies.ended is not None)
        if bodies.ended is not None:
            raise bodies.ended

    def _start(self, services: Iterable[Service]) -> list[Service]:
        """Ask those that are not live to start, and return them."""
        idle = [service for service in services if not service.state.is_live]
        self._check_room(len(self._registry.live) + len(idle))
        self._registry.ordering.start(idle)
        return idle

    def _check_room(self, wanted: int) -> None:
        """Say before it happens that the descriptors will not do: once, and again only for more services."""
        limit, fit = fitting()
        if wanted > fit and wanted > self._warned_of:
            self._warned_of = wanted
            _log.warning(
                "%s: %d services are to run, and about %d fit into the limit of %d open descriptors: raise it "
                "(ulimit -n), or pass raise_fd_limit=True",
                self._name,
                wanted,
                fit,
                limit,
            )

    async def _undo(self, began: list[Service]) -> None:
        self._stopping.ask([service for service in began if service.state.is_live], kill=False)
        for service in began:
            await service.undo("the call that started it was cancelled")
