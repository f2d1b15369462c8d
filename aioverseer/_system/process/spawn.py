"""One spawn as a value, the protocol of the two spawners, and the choice between them."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from aioverseer._system.containment.limit_mark import SpawnMark
from aioverseer._system.host.environment import Environment
from aioverseer._system.process.clean_signals import held
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer.core.errors import SpawnError
from aioverseer.core.state import Exit

__all__ = ["VARIABLE", "ExitWatcher", "SpawnRequest", "Spawner", "choose"]

T = TypeVar("T")

VARIABLE = "AIOVERSEER_SPAWNER"
"""The environment variable that chooses a spawner by its name."""


class SpawnRequest(NamedTuple):
    """Everything that is needed to start one program.

    Attributes:
        name: The id of the service, for messages and for the name of a task.
        words: The command line.
        executable: Path of the file to run; None searches PATH for the first word.
        stdin: Descriptor of the standard input; None inherits that of the host.
        stdout: Descriptor of the standard output; None inherits that of the host.
        stderr: Descriptor of the standard error; None inherits that of the host.
        cwd: The working folder; None is that of the host.
        environment: The environment of the program.
        pass_fds: Further descriptors that the program inherits, each under its own number.
        held: Signals to block during the fork; see ``CleanStart``.
        mark: The limit that the program gets as a mark; None for none.
    """

    name: str
    words: Sequence[str]
    executable: str | None
    stdin: int | None
    stdout: int | None
    stderr: int | None
    cwd: str | None
    environment: Environment
    pass_fds: tuple[int, ...]
    held: frozenset[int] = frozenset()
    mark: SpawnMark | None = None

    def call_asyncio(self) -> Coroutine[Any, Any, asyncio.subprocess.Process]:
        """Return the call of ``asyncio.create_subprocess_exec`` that every child goes through.

        All descriptors are our own, never ``PIPE``: with ``PIPE``, ``Process.wait()`` also waits until nobody holds the
        pipe any more (CPython gh-119710).
        """
        call = asyncio.create_subprocess_exec(
            *self.words,
            executable=self.executable,
            stdin=self.stdin,
            stdout=self.stdout,
            stderr=self.stderr,
            cwd=self.cwd,
            env=self.environment.variables,
            pass_fds=self.pass_fds,
            start_new_session=True,
        )
        return _hold(self.held, call) if self.held else call


async def _hold(signals: frozenset[int], call: Coroutine[Any, Any, T]) -> T:
    # The fork is made before the call awaits anything.
    with held(signals):
        return await call


class ExitWatcher(Protocol):
    """The exit of one child, and the pidfd that refers to the child until then.

    Attributes:
        pid: The process id.
        pidfd: The pidfd, once there is one.
    """

    pid: int
    pidfd: int | None

    @property
    def exit(self) -> Exit | None:
        """The exit, as soon as the child has been reaped; None before."""
        ...

    async def wait(self) -> Exit:
        """Wait for the exit. Safe to cancel."""
        ...

    def handle(self) -> int | None:
        """Return a pidfd to send signals by; None where the system has none.

        Raises:
            ProcessLookupError: If the child has been reaped, although ``exit`` is not known yet.
        """
        ...

    def release(self) -> None:
        """Close the pidfd. Idempotent."""
        ...


class Spawner(Protocol):
    """A way to start a program and to learn of its exit.

    Attributes:
        name: The value of ``AIOVERSEER_SPAWNER`` that chooses this spawner.
    """

    name: str

    def suits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether this spawner works on an event loop."""
        ...

    async def spawn(self, request: SpawnRequest, resources: LoopResources) -> ExitWatcher:
        """Start the program.

        Args:
            request: The program.
            resources: The resources of the event loop, which the caller holds.

        Raises:
            OSError: If the program cannot be started. No child is left then.
            ValueError: If the system cannot express a word, such as one with a null character.
            CancelledError: If the caller was cancelled. The leader has been killed and reaped, within about a second.
                Other members of its group may be left if all tasks of the event loop were cancelled.
        """
        ...


def choose(spawners: Sequence[Spawner], loop: asyncio.AbstractEventLoop) -> Spawner:
    """Return the first spawner that suits an event loop, or the one that ``AIOVERSEER_SPAWNER`` names.

    Args:
        spawners: All spawners, best first. The last one suits every event loop.
        loop: The event loop.

    Raises:
        SpawnError: If the variable names no spawner.
    """
    wanted = _wanted()
    if wanted and not any(spawner.name == wanted for spawner in spawners):
        raise SpawnError(
            f"the environment variable {VARIABLE} is {wanted!r}, which is no spawner: set it to 'asyncio', or unset it",
            errno=errno.EINVAL,
            filename=wanted,
        )
    for spawner in spawners:
        if (not wanted or spawner.name == wanted) and spawner.suits(loop):
            return spawner
    return spawners[-1]


@functools.cache
def _wanted() -> str:
    """Return the name that the variable has at the first launch. Later changes are ignored."""
    return os.environ.get(VARIABLE, "")
