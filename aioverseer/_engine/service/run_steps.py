"""RunSteps: the steps of a service before the launch of each run, and after its end.

Few services have such steps, so this module is imported with the first of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aioverseer._engine.output.command_output import CommandOutput
from aioverseer._engine.output.pump import ByteSink, LineSink
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.hooks import HookRun, words_of
from aioverseer._engine.service.owner import StartGate
from aioverseer._engine.service.run_spec import with_changes
from aioverseer._engine.service.run_start import RunStart
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.hooks import hook_words
from aioverseer.core.options.spec import Spec
from aioverseer.core.report.events import Kind
from aioverseer.core.report.service_result import end_variables
from aioverseer.core.report.why import Awaited

__all__ = ["RunSteps"]


class RunSteps:
    """The steps around the runs of one service.

    Attributes:
        start: The steps before a launch, while they go on; else None.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        launcher: Launcher,
        queue: StartGate | None,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]],
        handle: Callable[[], Any],
        line_sink: Callable[[str, int, Spec], LineSink],
        byte_sink: Callable[[str, int, Spec], ByteSink],
        on_notice: Callable[[int, str, Kind, int], None],
    ) -> None:
        """Begin without steps.

        Args:
            clock: The source of time.
            launcher: The launcher of commands.
            queue: The limit on programs that start at once; None without one.
            start_task: Function that runs a coroutine until the overseer is left.
            handle: Function that returns the service as functions of the user receive it.
            line_sink: Factory of a consumer of lines of a run.
            byte_sink: Factory of a consumer of bytes of a run.
            on_notice: Function that publishes an event about a run.
        """
        self.start: RunStart | None = None
        self._cleanup: HookRun | None = None
        self._cleanup_words = ""
        self._cleanup_due = 0.0
        self._clock = clock
        self._launcher = launcher
        self._queue = queue
        self._start_task = start_task
        self._handle = handle
        self._line_sink = line_sink
        self._byte_sink = byte_sink
        self._on_notice = on_notice

    # Before the launch.

    def begin(
        self,
        spec: Spec,
        number: int,
        delay: float,
        *,
        launch: Callable[[Spec], None],
        launch_in_vain: Callable[[Exception | None], None],
    ) -> None:
        """Take the steps before a launch, and launch the run then.

        Args:
            spec: The options of the run, before ``prepare`` has changed some.
            number: The number of the run.
            delay: Seconds before the other steps.
            launch: Function that launches the run with its final options.
            launch_in_vain: Function that lets the run end without a launch: with an error, or stopped.
        """
        began: list[float] = []

        def make_hook() -> HookRun:
            began.append(self._clock.now())
            return self._hook("prepare", spec, number, (self._handle(), number))

        def go(changed: Mapping[str, Any]) -> None:
            self.start = None
            try:
                changed_spec = with_changes(spec.updated(delay_start=0), changed)
            except Exception as error:  # noqa: BLE001  # a value that an option does not take
                what = hook_words("prepare", spec.prepare or ())
                refused = SpawnError(f"service {spec.id!r} cannot be started: {what} returned: {error}")
                refused.__cause__ = error
                launch_in_vain(refused)
                return
            if began and changed_spec.ready_timeout is not None:
                # The time for ``prepare`` is part of the time in which the program must be ready.
                left = changed_spec.ready_timeout - (self._clock.now() - began[0])
                changed_spec = changed_spec.updated(ready_timeout=max(0.0, left))
            launch(changed_spec)

        def fail(error: Exception | None) -> None:
            self.start = None
            launch_in_vain(error)

        self.start = RunStart(
            spec,
            number=number,
            delay=delay,
            clock=self._clock,
            queue=self._queue,
            make_hook=make_hook,
            start_task=lambda work: self._run(work, unbegun=self.end_unbegun),
            on_launch=go,
            on_failed=fail,
            on_stopped=lambda: fail(None),
        )
        self.start.begin()

    def stop(self, *, kill: bool) -> None:
        """Give up the steps before a launch; with ``kill`` also ``cleanup``."""
        if self.start is not None:
            self.start.stop()
        elif self._cleanup is not None and kill:
            self._cleanup.give_up()

    def end_unbegun(self) -> None:
        """End steps whose task was cancelled before its first step, when the event loop is closed."""
        if self.start is not None:
            self.start.end_unbegun()

    @property
    def is_busy(self) -> bool:
        """Whether a step goes on."""
        return self.start is not None or self._cleanup is not None

    @property
    def reason(self) -> str:
        """The step that goes on, as a sentence without its subject; empty for none."""
        if self.start is not None:
            return self.start.reason
        return f"waits for {self._cleanup_words}" if self._cleanup is not None else ""

    def awaited(self) -> list[Awaited]:
        """Return the step that goes on."""
        return [] if self.start is None else self.start.awaited()

    @property
    def ending(self) -> tuple[str, float | None] | None:
        """``cleanup`` as words after "waits for", and the monotonic time of its end; None if it does not go on."""
        return None if self._cleanup is None else (self._cleanup_words, self._cleanup_due)

    # After the end.

    def clean_up(self, run: ProcessRunner, *, requested: bool, then: Callable[[], None]) -> None:
        """Run ``cleanup`` of the current run, for as long as its ladder takes at most. A failure is only reported.

        Args:
            run: The run, which has ended.
            requested: Whether somebody has asked for the end.
            then: Called after it.
        """

        def on_end() -> None:
            self._cleanup = None
            then()

        self._cleanup_words = hook_words("cleanup", run.spec.cleanup or ())
        self._cleanup_due = self._clock.now() + run.spec.stop.total
        self._cleanup = self._begin_cleanup(run, requested=requested, then=on_end)

    def clean_up_beside(self, run: ProcessRunner, *, requested: bool) -> None:
        """Run ``cleanup`` of a run that another one has replaced. Nobody waits for it."""
        self._begin_cleanup(run, requested=requested, then=lambda: None)

    def _begin_cleanup(self, run: ProcessRunner, *, requested: bool, then: Callable[[], None]) -> HookRun:
        spec, number, status = run.spec, run.number, run.snapshot().status()
        env = end_variables(status, spec.restart, requested=requested)
        hook = self._hook("cleanup", spec, number, (self._handle(), status), env=env)
        due = self._clock.now() + spec.stop.total

        async def clean_up() -> None:
            cancelled = await hook.run(due)
            why = ""
            if hook.is_given_up:
                why = "it was given up"
            elif hook.is_late:
                why = f"it was still under way after {spec.stop.total:g} s"
            elif hook.error is not None:
                why = words_of(hook.error)
            if why:
                words = hook_words("cleanup", spec.cleanup or ())
                self._on_notice(number, f"{words} failed: {why}", "cleanup", logging.WARNING)
            then()
            if cancelled is not None:
                raise cancelled

        self._run(clean_up, unbegun=then)
        return hook

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]], *, unbegun: Callable[[], None]) -> None:
        """Run work in a task of its own; call ``unbegun`` if that is cancelled before its first step."""
        begun = False

        async def begin() -> None:
            nonlocal begun
            begun = True
            await work()

        def on_done(_task: asyncio.Task[None]) -> None:
            if not begun:
                unbegun()

        self._start_task(begin).add_done_callback(on_done)

    def _hook(
        self,
        option: str,
        spec: Spec,
        number: int,
        given: tuple[Any, Any],
        env: Mapping[str, str] | None = None,
    ) -> HookRun:
        return HookRun(
            option,
            spec.prepare if option == "prepare" else spec.cleanup,
            given,
            spec=spec,
            launcher=self._launcher,
            clock=self._clock,
            env=env,
            make_output=lambda: CommandOutput(
                spec,
                lambda stream: self._line_sink(stream, number, spec),
                lambda stream: self._byte_sink(stream, number, spec),
            ),
        )
