"""ThreadedOverseer: an Overseer on an event loop in a thread of its own."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack, overload

from aioverseer import (
    Body,
    Containment,
    Group,
    GroupStatus,
    Instances,
    Overseer,
    OverseerError,
    RollReport,
    Service,
    Spec,
    SpecOptions,
    Status,
    Stop,
    StopReport,
    Subscription,
    UnknownService,
    Usage,
    Why,
)
from aioverseer.core.export import exported_from
from aioverseer.threaded.instances import ThreadedInstances
from aioverseer.threaded.loop import Loop, as_async
from aioverseer.threaded.plan import ThreadedPlan
from aioverseer.threaded.service import ThreadedService
from aioverseer.threaded.streams import ThreadedEvents, ThreadedLines

if TYPE_CHECKING:
    from aioverseer import EventHook, State

__all__ = ["ThreadedOverseer"]

_log = logging.getLogger("aioverseer")


class _AsyncBlockRefused(OverseerError, TypeError):
    """A block began with ``async with``."""


@exported_from("aioverseer")
class ThreadedOverseer:
    """An ``Overseer`` on an event loop in a thread of its own: a plain ``with`` block, the same methods without await.

    Without a block, ``open`` and ``close`` do the same. The end of the interpreter closes what is open.

    It is for plain tests and fixtures of wide scope, notebooks and programs without an event loop. Services are
    supervised while the calling thread does something else. Methods may be called from any thread.
    """

    def __init__(self, *, name: str = "overseer", **options: Any) -> None:
        """Make an overseer without services. The thread is started by ``with`` or ``open``.

        Args:
            name: The name in messages and logs.
            **options: Options of ``Overseer``, except ``handle_signals``, as only the main thread can handle signals.

        Raises:
            OverseerError: If ``handle_signals`` is set.
            SpecError: If an option is not valid.
        """
        if options.get("handle_signals"):
            raise OverseerError(
                "handle_signals=True: a ThreadedOverseer cannot handle signals, as only the main thread can; leave the "
                "option out, and leave the block when a signal comes (Ctrl-C raises KeyboardInterrupt in it)"
            )
        self._overseer = Overseer(name=name, **options)
        self._loop = Loop(name)
        self._services: dict[str, tuple[Service, ThreadedService]] = {}
        self._sets: dict[str, tuple[Instances, ThreadedInstances]] = {}

    def __repr__(self) -> str:
        """Return the name, the number of services and the number of live ones."""
        return f"<Threaded{repr(self._overseer)[1:]}"

    @property
    def name(self) -> str:
        """The name in messages and logs."""
        return self._overseer.name

    @property
    def containment(self) -> Containment:
        """The level of containment in force, and the reason."""
        return self._overseer.containment

    def open(self) -> Self:
        """Start the thread and begin to supervise, for code that has no block, such as a notebook.

        ``close`` ends it. At the latest the end of the interpreter does: a hook of ``atexit`` stops all services.

        Raises:
            OverseerError: If the overseer is in use already.
        """
        if self._loop.is_running:
            raise OverseerError(
                f"overseer {self.name!r} is in use already: leave it or close() it first, or make another one"
            )
        # Before the first service may run. A process that is killed has its guardian.
        atexit.register(self._close_at_exit)
        try:
            self._loop.open(self._overseer.__aenter__, partial(self._overseer.__aexit__, None, None, None))
        except BaseException:
            atexit.unregister(self._close_at_exit)
            raise
        return self

    def close(self) -> None:
        """Stop all services and end the thread. Idempotent. A fork of the host stops nothing.

        Ctrl-C during the wait kills all services. KeyboardInterrupt is raised once they have ended. A further Ctrl-C
        raises it at once; the overseer is still open then, and another ``close`` waits again.

        Raises:
            KeyboardInterrupt: If Ctrl-C comes during the wait.
            StopFailed: If a program is still there after its whole ladder.
            CriticalServiceEnded: If a critical service has ended for good by itself.
        """
        self._close(None, None, None)

    def __enter__(self) -> Self:
        """Start the thread and begin to supervise; see ``open``.

        Raises:
            OverseerError: If the overseer is in use already.
        """
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all services and end the thread, also after an exception in the block; see ``close``."""
        self._close(kind, error, trace)

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave = partial(self._overseer.__aexit__, kind, error, trace)
        try:
            self._loop.close(leave)
        except KeyboardInterrupt as interrupt:
            try:
                with suppress(OverseerError):  # the overseer has just been left, or the end of the block says it again
                    self.stop_all(kill=True)
                self._loop.close(leave)
            except OverseerError as failure:
                raise interrupt from failure
            raise
        finally:
            if not self._loop.is_running:
                atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except KeyboardInterrupt:
            pass  # all programs have been killed; Python would show a traceback of this library
        except OverseerError as error:
            # An error of a hook is shown with a traceback of this library, which tells nothing.
            _log.error("%s: %s", self.name, error)

    if not TYPE_CHECKING:  # type checkers refuse such a block by themselves

        async def __aenter__(self) -> NoReturn:
            raise _AsyncBlockRefused("a ThreadedOverseer needs `with`: in async code write `async with Overseer()`")

        async def __aexit__(self, *_: object) -> None:
            """Do nothing: Python looks it up before it calls ``__aenter__``."""

    @overload
    def add(self, id: Spec, /) -> ThreadedService: ...
    @overload
    def add(self, id: str, /, *argv: str | os.PathLike[str], **options: Unpack[SpecOptions]) -> ThreadedService: ...
    def add(self, id: str | Spec, /, *argv: str | os.PathLike[str], **options: Unpack[SpecOptions]) -> ThreadedService:
        """Register a service without starting it; see ``Overseer.add`` for the arguments."""
        add: Callable[..., Service] = self._overseer.add
        return self._wrapped(self._loop.call(lambda: add(id, *argv, **options)))

    @overload
    def add_instances(self, id: Spec, /) -> ThreadedInstances: ...
    @overload
    def add_instances(
        self, id: str, /, *argv: str | os.PathLike[str], **options: Unpack[SpecOptions]
    ) -> ThreadedInstances: ...
    def add_instances(
        self, id: str | Spec, /, *argv: str | os.PathLike[str], **options: Unpack[SpecOptions]
    ) -> ThreadedInstances:
        """Register several services of one program without starting them; see ``Overseer.add_instances``."""
        add: Callable[..., Instances] = self._overseer.add_instances
        # The list hides the set from the portal of the loop, which awaits any awaitable result.
        return self._wrapped_set(self._loop.call(lambda: [add(id, *argv, **options)])[0])

    def instances(self, name: str) -> ThreadedInstances:
        """Return the set of instances of this name.

        Raises:
            UnknownService: If there is none.
        """
        return self._wrapped_set(self._overseer.instances(name))

    def add_task(
        self, id: str, function: Callable[[], Coroutine[Any, Any, object]], /, **options: Unpack[SpecOptions]
    ) -> ThreadedService:
        """Register an async function as a service, run on the loop of the thread; see ``Overseer.add_task``."""
        return self._wrapped(self._loop.call(lambda: self._overseer.add_task(id, function, **options)))

    def add_external(self, id: str, /, **options: Unpack[SpecOptions]) -> ThreadedService:
        """Register a service that is not ours and is only waited for; see ``Overseer.add_external``."""
        return self._wrapped(self._loop.call(lambda: self._overseer.add_external(id, **options)))

    def add_resource(
        self, id: str, manager: Callable[[], AbstractAsyncContextManager[Any]], /, **options: Unpack[SpecOptions]
    ) -> ThreadedService:
        """Register an async context manager as a service, entered on the loop; see ``Overseer.add_resource``."""
        return self._wrapped(self._loop.call(lambda: self._overseer.add_resource(id, manager, **options)))

    def group(
        self,
        name: str,
        strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one",
        **options: Any,
    ) -> Group:
        """Restart and end the services with this label together; see ``Overseer.group`` for the arguments.

        A function given as an option is called in the thread of the overseer.
        """
        return self._loop.call(lambda: self._overseer.group(name, strategy, **options))

    @overload
    def add_hook(self, hook: EventHook, /) -> EventHook: ...
    @overload
    def add_hook(
        self,
        /,
        *,
        on: str | State | Iterable[str | State],
        run: Iterable[str | os.PathLike[str]],
        services: str | Iterable[str] | None = None,
        timeout: float = 30.0,
        max_running: int = 1,
        cwd: str | os.PathLike[str] | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> EventHook: ...
    def add_hook(self, hook: EventHook | None = None, /, **options: Any) -> EventHook:
        """Start a command for each event of some kinds; see ``Overseer.add_hook`` for the arguments."""
        add: Callable[..., EventHook] = self._overseer.add_hook
        given = () if hook is None else (hook,)
        return self._loop.call(lambda: add(*given, **options))

    def remove_hook(self, hook: EventHook) -> None:
        """Remove a hook; see ``Overseer.remove_hook``."""
        self._loop.call(partial(self._overseer.remove_hook, hook))

    @property
    def hooks(self) -> tuple[EventHook, ...]:
        """The hooks, in the order in which they were added."""
        return self._overseer.hooks

    def group_status(self, name: str) -> GroupStatus:
        """Return the status of a group; see ``Overseer.group_status``."""
        return self._loop.call(partial(self._overseer.group_status, name))

    def remove(self, id: str, *, by: str = "") -> None:
        """Remove a service or a set of instances that is not live; see ``Overseer.remove``."""
        self._loop.call(partial(self._overseer.remove, id, by=by))
        self._services.pop(id, None)
        self._sets.pop(id, None)

    def update(
        self,
        id: str,
        *command: str | os.PathLike[str],
        argv: Iterable[str | os.PathLike[str]] | None = None,
        by: str = "",
        **options: Unpack[SpecOptions],
    ) -> ThreadedService | ThreadedInstances:
        """Change the command or options of a service or set; see ``Overseer.update``."""
        changed = self._loop.call(lambda: [self._overseer.update(id, *command, argv=argv, by=by, **options)])[0]
        return self._wrapped_set(changed) if isinstance(changed, Instances) else self._wrapped(changed)

    def plan(self, specs: Iterable[Spec]) -> ThreadedPlan:
        """Return what has to be done so that the services are those of some Specs; see ``Overseer.plan``."""
        wanted = list(specs)
        return ThreadedPlan(self._loop, self._loop.call(lambda: self._overseer.plan(wanted)))

    def __getitem__(self, id: str) -> ThreadedService:
        """Return the service of this name.

        Raises:
            UnknownService: If there is none.
        """
        return self._wrapped(self._overseer[id])

    def __contains__(self, id: object) -> bool:
        """Return whether there is a service of this name."""
        return id in self._overseer

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the services, sorted."""
        return iter(self.list_all())

    def __bool__(self) -> bool:
        """Return True even without services, so that ``given or default`` keeps an empty overseer."""
        return True

    def __len__(self) -> int:
        """Return the number of services."""
        return len(self._overseer)

    def has_proc(self, id: str) -> bool:
        """Return whether there is a service of this name."""
        return id in self

    def list_all(self) -> list[str]:
        """Return the names of all services, sorted."""
        return self._loop.call(self._overseer.list_all)

    def list_group(self, group: str) -> list[str]:
        """Return the names of the services with this label, sorted; ``""`` for services without a label."""
        return self._loop.call(partial(self._overseer.list_group, group))

    def start(self, id: str, *, by: str = "") -> ThreadedService | ThreadedInstances:
        """Start a service and return it once it is ready; see ``ThreadedService.start``."""
        return self._one_or_all(id).start(by=by)

    def stop(self, id: str, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> Status:
        """Stop a service by its ladder; see ``ThreadedService.stop``."""
        return self._one_or_all(id).stop(kill=kill, ladder=ladder, by=by)

    def restart(self, id: str, *, by: str = "") -> ThreadedService | ThreadedInstances:
        """Stop a service and start it again; see ``ThreadedService.restart``."""
        return self._one_or_all(id).restart(by=by)

    def trigger(self, id: str, *, by: str = "") -> ThreadedService | ThreadedInstances:
        """Run the program of a service with a schedule now; see ``ThreadedService.trigger``."""
        return self._one_or_all(id).trigger(by=by)

    def reload(self, id: str, timeout: float | None = 30.0) -> None:
        """Let a program, or those of a set, read their configuration; see ``Service.reload``, ``Instances.reload``."""
        self._one_or_all(id).reload(timeout)

    def scale(self, id: str, n: int, *, by: str = "") -> ThreadedInstances:
        """Change the number of instances of a set; see ``Instances.scale``."""
        return self.instances(id).scale(n, by=by)

    def roll(self, id: str, *, by: str = "") -> RollReport:
        """Give each instance of a set a new run without a gap; see ``Instances.roll``."""
        return self.instances(id).roll(by=by)

    def signal(self, id: str, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the program of a service; see ``ThreadedService.signal``."""
        self._one_or_all(id).signal(number, scope=scope)

    def status(self, id: str) -> Status:
        """Return everything known about a service, or an ``InstancesStatus`` of a set."""
        return self._one_or_all(id).status()

    def why(self) -> dict[str, Why]:
        """Return why each service is in its state, and what comes next, by name."""
        return self._loop.call(self._overseer.why)

    def usage(self) -> dict[str, Usage]:
        """Return what each service uses, by name; see ``Overseer.usage``."""
        return self._loop.run(self._overseer.usage)

    def to_json(self, id: str) -> dict[str, Any]:
        """Return everything known about a service as JSON values."""
        return self._one_or_all(id).status().to_json()

    def supervise(self, id: str, *, by: str = "") -> Status:
        """Start a service, restart it by its policy, and return its Status after its final end."""
        return self._loop.run(partial(self._overseer.supervise, id, by=by))

    def start_all(self, *, by: str = "") -> None:
        """Start all services and return once all are ready; see ``Overseer.start_all``."""
        self._loop.run(partial(self._overseer.start_all, by=by))

    def supervise_all(self, *, by: str = "") -> dict[str, Status]:
        """Start all services and return once all have ended for good; see ``Overseer.supervise_all``."""
        return self._loop.run(partial(self._overseer.supervise_all, by=by))

    def stop_all(
        self,
        kill: bool = False,  # noqa: FBT001, FBT002  # as in the Go library
        *,
        by: str = "",
    ) -> StopReport:
        """Stop all services by their ladders, and return a report; see ``Overseer.stop_all``."""
        return self._loop.run(partial(self._overseer.stop_all, kill, by=by))

    def body(self) -> Body:
        """Return a context manager for a block that ends with a critical service; see ``Overseer.body``.

        In a task of the caller's own event loop, the task is cancelled at once. Plain code cannot be interrupted: the
        error is raised at the end of the block.
        """
        return self._overseer.body()

    def events(self, *, since: int | None = None) -> ThreadedEvents:
        """Return an iterator over the events of all services, in order; see ``Overseer.events``."""
        return ThreadedEvents(self._loop, self._loop.call(lambda: self._overseer.events(since=since)))

    def record(self, path: str | os.PathLike[str], *, since: int | None = None) -> None:
        """Append each event from now on to a file, as lines of JSON; see ``Overseer.record``."""

        async def record() -> None:
            self._overseer.record(path, since=since)

        self._loop.run(record)

    def logs(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        services: str | Iterable[str] | None = None,
        groups: str | Iterable[str] | None = None,
        size: int = 1000,
        overflow: Literal["drop_oldest", "drop_newest", "block", "error"] = "drop_oldest",
    ) -> ThreadedLines:
        """Return an iterator over the output lines of services from now on; see ``Overseer.logs`` for the arguments."""

        async def subscribe() -> Subscription:
            return self._overseer.logs(stream, services=services, groups=groups, size=size, overflow=overflow)

        return ThreadedLines(self._loop, self._loop.run(subscribe))

    def reopen_logs(self) -> None:
        """Close all log files; the next line of a service opens its file anew. For tools that rename log files."""
        self._loop.run(as_async(self._overseer.reopen_logs))

    def flush_logs(self) -> None:
        """Wait until all lines so far are in their log files, or counted as lost."""
        self._loop.run(self._overseer.flush_logs)

    def _one_or_all(self, id: str) -> ThreadedService | ThreadedInstances:
        """Return the service, or the set of instances, of this name."""
        with suppress(UnknownService):  # not by ``_sets``: a plan adds and removes sets, too
            return self.instances(id)
        return self[id]

    def _wrapped_set(self, instances: Instances) -> ThreadedInstances:
        """Return the handle of a set: always the same one, as long as the set is registered."""
        known, handle = self._sets.get(instances.name, (None, None))
        if handle is None or known is not instances:
            handle = ThreadedInstances(self._loop, instances, service_of=self._wrapped)
            self._sets[instances.name] = (instances, handle)
        return handle

    def _wrapped(self, service: Service) -> ThreadedService:
        """Return the handle of a service: always the same one, as long as the service is registered."""
        known, handle = self._services.get(service.id, (None, None))
        if handle is None or known is not service:
            handle = ThreadedService(self._loop, service)
            self._services[service.id] = (service, handle)
        return handle
