"""A spawn in one step, and how the end of the child is learnt of: by one pidfd.

``create_subprocess_exec`` asks the running event loop to fork. For that one step something of ours stands in for the
loop: it has no pipes to connect, so nothing is left to be awaited, and no cancellation can come between the fork and
its caller. asyncio's own takes a thread for each child on Python 3.11, and from 3.12 on a pidfd of its own, a task, and
two calls on its wake-up pipe. Where ours cannot stand in (other event loops, no pidfds, a child watcher that the
application has chosen), asyncio does as it always does. Nothing in here decides what is started, or sends a signal but
to a child that it cannot watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from types import FunctionType
from typing import Any, Literal, TypedDict, Unpack, cast

from aioverseer._aio.poller import ReaderWatch
from aioverseer._aio.wake import Wake
from aioverseer._system.host.environment import Environment
from aioverseer._system.process.cpython import spawn
from aioverseer._system.process.exit_status import kept_exit
from aioverseer.core.state import Exit

__all__ = ["PidfdChild", "begin"]

# By this method each event loop of asyncio forks: its own seam, for the loops of other systems.
_MAKE = "_make_subprocess_transport"
_DEFAULT_WATCHERS = ("ThreadedChildWatcher", "PidfdChildWatcher")


class _Options(TypedDict):
    """What is handed on as it is given."""

    stdin: int | None
    stdout: int | None
    stderr: int | None
    executable: str | None
    cwd: str | None
    pass_fds: Collection[int]


class PidfdChild:
    """What is known of one child that is being started, and of its end.

    Attributes:
        pid: Its number; 0 where asyncio does as it always does.
        pidfd: Refers to it, whatever becomes of its number; None once that was let go of.
        exit: How it has ended, from the moment when it was reaped.
    """

    __slots__ = ("_environment", "_owned", "_readers", "_waiting", "exit", "pid", "pidfd")

    def __init__(self, readers: ReaderWatch, environment: Environment) -> None:
        """Watch nothing yet; ``release`` must follow.

        Args:
            readers: What tells that it has ended.
            environment: What the child is to have.
        """
        self._environment = environment
        self._readers = readers
        self._owned = True
        self._waiting: list[Wake] = []
        self.pid = 0
        self.pidfd: int | None = None
        self.exit: Exit | None = None

    def release(self) -> None:
        """Let go of the pidfd, now or at the end of the child, who is still to be reaped. Idempotent."""
        self._owned = False
        if self.exit is not None and self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    async def wait(self) -> Exit:
        """Wait until it has ended. Safe to cancel."""
        while self.exit is None:
            wake = Wake(asyncio.get_running_loop())
            self._waiting.append(wake)
            try:
                await wake
            finally:
                self._waiting.remove(wake)
        return self.exit

    def handle(self) -> int | None:
        """Return the pidfd to signal it by."""
        return self.pidfd

    def spawn(
        self,
        words: Sequence[str],
        *,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        executable: str | None,
        cwd: str | None,
        pass_fds: Collection[int],
    ) -> None:
        """Start the program and watch it; see ``spawn.py``.

        Raises:
            OSError: When it cannot be started.
        """
        pid = spawn(
            words,
            executable=executable,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=self._environment,
            pass_fds=pass_fds,
        )
        del self._environment  # two kilobytes, and it may live for long
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            # The spawn has just closed two descriptors, and another thread has taken both: the process has no more.
            _end(pid)
            raise
        self.pid = pid
        self._readers.add_reader(self.pidfd, self._on_end)

    def _on_end(self) -> None:
        pidfd = self.pidfd
        if pidfd is None:
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else in this host has reaped it
            self.exit = kept_exit(pidfd) or Exit()
        else:
            if pid == 0:  # it lives: this was meant for another one, who had the descriptor's number before
                return
            self.exit = Exit.from_returncode(os.waitstatus_to_exitcode(status))
        self._readers.remove_reader(pidfd)
        if not self._owned:
            self.release()
        self._wake()

    def _wake(self) -> None:
        try:
            for wake in tuple(self._waiting):
                if not wake.is_cancelled:
                    wake.go()
        except BaseException:  # a KeyboardInterrupt of one of them, after which the host may go on
            asyncio.get_running_loop().call_soon(self._wake)
            raise


class _StandIn:
    """What ``create_subprocess_exec`` takes for the event loop, and gets as transport and protocol without pipes."""

    stdin = stdout = stderr = None

    def __init__(self, watch: PidfdChild, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = watch
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        # For a signal handler of the host that runs before the loop is asked, and asks for the running one.
        return getattr(self._loop, name)

    async def subprocess_exec(
        self,
        _protocol: Callable[[], asyncio.BaseProtocol],
        *words: str,
        env: object,  # noqa: ARG002  # what is to be used is known already, in the form that the system wants
        start_new_session: Literal[True],  # noqa: ARG002  # there is no other way
        **options: Unpack[_Options],
    ) -> tuple[_StandIn, _StandIn]:
        """Start the program: what an event loop is asked to do."""
        # Audit hooks and signal handlers of the host run within a spawn, and find the loop and the task of always.
        asyncio._set_running_loop(self._loop)  # noqa: SLF001  # as below
        self._watch.spawn(words, **options)
        return self, self

    def get_pid(self) -> int:
        """Return its number: what a transport is asked for."""
        return self._watch.pid


def begin(watch: PidfdChild, work: Callable[[], Coroutine[Any, Any, object]]) -> bool:
    """Spawn at once and return True; or return False where asyncio is to do what it always does.

    Args:
        watch: Is to know of the child.
        work: A call of ``create_subprocess_exec``.

    Raises:
        OSError: When it cannot be started.
    """
    loop = asyncio.get_running_loop()
    if not _can_stand_in(loop):
        return False
    step = work()
    stand_in = cast("asyncio.AbstractEventLoop", _StandIn(watch, loop))
    try:
        # In this thread, until it is asked; within the `try`, as a signal handler may raise behind any call.
        asyncio._set_running_loop(stand_in)  # noqa: SLF001  # for who makes event loops
        step.send(None)
    except StopIteration:
        return True
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001  # as above
        step.close()  # it may not have been begun
    raise RuntimeError("asyncio.create_subprocess_exec awaits more than its event loop")


def _can_stand_in(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop would do what asyncio's own does, with a watcher of asyncio's choice."""
    if not _is_known or asyncio.create_subprocess_exec is not _create:  # somebody looks on, or tests the application
        return False
    if _function(loop.subprocess_exec) is not _exec or _function(getattr(loop, _MAKE, None)) is not _make:
        return False
    if not _has_pidfds():
        return False
    if sys.version_info >= (3, 14):
        return True
    watcher: object = getattr(asyncio.get_event_loop_policy(), "_watcher", None)  # type: ignore[deprecated]  # not on these versions
    return watcher is None or type(watcher).__name__ in _DEFAULT_WATCHERS


def _function(method: object) -> object:
    return getattr(method, "__func__", None)


_create = asyncio.create_subprocess_exec
_exec = asyncio.SelectorEventLoop.subprocess_exec
_make = getattr(asyncio.SelectorEventLoop, _MAKE, None)

# On Python 3.15 it is to be looked at whether create_subprocess_exec is what it was. And somebody may have replaced
# these before this was imported; who wraps one gives it the name and the module of the real one, but not its globals.
_is_known = sys.version_info < (3, 15) and all(
    isinstance(function, FunctionType) and function.__globals__ is vars(module)
    for function, module in (
        (_create, asyncio.subprocess),
        (_exec, asyncio.base_events),
        (_make, asyncio.unix_events),
    )
)


@functools.cache
def _has_pidfds() -> bool:
    """Return whether the system has them, and gives them: a container may forbid it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True


def _end(pid: int) -> None:
    """End a child that cannot be watched. It has done nothing yet, so that takes no time worth a thread."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
