"""Upstream: the program of a pipeline whose output is the input of a run.

The kernel joins the two by a pipe. Both start together and end together: the run is over when both programs are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from signal import SIGPIPE
from typing import Protocol

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import sleep_until
from aioverseer._system.process.pipes import PipeEnd, kernel_pipe
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, State

__all__ = ["Pipe", "Upstream", "UpstreamRun", "UpstreamStopped"]

_END_TIMEOUT = 2.0
"""Seconds for one program of a pipeline to end by itself once its neighbour has ended."""
_MARGIN = 2.0
"""Seconds in addition to a ladder: for the last output, and for a busy host."""
_OF_SHELL = 128
"""Number that a shell adds to a signal in its exit code."""


class UpstreamStopped(SpawnError):
    """The program was stopped before it was spawned, so its reader is not started."""


class UpstreamRun(Protocol):
    """The engine of the run of that program."""

    spec: Spec
    machine: ProcessMachine

    @property
    def stop_seconds(self) -> float: ...

    def write_to(self, end: PipeEnd) -> None:
        """Set the destination of standard output, before the start."""
        ...

    def start(self) -> None: ...
    def stop(self, *, kill: bool = False, why: str = ...) -> None: ...
    def watch(self, wanted: Callable[[ProcessMachine], bool]) -> asyncio.Future[ProcessMachine]: ...
    def watch_end(self) -> asyncio.Future[ProcessMachine]: ...


class Pipe:
    """The pipe between two programs, as a ``with`` block: the host holds its ends until both have been launched."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> tuple[PipeEnd, PipeEnd]:
        """Return the end to read and the end to write."""
        read, write = kernel_pipe()
        self._stack.callback(read.close)
        self._stack.callback(write.close)
        return read, write

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


class Upstream:
    """The program before a run in its pipeline."""

    def __init__(self, run: UpstreamRun, *, clock: Clock) -> None:
        """Prepare. Nothing is started.

        Args:
            run: The engine of the run of that program.
            clock: The source of time.
        """
        self._run = run
        self._clock = clock
        self._is_ended_by_us = False

    async def start(self, end: PipeEnd) -> None:
        """Start the program, and return once it has been spawned. When this is cancelled, the caller calls ``kill``.

        Args:
            end: The end of the pipe for its standard output. The caller closes it.

        Raises:
            UpstreamStopped: If it was stopped before its spawn.
            SpawnError: If it could not be started, or has been started before.
        """
        run = self._run
        if run.machine.state is not State.INITIAL:
            raise SpawnError(
                f"its input {run.spec.id!r} has been started before, and a Process runs once: pass a clone() of it"
            )
        run.write_to(end)
        run.start()
        # Not ``is_past_start``: a stop during the spawn does not end the spawn, which has the end of the pipe.
        await run.watch(lambda machine: machine.pid is not None or machine.is_over())
        if run.machine.pid is None:
            error = run.machine.error
            if error is None:
                raise UpstreamStopped(f"its input {run.spec.id!r} was not started: {run.machine.reason}")
            if not isinstance(error, SpawnError):
                raise SpawnError(f"its input {run.spec.id!r} was not started: {run.machine.reason}") from error
            raise SpawnError(f"its input: {error}", errno=error.errno, filename=error.filename) from error

    async def kill(self) -> asyncio.CancelledError | None:
        """Kill the program because the one that reads its output was not started; return a late cancellation."""
        return await self._end(kill=True, why="the program that reads its output was not started")

    async def stop(self, why: str) -> None:
        """Stop the program by its ladder, and give its reader some time to read the rest. Safe to cancel.

        Args:
            why: Reason of the stop.
        """
        self.begin_stop(why=why)
        await asyncio.wait({self._run.watch_end()})
        await sleep_until(self._clock, self._clock.now() + _END_TIMEOUT)

    def begin_stop(self, *, why: str, kill: bool = False) -> None:
        """Begin to stop the program if it lives. Idempotent.

        Args:
            why: Reason of the stop.
            kill: Whether to take the last step, SIGKILL, at once.
        """
        if self._run.machine.state.is_live:
            self._is_ended_by_us = True
            self._run.stop(kill=kill, why=why)

    async def end(self, *, patient: bool) -> asyncio.CancelledError | None:
        """Wait for the end of the program once its reader has ended. After two seconds it is stopped by its ladder.

        Args:
            patient: Whether it has this time. If not, it is killed.

        Returns:
            The last cancellation that came meanwhile, or None.
        """
        cancelled: asyncio.CancelledError | None = None
        if patient and not self._run.machine.is_over():
            cancelled = await settle(self._run.watch_end(), within=_END_TIMEOUT, clock=self._clock)
        return await self._end(kill=not patient, why="the program that reads its output has ended") or cancelled

    async def _end(self, *, kill: bool, why: str) -> asyncio.CancelledError | None:
        run = self._run
        if run.machine.is_over() or run.machine.state is State.INITIAL:
            return None
        self.begin_stop(kill=kill, why=why)
        if run.machine.is_over():
            return None
        return await settle(run.watch_end(), within=run.stop_seconds + _MARGIN, clock=self._clock)

    @property
    def stop_failure(self) -> str:
        """Words about a ladder that did not end the program before SIGKILL; empty if it did, or there was no stop."""
        run = self._run
        if run.machine.unstoppable:
            return f"{run.spec.id!r} is still there after SIGKILL"
        if self._is_ended_by_us and run.machine.is_killing and len(run.machine.ladder.taken) > 1:
            return f"{run.spec.id!r} did not end before SIGKILL"
        return ""

    def judged(self, exit: Exit) -> tuple[Exit, str]:
        """Return the exit of the pipeline, and words about a failure of the program; empty without one.

        As with ``pipefail`` of a shell, a reader that has succeeded does not hide the failure. SIGPIPE is none: the
        reader had read enough.

        Args:
            exit: The exit of the reader.
        """
        own = self._run.machine.exit
        if exit.code != 0 or own is None or self._is_ended_by_us:
            return exit, ""
        if own.code == 0 or own.signal == SIGPIPE or own.code == _OF_SHELL + SIGPIPE:
            return exit, ""
        return own, self._run.machine.upstream_words or f"that is how its input {self._run.spec.id!r} ended"
