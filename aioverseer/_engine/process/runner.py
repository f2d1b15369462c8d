"""The driver of one run: feeds the table of ``core/machine/process.py`` and performs what that asks for; what is known of the run.

The program itself is dealt with by its ``RunTask``. What users call, and what raises for them, never lives here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from aioverseer._aio.watchers import Watchers
from aioverseer._engine.output.pump import LineSink
from aioverseer._engine.output.streams import OutputStreams
from aioverseer._engine.process.run_task import RunTask
from aioverseer._engine.process.stdin import StdinFeeder
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock, Timer
from aioverseer.core.errors import OverseerError
from aioverseer.core.machine.actions import Launch, ReadyTimedOut, SendSignal, Unstoppable
from aioverseer.core.machine.inputs import Extend, Ready, TimerFired, Unhealthy
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Arm, Disarm, Input, Transition
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.status import StatusSnapshot, last_lines, late, unhealthy
from aioverseer.core.state import State

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.process.process import Process
from aioverseer._engine.process.owner import Hooks

__all__ = ["ProcessRunner"]

_log = logging.getLogger("aioverseer")


class ProcessRunner:
    """Takes one run from INITIAL to a final state.

    Attributes:
        run: The table: where the run is, and why. Only the driver feeds it.
        readied: Whether it has been ready.
        care: What it is asked; None for most.
        input: What it reads, unless that is the null device.
        streams: What it writes.
        lifetime: The program.
    """

    def __init__(
        self, spec: Spec, *, process: Process, clock: Clock, launcher: Launcher, lets_go: bool, hooks: Hooks | None
    ) -> None:
        """Put the parts of a run together; nothing is started.

        Args:
            spec: What to run.
            process: What users and the Service know it by.
            clock: Where time comes from.
            launcher: What starts it.
            lets_go: Whether the launcher is closed behind the run.
            hooks: Those of a Service.
        """
        self._spec = spec
        self._clock = clock
        self._launcher = launcher
        self._hooks = hooks
        # Few programs have probes, and most hosts need not import what that takes.
        self.care = self._make_care(process) if spec.ready is not None or spec.alive is not None else None
        self.input = StdinFeeder(spec) if spec.stdin is not None or spec.pty else None
        self._on_report: Callable[[Transition], None] | None = None
        listeners: list[Callable[[str], LineSink | None]] = []
        if hooks is not None:
            self._on_report = functools.partial(hooks.on_report, process)
            listeners.append(hooks.outlet)
        if self.care is not None and self.care.reads_lines:
            listeners.append(self.care.watch)
        self.streams = OutputStreams(spec, clock=clock, listeners=listeners)
        self.run = ProcessMachine(
            ladder=spec.stop,
            delay=spec.delay_start,
            awaits_ready=spec.ready is not None,
            ready_timeout=spec.ready_timeout,
        )
        self.lifetime = RunTask(
            spec,
            run=self.run,
            clock=clock,
            launcher=launcher,
            lets_go=lets_go,
            hooks=hooks,
            streams=self.streams,
            input=self.input,
            care=self.care,
        )
        self.readied = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._watchers: Watchers[ProcessMachine] = Watchers()
        self._at_end: Watchers[ProcessMachine] = Watchers()
        """Those who wait for its end: they need not be asked before."""

    def post(self, given: Input) -> None:
        """Feed the table and perform what it asks for.

        Raises:
            OverseerError: When it is called on another event loop than the one it was started on.
        """
        if self._loop is not asyncio.get_running_loop():
            self.check_loop()
        for action in self.run.feed(given, self._clock.now()):
            match action:  # the frequent ones first
                case Transition():
                    if action.state.is_final:
                        self.streams.end_queues()
                    if action.state is State.RUNNING:
                        self.readied = True
                        if self.care is not None:
                            self.care.begin_liveness()
                    elif self.care is not None and action.previous is not State.INITIAL:
                        self.care.stop()
                    if self._on_report is not None:
                        self._on_report(action)
                        if action.state.is_final:
                            self._on_report = None  # a ring with the Process, which is not freed at once
                    self._watchers.notify(self.run)
                    if action.state.is_final:
                        self._at_end.notify(self.run)
                case Launch():
                    self.lifetime.begin(self.post)
                case SendSignal():
                    self.lifetime.send(action)
                case Arm():
                    self._disarm()
                    self._timer = self._clock.call_at(self.run.now + action.seconds, self._on_due)
                case Disarm():
                    self._disarm()
                case ReadyTimedOut():
                    self._end_late()
                case Unstoppable():
                    _log.error("%s %s", self._spec.id, self.run.reason)
                    if self._hooks is not None:
                        self._hooks.on_unstoppable()
                    self._watchers.notify(self.run)
                    self._at_end.notify(self.run)
                case _:
                    assert_never(action)

    def check_loop(self) -> None:
        """Make sure that all use is on one event loop: nothing in here is safe between threads."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise OverseerError(
                f"{self._spec.id!r} belongs to another event loop: use it on the loop on which it was started"
            )

    def watch(self, wanted: Callable[[ProcessMachine], bool]) -> asyncio.Future[ProcessMachine]:
        """Return a future for the first change, or the present state, that is wanted."""
        self.check_loop()
        return self._watchers.watch(self.run, wanted)

    def end(self) -> asyncio.Future[ProcessMachine]:
        """Return a future for its end, or for that of its ladder."""
        if self._loop is not asyncio.get_running_loop():
            self.check_loop()
        return self._at_end.watch(self.run, ProcessMachine.is_over)

    def facts(self, *, lines: bool = True) -> StatusSnapshot:
        """Return what a Status is made of."""
        run, lifetime = self.run, self.lifetime
        stdout, stderr = self.streams.kept_lines() if lines else (None, None)
        return StatusSnapshot(
            self._spec,
            run.pid or None,
            run.state,
            run.exit,
            run.error,
            lifetime.started_at,
            lifetime.stopped_at,
            lifetime.runtime,
            stdout,
            stderr,
            0,
            run.reason,
            0,
            0,
            self._launcher.containment_of(self._spec).level,
        )

    def last_lines(self) -> list[str]:
        """Return the last lines that it wrote, for an error's message."""
        if self._hooks is not None:
            return self._hooks.last_lines()
        stdout, stderr = self.streams.kept_lines()
        return last_lines(stderr or stdout or ())

    @property
    def news(self) -> str:
        """What it waits for to be ready, whether it is alive, and what it says of itself; empty when nothing."""
        return "" if self.care is None else self.care.summary

    def _on_due(self) -> None:
        self._timer = None
        self.post(TimerFired())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make_care(self, process: Process) -> Health:
        from aioverseer._engine.health.health import Health  # noqa: PLC0415  # few programs have probes

        return Health(
            spec=self._spec,
            clock=self._clock,
            launcher=self._launcher,
            process=process,
            on_ready=lambda: self.post(Ready()),
            on_extend=lambda seconds: self.post(Extend(seconds=seconds)),
            on_unhealthy=self._end_unhealthy,
            publish=self._on_news,
        )

    def _on_news(self, text: str) -> None:
        if self._hooks is not None:
            self._hooks.on_news(text, "health")
        else:
            _log.info("%s %s", self._spec.id, text)

    def _end_late(self) -> None:
        seconds = self.lifetime.runtime
        error = late(self.facts(lines=False).status(), seconds, self.news, self.last_lines())
        self.post(Unhealthy(error=error, why=f"it was not ready within {seconds:.3g} s"))

    def _end_unhealthy(self, why: str) -> None:
        error = unhealthy(self.facts(lines=False).status(), why, self.last_lines())
        self.post(Unhealthy(error=error, why=f"it is not alive: {why}"))
