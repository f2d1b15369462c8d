"""The one task of a run: it launches the program, waits for its end, takes its last words and cleans up.

Whatever follows from that is decided in ``core/machine/process.py``, which is fed with it; who waits for a run never lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import signal as signals
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from aioverseer._aio.shield import settle, settle_work
from aioverseer._engine.output.streams import OutputStreams
from aioverseer._system.protocols import Child, Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.machine.actions import SendSignal
from aioverseer.core.machine.inputs import Exited, InternalError, Spawned, SpawnFailed
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Input
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import FINAL_TIMEOUT
from aioverseer.core.state import Exit, State, signal_name

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.process.owner import Hooks
    from aioverseer._engine.process.stdin import StdinFeeder

__all__ = ["RunTask"]

_log = logging.getLogger("aioverseer")

_MARGIN = 2.0
"""Seconds that each step of a clean-up may take: for a busy host."""


class RunTask:
    """The life of the program of one run.

    Attributes:
        child: The program, from its spawn until its last words were taken; else None.
        started_at: Wall-clock time of the spawn, aware.
        stopped_at: Wall-clock time of the end, aware.
        survivors: What it has left behind and is known to live on.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        run: ProcessMachine,
        clock: Clock,
        launcher: Launcher,
        lets_go: bool,
        hooks: Hooks | None,
        streams: OutputStreams,
        input: StdinFeeder | None,
        care: Health | None,
    ) -> None:
        """Prepare it; nothing is done before ``begin``.

        Args:
            spec: What to run.
            run: The table of the run, to look at: it is fed by way of ``begin``.
            clock: What the life of the program is measured by.
            launcher: What starts it.
            lets_go: Whether the launcher is closed behind the run.
            hooks: Those of a Service.
            streams: Where its output goes.
            input: What it reads.
            care: What it is asked.
        """
        self._spec = spec
        self._run = run
        self._clock = clock
        self._launcher = launcher
        self._lets_go = lets_go
        self._hooks = hooks
        self._streams = streams
        self._input = input
        self._care = care
        self._task: asyncio.Task[None] | None = None
        self._began: float | None = None
        self._ended: float | None = None
        self.child: Child | None = None
        self.started_at: datetime.datetime | None = None
        self.stopped_at: datetime.datetime | None = None
        self.survivors: tuple[Survivor, ...] = ()

    @property
    def runtime(self) -> float:
        """Seconds that the program has lived; 0 before the spawn."""
        if self._began is None:
            return 0.0
        return (self._clock.now() if self._ended is None else self._ended) - self._began

    def begin(self, post: Callable[[Input], None]) -> None:
        """Begin the task.

        Args:
            post: Feeds the table with what comes of it. Only the task holds it: a ring would not be freed at once.
        """
        if self._hooks is not None:
            self._hooks.run_soon(functools.partial(self._live, post))
            return
        forget = functools.partial(self._forget, post)
        self._task = task = asyncio.get_running_loop().create_task(self._live_alone(post, forget))
        task.add_done_callback(forget)

    async def _live_alone(self, post: Callable[[Input], None], forget: Callable[[asyncio.Task[None]], None]) -> None:
        """Live in a task of its own; one that has come to its end by itself need not be looked after."""
        await self._live(post)
        if self._task is not None:
            self._task.remove_done_callback(forget)

    def _forget(self, post: Callable[[Input], None], task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self.end_unbegun(post)

    def end_unbegun(self, post: Callable[[Input], None]) -> None:
        """End a run whose task is over without having begun; see ``Process.end_unbegun``."""
        if self.child is None and self._run.pid is None and self._run.state.is_live:
            post(SpawnFailed(error=self._start_cancelled()))

    def send(self, action: SendSignal) -> None:
        """Take a step of the ladder."""
        if self.child is None:
            return
        try:
            self.child.signal(action.signal, leader_only=action.leader_only)
        except ProcessLookupError:
            # It has just ended by itself: the news of that is on its way, and the table expects them.
            return
        except PermissionError:
            # A program that changed its user. The ladder goes on, and ends with a report that it is still there.
            _log.warning("%s may not be sent %s", self._spec.id, signal_name(action.signal))

    async def _live(self, post: Callable[[Input], None]) -> None:
        """Live through it; nothing but a cancellation comes out of it."""
        try:
            await self._live_through(post)
        except Exception as error:  # noqa: BLE001  # a bug of ours, told through the state
            # It must neither end the other programs of the group nor leave anybody waiting.
            _log.exception("%s: a bug of aioverseer", self._spec.id)
            if self._care is not None:
                await self._care.close()
            if self.child is not None:
                await _kill(self.child)
                child, self.child = self.child, None
                self._streams.end(child, listen=False)
            if not self._run.state.is_final:
                post(InternalError(error=error))

    async def _live_through(self, post: Callable[[Input], None]) -> None:
        """Launch, wait for the end, take the last words.

        It is never cancelled by this library before the run has ended; a cancellation means that the event loop is
        being closed, so the program is killed and reaped at once, within a bound.
        """
        capture = self._streams.captured
        try:
            channels = None if self._care is None else self._care.prepare()
            if channels is None:
                child = await self._launcher.launch(self._spec, capture=capture)
            else:
                child = await self._launcher.launch(self._spec, capture=capture, channels=channels)
        except asyncio.CancelledError:
            if self._care is not None:
                await self._care.close()
            if self._lets_go:
                await settle_work(self._launcher.close, within=_MARGIN)
            post(SpawnFailed(error=self._start_cancelled()))
            raise
        except Exception as error:  # noqa: BLE001  # SpawnError is data, anything else a bug: start() raises either
            struck = None if self._care is None else await self._care.close()
            if self._lets_go:
                struck = (await settle_work(self._launcher.close, within=_MARGIN))[1] or struck
            post(SpawnFailed(error=error))
            if struck is not None:
                raise struck from None
            return
        self.child = child
        self._began = self._clock.now()
        self.started_at = self._clock.wall()
        self._streams.begin(child)
        if self._input is not None:
            self._input.begin(child.stdin)
        post(Spawned(pid=child.pid))
        if self._hooks is not None and self._run.state is State.STARTING:
            self._hooks.on_spawn()
        if self._care is not None:
            self._care.begin(child.pid)
            if (
                self._run.state is State.STOPPING
            ):  # asked for while it was being started: what it says is heard, no more
                self._care.stop()
        cancelled: asyncio.CancelledError | None = None
        try:
            exit = await child.wait()
        except asyncio.CancelledError as error:
            cancelled = error
            exit = await _kill(child)
        self._ended = self._clock.now()
        self.stopped_at = self._clock.wall()
        if self._input is not None:
            cancelled = await self._input.end(within=_MARGIN) or cancelled
        if self._spec.leftovers == "kill":
            last = self._hooks is None or (self._run.state is State.STOPPING and not self._run.is_unhealthy)
            alone = last and child.left_nothing()
            if not alone:
                child.sweep()
            if last and not alone and child.may_have_left():
                # Nothing follows, so it is worth a look at every process of the machine. A Service that is to be
                # restarted by its policy must not do that for each run.
                left, struck = await settle_work(child.sweep_all, within=_MARGIN)
                cancelled = struck or cancelled
                self._tell_left(left or (), "could not be killed")
        elif self._spec.leftovers == "report":
            self._tell_left(child.left(), "goes on")
        if self._lets_go:
            cancelled = (await settle_work(self._launcher.close, within=_MARGIN))[1] or cancelled
        if self._streams.captured:
            try:
                await self._streams.drain(patient=cancelled is None)
            except asyncio.CancelledError as error:
                cancelled = error
        if self._care is not None:
            # What it said before its end counts, as its lines do.
            self._care.drain()
            cancelled = await self._care.close() or cancelled
        self.child = None
        self._streams.end(child, listen=self._spec.leftovers != "kill" and cancelled is None)
        post(Exited(exit=exit))
        if cancelled is not None:
            raise cancelled

    def _start_cancelled(self) -> SpawnError:
        return SpawnError(f"the start of {self._spec.id!r} was cancelled")

    def _tell_left(self, survivors: Iterable[Survivor], what: str) -> None:
        self.survivors = tuple(survivors)
        for survivor in self.survivors:
            _log.warning("%s has left %s behind, which %s", self._spec.id, survivor, what)
            if self._hooks is not None:
                self._hooks.on_news(f"has left {survivor} behind, which {what}", "leftovers")


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
