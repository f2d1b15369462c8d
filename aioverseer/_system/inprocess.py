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
from typing import Any, cast

from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.errors import SpecError
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.probes import Command, Entered, Fd, Notify, OutputLine
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit, as_signal

__all__ = ["MemberChild", "MemberLauncher", "check_member", "name_of"]

_ALLOWED = frozenset(
    {
        "after",
        "alive",
        "critical",
        "delay_start",
        "group",
        "on_give_up",
        "ready",
        "ready_timeout",
        "restart",
        "significant",
        "stop",
    }
)
_OF_PROGRAMS = (OutputLine, Command, Notify, Fd)
"""Probes that need a program: its output, its environment, its descriptors."""
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
    check_options(id, options)


def check_options(id: str, options: Mapping[str, object]) -> None:
    """Refuse the options that only a program has.

    Raises:
        SpecError: Naming the option.
    """
    for option, value in options.items():
        if option not in _ALLOWED:
            raise SpecError(
                f"{id!r}: {option}={value!r} is for a program: a task or resource takes {', '.join(sorted(_ALLOWED))}; "
                "do the rest in the function itself",
                option=option,
                value=value,
            )
        probe = value.probe if isinstance(value, Alive) else value
        for leaf in leaves(probe) if isinstance(probe, Probe) else ():
            if isinstance(leaf, _OF_PROGRAMS):
                raise SpecError(
                    f"{id!r}: {option}={value} asks a program: pass ready.check(function), for example, not {leaf}",
                    option=option,
                    value=value,
                )


class _LastWords:
    """What a member has to say at its end; keeps the ``Source`` protocol, without a pipe."""

    def __init__(self) -> None:
        self._held = b""
        self._ended = False
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._blocked: Callable[[], bool] | None = None

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        self._on_data, self._on_end, self._blocked = on_data, on_end, blocked
        self.resume()

    def say(self, text: str) -> None:
        self._held, self._ended = text.encode("utf-8", "backslashreplace"), True
        self.resume()

    def resume(self) -> None:
        if self._blocked is not None and not self._blocked():
            self.drain()

    def drain(self) -> None:
        held, self._held = self._held, b""
        if held and self._on_data is not None:
            self._on_data(held)
        if self._ended and self._on_end is not None:
            on_end = self._on_end
            self.close()
            on_end()

    def close(self) -> None:
        self._on_data = self._on_end = self._blocked = None


def _traceback_of(error: BaseException) -> str:
    """Return what a program would write for it, from the first frame that is the application's own."""
    import traceback  # noqa: PLC0415  # only for what fails

    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _let_go(error: BaseException) -> None:
    """Take the frames off an error and off those that it comes from: it is kept, and what they hold is not to be."""
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        left += [one for one in (each.__cause__, each.__context__) if one is not None]
        if isinstance(each, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", each).exceptions


class MemberChild:
    """One run of a coroutine; keeps the ``Child`` protocol."""

    pid = 0
    """There is no process."""
    stdin = stdout = None

    def __init__(
        self, launcher: MemberLauncher, spec: Spec, hear: Callable[[bytes], None] | None, *, capture: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self._launcher = launcher
        self._hear = hear
        self.stderr = _LastWords() if capture else None
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
        last_words = ""
        if task.cancelled():
            exit = Exit(signal=as_signal(self._signal or signals.SIGKILL))
        elif (error := task.exception()) is not None:
            last_words = _traceback_of(error)
            _let_go(error)
            self._launcher.error = error
            exit = Exit(code=1)
        else:
            exit = Exit(code=task.result())
        if self.stderr is not None:
            self.stderr.say(last_words)
        self._exit.set_result(exit)

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

    def left_nothing(self) -> bool:
        """Return False: to look costs nothing here."""
        return False

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
        """Be heard no more; it has no descriptors."""
        if self.stderr is not None:
            self.stderr.close()


class MemberLauncher:
    """Starts one function, or enters one context manager, again and again; keeps the ``Launcher`` protocol.

    Attributes:
        value: What ``__aenter__`` returned, while the resource is in use; else None.
        error: What the last run raised, without its frames.
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

    def adapt(self, spec: Spec) -> Spec:
        """Return a Spec whose ``ready`` waits for a resource to be entered, too."""
        if not self.is_resource or (spec.ready is not None and Entered() in leaves(spec.ready)):
            return spec
        return spec.updated(ready=Entered() if spec.ready is None else Entered() & spec.ready)

    async def call(self) -> None:
        """Run the function."""
        assert self._function is not None  # noqa: S101  # for the type checkers
        await self._function()

    def make(self) -> AbstractAsyncContextManager[Any]:
        """Make a fresh manager."""
        assert self._manager is not None  # noqa: S101  # for the type checkers
        return self._manager()

    async def launch(self, spec: Spec, *, capture: bool, preparation: ReadinessChannels | None = None) -> MemberChild:
        """Start the task; see ``seam.Launcher``."""
        self.error = None
        return MemberChild(self, spec, None if preparation is None else preparation.hear, capture=capture)

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
