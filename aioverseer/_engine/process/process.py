"""Process: the handle of one run of one program."""

from __future__ import annotations

import asyncio
import datetime
import functools
import re
import shlex
import warnings
import weakref
from collections.abc import Generator
from signal import Signals
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack

from aioverseer._aio.clock import steady
from aioverseer._aio.shield import settle
from aioverseer._engine.output.output_queue import OutputQueue
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._system.process.launcher import SystemLauncher
from aioverseer._system.protocols import Child, Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, ProcessNotRunning, SpecError, WrongBlock
from aioverseer.core.export import exported_from
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.spec import Spec, describe, is_template, port_of
from aioverseer.core.options.stop import Stop, as_signal_number, check_ladder
from aioverseer.core.report.status import NotReady, Status, not_ready, not_ready_after, not_running, stop_failed
from aioverseer.core.state import Exit, State
from aioverseer.core.typing import PathLike

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.process.stdin import StdinFeeder

__all__ = ["Process", "handle_of", "load_health"]

_SHARED_LAUNCHER = SystemLauncher()
"""The launcher of lone Processes without a ``containment`` of their own. It keeps nothing about them."""

_MARGIN = 2.0
"""Seconds that a roll-back waits in addition to the ladder: for the last output, and for a busy host."""


def load_health() -> type[Health]:
    """Return the class that runs probes. The first call imports it."""
    from aioverseer._engine.health.health import Health  # noqa: PLC0415  # few programs have probes

    return Health


def handle_of(runner: ProcessRunner) -> Process:
    """Return a new handle for a run that a service has begun."""
    return Process.__new__(Process)._bind(runner)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # its third constructor


