"""The host's side of the guardian, one process for each host process.

The first launch that needs the guardian starts it and waits until it is armed. It ends with the last overseer. All
overseers, event loops and threads share it. Its program is in ``boot.py`` and ``main.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import resolve
from aioverseer._system.containment.cgroup import tree
from aioverseer._system.containment.guardian.child_table import ChildTable
from aioverseer._system.containment.strays import stray_registry
from aioverseer._system.host.interpreter import missing_interpreter

__all__ = ["Guardian", "GuardianLease", "guardian", "missing"]

_log = logging.getLogger("aioverseer")

_START_TIMEOUT = 10.0
"""Seconds for its start. Some ten milliseconds are usual; a busy machine needs more."""

_TEMPORARY = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Errors of a system that is short of resources. The next overseer tries again."""

_END_TIMEOUT = 2.0
"""Seconds for its end after the last release, before it is killed."""

_PROGRAM = os.path.join(os.path.dirname(__file__), "boot.py")
_PARTS = (_PROGRAM, os.path.join(os.path.dirname(__file__), "main.py"))


def missing() -> str | None:
    """Return why there can be no guardian; None when there can be one."""
    if (why := missing_interpreter()) is not None:
        why = f"there is no Python interpreter to run a guardian with ({why})"
        _report(why)
        return why
    for part in _PARTS:
        if not os.path.isfile(part):
            return f"the guardian's program {part!r} is not there"
    return guardian().failure


@functools.cache
def _report(why: str) -> None:
    _log.warning("%s: if the host is killed by SIGKILL, its programs live on", why)


