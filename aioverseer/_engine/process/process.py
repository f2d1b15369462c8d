"""Process: one run of one program, from INITIAL to a final state, never reused.

This is the handle that users have. What happens to the run is the matter of its ``_engine/process/runner.py``. Restarts, names and sets
of programs never live here.
"""

from __future__ import annotations

import asyncio
import datetime
import shlex
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from aioverseer._aio.clock import steady
from aioverseer._aio.shield import settle
from aioverseer._engine.process.owner import Hooks
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Child, Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import ProcessNotRunning, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.machine.inputs import StartRequested, StopRequested
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Input
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.spec import Spec, describe
from aioverseer.core.options.stop import as_signal_number
from aioverseer.core.report.status import (
    NotReady,
    Status,
    StatusSnapshot,
    not_ready,
    not_ready_after,
    not_running,
    stop_failed,
)
from aioverseer.core.state import Exit, State
from aioverseer.core.typing import PathLike

if TYPE_CHECKING:
    from aioverseer._engine.process.stdin import StdinFeeder

__all__ = ["Process"]

_PLAIN = SystemLauncher()
"""What starts lone Processes that ask for no level of containment: it knows nothing of them."""

_MARGIN = 2.0
"""Seconds on top of a ladder before a clean-up stops waiting for it: for the last output and a busy host."""


