"""Reloader: lets the program of a service read its configuration again, and waits until it has done so."""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
from typing import Any, TypeVar, cast

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import OneShotTimer, resolve
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.runner import ServiceRunner
from aioverseer._system.process.command import CommandEnd, run_command, spec_of_command
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError, ProcessNotRunning, SpecError
from aioverseer.core.machine.reload import ReloadJudge
from aioverseer.core.options.stop_steps import with_pid
from aioverseer.core.report.status import NotReadyInTime, ProcessFailed, RunEnded
from aioverseer.core.state import State, signal_name
from aioverseer.core.text.sd_notify import Notice

__all__ = ["Reloader"]

T = TypeVar("T")

_END_TIMEOUT = 2.0
"""Seconds for a cancelled command to end: it is killed."""


class Reloader:
    """The reloads of one service, one at a time.

    A second request waits for the first one and then reloads again: the configuration may have changed after the
    program has read it.
    """

    def __init__(self, service: ServiceRunner) -> None:
        """Begin without a reload.

        Args:
            service: The service.
        """
        self._service = service
        self._process: ProcessRunner | None = None
        self._lock = asyncio.Lock()

    async def reload(self, timeout: float | None) -> None:
        """Reload the program; see ``Service.reload``. When this is cancelled, a command is killed."""
        if self._running() is not self._process:  # a new run, which owes nothing to the requests to the last one
            self._process, self._lock = self._running(), asyncio.Lock()
        async with self._lock:
            process = self._running()
            words = self._words(process)
            self._service.on_notice(process.number, f"is asked to reload, by {words}", "reload")
            try:
                await self._reload(process, words, timeout)
            except OverseerError as error:
                why = str(error).partition("\n")[0]
                text = why.removeprefix(f"{self._service.id!r} ")
                if not text.startswith("was not reloaded"):
                    text = f"was not reloaded: {why}"
                self._service.on_notice(process.number, text, "reload", level=logging.WARNING)
                raise

    def _running(self) -> ProcessRunner:
        service, process = self._service, self._service.process
        if service.is_task:
            what = "an external service" if service.is_external else "a task or resource"
            raise OverseerError(f"{service.id!r} is {what}, which no signal or command of a Spec reloads")
        if service.spec.reload is None:
            raise SpecError(
                f"{service.id!r} has no way to reload: give it reload=signal.SIGHUP, a command, or 'notify'",
                option="reload",
                value=None,
            )
        if service.state is not State.RUNNING or process is None:
            because = f", {reason}" if (reason := service.reason()) else ""
            raise ProcessNotRunning(f"{service.id!r} cannot reload: it is {service.state}{because}: {_advice(service)}")
        return process

    def _words(self, process: ProcessRunner) -> str:
        match self._service.spec.reload:
            case int(number):
                return signal_name(number)
            case "notify":
                return "SIGHUP"
            case _:
                return f"`{shlex.join(self._command(process))}`"

    def _command(self, process: ProcessRunner) -> tuple[str, ...]:
        """Return the command of a run, with the values of its placeholders."""
        words = self._service.command_of(process.number, cast("tuple[str, ...]", self._service.spec.reload))
        return with_pid(words, process.machine.pid or 0)

    async def _reload(self, process: ProcessRunner, words: str, timeout: float | None) -> None:
        match self._service.spec.reload:
            case int(number):
                self._signal(process, number)
            case "notify":
                await self._until_ready(process, timeout)
            case _:
                await self._run(process, self._command(process), words, timeout)

    def _signal(self, process: ProcessRunner, number: int) -> None:
        child = process.run_task.child
        try:
            if child is None:
                raise ProcessLookupError
            child.signal(number, leader_only=True)
        except ProcessLookupError:
            raise self._ended(process) from None

    async def _until_ready(self, process: ProcessRunner, timeout: float | None) -> None:
        health = process.health
        if health is None or process.spec.reload != "notify":  # the option is newer than the run
            raise SpecError(
                f"{self._service.id!r} has reload='notify' from its next run on: restart it first",
                option="reload",
                value="notify",
            )
        health.drain()  # notices that came before the signal are no answer to it
        judge = ReloadJudge(said_ready=health.said_ready)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        limit = _Limit(self._service.clock, timeout)

        def on_notice(notice: Notice) -> None:
            if judge.is_done(notice):
                resolve(done)
            elif notice.extend is not None:
                limit.extend(notice.extend)

        health.on_notice = on_notice
        try:
            self._signal(process, signal.SIGHUP)
            await self._first(process, done, limit, "it did not send READY=1")
        finally:
            limit.cancel()
            health.on_notice = None
        self._service.on_notice(process.number, "has reloaded", "reload")

    async def _run(self, process: ProcessRunner, argv: tuple[str, ...], words: str, timeout: float | None) -> None:
        output = None if process.make_output is None else process.make_output()
        command = spec_of_command(process.spec, argv, role="reload")
        task: asyncio.Future[CommandEnd] = asyncio.ensure_future(
            run_command(process.launcher, command, on_output=None if output is None else output.feed)
        )
        limit = _Limit(self._service.clock, timeout)
        cancelled: asyncio.CancelledError | None = None
        try:
            end = await self._first(process, task, limit, f"{words} was still running, and was killed")
        finally:
            limit.cancel()
            if not task.done():
                task.cancel()
                cancelled = await settle(task, within=_END_TIMEOUT)
            if output is not None:
                output.end()
            if cancelled is not None:
                raise cancelled
        if end.failure is not None:
            status = self._service.snapshot(lines=False).status()
            text = f"{self._service.id!r} was not reloaded: {words} failed: {end.failure}"
            raise ProcessFailed(text, id=self._service.id, status=status, lines=end.lines)
        self._service.on_notice(process.number, "has reloaded", "reload")

    async def _first(self, process: ProcessRunner, done: asyncio.Future[T], limit: _Limit, late: str) -> T:
        """Wait for the outcome, for the end of the run, or for the time limit. Safe to cancel."""
        left = process.watch(lambda machine: machine.state is not State.RUNNING)
        waiting: set[asyncio.Future[Any]] = {done, left, limit.over}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_left = left.done()
            left.cancel()
        if done.done():
            return done.result()
        if is_left:
            raise self._ended(process)
        service = self._service
        raise NotReadyInTime(
            f"{service.id!r} was not reloaded within {limit.seconds:.3g} s: {late}",
            id=service.id,
            status=service.snapshot(lines=False).status(),
            lines=service.last_lines(),
        )

    def _ended(self, process: ProcessRunner) -> RunEnded:
        service = self._service
        return RunEnded(
            f"{service.id!r} was not reloaded: its run has ended before, {process.reason}",
            id=service.id,
            status=process.snapshot(lines=False).status(),
            lines=service.last_lines(),
        )


def _advice(service: ServiceRunner) -> str:
    match service.state:
        case State.STARTING:
            return "wait for ready()"
        case State.BACKOFF | State.WAITING:
            return "its next run reads its configuration anyway"
        case State.STOPPING if service.machine.wanted:
            return "its next run reads its configuration anyway"
        case _:
            return "start it, and it reads its configuration then"


class _Limit:
    """The time limit of one reload.

    Attributes:
        over: Resolved when the time is over.
        seconds: The time in seconds.
    """

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds = timeout or 0.0
        self._clock = clock
        self._timer = OneShotTimer(clock)
        self._began = clock.now()
        if timeout is not None:
            self._arm(timeout)

    def extend(self, seconds: float) -> None:
        """Let the limit last for so many seconds from now at least."""
        if self._timer.is_armed and self._clock.now() + seconds > self._timer.due:
            self._arm(seconds)

    def cancel(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _arm(self, seconds: float) -> None:
        due = self._clock.now() + seconds
        self.seconds = due - self._began
        self._timer.arm(due, lambda: resolve(self.over))
