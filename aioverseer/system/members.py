"""Coroutines at the seam: a launcher whose child is an asyncio task, so that a Service supervises it like a program.

Functions and context managers of the application live in here while they run; policies and names of services never.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import signal as signals
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from aioverseer.core.containment import Containment, Survivor
from aioverseer.core.errors import SpecError
from aioverseer.core.spec import Spec
from aioverseer.core.state import Exit, as_signal
from aioverseer.system.seam import Preparation

__all__ = ["MemberChild", "MemberLauncher", "check_member", "name_of"]

_ALLOWED = frozenset(
    {"delay_start", "stop", "restart", "ready_timeout", "after", "critical", "group", "on_give_up", "significant"}
)
_HARMLESS = frozenset({signals.SIGCONT, signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG})


def name_of(function: Callable[..., object]) -> str:
    """Return the qualified name of what was given, which stands where a program has its arguments."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def check_member(id: str, function: object, options: Mapping[str, object]) -> None:
    """Refuse what is no function, and the options that only a program has.

    Raises:
        SpecError: Naming the option.
    """
    if not callable(function):
        raise SpecError(f"{id!r}: {function!r} cannot be called: pass the function itself", option="id", value=function)
    for option, value in options.items():
        if option not in _ALLOWED:
            raise SpecError(
                f"{id!r}: {option}={value!r} is for a program: a task or resource takes {', '.join(sorted(_ALLOWED))}; "
                "do the rest in the function itself",
                option=option,
                value=value,
            )


class MemberChild:
    """One run of a coroutine; keeps the ``Child`` protocol."""

    pid = 0
    """There is no process."""
    stdin = stdout = stderr = None

    def __init__(self, launcher: MemberLauncher, spec: Spec, hear: Callable[[bytes], None] | None) -> None:
        loop = asyncio.get_running_loop()
        self._launcher = launcher
        self._hear = hear
        self._signal = 0
        self._exit: asyncio.Future[Exit] = loop.create_future()
        self._leave: asyncio.Future[None] | None = None
        """What a resource that is in use waits for."""
        self._task = loop.create_task(self._run(), name=f"aioverseer member {spec.id}")
        self._task.add_done_callback(self._on_end)

    async def _run(self) -> int:
        try:
            if self._launcher.is_resource:
                await self._hold()
            else:
                await self._launcher.call()
        except SystemExit as error:  # it ends the member, as it ends a program; out of a task it would end the loop
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        return 0

    async def _hold(self) -> None:
        # Entered and left in one task, as cancel scopes have to be.
        async with self._launcher.make() as value:
            self._leave = asyncio.get_running_loop().create_future()
            self._launcher.value = value
            if self._hear is not None:
                self._hear(b"READY=1")
            try:
                await self._leave
            finally:
                self._launcher.value = None

    def _on_end(self, task: asyncio.Task[int]) -> None:
        # In a callback, as a task that is cancelled before its first step runs none of its own code.
        self._leave = None
        if task.cancelled():
            self._exit.set_result(Exit(signal=as_signal(self._signal or signals.SIGKILL)))
        elif (error := task.exception()) is not None:
            self._launcher.error = error
            self._exit.set_result(Exit(code=1))
        else:
            self._exit.set_result(Exit(code=task.result()))

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Ask a resource in use to leave; else, and for each further signal, cancel. See ``seam.Child``."""
        del leader_only
        if self._exit.done() or self._task.done():
            raise ProcessLookupError(errno.ESRCH, "the task has ended")
        if number in _HARMLESS:
            return
        self._signal = number
        if self._leave is not None and not self._leave.done():
            self._leave.set_result(None)
        else:
            self._task.cancel()

    async def wait(self) -> Exit:
        """Wait for the end; see ``seam.Child``."""
        return await asyncio.shield(self._exit)

    def resize(self, window_size: tuple[int, int]) -> None:
        """Do nothing: there is no terminal."""

    def sweep(self) -> None:
        """Do nothing: it leads no group."""

    def may_have_left(self) -> bool:
        """Return False: it leads no group."""
        return False

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Do nothing; see ``seam.Child``."""
        return ()

    def left(self) -> tuple[Survivor, ...]:
        """Return nothing; see ``seam.Child``."""
        return ()

    def close(self) -> None:
        """Do nothing: it has no descriptors."""


class MemberLauncher:
    """Starts one function, or enters one context manager, again and again; keeps the ``Launcher`` protocol.

    Attributes:
        value: What ``__aenter__`` returned, while the resource is in use; else None.
        error: What the last run raised.
    """

    def __init__(
        self,
        *,
        function: Callable[[], Coroutine[Any, Any, object]] | None = None,
        manager: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        """Keep what to run: one of both."""
        self._function = function
        self._manager = manager
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def is_resource(self) -> bool:
        """Whether it is a context manager."""
        return self._manager is not None

    async def call(self) -> None:
        """Run the function."""
        assert self._function is not None  # noqa: S101  # for the type checkers
        await self._function()

    def make(self) -> AbstractAsyncContextManager[Any]:
        """Make a fresh manager."""
        assert self._manager is not None  # noqa: S101  # for the type checkers
        return self._manager()

    async def launch(self, spec: Spec, *, capture: bool, preparation: Preparation | None = None) -> MemberChild:
        """Start the task; see ``seam.Launcher``."""
        del capture
        self.error = None
        return MemberChild(self, spec, None if preparation is None else preparation.hear)

    @property
    def containment(self) -> Containment:
        """Return that there is none: it is part of the host."""
        return Containment(level="none", mechanism="event loop", asked="auto", reason="it is a task of the host")

    def containment_of(self, spec: Spec) -> Containment:
        """Return that there is none, whatever was asked for; see ``seam.Launcher``."""
        del spec
        return self.containment

    async def sweep(self) -> tuple[Survivor, ...]:
        """Do nothing; see ``seam.Launcher``."""
        return ()

    async def close(self) -> tuple[Survivor, ...]:
        """Do nothing; see ``seam.Launcher``."""
        return ()