@exported_from("aioverseer")
class Process:
    """One run of one program.

    ``await process`` starts the program if needed, waits for its end and returns the final Status. ``async with
    process`` starts it, and stops it at the end of the block. A Process belongs to one event loop and runs once;
    ``clone()`` returns a fresh one.

    A Process that is dropped while its program runs stops it, with a ``ResourceWarning``. The lines of a queue do not
    keep the program: hold the Process as long as you read them.

    Attributes:
        spec: The options of the run.
    """

    _upstream: Process | None = None
    _owns_run = False
    """Whether the program is stopped when this handle is dropped; False for a second handle, and without a run."""

    def __init__(
        self,
        *argv: str | PathLike,
        id: str | None = None,
        clock: Clock | None = None,
        launcher: Launcher | None = None,
        **options: Unpack[SpecOptions],
    ) -> None:
        """Describe a run. Nothing is started.

        Args:
            *argv: The program and its arguments, taken literally: no shell.
            id: The name in messages; by default the name of the program.
            clock: The source of time; by default the running event loop.
            launcher: The launcher of the program; by default the operating system starts it.
            **options: See ``Spec``; ``buffered`` is on by default here, unless the program streams, or ``output`` says
                otherwise.

        Raises:
            SpecError: If an option is unknown, or a value is invalid.
        """
        given = options.get("stdin")
        upstream = given if isinstance(given, Process) else None
        self._set_up(describe(id, argv, options), clock=clock, launcher=launcher, upstream=upstream)

    @classmethod
    def from_spec(cls, spec: Spec, *, clock: Clock | None = None, launcher: Launcher | None = None) -> Self:
        """Return a Process that runs a Spec.

        Args:
            spec: The options of the run.
            clock: The source of time; by default the running event loop.
            launcher: The launcher of the program; by default the operating system starts it.

        Raises:
            SpecError: If the Spec has ``instances`` or ``port``.
        """
        if is_template(spec):
            raise SpecError(
                f"{spec.id!r} has instances or a pool of ports, which are for a Service: use Overseer.add_instances",
                option="instances",
                value=spec.instances,
            )
        process = cls.__new__(cls)
        process._set_up(spec, clock=clock, launcher=launcher)  # noqa: SLF001  # its second constructor
        return process

    def _set_up(
        self, spec: Spec, *, clock: Clock | None, launcher: Launcher | None, upstream: Process | None = None
    ) -> None:
        if upstream is None and isinstance(spec.stdin, Spec):
            upstream = Process.from_spec(spec.stdin, clock=clock, launcher=launcher)
        if upstream is not None:
            upstream._owns_run = False  # noqa: SLF001  # its reader ends it
        self._upstream = upstream
        # A launcher with a containment level of its own may start a guardian, which nobody else would close.
        closes_launcher = launcher is None and spec.containment is not None
        known = weakref.ref(self)  # the runner lives on in its task, and must not keep a dropped handle
        self._bind(
            ProcessRunner(
                spec,
                clock=steady(clock),
                launcher=launcher or (SystemLauncher() if closes_launcher else _SHARED_LAUNCHER),
                closes_launcher=closes_launcher,
                make_handle=lambda runner: known() or handle_of(runner),
                load_health=load_health,
                upstream=None if upstream is None else upstream._runner,  # noqa: SLF001  # of the same class
            )
        )
        self._owns_run = True

    def __del__(self) -> None:
        """Stop a program that nobody can stop any more, with a ResourceWarning."""
        if self._owns_run and self._runner.is_running:
            warn = functools.partial(
                warnings.warn,
                f"{self!r} was dropped while its program runs, which is stopped now: keep the Process until its end, "
                "use `async with`, or add it to an Overseer",
                ResourceWarning,
                stacklevel=2,
            )
            if self._runner.streams.has_ended_queue:
                # A reader that has reached the end of a queue may drop the Process just before the program ends.
                self._runner.abandon_late(warn)
            else:
                self._runner.abandon()
                warn(source=self)  # last: a filter may turn it into an exception

    def _bind(self, runner: ProcessRunner) -> Self:
        self._runner = runner
        self.spec = runner.spec
        return self

    def __repr__(self) -> str:
        """Return id, program, state and pid."""
        pid = "" if self.pid is None else f" pid={self.pid}"
        return f"<Process {self.spec.id!r} {shlex.join(self.spec.argv)!r} {self.state}{pid}>"

    @property
    def state(self) -> State:
        """The current state."""
        return self._runner.machine.state

    @property
    def pid(self) -> int | None:
        """The process id, also after the end; None before the spawn, and for a task of the host."""
        return self._runner.machine.pid or None

    @property
    def port(self) -> int | None:
        """The port of the run, which took the place of ``{port}`` in the options of its service; None without one."""
        return port_of(self.spec)

    @property
    def number(self) -> int:
        """The number of the run in its service, from 1; 1 for a lone Process."""
        return self._runner.number

    @property
    def upstream(self) -> Process | None:
        """The program whose output is the input of this one, in a pipeline; None without one."""
        if self._upstream is None and self._runner.upstream is not None:
            self._upstream = handle_of(self._runner.upstream)
        return self._upstream

    @property
    def exit(self) -> Exit | None:
        """The exit code or signal; None before the end."""
        return self._runner.machine.exit

    @property
    def error(self) -> BaseException | None:
        """The error, when the program could not be started or was ended as a failure; else None."""
        return self._runner.machine.error

    @property
    def signals_sent(self) -> tuple[Signals | int, ...]:
        """Signals of the ladder that were sent so far, in order."""
        return tuple(self._runner.machine.ladder.signals)

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about the run.

        Args:
            lines: Whether the lines of a buffered run are included.
        """
        return self._runner.snapshot(lines=lines).status()

    # None or a queue depends on an option, and a union with None would force a check on every reader.

    @property
    def stdout(self) -> OutputQueue[Any] | Any:
        """The lines of standard output as an ``OutputQueue``, when ``streaming``; else None.

        The run of a service always has the queue, unless its output is not read. The queue begins with its first
        reading, or with the run for a reader of ``Service.runs``; no line is lost from then on. It ends with the run.
        """
        return self._runner.streams.stdout

    @property
    def stderr(self) -> OutputQueue[Any] | Any:
        """The lines of standard error as an ``OutputQueue``, when ``streaming``; else None.

        It is None also with ``merge_stderr`` and ``pty``, and for a lone Process with ``streaming="stdout"``. The run
        of a service always has the queue, as for ``stdout``; for a reader of ``Service.runs`` it keeps the last
        ``queue_size`` lines until the first reading.
        """
        return self._runner.streams.stderr

    @property
    def ready_match(self) -> re.Match[str] | None:
        """The match of ``ready.line`` or ``ready.prompt``, such as the port that the program has chosen.

        It is None before a match, and without such a probe. If several have matched, it is the match of the one that
        the probe names first.
        """
        return self._runner.ready_match

    @property
    def runtime(self) -> float:
        """Seconds since the spawn, or from the spawn to the end; 0 before the spawn."""
        return self._runner.run_task.runtime

    @property
    def started_at(self) -> datetime.datetime | None:
        """Wall-clock time of the spawn, with a timezone. It is a label: no decision uses it."""
        return self._runner.run_task.started_at

    @property
    def stopped_at(self) -> datetime.datetime | None:
        """Wall-clock time of the end, with a timezone."""
        return self._runner.run_task.stopped_at

    @property
    def survivors(self) -> tuple[Survivor, ...]:
        """Leftovers that are known to be alive: with ``leftovers="report"``, or when they could not be killed."""
        return self._runner.run_task.survivors

    def clone(self) -> Process:
        """Return a fresh Process with the same Spec."""
        return Process.from_spec(self.spec, clock=self._runner.clock, launcher=self._runner.launcher)

    async def start(self) -> Self:
        """Start the program, after ``delay_start``, and return once it is ready.

        A program without ``ready`` is ready as soon as the operating system runs it.

        Idempotent. When the call that began the start is cancelled, the program is killed and reaped before the
        cancellation goes on.

        Returns:
            The process itself. The program may have ended already. If it was stopped meanwhile, it may never have been
            spawned.

        Raises:
            SpawnError: If the program could not be started; the state is FATAL.
            NotReady: If the program ended, or is being stopped, before it was ready. Raised at once, with the last
                lines.
            NotReadyInTime: If the program was not ready within ``ready_timeout``, and was ended.
            OverseerError: If the Process is the run of a service, which starts and stops it.
        """
        self._check_lone()
        began = self.state is State.INITIAL
        self._runner.start()
        try:
            await self._runner.watch(
                ProcessMachine.is_past_start if self.spec.ready is None else ProcessMachine.is_past_waiting
            )
        except asyncio.CancelledError:
            if began:
                await self._roll_back(kill=True, why="its start was cancelled")
            raise
        if self.error is not None:
            raise self.error
        if self.spec.ready is not None and not self._runner.was_ready:
            raise self._not_ready()
        return self

    async def ready(self, timeout: float | None = None) -> Self:
        """Wait until the program is ready. Nothing is started. Safe to cancel.

        Args:
            timeout: Seconds to wait; None for no limit besides ``ready_timeout``.

        Raises:
            NotReady: If the program ended, or is being stopped, before it was ready. Raised at once, with the last
                lines.
            NotReadyInTime: If the time is over.
            SpawnError: If the program could not be started.
        """
        future = self._runner.watch(ProcessMachine.is_past_waiting)
        if timeout is not None and not future.done():
            clock = self._runner.clock
            timer = clock.call_at(clock.now() + timeout, lambda: self._time_out(future, timeout))
            try:
                await future
            finally:
                timer.cancel()
        await future
        if self._runner.was_ready:
            return self
        raise self.error or self._not_ready()

    async def wait(self) -> Status:
        """Start the program if needed, wait for its end, and return the final Status, FATAL included.

        When a call that started the program is cancelled, the program is stopped by its ladder before the cancellation
        goes on. A call that only waits can be cancelled freely.

        Raises:
            StopFailed: If the program still exists after its whole ladder. Raised at once: the end may never come.
        """
        began = self.state is State.INITIAL
        if began:
            self._runner.start()
        try:
            await self._runner.watch_end()
        except asyncio.CancelledError:
            if began:
                await self._roll_back(why="the wait for it was cancelled")
            raise
        if self._runner.machine.unstoppable:
            raise stop_failed(self.status())
        return self.status()

    def __await__(self) -> Generator[Any, None, Status]:
        """Do what ``wait()`` does."""
        return self.wait().__await__()

    async def __aenter__(self) -> Self:
        """Start the program; see ``start``."""
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the program by its ladder, however the block was left. A cancellation waits until that is done.

        A program that was never started, as with ``AsyncExitStack.push_async_exit``, is left alone.

        Raises:
            StopFailed: If the program still exists after its whole ladder.
            OverseerError: If the Process is the run of a service, which starts and stops it.
        """
        self._check_lone()
        if self.state is State.INITIAL:
            return
        try:
            await self._roll_back(why="its block has ended", raise_cancelled=True)
        finally:
            if self.state.is_final:
                self._runner.release()
        if not self.state.is_final and not self._runner.is_of_parent:
            raise stop_failed(self.status())

    if not TYPE_CHECKING:  # type checkers refuse such a block by themselves

        def __enter__(self) -> NoReturn:
            raise WrongBlock("a Process needs `async with`: for plain code use ThreadedOverseer")

        def __exit__(self, *_: object) -> None:
            """Do nothing: Python looks it up before it calls ``__enter__``."""

    async def stop(self, *, kill: bool = False, ladder: Stop | None = None) -> Status:
        """End the program by its ladder and return the Status. Valid in every state, idempotent.

        When this is cancelled, the ladder goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.
            ladder: A ladder for this stop alone; None for that of the options. A stop that is under way keeps its own.

        Raises:
            StopFailed: If the program still exists after its whole ladder.
            OverseerError: If the Process is the run of a service, which starts and stops it.
            SpecError: If the ladder is none.
        """
        self._check_lone()
        check_ladder(ladder, self.spec.id)
        self._runner.stop(kill=kill, ladder=ladder)
        if self.state is not State.INITIAL:
            await self._runner.watch_end()
        if self._runner.machine.unstoppable:
            raise stop_failed(self.status())
        return self.status()

    def signal(self, number: int, *, scope: Literal["tree", "leader"] = "tree") -> None:
        """Send a signal to the program and its descendants. The state does not change: a signal is not a stop.

        Args:
            number: The signal, for example ``signal.SIGHUP``.
            scope: ``"tree"`` for the program and its descendants, ``"leader"`` for the program alone.

        Raises:
            ProcessNotRunning: If the program is not running.
            SpecError: If the number is not a signal, or the scope is unknown.
        """
        checked = as_signal_number(number, "signal")
        if scope not in ("tree", "leader"):
            raise SpecError(f'scope={scope!r} is unknown: pass "tree" or "leader"', option="scope", value=scope)
        self._runner.check_fork()
        try:
            self._live_child().signal(checked, leader_only=scope == "leader")
        except ProcessLookupError:
            raise self._not_running() from None

    async def write(self, data: bytes | str) -> None:
        """Write to standard input, and wait while the program does not read. Needs ``stdin="pipe"`` or ``pty=True``.

        When this is cancelled, a part of the data may have been written, as with any pipe.

        Args:
            data: Bytes, or text, which is encoded with the ``encoding`` of the process.

        Raises:
            ProcessNotRunning: If the program is not running, or has closed its standard input.
            SpecError: If the program has neither ``stdin="pipe"`` nor ``pty=True``.
        """
        await self._live_input().write(data)

    async def write_eof(self) -> None:
        """End standard input after all pending writes. The program then reads end of file.

        On a terminal this types Ctrl-D, and more can be written afterwards. When this is cancelled, the input may stay
        open.

        Raises:
            ProcessNotRunning: If the program is not running.
            SpecError: If the program has neither ``stdin="pipe"`` nor ``pty=True``.
        """
        await self._live_input().write_eof()

    def close_stdin(self) -> None:
        """Close standard input at once: the program reads end of file. Idempotent. A terminal needs ``write_eof``."""
        if self._runner.stdin is not None:
            self._runner.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal. The kernel sends SIGWINCH to the program.

        Args:
            columns: Width in characters.
            rows: Height in lines.

        Raises:
            ProcessNotRunning: If the program is not running.
            SpecError: If the program has no terminal, or the size is invalid.
        """
        if not self.spec.pty:
            raise SpecError(f"{self.spec.id!r} has no terminal: give it pty=True", option="pty", value=False)
        window_size = self.spec.updated(window_size=(columns, rows)).window_size
        self._runner.check_loop()
        self._live_child().resize(window_size)

    def _check_lone(self) -> None:
        if self._runner.is_of_service:
            raise OverseerError(
                f"{self.spec.id!r}, run {self.number}: its start and its stop are the service's affair: use "
                "service.start(), service.restart() or service.stop()"
            )

    def _live_child(self) -> Child:
        """Return the child, after a check of the loop or of the fork."""
        child = self._runner.run_task.child
        if child is None or self._runner.machine.pid is None or self.state.is_final:
            raise self._not_running()
        return child

    def _live_input(self) -> StdinFeeder:
        feeder = self._runner.stdin
        if feeder is None or not feeder.is_for_writers:
            raise SpecError(
                f'{self.spec.id!r} has no pipe to write to: give it stdin="pipe"', option="stdin", value=None
            )
        self._runner.check_loop()
        self._live_child()
        return feeder

    def _not_running(self) -> ProcessNotRunning:
        return not_running(self.status(lines=False))

    def _not_ready(self) -> NotReady:
        return not_ready(self.status(lines=False), self._runner.last_lines())

    def _time_out(self, future: asyncio.Future[ProcessMachine], timeout: float) -> None:
        if not future.done():
            status, runner = self.status(lines=False), self._runner
            future.set_exception(not_ready_after(status, timeout, runner.health_summary, runner.last_lines()))

    async def _roll_back(self, *, kill: bool = False, why: str, raise_cancelled: bool = False) -> None:
        """Stop the program and wait for its end through any cancellation, no longer than its ladder takes."""
        if self._runner.is_of_parent:
            return
        self._runner.stop(kill=kill, why=why)
        if self.state is State.INITIAL:
            return
        ended = self._runner.watch_end()
        within = self._runner.stop_seconds + _MARGIN
        cancelled = await settle(ended, within=within, clock=self._runner.clock)
        ended.cancel()
        if raise_cancelled and cancelled is not None:
            raise cancelled
