"""One short command on behalf of a program: a probe that asks by a command, or a step of a ladder.

It runs in the folder, with the environment and as the user of the program, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aioverseer._aio.shield import settle
from aioverseer._system.protocols import Launcher
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

__all__ = ["CommandEnd", "run_command", "spec_of_command"]

_TAIL = 2000
"""Bytes of the output that are kept for the error message."""
_LINES = 20
"""Last lines of the output for an error."""
_GRACE = 1.0
"""Seconds for a killed command to end."""


class CommandEnd(NamedTuple):
    """The end of a command.

    Attributes:
        exit: Its exit.
        lines: Its last lines.
    """

    exit: Exit
    lines: tuple[str, ...]

    @property
    def failure(self) -> str | None:
        """The exit and the last line; None after a success."""
        if self.exit.code == 0:
            return None
        return f"{self.exit}{f': {self.lines[-1]}' if self.lines else ''}"


def spec_of_command(spec: Spec, argv: tuple[str, ...], *, role: str, env: Mapping[str, str] | None = None) -> Spec:
    """Return the Spec of a command that runs in the folder, with the environment and as the user of a program.

    Args:
        spec: Program on whose behalf the command runs.
        argv: Command and its arguments.
        role: Word after the id of the program in the id of the command, for example ``"probe"``.
        env: Variables in addition to those of the program.
    """
    return Spec(
        id=f"{spec.id} {role}",
        argv=argv,
        cwd=spec.cwd,
        env=spec.env,
        extra_env={**spec.extra_env, **env} if env else spec.extra_env,
        user=spec.user,
        extra_groups=spec.extra_groups,
        no_new_privileges=spec.no_new_privileges,
        ambient_capabilities=spec.ambient_capabilities,
        merge_stderr=True,
    )


async def run_command(
    launcher: Launcher, spec: Spec, *, on_output: Callable[[bytes], None] | None = None
) -> CommandEnd:
    """Run a command and return its end.

    When this is cancelled, the command is killed with its group, and reaped.

    Args:
        launcher: Launcher of the command.
        spec: Command; see ``spec_of_command``.
        on_output: Called with each chunk of its output.

    Raises:
        SpawnError: If the command cannot be started.
    """
    child = await launcher.launch(spec, capture=True)
    output = bytearray()

    def keep(chunk: bytes) -> None:
        output.extend(chunk)
        del output[:-_TAIL]
        if on_output is not None:
            on_output(chunk)

    try:
        if child.stdout is not None:
            child.stdout.attach(keep, _nothing, blocked=_never)
        try:
            exit = await child.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                child.signal(signal.SIGKILL)
            await settle(asyncio.ensure_future(child.wait()), within=_GRACE)
            raise
        finally:
            child.sweep()
        if child.stdout is not None:
            child.stdout.drain()
    finally:
        child.close()
    return CommandEnd(exit, tuple(output.decode("utf-8", "backslashreplace").strip().splitlines()[-_LINES:]))


def _nothing() -> None:
    """Do nothing at the end of the output."""


def _never() -> bool:
    return False