class Guardian:
    """The guardian of this process.

    Attributes:
        child_table: The children that it kills; None while it does not run.
        armed: Whether it has acknowledged.
        failure: Why there can be no guardian; None when there can be one.
    """

    def __init__(self) -> None:
        self.child_table: ChildTable | None = None
        self.armed = False
        self.failure: str | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control = -1
        self._alive = -1
        self._waiting: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        return None if self._process is None else self._process.pid

    def acquire(self) -> int:
        """Add a user, and start the guardian if needed.

        Returns:
            A new descriptor that reports the acknowledgement and the end of the guardian.

        Raises:
            OSError: If it cannot be started.
        """
        with self._lock:
            if self._process is None:
                self._start()
            self._users += 1
            return os.dup(self._alive)

    def replace(self, dead: int) -> int:
        """Replace a dead guardian, unless another user has done so; return a new descriptor, as ``acquire`` does.

        Args:
            dead: Descriptor that reported the end. It is closed.
        """
        with self._lock:
            os.close(dead)
            if self._process is not None and self._process.poll() is not None:
                _log.warning("the guardian was killed: another one is started; the host had none in between")
                self._close_pipes()
            if self._process is None:
                self._start()
            return os.dup(self._alive)

    def when_armed(self, loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
        """Call a function once, at once or when any event loop has read the acknowledgement.

        Args:
            loop: Event loop that calls the function.
            function: Function to call.
        """
        with self._lock:
            if not self.armed:
                self._waiting.append((loop, function))
                return
        function()

    def read_state(self, descriptor: int) -> bool | None:
        """Read a descriptor of ``acquire``: True when the guardian is armed, False when it has died, else None."""
        with self._lock:
            try:
                word = os.read(descriptor, 1)
            except BlockingIOError:
                return True if self.armed else None
            if word:
                self.armed = True
                # All descriptors share one pipe, so nobody else can read this byte.
                waiting, self._waiting = self._waiting, []
                for loop, function in waiting:
                    with contextlib.suppress(RuntimeError):  # the event loop was closed while it waited
                        loop.call_soon_threadsafe(function)
                return True
            if self._process is not None and _is_same_pipe(descriptor, self._alive):
                # Its pipe closes just before the process ends: waiting takes a microsecond.
                self._process.kill()
                code = self._process.wait()
                self.armed = False
                if code > 0:  # it was not killed, so a new one would end as well
                    self.failure = f"the guardian has ended by itself, with code {code}"
        return False

    def release(self) -> subprocess.Popen[bytes] | None:
        """Remove a user. After the last one, tell the guardian to end, and return its process to be waited for."""
        with self._lock:
            self._users -= 1
            if self._users > 0:
                return None
            process = self._process
            if process is None:  # it was killed, and could not be replaced
                self._drop_child_table()
                return None
            with contextlib.suppress(BrokenPipeError):
                os.write(self._control, b"q")
            self._close_pipes()
            self._drop_child_table()
            return process

    def _start(self) -> None:
        if self.child_table is None:
            self.child_table = ChildTable()
        control, ours = os.pipe()
        alive, theirs = os.pipe()
        os.set_blocking(alive, False)
        words = [
            stray_registry().marker.token,
            str(os.getpid()),
            str(control),
            str(theirs),
            str(self.child_table.descriptor),
            tree().base,
            stray_registry().limit_mark.word,
        ]
        try:
            # Not through asyncio, because the guardian may outlive the event loop that first needs it.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", _PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(control, theirs, self.child_table.descriptor),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            os.close(alive)
            if self._users == 0:
                self._drop_child_table()
            raise
        finally:
            os.close(control)
            os.close(theirs)
        self._control, self._alive = ours, alive
        self.armed = False

    def _close_pipes(self) -> None:
        for descriptor in (self._control, self._alive):
            if descriptor >= 0:
                os.close(descriptor)
        self._control = self._alive = -1
        self._process = None
        self.armed = False
        self._waiting = []

    def forget(self) -> None:
        """Close everything, in a fork of the host: an open pipe there would hide the host's end from the guardian."""
        process = self._process
        self._close_pipes()
        if process is not None:
            process.returncode = 0  # it is not the fork's child; this avoids the ResourceWarning of Popen
        self._drop_child_table()

    def _drop_child_table(self) -> None:
        if self.child_table is not None:
            self.child_table.close()
            self.child_table = None


def _is_same_pipe(one: int, other: int) -> bool:
    if other < 0:
        return False
    return os.fstat(one).st_ino == os.fstat(other).st_ino


class _CurrentGuardian:
    """The guardian of this process. A fork gets a new one, which does not run."""

    def __init__(self) -> None:
        self.guardian = Guardian()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.guardian.forget()
        self.guardian = Guardian()


_current = _CurrentGuardian()


def guardian() -> Guardian:
    """Return the guardian of this process, running or not."""
    return _current.guardian


class GuardianLease:
    """One launcher's use of the guardian, on its event loop.

    Attributes:
        failure: Why there is no guardian; None when nothing has failed.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        """Create a lease that does not use the guardian yet.

        Args:
            on_failure: Called when there can be no guardian, after ``failure`` is set.
        """
        self.failure: str | None = None
        self._on_failure = on_failure
        self._guardian: Guardian | None = None
        self._descriptor = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: asyncio.Future[None] | None = None

    @property
    def armed(self) -> bool:
        """Whether the guardian is armed, so that a launch may continue."""
        return self._guardian is not None and self._guardian.armed

    @property
    def child_table(self) -> ChildTable | None:
        """The table that children are added to; None before ``arm``."""
        return None if self._guardian is None else self._guardian.child_table

    async def arm(self) -> None:
        """Wait until the guardian is armed or has failed. Safe to cancel."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._unwatch()
        if self._guardian is None:
            current = guardian()
            try:
                self._descriptor = current.acquire()
            except OSError as error:
                self._fail(f"a guardian could not be started: {error}", temporary=error.errno in _TEMPORARY)
                return
            self._guardian = current
        if self._loop is None:
            self._watch(self._guardian, loop)
        if self._settled is not None and not self._settled.done():
            timer = loop.call_later(_START_TIMEOUT, self._settle)
            try:
                await asyncio.shield(self._settled)
            finally:
                timer.cancel()
            if self._descriptor >= 0 and not self.armed:
                self._fail("the guardian has not answered in time")

    def _watch(self, current: Guardian, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settled = loop.create_future()
        loop.add_reader(self._descriptor, self._on_readable)
        current.when_armed(loop, functools.partial(resolve, self._settled))

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._loop = None

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _on_readable(self) -> None:
        current, loop = self._guardian, self._loop
        if current is None or loop is None:
            return
        was_armed = self._settled is not None and self._settled.done()
        match current.read_state(self._descriptor):
            case True:
                self._settle()
            case False:
                self._unwatch()
                if not was_armed:
                    self._fail("the guardian has ended before it was armed")
                    return
                if current.failure is not None:
                    self._fail(current.failure)
                    return
                try:
                    self._descriptor = current.replace(self._descriptor)
                except OSError as error:
                    self._descriptor = -1
                    self._fail(f"a guardian could not be started: {error}", temporary=error.errno in _TEMPORARY)
                    return
                self._watch(current, loop)
            case None:
                pass

    def _fail(self, why: str, *, temporary: bool = False) -> None:
        _log.warning("%s: if the host is killed by SIGKILL, its programs live on", why)
        self.failure = why
        if not temporary:
            guardian().failure = why
        self._settle()
        process = self._release()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.kill()
                process.wait(0.5)
        self._on_failure()

    def _release(self) -> subprocess.Popen[bytes] | None:
        self._unwatch()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        current, self._guardian = self._guardian, None
        return None if current is None else current.release()

    async def close(self) -> None:
        """Release the guardian. The last user waits for its end; a cancellation is raised only after that."""
        process = self._release()
        if process is None:
            return
        try:
            pidfd = os.pidfd_open(process.pid)
        except (OSError, AttributeError):
            pidfd = -1
        if pidfd >= 0:
            loop = asyncio.get_running_loop()
            gone: asyncio.Future[None] = loop.create_future()
            loop.add_reader(pidfd, lambda: None if gone.done() else gone.set_result(None))
            try:
                cancelled = await settle(gone, within=_END_TIMEOUT)
            finally:
                loop.remove_reader(pidfd)
                os.close(pidfd)
        else:
            cancelled = None
        try:
            # Without a pidfd this blocks for some milliseconds, once at the very end.
            process.wait(0.0 if pidfd >= 0 else _END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if cancelled is not None:
            raise cancelled
