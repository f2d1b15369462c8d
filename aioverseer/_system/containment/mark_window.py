"""The moment of a spawn in which this process has the limit of a mark itself, so that the child inherits it.

Setting the limit of the child afterwards would be too late for a child that forks at once. Another thread may start a
child of its own in this moment. Such a child gets its limit back before anything can take it for a stray.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import resource
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar, cast

from aioverseer._system.containment import procfs
from aioverseer._system.containment.limit_mark import SpawnMark

__all__ = ["MarkWindow", "fork_with_mark"]

T = TypeVar("T")

_MANY = 256
"""Processes that are worth a look each, a microsecond, instead of reading all of /proc."""

_YOUNG = 0.02
"""Age in seconds of a process id that will do as the lowest one that can come: usually few others came meanwhile."""

_ONE_THREAD = 3
"""Links of the folder of threads in a process with one thread: the folder itself, its parent, and the thread."""

_GENERATIONS = 16
"""Generations of processes that can come into being during a spawn."""

Limits = tuple[int, int]


def fork_with_mark(mark: SpawnMark | None, fork: Callable[[], int]) -> int:
    """Call a function with the limit of a mark; return the process id that it returns.

    Args:
        mark: The mark; None calls the function alone.
        fork: Function in C that forks and runs no Python code.
    """
    if mark is None:
        return fork()
    with _state.lock:
        if (limits := _limits_to_change(mark)) is None:
            return fork()
        alone = _is_alone()
        first = None if alone else _lowest_pid(mark)
        field = mark.field
        steps: tuple[Callable[[], object], ...] = (
            functools.partial(resource.setrlimit, field, (mark.value, limits[1])),
            fork,
            functools.partial(resource.setrlimit, field, limits),
        )
        try:
            # Between two steps of ``map`` the interpreter runs nothing else, neither another thread nor a signal
            # handler. Other threads can run only during the fork, which waits for the exec.
            pid = cast("int", tuple(map(operator.call, steps))[1])
        except BaseException:
            is_marked = resource.getrlimit(mark.field)[0] == mark.value
            _restore(mark.field, limits)
            if is_marked:
                if not alone:
                    _clear_others(mark, limits, child=0, first=first)
                raise
            # A sandbox has come to refuse the limit. The program can do without its mark.
            return fork()
    if not alone:
        _clear_others(mark, limits, child=pid, first=first)
    return pid


class MarkWindow:
    """The limit of a mark, for a spawn that runs Python code. ``clear_others`` must follow."""

    def __init__(self, mark: SpawnMark | None) -> None:
        """Prepare the window.

        Args:
            mark: The mark; None changes nothing.
        """
        self._mark = mark
        self._limits: Limits | None = None
        self._alone = True
        """Whether no other thread can have started a child in the window."""
        self._first: int | None = None
        """The lowest process id of a child that was started in the window, if that is known."""

    def call(self, spawn: Callable[[], T]) -> T:
        """Call a function that spawns, with the limit of the mark. Other threads that want a window wait."""
        mark = self._mark
        if mark is None:
            return spawn()
        with _state.lock:
            if (limits := _limits_to_change(mark)) is None:
                return spawn()
            self._alone = _is_alone()
            self._limits, self._first = limits, None if self._alone else _lowest_pid(mark)
            try:
                _state.open = _OpenWindow(threading.get_ident(), mark.field, limits)
                with contextlib.suppress(OSError, ValueError):  # as above
                    resource.setrlimit(mark.field, (mark.value, limits[1]))
                return spawn()
            finally:
                _restore(mark.field, limits)
                _state.open = None

    def clear_others(self, child: int) -> None:
        """Take the mark from other children that this process has started in the window.

        Args:
            child: The child that keeps the mark; 0 for none.
        """
        if self._mark is not None and self._limits is not None and not self._alone:
            _clear_others(self._mark, self._limits, child=child, first=self._first)


def _is_alone() -> bool:
    """Return whether this process has one thread, so that nobody else can start a child now."""
    try:
        # Asked of the kernel: ``threading`` does not count threads of libraries in other languages, which start
        # children as well.
        return os.stat("/proc/self/task").st_nlink == _ONE_THREAD
    except OSError:
        return False


def _lowest_pid(mark: SpawnMark) -> int | None:
    """Return the lowest process id of a child that another thread can start from now on; None if that is not known."""
    last = mark.last_pid(_YOUNG)
    return None if last is None else last + 1


def _clear_others(mark: SpawnMark, limits: Limits, *, child: int, first: int | None) -> None:
    """Give other children of this process, and their descendants, the limits of this process.

    Args:
        mark: The mark that they have got.
        limits: The limits of this process.
        child: The child that keeps the mark.
        first: The lowest process id that one of them can have; None if that is not known.
    """
    while True:
        pids: Iterable[int]
        last = None if first is None else mark.last_pid(0.0)
        if first is not None and last is not None and first - 1 <= last <= first + _MANY:
            pids, first = range(first, last + 1), last + 1
        else:
            try:
                pids, first = procfs.pids(), None
            except OSError:  # no descriptors are left; an error here would lose the child
                return
        # Repeat after a success: a process may have started another one before it lost its mark.
        if not [pid for pid in pids if pid != child and _clear(pid, mark, limits, child)]:
            return


def _clear(pid: int, mark: SpawnMark, limits: Limits, child: int) -> bool:
    """Take the mark from a process, unless it may descend from the child; return whether it had the mark."""
    try:
        if resource.prlimit(pid, mark.field)[0] != mark.value or not _comes_from_elsewhere(pid, child):
            return False
        resource.prlimit(pid, mark.field, limits)
    except (OSError, ValueError):
        return False
    return True


def _comes_from_elsewhere(pid: int, child: int) -> bool:
    """Return whether a process descends from this process, and not from the child.

    Of an orphan with a session of its own that is unknown.
    """
    # The child begins with a session of its own, and no descendant can come back to that of this process.
    if os.getsid(pid) == os.getsid(0):
        return True
    for _ in range(_GENERATIONS):
        pid = procfs.parent_of(pid)
        if pid in (0, 1, child):
            return False
        if pid == os.getpid():
            return True
    return False


def _limits_to_change(mark: SpawnMark) -> Limits | None:
    """Return the limits of this process; None if its hard limit does not allow the mark."""
    soft, hard = resource.getrlimit(mark.field)
    return None if resource.RLIM_INFINITY != hard < mark.value else (soft, hard)


def _restore(field: int, limits: Limits) -> None:
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(field, limits)


class _OpenWindow(NamedTuple):
    """A window that is open, and the limits of this process outside of it."""

    thread: int
    field: int
    limits: Limits


class _WindowState:
    """The open window of this process, if there is one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: _OpenWindow | None = None
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Close a window that another thread had open during a fork of the host.

        In the thread of the window, the fork is the spawn: uvloop calls this in the child, too.
        """
        self.lock = threading.Lock()
        if self.open is not None and self.open.thread != threading.get_ident():
            _restore(self.open.field, self.open.limits)
        self.open = None


_state = _WindowState()
