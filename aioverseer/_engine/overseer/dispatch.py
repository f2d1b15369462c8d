"""Dispatcher: passes the reports of services to the parts of an overseer. The order of the parts is a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.give_up import GiveUpActions
from aioverseer._engine.overseer.leftovers import LeftoverSweep
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer.core.report.events import Kind

if TYPE_CHECKING:
    from aioverseer._engine.overseer.systemd import SystemdReports

__all__ = ["Dispatcher"]


class Dispatcher:
    """The ``ServiceOwner`` of all services of one overseer."""

    def __init__(
        self,
        registry: Registry,
        publisher: EventPublisher,
        leftovers: LeftoverSweep,
        shutdown: Shutdown,
        dependencies: DependencyTracker,
        give_up: GiveUpActions,
        systemd: SystemdReports | None = None,
    ) -> None:
        """Connect the parts. The groups are made later, and are found in the registry.

        Args:
            registry: The services, and which of them are live.
            publisher: The publisher of events.
            leftovers: The sweep after a service that has ended.
            shutdown: The stop of all services.
            dependencies: The dependents of each service.
            give_up: The consequences of a service that has ended for good.
            systemd: The reports to systemd; None where nobody has asked for them.
        """
        self._registry = registry
        self._publisher = publisher
        self._leftovers = leftovers
        self._shutdown = shutdown
        self._dependencies = dependencies
        self._give_up = give_up
        self._systemd = systemd

    def on_transition(self, transition: ServiceTransition) -> None:
        """Pass a change of state to each part."""
        self._registry.on_transition(transition)  # which services are live
        self._publisher.on_transition(transition)  # events and log records
        self._leftovers.on_transition(transition)  # the sweep after a service that has ended
        self._shutdown.on_transition(transition)  # a stop of all in progress
        self._dependencies.on_transition(transition)  # which services may start now
        if self._registry.groups is not None:
            self._registry.groups.on_transition(transition)  # which services share the fate of this one
        self._give_up.on_transition(transition)  # critical, on_give_up
        for keeper in self._registry.keepers:
            keeper.on_transition(transition)  # which runs are recycled or watched
        if self._systemd is not None:
            self._systemd.on_transition(transition)  # the host is ready, and how its services are

    def on_spawned(self, id: str) -> None:
        """Pass on the spawn of a program that is not ready yet."""
        self._dependencies.on_spawned(id)
        if self._registry.groups is not None:
            self._registry.groups.on_spawned(id)

    def on_unstoppable(self, id: str) -> None:
        """Pass on that a program still exists after its whole ladder, to each part."""
        self._publisher.on_unstoppable(id)
        self._registry.on_unstoppable(id)
        self._dependencies.on_unstoppable(id)
        if self._registry.groups is not None:
            self._registry.groups.on_unstoppable(id)

    def on_notice(
        self, id: str, text: str, kind: Kind, *, level: int | None = None, run: int | None = None, by: str = ""
    ) -> None:
        """Publish something that is worth an event but changes no state."""
        self._publisher.publish(id, text, kind, level=level, by=by, run=run)
