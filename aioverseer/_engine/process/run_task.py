"""RunTask: the one task of a run. It launches the program, waits for its end, reads its last output and cleans up."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import functools
import logging
import signal as signals
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from aioverseer._aio.shield import settle, settle_work
from aioverseer._aio.timers import resolve
from aioverseer._engine.output.command_output import CommandOutput
from aioverseer._engine.output.streams import OutputStreams
from aioverseer._engine.process.owner import ProcessOwner
from aioverseer._engine.process.stdin import StdinFeeder
from aioverseer._engine.process.stop_steps import OF_READER, StepPerformer
from aioverseer._engine.process.upstream import Pipe, Upstream, UpstreamStopped
from aioverseer._system.process.pipes import PipeEnd
from aioverseer._system.protocols import Child, Launcher, Leftovers, ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.machine.actions import PerformStep, SendSignal, SignalOutside, SignalUnreached
from aioverseer.core.machine.inputs import (
    Exited,
    InternalError,
    LaunchStopped,
    LeaderEnded,
    Spawned,
    SpawnFailed,
    StepFailed,
)
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Input
from aioverseer.core.options.containment import IN_BACKGROUND, Survivor, left_behind
from aioverseer.core.options.pipeline import read_from, written_to
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import FINAL_TIMEOUT
from aioverseer.core.options.stop_steps import EndUpstream
from aioverseer.core.report.events import Kind
from aioverseer.core.state import Exit, State, signal_name

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health

__all__ = ["RunTask"]

_log = logging.getLogger("aioverseer")

_MARGIN = 2.0
"""Seconds that one step of the clean-up may take on a busy host."""


class RunTask:
    """The program of one run, and the task that runs it.

    Attributes:
        child: The program, from its spawn until its last output has been read; else None.
        started_at: Wall-clock time of the spawn, with a timezone.
        stopped_at: Wall-clock time of the end, with a timezone.
        survivors: Leftovers of the program that are known to be alive.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        machine: ProcessMachine,
        clock: Clock,
        launcher: Launcher,
        closes_launcher: bool,
        owner: ProcessOwner | None,
        number: int,
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], object] | None,
        streams: OutputStreams,
        stdin: StdinFeeder | None,
        health: Health | None,
        upstream: Upstream | None = None,
        make_output: Callable[[], CommandOutput] | None = None,
        sockets: Callable[[], ReadinessChannels] | None = None,
    ) -> None:
        """Prepare the task. ``begin`` starts it.

        Args:
            spec: The options of the run.
            machine: The state of the run, for reading. The function given to ``begin`` feeds it.
            clock: The source of time, for the runtime of the program.
            launcher: The launcher of the program.
            closes_launcher: Whether the launcher is closed after the run.
            owner: The receiver of a notice for each leftover; None for a lone Process.
            number: The number of the run.
            start_task: Function that runs the task; None for an asyncio task of its own.
            streams: The output of the program.
            stdin: The input of the program.
            health: The probes of the program.
            upstream: The program whose output is its input; None without one.
            make_output: Factory of the receiver of the output of a command on behalf of the program; None for none.
            sockets: Function that opens its listening sockets and returns channels with them alone; None for none.
        """
        self._make_output = make_output
        self._upstream = upstream
        self._sockets = sockets
        self.output: PipeEnd | None = None
        """The end of the pipe for standard output, if the program is not the last one of a pipeline."""
        self._spec = spec
        self._machine = machine
        self._clock = clock
        self._launcher = launcher
        self._closes_launcher = closes_launcher
        self._owner = owner
        self._number = number
        self._start_task = start_task
        self._streams = streams
        self._stdin = stdin
        self._health = health
        self._steps: StepPerformer | None = None
        """The steps of the ladder that are no signals, once there was one."""
        self._task: asyncio.Task[None] | None = None
        self._began: float | None = None
        self._ended: float | None = None
        self.child: Child | None = None
        self.started_at: datetime.datetime | None = None
        self.stopped_at: datetime.datetime | None = None
        self.survivors: tuple[Survivor, ...] = ()
        self._leftovers: Leftovers | None = None
        """The processes that the leader has left behind, while they have the time of the ladder."""
        self._leftovers_over: asyncio.Future[None] | None = None
        """Resolved by SIGKILL, which ends the wait for them."""
        self._unsent: set[int] = set()
        """Signals of the ladder that came after the end of the leader, and so have not reached its group."""

    @property
    def runtime(self) -> float:
        """Seconds since the spawn, or from the spawn to the end; 0 before the spawn."""
        if self._began is None:
            return 0.0
        return (self._clock.now() if self._ended is None else self._ended) - self._began

    def begin(self, submit: Callable[[Input], None]) -> None:
        """Start the task.

        Args:
            submit: Function that feeds the state machine. Only the task holds it. A reference from this object would
                form a cycle with the runner, and an ended run would wait for the garbage collector.
        """
        if self._start_task is not None:
            self._start_task(functools.partial(self._run, submit))
            return
        on_done = functools.partial(self._on_done, submit)
        self._task = task = asyncio.get_running_loop().create_task(self._run_alone(submit, on_done))
        task.add_done_callback(on_done)

    async def _run_alone(self, submit: Callable[[Input], None], on_done: Callable[[asyncio.Task[None]], None]) -> None:
        await self._run(submit)
        # The callback serves a task that was cancelled before its first step. This task has reported everything.
        if self._task is not None:
            self._task.remove_done_callback(on_done)

    def _on_done(self, submit: Callable[[Input], None], task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self.end_unbegun(submit)

    def end_unbegun(self, submit: Callable[[Input], None]) -> None:
        """End a run whose task was cancelled before its first step; see ``ProcessRunner.end_unbegun``."""
        if self.child is None and self._machine.pid is None and self._machine.state.is_live:
            submit(SpawnFailed(error=self._start_cancelled()))

    def send(self, action: SendSignal) -> None:
        """Send the signal of a step of the ladder."""
        if self._steps is not None:
            self._steps.cancel()
        if self.child is None:
            return
        if self._leftovers is not None and self._leftovers_over is not None:
            self._leftovers.signal(action.signal)
            if action.signal == signals.SIGKILL:
                resolve(self._leftovers_over)  # the sweep that follows also finds those that appear now
            return
        try:
            self.child.signal(action.signal, leader_only=action.leader_only)
        except ProcessLookupError:
            # The program has just ended by itself. Its exit is about to be reported, or what it has left behind.
            self._unsent.add(action.signal)
        except PermissionError:
            # The program has changed its user. The ladder goes on, and reports the program as unstoppable at its end.
            _log.warning("%s may not be sent %s", self._spec.id, signal_name(action.signal))

    def perform(self, action: PerformStep, submit: Callable[[Input], None]) -> None:
        """Take a step of the ladder that is no signal.

        Args:
            action: The step.
            submit: Function that feeds the state machine; see ``begin``.
        """

        def on_failure(why: str, *, is_over: bool) -> None:
            if self._machine.state is State.STOPPING:
                if why:
                    self._notify(f"is stopped, and {action.step.name} failed: {why}", "stop")
                submit(StepFailed(step=action.step, why=why, number=None if is_over else action.number))

        if self._ended is not None:
            # The leader has ended by itself, and the run ends soon: nobody is left to ask. A command would outlive it.
            if isinstance(action.step, EndUpstream) and self._upstream is not None:
                self._upstream.begin_stop(why=OF_READER)
            return
        if self._steps is None:
            self._steps = StepPerformer(
                self._spec,
                launcher=self._launcher,
                clock=self._clock,
                stdin=self._stdin,
                upstream=self._upstream,
                make_output=self._make_output,
            )
        self._steps.begin(action.step, pid=self._machine.pid or 0, on_failure=on_failure)

    def stop_upstream(self, *, kill: bool, why: str) -> None:
        """Begin to stop the program before this one in a pipeline, if there is one and it lives."""
        if self._upstream is not None:
            self._upstream.begin_stop(kill=kill, why=why)

    def send_outside(self, action: SignalOutside) -> None:
        """Have the signal of the present step sent to processes outside of the group."""
        if self.child is not None and self._spec.leftovers == "kill":
            self.child.signal_outside(action.signal, soon=action.soon, late=action.late)

    def send_unreached(self, action: SignalUnreached) -> None:
        """Send the signal of the present step to leftovers outside of the group."""
        if self._leftovers is not None:
            self._leftovers.signal(action.signal, missed=action.signal not in self._unsent)

    async def _run(self, submit: Callable[[Input], None]) -> None:
        """Run the program. This raises nothing but a cancellation, a KeyboardInterrupt or the like."""
        try:
            await self._launch_and_wait(submit)
        except Exception as error:  # noqa: BLE001  # a bug of this library: the state of this run shows it
            # The bug must not end other programs of the task group, and no caller may wait forever.
            _log.exception("%s: a bug of aioverseer", self._spec.id)
            if self._steps is not None:
                self._steps.cancel()
            if self._upstream is not None:
                self._upstream.begin_stop(kill=True, why="its reader was killed because of a bug of aioverseer")
            if self._health is not None:
                await self._health.close()
            if self.child is not None:
                await _kill(self.child)
                child, self.child = self.child, None
                self._streams.end(child, read_on=False)
            if not self._machine.state.is_final:
                submit(InternalError(error=error))

    async def _launch_and_wait(self, submit: Callable[[Input], None]) -> None:
        """Launch the program, wait for its end, read its last output and clean up.

        The library never cancels this before the run has ended. A cancellation therefore means that the event loop is
        being closed: the program is killed and reaped at once, for a bounded time.
        """
        child = await self._launch(submit)
        if child is None:
            return
        self.child = child
        self._began = self._clock.now()
        self.started_at = self._clock.wall()
        self._streams.begin(child)
        if self._stdin is not None:
            self._stdin.begin(child.stdin)
        submit(Spawned(pid=child.pid))
        if self._health is not None:
            self._health.begin(child)
            if self._machine.state is State.STOPPING:
                # A stop was requested during the spawn. Notices of the program are received, but it is not probed.
                self._health.stop()
        cancelled: asyncio.CancelledError | None = None
        try:
            exit = await (child.wait() if self._health is None else self._health.wait(child))
        except asyncio.CancelledError as error:
            cancelled = error
            exit = await _kill(child)
        self._ended = self._clock.now()
        self.stopped_at = self._clock.wall()
        if self._steps is not None:
            # Before the leftovers, which include daemons that a command has left.
            cancelled = await self._steps.end(patient=cancelled is None) or cancelled
        cancelled = await self._end_leftovers(child, exit, submit, patient=cancelled is None) or cancelled
        upstream_words = ""
        if self._upstream is not None:
            patient = cancelled is None and not self._machine.is_killing
            cancelled = await self._upstream.end(patient=patient) or cancelled
            exit, upstream_words = self._upstream.judged(exit)
            if not self._machine.is_killing and (failure := self._upstream.stop_failure):
                self._report_upstream(failure, submit)
        if self._stdin is not None:
            cancelled = await self._stdin.end(within=_MARGIN) or cancelled
        if self._closes_launcher:
            cancelled = (await settle_work(self._launcher.close, within=_MARGIN))[1] or cancelled
        if self._streams.captured:
            try:
                await self._streams.drain(patient=cancelled is None)
            except asyncio.CancelledError as error:
                cancelled = error
        if self._health is not None:
            # Notifications that the program sent before its end count, as its lines do.
            self._health.drain()
            cancelled = await self._health.close() or cancelled
        self.child = None
        self._streams.end(child, read_on=self._spec.leftovers != "kill" and cancelled is None)
        said = "" if self._health is None else self._health.said_error
        submit(Exited(exit=exit, upstream=upstream_words, said=said))
        if cancelled is not None:
            raise cancelled

    async def _launch(self, submit: Callable[[Input], None]) -> Child | None:
        """Launch the program. After a failure, submit it and return None."""
        capture = self._streams.captured
        try:
            # Before the probes are prepared: the listener of a probe is no stranger if it is one of these.
            sockets = None if self._sockets is None else self._sockets()
            channels = None if self._health is None else await self._health.prepare(sockets)
            if channels is None or sockets is None:
                channels = channels or sockets
            else:
                channels = dataclasses.replace(
                    channels, sockets=sockets.sockets, announces_sockets=sockets.announces_sockets
                )
            if self._upstream is not None or self.output is not None:
                return await self._launch_joined(channels, capture=capture)
            if channels is None:
                return await self._launcher.launch(self._spec, capture=capture)
            return await self._launcher.launch(self._spec, capture=capture, channels=channels)
        except asyncio.CancelledError:
            if self._health is not None:
                await self._health.close()
            if self._closes_launcher:
                await settle_work(self._launcher.close, within=_MARGIN)
            submit(SpawnFailed(error=self._start_cancelled()))
            raise
        except Exception as error:  # noqa: BLE001  # SpawnError is data, anything else a bug: start() raises either
            cancelled = None if self._health is None else await self._health.close()
            if self._closes_launcher:
                cancelled = (await settle_work(self._launcher.close, within=_MARGIN))[1] or cancelled
            is_stopped = isinstance(error, UpstreamStopped) and self._machine.state is State.STOPPING
            submit(LaunchStopped() if is_stopped else SpawnFailed(error=error))
            if cancelled is not None:
                raise cancelled from None
            return None

    async def _launch_joined(self, channels: ReadinessChannels | None, *, capture: bool) -> Child:
        """Launch a program of a pipeline, and before it the one whose output is its input.

        The host closes its copies of the pipe at once: each program must see the end of its neighbour. After a failure
        or a cancellation the earlier program is killed.
        """
        spec = self._spec
        if self.output is not None:
            spec = written_to(spec, self.output)
        if self._upstream is None:
            return await self._launcher.launch(spec, capture=capture, channels=channels)
        try:
            with Pipe() as (read, write):
                await self._upstream.start(write)
                write.close()
                return await self._launcher.launch(read_from(spec, read), capture=capture, channels=channels)
        except BaseException:
            await self._upstream.kill()
            raise

    async def _end_leftovers(
        self, child: Child, exit: Exit, submit: Callable[[Input], None], *, patient: bool
    ) -> asyncio.CancelledError | None:
        """End or report processes that the program has left behind; return a cancellation that came meanwhile.

        Args:
            child: The program, whose leader has ended.
            exit: The exit of the leader.
            submit: Function that feeds the state machine.
            patient: Whether they get the time of the ladder. If not, they are killed at once.
        """
        if self._spec.leftovers == "report":
            self._report_leftovers(child.left(), "goes on")
        if self._spec.leftovers != "kill":
            return None
        if child.left_nothing():
            return None
        cancelled: asyncio.CancelledError | None = None
        # A look at every process of the machine is worth its cost where no run follows. A service that is about to
        # restart must not pay it for each run.
        is_last = self._is_last(exit)
        # The owner sweeps after a service that has ended for good by itself, and reports the survivors then.
        is_reported_later = is_last and self._owner is not None and self._machine.state is not State.STOPPING
        if patient and not self._machine.is_killing:
            try:
                # A daemon is the usual leftover of a success. Without a look its next run would meet it.
                everywhere = is_last or exit.code == 0
                is_last = await self._wait_for_leftovers(child, exit, submit, everywhere=everywhere) or is_last
            except asyncio.CancelledError as error:
                cancelled = error
        child.sweep()
        if (is_last or self._machine.is_killing) and child.may_have_left():
            left, late = await settle_work(child.sweep_all, within=_MARGIN)
            cancelled = late or cancelled
            if is_reported_later:
                self.survivors = tuple(left or ())
            else:
                self._report_leftovers(left or (), "could not be killed")
        return cancelled

    def _is_last(self, exit: Exit) -> bool:
        """Return whether no run follows without a request."""
        if self._owner is None:
            return True
        if self._machine.state is State.STOPPING:
            return not self._machine.is_unhealthy
        return not self._owner.will_run_again(exit)

    async def _wait_for_leftovers(
        self, child: Child, exit: Exit, submit: Callable[[Input], None], *, everywhere: bool
    ) -> bool:
        """Give the leftovers of a program the steps of its ladder; return whether there were any.

        When this is cancelled, the caller kills them.
        """
        leftovers = await child.find_leftovers(everywhere=everywhere)
        if leftovers is None:
            return False
        if self._machine.is_killing:  # the ladder came to its end during the search
            leftovers.close()
            return True
        self._leftovers = leftovers
        self._leftovers_over = over = asyncio.get_running_loop().create_future()
        submit(LeaderEnded(exit=exit, left=leftovers.processes))
        if self._machine.ended_by_itself:
            advice = f"; {IN_BACKGROUND}" if self._machine.is_in_background else ""
            self._notify(f"{exit} and left {left_behind(leftovers.processes)}{advice}")
        gone = asyncio.ensure_future(leftovers.wait())
        try:
            await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self._leftovers = self._leftovers_over = None
            leftovers.close()
        return True

    def _report_upstream(self, failure: str, submit: Callable[[Input], None]) -> None:
        step = EndUpstream(0.0)
        if self._machine.state is State.STOPPING:
            self._notify(f"is stopped, and {step.name} failed: {failure}", "stop")
            submit(StepFailed(step=step, why=failure))
        else:
            self._notify(f"has ended, and {step.name} failed: {failure}", "stop")

    def _start_cancelled(self) -> SpawnError:
        return SpawnError(f"the start of {self._spec.id!r} was cancelled")

    def _report_leftovers(self, survivors: Iterable[Survivor], what: str) -> None:
        self.survivors = tuple(survivors)
        for survivor in self.survivors:
            self._notify(f"has left {survivor} behind, which {what}")

    def _notify(self, text: str, kind: Kind = "leftovers") -> None:
        if self._owner is None:
            _log.warning("%s %s", self._spec.id, text)
        else:
            self._owner.on_notice(self._number, text, kind, level=logging.WARNING)


async def _kill(child: Child) -> Exit:
    """Kill and reap a child although the task is being cancelled; return an unknown Exit when that takes too long."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        child.signal(signals.SIGKILL)
    waiting = asyncio.ensure_future(child.wait())
    await settle(waiting, within=FINAL_TIMEOUT)
    if waiting.done() and not waiting.cancelled():
        return waiting.result()
    waiting.cancel()
    return Exit()
