"""Startup: starts all services, and supervises them until all have ended. A cancelled call rolls back what it began."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aioverseer._engine.overseer.critical import CriticalBlocks
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.host.fd_limit import fitting
from aioverseer.core.errors import SpecError
from aioverseer.core.report.status import NotReady, Status
from aioverseer.core.state import State

__all__ = ["Startup", "all_up"]

_log = logging.getLogger("aioverseer")


class Startup:
    """Starts the services of one overseer."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        dependencies: DependencyTracker,
        shutdown: Shutdown,
        blocks: CriticalBlocks,
        *,
        is_leaving: Callable[[], bool],
    ) -> None:
        """Prepare.

        Args:
            name: The name of the overseer.
            registry: The services.
            dependencies: The order of the services.
            shutdown: The stop of all services, for a roll-back and to count such stops.
            blocks: The blocks that end with a critical service, and the error about one that has ended.
            is_leaving: Function that returns whether the overseer is being left.
        """
        self._name = name
        self._registry = registry
        self._dependencies = dependencies
        self._shutdown = shutdown
        self._blocks = blocks
        self._is_leaving = is_leaving
        self._warned_of = 0

    async def supervise(self, service: ServiceRunner, *, by: str) -> Status:
        """Start one service and wait for its final end; see ``Overseer.supervise``."""
        began = not service.state.is_live
        if began or service.is_disarmed:
            service.start(by=by)
        try:
            return (await service.waiters.for_end()).status()
        except asyncio.CancelledError:
            if began:
                await service.roll_back("its supervision was cancelled")
            raise

    async def start_all(self, *, by: str) -> None:
        """Start all services and wait until all are ready; see ``Overseer.start_all``."""
        services = self._registry.wanted()
        began = self._start(services, by=by)
        for service in services:
            if service.state is State.STOPPING:
                self._dependencies.start_after_stop(service, by=by)
        started = set(began)
        # A service that this call has started may have become ready and ended already: with eager tasks, a function of
        # the host does so before its start returns.
        waiting = [
            service
            for service in services
            if not service.state.is_up and not (service in started and service.machine.was_ready)
        ]
        try:
            await self._all_ready(waiting)
        except asyncio.CancelledError:
            await self._roll_back(began)
            raise
        except NotReady as error:
            ended = self._blocks.ended
            if ended is None or ended.id == error.id:
                raise
            raise ended from ended.__cause__  # the other one was stopped because of it

    async def _all_ready(self, services: Iterable[ServiceRunner]) -> None:
        """Wait until all services are ready, or raise the first error at once.

        The end of an instance that ``scale`` has taken away is no error.
        """
        pending = {service.waiters.until_up(): service for service in services}
        futures = list(pending)
        try:
            while pending:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
                for future in [future for future in pending if future in done]:
                    service = pending.pop(future)
                    if (error := future.exception()) is not None and self._registry.has(service):
                        raise error
        finally:
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # an error that nobody retrieves would be logged

    async def supervise_all(self, *, by: str) -> dict[str, Status]:
        """Start all services, also those added meanwhile, and wait for their ends; see ``Overseer.supervise_all``."""
        registry = self._registry
        stops = self._shutdown.count
        known: set[ServiceRunner] = set()
        began: list[ServiceRunner] = []

        def fresh() -> list[ServiceRunner]:
            if stops != self._shutdown.count:  # all were stopped meanwhile, so services added since are not started
                return []
            return [service for service in registry.wanted() if service not in known]

        try:
            while True:
                seen, new = registry.added, fresh()
                known.update(new)
                try:
                    began += self._start(new, by=by)
                except SpecError as error:
                    if new == registry.wanted():
                        raise
                    # Running services must not suffer from one that was added with invalid dependencies.
                    self._dependencies.fail(new, error)
                if registry.is_over:
                    break
                await self._over_or_added(seen)
        except asyncio.CancelledError:
            await self._roll_back(began)
            raise
        return {id: service.snapshot().status() for id, service in sorted(registry.services.items())}

    async def _over_or_added(self, seen: int) -> None:
        """Wait until no service is live, or more than ``seen`` services were added, or a critical one has ended."""
        registry, blocks = self._registry, self._blocks
        await registry.watch(lambda added: registry.is_over or added != seen or blocks.ended is not None)
        if blocks.ended is not None:
            raise blocks.ended

    def _start(self, services: Iterable[ServiceRunner], *, by: str) -> list[ServiceRunner]:
        """Start the services that are not live, and return them. Arm the triggers of the others."""
        services = list(services)
        idle = [service for service in services if not service.state.is_live]
        disarmed = [service for service in services if service.is_disarmed]
        self._check_descriptors(len(self._registry.live) + len(idle))
        self._dependencies.start(idle, by=by)
        for service in disarmed:
            service.start(by=by)
        return idle

    def _check_descriptors(self, wanted: int) -> None:
        """Warn before descriptors run out: once, and again only for more services."""
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

    async def _roll_back(self, began: list[ServiceRunner]) -> None:
        if self._is_leaving():
            return  # a critical service or a signal has ended the block: the stop of all services keeps their order
        self._shutdown.request_stops([service for service in began if service.state.is_live], kill=False)
        for service in began:
            await service.roll_back("the call that started it was cancelled")


async def all_up(services: Iterable[ServiceRunner]) -> None:
    """Wait until services that were just started are ready, or raise the first error at once."""
    waiting = [
        service
        for service in services
        if not service.state.is_up and (service.state is State.STOPPING or not service.machine.was_ready)
    ]
    if not waiting:
        return
    futures = [service.waiters.until_up() for service in waiting]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
        errors = [future.exception() for future in futures if future.done()]
    finally:
        for future in futures:
            if not future.cancel() and not future.cancelled():
                future.exception()  # an error that nobody retrieves would be logged
    for error in errors:
        if error is not None:
            raise error
