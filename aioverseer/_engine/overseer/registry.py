"""Registry: the services of one overseer by name, and which of them are live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.output.log_routing import LogRouting
from aioverseer._engine.overseer.dependencies import DependencySet, DependencyTracker
from aioverseer._engine.service.owner import ServiceTransition
from aioverseer._engine.service.place import InstancePlace
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.inprocess import (
    TaskLauncher,
    check_external,
    check_function,
    check_options,
    name_of,
    spec_of_external,
    stay,
)
from aioverseer._system.protocols import Launcher
from aioverseer.core.errors import DuplicateService, OverseerError, ServiceIsLive, SpecError, UnknownService
from aioverseer.core.options.effects import changed_options
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.spec import Spec, is_template

if TYPE_CHECKING:
    from aioverseer._engine.overseer.groups import GroupSupervisor

__all__ = ["Registry", "ServiceSet"]


class ServiceSet(DependencySet, Protocol):
    """A set of instances, as its owner reports to it."""

    def has(self, service: ServiceRunner) -> bool:
        """Return whether a service is a member now."""
        ...

    def on_transition(self, transition: ServiceTransition, place: InstancePlace) -> None:
        """Handle a change of state of one instance."""
        ...

    def on_unstoppable(self) -> None:
        """Handle a program of an instance that still exists after its whole ladder."""
        ...

    def detach(self) -> None:
        """End the waits: the overseer was left."""
        ...


class RunKeeper(Protocol):
    """A part that replaces runs of services: for their age, their memory, or changed files."""

    def on_transition(self, transition: ServiceTransition) -> None:
        """Handle a change of state."""
        ...

    def on_spec(self, service: ServiceRunner) -> None:
        """Handle changed options."""
        ...


class Registry:
    """The services of one overseer.

    Attributes:
        services: All services by name, in the order in which they were added; for reading.
        sets: The sets of instances by name; for reading.
        live: The names of live services, in the order of their start; for reading.
        groups: The groups; None while no group has been made.
        added: Number of services that were added so far.
        on_discard: Function that is called with a service that was removed.
        keepers: Parts that replace runs of services with ``recycle`` or ``watch``; few hosts have any.
        on_removal: The same with its name, for reports about all services.
    """

    def __init__(
        self,
        services: dict[str, ServiceRunner],
        sets: Mapping[str, ServiceSet],
        dependencies: DependencyTracker,
        log_routing: LogRouting,
        *,
        launcher: Launcher,
        make_runner: Callable[[Spec, TaskLauncher | None, InstancePlace | None], ServiceRunner],
        check_template: Callable[[Spec], None],
        make_keepers: Callable[[Spec], None],
    ) -> None:
        """Begin without services.

        Args:
            services: An empty mapping, which other parts read.
            sets: The sets of instances by name.
            dependencies: The dependencies of all services; ``add`` registers those of a service.
            log_routing: The logs of all services; ``add`` registers those of a service.
            launcher: The launcher of the commands of probes of external services.
            make_runner: Factory of the engine of a service.
            check_template: Function that checks the placeholders of a Spec that has some.
            make_keepers: Function that adds the keepers that a Spec needs.
        """
        self.services = services
        self.keepers: list[RunKeeper] = []
        self._make_keepers = make_keepers
        self.sets = sets
        self.live: dict[str, None] = {}
        self.groups: GroupSupervisor | None = None
        self.on_discard: Callable[[ServiceRunner], object] = id
        self.on_removal: Callable[[str], object] = id
        self.added = 0
        self._dependencies = dependencies
        self._log_routing = log_routing
        self._launcher = launcher
        self._make_runner = make_runner
        self._check_template = check_template
        self._watchers: Watchers[int] = Watchers()
        self._held = 0

    def add(
        self, spec: Spec, task_launcher: TaskLauncher | None = None, *, place: InstancePlace | None = None
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
        self.check_name(spec.id)
        if place is None:  # a set has checked its options once for all
            self.check(spec)
        self._log_routing.register(spec)
        self._dependencies.register(spec)
        service = self.services[spec.id] = self._make_runner(spec, task_launcher, place)
        if self.groups is not None:
            self.groups.register(spec)
        self.added += 1
        self.notify()
        return service

    def check_name(self, id: str) -> None:
        """Raise DuplicateService if a name is taken, by a service or by a set of instances."""
        if id in self.services:
            raise DuplicateService(f"there is a service {id!r} already: remove it first, or take another name")
        if id in self.sets:
            raise DuplicateService(f"there are instances {id!r} already: remove them first, or take another name")

    def check(self, spec: Spec) -> None:
        """Check the options of a service that depend on the overseer.

        Raises:
            SpecError: If the service cannot be in the group that it names, a placeholder has no value, or a dependency
                has a schedule.
        """
        if not self._held:  # a plan has checked all its Specs; between its steps old ones meet new ones
            self._dependencies.check_schedules(spec)
        if is_template(spec):
            self._check_template(spec)
        if self.groups is not None:
            self.groups.check(spec)

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

    def add_external(self, id: str, options: SpecOptions) -> ServiceRunner:
        """Add something that is not ours as a service; see ``Overseer.add_external``."""
        check_external(id, options)
        launcher = TaskLauncher(function=stay, is_external=True, commands=self._launcher)
        return self.add(spec_of_external(id, options), launcher)

    def check_removal(self, id: str) -> None:
        """Check that a service exists and is not live; see ``Overseer.remove``."""
        service = self.get(id)
        self.check_lone(service, "remove")
        self.check_idle(service)

    def check_lone(self, service: ServiceRunner, verb: str) -> None:
        """Raise OverseerError if a service is one of several instances."""
        if service.place is not None:
            name = service.place.name
            raise OverseerError(f"{service.id!r} is an instance of {name!r}: call {verb}({name!r}), or scale it")

    def check_idle(self, service: ServiceRunner) -> None:
        """Raise ServiceIsLive if a service is live."""
        if service.state.is_live:
            raise ServiceIsLive(f"service {service.id!r} is {service.state}: stop it before you remove it")

    def remove(self, id: str) -> None:
        """Remove a service that is not live."""
        self.discard(self.get(id))

    def discard(self, service: ServiceRunner) -> None:
        """Remove a service that is not live."""
        id = service.id
        del self.services[id]
        self._dependencies.forget(id)
        if self.groups is not None:
            self.groups.forget(id)
        service.close()
        self._log_routing.forget(id)
        self.on_discard(service)
        self.on_removal(id)
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
        self.check_lone(service, "update")
        if service.task_launcher is not None:
            is_external = service.task_launcher.is_external
            if argv is not None:
                kind = "an external service" if is_external else "a task or resource"
                raise SpecError(f"{id!r} is {kind}, which has no command: remove it, and add another")
            if is_external:
                check_external(id, {"ready": service.spec.ready, **options})
            else:
                check_options(id, options)
        spec = service.spec.updated(**options)
        if argv is not None:
            spec = spec.with_command(argv)
        if service.task_launcher is not None:
            spec = service.task_launcher.adapt(spec)
        if spec.instances is not None:
            raise SpecError(
                f"service {id!r}: instances={spec.instances} is for add_instances: remove the service, add it there",
                option="instances",
                value=spec.instances,
            )
        changed = changed_options(service.spec, spec)
        self.apply_spec(service, spec)
        return changed

    def apply_spec(self, service: ServiceRunner, spec: Spec) -> None:
        """Give a service another Spec.

        Raises:
            SpecError: If the service cannot be in the group that it names, or cannot have its log. Nothing has changed
                then.
        """
        self.check(spec)
        self._log_routing.register(spec)
        self._dependencies.register(spec)
        service.apply_spec(spec)
        self._make_keepers(spec)
        for keeper in self.keepers:
            keeper.on_spec(service)
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
            if id in self.sets:
                raise UnknownService(
                    f"{id!r} is the name of {len(self.sets[id].members)} instances: call overseer.instances({id!r}) "
                    f"for the set, or take one of them, such as {id}.0"
                ) from None
            known = ", ".join(sorted(self.services)) or "none"
            raise UnknownService(f"there is no service {id!r}; registered: {known}") from None

    def has(self, service: ServiceRunner) -> bool:
        """Return whether a service is registered and wanted: a set may have taken it away, and waits for its end."""
        place = service.place
        if place is None or place.name not in self.sets:
            return self.services.get(service.id) is service
        return self.sets[place.name].has(service)

    def wanted(self) -> list[ServiceRunner]:
        """Return all services, in the order in which they were added, without those that a set has taken away."""
        if not self.sets:
            return list(self.services.values())
        return [service for service in self.services.values() if self.has(service)]

    def with_label(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for services without a label."""
        return sorted(service.id for service in self.services.values() if service.spec.group == group)

    # Which services are live, and callers that wait for a change of that.

    def on_transition(self, transition: ServiceTransition) -> None:
        """Keep ``live`` and the counts of sets up to date, and notify the callers of ``watch`` of an end."""
        if self.sets:
            place = self.services[transition.id].place
            if place is not None and place.name in self.sets:
                self.sets[place.name].on_transition(transition, place)
        if transition.state.is_live:
            self.live.setdefault(transition.id)
            return
        self.live.pop(transition.id, None)
        if transition.state.is_final:
            self.notify()

    def on_unstoppable(self, id: str) -> None:
        """Notify the callers of ``watch``, and the set of an instance, of a program that does not end."""
        place = self.services[id].place
        if place is not None and place.name in self.sets:
            self.sets[place.name].on_unstoppable()
        self.notify()

    @property
    def is_over(self) -> bool:
        """Whether no service is live, and none is about to be.

        Programs that cannot be ended do not count, and neither do external services, which never end.
        """
        services = map(self.services.__getitem__, self.live)
        return not self._held and all(service.is_unstoppable or service.is_external for service in services)

    def hold(self, changing: int) -> None:
        """Let ``is_over`` be false while a plan is applied: it may stop all services before it starts them again.

        Args:
            changing: 1 when that begins, -1 when it is over.
        """
        self._held += changing
        self.notify()

    def release_logs(self, id: str) -> None:
        """Close the logs of a service that no other one uses; ``apply_spec`` registers them again."""
        self._log_routing.forget(id)

    def watch(self, wanted: Callable[[int], bool]) -> asyncio.Future[int]:
        """Return a future that is done once a condition is true.

        Args:
            wanted: The condition, called with ``added``.
        """
        return self._watchers.watch(self.added, wanted)

    def notify(self) -> None:
        """Evaluate the conditions of ``watch``: a service was added or removed, has ended, or is about to."""
        self._watchers.notify(self.added)
