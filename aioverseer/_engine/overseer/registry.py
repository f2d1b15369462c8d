"""Registry: the services of one overseer by name, and which of them are live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.output.log_routing import LogRouting
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.place import Place
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.inprocess import TaskLauncher, check_function, check_options, name_of
from aioverseer.core.errors import DuplicateService, ServiceIsLive, SpecError, UnknownService
from aioverseer.core.options.effects import changed_options
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.spec import Spec, is_template

if TYPE_CHECKING:
    from aioverseer._engine.overseer.groups import GroupSupervisor

__all__ = ["Registry"]


class Registry:
    """The services of one overseer.

    Attributes:
        services: All services by name, in the order in which they were added; for reading.
        live: The names of live services, in the order of their start; for reading.
        groups: The groups; None while no group has been made.
        added: Number of services that were added so far.
    """

    def __init__(
        self,
        services: dict[str, ServiceRunner],
        dependencies: DependencyTracker,
        log_routing: LogRouting,
        *,
        make_runner: Callable[[Spec, TaskLauncher | None, Place | None], ServiceRunner],
        check_template: Callable[[Spec], None],
    ) -> None:
        """Begin without services.

        Args:
            services: An empty mapping, which other parts read.
            dependencies: The dependencies of all services; ``add`` registers those of a service.
            log_routing: The logs of all services; ``add`` registers those of a service.
            make_runner: Factory of the engine of a service.
            check_template: Function that checks the placeholders of a Spec that has some.
        """
        self.services = services
        self.live: dict[str, None] = {}
        self.groups: GroupSupervisor | None = None
        self.added = 0
        self._dependencies = dependencies
        self._log_routing = log_routing
        self._make_runner = make_runner
        self._check_template = check_template
        self._watchers: Watchers[int] = Watchers()

    def add(
        self, spec: Spec, task_launcher: TaskLauncher | None = None, *, place: Place | None = None
    ) -> ServiceRunner:
        """Add a service.

        Args:
            spec: The options of the service.
            task_launcher: Launcher of a function or a context manager in place of a program; None for a program.
            place: Which instance of which set the service is; None for a lone service.

        Raises:
            DuplicateService: If the name is taken.
            SpecError: If the service cannot be in the group that it names, or cannot have its log.
        """
        if spec.id in self.services:
            raise DuplicateService(f"there is a service {spec.id!r} already: remove it first, or take another name")
        if is_template(spec):
            self._check_template(spec)
        if self.groups is not None:
            self.groups.check(spec)
        self._log_routing.register(spec)
        self._dependencies.register(spec)
        service = self.services[spec.id] = self._make_runner(spec, task_launcher, place)
        if self.groups is not None:
            self.groups.register(spec)
        self.added += 1
        self.notify()
        return service

    def add_task(
        self, id: str, function: Callable[[], Coroutine[Any, Any, object]], options: SpecOptions
    ) -> ServiceRunner:
        """Add an async function as a service; see ``Overseer.add_task``."""
        check_function(id, function, options)
        return self.add(Spec.of(id, (name_of(function),), **options), TaskLauncher(function=function))

    def add_resource(
        self, id: str, manager: Callable[[], AbstractAsyncContextManager[Any]], options: SpecOptions
    ) -> ServiceRunner:
        """Add an async context manager as a service; see ``Overseer.add_resource``."""
        check_function(id, manager, options)
        task_launcher = TaskLauncher(manager=manager)
        return self.add(task_launcher.adapt(Spec.of(id, (name_of(manager),), **options)), task_launcher)

    def check_removal(self, id: str) -> None:
        """Check that a service exists and is not live; see ``Overseer.remove``."""
        service = self.get(id)
        if service.state.is_live:
            raise ServiceIsLive(f"service {id!r} is {service.state}: stop it before you remove it")

    def remove(self, id: str) -> None:
        """Remove a service that is not live."""
        service = self.get(id)
        del self.services[id]
        self._dependencies.forget(id)
        if self.groups is not None:
            self.groups.forget(id)
        service.close()
        self._log_routing.forget(id)
        self.notify()

    def update(self, id: str, argv: Iterable[object] | None, options: SpecOptions) -> tuple[str, ...]:
        """Change the command or options of a service; see ``Overseer.update``.

        Args:
            id: The name of the service.
            argv: The new program and its arguments; None keeps them.
            options: The options to change.

        Returns:
            The names of the options that have changed.
        """
        service = self.get(id)
        if service.task_launcher is not None:
            check_options(id, options)
            if argv is not None:
                raise SpecError(f"{id!r} is a task or resource, which has no command: remove it, and add another")
        spec = service.spec.updated(**options)
        if argv is not None:
            spec = spec.with_command(argv)
        if service.task_launcher is not None:
            spec = service.task_launcher.adapt(spec)
        changed = changed_options(service.spec, spec)
        self.apply_spec(service, spec)
        return changed

    def apply_spec(self, service: ServiceRunner, spec: Spec) -> None:
        """Give a service another Spec.

        Raises:
            SpecError: If the service cannot be in the group that it names, or cannot have its log. Nothing has changed
                then.
        """
        if is_template(spec):
            self._check_template(spec)
        if self.groups is not None:
            self.groups.check(spec)
        self._log_routing.register(spec)
        self._dependencies.register(spec)
        service.apply_spec(spec)
        if self.groups is not None:
            self.groups.register(spec)

    def get(self, id: str) -> ServiceRunner:
        """Return the service of this name.

        Raises:
            UnknownService: If there is none.
        """
        try:
            return self.services[id]
        except KeyError:
            known = ", ".join(sorted(self.services)) or "none"
            raise UnknownService(f"there is no service {id!r}; registered: {known}") from None

    def with_label(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for services without a label."""
        return sorted(service.id for service in self.services.values() if service.spec.group == group)

    # Which services are live, and callers that wait for a change of that.

    def on_transition(self, transition: ServiceTransition) -> None:
        """Keep ``live`` up to date, and notify the callers of ``watch`` of an end."""
        if transition.state.is_live:
            self.live.setdefault(transition.id)
            return
        self.live.pop(transition.id, None)
        if transition.state.is_final:
            self.notify()

    @property
    def is_over(self) -> bool:
        """Whether no service is live, except those whose programs cannot be ended."""
        return all(self.services[id].is_unstoppable for id in self.live)

    def watch(self, wanted: Callable[[int], bool]) -> asyncio.Future[int]:
        """Return a future that is done once a condition is true.

        Args:
            wanted: The condition, called with ``added``.
        """
        return self._watchers.watch(self.added, wanted)

    def notify(self) -> None:
        """Evaluate the conditions of ``watch``: a service was added or removed, has ended, or is about to."""
        self._watchers.notify(self.added)
