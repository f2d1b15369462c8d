"""A launcher whose children are asyncio tasks, so that a Service supervises a coroutine like a program.

A task runs a function of the application, or keeps an async context manager (a resource) entered.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import inspect
import signal as signals
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from aioverseer._system.protocols import Child, Launcher, ReadinessChannels
from aioverseer.core.errors import SpecError
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.probes import Command, Entered, Fd, Notify, OutputLine, OutputPrompt, of_any_owner
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import Step
from aioverseer.core.state import Exit, as_signal

__all__ = [
    "TaskChild",
    "TaskLauncher",
    "check_external",
    "check_function",
    "check_options",
    "name_of",
    "spec_of_external",
    "stay",
]

_ALLOWED = frozenset(
    {
        "after",
        "alive",
        "critical",
        "delay_start",
        "group",
        "max_runtime",
        "on_give_up",
        "ready",
        "ready_timeout",
        "restart",
        "schedule",
        "significant",
        "stop",
    }
)
_OF_PROGRAMS = (OutputLine, OutputPrompt, Command, Notify, Fd)
"""Probes that need a real program: its output, its environment or its descriptors."""
_HARMLESS = frozenset({signals.SIGCONT, signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG})


def name_of(function: Callable[..., object]) -> str:
    """Return the qualified name of a function or class. Status shows it in place of a program's arguments."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def check_function(id: str, function: object, options: Mapping[str, object]) -> None:
    """Check that the function is callable and that no option is for programs only.

    Raises:
        SpecError: If it is not, or if an option is for programs only. The message names the option.
    """
    if not callable(function):
        given = "is the result of a call" if inspect.isawaitable(function) else "cannot be called"
        raise SpecError(f"{id!r}: {function!r} {given}: pass the function itself", option="id", value=function)
    check_options(id, options)


def check_options(id: str, options: Mapping[str, object], *, refused: tuple[type, ...] = _OF_PROGRAMS) -> None:
    """Check that no option is for programs only.

    Args:
        id: The name of the service.
        options: The options.
        refused: The probes that it cannot have.

    Raises:
        SpecError: If one is. The message names it.
    """
    for option, value in options.items():
        if option not in _ALLOWED:
            raise SpecError(
                f"{id!r}: {option}={value!r} is for a program: a task or resource takes {', '.join(sorted(_ALLOWED))}; "
                "do the rest in the function itself",
                option=option,
                value=value,
            )
        ladder = value.stop if isinstance(value, Alive) else value
        if isinstance(ladder, Stop) and not all(isinstance(step, Step) for step in ladder.steps):
            raise SpecError(
                f"{id!r}: stop={ladder} has steps for a program, its input or a command: pass signals alone",
                option=option,
                value=value,
            )
        probe = value.probe if isinstance(value, Alive) else value
        for leaf in leaves(probe) if isinstance(probe, Probe) else ():
            if isinstance(leaf, refused):
                raise SpecError(
                    f"{id!r}: {option}={value} asks a program: pass ready.check(function), for example, not {leaf}",
                    option=option,
                    value=value,
                )


_OF_EXTERNAL = frozenset({"after", "alive", "group", "ready"})
_AGAIN = Restart("always", max_restarts=None, backoff=Backoff(min=0.1, max=0.1, jitter=False))
"""Policy of an external service: its probe is asked again for ever. Attempts have pauses of their own."""


def check_external(id: str, options: Mapping[str, object]) -> None:
    """Check the options of an external service.

    Raises:
        SpecError: If the probe is missing, or an option makes no sense. The message names it.
    """
    for option, value in options.items():
        if option not in _OF_EXTERNAL:
            raise SpecError(
                f"{id!r}: {option}={value!r} is for a service of ours: an external one takes "
                f"{', '.join(sorted(_OF_EXTERNAL))}; ready(timeout) of it waits for a limited time",
                option=option,
                value=value,
            )
    if options.get("ready") is None:
        raise SpecError(
            f"{id!r}: an external service needs a probe: pass for example ready=ready.tcp(5432, 'db.internal')",
            option="ready",
            value=None,
        )
    check_options(id, options, refused=tuple(probe for probe in _OF_PROGRAMS if probe is not Command))