@exported_from("aioverseer")
class Process:
    """One run of one program.

    ``await process`` starts it if needed, waits for its end and returns the final Status. ``async with process``
    starts it, and stops it at the end of the block. A Process is used on one event loop and runs once; ``clone()``
    gives a fresh one.

    Attributes:
        spec: What it runs.
        stdout: Its lines, when ``streaming``; else None.
        stderr: The same for standard error; None also with ``merge_stderr`` and on a terminal.
    """

    def __init__(
        self,
        *argv: str | PathLike,
        id: str | None = None,
        clock: Clock | None = None,
        launcher: Launcher | None = None,
        **options: Unpack[SpecOptions],
    ) -> None:
        """Describe a run; nothing is started.

        Args:
            *argv: The program and its arguments, taken literally: no shell.
            id: A name for messages; by default the program's own.
            clock: Where time comes from; by default the running event loop.
            launcher: What starts it; by default the operating system.
            **options: See ``Spec``; ``buffered`` is on by default here, unless ``output`` says otherwise.

        Raises:
            SpecError: For an option that does not exist or a value that cannot be.
        """
        spec = describe(id, argv, options)
        self._set_up(spec, clock=clock, launcher=launcher)

    @classmethod
    def from_spec(
        cls,
        spec: Spec,
        *,
        clock: Clock | None = None,
        launcher: Launcher | None = None,
        hooks: Hooks | None = None,
    ) -> Self:
        """Make a Process that runs what a Spec describes.

        Args:
            spec: What to run.
            clock: Where time comes from; by default the running event loop.
            launcher: What starts it; by default the operating system.
            hooks: For a Service only.
        """
        process = cls.__new__(cls)
        process._set_up(spec, clock=clock, launcher=launcher, hooks=hooks)  # noqa: SLF001  # its other constructor
        return process

    def _set_up(
        self, spec: Spec, *, clock: Clock | None, launcher: Launcher | None, hooks: Hooks | None = None
    ) -> None:
        self.spec = spec
        self._clock = steady(clock)
        # A level of its own may have a guardian, which nobody else lets go.
        lets_go = launcher is None and spec.containment is not None
        self._launcher = launcher or (SystemLauncher() if lets_go else _PLAIN)
        self._driver = ProcessRunner(
            spec, process=self, clock=self._clock, launcher=self._launcher, lets_go=lets_go, hooks=hooks
        )
        self._run = self._driver.run
        self._streams = self._driver.streams
        self._lifetime = self._driver.lifetime
        self.stdout = self._streams.stdout
        self.stderr = self._streams.stderr

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        pid = "" if self.pid is None else f" pid={self.pid}"
        return f"<Process {self.spec.id!r} {shlex.join(self.spec.argv)!r} {self.state}{pid}>"

    @property
    def state(self) -> State:
        """Where it is."""
        return self._run.state

    @property
    def pid(self) -> int | None:
        """Its process id, kept after its end; None before the spawn, and for what is no process."""
        return self._run.pid or None

    @property
    def exit(self) -> Exit | None:
        """How it ended; None before its end."""
        return self._run.exit

    @property
    def error(self) -> BaseException | None:
        """Why it could not be started; None otherwise."""
        return self._run.error

    @property
    def signals_sent(self) -> tuple[int, ...]:
        """The steps of its ladder that were taken so far, in order."""
        return tuple(self._run.sent)

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about it.

        Args:
            lines: Whether the lines of a buffered run are part of it.
        """
        return self._driver.facts(lines=lines).status()

    @property
    def runtime(self) -> float:
        """Seconds that the program has lived; 0 before the spawn."""
        return self._lifetime.runtime

    @property
    def started_at(self) -> datetime.datetime | None:
        """Wall-clock time of the spawn, aware: a label, never part of a decision."""
        return self._lifetime.started_at

    @property
    def stopped_at(self) -> datetime.datetime | None:
        """Wall-clock time of the end, aware."""
        return self._lifetime.stopped_at

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """What it has left behind and is known to live on: with ``leftovers="report"``, or what could not be killed."""
        return self._lifetime.survivors

    def clone(self) -> Process:
        """Return a fresh Process with the same Spec."""
        return Process.from_spec(self.spec, clock=self._clock, launcher=self._launcher)

    async def start(self) -> Self:
        """Start the program, after ``delay_start``, and return once it is ready.

        Without ``ready`` that is once the system runs it.

        Idempotent. When the call that began the start is cancelled, the program is killed and reaped before the
        cancellation goes on.

        Returns:
            The process itself. It may have ended already; after a stop in the meantime it was perhaps never spawned.

        Raises:
            SpawnError: When it could not be started; the state is FATAL then.
            NotReady: At once when it ended, or is stopped, before it was ready; with its last lines.
            NotReadyInTime: When it was not ready within ``ready_timeout``; it has been ended then.
        """
        began = self.state is State.INITIAL
        self._driver.post(StartRequested())
        try:
            await self._driver.watch(
                ProcessMachine.is_past_start if self.spec.ready is None else ProcessMachine.is_past_waiting
            )
        except asyncio.CancelledError:
            if began:
                await self._undo(StopRequested(kill=True, why="its start was cancelled"))
            raise
        if self.error is not None:
            raise self.error
        if self.spec.ready is not None and not self._driver.readied:
            raise self._not_ready()
        return self

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until it is ready; nothing is started. Safe to cancel.

        Args:
            timeout: Seconds; None is no limit but its own ``ready_timeout``.

        Raises:
            NotReady: At once when it has ended, or is stopped, without having been ready; with its last lines.
            NotReadyInTime: When the time is over.
            SpawnError: When it could not be started.
        """
        future = self._driver.watch(ProcessMachine.is_past_waiting)
        if timeout is not None and not future.done():
            timer = self._clock.call_at(self._clock.now() + timeout, lambda: self._time_out(future, timeout))
            try:
                await future
            finally:
                timer.cancel()
        await future
        if self._driver.readied:
            return self
        raise self.error or self._not_ready()

    async def wait(self) -> Status:
        """Start it if needed, wait for its end, and return the final Status, FATAL included.

        When a call that started it is cancelled, the program is stopped by its ladder before the cancellation goes
        on. A call that only waits can be cancelled freely.

        Raises:
            StopFailed: At once when it is still there after its whole ladder, as its end may never come.
        """
        began = self.state is State.INITIAL
        if began:
            self._driver.post(StartRequested())
        try:
            await self._driver.end()
        except asyncio.CancelledError:
            if began:
                await self._undo(StopRequested(why="the wait for it was cancelled"))
            raise
        if self.is_unstoppable:
            raise stop_failed(self.status())
        return self.status()

    def __await__(self) -> Generator[Any, None, Status]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def __aenter__(self) -> Self:
        """Start it; see ``start``."""
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it by its ladder, however the block was left; a cancellation waits until that is done.

        Raises:
            StopFailed: When it is still there after the whole ladder.
        """
        try:
            await self._undo(StopRequested(why="its block has ended"), raise_cancelled=True)
        finally:
            if self.state.is_final:
                self.release()
        if not self.state.is_final:
            raise stop_failed(self.status())

    async def stop(self, *, kill: bool = False) -> Status:
        """End the program by its ladder and return the Status. Valid in every state, idempotent.

        When this is cancelled, the ladder goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.

        Raises:
            StopFailed: When it is still there after the whole ladder.
        """
        self._driver.post(StopRequested(kill=kill))
        if self.state is not State.INITIAL:
            await self._driver.end()
        if self.is_unstoppable:
            raise stop_failed(self.status())
        return self.status()

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the program and all that it started. This is no stop: the state does not change.

        Args:
            number: The signal, for example ``signal.SIGHUP``.
            scope: ``"leader"`` reaches the program alone.

        Raises:
            ProcessNotRunning: When it is not live.
            SpecError: When it is no signal, or the scope is unknown.
        """
        checked = as_signal_number(number, "signal")
        if scope not in ("tree", "leader"):
            raise SpecError(f'scope={scope!r} is unknown: pass "tree" or "leader"', option="scope", value=scope)
        try:
            self._live_child().signal(checked, leader_only=scope == "leader")
        except ProcessLookupError:
            raise self._not_running() from None

    async def write(self, data: bytes | str) -> None:
        """Write to its standard input, waiting while it does not read; needs ``stdin="pipe"`` or ``pty=True``.

        When this is cancelled, a part may have been written, as with any pipe.

        Args:
            data: Bytes, or text to be encoded as the process is.

        Raises:
            ProcessNotRunning: When it is not live, or has closed its standard input.
            SpecError: When it was given neither.
        """
        await self._live_input().write(data)

    async def write_eof(self) -> None:
        """End its standard input behind all that is being written: it reads end of file there.

        On a terminal it types Ctrl-D, and more can be written afterwards. When this is cancelled, the input may go on.

        Raises:
            ProcessNotRunning: When it is not live.
            SpecError: When it was given neither ``stdin="pipe"`` nor ``pty=True``.
        """
        await self._live_input().write_eof()

    def close_stdin(self) -> None:
        """End its standard input at once: it reads end of file. Idempotent. For a terminal, see ``write_eof``."""
        if self._driver.input is not None:
            self._driver.input.close()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of its terminal, and let it know (SIGWINCH).

        Args:
            columns: Characters in a row.
            rows: Rows.

        Raises:
            ProcessNotRunning: When it is not live.
            SpecError: When it has no terminal, or that is no size.
        """
        if not self.spec.pty:
            raise SpecError(f"{self.spec.id!r} has no terminal: give it pty=True", option="pty", value=False)
        window_size = self.spec.updated(window_size=(columns, rows)).window_size
        self._driver.check_loop()
        self._live_child().resize(window_size)

    # What follows is for the Service that owns this Process, and for the Process itself.

    @property
    def readied(self) -> bool:
        """Whether it has been ready."""
        return self._driver.readied

    @property
    def ready_due(self) -> float | None:
        """Monotonic time on its clock by which it has to be ready; None when it is, or may take its time."""
        return self._run.due

    @property
    def start_due(self) -> float | None:
        """Monotonic time at which it is launched, while it waits for that; else None."""
        return self._run.start_due

    @property
    def readiness(self) -> str:
        """What tells that it is ready, and what was said of that last, as words behind "waits for"."""
        return "" if self._driver.care is None else self._driver.care.blocker

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends it, as words behind "waits for", and the monotonic time of the next step; see ``Run.ending``."""
        return self._run.ending

    @property
    def unstoppable_reason(self) -> str:
        """Who does not die, once its whole ladder has been taken."""
        return self._run.reason

    @property
    def news(self) -> str:
        """What it waits for to be ready, whether it is alive, and what it says of itself; empty when nothing."""
        return self._driver.news

    @property
    def is_unhealthy(self) -> bool:
        """Whether it is being ended because it was not ready in time, or is not alive."""
        return self._run.is_unhealthy

    @property
    def is_unstoppable(self) -> bool:
        """Whether it is still there although its whole ladder has been taken."""
        return self._run.unstoppable

    @property
    def is_heard(self) -> bool:
        """Whether it has ended, and what it left behind is still listened to."""
        return self._streams.ended_child is not None

    def facts(self, *, lines: bool = True) -> StatusSnapshot:
        """Return what a Status is made of."""
        return self._driver.facts(lines=lines)

    def kept_lines(self) -> tuple[list[Any] | None, list[Any] | None]:
        """Return the lines of standard output and standard error so far, when buffered; else None."""
        return self._streams.kept_lines()

    def post(self, given: Input) -> None:
        """Feed the table and perform what it asks for; a Service's way in.

        Raises:
            OverseerError: When it is called on another event loop than the one it was started on.
        """
        self._driver.post(given)

    def end_unbegun(self) -> None:
        """End a run whose task is over without having begun, and so could not tell those who wait.

        That is a task cancelled before its first step, when all tasks of a loop are.
        """
        self._lifetime.end_unbegun(self._driver.post)

    def release(self) -> None:
        """Let go of the pipes and descriptors of an ended run; what it has left behind is not listened to any more."""
        self._streams.release()

    def _live_child(self) -> Child:
        child = self._lifetime.child
        if child is None or self._run.pid is None or self.state.is_final:
            raise self._not_running()
        return child

    def _live_input(self) -> StdinFeeder:
        given = self._driver.input
        if given is None or not given.is_for_writers:
            raise SpecError(
                f'{self.spec.id!r} has no pipe to write to: give it stdin="pipe"', option="stdin", value=None
            )
        self._driver.check_loop()
        self._live_child()
        return given

    def _not_running(self) -> ProcessNotRunning:
        return not_running(self.status(lines=False))

    def _not_ready(self) -> NotReady:
        return not_ready(self.status(lines=False), self._driver.last_lines())

    def _time_out(self, future: asyncio.Future[ProcessMachine], timeout: float) -> None:
        if not future.done():
            status, driver = self.status(lines=False), self._driver
            future.set_exception(not_ready_after(status, timeout, driver.news, driver.last_lines()))

    async def _undo(self, stop: StopRequested, *, raise_cancelled: bool = False) -> None:
        """Stop it and wait for that through any cancellation, no longer than its ladder takes."""
        self._driver.post(stop)
        if self.state is State.INITIAL:
            return
        ended = self._driver.end()
        within = self.spec.stop.total + self.spec.drain_timeout + _MARGIN
        cancelled = await settle(ended, within=within, clock=self._clock)
        ended.cancel()
        if raise_cancelled and cancelled is not None:
            raise cancelled
