"""A spawn in one step, and how the end of the child is learnt of: by one pidfd.

``create_subprocess_exec`` asks its event loop for a transport, which has forked once it is there. For that one step the
loop makes ours: it has no pipes to connect, so nothing is left to be awaited, and no cancellation can come between the
fork and its caller. asyncio's own takes a thread for each child on Python 3.11, and from 3.12 on a pidfd of its own, a
task, and two calls on its wake-up pipe. Where ours cannot stand in (other event loops, no pidfds, a child watcher that
the application has chosen), asyncio does as it always does. Nothing in here decides what is started, or sends a signal
but to a child that it cannot watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, Literal, TypeVar

from aioverseer.core.state import Exit
from aioverseer.system.environment import Environment
from aioverseer.system.exits import kept_exit
from aioverseer.system.poller import ReaderWatch
from aioverseer.system.spawn import spawn

__all__ = ["ChildWatch", "begin"]

T = TypeVar("T")

# The method by which each event loop of asyncio makes such a transport: its own seam, for the loops of other systems.
_MAKE = "_make_subprocess_transport"
_DEFAULT_WATCHERS = ("ThreadedChildWatcher", "PidfdChildWatcher")


class ChildWatch:
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
        self._waiting: list[asyncio.Future[None]] = []
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
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                self._waiting.remove(waiter)
        return self.exit

    def handle(self) -> int | None:
        """Return the pidfd to signal it by."""
        return self.pidfd

    async def make_transport(
        self,
        _protocol: asyncio.BaseProtocol,
        args: Sequence[str],
        _shell: bool,  # noqa: FBT001  # asyncio passes these so
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        _bufsize: int,
        *,
        executable: str | None,
        cwd: str | None,
        env: object,  # noqa: ARG002  # what is to be used is known already, in the form that the system wants
        pass_fds: Collection[int],
        start_new_session: Literal[True],  # noqa: ARG002  # there is no other way
    ) -> asyncio.SubprocessTransport:
        """Start the program and watch it: what an event loop calls for ``create_subprocess_exec``.

        Raises:
            OSError: When it cannot be started.
        """
        pid = spawn(
            args,
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
        return _Transport(pid)

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
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class _Transport(asyncio.SubprocessTransport):
    """What ``asyncio.subprocess.Process`` has to know; nobody uses that one."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid

    def get_pid(self) -> int:
        return self._pid


def begin(watch: ChildWatch, work: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]] | None:
    """Spawn, and return what is left to be awaited; None once ``watch`` knows the child, and nothing is left.

    Args:
        watch: Is to know of the child.
        work: A call of ``create_subprocess_exec``.

    Raises:
        OSError: When it cannot be started.
    """
    loop = asyncio.get_running_loop()
    if not _can_make(loop):
        return work
    steps = work()
    # On this one loop, in whose thread we are, and for this step, in which nothing else runs there.
    setattr(loop, _MAKE, watch.make_transport)
    try:
        waited = steps.send(None)
    except StopIteration as end:
        done = end.value
        return None if watch.pid else lambda: _result(done)
    finally:
        delattr(loop, _MAKE)
    if watch.pid:
        steps.close()
        return None
    return lambda: _go_on(steps, waited)


def _can_make(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the transport may be ours: where it would be asyncio's own, with a watcher of asyncio's choice."""
    if getattr(type(loop), _MAKE, None) is not _asyncios or _MAKE in vars(loop) or not _has_pidfds():
        return False
    if sys.version_info >= (3, 14):
        return True
    watcher: object = getattr(asyncio.get_event_loop_policy(), "_watcher", None)  # type: ignore[deprecated]  # not on these versions
    return watcher is None or type(watcher).__name__ in _DEFAULT_WATCHERS


_asyncios = getattr(asyncio.SelectorEventLoop, _MAKE, None)


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


@coroutine
def _go_on(steps: Coroutine[Any, Any, T], waited: Any) -> Generator[Any, Any, T]:
    """Go on as ``await`` does, behind the first step."""
    try:
        while True:
            try:
                sent = yield waited
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  # all of them go to where it waits, as by `await`
                waited = steps.throw(error)
            else:
                waited = steps.send(sent)
    except StopIteration as end:
        result: T = end.value
        return result


async def _result(value: T) -> T:
    return value
