"""Process: one run of one program, from INITIAL to a final state, never reused.

What follows what is decided by the table in ``core/run.py``; in here its actions are performed, and what came of them
is fed back. Restarts, names and sets of programs never live here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import functools
import logging
import shlex
import signal as signals
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, assert_never

from aioverseer.core.clock import Clock, Timer
from aioverseer.core.containment import Survivor
from aioverseer.core.errors import (
    NotReady,
    NotReadyInTime,
    OverseerError,
    ProcessFailed,
    ProcessNotRunning,
    SpawnError,
    SpecError,
    StopFailed,
)
from aioverseer.core.events import Kind
from aioverseer.core.ladder import FINAL_TIMEOUT, as_signal_number
from aioverseer.core.lines import LineSplitter
from aioverseer.core.machine import Arm, Disarm, Input, Report
from aioverseer.core.run import (
    Broken,
    Due,
    Exited,
    Extend,
    Late,
    Launch,
    Ready,
    Run,
    SendSignal,
    Spawned,
    SpawnFailed,
    StartAsked,
    StopAsked,
    Stuck,
    Unwell,
)
from aioverseer.core.spec import PathLike, Spec, SpecOptions
from aioverseer.core.state import Exit, State, signal_name
from aioverseer.core.status import Facts, Status, last_lines
from aioverseer.feeding import feed
from aioverseer.output import LineList, LineQueue, Outlet, Pump
from aioverseer.system.clock import steady
from aioverseer.system.launch import SystemLauncher
from aioverseer.system.seam import Child, Launcher, Sink, Source
from aioverseer.system.waiting import Watchers, settle, settle_work

if TYPE_CHECKING:
    from aioverseer.ready.care import Care

__all__ = ["Hooks", "Process"]

_log = logging.getLogger("aioverseer")

_PLAIN = SystemLauncher()
"""What starts lone Processes that ask for no level of containment: it knows nothing of them."""

_MARGIN = 2.0
"""Seconds on top of a ladder before a clean-up stops waiting for it: for the last output and a busy host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a Process is tied to the Service that owns it."""

    run_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
    outlet: Callable[[str], Outlet]
    on_report: Callable[[Process, Report], None]
    on_stuck: Callable[[], None]
    on_spawn: Callable[[], None]
    on_news: Callable[[str, Kind], None]
    last_lines: Callable[[], list[str]]


class Process:
    """One run of one program.

    ``await process`` starts it if needed, waits for its end and returns the final Status. ``async with process``
    starts it, and stops it at the end of the block. A Process is used on one event loop and runs once; ``clone()``
    gives a fresh one.

    Attributes:
        spec: What it runs.
        stdout: Its lines, when ``streaming``; else None.
        stderr: The same for standard error; None also with ``merge_stderr`` and on a terminal.
        started_at: Wall-clock time of the spawn, aware: a label, never part of a decision.
        stopped_at: Wall-clock time of the end, aware.
        survivors: What it has left behind and is known to live on: with ``leftovers="report"``, or what could not be
            killed.
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
        # Of values that cannot change, and of which nothing is kept open.
        plain = _TEXT.issuperset(map(type, argv)) and _PLAIN_VALUES.issuperset(map(type, options.values()))
        spec = (_described if plain else _describe)(id, argv, **options)
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
        self._lets_go = launcher is None and spec.containment is not None
        self._launcher = launcher or (SystemLauncher() if self._lets_go else _PLAIN)
        self._hooks = hooks
        # Few programs have probes, and most hosts need not import what asks them.
        self._care = self._make_care() if spec.ready is not None or spec.alive is not None else None
        self._run = Run(
            ladder=spec.stop,
            delay=spec.delay_start,
            awaits_ready=spec.ready is not None,
            ready_timeout=spec.ready_timeout,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readied = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._has_told = False
        self._timer: Timer | None = None
        self._child: Child | None = None
        self._left: Child | None = None
        """The ended child whose pipes are still held by what it has left behind."""
        self._pumps: list[Pump] = []
        self._drained: asyncio.Future[None] | None = None
        self._watchers: Watchers[Process] = Watchers()
        self._at_end: Watchers[Process] = Watchers()
        """Those who wait for its end: they need not be asked before."""
        self._began: float | None = None
        self.survivors: tuple[Survivor, ...] = ()
        self._ended: float | None = None
        self.started_at: datetime.datetime | None = None
        self.stopped_at: datetime.datetime | None = None
        self._kept_stdout = LineList() if spec.buffered else None
        merged = spec.merge_stderr or spec.pty
        self._kept_stderr = LineList() if spec.buffered and not merged else None
        self.stdout: LineQueue[Any] | None = LineQueue(spec.queue_size) if spec.streaming else None
        self.stderr: LineQueue[Any] | None = LineQueue(spec.queue_size) if spec.streaming and not merged else None

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
    def readied(self) -> bool:
        """Whether it has been ready."""
        return self._readied

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
        return "" if self._care is None else self._care.readiness

    @property
    def ending(self) -> tuple[str, float | None]:
        """What ends it, as words behind "waits for", and the monotonic time of the next step; see ``Run.ending``."""
        return self._run.ending

    @property
    def stuck_reason(self) -> str:
        """Who does not die, once its whole ladder has been taken."""
        return self._run.reason

    @property
    def news(self) -> str:
        """What it waits for to be ready, whether it is alive, and what it says of itself; empty when nothing."""
        return "" if self._care is None else self._care.news

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

    @property
    def is_unwell(self) -> bool:
        """Whether it is being ended because it was not ready in time, or is not alive."""
        return self._run.is_unwell

    @property
    def is_stuck(self) -> bool:
        """Whether it is still there although its whole ladder has been taken."""
        return self._run.stuck

    @property
    def is_heard(self) -> bool:
        """Whether it has ended, and what it left behind is still listened to."""
        return self._left is not None

    def status(self, *, lines: bool = True) -> Status:
        """Return a snapshot of everything known about it.

        Args:
            lines: Whether the lines of a buffered run are part of it.
        """
        return self.facts(lines=lines).status()

    def facts(self, *, lines: bool = True) -> Facts:
        """Return what a Status is made of."""
        run = self._run
        stdout, stderr = self.kept_lines() if lines else (None, None)
        return Facts(
            self.spec,
            run.pid or None,
            run.state,
            run.exit,
            run.error,
            self.started_at,
            self.stopped_at,
            self.runtime,
            stdout,
            stderr,
            0,
            run.reason,
            0,
            0,
            self._launcher.containment_of(self.spec).level,
        )

    def kept_lines(self) -> tuple[list[Any] | None, list[Any] | None]:
        """Return the lines of standard output and standard error so far, when buffered; else None."""
        stdout, stderr = self._kept_stdout, self._kept_stderr
        return None if stdout is None else list(stdout.lines), None if stderr is None else list(stderr.lines)

    @property
    def runtime(self) -> float:
        """Seconds that the program has lived; 0 before the spawn."""
        if self._began is None:
            return 0.0
        return (self._clock.now() if self._ended is None else self._ended) - self._began

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
        self.post(StartAsked())
        try:
            await self._watch(_is_past_start if self.spec.ready is None else _is_past_waiting)
        except asyncio.CancelledError:
            if began:
                await self._undo(StopAsked(kill=True, why="its start was cancelled"))
            raise
        if self.error is not None:
            raise self.error
        if self.spec.ready is not None and not self._readied:
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
        self._check_loop()
        future = self._watchers.watch(self, _is_past_waiting)
        if timeout is not None and not future.done():
            timer = self._clock.call_at(self._clock.now() + timeout, lambda: self._time_out(future, timeout))
            try:
                await future
            finally:
                timer.cancel()
        await future
        if self._readied:
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
            self.post(StartAsked())
        try:
            await self._end()
        except asyncio.CancelledError:
            if began:
                await self._undo(StopAsked(why="the wait for it was cancelled"))
            raise
        if self.is_stuck:
            raise self._stop_failed()
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
            await self._undo(StopAsked(why="its block has ended"), raise_cancelled=True)
        finally:
            if self.state.is_final:
                self.release()
        if not self.state.is_final:
            raise self._stop_failed()

    async def stop(self, *, kill: bool = False) -> Status:
        """End the program by its ladder and return the Status. Valid in every state, idempotent.

        When this is cancelled, the ladder goes on by itself.

        Args:
            kill: Whether to take the last step, SIGKILL, at once.

        Raises:
            StopFailed: When it is still there after the whole ladder.
        """
        self.post(StopAsked(kill=kill))
        if self.state is not State.INITIAL:
            await self._end()
        if self.is_stuck:
            raise self._stop_failed()
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
        sink = self._sink()
        try:
            await sink.write(self._encoded(data))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, None):
                raise
            raise ProcessNotRunning(f"{self.spec.id!r} does not read its standard input any more") from None

    async def write_eof(self) -> None:
        """End its standard input behind all that is being written: it reads end of file there.

        On a terminal it types Ctrl-D, and more can be written afterwards. When this is cancelled, the input may go on.

        Raises:
            ProcessNotRunning: When it is not live.
            SpecError: When it was given neither ``stdin="pipe"`` nor ``pty=True``.
        """
        await self._sink().write_eof()

    def _sink(self) -> Sink:
        given = self.spec.stdin
        if given != "pipe" and not (self.spec.pty and given is None):
            raise SpecError(
                f'{self.spec.id!r} has no pipe to write to: give it stdin="pipe"', option="stdin", value=None
            )
        self._check_loop()
        sink = self._live_child().stdin
        if sink is None:
            raise self._not_running()
        return sink

    def close_stdin(self) -> None:
        """End its standard input at once: it reads end of file. Idempotent. For a terminal, see ``write_eof``."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()

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
        self._check_loop()
        self._live_child().resize(window_size)

    # What follows is for the Service that owns this Process, and for the Process itself.

    def post(self, given: Input) -> None:
        """Feed the table and perform what it asks for; a Service's way in.

        Raises:
            OverseerError: When it is called on another event loop than the one it was started on.
        """
        self._check_loop()
        for action in self._run.feed(given, self._clock.now()):
            match action:  # the frequent ones first
                case Report():
                    if action.state.is_final:
                        self._close_queues()
                    if action.state is State.RUNNING:
                        self._readied = True
                        if self._care is not None:
                            self._care.note_ready()
                    elif self._care is not None and action.previous is not State.INITIAL:
                        self._care.stop()
                    if self._hooks is not None:
                        self._hooks.on_report(self, action)
                    self._watchers.tell(self)
                    if action.state.is_final:
                        self._at_end.tell(self)
                case Launch():
                    self._run_soon(self._live)
                case SendSignal():
                    self._send(action)
                case Arm():
                    self._disarm()
                    self._timer = self._clock.call_at(self._run.now + action.seconds, self._on_due)
                case Disarm():
                    self._disarm()
                case Late():
                    self._end_late()
                case Stuck():
                    _log.error("%s %s", self.spec.id, self._run.reason)
                    if self._hooks is not None:
                        self._hooks.on_stuck()
                    self._watchers.tell(self)
                    self._at_end.tell(self)
                case _:
                    assert_never(action)

    def _check_loop(self) -> None:
        """Make sure that all use is on one event loop: nothing in here is safe between threads."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise OverseerError(
                f"{self.spec.id!r} belongs to another event loop: use it on the loop on which it was started"
            )

    def _on_due(self) -> None:
        self._timer = None
        self.post(Due())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._hooks is not None:
            self._hooks.run_soon(work)
            return
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self.end_unbegun()

    def end_unbegun(self) -> None:
        """End a run whose task is over without having begun, and so could not tell those who wait.

        That is a task cancelled before its first step, when all tasks of a loop are.
        """
        if self._child is None and self.pid is None and self.state.is_live:
            self.post(SpawnFailed(error=self._start_cancelled()))

    def _send(self, action: SendSignal) -> None:
        if self._child is None:
            return
        try:
            self._child.signal(action.signal, leader_only=action.leader_only)
        except ProcessLookupError:
            # It has just ended by itself: the news of that is on its way, and the table expects them.
            return
        except PermissionError:
            # A program that changed its user. The ladder goes on, and ends with a report that it is still there.
            _log.warning("%s may not be sent %s", self.spec.id, signal_name(action.signal))

    async def _live(self) -> None:
        """The one task of a run; nothing but a cancellation comes out of it."""
        try:
            await self._live_through()
        except Exception as error:  # noqa: BLE001  # a bug of ours, told through the state
            # It must neither end the other programs of the group nor leave anybody waiting.
            _log.exception("%s: a bug of aioverseer", self.spec.id)
            if self._care is not None:
                await self._care.close()
            if self._child is not None:
                await _kill(self._child)
                self._left, self._child = self._child, None
                self.release()
            if not self.state.is_final:
                self.post(Broken(error=error))

    async def _live_through(self) -> None:
        """Launch, wait for the end, take the last words.

        It is never cancelled by this library before the run has ended; a cancellation means that the event loop is
        being closed, so the program is killed and reaped at once, within a bound.
        """
        # A terminal is always read: a program on one that nobody reads would wait in its first write.
        capture = self.spec.output == "read" and (
            self.stdout is not None
            or self._kept_stdout is not None
            or self._hooks is not None
            or self.spec.pty
            or (self._care is not None and self._care.reads_lines)
        )
        try:
            preparation = None if self._care is None else self._care.prepare()
            if preparation is None:
                child = await self._launcher.launch(self.spec, capture=capture)
            else:
                child = await self._launcher.launch(self.spec, capture=capture, preparation=preparation)
        except asyncio.CancelledError:
            if self._care is not None:
                await self._care.close()
            if self._lets_go:
                await settle_work(self._launcher.close, within=_MARGIN)
            self.post(SpawnFailed(error=self._start_cancelled()))
            raise
        except Exception as error:  # noqa: BLE001  # SpawnError is data, anything else a bug: start() raises either
            struck = None if self._care is None else await self._care.close()
            if self._lets_go:
                struck = (await settle_work(self._launcher.close, within=_MARGIN))[1] or struck
            self.post(SpawnFailed(error=error))
            if struck is not None:
                raise struck from None
            return
        self._attach(child)
        self.post(Spawned(pid=child.pid))
        if self._hooks is not None and self.state is State.STARTING:
            self._hooks.on_spawn()
        if self._care is not None:
            self._care.begin(child.pid)
            if self.state is State.STOPPING:  # asked for while it was being started: what it says is heard, no more
                self._care.stop()
        cancelled: asyncio.CancelledError | None = None
        try:
            exit = await child.wait()
        except asyncio.CancelledError as error:
            cancelled = error
            exit = await _kill(child)
        self._ended = self._clock.now()
        self.stopped_at = self._clock.wall()
        if self._feeder is not None:
            # It may wait for an iterator of the user that gives nothing any more.
            self._feeder.cancel()
            cancelled = await settle(self._feeder, within=_MARGIN) or cancelled
        if self.spec.leftovers == "kill":
            last = self._hooks is None or (self.state is State.STOPPING and not self.is_unwell)
            alone = last and child.left_nothing()
            if not alone:
                child.sweep()
            if last and not alone and child.may_have_left():
                # Nothing follows, so it is worth a look at every process of the machine. A Service that is to be
                # restarted by its policy must not do that for each run.
                left, struck = await settle_work(child.sweep_all, within=_MARGIN)
                cancelled = struck or cancelled
                self._tell_left(left or (), "could not be killed")
        elif self.spec.leftovers == "report":
            self._tell_left(child.left(), "goes on")
        if self._lets_go:
            cancelled = (await settle_work(self._launcher.close, within=_MARGIN))[1] or cancelled
        if self._pumps:
            try:
                await self._drain(patient=cancelled is None)
            except asyncio.CancelledError as error:
                cancelled = error
        if self._care is not None:
            # What it said before its end counts, as its lines do.
            self._care.drain()
            cancelled = await self._care.close() or cancelled
        self._child = None
        self._left = child
        if self.spec.leftovers == "kill" or cancelled is not None or all(pump.ended for pump in self._pumps):
            self.release()
        self.post(Exited(exit=exit))
        if cancelled is not None:
            raise cancelled

    def _tell_left(self, survivors: Iterable[Survivor], what: str) -> None:
        self.survivors = tuple(survivors)
        for survivor in self.survivors:
            _log.warning("%s has left %s behind, which %s", self.spec.id, survivor, what)
            if self._hooks is not None:
                self._hooks.on_news(f"has left {survivor} behind, which {what}", "leftovers")

    def _attach(self, child: Child) -> None:
        self._child = child
        self._began = self._clock.now()
        self.started_at = self._clock.wall()
        for stream, source, kept, queue in (
            ("stdout", child.stdout, self._kept_stdout, self.stdout),
            ("stderr", child.stderr, self._kept_stderr, self.stderr),
        ):
            if source is not None:
                self._pumps.append(self._pump(stream, source, kept, queue))
        for pump in self._pumps:
            pump.start()
        if child.stdin is not None and self.spec.stdin not in (None, "pipe"):
            feeding = feed(self.spec.id, self.spec.stdin, child.stdin, self._encoded)
            self._feeder = asyncio.create_task(feeding, name=f"aioverseer feed {self.spec.id}")

    def _pump(self, stream: str, source: Source, kept: LineList | None, queue: LineQueue[Any] | None) -> Pump:
        outlets: list[Outlet] = [outlet for outlet in (kept, queue) if outlet is not None]
        if self._hooks is not None:
            outlets.append(self._hooks.outlet(stream))
        if self._care is not None and (watch := self._care.watch(stream)) is not None:
            outlets.append(watch)
        return Pump(source, self._splitter, outlets, on_end=self._on_pump_end)

    def _splitter(self) -> LineSplitter:
        spec = self.spec
        return LineSplitter(encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit)

    async def _drain(self, *, patient: bool) -> None:
        """Deliver what the program wrote before its end; wait a little for whoever still holds its pipe, if patient.

        What is kept may hold it as long as it likes: that is not waited for.
        """
        for pump in self._pumps:
            pump.drain()
        if not patient or self.spec.leftovers != "kill" or all(pump.ended for pump in self._pumps):
            return
        drained = self._drained = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now() + self.spec.drain_timeout, lambda: _resolve(drained))
        try:
            await drained
        finally:
            timer.cancel()

    def _on_pump_end(self) -> None:
        if not all(pump.ended for pump in self._pumps):
            return
        if self._drained is not None:
            _resolve(self._drained)
        if self._left is not None:
            self.release()

    def release(self) -> None:
        """Let go of the pipes and descriptors of an ended run; what it has left behind is not listened to any more."""
        for pump in self._pumps:
            if not pump.ended:
                pump.close()
        if self._left is not None:
            self._left.close()
            self._left = None

    def _close_queues(self) -> None:
        """End the streams of a run that never had a program; otherwise the pumps have done it, or are about to."""
        for queue in () if self._left is not None else (self.stdout, self.stderr):
            if queue is not None:
                queue.end()

    def _encoded(self, data: str | bytes) -> bytes:
        if not isinstance(data, str):
            return data
        encoding = self.spec.encoding or "utf-8"
        # A byte order mark stands before the first text that a program reads, and nowhere else.
        mark = "".encode(encoding) if self._has_told else b""
        encoded = data.encode(encoding).removeprefix(mark)
        self._has_told = True
        return encoded

    def _live_child(self) -> Child:
        if self._child is None or self._run.pid is None or self.state.is_final:
            raise self._not_running()
        return self._child

    def _not_running(self) -> ProcessNotRunning:
        if self.pid is not None and not self.state.is_final:
            # Its last output is being read; the state follows that.
            return ProcessNotRunning(f"{self.spec.id!r} (pid {self.pid}) has just ended")
        return ProcessNotRunning(f"{self.spec.id!r} is not running: it is {self.state}, {self._run.reason}")

    def _make_care(self) -> Care:
        from aioverseer.ready.care import Care  # noqa: PLC0415  # few programs have probes

        return Care(
            spec=self.spec,
            clock=self._clock,
            launcher=self._launcher,
            process=self,
            on_ready=lambda: self.post(Ready()),
            on_extend=lambda seconds: self.post(Extend(seconds=seconds)),
            on_unwell=self._end_unwell,
            on_news=self._on_news,
        )

    def _on_news(self, text: str) -> None:
        if self._hooks is not None:
            self._hooks.on_news(text, "health")
        else:
            _log.info("%s %s", self.spec.id, text)

    def _end_late(self) -> None:
        seconds = self.runtime
        why = f"it was not ready within {seconds:.3g} s"
        news = f" ({self.news})" if self.news else ""
        error = NotReadyInTime(
            f"{self.spec.id!r} was not ready within {seconds:.3g} s{news}: see what it waits for, or give it more "
            "ready_timeout",
            id=self.spec.id,
            status=self.status(lines=False),
            lines=self._last_lines(),
        )
        self.post(Unwell(error=error, why=why))

    def _end_unwell(self, why: str) -> None:
        """End it: it is not alive although it runs."""
        error = ProcessFailed(
            f"{self.spec.id!r} is not alive: {why}",
            id=self.spec.id,
            status=self.status(lines=False),
            lines=self._last_lines(),
        )
        self.post(Unwell(error=error, why=f"it is not alive: {why}"))

    def _not_ready(self) -> NotReady:
        return NotReady(
            f"{self.spec.id!r} is not ready: it is {self.state}, {self._run.reason}",
            id=self.spec.id,
            status=self.status(lines=False),
            lines=self._last_lines(),
        )

    def _time_out(self, future: asyncio.Future[Process], timeout: float) -> None:
        if not future.done():
            news = f" ({self.news})" if self.news else ""
            future.set_exception(
                NotReadyInTime(
                    f"{self.spec.id!r} is not ready after {timeout:g} s: it is {self.state}, {self._run.reason}{news}",
                    id=self.spec.id,
                    status=self.status(lines=False),
                    lines=self._last_lines(),
                )
            )

    def _last_lines(self) -> list[str]:
        if self._hooks is not None:
            return self._hooks.last_lines()
        stdout, stderr = self.kept_lines()
        return last_lines(stderr or stdout or ())

    def _start_cancelled(self) -> SpawnError:
        return SpawnError(f"the start of {self.spec.id!r} was cancelled")

    def _stop_failed(self) -> StopFailed:
        return StopFailed(
            f"{self.spec.id!r} does not die: {self._run.reason}; it may wait for a device or a file system, see its "
            "state in ps",
            id=self.spec.id,
            status=self.status(),
        )

    def _watch(self, wanted: Callable[[Process], bool]) -> asyncio.Future[Process]:
        self._check_loop()
        return self._watchers.watch(self, wanted)

    def _end(self) -> asyncio.Future[Process]:
        """Return a future for its end, or for that of its ladder."""
        self._check_loop()
        return self._at_end.watch(self, lambda process: process.state.is_final or process.is_stuck)

    async def _undo(self, stop: StopAsked, *, raise_cancelled: bool = False) -> None:
        """Stop it and wait for that through any cancellation, no longer than its ladder takes."""
        self.post(stop)
        if self.state is State.INITIAL:
            return
        ended = self._end()
        within = self.spec.stop.total + self.spec.drain_timeout + _MARGIN
        cancelled = await settle(ended, within=within, clock=self._clock)
        ended.cancel()
        if raise_cancelled and cancelled is not None:
            raise cancelled


