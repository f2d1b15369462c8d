"""From entering an overseer to leaving it: the task that everything belongs to meanwhile, and what survives its end.

That task is one of its own, made on entering and kept, so that entering and leaving may happen in different tasks. How
all are stopped lives in ``_engine/overseer/shutdown.py``; no service is started here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from aioverseer._aio.shield import settle, settle_work
from aioverseer._aio.task_group import SupervisorTaskGroup
from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.critical import Bodies
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.service.service import Service
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.errors import OverseerError
from aioverseer.core.options.containment import Survivor
from aioverseer.core.report.status import CriticalServiceEnded, StopFailed, last_lines

if TYPE_CHECKING:
    from aioverseer._engine.overseer.shutdown import Shutdown
    from aioverseer._engine.overseer.signals import SignalHandling
    from aioverseer._system.host.fd_limit import DescriptorLimit

__all__ = ["Lifespan"]

_log = logging.getLogger("aioverseer")

_MARGIN = 30.0
"""Seconds on top of the longest ladder before leaving gives up on its own task: only a bug of ours takes so long."""


class Lifespan:
    """Enters and leaves one overseer; may be entered again afterwards."""

    def __init__(
        self,
        name: str,
        registry: Registry,
        stopping: Shutdown,
        news: EventPublisher,
        bodies: Bodies,
        *,
        launcher: Launcher,
        own_launcher: SystemLauncher | None,
        taken_over: Sequence[DescriptorLimit | SignalHandling],
    ) -> None:
        """Prepare; nothing is begun.

        Args:
            name: The overseer's.
            registry: Whose services are stopped in the end.
            stopping: What stops them.
            news: What ends when it is left.
            bodies: The blocks that end with a critical service.
            launcher: What is closed in the end.
            own_launcher: The same, where it is nobody else's too.
            taken_over: What belongs to the host, and is given back in the reverse order.
        """
        self._name = name
        self._registry = registry
        self._stopping = stopping
        self._news = news
        self._bodies = bodies
        self._launcher = launcher
        self._own_launcher = own_launcher
        self._taken_over = taken_over
        self._tasks = SupervisorTaskGroup(name, on_failure=self._on_failure)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[StopFailed | None] | None = None
        self._closing: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None

    # Whether it can be used.

    def check(self, *, starting: bool = False) -> None:
        """Raise unless this is the right event loop; see ``Host.check``."""
        if self._task is None or self._closing is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `async with`")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not self._loop:
            raise OverseerError(
                f"overseer {self._name!r} lives on another event loop: call it there, or use ThreadedOverseer"
            )
        if starting and self._closing.done():
            raise OverseerError(f"overseer {self._name!r} is being left: nothing can be started any more")

    def check_unused(self) -> None:
        """Raise OverseerError while it is in use."""
        if self._task is not None:
            raise OverseerError(f"overseer {self._name!r} is in use already: leave it first, or make another one")

    @property
    def is_used(self) -> bool:
        """Whether it has been entered, and not been left altogether."""
        return self._task is not None

    @property
    def is_at_work(self) -> bool:
        """Whether the task is there to which all others belong."""
        return self._task is not None and not self._task.done()

    @property
    def is_leaving(self) -> bool:
        """Whether it is being left, or is not in use."""
        return self._closing is None or self._closing.done()

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run something until the overseer is left; see ``Host.start_soon``."""
        if self._task is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `async with`")
        return self._tasks.start_soon(work)

    # Entering.

    async def enter(self) -> None:
        """Begin to supervise; see ``Overseer``. Safe to cancel: nothing is left then."""
        self.check_unused()
        # anyio loads its backend for the first scope, which may come when no descriptor is left to open it.
        anyio.CancelScope()
        self._take_over()
        self._loop = asyncio.get_running_loop()
        if self._own_launcher is not None:
            self._own_launcher.retain()
        self._closing = self._loop.create_future()
        self._bodies.reopen()
        self._news.reopen()
        opened: asyncio.Future[None] = self._loop.create_future()
        # A task of its own: the group's cancel scope must be left in the task that entered it, and pytest-asyncio,
        # for one, runs set-up, test and tear-down in three.
        self._task = asyncio.create_task(self._host(opened, self._closing), name=f"aioverseer {self._name}")
        self._task.add_done_callback(functools.partial(self._on_host_end, opened))
        try:
            await opened
        except BaseException:  # a cancellation, of this task or of the other one
            await self._leave()
            raise
        self._bodies.enter()

    def _take_over(self) -> None:
        try:
            for one in self._taken_over:
                one.install()
        except BaseException:
            self._give_back()
            raise

    def _give_back(self) -> None:
        for one in reversed(self._taken_over):
            one.restore()

    def _on_host_end(self, opened: asyncio.Future[None], _task: asyncio.Task[StopFailed | None]) -> None:
        if not opened.done():  # cancelled before its first step: nobody else can tell who waits
            opened.set_exception(OverseerError(f"overseer {self._name!r} was cancelled before it had begun"))

    # Leaving.

    def end_for(self, service: Service) -> None:
        """Stop everything and cancel the block: a service that all depend on has ended for good by itself."""
        if self._bodies.ended is not None or self._closing is None or self._closing.done():
            return
        kind = "critical service" if service.spec.critical else "service"
        ended = CriticalServiceEnded(
            f"{kind} {service.id!r} is {service.state}: {service.status(lines=False).reason}; "
            "everything else is stopped",
            id=service.id,
            status=service.status(lines=False),
            lines=last_lines([line.text for line in service.tail()]),
        )
        _log.error("%s: critical service %s is %s: stopping all", self._name, service.id, service.state)
        self._closing.set_result(None)
        self._bodies.end(ended)
        self._registry.tell()

    async def leave(self, error: BaseException | None) -> None:
        """Stop every service and end; see ``Overseer.__aexit__``.

        Args:
            error: What came out of the block.
        """
        self._bodies.leave()
        if asyncio.get_running_loop() is not self._loop:
            raise OverseerError(f"overseer {self._name!r} must be left on the event loop on which it was entered")
        try:
            survivors = await self._leave()
        finally:
            foreign = self._bodies.take_back()
        ended = self._bodies.ended
        if ended is not None and not foreign:
            if survivors is not None:
                ended.add_note(str(survivors))
            raise ended from (None if isinstance(error, asyncio.CancelledError) else error)
        if survivors is None:
            return
        if error is None:
            raise survivors
        error.add_note(str(survivors))

    async def _leave(self) -> StopFailed | None:
        """Have the host task stop everything, wait for it through any cancellation, and return what survived."""
        task, closing = self._task, self._closing
        if task is None or closing is None:
            return None
        if not closing.done():
            closing.set_result(None)
        services = self._registry.services
        longest = max(
            (service.spec.stop.total + service.spec.drain_timeout for service in services.values()),
            default=0.0,
        )
        # One behind the other at worst: each waits for the one before.
        levels = len(self._stopping.levels()) if any(service.spec.after for service in services.values()) else 1
        # In real time: it has to end although a clock stands still.
        cancelled = await settle(task, within=longest * levels + _MARGIN)
        if not task.done():
            # The runs still end with the group: each of them kills and reaps its program.
            _log.error("%s: stopping has taken too long, a bug of aioverseer: killing what is left", self._name)
            task.cancel()
            cancelled = await settle(task, within=_MARGIN) or cancelled
        self._give_back()
        self._task = None
        left, struck = await settle_work(self._launcher.close, within=_MARGIN)
        cancelled = struck or cancelled
        for service in services.values():
            service.release()  # while their last lines still have a log to go to
        if self._own_launcher is not None:
            self._own_launcher.release()
        cancelled = await self._news.close() or cancelled
        for service in services.values():
            service.forsake()
        over = task.done() and not task.cancelled()
        failure = task.exception() if over else None
        if isinstance(failure, Exception):
            raise OverseerError(f"overseer {self._name!r} has failed: this is a bug of it") from failure
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
            await self._stopping.stop(kill=False)
            survivors = self._survivors()
            if self._registry.grouping is not None:
                await self._registry.grouping.end()
            if survivors is not None:
                # What SIGKILL did not end is not waited for: its run is given up, and it is reported.
                self._tasks.cancel()
        except BaseException:  # a KeyboardInterrupt may come anywhere
            # Nothing may follow the ends that this is about to bring.
            self._stopping.kill()
            self._tasks.cancel()
            raise
        finally:
            try:
                await self._end_of_runs()
            finally:
                if self._registry.grouping is not None:
                    self._registry.grouping.forget_all()
        return survivors

    async def _end_of_runs(self) -> None:
        """Wait until no run is left; a cancellation in the meantime is theirs too, and goes on afterwards."""
        cancelled = await self._tasks.end()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if cancelled is not None:
            raise cancelled

    def _on_failure(self, error: BaseException) -> None:
        if self._task is not None:
            self._failure = error
            self._task.cancel()

    def _survivors(self) -> StopFailed | None:
        services = self._registry.services
        ids = sorted(service.id for service in services.values() if service.is_unstoppable)
        if not ids:
            return None
        service = services[ids[0]]
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
        return StopFailed(f"overseer {self._name!r}: {text}; see their states and users in ps", id=self._name)
