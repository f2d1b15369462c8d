"""How asyncio learns of the end of a child on Python 3.11: without a thread for each.

From 3.12 on it does so by itself, and nothing of this is used. Nothing in here starts or reaps a child that is not
asyncio's.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Self, TypeVar

__all__ = ["without_thread"]

T = TypeVar("T")

# The watcher of asyncio's policy is asked for in the first step of create_subprocess_exec and at no other time. It
# belongs to the application, so ours stands there for that step alone, and only in the place of the default, which
# takes a thread for each child. What another thread spawns at that moment is watched just as well.
# asyncio.PidfdChildWatcher will not do: it belongs to one loop, and set_child_watcher would close the other watcher.
# The attribute is private, but 3.11 gets no more than security fixes: it stays.
_ATTRIBUTE = "_watcher"


class _Watcher:
    """Learns of an end by a pidfd, as asyncio does from 3.12 on; has what is used of ``AbstractChildWatcher``."""

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to do."""

    def is_active(self) -> bool:
        """Whether it can be used: always."""
        return True

    def attach_loop(self, loop: object) -> None:
        """Nothing to do: it is the running one."""

    def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
        """Call back once it has ended."""
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, AttributeError):  # an old kernel, a container that forbids it, no descriptor is left
            threads: Any = asyncio.ThreadedChildWatcher()
            threads.add_child_handler(pid, callback, *args)
            return
        loop = asyncio.get_running_loop()

        def on_end() -> None:
            loop.remove_reader(pidfd)
            try:
                returncode = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:
                returncode = 255  # somebody else has reaped it: what asyncio says then
            os.close(pidfd)
            callback(pid, returncode, *args)

        loop.add_reader(pidfd, on_end)


_WATCHER = _Watcher()


class _Stead:
    """Has our watcher stand in for that of the policy while anybody, in whatever thread, is in such a step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._policy: object = None
        self._replaced: object = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            policy = asyncio.get_event_loop_policy()  # type: ignore[deprecated]  # not on 3.11
            watcher = getattr(policy, _ATTRIBUTE, policy)
            self._policy, self._replaced = policy, watcher
            if watcher is None or type(watcher) is asyncio.ThreadedChildWatcher:
                setattr(policy, _ATTRIBUTE, _WATCHER)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and getattr(self._policy, _ATTRIBUTE, None) is _WATCHER:
                setattr(self._policy, _ATTRIBUTE, self._replaced)


_stead = _Stead()


@coroutine
def without_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> Generator[Any, Any, T]:
    """Do what is asked for, its first step with a watcher that needs no thread.

    Args:
        work: A call of ``create_subprocess_exec``.
    """
    steps = work()
    try:
        with _stead:
            waited = steps.send(None)
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
