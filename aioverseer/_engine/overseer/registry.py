"""The registry of one overseer: its services by their names, which of them are live, and their groups and order.

Nothing is started or stopped here, and no event is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.service.service import Service
from aioverseer.core.errors import DuplicateService, ServiceIsLive, UnknownService
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.overseer import groups
    from aioverseer._engine.overseer.groups import GroupSupervisor
    from aioverseer._engine.service import owner
    from aioverseer._system.inprocess import MemberLauncher

    class Host(owner.ServiceOwner, groups.GroupOwner, Protocol):
        """What services and groups need of the Overseer."""


__all__ = ["Registry"]


class Registry:
    """Knows the services of one overseer.

    Attributes:
        services: All of them by their names, in the order in which they were added; for reading.
        live: The names of those that are live; for reading.
        ordering: Who waits for whom.
        grouping: Who shares a fate; None while there is no group. See ``groups``.
        added: How many were added so far.
    """

    def __init__(self, host: Host) -> None:
        """Begin without services.

        Args:
            host: The overseer; it has to be complete before the first service is added.
        """
        self._host = host
        self.services: dict[str, Service] = {}
        self.live: set[str] = set()
        self.ordering = DependencyTracker(self.services)
        self.grouping: GroupSupervisor | None = None
        self.added = 0
        self._watchers: Watchers[int] = Watchers()

    def add(self, spec: Spec, member: MemberLauncher | None = None) -> Service:
        """Register a service; a member stands in for its program.

        Raises:
            DuplicateService: When the name is taken.
            SpecError: When it cannot be a member of the group that it names, or have its log.
        """
        if spec.id in self.services:
            raise DuplicateService(f"there is a service {spec.id!r} already: remove it first, or take another name")
        if self.grouping is not None:
            self.grouping.check(spec)
        self._host.log_files.register(spec)
        self.ordering.register(spec)
        service = self.services[spec.id] = Service(spec, self._host, member)
        if self.grouping is not None:
            self.grouping.register(spec)
        self.added += 1
        self.tell()
        return service

    def remove(self, id: str) -> None:
        """Forget a service; see ``Overseer.remove``."""
        service = self.get(id)
        if service.state.is_live:
            raise ServiceIsLive(f"service {id!r} is {service.state}: stop it before you remove it")
        del self.services[id]
        self.ordering.forget(id)
        if self.grouping is not None:
            self.grouping.forget(id)
        service.close()
        self._host.log_files.forget(id)
        self.tell()

    def update(self, id: str, options: SpecOptions) -> Service:
        """Change options of a service; see ``Overseer.update``."""
        service = self.get(id)
        if service.member is not None:
            from aioverseer._system.inprocess import check_options  # noqa: PLC0415  # few have any

            check_options(id, options)
        spec = service.spec.updated(**options)
        if service.member is not None:
            spec = service.member.adapt(spec)
        if self.grouping is not None:
            self.grouping.check(spec)
        self._host.log_files.register(spec)
        self.ordering.register(spec)
        service.adopt(spec)
        if self.grouping is not None:
            self.grouping.register(spec)
        return service

    def groups(self) -> GroupSupervisor:
        """Return the groups, made when they are first asked for."""
        if self.grouping is None:
            from aioverseer._engine.overseer.groups import GroupSupervisor  # noqa: PLC0415  # few hosts have groups

            self.grouping = GroupSupervisor(self.services, self.ordering, self._host)
        return self.grouping

    def get(self, id: str) -> Service:
        """Return the service of this name.

        Raises:
            UnknownService: When there is none.
        """
        try:
            return self.services[id]
        except KeyError:
            known = ", ".join(sorted(self.services)) or "none"
            raise UnknownService(f"there is no service {id!r}; registered: {known}") from None

    def label(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for those without one."""
        return sorted(service.id for service in self.services.values() if service.spec.group == group)

    # Who is live, and who waits for news of that.

    def note(self, id: str, state: State) -> None:
        """Take note of the state in which a service is."""
        if state.is_live:
            self.live.add(id)
        else:
            self.live.discard(id)

    @property
    def is_over(self) -> bool:
        """Whether nothing is live but what nothing can end."""
        return all(self.services[id].is_unstoppable for id in self.live)

    @property
    def is_watched(self) -> bool:
        """Whether anybody waits until all is over."""
        return bool(self._watchers)

    def watch(self, wanted: Callable[[int], bool]) -> asyncio.Future[int]:
        """Return a future that is done once something is true, which is asked with the number of those added."""
        return self._watchers.watch(self.added, wanted)

    def tell(self) -> None:
        """Have those look who wait: something was added or removed, has ended, or is to end."""
        self._watchers.notify(self.added)