def spec_of_external(id: str, options: SpecOptions) -> Spec:
    """Return the Spec of an external service, whose command is the word ``external`` and its probe."""
    spec = Spec.of(id, ("external",), **options)
    return adapt_external(spec.updated(restart=_AGAIN, ready_timeout=None))


def adapt_external(spec: Spec) -> Spec:
    """Return a Spec whose probes accept any program."""
    ready = None if spec.ready is None else of_any_owner(spec.ready)
    alive = None if spec.alive is None else dataclasses.replace(spec.alive, probe=of_any_owner(spec.alive.probe))
    return dataclasses.replace(spec, argv=("external", str(ready)), ready=ready, alive=alive)


async def stay() -> None:
    """Wait until this is cancelled, which is a success: the function stands for something that goes on."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


class _LastWords:
    """Standard error of a task: the traceback at its end. A ``ReadStream`` without a pipe."""

    def __init__(self) -> None:
        self._data = b""
        self._ended = False
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._blocked: Callable[[], bool] | None = None

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        self._on_data, self._on_end, self._blocked = on_data, on_end, blocked
        self.resume()

    def end(self, text: str) -> None:
        self._data, self._ended = text.encode("utf-8", "backslashreplace"), True
        self.resume()

    def resume(self) -> None:
        if self._blocked is not None and not self._blocked():
            self.drain()

    def drain(self) -> None:
        data, self._data = self._data, b""
        if data and self._on_data is not None:
            self._on_data(data)
        if self._ended and self._on_end is not None:
            on_end = self._on_end
            self.close()
            on_end()

    def close(self) -> None:
        self._on_data = self._on_end = self._blocked = None


def _traceback_of(error: BaseException) -> str:
    """Return the traceback as a program would print it, from the first frame outside of this file."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _drop_frames(error: BaseException) -> None:
    """Remove the frames of an error and its causes. The error is kept, and frames keep their variables alive."""
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


