"""Overseer: the handle of a set of services. ``assembly.py`` builds the parts that do the work."""

from __future__ import annotations

import functools
import signal as signals
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack, cast, overload

from aioverseer._aio.clock import steady
from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.process.process import handle_of, load_health
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.service import Service
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import SpecError, UnknownService, WrongBlock
from aioverseer.core.export import exported_from
from aioverseer.core.options.by import asked, check_by
from aioverseer.core.options.containment import AskedContainment, Containment, check_asked
from aioverseer.core.options.effects import described_change
from aioverseer.core.options.group import Group
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.log import Log
from aioverseer.core.options.overseer import answer_of_services, check_overseer_options
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.report.events import StopReport
from aioverseer.core.report.status import Status
from aioverseer.core.typing import PathLike

if TYPE_CHECKING:
    from aioverseer._engine.events.journal import EventStream
    from aioverseer._engine.events.recorder import Recorder
    from aioverseer._engine.overseer.changes import ChangeSets, Plan
    from aioverseer._engine.overseer.critical import Body
    from aioverseer._engine.overseer.instances import Instances
    from aioverseer.core.options.event_hook import EventHook
    from aioverseer.core.options.give_up import OnGiveUp
    from aioverseer.core.options.group import AutoShutdown, Strategy
    from aioverseer.core.report.group import GroupStatus
    from aioverseer.core.report.roll import RollReport
    from aioverseer.core.report.usage import Usage
    from aioverseer.core.report.why import Why
    from aioverseer.core.state import State

__all__ = ["Overseer"]


