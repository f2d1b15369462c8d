"""Overseer: the set of services of one application, and the tasks of their runs.

Those belong to a task of its own, made on entering and kept, so that entering and leaving may happen in different
tasks. What one service does is decided and done in ``service.py``; in here live the registry, the order of stops, and
the news of all.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal as signals
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, cast, overload

import anyio

from aioverseer.body import Body
from aioverseer.core.clock import Clock, Rng
from aioverseer.core.containment import AskedContainment, Containment, Survivor, check_asked
from aioverseer.core.errors import (
    CriticalServiceEnded,
    DuplicateService,
    OverseerError,
    ServiceIsLive,
    SpecError,
    StopFailed,
    UnknownService,
)
from aioverseer.core.events import Kind, Note, StopReport
from aioverseer.core.inputs import Admitted
from aioverseer.core.logs import Log, as_logs
from aioverseer.core.machine import Report
from aioverseer.core.restart import Restart
from aioverseer.core.run import StartAsked, StopAsked
from aioverseer.core.spec import PathLike, Spec, SpecOptions
from aioverseer.core.state import State
from aioverseer.core.status import Facts, Status, last_lines
from aioverseer.journal import EventStream, Journal
from aioverseer.output import Logs, Overflow, Subscribers, Subscription, release_when_forgotten
from aioverseer.service import Service
from aioverseer.system.clock import steady
from aioverseer.system.descriptors import DescriptorLimit, fitting
from aioverseer.system.host_signals import HostSignals
from aioverseer.system.launch import SystemLauncher
from aioverseer.system.seam import Launcher
from aioverseer.system.waiting import Watchers, settle, settle_work

if TYPE_CHECKING:
    from aioverseer.core.group import AutoShutdown, Group, GroupStatus, OnGiveUp, Strategy
    from aioverseer.core.why import Awaited, Why
    from aioverseer.grouping import Grouping
    from aioverseer.host import Turns as Breaker
    from aioverseer.recorder import Recorder
    from aioverseer.system.members import MemberLauncher

__all__ = ["Overseer"]

_log = logging.getLogger("aioverseer")

_MARGIN = 30.0
"""Seconds on top of the longest ladder before leaving gives up on its own task: only a bug of ours takes so long."""


_ONE_WISH = 0.1
"""Seconds within which several signals are one wish: a terminal and a parent that passes it on both send Ctrl-C."""


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
        turns: The breaker for restart storms; None where there is none.
        received_signal: The last signal that the host received, with ``handle_signals``; else None.
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
        self.name = name
        self.clock: Clock = steady(clock)
        if rng is None:
            import random  # noqa: PLC0415  # takes a twentieth of the time that the import of this library takes

            # Not a source of secrets: jitter only has to differ between hosts.
            rng = random.Random()  # noqa: S311
        self.rng: Rng = rng
        check_asked(containment, f"overseer {name!r}")
        self._own_launcher = None if launcher is not None else SystemLauncher(containment=containment)
        self.launcher: Launcher = launcher or cast("SystemLauncher", self._own_launcher)
        self.subscribers = Subscribers()
        self._waiting: set[Subscription] = set()
        self.log_files = Logs(as_logs(log, owner=f"overseer {name!r}") or (), name=name, on_news=self._on_log_news)
        self.received_signal: signals.Signals | None = None
        self._services: dict[str, Service] = {}
        self._live: set[str] = set()
        from aioverseer.ordering import Ordering  # noqa: PLC0415  # who has no overseer yet imports it for nothing
        from aioverseer.stopping import Stopping  # noqa: PLC0415  # as above

        self._ordering = Ordering(self._services)
        self._stopping = Stopping(
            self._services,
            self._live,
            self._ordering,
            clock=self.clock,
            timeout=shutdown_timeout,
            tell=self.hear_news,
        )
        self.turns: Breaker | None = None
        if restart_rate is not None:
            from aioverseer.core.breaker import check_rate  # noqa: PLC0415  # few hosts have a breaker
            from aioverseer.turns import Turns  # noqa: PLC0415  # as above

            self.turns = Turns(check_rate(restart_rate), clock=self.clock, admit=self._admit)
        self._grouping: Grouping | None = None
        self._stops = 0
        self._signalled_at = 0.0
        self._unheard = False
        self._added = 0
        self._watchers: Watchers[int] = Watchers()
        self._journal = Journal()
        self._host_signals = HostSignals(self._on_signal) if handle_signals else None
        self._fd_limit = DescriptorLimit() if raise_fd_limit else None
        self._warned_of = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[StopFailed | None] | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._closing: asyncio.Future[None] | None = None
        self._critical: CriticalServiceEnded | None = None
        self._body: asyncio.Task[Any] | None = None
        self._bodies: set[Body] = set()
        self._recorders: list[Recorder] = []
        self._cancelled: asyncio.Task[Any] | None = None
        """The task whose block was cancelled, because a critical service has ended."""

    def __repr__(self) -> str:
        """Return name, number of services and how many are live."""
        return f"<Overseer {self.name!r} services={len(self._services)} live={len(self._live)}>"

    @property
    def containment(self) -> Containment:
        """Which level of containment is in force, and why. It can sink when the guardian cannot be started."""
        return self.launcher.containment

    # Entering and leaving.

    async def __aenter__(self) -> Self:
        """Begin to supervise. Safe to cancel: nothing is left then.

        Raises:
            OverseerError: When it is in use already, or signals are asked for outside of the main thread.
        """
        if self._task is not None:
            raise OverseerError(f"overseer {self.name!r} is in use already: leave it first, or make another one")
        # anyio loads its backend for the first scope, which may come when no descriptor is left to open it.
        anyio.CancelScope()
        self._loop = asyncio.get_running_loop()
        if self._own_launcher is not None:
            self._own_launcher.keep()
        self._closing = self._loop.create_future()
        self.received_signal = None
        self._unheard = False
        self._critical = self._cancelled = None
        self._journal.reopen()
        opened: asyncio.Future[None] = self._loop.create_future()
        if self._fd_limit is not None:
            self._fd_limit.install()
        if self._host_signals is not None:
            self._host_signals.install()
        # A task of its own: the group's cancel scope must be left in the task that entered it, and pytest-asyncio,
        # for one, runs set-up, test and tear-down in three.
        self._task = asyncio.create_task(self._host(opened, self._closing), name=f"aioverseer {self.name}")
        self._task.add_done_callback(functools.partial(self._on_host_end, opened))
        try:
            await opened
        except BaseException:  # a cancellation, of this task or of the other one
            await self._leave()
            raise
        self._body = asyncio.current_task()
        return self

    def _on_host_end(self, opened: asyncio.Future[None], _task: asyncio.Task[StopFailed | None]) -> None:
        if not opened.done():  # cancelled before its first step: nobody else can tell who waits
            opened.set_exception(OverseerError(f"overseer {self.name!r} was cancelled before it had begun"))

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
        self._body = None
        if asyncio.get_running_loop() is not self._loop:
            raise OverseerError(f"overseer {self.name!r} must be left on the event loop on which it was entered")
        try:
            survivors = await self._leave()
        finally:
            foreign = self._take_back_cancellation()
        if self._critical is not None and not foreign:
            if survivors is not None:
                self._critical.add_note(str(survivors))
            raise self._critical from (None if isinstance(error, asyncio.CancelledError) else error)
        if survivors is None:
            return
        if error is None:
            raise survivors
        error.add_note(str(survivors))

    def _take_back_cancellation(self) -> bool:
        """End the cancellation of the block by a critical service; return whether somebody else cancels it as well."""
        cancelled, self._cancelled = self._cancelled, None
        return cancelled is not None and cancelled is asyncio.current_task() and cancelled.uncancel() > 0

    def end_for(self, service: Service) -> None:
        """Stop everything and cancel the block: a service that all depend on has ended for good by itself."""
        leaving = self._closing is None or self._closing.done()
        if self._critical is not None or leaving:
            return
        kind = "critical service" if service.spec.critical else "service"
        self._critical = CriticalServiceEnded(
            f"{kind} {service.id!r} is {service.state}: {service.status(lines=False).reason}; "
            "everything else is stopped",
            id=service.id,
            status=service.status(lines=False),
            lines=last_lines([line.text for line in service.tail()]),
        )
        _log.error("%s: critical service %s is %s: stopping all", self.name, service.id, service.state)
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
        # A block within the block learns of it first, and the other one by its error.
        inner = any(body.task is self._body for body in self._bodies)
        if self._body is not None and not self._body.done() and not inner:
            # As a task group does it: counted, so that it can be told apart from a cancellation by somebody else.
            self._cancelled, self._body = self._body, None
            self._cancelled.cancel()
        for body in tuple(self._bodies):
            body.end()
        self._watchers.tell(self._added)

    def stop_soon(self) -> None:
        """Stop all services in their order, because of a service or a group that gave up."""
        leaving = self._closing is None or self._closing.done()
        if not leaving:
            self.start_soon(self._stop_in_order)

    async def _leave(self) -> StopFailed | None:
        """Have the host task stop everything, wait for it through any cancellation, and return what survived."""
        task, closing = self._task, self._closing
        if task is None or closing is None:
            return None
        if not closing.done():
            closing.set_result(None)
        longest = max(
            (service.spec.stop.total + service.spec.drain_timeout for service in self._services.values()),
            default=0.0,
        )
        # One behind the other at worst: each waits for the one before.
        levels = len(self._stopping.levels()) if any(service.spec.after for service in self._services.values()) else 1
        # In real time: it has to end although a clock stands still.
        cancelled = await settle(task, within=longest * levels + _MARGIN)
        if not task.done():
            # The runs still end with the group: each of them kills and reaps its program.
            _log.error("%s: stopping has taken too long, a bug of aioverseer: killing what is left", self.name)
            task.cancel()
            cancelled = await settle(task, within=_MARGIN) or cancelled
        if self._host_signals is not None:
            self._host_signals.restore()
        if self._fd_limit is not None:
            self._fd_limit.restore()
        self._task = None
        left, struck = await settle_work(self.launcher.close, within=_MARGIN)
        cancelled = struck or cancelled
        for service in self._services.values():
            service.release()  # while their last lines still have a log to go to
        if self._own_launcher is not None:
            self._own_launcher.let_go()
        cancelled = await self.log_files.close() or cancelled
        self._journal.end()
        while self._recorders:
            cancelled = await self._recorders.pop().finish() or cancelled
        for subscription in self.subscribers.all():
            subscription.shutdown()
        # They have ended for good: one that nobody reads must not slow the programs of another use of this overseer.
        self.subscribers.clear()
        for service in self._services.values():
            service.forsake()
        over = task.done() and not task.cancelled()
        failure = task.exception() if over else None
        if isinstance(failure, Exception):
            raise OverseerError(f"overseer {self.name!r} has failed: this is a bug of it") from failure
        if failure is not None:  # a KeyboardInterrupt that came while the host task was at work
            raise failure
        survivors = task.result() if over else None
        if left:
            survivors = self._left_behind(left, survivors)
        if cancelled is not None:
            if survivors is not None:
                cancelled.add_note(str(survivors))
            raise cancelled
        return survivors

    async def _host(self, opened: asyncio.Future[None], closing: asyncio.Future[None]) -> StopFailed | None:
        """Hold the runs from entering to leaving; end when everything has been stopped.

        It is cancelled only when the event loop is being closed. It then cancels the runs, and each of them kills and
        reaps its program.
        """
        survivors: StopFailed | None = None
        if not opened.done():
            opened.set_result(None)
        try:
            await closing
            await self._stop_everything(kill=False)
            survivors = self._survivors()
            if self._grouping is not None:
                await self._grouping.end()
            if survivors is not None:
                # What SIGKILL did not end is not waited for: its run is given up, and it is reported.
                self._cancel_runs()
        except BaseException:  # a KeyboardInterrupt may come anywhere
            # Nothing may follow the ends that this is about to bring.
            self._stops += 1
            if self._grouping is not None:
                self._grouping.stand_down(stopping=1)
            self._ask_to_stop([self._services[id] for id in sorted(self._live)], kill=True)
            self._cancel_runs()
            raise
        finally:
            try:
                await self._end_of_runs()
            finally:
                if self._grouping is not None:
                    self._grouping.forget_all()
        return survivors

    async def _end_of_runs(self) -> None:
        """Wait until no run is left; a cancellation in the meantime is theirs too, and goes on afterwards."""
        cancelled: asyncio.CancelledError | None = None
        while self._runs:
            try:
                await asyncio.wait(self._runs)
            except asyncio.CancelledError as error:
                cancelled = error
                self._cancel_runs()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if cancelled is not None:
            raise cancelled

    def _cancel_runs(self) -> None:
        for run in list(self._runs):
            run.cancel()

    def _survivors(self) -> StopFailed | None:
        ids = sorted(service.id for service in self._services.values() if service.is_stuck)
        if not ids:
            return None
        service = self._services[ids[0]]
        return StopFailed(
            f"still there after the whole ladder: {', '.join(ids)}; they may wait for a device or a file system, see "
            "their state in ps; a task may swallow its cancellation",
            id=service.id,
            status=service.status(),
        )

    def _left_behind(self, left: Iterable[Survivor], before: StopFailed | None) -> StopFailed:
        text = f"programs have left behind what could not be killed: {', '.join(map(str, left))}"
        if before is not None:
            before.add_note(text)
            return before
        return StopFailed(f"overseer {self.name!r}: {text}; see their states and users in ps", id=self.name)

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
        return self._register(spec)

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
        from aioverseer.system.members import MemberLauncher, check_member, name_of  # noqa: PLC0415  # few have any

        check_member(id, function, options)
        return self._register(Spec.of(id, (name_of(function),), **options), MemberLauncher(function=function))

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
        from aioverseer.system.members import MemberLauncher, check_member, name_of  # noqa: PLC0415  # few have any

        check_member(id, manager, options)
        launcher = MemberLauncher(manager=manager)
        return self._register(launcher.adapt(Spec.of(id, (name_of(manager),), **options)), launcher)

    def _register(self, spec: Spec, member: MemberLauncher | None = None) -> Service:
        if spec.id in self._services:
            raise DuplicateService(f"there is a service {spec.id!r} already: remove it first, or take another name")
        if self._grouping is not None:
            self._grouping.check(spec)
        self.log_files.register(spec)
        self._ordering.register(spec)
        service = self._services[spec.id] = Service(spec, self, member)
        if self._grouping is not None:
            self._grouping.register(spec)
        self._added += 1
        self._watchers.tell(self._added)
        return service

    def remove(self, id: str) -> None:
        """Forget a service that is not live.

        Raises:
            UnknownService: When there is none of this name.
            ServiceIsLive: When it runs, starts, stops or waits to restart.
        """
        service = self[id]
        if service.state.is_live:
            raise ServiceIsLive(f"service {id!r} is {service.state}: stop it before you remove it")
        del self._services[id]
        self._ordering.forget(id)
        if self._grouping is not None:
            self._grouping.forget(id)
        service.close()
        self.log_files.forget(id)
        self._watchers.tell(self._added)

    def update(self, id: str, **options: Unpack[SpecOptions]) -> Service:
        """Change options of a service, for its next run; a new Restart policy judges the next end.

        Raises:
            UnknownService: When there is none of this name.
            SpecError: For an option that does not exist or a value that cannot be; nothing has changed then.
        """
        service = self[id]
        if service.member is not None:
            from aioverseer.system.members import check_options  # noqa: PLC0415  # few have any

            check_options(id, options)
        spec = service.spec.updated(**options)
        if service.member is not None:
            spec = service.member.adapt(spec)
        if self._grouping is not None:
            self._grouping.check(spec)
        self.log_files.register(spec)
        self._ordering.register(spec)
        service.adopt(spec)
        if self._grouping is not None:
            self._grouping.register(spec)
        return service

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
        from aioverseer.core.group import Group  # noqa: PLC0415  # few hosts have groups

        group = Group(
            name=name,
            strategy=strategy,
            restart=Restart() if restart is None else restart,
            parent=parent,
            auto_shutdown=auto_shutdown,
            on_give_up=on_give_up,
            significant=significant,
        )
        self._groups().add(group)
        return group

    def group_status(self, name: str) -> GroupStatus:
        """Return what there is to know of a group: its phase, why, its members, and what is left of its budget.

        Raises:
            UnknownService: When no group of this name was made.
        """
        return self._groups().status(name)

    def _groups(self) -> Grouping:
        if self._grouping is None:
            from aioverseer.grouping import Grouping  # noqa: PLC0415  # as above

            self._grouping = Grouping(self._services, self._ordering, self)
        return self._grouping

    def __getitem__(self, id: str) -> Service:
        """Return the service of this name.

        Raises:
            UnknownService: When there is none.
        """
        try:
            return self._services[id]
        except KeyError:
            known = ", ".join(sorted(self._services)) or "none"
            raise UnknownService(f"there is no service {id!r}; registered: {known}") from None

    def __contains__(self, id: object) -> bool:
        """Return whether there is a service of this name."""
        return id in self._services

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the services, sorted."""
        return iter(self.list_all())

    def __bool__(self) -> bool:
        """Return True, also without services: ``given or default`` must not lose an empty one."""
        return True

    def __len__(self) -> int:
        """Return the number of services."""
        return len(self._services)

    def has_proc(self, id: str) -> bool:
        """Return whether there is a service of this name."""
        return id in self

    def list_all(self) -> list[str]:
        """Return the names of all services, sorted."""
        return sorted(self._services)

    def list_group(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for those without one."""
        return sorted(service.id for service in self._services.values() if service.spec.group == group)

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
        return {id: self._services[id].why() for id in self.list_all()}

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
        self.check(starting=True)
        began = not service.state.is_live
        if began:
            service.post(StartAsked())
        try:
            return await service.wait()
        except asyncio.CancelledError:
            if began:
                await service.undo("its supervision was cancelled")
            raise

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
        self.check(starting=True)
        events = self.events()
        services = list(self._services.values())
        began = self._start(services)
        for service in services:
            if service.state is State.STOPPING:  # still wanted, as in its own start
                self._ordering.start_after_stop(service)
        waiting = {service.id: service for service in services if service.state is not State.RUNNING}
        try:
            for service in services:
                if service.is_stuck:
                    await service.ready()
            while waiting:
                event = await anext(events)
                if event.id not in waiting or event.kind not in ("state", "stop"):
                    continue
                if event.state is State.RUNNING:
                    del waiting[event.id]
                elif event.state.is_final or waiting[event.id].is_stuck:
                    # It ended, or never will, so this raises what its own start would have raised.
                    await waiting[event.id].ready()
        except asyncio.CancelledError:
            await self._undo(began)
            raise
        except StopAsyncIteration:
            if self._critical is not None:
                raise self._critical from None
            raise OverseerError(f"overseer {self.name!r} was left while its services were starting") from None

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
        self.check(starting=True)
        # A signal that found nothing to stop was a wish all the same.
        stops = self._stops - 1 if self._unheard else self._stops
        self._unheard = False
        known: set[Service] = set()
        began: list[Service] = []

        def fresh() -> list[Service]:
            if stops != self._stops:  # all were asked to stop meanwhile: what is added since is not started
                return []
            return [service for service in self._services.values() if service not in known]

        try:
            while True:
                seen, new = self._added, fresh()
                known.update(new)
                try:
                    began += self._start(new)
                except SpecError as error:
                    if new == list(self._services.values()):
                        raise
                    # Those that run already must not suffer from one that was added in error.
                    self._ordering.bar(new, error)
                if self._is_over():
                    break
                await self._idle_or_added(seen)
        except asyncio.CancelledError:
            await self._undo(began)
            raise
        return {id: service.status() for id, service in sorted(self._services.items())}

    async def _idle_or_added(self, seen: int) -> None:
        """Wait until nothing is live, or a service was added behind the first ``seen``, or a critical one has ended."""
        await self._watchers.watch(
            self._added, lambda added: self._is_over() or added != seen or self._critical is not None
        )
        if self._critical is not None:
            raise self._critical

    def _is_over(self) -> bool:
        """Whether nothing is live but what nothing can end."""
        return all(self._services[id].is_stuck for id in self._live)

    async def stop_all(self, kill: bool = False) -> StopReport:  # noqa: FBT001, FBT002  # as in the Go library
        """Stop all services, each by its ladder, and return who needed what.

        First those that no other waits for, all at once, then those that were needed by them, and so on; see ``after``.
        With ``shutdown_timeout``, each such level may take its share of what is left of it.
        They can be started again. When this is cancelled, the stops go on by themselves.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
        """
        self.check()
        if kill or len(self._stopping.levels()) <= 1:
            return await self._stop_everything(kill=kill)  # all of them are asked before it waits
        stopped: asyncio.Future[StopReport] = asyncio.get_running_loop().create_future()

        async def stop() -> None:
            report = await self._stop_everything(kill=False)
            if not stopped.done():
                stopped.set_result(report)

        def give_up(_task: asyncio.Task[None]) -> None:
            if not stopped.done():  # cancelled, perhaps before its first step, as all tasks of a loop are
                stopped.set_exception(OverseerError(f"overseer {self.name!r} was cancelled while it stopped all"))

        # In a task of its own, as the later levels are to be stopped although nobody waits for it any more.
        self.start_soon(stop).add_done_callback(give_up)
        return await stopped

    async def _stop_everything(self, *, kill: bool) -> StopReport:
        if self._grouping is None:
            return await self._stop_all_levels(kill=kill)
        self._grouping.stand_down(stopping=1)
        try:
            return await self._stop_all_levels(kill=kill)
        finally:
            self._grouping.stand_down(stopping=-1)

    async def _stop_all_levels(self, *, kill: bool) -> StopReport:
        self._stops += 1
        return await self._stopping.stop(kill=kill)

    async def _stop_in_order(self) -> None:
        await self._stop_everything(kill=False)

    def _ask_to_stop(self, services: Iterable[Service], *, kill: bool) -> None:
        asked = {service.id: service for service in services}
        for id in self._ordering.backwards(asked):
            asked[id].post(StopAsked(kill=kill))

    def _start(self, services: Iterable[Service]) -> list[Service]:
        """Ask those that are not live to start, and return them."""
        idle = [service for service in services if not service.state.is_live]
        self._check_room(len(self._live) + len(idle))
        self._ordering.start(idle)
        return idle

    def _check_room(self, wanted: int) -> None:
        """Say before it happens that the descriptors will not do: once, and again only for more services."""
        limit, fit = fitting()
        if wanted > fit and wanted > self._warned_of:
            self._warned_of = wanted
            _log.warning(
                "%s: %d services are to run, and about %d fit into the limit of %d open descriptors: raise it "
                "(ulimit -n), or pass raise_fd_limit=True",
                self.name,
                wanted,
                fit,
                limit,
            )

    async def _undo(self, began: list[Service]) -> None:
        self._ask_to_stop([service for service in began if service.state.is_live], kill=False)
        for service in began:
            await service.undo("the call that started it was cancelled")

    # News.

    def body(self) -> Body:
        """Return a context manager for a block that is to end with a critical service: ``with overseer.body():``.

        As for the block of ``async with overseer`` itself: the task that runs it is cancelled at once, and
        CriticalServiceEnded comes out of it. For where the overseer is entered by another task, as in a fixture.
        """
        return Body(self._bodies, lambda: self._critical)

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
        if self._task is not None:
            self.check()
        last = self._journal.seq
        if since is not None and (not isinstance(since, int) or isinstance(since, bool) or not 0 <= since <= last):
            raise SpecError(
                f"since={since!r} is the number of no event: pass 0 for all, or that of one that has been (the last is "
                f"{last})",
                option="since",
                value=since,
            )
        return EventStream(self._journal, after=last if since is None else since)

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
        self.check(starting=True)
        from aioverseer.recorder import Recorder  # noqa: PLC0415  # most hosts record nothing

        recorder = Recorder(path, self.events(since=since))
        self._recorders.append(recorder)
        return recorder

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
        self.check()
        ids, labels = _as_names("services", services), _as_names("groups", groups)

        def wants(id: str) -> bool:
            return id in ids or (id in self._services and self._services[id].spec.group in labels)

        everything = services is None and groups is None
        subscription = Subscription(stream=stream, size=size, overflow=overflow, wants=None if everything else wants)
        subscription.on_room = self._room
        subscription.hold_while_waiting(self._waiting)
        self.subscribers.add(subscription)
        release_when_forgotten(subscription, self._room)
        return subscription

    def reopen_logs(self) -> None:
        """Close all log files; the next line opens what bears their names then. See ``Service.reopen_log``.

        Raises:
            OverseerError: Outside of the ``async with`` block, or on another event loop.
        """
        self.check()
        self.log_files.reopen()

    async def flush_logs(self) -> None:
        """Wait until all lines so far are in their log files, or are counted as lost. Safe to cancel.

        Leaving the overseer does this by itself.

        Raises:
            OverseerError: Outside of the ``async with`` block, or on another event loop.
        """
        self.check()
        await self.log_files.flush()

    def _room(self) -> None:
        for service in self._services.values():
            service.room()

    # What follows is for the services of this overseer; see ``host.py``.

    def check(self, *, starting: bool = False) -> None:
        """Raise OverseerError unless this is the right event loop, and starts are possible when ``starting``."""
        if self._task is None or self._closing is None:
            raise OverseerError(f"overseer {self.name!r} is not in use: use it inside `async with`")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not self._loop:
            raise OverseerError(
                f"overseer {self.name!r} lives on another event loop: call it there, or use ThreadedOverseer"
            )
        if starting and self._closing.done():
            raise OverseerError(f"overseer {self.name!r} is being left: nothing can be started any more")

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left; what it raises ends nothing else."""
        if self._task is None:
            raise OverseerError(f"overseer {self.name!r} is not in use: use it inside `async with`")
        # No task group: one of anyio is cancelled as a whole when one of its tasks is, and complains of a coroutine
        # that was never awaited when that was before its first step.
        task = asyncio.create_task(self._guarded(work), name=f"aioverseer {self.name} run")
        self._runs.add(task)
        task.add_done_callback(self._on_run_end)
        return task

    def _on_run_end(self, task: asyncio.Task[None]) -> None:
        self._runs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._task is not None:
            # A KeyboardInterrupt or the like, which stops the event loop too: everything ends.
            self._failure = error
            self._task.cancel()

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001  # a bug of ours: it must not cancel the other services
            _log.exception("%s: a bug of aioverseer", self.name)

    def hear(self, facts: Facts, report: Report) -> None:
        """Take note of a transition of the service that the facts are of."""
        id = facts.spec.id
        if report.state.is_live:
            self._live.add(id)
        else:
            self._live.discard(id)
        if _log.isEnabledFor(logging.INFO):
            _log.info("%s: %s -> %s: %s", id, report.previous, report.state, report.reason)
        self._note(facts, report.previous, report.state, report.reason)
        if report.state.is_final:
            self._watchers.tell(self._added)
            if self._task is not None and not self._task.done():
                self.start_soon(functools.partial(self._sweep, id))
        self._stopping.hear(id, report.state)
        self._ordering.hear(id, report)
        if self._grouping is not None:
            self._grouping.hear(id, report)
        if report.state.is_final and self._critical is None:
            service = self._services.get(id)
            leaving = self._closing is None or self._closing.done()
            if service is not None and not service.was_stopped and not leaving:
                spec = service.spec
                if spec.critical or (service.gave_up is not None and spec.on_give_up != "leave"):
                    self._groups().follow(service)

    async def _sweep(self, id: str) -> None:
        """End what a service has left behind outside of its group, once it has ended for good."""
        for survivor in await self.launcher.sweep():
            _log.warning("%s: %s was left behind and could not be killed", id, survivor)
            self.hear_news(id, f"has left {survivor} behind, which could not be killed", "leftovers")

    def hear_stuck(self, id: str) -> None:
        """Take note that a service's program is still there after its whole ladder."""
        self.hear_news(id, self._services[id].status(lines=False).reason, "stop")
        self._watchers.tell(self._added)
        self._ordering.hear(id, None)  # those who wait for it to be anything else wait no more
        if self._grouping is not None:
            self._grouping.hear("", None)

    def awaited(self, id: str) -> list[Awaited]:
        """Return what others have a service wait for: its order, its group, the breaker, a stop of all."""
        found = self._ordering.awaited(id) if self._services[id].is_held else []
        if self._grouping is not None:
            found += self._grouping.awaited(id)
        if self.turns is not None:
            found += self.turns.awaited(id)
        return found + self._stopping.awaited(id)

    def _admit(self, id: str) -> None:
        self._services[id].post(Admitted())

    def hear_spawn(self, id: str) -> None:
        """Take note that a program has been started which is not ready yet."""
        self._ordering.hear(id, None)
        if self._grouping is not None:
            self._grouping.hear(id, None)

    def hear_news(self, id: str, reason: str, kind: Kind) -> None:
        """Take note of news of a service that are no transition."""
        service = self._services.get(id)
        if service is not None:
            _log.info("%s: %s", id, reason)
            self._note(service.facts(lines=False), service.state, service.state, reason, kind=kind)

    def _on_log_news(self, id: str, reason: str) -> None:
        _log.warning("%s: %s", id or self.name, reason)
        service = self._services.get(id)
        if service is not None:
            self._note(service.facts(lines=False), service.state, service.state, reason, kind="log")

    def _note(
        self,
        facts: Facts,
        previous: State,
        state: State,
        reason: str,
        *,
        kind: Kind = "state",
    ) -> None:
        journal = self._journal
        journal.append(Note(journal.seq + 1, self.clock.wall(), previous, state, reason, facts, kind))

    def _on_signal(self, number: signals.Signals) -> None:
        # A second one kills what the first one has not ended yet; once all that is over it is a first one again.
        live = [self._services[id] for id in sorted(self._live)]
        now = self.clock.now()
        again = (
            self.received_signal is not None
            and now - self._signalled_at >= _ONE_WISH
            and any(service.state is State.STOPPING for service in live)
        )
        if not again:
            self._signalled_at = now
        self.received_signal = number
        self._stops += 1
        self._unheard = not live and not self._watchers
        _log.info("%s: received %s: %s all services", self.name, number.name, "killing" if again else "stopping")
        if self._grouping is not None:
            self._grouping.stand_down()
        if again or len(self._stopping.levels()) <= 1:
            self._ask_to_stop(live, kill=again)
        else:
            self.start_soon(self._stop_in_order)
        self._watchers.tell(self._added)


def _as_names(option: str, names: str | Iterable[str] | None) -> frozenset[str]:
    if names is None:
        return frozenset()
    found: frozenset[object] = frozenset((names,) if isinstance(names, str) else names)
    for name in found:
        if not isinstance(name, str):
            raise SpecError(f"{option}={name!r} is no name: pass a str, or several", option=option, value=name)
    return cast("frozenset[str]", found)