async def _kill(child: Child) -> Exit:
    """Kill a child and reap it although its task is being cancelled; a lost status when that takes too long."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        child.signal(signals.SIGKILL)
    waiting = asyncio.ensure_future(child.wait())
    await settle(waiting, within=FINAL_TIMEOUT)
    if waiting.done() and not waiting.cancelled():
        return waiting.result()
    waiting.cancel()
    return Exit()


def _describe(id: str | None, argv: tuple[str | PathLike, ...], **options: Unpack[SpecOptions]) -> Spec:
    options.setdefault("buffered", options.get("output", "read") == "read")
    if not _OF_SERVICES.isdisjoint(options):
        _refuse_what_is_for_services(options)
    return Spec.of(id if id is not None else _name_of(argv), argv, **options)


_described: Callable[..., Spec] = functools.lru_cache(maxsize=256, typed=True)(_describe)
"""The same, remembered: who runs a command again and again need not have it checked each time. A Spec never changes."""

_TEXT = frozenset({str})
_PLAIN_VALUES = frozenset({str, int, float, bool, type(None)})

_OF_SERVICES = frozenset({"restart", "group", "log", "after", "critical"})


def _refuse_what_is_for_services(options: SpecOptions) -> None:
    for name in ("restart", "group"):
        if name in options:
            value = options.get(name)
            raise SpecError(
                f"{name}={value!r} is for a Service, a Process runs once: use Overseer.add", option=name, value=value
            )
    for option in ("log", "after", "critical"):
        if (given := options.get(option)) not in (None, (), False):
            instead = ", or read the lines" if option == "log" else ""
            raise SpecError(
                f"{option}={given!r} is for a Service: use Overseer.add{instead}", option=option, value=given
            )


def _name_of(argv: tuple[str | PathLike, ...]) -> str:
    """Return the program's own name, for a process that was given none."""
    first = argv[0] if argv else ""
    text = first if isinstance(first, str) or not isinstance(first, PathLike) else first.__fspath__()
    name = text.rsplit("/", 1)[-1].strip() if isinstance(text, str) else ""
    return name.replace("\0", "") or "process"


def _is_past_waiting(process: Process) -> bool:
    if process.state is State.STOPPING:
        # One that is ended because it was not ready in time is waited for, as long as that is of any use.
        return not process.is_unwell or process.is_stuck
    return process.state is State.RUNNING or process.state.is_final


def _is_past_start(process: Process) -> bool:
    return process.state in (State.RUNNING, State.STOPPING) or process.state.is_final or process.pid is not None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
