"""Overseer: the set of services of one application.

The public face alone; each part of it has a file of its own, to which all is handed on. The parts are put together, and
services are heard, in ``_engine/overseer/assembly.py``. The registry lives in ``_engine/overseer/registry.py``, entering and leaving in ``_engine/overseer/lifespan.py``
and ``_engine/overseer/critical.py``, the start and the stop of all in ``_engine/overseer/startup.py`` and ``_engine/overseer/shutdown.py``, signals in ``_engine/overseer/signals.py``,
events and lines in ``_engine/events/publisher.py``; one service is ``_engine/service/service.py``. No state but that of the options lives here.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast, overload

from aioverseer._aio.clock import steady
from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.service.service import Service
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import AskedContainment, Containment, check_asked
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.log import Log
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import StopReport
from aioverseer.core.report.status import Status
from aioverseer.core.typing import PathLike

if TYPE_CHECKING:
    from aioverseer._engine.events.journal import EventStream
    from aioverseer._engine.events.recorder import Recorder
    from aioverseer._engine.overseer.critical import Body
    from aioverseer.core.options.give_up import OnGiveUp
    from aioverseer.core.options.group import AutoShutdown, Group, Strategy
    from aioverseer.core.report.group import GroupStatus
    from aioverseer.core.report.why import Why

__all__ = ["Overseer"]


@exported_from("aioverseer")
class Overseer:
    """The set of services of one application.

    An async context manager; when its block ends, however it is left, every service has been stopped. Entering and
    leaving may happen in different tasks, but on one event loop. It can be entered again afterwards. Nothing of the
    host is touched: no signal handler (unless asked for), no logging configuration, no global state.

    Attributes:
        name: For messages and logs.
        clock: Where time comes from.
        rng: Where the chance in backoff delays comes from.
        launcher: What starts programs.
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
        raise_fd_limit: bool = False,
        log: Log | Iterable[Log] | None = None,
        containment: AskedContainment = "auto",
    ) -> None:
        """Make an overseer without services.

        Args:
            name: For messages and logs.
            handle_signals: Whether SIGINT and SIGTERM stop all services, and a second one kills them; the
                host's handlers are put back on leaving.
            clock: Where time comes from; by default the running event loop. When it raises, the event loop's exception
                handler is told, and real time goes on.
            rng: Where the chance in backoff delays comes from; by default a generator of its own. When it raises, the
                service that was to restart ends FATAL with that error.
            launcher: What starts programs; by default the operating system.
            shutdown_timeout: Seconds that leaving and ``stop_all`` may take before everything left is killed; None
                leaves that to the ladders.
            restart_rate: Restarts a second that all services together may have after their backoffs: those of one
                second may come at once, the others wait for their turns in ``backoff``, first come, first served. None
                is no limit. A restart that somebody asks for does not wait, and is not counted.
            raise_fd_limit: Whether the limit of open descriptors (``ulimit -n``) is raised to the hardest allowed while
                this is in use; a service needs up to five. Programs inherit it, unless their ``rlimits`` say otherwise.
            log: A LogFile, a LogBridge, or several of them, for all services that have no ``log`` of their own.
            containment: How far the promise reaches that nothing is left behind: ``"basic"``, ``"guarded"``,
                ``"strict"``, ``"pidns"``, which is strict by a pid namespace for each program, or ``"auto"`` for the
                best that costs nothing for each program. See ``Containment``. A ``launcher`` that is given has its own.

        Raises:
            SpecError: When ``shutdown_timeout`` is no time, ``restart_rate`` is no rate, ``log`` is no log, or
                ``containment`` is no level.
            ContainmentError: When ``"strict"`` or ``"pidns"`` cannot be had. The first time that ``"pidns"`` is asked
                for, it is tried, which blocks for some 30 ms.
        """
        if shutdown_timeout is not None and not shutdown_timeout >= 0:
            raise SpecError(
                f"shutdown_timeout={shutdown_timeout!r} is no time: pass seconds, 0 or more, or None",
                option="shutdown_timeout",
                value=shutdown_timeout,
            )
        if rng is None:
            import random  # noqa: PLC0415  # takes a twentieth of the time that the import of this library takes

            # Not a source of secrets: jitter only has to differ between hosts.
            rng = random.Random()  # noqa: S311
        check_asked(containment, f"overseer {name!r}")
        own_launcher = None if launcher is not None else SystemLauncher(containment=containment)
        from aioverseer._engine.overseer.assembly import Assembly  # noqa: PLC0415  # who has no overseer yet imports it for nothing

        self.name = name
        self.clock: Clock = steady(clock)
        self.rng: Rng = rng
        self.launcher: Launcher = launcher or cast("SystemLauncher", own_launcher)
        self._hosting = hosting = Assembly(
            name,
            clock=self.clock,
            rng=rng,
            launcher=self.launcher,
            own_launcher=own_launcher,
            shutdown_timeout=shutdown_timeout,
            restart_rate=restart_rate,
            handle_signals=handle_signals,
            raise_fd_limit=raise_fd_limit,
            log=log,
        )
        self._registry = hosting.registry
        self._news = hosting.news
        self._stopping = hosting.stopping
        self._starting = hosting.starting
        self._lifespan = hosting.lifespan

    def __repr__(self) -> str:
        """Return name, number of services and how many are live."""
        return f"<Overseer {self.name!r} services={len(self)} live={len(self._registry.live)}>"

    @property
    def containment(self) -> Containment:
        """Which level of containment is in force, and why. It can sink when the guardian cannot be started."""
        return self.launcher.containment

    @property
    def received_signal(self) -> signals.Signals | None:
        """The last signal that the host received, with ``handle_signals``; else None."""
        return self._hosting.received_signal

    # Entering and leaving.

    async def __aenter__(self) -> Self:
        """Begin to supervise. Safe to cancel: nothing is left then.

        Raises:
            OverseerError: When it is in use already, or signals are asked for outside of the main thread.
        """
        self._lifespan.check_unused()
        self._hosting.received_signal = None
        await self._lifespan.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every service and end; a cancellation waits until that is done.

        Raises:
            StopFailed: When a program is still there after the whole ladder, unless an error is on its way already;
                then this is a note on it.
            CriticalServiceEnded: When a critical service has ended for good by itself. What else came out of the block
                is its cause.
        """
        await self._lifespan.leave(error)

    # The registry.

    @overload
    def add(self, id: Spec, /) -> Service: ...
    @overload
    def add(self, id: str, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Service: ...
    def add(self, id: str | Spec, /, *argv: str | PathLike, **options: Unpack[SpecOptions]) -> Service:
        """Register a service; nothing is started. Allowed at any time, before entering too.

        While ``supervise_all()`` runs, the service is started by it.

        Args:
            id: Its name, or a whole Spec.
            *argv: The program and its arguments, taken literally: no shell.
            **options: See ``Spec``.

        Raises:
            DuplicateService: When the name is taken.
            SpecError: For an option that does not exist or a value that cannot be.
        """
        if isinstance(id, Spec):
            if argv or options:
                raise SpecError(f"service {id.id!r}: pass a Spec alone, or a name with arguments and options")
            spec = id
        else:
            spec = Spec.of(id, argv, **options)
        return self._registry.add(spec)

    def add_task(
        self, id: str, function: Callable[[], Coroutine[Any, Any, object]], /, **options: Unpack[SpecOptions]
    ) -> Service:
        """Register an async function as a service; nothing is started. Each run calls it in a task of its own.

        Its return is exit code 0. What it raises is exit code 1 and ``status.error``, and the traceback is what it has
        written last, to stderr. It is stopped by cancellation.

        Args:
            id: Its name.
            function: Without arguments; ``functools.partial`` gives it some.
            **options: ``restart``, ``stop``, ``after``, ``critical``, ``group``, ``significant``, ``on_give_up``,
                ``delay_start``; ``ready``, ``ready_timeout`` and ``alive`` with probes that need no program.

        Raises:
            DuplicateService: When the name is taken.
            SpecError: For an option that only programs have, or a value that cannot be.
        """
        from aioverseer._system.inprocess import (  # noqa: PLC0415
            MemberLauncher,  # few have any
            check_member,  # few have any
            name_of,  # few have any
        )

        check_member(id, function, options)
        return self._registry.add(Spec.of(id, (name_of(function),), **options), MemberLauncher(function=function))

    def add_resource(
        self, id: str, manager: Callable[[], AbstractAsyncContextManager[Any]], /, **options: Unpack[SpecOptions]
    ) -> Service:
        """Register an async context manager as a service; nothing is started. Each run makes and enters a fresh one.

        It is ready once it is entered (and ``ready`` is fulfilled, if there is one), and left in the same task;
        ``Service.resource`` is what entering gave.

        Args:
            id: Its name.
            manager: What makes one, called without arguments.
            **options: See ``add_task``; ``ready_timeout`` bounds the entering.

        Raises:
            DuplicateService: When the name is taken.
            SpecError: For an option that only programs have, or a value that cannot be.
        """
        from aioverseer._system.inprocess import (  # noqa: PLC0415
            MemberLauncher,  # few have any
            check_member,  # few have any
            name_of,  # few have any
        )

        check_member(id, manager, options)
        launcher = MemberLauncher(manager=manager)
        return self._registry.add(launcher.adapt(Spec.of(id, (name_of(manager),), **options)), launcher)

    def remove(self, id: str) -> None:
        """Forget a service that is not live.

        Raises:
            UnknownService: When there is none of this name.
            ServiceIsLive: When it runs, starts, stops or waits to restart.
        """
        self._registry.remove(id)

    def update(self, id: str, **options: Unpack[SpecOptions]) -> Service:
        """Change options of a service, for its next run; a new Restart policy judges the next end.

        Raises:
            UnknownService: When there is none of this name.
            SpecError: For an option that does not exist or a value that cannot be; nothing has changed then.
        """
        return self._registry.update(id, options)

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

        Which ends of a member call for a restart is said by its own ``restart``; how many there may be, and how soon,
        by that of the group. When its budget is spent, its members are stopped in reverse order, and the group ends:
        for its parent that is one member that has failed; without one, ``on_give_up`` says what follows. Allowed at
        any time, before the services are added or afterwards. A stop that is asked for goes before any strategy.

        Args:
            name: The label, as in the option ``group`` of services.
            strategy: ``"one_for_one"``, ``"one_for_all"`` or ``"rest_for_one"``.
            restart: The shared budget and backoff; by default ``Restart()``.
            parent: The group that this one is a member of, made before it.
            auto_shutdown: ``"never"``, ``"any_significant"`` or ``"all_significant"``.
            on_give_up: ``"leave"``, ``"stop"``, ``"end"``, or a function that is called with the ``GaveUp``.
            significant: Whether its end counts for ``auto_shutdown`` of its parent.

        Returns:
            What was said, as a value.

        Raises:
            SpecError: For a name that is taken, a parent that there is not, or a value that cannot be.
        """
        from aioverseer.core.options.group import Group  # noqa: PLC0415  # few hosts have groups

        group = Group(
            name=name,
            strategy=strategy,
            restart=Restart() if restart is None else restart,
            parent=parent,
            auto_shutdown=auto_shutdown,
            on_give_up=on_give_up,
            significant=significant,
        )
        self._registry.groups().add(group)
        return group

    def group_status(self, name: str) -> GroupStatus:
        """Return what there is to know of a group: its phase, why, its members, and what is left of its budget.

        Raises:
            UnknownService: When no group of this name was made.
        """
        return self._registry.groups().status(name)

    def __getitem__(self, id: str) -> Service:
        """Return the service of this name.

        Raises:
            UnknownService: When there is none.
        """
        return self._registry.get(id)

    def __contains__(self, id: object) -> bool:
        """Return whether there is a service of this name."""
        return id in self._registry.services

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the services, sorted."""
        return iter(self.list_all())

    def __bool__(self) -> bool:
        """Return True, also without services: ``given or default`` must not lose an empty one."""
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
        return self._registry.label(group)

    # One service, by its name.

    async def start(self, id: str) -> Service:
        """Start a service and return it once it is ready; see ``Service.start``."""
        return await self[id].start()

    async def stop(self, id: str, *, kill: bool = False) -> Status:
        """Stop a service by its ladder; see ``Service.stop``."""
        return await self[id].stop(kill=kill)

    async def restart(self, id: str) -> Service:
        """Stop a service and start it again; see ``Service.restart``."""
        return await self[id].restart()

    def signal(self, id: str, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to a service's program; see ``Service.signal``."""
        self[id].signal(number, scope=scope)

    def status(self, id: str) -> Status:
        """Return everything known about a service."""
        return self[id].status()

    def why(self) -> dict[str, Why]:
        """Return why each service is in its state, what it waits for, and what comes next, by name; see ``Why``."""
        return {id: self[id].why() for id in self.list_all()}

    def to_json(self, id: str) -> dict[str, Any]:
        """Return everything known about a service as JSON values; see ``Status.to_json``."""
        return self[id].status().to_json()

    async def supervise(self, id: str) -> Status:
        """Start a service, restart it by its policy, and return its Status at the final end.

        While it is live already, a second call waits for the same end. When the call that began it is cancelled,
        the service is stopped before the cancellation goes on.

        Raises:
            UnknownService: When there is none of this name.
            OverseerError: Outside of the ``async with`` block, or on another event loop.
            StopFailed: At once when its program is still there after the whole ladder, as its end may never come.
        """
        service = self[id]
        self._lifespan.check(starting=True)
        return await self._starting.supervise(service)

    # All services.

    async def start_all(self) -> None:
        """Start all services and return when all are ready.

        Each is started once what its ``after`` names has come true; those that do not wait for each other start side by
        side. When this is cancelled, those that it began to start are stopped before the cancellation goes on.

        Raises:
            NotReady: At once when one has ended without having become ready, or cannot be started as one that it needs
                has not; the others go on.
            StopFailed: At once when the earlier program of one is still there after its whole ladder.
            SpecError: When one waits for a service that there is not; nothing is started then.
            DependencyCycle: When services wait for each other in a circle; nothing is started then.
        """
        self._lifespan.check(starting=True)
        await self._starting.start_all()

    async def supervise_all(self) -> dict[str, Status]:
        """Start all services, those added meanwhile too, and return when all have ended for good.

        Each is started once what its ``after`` names has come true; one for which that cannot come true any more ends
        FATAL. When this is cancelled, those that it began to start are stopped before the cancellation goes on.

        With ``handle_signals``, one that came before anything was started is heard here: nothing is started then.

        Returns:
            The final Status of each, by name; that of a program which is still there after its whole ladder is
            STOPPING, and is not waited for. May be called again.

        Raises:
            SpecError: When one waits for a service that there is not; nothing is started then. One that is added later
                ends FATAL instead.
            DependencyCycle: The same for services that wait for each other in a circle.
            CriticalServiceEnded: At once when a critical service has ended for good by itself.
        """
        self._lifespan.check(starting=True)
        return await self._starting.supervise_all()

    async def stop_all(self, kill: bool = False) -> StopReport:  # noqa: FBT001, FBT002  # as in the Go library
        """Stop all services, each by its ladder, and return who needed what.

        First those that no other waits for, all at once, then those that were needed by them, and so on; see ``after``.
        With ``shutdown_timeout``, each such level may take its share of what is left of it.
        They can be started again. When this is cancelled, the stops go on by themselves.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
        """
        self._lifespan.check()
        return await self._stopping.stop_all(kill=kill)

    # News.

    def body(self) -> Body:
        """Return a context manager for a block that is to end with a critical service: ``with overseer.body():``.

        As for the block of ``async with overseer`` itself: the task that runs it is cancelled at once, and
        CriticalServiceEnded comes out of it. For where the overseer is entered by another task, as in a fixture.
        """
        return self._hosting.bodies.body()

    def events(self, *, since: int | None = None) -> EventStream:
        """Return the transitions of all services as an async iterator, in order, none missed.

        Other news come in between: see ``Event.kind``.

        It begins with the first one after this call, and ends when the overseer is left.

        Args:
            since: Begin behind the event of this number instead, as far as it is remembered (10,000 events): what is
                not any more is told by ``Event.missed`` of the first one. 0 is from the beginning.

        Raises:
            OverseerError: On another event loop than the one on which the overseer is used.
            SpecError: When there was no such number yet: numbers begin anew with each Overseer.
        """
        if self._lifespan.is_used:
            self._lifespan.check()
        return self._news.events(since=since)

    def record(self, path: str | PathLike, *, since: int | None = None) -> Recorder:
        """Append every event from now on to a file, as lines of JSON; see ``Event.to_json``.

        A thread writes them, whole lines only. What cannot be written is counted, never waited for, and missing from
        the numbers in the file. When the overseer is left, all others are in it.

        Args:
            path: The file; it is made when it is not there.
            since: Begin behind the event of this number instead; see ``events``.

        Raises:
            OverseerError: Outside of the ``async with`` block.
            SpecError: As ``events``.
        """
        self._lifespan.check(starting=True)
        return self._news.record(path, since=since)

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

        It ends when the overseer is left. Without ``services`` and ``groups`` it has the lines of all of them; with
        both, of those that are in either.

        Args:
            stream: One stream, or None for both.
            services: Names of services; they may be added later.
            groups: Labels of groups; what counts is the label that a service has when it writes.
            size: Lines that the queue holds.
            overflow: What becomes of lines beyond that; see ``Service.lines``.

        Raises:
            SpecError: For a value that cannot be.
        """
        self._lifespan.check()
        return self._news.lines(stream, services=services, groups=groups, size=size, overflow=overflow)

    def reopen_logs(self) -> None:
        """Close all log files; the next line opens what bears their names then. See ``Service.reopen_log``.

        Raises:
            OverseerError: Outside of the ``async with`` block, or on another event loop.
        """
        self._lifespan.check()
        self._news.log_files.reopen()

    async def flush_logs(self) -> None:
        """Wait until all lines so far are in their log files, or are counted as lost. Safe to cancel.

        Leaving the overseer does this by itself.

        Raises:
            OverseerError: Outside of the ``async with`` block, or on another event loop.
        """
        self._lifespan.check()
        await self._news.log_files.flush()
