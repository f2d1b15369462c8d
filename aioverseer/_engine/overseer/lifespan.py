"""Lifespan: enters and leaves an overseer.

A task of the overseer itself runs in between, so that entering and leaving may happen in different tasks.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from aioverseer._aio.fork import generation
from aioverseer._aio.running_loop import running_loop
from aioverseer._aio.shield import settle, settle_work
from aioverseer._aio.task_group import SupervisorTaskGroup
from aioverseer._engine.events.publisher import EventPublisher
from aioverseer._engine.overseer.critical import Cancelled, CriticalBlocks, cause_of
from aioverseer._engine.overseer.give_up import GiveUpActions
from aioverseer._engine.overseer.registry import Registry
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Launcher
from aioverseer.core.errors import OverseerError
from aioverseer.core.options.containment import Survivor
from aioverseer.core.report.status import CriticalServiceEnded, StopFailed

if TYPE_CHECKING:
    from aioverseer._engine.overseer.event_hooks import EventHooks
    from aioverseer._engine.overseer.shutdown import Shutdown
    from aioverseer._engine.overseer.signals import SignalHandling
    from aioverseer._engine.overseer.systemd import SystemdReports
    from aioverseer._system.host.fd_limit import DescriptorLimit

__all__ = ["Lifespan"]

_log = logging.getLogger("aioverseer")

_MARGIN = 30.0
"""Seconds in addition to all ladders before leaving cancels its own task: only a bug of this library takes so long."""


class Lifespan:
    """The period in which one overseer is in use. It may begin again after its end.

    Attributes:
        hooks: The hooks, whose commands end with the overseer; None before the first hook.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        shutdown: Shutdown,
        publisher: EventPublisher,
        blocks: CriticalBlocks,
        give_up: GiveUpActions,
        *,
        launcher: Launcher,
        own_launcher: SystemLauncher | None,
        host_settings: Sequence[DescriptorLimit | SignalHandling | SystemdReports],
        signal_handling: SignalHandling | None,
        systemd: SystemdReports | None = None,
    ) -> None:
        """Prepare. Nothing is begun.

        Args:
            name: The name of the overseer.
            registry: The services.
            shutdown: The stop of all services.
            publisher: The publisher of events, open until the end.
            blocks: Blocks that end with a critical service.
            give_up: Functions of the application that may still run.
            launcher: The launcher of programs, closed in the end.
            own_launcher: The same launcher, if it belongs to this overseer alone.
            host_settings: Changes of the host: installed on entering, restored on leaving in the reverse order.
            signal_handling: The signals of the host; None where they are not handled.
            systemd: The reports to systemd, one of the host settings; None where nobody has asked for them.
        """
        self._name = name
        self._registry = registry
        self._shutdown = shutdown
        self._publisher = publisher
        self._blocks = blocks
        self._give_up = give_up
        self._launcher = launcher
        self._own_launcher = own_launcher
        self._host_settings = host_settings
        self._signals = signal_handling
        self._systemd = systemd
        self.hooks: EventHooks | None = None
        self._tasks = SupervisorTaskGroup(name, on_failure=self._on_failure)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[StopFailed | None] | None = None
        self._closing: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._generation = 0

    # Whether the overseer is in use.

    def check(self, *, starting: bool = False) -> None:
        """Check that the overseer is in use, on this event loop.

        Args:
            starting: Whether services are about to be started, which is refused while the overseer is being left.

        Raises:
            OverseerError: If it is not in use, or lives on another event loop, or is being left while ``starting``.
        """
        if self._task is None or self._closing is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `async with`")
        self._check_fork()
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
        """Raise OverseerError while the overseer is in use."""
        self._check_fork()
        if self._task is not None:
            raise OverseerError(f"overseer {self._name!r} is in use already: leave it first, or make another one")

    @property
    def _is_of_parent(self) -> bool:
        """Whether the overseer is in use in the process that this is a fork of."""
        return self._task is not None and self._generation != generation()

    def _check_fork(self) -> None:
        if self._is_of_parent:
            raise OverseerError(
                f"overseer {self._name!r} belongs to the process of which this one is a fork: use it there, or make "
                "another one here"
            )

    @property
    def is_used(self) -> bool:
        """Whether the overseer has been entered and has not been left completely."""
        return self._task is not None

    @property
    def is_at_work(self) -> bool:
        """Whether the task of the overseer is running."""
        return self._task is not None and not self._task.done()

    @property
    def is_leaving(self) -> bool:
        """Whether the overseer is being left, or is not in use."""
        return self._closing is None or self._closing.done()

    def start_task(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run a coroutine until the overseer is left. Its error ends nothing else.

        Raises:
            OverseerError: If the overseer is not in use.
        """
        if self._task is None:
            raise OverseerError(f"overseer {self._name!r} is not in use: use it inside `async with`")
        return self._tasks.start_soon(work)

    # Entering.

    async def enter(self) -> None:
        """Enter the overseer; see ``Overseer.__aenter__``."""
        self.check_unused()
        loop = running_loop()
        # anyio imports its backend with the first scope. Later there may be no descriptor left to open that file.
        anyio.CancelScope()
        self._install_settings()
        self._generation = generation()
        self._loop = loop
        if self._own_launcher is not None:
            self._own_launcher.retain()
        self._closing = self._loop.create_future()
        self._blocks.reopen()
        self._publisher.reopen()
        if self.hooks is not None:
            self.hooks.reopen()
        opened: asyncio.Future[None] = self._loop.create_future()
        # A task of its own: pytest-asyncio, for one, runs set-up, test and tear-down in three different tasks.
        self._task = asyncio.create_task(self._hold(opened, self._closing), name=f"aioverseer {self._name}")
        self._task.add_done_callback(functools.partial(self._on_task_end, opened))
        try:
            await opened
        except BaseException:  # a cancellation of this task or of the other one
            await self._leave()
            raise
        self._blocks.enter()

    def _install_settings(self) -> None:
        try:
            for setting in self._host_settings:
                setting.install()
        except BaseException:
            self._restore_settings()
            raise

    def _restore_settings(self) -> None:
        for setting in reversed(self._host_settings):
            setting.restore()

    def _on_task_end(self, opened: asyncio.Future[None], _task: asyncio.Task[StopFailed | None]) -> None:
        if not opened.done():  # the task was cancelled before its first step
            opened.set_exception(OverseerError(f"overseer {self._name!r} was cancelled before it had begun"))

    # Leaving.

    def end_for(self, service: ServiceRunner) -> None:
        """Stop everything and cancel the blocks: a critical service has ended for good by itself."""
        if self._blocks.ended is not None or self._closing is None or self._closing.done():
            return
        kind = "critical service" if service.spec.critical else "service"
        status = service.snapshot(lines=False).status()
        ended = CriticalServiceEnded(
            f"{kind} {service.id!r} is {service.state}: {service.reason()}; everything else is stopped",
            id=service.id,
            status=status,
            lines=service.last_lines(),
        )
        ended.__cause__ = status.error
        _log.error("%s: critical service %s is %s: stopping all", self._name, service.id, service.state)
        self._closing.set_result(None)
        self._blocks.end(ended)
        self._registry.notify()

    def end_on_signal(self) -> None:
        """Stop everything and cancel the blocks: the host has received a signal."""
        if self._closing is None:
            return
        if not self._closing.done():
            self._closing.set_result(None)
        self._blocks.end_on_signal()
        self._registry.notify()

    async def leave(self, error: BaseException | None) -> bool | None:
        """Leave the overseer; see ``Overseer.__aexit__``.

        Args:
            error: The error that came out of the block.

        Returns:
            True if the block has ended for a signal that a handler of the application has taken.
        """
        if self._is_of_parent:  # ``sys.exit()`` in a fork, for example
            return None
        self._blocks.leave()
        if asyncio.get_running_loop() is not self._loop:
            raise OverseerError(f"overseer {self._name!r} must be left on the event loop on which it was entered")
        cancelled = Cancelled.NOT_BY_US
        try:
            survivors, late = await self._leave()
        finally:
            cancelled = self._blocks.uncancel()
        if cancelled is Cancelled.BY_US:
            late = None  # the cancellation by a critical service or a signal has found the block at its end
            if isinstance(error, asyncio.CancelledError):
                error = None
        raised = late or self._end_error(error, cancelled)
        if survivors is not None:
            told = raised or error
            if told is None:
                raised = survivors
            else:
                told.add_note(str(survivors))
        return self._end_block(error, raised, cancelled)

    def _end_error(self, error: BaseException | None, cancelled: Cancelled) -> BaseException | None:
        """Return the error about a critical service, with its cause; None for none."""
        ended = self._blocks.ended
        if ended is None or cancelled is Cancelled.BY_OTHERS_TOO:
            return None
        ended.__cause__ = cause_of(ended, error)
        return ended

    def _end_block(
        self, error: BaseException | None, raised: BaseException | None, cancelled: Cancelled
    ) -> bool | None:
        """Let a signal that has ended the block have its effect, or else raise.

        Args:
            error: The error that came out of the block, unless it was a cancellation by us alone.
            raised: The error to be raised without a signal.
            cancelled: The canceller of the block.

        Returns:
            Whether nothing comes out of the block.
        """
        is_exit = error is not None and not isinstance(error, Exception | asyncio.CancelledError)
        if self._signals is not None and not is_exit:
            try:
                taken = self._signals.let_through()
            except (KeyboardInterrupt, SystemExit) as effect:
                cause = raised or error
                raise effect from None if isinstance(cause, asyncio.CancelledError) else cause
            if taken and raised is None:
                return cancelled is Cancelled.BY_US and error is None
        if raised is not None:
            raise raised
        return None

    async def _leave(self) -> tuple[StopFailed | None, asyncio.CancelledError | None]:
        """Have the task stop everything, and wait for it through any cancellation.

        Returns:
            An error about survivors, and the last cancellation that arrived during the wait.
        """
        try:
            return await self._end()
        finally:
            self._restore_settings()

    async def _end(self) -> tuple[StopFailed | None, asyncio.CancelledError | None]:
        task, closing = self._task, self._closing
        if task is None or closing is None:
            return None, None
        if not closing.done():
            closing.set_result(None)
        services = self._registry.services
        # In real time: this must end although the clock of the overseer may stand still.
        cancelled = await settle(task, within=self._longest() + _MARGIN)
        if not task.done():
            # Cancelling the task cancels all runs: each of them kills and reaps its program.
            _log.error("%s: stopping has taken too long, a bug of aioverseer: killing what is left", self._name)
            task.cancel()
            cancelled = await settle(task, within=_MARGIN) or cancelled
        self._task = None
        left, late = await settle_work(self._launcher.close, within=_MARGIN)
        cancelled = late or cancelled
        for service in services.values():
            service.release()  # before the logs are closed: leftovers may have written last lines
        if self._own_launcher is not None:
            self._own_launcher.release()
        cancelled = await self._publisher.close() or cancelled
        for service in services.values():
            service.detach()
        for instances in self._registry.sets.values():
            instances.detach()
        over = task.done() and not task.cancelled()
        failure = task.exception() if over else None
        if isinstance(failure, Exception):
            raise OverseerError(f"overseer {self._name!r} has failed: this is a bug of aioverseer") from failure
        if failure is not None:  # a KeyboardInterrupt that came while the task was running
            raise failure
        survivors = task.result() if over else None
        if left:
            survivors = self._left_behind(left, survivors)
        return survivors, cancelled

    def _longest(self) -> float:
        """Return the seconds that all ladders take at most: in the worst case, each level takes the longest one."""
        services = self._registry.services
        longest = max((service.stop_seconds for service in services.values()), default=0.0)
        levels = len(self._shutdown.levels()) if any(service.spec.after for service in services.values()) else 1
        return longest * levels

    async def _hold(self, opened: asyncio.Future[None], closing: asyncio.Future[None]) -> StopFailed | None:
        """Own the runs from entering to leaving; return when everything has been stopped.

        This is cancelled only when the event loop is being closed. It then cancels the runs, and each of them kills
        and reaps its program.
        """
        survivors: StopFailed | None = None
        if not opened.done():
            opened.set_result(None)
        try:
            await closing
            if self._systemd is not None:
                self._systemd.begin_leaving(self._longest())
            if self.hooks is not None:
                self.hooks.begin_leaving()
            await self._shutdown.stop(kill=False)
            survivors = self._survivors()
            await self._give_up.end()
            if self.hooks is not None:
                await self.hooks.end()
            if survivors is not None:
                # A program that SIGKILL did not end is reported. Leaving does not wait for its run.
                self._tasks.cancel()
        except BaseException:  # a KeyboardInterrupt may come anywhere
            if self._is_of_parent:
                raise
            # No restart and no command may follow the ends that this causes.
            if self.hooks is not None:
                self.hooks.close()
            self._shutdown.kill()
            self._tasks.cancel()
            raise
        finally:
            try:
                if not self._is_of_parent:
                    await self._end_of_runs()
            finally:
                if self._registry.groups is not None:
                    self._registry.groups.forget_all()
        return survivors

    async def _end_of_runs(self) -> None:
        """Wait until no run is left. A cancellation meanwhile cancels the runs too, and goes on afterwards."""
        cancelled = await self._tasks.end()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if cancelled is not None:
            raise cancelled

    def _on_failure(self, error: BaseException) -> None:
        """End everything: a task has raised a KeyboardInterrupt or the like, which also stops the event loop."""
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
            status=service.snapshot().status(),
        )

    def _left_behind(self, left: Iterable[Survivor], before: StopFailed | None) -> StopFailed:
        text = f"programs have left behind what could not be killed: {', '.join(map(str, left))}"
        if before is not None:
            before.add_note(text)
            return before
        return StopFailed(f"overseer {self._name!r}: {text}; see their states and users in ps", id=self._name)
