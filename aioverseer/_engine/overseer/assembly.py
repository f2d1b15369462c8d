"""Assembly: builds the parts of an overseer and connects them. Parts that few hosts need are imported on first use."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.critical import CriticalBlocks
from aioverseer._engine.overseer.dependencies import DependencyTracker
from aioverseer._engine.overseer.dispatch import Dispatcher
from aioverseer._engine.overseer.give_up import GiveUpActions
from aioverseer._engine.overseer.leftovers import LeftoverSweep
from aioverseer._engine.overseer.lifespan import Lifespan
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.overseer.shutdown import Shutdown
from aioverseer._engine.overseer.start_queue import StartQueue
from aioverseer._engine.overseer.startup import Startup
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.owner import SocketHolder
from aioverseer._engine.service.place import InstancePlace
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.trigger import TriggerSource
from aioverseer._system.host.fd_limit import DescriptorLimit
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import OverseerError, SpecError
from aioverseer.core.machine.inputs import Admitted, Triggered
from aioverseer.core.options.log import Log
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.why import Awaited

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.overseer.changes import ChangeSets
    from aioverseer._engine.overseer.event_hooks import EventHooks
    from aioverseer._engine.overseer.groups import GroupSupervisor
    from aioverseer._engine.overseer.instance_rolls import InstanceRolls
    from aioverseer._engine.overseer.instance_set import InstanceSet
    from aioverseer._engine.overseer.recycling import Recycling
    from aioverseer._engine.overseer.signals import SignalHandling
    from aioverseer._engine.overseer.systemd import SystemdReports
    from aioverseer._engine.overseer.throttle import RestartThrottle
    from aioverseer._engine.overseer.usage import UsageMeter
    from aioverseer._engine.overseer.watching import Watching
    from aioverseer._engine.service.run_spec import RunSpecMaker
    from aioverseer._engine.service.run_steps import RunSteps
    from aioverseer._engine.service.schedule import Schedules
    from aioverseer._system.inprocess import TaskLauncher
    from aioverseer._system.logfile.backend import LogBackend
    from aioverseer.core.report.usage import Usage

__all__ = ["Assembly"]


class Assembly:
    """The parts of one overseer.

    Attributes:
        rng: The source of random numbers for backoff delays.
        registry: The services.
        sets: The sets of instances by name.
        dependencies: The order of the services.
        publisher: Events, lines and log files.
        shutdown: The stop of all services.
        startup: The start of all services.
        lifespan: Entering and leaving.
        blocks: Blocks that end with a critical service.
        throttle: The limit on restarts; None for no limit.
        signal_handling: The signals of the host; None where they are not handled.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        rng: Rng | None,
        launcher: Launcher,
        own_launcher: SystemLauncher | None,
        shutdown_timeout: float | None,
        restart_rate: float | None,
        max_starting: int | None,
        handle_signals: bool,
        raise_fd_limit: bool,
        notify_systemd: bool,
        log: Log | Iterable[Log] | None,
        make_handle: Callable[[ProcessRunner], Any],
        load_health: Callable[[], type[Health]],
        service_handle: Callable[[ServiceRunner], Any],
    ) -> None:
        """Build the parts; see ``Overseer`` for the options.

        Args:
            name: The name of the overseer.
            clock: The source of time.
            rng: The source of random numbers for backoff delays; None for a new one.
            launcher: The launcher of programs.
            own_launcher: The same launcher, if it belongs to this overseer alone.
            shutdown_timeout: Seconds that a stop of all may take.
            restart_rate: Restarts a second of all services together.
            max_starting: Number of programs that may start at once; None for no limit.
            handle_signals: Whether to handle the signals of the host.
            raise_fd_limit: Whether to raise the limit of open descriptors.
            notify_systemd: Whether to report to systemd.
            log: The logs of services without a ``log`` of their own.
            make_handle: Factory of the objects that users receive for runs.
            load_health: Function that imports the class that runs probes.
            service_handle: Function that returns the object that users hold for a service.
        """
        self._clock = clock
        # Not a source of secrets: jitter only has to differ between hosts.
        self.rng: Rng = random.Random() if rng is None else rng  # noqa: S311
        self._launcher = launcher
        self._held_sockets: SocketHolder | None = None
        self._make_handle = make_handle
        self._load_health = load_health
        self._shutdown_timeout = shutdown_timeout
        self._service_handle = service_handle
        self._run_specs: RunSpecMaker | None = None
        self._usage: UsageMeter | None = None
        self._recycling: Recycling | None = None
        self._watching: Watching | None = None
        services: dict[str, ServiceRunner] = {}
        self.blocks = CriticalBlocks()
        self.sets: dict[str, InstanceSet] = {}
        self._rolls: dict[InstanceSet, InstanceRolls] = {}
        self.dependencies = DependencyTracker(services, self.sets)
        self.publisher = EventPublisher(name, services, clock=clock, log=log, open_log_backend=_open_log_backend)
        self._schedules: Schedules | None = None
        self.registry = Registry(
            services,
            self.sets,
            self.dependencies,
            self.publisher.log_routing,
            launcher=launcher,
            make_runner=self._make_runner,
            check_template=lambda spec: self._run_spec_maker().check(spec),
            make_keepers=self._make_keepers,
        )
        self.shutdown = Shutdown(
            name,
            self.registry,
            self.dependencies,
            self.publisher,
            clock=clock,
            timeout=shutdown_timeout,
            start_task=self._start_task,
            on_end=self._on_stopped,
        )
        self._give_up = GiveUpActions(
            services,
            self.blocks,
            groups=self.groups,
            start_task=self._start_task,
            end_for=self._end_for,
            stop_soon=self.shutdown.stop_soon,
            is_leaving=self._is_leaving,
        )
        leftovers = LeftoverSweep(
            launcher,
            self.publisher,
            start_task=self._start_task,
            is_at_work=lambda: self.lifespan.is_at_work,
        )
        self._systemd = self._make_systemd_reports() if notify_systemd else None
        if self._systemd is not None:
            self.registry.on_removal = self._systemd.on_removal
        self._dispatcher = Dispatcher(
            self.registry,
            self.publisher,
            leftovers,
            self.shutdown,
            self.dependencies,
            self._give_up,
            self._systemd,
        )
        self.throttle = None if restart_rate is None else self._make_throttle(restart_rate)
        self.start_queue = None if max_starting is None else self._make_start_queue(max_starting)
        self.signal_handling = self._make_signal_handling(name) if handle_signals else None
        host_settings: list[DescriptorLimit | SignalHandling | SystemdReports] = []
        if raise_fd_limit:
            host_settings.append(DescriptorLimit())
        if self.signal_handling is not None:
            host_settings.append(self.signal_handling)
        if self._systemd is not None:
            host_settings.append(self._systemd)
        self.startup = Startup(
            name, self.registry, self.dependencies, self.shutdown, self.blocks, is_leaving=self._is_leaving
        )
        self.lifespan = Lifespan(
            name,
            self.registry,
            self.shutdown,
            self.publisher,
            self.blocks,
            self._give_up,
            launcher=launcher,
            own_launcher=own_launcher,
            host_settings=host_settings,
            signal_handling=self.signal_handling,
            systemd=self._systemd,
        )

    def groups(self) -> GroupSupervisor:
        """Return the groups. The first call makes them."""
        if self.registry.groups is None:
            from aioverseer._engine.overseer.groups import GroupSupervisor  # noqa: PLC0415  # few hosts have groups

            self.registry.groups = GroupSupervisor(
                self.registry.services,
                self.dependencies,
                clock=self._clock,
                rng=self.rng,
                publish=self.publisher.publish,
                on_give_up=self._give_up.perform,
            )
        return self.registry.groups

    def hooks(self) -> EventHooks:
        """Return the hooks. The first call makes them."""
        if self.lifespan.hooks is None:
            from aioverseer._engine.overseer.event_hooks import EventHooks  # noqa: PLC0415  # few hosts have hooks

            self.lifespan.hooks = EventHooks(
                self.registry.services,
                clock=self._clock,
                launcher=self._launcher,
                shutdown_timeout=self._shutdown_timeout,
                start_task=self._start_task,
                is_at_work=lambda: self.lifespan.is_at_work,
                load_health=self._load_health,
            )
            self.publisher.on_record = self.lifespan.hooks.on_record
        return self.lifespan.hooks

    def add_set(self, spec: Spec) -> InstanceSet:
        """Add a set of instances; see ``Overseer.add_instances``."""
        from aioverseer._engine.overseer.instance_set import InstanceSet  # noqa: PLC0415  # few hosts have instances

        registry = self.registry
        registry.check_name(spec.id)
        registry.check(spec)
        found = InstanceSet(
            spec,
            registry,
            self.dependencies,
            self.publisher,
            clock=self._clock,
            is_used=lambda: not self._is_leaving(),
            check=self.lifespan.check,
        )
        self.sets[spec.id] = found
        try:
            found.extend(spec.instances or 0)
        except OverseerError:
            del self.sets[spec.id]
            raise
        return found

    def rolls_of(self, instances: InstanceSet) -> InstanceRolls:
        """Return the rolls of a set. The first call makes them."""
        if instances not in self._rolls:
            from aioverseer._engine.overseer.instance_rolls import InstanceRolls  # noqa: PLC0415  # few hosts roll

            self._rolls[instances] = InstanceRolls(
                instances,
                self.registry,
                self.publisher,
                clock=self._clock,
                rng=self.rng,
                start_task=self._start_task,
                is_leaving=self._is_leaving,
            )
        return self._rolls[instances]

    def remove_set(self, name: str, *, by: str) -> None:
        """Remove a set of instances, of which none is live."""
        self.sets[name].remove(by=by)
        self._rolls.pop(self.sets.pop(name), None)

    def make_change_sets(self, *, add: Callable[[Spec], object], remove: Callable[[str, str], None]) -> ChangeSets:
        """Return the maker of plans.

        Args:
            add: Function that adds a service, or a set of instances.
            remove: Function that removes a service by its name, for somebody.
        """
        from aioverseer._engine.overseer.changes import ChangeSets  # noqa: PLC0415  # few hosts make plans

        return ChangeSets(
            self.publisher.name,
            self.registry,
            self.sets,
            self.dependencies,
            self.publisher,
            self.shutdown,
            clock=self._clock,
            start_task=self._start_task,
            is_leaving=self._is_leaving,
            check=self.lifespan.check,
            rolls_of=self.rolls_of,
            systemd=self._systemd,
            add=add,
            remove=remove,
        )

    def _make_systemd_reports(self) -> SystemdReports:
        from aioverseer._engine.overseer.systemd import SystemdReports  # noqa: PLC0415  # few hosts ask for it

        return SystemdReports(self._clock)

    def _start_task(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        return self.lifespan.start_task(work)

    def _is_leaving(self) -> bool:
        return self.lifespan.is_leaving

    def _end_for(self, service: ServiceRunner) -> None:
        self.lifespan.end_for(service)

    def _make_runner(
        self, spec: Spec, task_launcher: TaskLauncher | None, place: InstancePlace | None
    ) -> ServiceRunner:
        self._make_keepers(spec)
        return ServiceRunner(
            spec,
            task_launcher,
            place=place,
            owner=self._dispatcher,
            clock=self._clock,
            rng=self.rng,
            launcher=self._launcher,
            subscribers=self.publisher.subscribers,
            log_routing=self.publisher.log_routing,
            throttle=self.throttle,
            start_task=self.lifespan.start_task,
            make_handle=self._make_handle,
            load_health=self._load_health,
            run_specs_of=lambda index: self._run_spec_maker().make(index),
            load_run_steps=_load_run_steps,
            start_queue=self.start_queue,
            service_handle=self._service_handle,
            check=self.lifespan.check,
            is_leaving=self._is_leaving,
            blockers=self._blockers,
            sockets=self._sockets,
            measure=self.measure,
            make_trigger=self._make_trigger,
        )

    def _sockets(self) -> SocketHolder:
        """Return the listening sockets. The first call makes them."""
        if self._held_sockets is None:
            from aioverseer._engine.overseer.held_sockets import HeldSockets  # noqa: PLC0415  # few hosts have any

            # Scripted children have no descriptors, and tests of policies bind no port.
            self._held_sockets = HeldSockets(are_real=self._launcher.containment.level != "none")
        return self._held_sockets

    def _make_keepers(self, spec: Spec) -> None:
        """Make the parts that replace runs, for the first service with ``recycle`` or ``watch``."""
        services = self.registry.services
        if spec.recycle is not None and self._recycling is None:
            from aioverseer._engine.overseer.recycling import Recycling  # noqa: PLC0415  # few hosts recycle

            self._recycling = Recycling(
                services,
                clock=self._clock,
                rng=self.rng,
                measure=self.measure,
                start_task=self._start_task,
                roll=self._roll_one,
                may_roll=lambda name: self.rolls_of(self.sets[name]).is_idle,
                warn=functools.partial(self._warn, "recycle"),
            )
            self.registry.keepers.append(self._recycling)
        if spec.watch is not None and self._watching is None:
            try:
                from aioverseer._engine.overseer.watching import Watching  # noqa: PLC0415  # watchdog is an extra
            except ImportError as error:
                raise SpecError(
                    f"service {spec.id!r}: watch needs the package watchdog: pip install 'aioverseer[watch]'",
                    option="watch",
                    value=spec.watch,
                ) from error
            self._watching = Watching(
                services,
                clock=self._clock,
                log_files=lambda: self.publisher.log_routing.files,
                warn=functools.partial(self._warn, "watch"),
            )
            self.registry.keepers.append(self._watching)

    async def _roll_one(self, name: str, id: str) -> None:
        await self.rolls_of(self.sets[name]).roll(only=[id], by="recycle")

    def _warn(self, kind: Kind, id: str, text: str) -> None:
        self.publisher.publish(id, text, kind, level=logging.WARNING)

    async def measure(self) -> dict[str, Usage]:
        """Return what each service uses. The first call imports the meter."""
        if self._usage is None:
            from aioverseer._engine.overseer.usage import UsageMeter  # noqa: PLC0415  # few hosts ask

            self._usage = UsageMeter(self.registry.services, clock=self._clock)
        return await self._usage.measure()

    def _make_trigger(self, service: ServiceRunner) -> TriggerSource | None:
        """Return the source that starts each run of a service; None for one that runs from its start on."""
        schedule = service.spec.schedule
        if schedule is not None:
            return self._make_schedule(service, schedule)
        return self._make_connection_trigger(service) if service.spec.on_demand else None

    @staticmethod
    def _make_connection_trigger(service: ServiceRunner) -> TriggerSource:
        from aioverseer._engine.service.connection_trigger import ConnectionTrigger  # noqa: PLC0415  # few have one

        return ConnectionTrigger(
            clock=service.clock,
            open_sockets=service.open_sockets,
            on_occasion=lambda why: service.submit(Triggered(why=why, overlap="skip")),
        )

    def _make_schedule(self, service: ServiceRunner, schedule: Schedule) -> TriggerSource:
        if self._schedules is None:
            from aioverseer._engine.service.schedule import Schedules  # noqa: PLC0415  # few services have one

            self._schedules = Schedules(clock=self._clock, rng=self.rng)
        id = service.id
        return self._schedules.add(
            schedule,
            start=lambda why, overlap: service.submit(Triggered(why=why, overlap=overlap)),
            publish=lambda text, level: self.publisher.publish(id, text, "trigger", level=level),
            rephrase=service.machine.rephrase,
        )

    def _blockers(self, id: str) -> list[Awaited]:
        """Return what others make a service wait for: dependencies, its group, the throttle, a stop of all."""
        registry = self.registry
        found = self.dependencies.blockers(id) if registry.services[id].is_deferred else []
        if registry.groups is not None:
            found += registry.groups.blockers(id)
        if self.throttle is not None:
            found += self.throttle.blockers(id)
        return found + self.shutdown.blockers(id)

    def _run_spec_maker(self) -> RunSpecMaker:
        """Return the maker of the Specs of runs. The first service with placeholders imports it."""
        if self._run_specs is None:
            from aioverseer._engine.service.run_spec import RunSpecMaker  # noqa: PLC0415  # few services need it

            self._run_specs = RunSpecMaker()
        return self._run_specs

    def _make_throttle(self, restart_rate: float) -> RestartThrottle:
        from aioverseer._engine.overseer.throttle import RestartThrottle  # noqa: PLC0415  # few hosts have a throttle

        return RestartThrottle(restart_rate, clock=self._clock, admit=self._admit)

    def _make_start_queue(self, places: int) -> StartQueue:
        return StartQueue(places, is_stopping=lambda: self.shutdown.is_busy)

    def _on_stopped(self) -> None:
        if self.start_queue is not None:
            self.start_queue.admit_soon()

    def _admit(self, id: str) -> None:
        self.registry.services[id].submit(Admitted())

    def _make_signal_handling(self, name: str) -> SignalHandling:
        from aioverseer._engine.overseer.signals import SignalHandling  # noqa: PLC0415  # few hosts ask for it

        return SignalHandling(
            name,
            clock=self._clock,
            block_runs=lambda: not self.blocks.is_left,
            end_block=lambda: self.lifespan.end_on_signal(),  # noqa: PLW0108  # the lifespan is built later
            kill=self.shutdown.kill,
        )


def _load_run_steps() -> type[RunSteps]:
    from aioverseer._engine.service.run_steps import RunSteps  # noqa: PLC0415  # few services have such steps

    return RunSteps


def _open_log_backend(
    name: str, *, on_lost: Callable[[str, int], None], on_trouble: Callable[[str, str], None]
) -> LogBackend:
    from aioverseer._system.logfile.backend import LogBackend  # noqa: PLC0415  # few services have a log

    return LogBackend(name, on_lost=on_lost, on_trouble=on_trouble)
