"""Runs the functions and commands of ``prepare`` and ``cleanup``, within a time limit."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import OneShotTimer, resolve
from aioverseer._engine.output.command_output import CommandOutput
from aioverseer._system.process.command import run_command, spec_of_command
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.errors import OverseerError
from aioverseer.core.options.hooks import Hook
from aioverseer.core.options.spec import Spec

__all__ = ["HookFailed", "HookRun", "words_of"]

_log = logging.getLogger("aioverseer")

_END_TIMEOUT = 2.0
"""Seconds for a cancelled function or a killed command to end."""


class HookFailed(Exception):
    """A command has failed; the message is its exit and its last line."""


class HookRun:
    """One call of a function, or one run of a command. It can be given up.

    Attributes:
        is_late: Whether the time limit has ended it.
        is_given_up: Whether ``give_up`` was called before its end.
        result: The value that the function has returned.
        error: The exception that it has raised; None after a success.
    """

    def __init__(
        self,
        option: str,
        hook: Hook | None,
        given: tuple[Any, Any],
        *,
        spec: Spec,
        launcher: Launcher,
        clock: Clock,
        env: Mapping[str, str] | None = None,
        make_output: Callable[[], CommandOutput],
    ) -> None:
        """Prepare the call. Nothing is done before ``run``.

        Args:
            option: Name of the option.
            hook: The function or command.
            given: Arguments of the function.
            spec: The options of the run, on whose behalf a command runs.
            launcher: The launcher of the command.
            clock: The clock of the time limit.
            env: Variables for the command; None for none.
            make_output: Factory of the receiver of the command's output.
        """
        self.is_late = False
        self.is_given_up = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._option = option
        self._hook = hook
        self._given = given
        self._spec = spec
        self._launcher = launcher
        self._timer = OneShotTimer(clock)
        self._env = env
        self._make_output = make_output
        self._over: asyncio.Future[None] | None = None

    def give_up(self) -> None:
        """Cancel the function, or kill the command. Idempotent."""
        self.is_given_up = True
        if self._over is not None:
            resolve(self._over)

    async def run(self, due: float | None) -> asyncio.CancelledError | None:
        """Make the call, and keep its outcome. Raises nothing.

        Args:
            due: Monotonic time of the limit; None for no limit.

        Returns:
            A cancellation that came meanwhile, for the caller to raise. The call was cancelled then, too.
        """
        if self.is_given_up:
            return None
        self._over = over = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._call(), name=f"aioverseer {self._option} {self._spec.id}")
        if due is not None:
            self._timer.arm(due, self._on_due)
        cancelled: asyncio.CancelledError | None = None
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            cancelled = error
        self._timer.cancel()
        if not task.done():
            task.cancel()
            cancelled = await settle(task, within=_END_TIMEOUT) or cancelled
        if not task.done():
            _log.warning("%s: its %s goes on although it was cancelled", self._spec.id, self._option)
            self.error = HookFailed("it swallows its cancellation")
        elif task.cancelled():
            self.error = HookFailed("it was cancelled")
        else:
            self.error = task.exception()
            self.result = None if self.error is not None else task.result()
        return cancelled

    def _on_due(self) -> None:
        self.is_late = True
        if self._over is not None:
            resolve(self._over)

    async def _call(self) -> Any:
        hook = self._hook
        if hook is None:
            return None
        if callable(hook):
            answer = hook(*self._given)
            return await answer if inspect.isawaitable(answer) else answer
        command = spec_of_command(self._spec, hook, role=self._option, env=self._env)
        output = self._make_output()
        try:
            end = await run_command(self._launcher, command, on_output=output.feed)
        finally:
            output.end()
        if end.failure is not None:
            raise HookFailed(end.failure)
        return None


def words_of(error: BaseException) -> str:
    """Return an error as the end of a sentence."""
    if isinstance(error, HookFailed | OverseerError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