@exported_from("aioverseer")
@answers_unknown(answer_of_services)
class Overseer:
    """A set of services.

    An Overseer is an async context manager. When its block has ended, however it was left, every service has been
    stopped. Entering and leaving may happen in different tasks, but on one event loop. It can be entered again
    afterwards. It changes nothing of the host: no signal handler (unless asked for), no logging configuration, no
    global state.

    Attributes:
        name: The name in messages and logs.
        clock: The source of time.
        rng: The source of random numbers for backoff delays.
        launcher: The launcher of programs.
    """

    def __init__(
        self,
        *,
        name: str = "overseer",
        handle_signals: bool = False,
        clock: Clock | None = None,
        rng: Rng | None = None,
        launcher: Launcher | None = None,
        shutdown_timeout: float | None = None,
        restart_rate: float | None = None,
        max_starting: int | None = None,
        raise_fd_limit: bool = False,
        notify_systemd: bool = False,
        log: Log | Iterable[Log] | None = None,
        containment: AskedContainment = "auto",
    ) -> None:
        """Create an overseer without services.

        Args:
            name: The name in messages and logs.
            handle_signals: Whether SIGINT and SIGTERM stop all services and end the block: its code is cancelled, and
                the signal has its ordinary effect after the block. A signal that comes 0.1 s or more after the first
                one kills all services. The next one has its ordinary effect at once if the code of the block still
                runs. SIGHUP, the end of a terminal, stops all services too, if its action is the default and standard
                input or output is a terminal. The handlers of the host are restored on leaving.
            clock: The source of time; by default the running event loop. When it raises, the exception handler of the
                event loop gets the error, and real time goes on.
            rng: The source of random numbers for backoff delays; by default a generator of its own. The ``rng`` of a
                Backoff precedes it. When it raises, the service that was about to restart ends FATAL with that error.
            launcher: The launcher of programs; by default the operating system starts them.
            shutdown_timeout: Seconds that leaving and ``stop_all`` may take. After that, everything left is killed.
                None leaves this to the ladders.
            restart_rate: Restarts a second that all services together may have after their backoffs. The restarts of
                one second may come at once; further services wait in ``backoff``, first come, first served. None is no
                limit. A restart on request does not wait, and is not counted.
            max_starting: Number of programs that may be between their start and their readiness at once. Further ones
                wait in ``starting``, first come, first served, and their ``ready_timeout`` has not begun. None is no
                limit.
            raise_fd_limit: Whether to raise the limit of open descriptors (``ulimit -n``) to the hard limit while the
                overseer is in use. A service needs up to five descriptors. Programs inherit the limit, unless their
                ``rlimits`` say otherwise.
            notify_systemd: Whether to report to systemd, if it has started this process by a unit of ``Type=notify``:
                ``READY=1`` when all services that were started are ready, ``STATUS=`` with each change,
                ``RELOADING=1`` while a plan is applied, ``STOPPING=1`` on leaving, ``WATCHDOG=1`` at half of
                ``WatchdogSec=``, and ``EXTEND_TIMEOUT_USEC=`` for slow starts and stops. ``NOTIFY_SOCKET`` and
                ``WATCHDOG_*`` are not in the environment meanwhile, so no program inherits them.
            log: A LogFile, a LogBridge, or several of them, for all services without a ``log`` of their own.
            containment: How surely nothing is left behind: ``"basic"``, ``"guarded"``, ``"strict"``, ``"pidns"``
                (strict, with a pid namespace for each program), or ``"auto"`` for the best level without a cost for
                each program. See ``Containment``. A given ``launcher`` has its own level.

        Raises:
            SpecError: If an option has a wrong type or value.
            ContainmentError: If ``"strict"`` or ``"pidns"`` is not available. The first use of ``"pidns"`` tries it
                out, which blocks for some 30 ms.
        """
        check_overseer_options(
            name=name,
            shutdown_timeout=shutdown_timeout,
            handle_signals=handle_signals,
            raise_fd_limit=raise_fd_limit,
            notify_systemd=notify_systemd,
            clock=clock,
            rng=rng,
        )
        check_asked(containment, f"overseer {name!r}")
        own_launcher = None if launcher is not None else SystemLauncher(containment=containment)
        # The parts take longer to import than the handle, and are needed only once an Overseer exists.
        from aioverseer._engine.overseer.assembly import Assembly  # noqa: PLC0415

        self.name = name
        self.clock: Clock = steady(clock)
        self.launcher: Launcher = launcher or cast("SystemLauncher", own_launcher)
        self._handles = handles = dict[ServiceRunner, Service]()
        self._assembly = assembly = Assembly(
            name,
            clock=self.clock,
            rng=rng,
            launcher=self.launcher,
            own_launcher=own_launcher,
            shutdown_timeout=shutdown_timeout,
            restart_rate=restart_rate,
            max_starting=max_starting,
            handle_signals=handle_signals,
            raise_fd_limit=raise_fd_limit,
            notify_systemd=notify_systemd,
            log=log,
            make_handle=handle_of,
            load_health=load_health,
            service_handle=functools.partial(_handle_of, handles),
        )
        self.rng: Rng = assembly.rng
        self._registry = assembly.registry
        self._lifespan = assembly.lifespan
        self._publisher = assembly.publisher
        assembly.registry.on_discard = lambda runner: handles.pop(runner, None)
        self._sets: dict[str, Instances] = {}
        self._change_sets: ChangeSets | None = None

    def __repr__(self) -> str:
        """Return the name, the number of services and the number of live services."""
        return f"<Overseer {self.name!r} services={len(self)} live={len(self._registry.live)}>"

    @property
    def containment(self) -> Containment:
        """The level of containment in force, and the reason. It becomes lower when the guardian cannot be started."""
        return self.launcher.containment

    @property
    def received_signal(self) -> signals.Signals | None:
        """The last signal that the host received, with ``handle_signals``; None before the first."""
        handling = self._assembly.signal_handling
        return None if handling is None else handling.received

    # Entering and leaving.

    async def __aenter__(self) -> Self:
        """Begin to supervise. Safe to cancel: nothing is left behind then.

        Raises:
            OverseerError: If the overseer is in use already, or ``handle_signals`` was given outside of the main
                thread.
        """
        self._lifespan.check_unused()
        await self._lifespan.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop every service. A cancellation waits until that is done.

        With ``handle_signals``, a signal that has ended the block has its ordinary effect afterwards: a handler that
        the application has set for it is called; without one, SIGINT raises KeyboardInterrupt, and SIGTERM raises
        SystemExit(143).

        Raises:
            StopFailed: If a program still exists after its whole ladder. An error of the block gets this as a note
                instead.
            CriticalServiceEnded: If a critical service has ended for good by itself. Its cause is the error of
                the block, or else the error that has ended the service.
        """
        return await self._lifespan.leave(error)

    if not TYPE_CHECKING:  # type checkers refuse such a block by themselves

        def __enter__(self) -> NoReturn:
            raise WrongBlock("an Overseer needs `async with`: for plain code write `with ThreadedOverseer()`")

        def __exit__(self, *_: object) -> None:
            """Do nothing: Python looks it up before it calls ``__enter__``."""

    # The registry.

    @overload
    def add(self, id: Spec, /) -> Service: ...
    @overload
    def add(self, id: str, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Service: ...
    def add(self, id: str | Spec, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Service:
        """Add a service. Nothing is started, except that a running ``supervise_all()`` starts it.

        Services can be added at any time, also before the overseer is entered.

        Args:
            id: The name of the service, or a whole Spec.
            *argv: The program and its arguments, taken literally: no shell.
            **options: See ``Spec``.

        Raises:
            DuplicateService: If the name is taken.
            SpecError: If an option is unknown, or a value is invalid.
        """
        if isinstance(id, Spec):
            if argv or options:
                raise SpecError(f"service {id.id!r}: pass a Spec alone, or a name with arguments and options")
            spec = id
        else:
            spec = Spec.of(id, argv, **options)
        if spec.instances is not None:
            raise SpecError(
                f"service {spec.id!r}: instances={spec.instances} is for several services: call add_instances",
                option="instances",
                value=spec.instances,
            )
        return self._handle(self._registry.add(spec))

    @overload
    def add_instances(self, id: Spec, /) -> Instances: ...
    @overload
    def add_instances(self, id: str, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Instances: ...
    def add_instances(self, id: str | Spec, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Instances:
        """Add several services that run the same program: ``web.0``, ``web.1`` and so on. Nothing is started.

        Each of them is a Service. ``{index}``, ``{id}``, ``{run}`` and ``{port}`` in the arguments are replaced for
        each run; see ``Spec.instances``. In a method that takes the name of a service, and in ``after``, the name of
        the set means all of them.

        Args:
            id: The name of the set, or a whole Spec with a number of ``instances``.
            *argv: The program and its arguments, taken literally but for the placeholders: no shell.
            **options: See ``Spec``; ``instances`` is the number of services.

        Raises:
            DuplicateService: If the name of the set, or of one of its services, is taken. Nothing has changed then.
            SpecError: If there is no number of instances, an option is unknown, or a value is invalid.
        """
        if isinstance(id, Spec):
            if argv or options:
                raise SpecError(f"service {id.id!r}: pass a Spec alone, or a name with arguments and options")
            spec = id
        else:
            spec = Spec.of(id, argv, **options)
        if spec.instances is None:
            raise SpecError(
                f"service {spec.id!r}: there is no number of instances: pass instances=4, or call add for one service",
                option="instances",
            )
        from aioverseer._engine.overseer.instances import Instances  # noqa: PLC0415  # few hosts have instances

        service_of = functools.partial(_handle_of, self._handles)
        found = self._assembly.add_set(spec)
        rolls = functools.partial(self._assembly.rolls_of, found)
        instances = self._sets[spec.id] = Instances(found, service_of=service_of, rolls=rolls)
        return instances

    def instances(self, name: str) -> Instances:
        """Return the set of instances of this name.

        Raises:
            UnknownService: If there is none.
        """
        if name not in self._sets:
            known = ", ".join(sorted(self._sets)) or "none"
            raise UnknownService(f"there are no instances {name!r}; added by add_instances: {known}")
        return self._sets[name]

    def add_task(
        self, id: str, function: Callable[[], Coroutine[Any, Any, object]], /, **options: Unpack[SpecOptions]
    ) -> Service:
        """Add an async function as a service. Nothing is started. Each run calls the function in a task of its own.

        A return is exit code 0. An exception is exit code 1 and ``status.error``, and its traceback is the last output
        on stderr. The function is stopped by cancellation.

        Args:
            id: The name of the service.
            function: A function without arguments; ``functools.partial`` binds some.
            **options: ``restart``, ``stop``, ``after``, ``critical``, ``group``, ``significant``, ``on_give_up``,
                ``delay_start``, ``max_runtime``, ``schedule``; ``ready``, ``ready_timeout`` and ``alive`` with probes
                that need no program.

        Raises:
            DuplicateService: If the name is taken.
            SpecError: If an option is only for programs, or a value is invalid.
        """
        return self._handle(self._registry.add_task(id, function, options))

    def add_external(self, id: str, /, **options: Unpack[SpecOptions]) -> Service:
        """Add a service that is not ours, such as the database of another team, so that others can wait for it.

        Nothing is started or stopped. ``start`` begins to ask its probe, and the service is ready once the probe has
        succeeded; there is no time limit. With ``alive`` it is asked again, and starts again when it is gone. ``after``
        and its ``on_restart`` work as for any service. A stop ends the asking. ``supervise_all`` does not wait for its
        end.

        Args:
            id: The name of the service.
            **options: ``ready``, the probe, which accepts any program; and ``alive``, ``after``, ``group``.

        Raises:
            DuplicateService: If the name is taken.
            SpecError: If the probe is missing or asks a program of ours, or another option is given.
        """
        return self._handle(self._registry.add_external(id, options))

    def add_resource(
        self, id: str, manager: Callable[[], AbstractAsyncContextManager[Any]], /, **options: Unpack[SpecOptions]
    ) -> Service:
        """Add an async context manager as a service. Nothing is started. Each run makes and enters a fresh one.

        The service is ready once the manager is entered (and ``ready`` is met, if given). The manager is left in the
        task that entered it. ``Service.resource`` is the object that entering returned.

        Args:
            id: The name of the service.
            manager: A function without arguments that makes a manager.
            **options: See ``add_task``; ``ready_timeout`` bounds the entering.

        Raises:
            DuplicateService: If the name is taken.
            SpecError: If an option is only for programs, or a value is invalid.
        """
        return self._handle(self._registry.add_resource(id, manager, options))

    def _handle(self, runner: ServiceRunner) -> Service:
        return _handle_of(self._handles, runner)

    def _one_or_all(self, id: str) -> Service | Instances:
        """Return the service, or the set of instances, of this name."""
        return self._sets[id] if id in self._sets else self[id]

    def remove(self, id: str, *, by: str = "") -> None:
        """Remove a service that is not live, or a set of instances of which none is.

        Args:
            id: The name of the service.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            UnknownService: If there is no service of this name.
            ServiceIsLive: If the service runs, starts, stops or waits to restart.
            OverseerError: If the service is one of several instances: scale the set, or remove all of it.
        """
        check_by(by)
        if id in self._sets:
            self._assembly.remove_set(id, by=by)
            del self._sets[id]
            return
        self._registry.check_removal(id)
        self._publisher.publish(id, asked("is removed", by), "change", by=by)
        self._registry.remove(id)

    def update(
        self,
        id: str,
        *command: str | PathLike,
        argv: Iterable[str | PathLike] | None = None,
        by: str = "",
        **options: Unpack[SpecOptions],
    ) -> Service | Instances:
        """Change the command or options of a service, or of all instances of a set. Nothing is restarted.

        The options of supervision, such as ``restart``, ``stop``, ``alive`` and ``log``, take effect at once. The
        others take effect with the next run, and ``why()`` names them until then.

        Args:
            id: The name of the service.
            *command: The new program and all its arguments; none keeps the command.
            argv: The same as a list.
            by: Name of the one who asks; see ``Event.by``.
            **options: The options to change; see ``Spec``.

        Raises:
            UnknownService: If there is no service of this name.
            SpecError: If an option is unknown, or a value is invalid. Nothing has changed then.
        """
        if command and argv is not None:
            raise SpecError(
                f"service {id!r}: pass the command once, as arguments or as argv=", option="argv", value=argv
            )
        check_by(by)
        if id in self._sets:
            self._assembly.sets[id].change(command or argv, options, by=by)
            return self._sets[id]
        changed = self._registry.update(id, command or argv, options)
        if changed:
            self._publisher.publish(id, described_change(changed, by), "change", by=by)
        return self[id]

    def plan(self, specs: Iterable[Spec]) -> Plan:
        """Return what has to be done so that the services are those of some Specs; nothing is done yet.

        Services without a Spec are stopped and removed, new ones are added and started, and those whose program needs
        it are restarted. A service with an equal Spec keeps its program; it is started if it does not run. Tasks and
        resources stay as they are.

        Args:
            specs: The Specs of all services that are wanted.

        Raises:
            SpecError: If two Specs have one id, or a service depends on one that does not exist.
            DependencyCycle: If services wait for each other in a cycle.
        """
        if self._change_sets is None:
            self._change_sets = self._assembly.make_change_sets(add=self._add_any, remove=self._remove_any)
        return self._change_sets.plan(specs)

    def _remove_any(self, id: str, by: str) -> None:
        self.remove(id, by=by)

    def _add_any(self, spec: Spec) -> Service | Instances:
        return self.add(spec) if spec.instances is None else self.add_instances(spec)

    def group(
        self,
        name: str,
        strategy: Strategy = "one_for_one",
        *,
        restart: Restart | None = None,
        parent: str = "",
        auto_shutdown: AutoShutdown = "never",
        on_give_up: OnGiveUp = "leave",
        significant: bool = False,
    ) -> Group:
        """Let the services with this label share a fate, as under a supervisor of Erlang/OTP; see ``Group``.

        The ``restart`` of a member says which of its ends call for a restart. The ``restart`` of the group says how
        many restarts there may be, and how soon. When that budget is spent, the members are stopped in reverse order,
        and the group ends: for its parent, one member has failed; without a parent, ``on_give_up`` says what follows.
        Groups can be made at any time, before or after their services. A stop on request overrides every strategy.

        Args:
            name: The label, as in the option ``group`` of services.
            strategy: ``"one_for_one"``, ``"one_for_all"`` or ``"rest_for_one"``.
            restart: The shared budget and backoff; by default ``Restart()``.
            parent: The group of which this one is a member. It must exist already.
            auto_shutdown: ``"never"``, ``"any_significant"`` or ``"all_significant"``.
            on_give_up: ``"leave"``, ``"stop"``, ``"end"``, or a function that is called with the ``GaveUp``.
            significant: Whether the end of this group counts for ``auto_shutdown`` of its parent.

        Returns:
            The arguments as a value.

        Raises:
            SpecError: If the name is taken, the parent does not exist, or a value is invalid.
        """
        group = Group(
            name=name,
            strategy=strategy,
            restart=Restart() if restart is None else restart,
            parent=parent,
            auto_shutdown=auto_shutdown,
            on_give_up=on_give_up,
            significant=significant,
        )
        self._assembly.groups().add(group)
        return group

    def group_status(self, name: str) -> GroupStatus:
        """Return the phase of a group, the reason, the members and what is left of the budget.

        Raises:
            UnknownService: If there is no group of this name.
        """
        return self._assembly.groups().status(name)

    @overload
    def add_hook(self, hook: EventHook, /) -> EventHook: ...
    @overload
    def add_hook(
        self,
        /,
        *,
        on: str | State | Iterable[str | State],
        run: Iterable[str | PathLike],
        services: str | Iterable[str] | None = None,
        timeout: float = 30.0,
        max_running: int = 1,
        cwd: str | PathLike | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> EventHook: ...
    def add_hook(self, hook: EventHook | None = None, /, **options: Any) -> EventHook:
        """Start a command for each event of some kinds, with the event as JSON on its standard input.

        ``overseer.add_hook(on="failed", run=["./notify.sh"])`` runs the command whenever a service fails for good. The
        command gets events that happen while the overseer is in use. Events of its end count too: the command has ten
        seconds more once all services have stopped, or as much of ``shutdown_timeout`` as is left, and at least one
        second.

        Hooks can be added at any time. A function of the application needs no hook: read ``events()``.

        Args:
            hook: A whole hook, in place of the options.
            **options: See ``EventHook``.

        Returns:
            The hook, for ``remove_hook``.

        Raises:
            SpecError: If a value is invalid, or there is an equal hook already.
        """
        return self._assembly.hooks().add(hook, options)

    def remove_hook(self, hook: EventHook) -> None:
        """Remove a hook. Events that wait for its command are dropped, and runs of the command go on to their end.

        Args:
            hook: The hook that ``add_hook`` has returned, or an equal one.

        Raises:
            SpecError: If there is no such hook.
        """
        self._assembly.hooks().remove(hook)

    @property
    def hooks(self) -> tuple[EventHook, ...]:
        """The hooks, in the order in which they were added."""
        hooks = self._lifespan.hooks
        return () if hooks is None else hooks.hooks

    def __getitem__(self, id: str) -> Service:
        """Return the service of this name.

        Raises:
            UnknownService: If there is none.
        """
        return self._handle(self._registry.get(id))

    def __contains__(self, id: object) -> bool:
        """Return whether there is a service of this name."""
        return id in self._registry.services

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the services, sorted."""
        return iter(self.list_all())

    def __bool__(self) -> bool:
        """Return True, also without services: ``given or default`` must not drop an empty overseer."""
        return True

    def __len__(self) -> int:
        """Return the number of services."""
        return len(self._registry.services)

    def has_proc(self, id: str) -> bool:
        """Return whether there is a service of this name."""
        return id in self

    def list_all(self) -> list[str]:
        """Return the names of all services, sorted."""
        return sorted(self._registry.services)

    def list_group(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for those without one."""
        return self._registry.with_label(group)

    # One service, by its name.

    async def start(self, id: str, *, by: str = "") -> Service | Instances:
        """Start a service and return it once it is ready; see ``Service.start`` and ``Instances.start``."""
        return await self._one_or_all(id).start(by=by)

    async def stop(self, id: str, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> Status:
        """Stop a service by its ladder; see ``Service.stop`` and ``Instances.stop``."""
        return await self._one_or_all(id).stop(kill=kill, ladder=ladder, by=by)

    async def restart(self, id: str, *, by: str = "") -> Service | Instances:
        """Stop a service and start it again; see ``Service.restart`` and ``Instances.restart``."""
        return await self._one_or_all(id).restart(by=by)

    async def trigger(self, id: str, *, by: str = "") -> Service | Instances:
        """Run the program of a service with a schedule now; see ``Service.trigger`` and ``Instances.trigger``."""
        return await self._one_or_all(id).trigger(by=by)

    async def reload(self, id: str, timeout: float | None = 30.0) -> None:
        """Let a program, or those of a set, read their configuration; see ``Service.reload``, ``Instances.reload``."""
        await self._one_or_all(id).reload(timeout)

    async def scale(self, id: str, n: int, *, by: str = "") -> Instances:
        """Change the number of instances of a set, and return the set once it is so; see ``Instances.scale``."""
        return await self.instances(id).scale(n, by=by)

    async def roll(self, id: str, *, by: str = "") -> RollReport:
        """Give each instance of a set a new run without a gap; see ``Instances.roll``."""
        return await self.instances(id).roll(by=by)

    def signal(self, id: str, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to a service's program; see ``Service.signal`` and ``Instances.signal``."""
        self._one_or_all(id).signal(number, scope=scope)

    def status(self, id: str) -> Status:
        """Return everything known about a service, or an ``InstancesStatus`` of a set."""
        return self._one_or_all(id).status()

    def why(self) -> dict[str, Why]:
        """Return why each service is in its state, what it waits for and what comes next, by name; see ``Why``."""
        return {id: self[id].why() for id in self.list_all()}

    async def usage(self) -> dict[str, Usage]:
        """Return what each service uses with all that its program has started, by name; see ``Usage``.

        One pass over the processes of the machine serves all services, and gives way to the event loop every
        millisecond. Calls at the same time share one pass. Nothing is measured unless this is called.

        Raises:
            OverseerError: If this is called outside of the ``async with`` block, or on another event loop.
        """
        self._lifespan.check()
        return await self._assembly.measure()

    def to_json(self, id: str) -> dict[str, Any]:
        """Return everything known about a service as JSON values; see ``Status.to_json``."""
        return self._one_or_all(id).status().to_json()

    async def supervise(self, id: str, *, by: str = "") -> Status:
        """Start a service, restart it by its policy, and return its Status at the final end.

        For a service that is live already, this waits for the same end. When the call that began the service is
        cancelled, the service is stopped before the cancellation goes on.

        Args:
            id: The name of the service.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            UnknownService: If there is no service of this name.
            OverseerError: If this is called outside of the ``async with`` block, or on another event loop.
            StopFailed: If the program still exists after its whole ladder. Raised at once: the end may never come.
        """
        if id in self._sets:
            self._lifespan.check(starting=True)
            return await self._assembly.sets[id].supervise(by=check_by(by))
        service = self._registry.get(id)
        self._lifespan.check(starting=True)
        return await self._assembly.startup.supervise(service, by=check_by(by))

    # All services.

    async def start_all(self, *, by: str = "") -> None:
        """Start all services and return when all are ready. A service with a schedule is armed, which counts as ready.

        Each service is started once its dependencies (``after``) are met. Independent services start at the same time.
        When this is cancelled, the services that it began to start are stopped before the cancellation goes on.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If a service has ended before it was ready, or cannot be started because of a dependency. Raised
                at once; the others go on.
            StopFailed: If an earlier program of a service still exists after its whole ladder. Raised at once.
            SpecError: If a service depends on one that does not exist. Nothing is started then.
            DependencyCycle: If services wait for each other in a cycle. Nothing is started then.
            CriticalServiceEnded: If a service was stopped before it was ready, because a critical one has ended.
        """
        self._lifespan.check(starting=True)
        await self._assembly.startup.start_all(by=check_by(by))

    async def supervise_all(self, *, by: str = "") -> dict[str, Status]:
        """Start all services, those added meanwhile too, and return when all have ended for good.

        A service with a schedule goes on until it is stopped.

        Each service is started once its dependencies (``after``) are met. A service whose dependencies cannot be met
        any more ends FATAL. When this is cancelled, the services that it began to start are stopped before the
        cancellation goes on. This may be called again.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Returns:
            The final Status of each service, by name. A program that still exists after its whole ladder is not waited
            for: its state is STOPPING.

        Raises:
            SpecError: If a service depends on one that does not exist. Nothing is started then. A service that is added
                later ends FATAL instead.
            DependencyCycle: If services wait for each other in a cycle. The rest is as for SpecError.
            CriticalServiceEnded: If a critical service has ended for good by itself. Raised at once.
        """
        self._lifespan.check(starting=True)
        return await self._assembly.startup.supervise_all(by=check_by(by))

    async def stop_all(
        self,
        kill: bool = False,  # noqa: FBT001, FBT002  # as in the Go library
        *,
        by: str = "",
    ) -> StopReport:
        """Stop all services, each by its ladder, and return what each stop took.

        Services are stopped level by level: first all services that no other depends on, then their dependencies, and
        so on; see ``after``. With ``shutdown_timeout``, each level may take its share of the time that is left. The
        services can be started again. When this is cancelled, the stops go on by themselves.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
            by: Name of the one who asks; see ``Event.by``.
        """
        self._lifespan.check()
        return await self._assembly.shutdown.stop_all(kill=kill, by=check_by(by))

    # Events and lines.

    def body(self) -> Body:
        """Return a context manager for a block that ends with a critical service: ``with overseer.body():``.

        The block of ``async with overseer`` is one itself. Use this where another task enters the overseer, such as a
        fixture. When a critical service ends, the task that runs the block is cancelled at once, and the block raises
        CriticalServiceEnded.
        """
        return self._assembly.blocks.body()

    def events(self, *, since: int | None = None) -> EventStream:
        """Return the events of all services as an async iterator, in order.

        Every change of state is an event; see ``Event.kind`` for the others. The iterator begins with the first event
        after this call, and ends when the overseer is left.

        Args:
            since: The number of an event to begin after; 0 for all events. The overseer remembers 10,000 events. If
                older ones were asked for, ``Event.missed`` of the first event counts them.

        Raises:
            OverseerError: If this is called on another event loop than that of the overseer.
            SpecError: If there has been no event of this number. Numbers begin anew with each Overseer.
        """
        if self._lifespan.is_used:
            self._lifespan.check()
        return self._publisher.events(since=since)

    def record(self, path: str | PathLike, *, since: int | None = None) -> Recorder:
        """Append every event from now on to a file, as lines of JSON; see ``Event.to_json``.

        A thread writes them, whole lines only. Events that cannot be written are counted and dropped; a gap in the
        numbers in the file shows them. When the overseer has been left, all other events are in the file.

        Args:
            path: The file. It is created if it does not exist.
            since: The number of an event to begin after; see ``events``.

        Raises:
            OverseerError: If this is called outside of the ``async with`` block.
            SpecError: If ``since`` is invalid, as in ``events``.
        """
        self._lifespan.check(starting=True)
        return self._publisher.record(path, since=since)

    def logs(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        services: str | Iterable[str] | None = None,
        groups: str | Iterable[str] | None = None,
        size: int = 1000,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Return a queue of the lines that services write from now on, in the order of their arrival.

        The queue ends when the overseer is left. Without ``services`` and ``groups`` it has the lines of all services;
        with both, the lines of services that are in either.

        Args:
            stream: One stream, or None for both.
            services: Names of services, or of sets of instances. They may be added later.
            groups: Labels of groups. The label that a service has when it writes counts.
            size: Number of lines that the queue holds.
            overflow: The treatment of further lines; see ``Service.lines``.

        Raises:
            SpecError: If a value is invalid.
        """
        self._lifespan.check()
        return self._publisher.lines(stream, services=services, groups=groups, size=size, overflow=overflow)

    def reopen_logs(self) -> None:
        """Close all log files. The next line opens the file of that name again; see ``Service.reopen_log``.

        Raises:
            OverseerError: If this is called outside of the ``async with`` block, or on another event loop.
        """
        self._lifespan.check()
        self._publisher.log_routing.reopen()

    async def flush_logs(self) -> None:
        """Wait until all lines so far are in their log files, or are counted as lost. Safe to cancel.

        Leaving the overseer does this too.

        Raises:
            OverseerError: If this is called outside of the ``async with`` block, or on another event loop.
        """
        self._lifespan.check()
        await self._publisher.log_routing.flush()


def _handle_of(handles: dict[ServiceRunner, Service], runner: ServiceRunner) -> Service:
    """Return the handle of a service, the same one each time. ``scale`` adds and removes services by itself."""
    if runner not in handles:
        handles[runner] = Service(runner)
    return handles[runner]
