"""A spawn in one step, and how the end of the child is learnt of: by one pidfd, shared with asyncio.

``create_subprocess_exec`` has forked in its first step already; what follows is only that asyncio connects pipes, of
which there are none. So nobody waits for that, and no cancellation can come between the fork and its caller. On Python
3.11 asyncio would take a thread for each child, and from 3.12 on a pidfd of its own, a selector's key and two calls on
its wake-up pipe. Where this cannot stand in (other event loops, Python 3.14, no pidfds, a watcher that the application
has chosen), asyncio does as it always does. Nothing in here decides what is started, or sends a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Self, TypeVar

from aioverseer.core.state import Exit
from aioverseer.system.exits import LOST, kept_exit
from aioverseer.system.poller import ReaderWatch

__all__ = ["ChildWatch", "begin"]

T = TypeVar("T")

# The watcher of asyncio's policy is asked for in the first step of create_subprocess_exec and at no other time. It
# belongs to the application, so ours stands there for that step alone, and only in the place of a default one.
# asyncio.PidfdChildWatcher will not do on 3.11: it belongs to one loop, and set_child_watcher closes the one before.
# These names are private, but these versions of Python get no more than security fixes: they stay.
_ATTRIBUTE = "_watcher"
_DEFAULTS = ("ThreadedChildWatcher", "PidfdChildWatcher")
_CAN = sys.version_info < (3, 14) and hasattr(os, "pidfd_open")


class ChildWatch:
    """What is known of one child that is being started.

    Attributes:
        pid: Its number; 0 where asyncio does as it always does.
        pidfd: Refers to it, whatever becomes of its number; None where asyncio does as it always does.
        exit: How it has ended, from the moment when it was reaped.
        rest: What asyncio still had to do for it when it had been forked.
    """

    __slots__ = ("_args", "_callback", "_owned", "_readers", "_waiting", "exit", "pid", "pidfd", "rest")

    def __init__(self, readers: ReaderWatch) -> None:
        """Watch nothing yet; ``release`` must follow.

        Args:
            readers: What tells that it has ended.
        """
        self._readers = readers
        self._owned = True
        self._waiting: list[asyncio.Future[None]] = []
        self.pid = 0
        self.pidfd: int | None = None
        self.exit: Exit | None = None
        self.rest: Rest | None = None

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

    def begin(self, pid: int, callback: Callable[..., object], args: tuple[Any, ...]) -> bool:
        """Watch a child for asyncio; return False where that cannot be."""
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:  # an old kernel, a container that forbids it, or no descriptor is left
            return False
        self.pid, self._callback, self._args = pid, callback, args
        self._readers.add_reader(self.pidfd, self._on_end)
        return True

    def _on_end(self) -> None:
        pidfd = self.pidfd
        if pidfd is None:
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else in this host has reaped it
            returncode = LOST
            self.exit = kept_exit(pidfd) or Exit()
        else:
            if pid == 0:  # it lives: this was meant for another one, who had the descriptor's number before
                return
            returncode = os.waitstatus_to_exitcode(status)
            self.exit = Exit.from_returncode(returncode)
        self._readers.remove_reader(pidfd)
        callback, args = self._callback, self._args
        del self._callback, self._args  # they hold the transport, and the Process that holds this
        if not self._owned:
            self.release()
        transport: Any = args[0] if args else None
        if hasattr(transport, "_process_exited"):
            # In this thread already: asyncio's own callback would wake the loop by its pipe for that.
            transport._process_exited(returncode)  # noqa: SLF001  # as above
            transport.close()  # else that would be some turns from now, when the loop may be closed
            if self.rest is not None:
                self.rest.end()
                self.rest = None
        else:
            callback(self.pid, returncode, *args)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class _StandIn:
    """Our watcher in the place of asyncio's, for all threads that are in such a step; has what is asked for there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._policy: object = None
        self._replaced: Any = None
        self._mine = threading.local()

    def enter(self, watch: ChildWatch) -> None:
        """Stand in, and watch for this thread what it starts."""
        self._mine.watch = watch
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            policy: Any = asyncio.get_event_loop_policy()  # type: ignore[deprecated]  # not on these versions
            watcher = getattr(policy, _ATTRIBUTE, policy)
            if watcher is None and hasattr(policy, "_init_watcher"):
                policy._init_watcher()  # noqa: SLF001  # as above
                watcher = getattr(policy, _ATTRIBUTE)
            self._policy, self._replaced = policy, watcher
            if type(watcher).__name__ in _DEFAULTS and type(watcher).__module__.startswith("asyncio."):
                setattr(policy, _ATTRIBUTE, self)

    def leave(self) -> None:
        """Put back what was there, unless somebody else has changed it meanwhile."""
        self._mine.watch = None
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and getattr(self._policy, _ATTRIBUTE, None) is self:
                setattr(self._policy, _ATTRIBUTE, self._replaced)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to do."""

    def is_active(self) -> bool:
        return True

    def attach_loop(self, loop: object) -> None:
        """Nothing to do: it is the running one."""

    def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
        watch: ChildWatch | None = getattr(self._mine, "watch", None)
        if watch is None:  # another thread of the application has started it at this very moment
            watch = ChildWatch(asyncio.get_running_loop())
            watch.release()  # at its end
        if not watch.begin(pid, callback, args):
            self._replaced.add_child_handler(pid, callback, *args)


_stand_in = _StandIn()


def begin(watch: ChildWatch, work: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Awaitable[T]] | None:
    """Spawn, and return what is left to be awaited; None once ``watch`` knows the child, and nothing is left.

    Args:
        watch: Is to know of the child.
        work: A call of ``create_subprocess_exec``.

    Raises:
        OSError: When it cannot be started.
    """
    if not _CAN or not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return work
    steps = work()
    _stand_in.enter(watch)
    try:
        waited = steps.send(None)
    except StopIteration as end:  # with a factory for eager tasks
        done = end.value
        return None if watch.pidfd is not None else lambda: _result(done)
    finally:
        _stand_in.leave()
    if watch.pidfd is None:
        return lambda: _go_on(steps, waited)
    watch.rest = Rest(steps, waited)
    return None


class Rest:
    """Takes the steps that are left when what they wait for has come; nobody waits for their end.

    What goes wrong in there (all tasks of the loop are cancelled, that of asyncio among them) is no news: the child is
    watched, and whoever started it ends it.
    """

    __slots__ = ("_steps",)

    def __init__(self, steps: Coroutine[Any, Any, object], waited: Any) -> None:
        """Follow what was begun."""
        self._steps: Coroutine[Any, Any, object] | None = steps
        self._follow(waited)

    def end(self) -> None:
        """Give up what is left, if anything: the child has ended, so asyncio has nothing to wait for."""
        steps, self._steps = self._steps, None
        if steps is not None:
            with contextlib.suppress(StopIteration, asyncio.CancelledError):
                steps.throw(asyncio.CancelledError())

    def _follow(self, waited: Any) -> None:
        waited.add_done_callback(self._go_on)

    def _go_on(self, _waited: object) -> None:
        if self._steps is None:
            return
        try:
            waited = self._steps.send(None)
        except (StopIteration, asyncio.CancelledError):
            self._steps = None
            return
        self._follow(waited)


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
