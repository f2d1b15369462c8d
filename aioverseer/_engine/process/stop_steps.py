"""StepPerformer: takes those steps of a ladder that are no signals, one at a time."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Protocol, assert_never

from aioverseer._aio.shield import settle
from aioverseer._engine.output.command_output import CommandOutput
from aioverseer._engine.process.stdin import StdinFeeder
from aioverseer._engine.process.upstream import Upstream
from aioverseer._system.process.command import run_command, spec_of_command
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import ProcessNotRunning, SpawnError
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop_steps import AskingStep, CloseStdin, EndUpstream, RunCommand, WriteStdin

__all__ = ["OF_READER", "StepPerformer"]

_log = logging.getLogger("aioverseer")

_COMMAND_TIMEOUT = 2.0
"""Seconds for a command to end by itself once the program has ended."""


OF_READER = "its reader is stopped"
"""Reason of the stop of the program before one that is stopped."""


class OnFailure(Protocol):
    """Receives the failure of a step; ``is_over`` tells that the ladder has gone on, or the program has ended."""

    def __call__(self, why: str, *, is_over: bool) -> None: ...  # see above


class StepPerformer:
    """The steps of one run that ask the program to end by its input or by a command.

    The time of a step is the ladder's. The next step cancels this one: a pending write is given up, a command is
    killed.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        launcher: Launcher,
        clock: Clock,
        stdin: StdinFeeder | None,
        upstream: Upstream | None,
        make_output: Callable[[], CommandOutput] | None,
    ) -> None:
        """Prepare. Nothing is done before ``begin``.

        Args:
            spec: The options of the run.
            launcher: The launcher of commands.
            clock: The clock of the time that a command has after the end of the program.
            stdin: The input of the program; None without one.
            upstream: The program before it in a pipeline; None without one.
            make_output: Factory of the receiver of the output of a command; None keeps the last line alone.
        """
        self._make_output = make_output
        self._upstream = upstream
        self._spec = spec
        self._launcher = launcher
        self._clock = clock
        self._stdin = stdin
        self._task: asyncio.Task[None] | None = None
        self._present: _Attempt | None = None

    def begin(self, step: AskingStep, *, pid: int, on_failure: OnFailure) -> None:
        """Begin to take a step, and give up the earlier one.

        Args:
            step: The step.
            pid: The process id of the program.
            on_failure: Called with the reason if the step cannot be taken, or its command fails or is killed.
        """
        earlier = self._task
        self.cancel()
        self._present = present = _Attempt(step)
        self._task = asyncio.create_task(
            self._take(present, pid, on_failure, earlier), name=f"aioverseer stop {self._spec.id}"
        )

    def cancel(self) -> None:
        """Give up the present step, as its time is over. Idempotent."""
        if self._task is not None and self._present is not None:
            self._present.is_given_up = True
            self._task.cancel()

    async def end(self, *, patient: bool) -> asyncio.CancelledError | None:
        """Wait for a command that still runs after the end of the program, for two seconds, and then kill it.

        Args:
            patient: Whether it has this time. If not, it is killed at once.

        Returns:
            The last cancellation that came meanwhile, or None.
        """
        task, present = self._task, self._present
        if task is None or present is None:
            return None
        cancelled: asyncio.CancelledError | None = None
        if patient and isinstance(present.step, RunCommand):
            cancelled = await settle(task, within=_COMMAND_TIMEOUT, clock=self._clock)
        if not task.done():
            self.cancel()
            cancelled = await settle(task, within=_COMMAND_TIMEOUT) or cancelled
        self._task = None
        return cancelled

    async def _take(
        self, present: _Attempt, pid: int, on_failure: OnFailure, earlier: asyncio.Task[None] | None
    ) -> None:
        # The earlier step ends its command through further cancellations: the task of the last step ends last.
        if earlier is not None and (cancelled := await settle(earlier, within=_COMMAND_TIMEOUT)) is not None:
            raise cancelled
        step = present.step
        try:
            why = await self._attempt(step, pid)
        except asyncio.CancelledError:
            if present.is_given_up and isinstance(step, RunCommand):
                on_failure("it was still running, and was killed", is_over=True)
            raise
        except SpawnError as error:
            why = str(error)
        except Exception as error:  # a launcher of the user, or a bug: the ladder must go on  # noqa: BLE001
            _log.exception("%s: %s failed", self._spec.id, step.name)
            why = repr(error)
        if why is not None:
            on_failure(why, is_over=False)

    async def _attempt(self, step: AskingStep, pid: int) -> str | None:
        """Take a step.

        Returns:
            Why it failed; None after a success; an empty text if the next step may follow.
        """
        match step:
            case EndUpstream():
                if self._upstream is not None:
                    await self._upstream.stop(OF_READER)
                return ""
            case CloseStdin():
                return await self._close()
            case WriteStdin():
                return await self._write(step.data)
            case RunCommand():
                command = spec_of_command(self._spec, step.words(pid), role="stop")
                output = None if self._make_output is None else self._make_output()
                try:
                    end = await run_command(self._launcher, command, on_output=None if output is None else output.feed)
                finally:
                    if output is not None:
                        output.end()
                return end.failure
            case _:
                assert_never(step)

    async def _close(self) -> str | None:
        if self._stdin is None or not self._stdin.is_for_writers:
            return "there is no pipe to its standard input"
        try:
            await self._stdin.write_eof()
        except (ProcessNotRunning, OSError) as error:
            return _reason(error)
        return None

    async def _write(self, data: str | bytes) -> str | None:
        if self._stdin is None or not self._stdin.is_for_writers:
            return "there is no pipe to its standard input"
        try:
            await self._stdin.write(data)
        except ProcessNotRunning:
            return "its standard input is closed"
        except (OSError, UnicodeError) as error:
            return _reason(error)
        return None


class _Attempt:
    """A step that is taken.

    Attributes:
        step: The step.
        is_given_up: Whether its task was cancelled because the step is over, and not because the event loop ends.
    """

    def __init__(self, step: AskingStep) -> None:
        self.step = step
        self.is_given_up = False


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EIO:
        return "its terminal is closed"
    return str(error)
