"""Service: the handle of a named, supervised program. It stays valid over all restarts."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from aioverseer._engine.output.subscription import Overflow, Subscription
from aioverseer._engine.process.process import Process
from aioverseer._engine.service.explain import explain
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._engine.service.runs import Runs
from aioverseer.core.errors import ProcessNotRunning, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.machine.inputs import RestartRequested
from aioverseer.core.options.by import check_by
from aioverseer.core.options.spec import Spec, port_of
from aioverseer.core.options.stop import Stop, check_ladder
from aioverseer.core.report.status import Status, StatusSnapshot
from aioverseer.core.state import State
from aioverseer.core.text.lines import Line

if TYPE_CHECKING:
    from aioverseer._engine.service.reloader import Reloader
    from aioverseer.core.report.usage import Usage
    from aioverseer.core.report.why import Why

__all__ = ["Service"]


@exported_from("aioverseer")
class Service:
    """A named, supervised program.

    ``Overseer.add`` returns it. ``await service`` waits for the final end. ``async with service`` starts it, and stops
    it at the end of the block. Call its methods on the event loop of the overseer; its state may be read from any
    thread.
    """

    def __init__(self, runner: ServiceRunner) -> None:
        """Create a handle. Use ``Overseer.add`` instead."""
        self._runner = runner
        self._reloader: Reloader | None = None

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        pid = "" if self.pid is None else f" pid={self.pid}"
        return f"<Service {self.id!r} {shlex.join(self.spec.argv)!r} {self.state}{pid}>"

    @property
    def id(self) -> str:
        """The name of the service."""
        return self._runner.spec.id

    @property
    def spec(self) -> Spec:
        """The options of the next run; ``Overseer.update`` changes them."""
        return self._runner.spec

    @property
    def state(self) -> State:
        """The current state."""
        return self._runner.machine.state

    @property
    def process(self) -> Process | None:
        """The current run; None while no program lives: before the first run, between two runs and after the last one.

        Take runs from ``runs()`` if you need them after their ends.
        """
        run = self._runner.process
        return None if run is None or not run.machine.state.is_live else cast("Process", self._runner.handle)

    @property
    def pid(self) -> int | None:
        """The process id of the current or last run; None before its spawn."""
        process = self._runner.process
        return None if process is None else process.machine.pid or None

    @property
    def index(self) -> int | None:
        """The number of an instance in its set, from 0; None for a lone service."""
        return None if self._runner.place is None else self._runner.place.index

    @property
    def port(self) -> int | None:
        """The port of the current or last run, which took the place of ``{port}``; None without one."""
        process = self._runner.process
        return None if process is None else port_of(process.spec)

    @property
    def resource(self) -> Any:
        """The object that the ``__aenter__`` of a resource returned.

        Raises:
            ProcessNotRunning: If the service is not a resource, or is not entered now.
        """
        task_launcher = self._runner.task_launcher
        if task_launcher is None or not task_launcher.is_resource or self.state is not State.RUNNING:
            raise ProcessNotRunning(f"{self.id!r} has no resource now: it is {self.state}; see Overseer.add_resource")
        return task_launcher.value

    @property
    def restarts(self) -> int:
        """Number of runs after the first one since the service was last started."""
        return self._runner.machine.restarts

    @property
    def ready_match(self) -> re.Match[str] | None:
        """The match of ``ready.line`` in the current or last run; see ``Process.ready_match``."""
        process = self._runner.process
        return None if process is None else process.ready_match

    @property
    def history(self) -> tuple[Status, ...]:
        """The final Status of each of the last 50 runs, oldest first."""
        return tuple(snapshot.status() for snapshot in self._runner.history)

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about the service.

        Args:
            lines: Whether the lines of a buffered run are included.
        """
        return self._runner.snapshot(lines=lines).status()

    def why(self) -> Why:
        """Return why the service is in its state, what it waits for and what comes next.

        ``str()`` of the result is one sentence.
        """
        return explain(self._runner)

    def tail(self, n: int = 20) -> list[Line]:
        """Return the last lines of all runs, oldest first.

        Args:
            n: Number of lines at most. The service remembers 200 lines, and 64 KiB at most.
        """
        return self._runner.hub.tail(n)

    def lines(
        self,
        stream: Literal["stdout", "stderr"] | None = None,
        *,
        history: int = 0,
        size: int = 1000,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Return a queue of the lines that the service writes from now on, over all its runs.

        The queue ends when the service does, after the last line. It goes on when the service is started again.

        Args:
            stream: One stream, or None for both.
            history: Number of remembered lines to begin with, at most.
            size: Number of lines that the queue holds.
            overflow: The treatment of further lines. ``"drop_oldest"`` and ``"drop_newest"`` drop lines and count them
                in ``missed``, ``"block"`` slows the program down, ``"error"`` ends the queue with
                ``asyncio.QueueFull``.

        Raises:
            SpecError: If a value is invalid.
        """
        self._runner.check()
        return self._runner.hub.subscribe(
            stream=stream, history=history, size=size, overflow=overflow, ended=self.state.is_final
        )

    def runs(self) -> Runs[Process]:
        """Return the runs of the service, from the current one on: ``async for run in service.runs()``.

        Each one is a ``Process``. A reader gets every item of ``run.stdout``, from the first one that the run writes.
        ``run.stdout`` ends with the run: ``run.status()`` is final then. A slow reader slows the program down.
        ``run.stderr`` keeps its last ``queue_size`` items, and loses none once somebody has begun to read it. Runs that
        have ended wait for the reader.

        The iteration ends when the service does. Two readers get the same Process objects, so each item goes to one of
        them; ``lines()`` serves any number of readers.
        """
        self._runner.check()
        return self._runner.read_runs()

    async def start(self, *, by: str = "") -> Self:
        """Start the service and return once it is ready. The policy judges a failed start like any failure.

        A service with a schedule is armed: it is WAITING for its time then, and this returns at once.

        In BACKOFF the start does not wait for the delay. When the call that began the start is cancelled, the service
        is stopped before the cancellation goes on.

        Args:
            by: Name of the one who asks, for example a user or a web page; see ``Event.by``.

        Raises:
            NotReady: If the service ended for good, or is being stopped, before it was ready; with the last lines.
            StopFailed: If an earlier program still exists after its whole ladder. Raised at once. The service stays
                wanted: if that program ends after all, a new run follows.
        """
        self._check_start()
        if self.state is State.RUNNING and self._runner.trigger is None:
            return self
        began = not self.state.is_live
        self._runner.start(by=check_by(by))
        return await self._started(began=began)

    async def usage(self) -> Usage:
        """Return what the service uses with all that its program has started; see ``Overseer.usage``.

        For several services call ``Overseer.usage``, which costs the same once.
        """
        self._runner.check()
        return (await self._runner.measure())[self.id]

    async def restart(self, *, by: str = "") -> Self:
        """Stop the service by its ladder, start it again, and return once it is ready.

        In a final state, or before the first start, this is ``start()``. When this is cancelled, the restart goes on
        by itself.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If the service ended for good, or is being stopped, before it was ready.
            StopFailed: If an earlier program still exists after its whole ladder, as in ``start``.
        """
        self._check_start()
        began = not self.state.is_live
        self._runner.submit(RestartRequested(by=check_by(by)))
        return await self._started(began=began)

    async def trigger(self, *, by: str = "") -> Self:
        """Run the program of a service with a schedule now, and return once this run is ready.

        The schedule goes on as before: a service that is armed stays armed, one that was stopped stays disarmed. While
        a run is under way this waits for its readiness and starts no other; in BACKOFF it does not wait for the delay.
        When this is cancelled, the run goes on, unless the service was not started.

        Args:
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            NotReady: If the run has failed for good, or is being stopped, before it was ready; with the last lines.
            StopFailed: If an earlier program still exists after its whole ladder, as in ``start``.
            SpecError: If the service has no schedule: ``start`` runs it.
        """
        self._check_start()
        if self._runner.trigger is None:
            raise SpecError(f"{self.id!r} has no schedule: start() runs it now", option="schedule")
        began = not self.state.is_live
        self._runner.run_now(by=check_by(by))
        return await self._reached(self._runner.waiters.until_run(), began=began)

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until the service is ready, or is WAITING for its time. Nothing is started. Safe to cancel.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotReady: If the service has ended and cannot become ready. Raised at once, with the last lines.
            NotReadyInTime: If the time is over.
        """
        self._runner.check()
        waiters = self._runner.waiters
        future = waiters.until_up()
        await (future if timeout is None or future.done() else waiters.at_most(timeout, future, None))
        return self

    async def wait(self) -> Status:
        """Wait for the final end and return the Status. Nothing is started. Safe to cancel.

        Raises:
            StopFailed: If the program still exists after its whole ladder. Raised at once: the end may never come.
        """
        self._runner.check()
        return (await self._runner.waiters.for_end()).status()

    def __await__(self) -> Generator[Any, None, Status]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def __aenter__(self) -> Self:
        """Start the service; see ``start``."""
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the service by its ladder, however the block was left. A cancellation waits until that is done.

        Raises:
            StopFailed: If the program still exists after its whole ladder.
        """
        cancelled = await self._runner.roll_back("its block has ended")
        if cancelled is not None:
            raise cancelled
        if self._runner.is_unstoppable:
            raise self._runner.waiters.stop_failed(self.status(lines=False))

    async def wait_for(self, wanted: State | Callable[[Status], bool], timeout: float | None = None) -> Status:
        """Wait for a state, or until a function returns True for the Status. Safe to cancel.

        The condition is evaluated at each change of state, so no short-lived state is missed.

        Args:
            wanted: A State, or a function of a Status.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The Status that was wanted.

        Raises:
            NotReady: If the service has ended otherwise, so the condition cannot come true. Raised at once.
            NotReadyInTime: If the time is over.
            StopFailed: If the program still exists after its whole ladder. Raised at once.
        """
        self._runner.check()
        waiters = self._runner.waiters
        future = waiters.until(wanted)
        if timeout is None or future.done():
            return (await future).status()
        return (await waiters.at_most(timeout, future, wanted)).status()

    async def stop(self, *, kill: bool = False, ladder: Stop | None = None, by: str = "") -> Status:
        """End the service by its ladder and return the Status. Valid in every state, idempotent. No restart follows.

        When this is cancelled, the stop goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
            ladder: A ladder for this stop alone; None for that of the options. A stop that is under way keeps its own.
            by: Name of the one who asks; see ``Event.by``.

        Raises:
            StopFailed: If the program still exists after its whole ladder.
            SpecError: If the ladder is none, or has steps for a program and the service is a task or resource.
        """
        self._runner.check()
        check_ladder(ladder, self.id, is_program=self._runner.task_launcher is None)
        outcome = await self._runner.stop(kill=kill, ladder=ladder, by=check_by(by))
        if outcome.survived:
            raise self._runner.waiters.stop_failed(outcome.status)
        return outcome.status

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the program and its descendants. A signal is not a stop: the policy judges what follows.

        Args:
            number: The signal, for example ``signal.SIGTERM``.
            scope: ``"tree"`` for the program and its descendants: a wrapper or a shell passes nothing on.
                ``"leader"`` for the program alone: a server that tells its own workers, whose SIGHUP would end them.

        Raises:
            ProcessNotRunning: If no program of the service is running.
            SpecError: If the number is not a signal, or the scope is unknown.
        """
        self._runner.check()
        self._live_process().signal(number, scope=scope)

    async def reload(self, timeout: float | None = 30.0) -> None:
        """Let the program read its configuration again, in the way of the option ``reload``. The run goes on.

        A signal goes to the program alone, and nobody knows when the program has handled it. A command is waited for,
        and so is the ``READY=1`` of ``"notify"``. Requests are served one after the other. When this is cancelled, a
        command is killed.

        Args:
            timeout: Seconds for the command or for ``READY=1``; None for no limit. ``EXTEND_TIMEOUT_USEC`` of the
                program extends it.

        Raises:
            ProcessFailed: If the command has failed; with its last lines.
            NotReadyInTime: If the time is over.
            RunEnded: If the run has ended, or is being stopped, before it had reloaded.
            ProcessNotRunning: If the service is not ready.
            SpawnError: If the command cannot be started.
            SpecError: If the service has no way to reload.
        """
        self._runner.check()
        if self._reloader is None:
            from aioverseer._engine.service.reloader import Reloader  # noqa: PLC0415  # few services reload

            self._reloader = Reloader(self._runner)
        await self._reloader.reload(timeout)

    async def write(self, data: bytes | str) -> None:
        """Write to the standard input of the current run; see ``Process.write``."""
        self._runner.check()
        await self._live_process().write(data)

    async def write_eof(self) -> None:
        """End the standard input of the current run after all pending writes; see ``Process.write_eof``."""
        self._runner.check()
        await self._live_process().write_eof()

    def close_stdin(self) -> None:
        """Close the standard input of the current run. Idempotent."""
        self._runner.check()
        process = self.process
        if process is not None:
            process.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal of the current run; see ``Process.resize``."""
        self._runner.check()
        self._live_process().resize(columns, rows)

    def reopen_log(self) -> None:
        """Close the log files of the service. The next line opens the file of that name again.

        For tools that rename log files. Without this call a renamed file is noticed before the next write.
        """
        self._runner.check()
        self._runner.log_routing.reopen(self.id)

    async def flush_log(self) -> None:
        """Wait until all lines so far are in the log files, or are counted as lost. Safe to cancel."""
        self._runner.check()
        await self._runner.log_routing.flush()

    def _check_start(self) -> None:
        self._runner.check(starting=True)
        self._runner.waiters.check()

    async def _started(self, *, began: bool) -> Self:
        # The state is not RUNNING now, so the next RUNNING is that of the requested run.
        return await self._reached(self._runner.waiters.until_up(), began=began)

    async def _reached(self, future: asyncio.Future[StatusSnapshot], *, began: bool) -> Self:
        try:
            await future
        except asyncio.CancelledError:
            if began:
                await self._runner.roll_back("its start was cancelled")
            raise
        return self

    def _live_process(self) -> Process:
        process = self.process
        machine = self._runner.machine
        if machine.state is State.BACKOFF:
            raise ProcessNotRunning(
                f"{self.id!r} is not running: it waits to restart ({machine.reason}): wait for ready(), then try again"
            )
        if machine.state is State.WAITING:
            raise ProcessNotRunning(f"{self.id!r} is not running: {machine.reason}; trigger() runs it now")
        if process is None:
            raise ProcessNotRunning(f"{self.id!r} is not running: {machine.reason}")
        return process