class TaskChild:
    """One run of a function or a resource, as a ``Child``."""

    pid = 0
    """A task has no process."""
    stdin = stdout = None

    def __init__(
        self, launcher: TaskLauncher, spec: Spec, on_notify: Callable[[bytes], None] | None, *, capture: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self._launcher = launcher
        self._on_notify = on_notify
        self.stderr = _LastWords() if capture else None
        self._signal = 0
        self._exit: asyncio.Future[Exit] = loop.create_future()
        self._leave: asyncio.Future[None] | None = None
        """Resolved to make the task leave a resource that is in use."""
        self._task = loop.create_task(self._run(), name=f"aioverseer task {spec.id}")
        self._task.add_done_callback(self._on_end)

    async def _run(self) -> int:
        try:
            if self._launcher.is_resource:
                await self._use_resource()
            else:
                await self._launcher.call()
        except SystemExit as error:  # ends the run as it ends a program; raised from a task it would end the loop
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        return 0

    async def _use_resource(self) -> None:
        # Entered and left in one task, as cancel scopes require.
        async with self._launcher.make() as value:
            self._leave = asyncio.get_running_loop().create_future()
            self._launcher.value = value
            if self._on_notify is not None:
                self._on_notify(b"READY=1")
            try:
                await self._leave
            finally:
                self._launcher.value = None

    def _on_end(self, task: asyncio.Task[int]) -> None:
        # In a callback, because a task that is cancelled before its first step runs no code of its own.
        self._leave = None
        last_words = ""
        if task.cancelled():
            exit = Exit(signal=as_signal(self._signal or signals.SIGKILL))
        elif (error := task.exception()) is not None:
            last_words = _traceback_of(error)
            _drop_frames(error)
            self._launcher.error = error
            exit = Exit(code=1)
        else:
            exit = Exit(code=task.result())
        if self.stderr is not None:
            self.stderr.end(last_words)
        self._exit.set_result(exit)

    def signal(self, number: int, *, leader_only: bool = False) -> None:
        """Leave a resource in use at the first signal; otherwise, and at each further signal, cancel the task."""
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

    def signal_outside(self, number: int, *, soon: float, late: float) -> None:
        """Do nothing: a task has no other groups."""

    async def wait(self) -> Exit:
        """Wait for the end of the task. A cancellation has no effect on it."""
        return await asyncio.shield(self._exit)

    def owns(self, pid: int) -> bool:  # noqa: ARG002  # the protocol passes it
        """Return False: it has no processes."""
        return False

    def take_main(self, pid: int) -> int:
        """Refuse: it has no processes."""
        raise ProcessLookupError(errno.ESRCH, f"process {pid} does not belong to a task")

    def resize(self, window_size: tuple[int, int]) -> None:
        """Do nothing: a task has no terminal."""

    async def find_leftovers(self, *, everywhere: bool) -> None:
        """Return None: a task leaves no process."""
        del everywhere

    def sweep(self) -> None:
        """Do nothing: a task has no process group."""

    def left_nothing(self) -> bool:
        """Return False: ``sweep`` and ``sweep_all`` cost nothing here."""
        return False

    def may_have_left(self) -> bool:
        """Return False: a task has no process group."""
        return False

    async def sweep_all(self) -> tuple[Survivor, ...]:
        """Return nothing: a task leaves no process."""
        return ()

    def left(self) -> tuple[Survivor, ...]:
        """Return nothing: a task leaves no process."""
        return ()

    def close(self) -> None:
        """Deliver no more output. A task has no descriptors."""
        if self.stderr is not None:
            self.stderr.close()


class TaskLauncher:
    """Runs one function, or enters one context manager, again and again; a ``Launcher``.

    Attributes:
        value: Result of ``__aenter__`` while the resource is in use; else None.
        error: Exception of the last run, without frames; None when it raised none.
        is_external: Whether there is nothing to run: the probes of the service are all of it.
    """

    def __init__(
        self,
        *,
        function: Callable[[], Coroutine[Any, Any, object]] | None = None,
        manager: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        is_external: bool = False,
        commands: Launcher | None = None,
    ) -> None:
        """Create a launcher of either a function or a manager.

        Args:
            function: Function to run.
            manager: Factory of the context manager to enter.
            is_external: Whether the function only stands for something that is not ours.
            commands: Launcher of the commands of its probes; None if it has none.
        """
        self._commands = commands
        self.is_external = is_external
        self._function = function
        self._manager = manager
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def is_resource(self) -> bool:
        """Whether the children enter a context manager."""
        return self._manager is not None

    def adapt(self, spec: Spec) -> Spec:
        """Return a Spec whose ``ready`` also waits until a resource is entered; of any owner if it is external."""
        if self.is_external:
            return adapt_external(spec)
        if not self.is_resource or (spec.ready is not None and Entered() in leaves(spec.ready)):
            return spec
        return spec.updated(ready=Entered() if spec.ready is None else Entered() & spec.ready)

    async def call(self) -> None:
        """Call the function and wait for it."""
        assert self._function is not None  # noqa: S101  # for the type checkers
        # A plain function is refused after the call, as it may also return what an async one does.
        work: object = self._function()
        if not inspect.isawaitable(work):
            raise TypeError(
                f"{name_of(self._function)} is no async function: for one that blocks pass "
                "functools.partial(asyncio.to_thread, function)"
            )
        await work

    def make(self) -> AbstractAsyncContextManager[Any]:
        """Return a new context manager."""
        assert self._manager is not None  # noqa: S101  # for the type checkers
        return self._manager()

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> Child:
        """Start the task of one run, or a command of its probe, which has no probe itself."""
        if self._commands is not None and spec.ready is None:
            return await self._commands.launch(spec, capture=capture, channels=channels)
        self.error = None
        return TaskChild(self, spec, None if channels is None else channels.on_notify, capture=capture)

    @property
    def containment(self) -> Containment:
        """Level ``"none"``: a task is part of the host."""
        return Containment(level="none", mechanism="event loop", asked="auto", reason="it is a task of the host")

    def containment_of(self, spec: Spec) -> Containment:
        """Return level ``"none"``, whatever the Spec asks for."""
        del spec
        return self.containment

    async def sweep(self) -> tuple[Survivor, ...]:
        """Return nothing: a task leaves no process."""
        return ()

    async def close(self) -> tuple[Survivor, ...]:
        """Return nothing: a task leaves no process."""
        return ()
