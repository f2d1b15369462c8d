"""The guardian, as its host sees it: one process for each host process, as long as somebody needs it.

It is started by the first launch that wants it, is armed before that goes on, and is gone when the last overseer has
ended. All overseers, loops and threads share it. What it does is in ``boot.py`` and ``main.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from aioverseer._aio.shield import settle
from aioverseer._system.containment.cgroup import tree
from aioverseer._system.containment.guardian.child_table import Table
from aioverseer._system.containment.strays import stray_registry

__all__ = ["Guardian", "GuardianLease", "guardian", "missing"]

_log = logging.getLogger("aioverseer")

_ARMED_WITHIN = 10.0
"""Seconds for its start, of some ten milliseconds, on a machine that has much to do."""

_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""What the system has no room for now, it may have room for when the next overseer asks."""

_GONE_WITHIN = 2.0
"""Seconds for its end once it is not needed any more, before it is killed."""

_PROGRAM = Path(__file__).with_name("boot.py")
_PARTS = (_PROGRAM, Path(__file__).with_name("main.py"))


def missing() -> str | None:
    """Return why there can be no guardian; None when there can."""
    if not sys.executable:
        return "there is no Python interpreter to run a guardian with (sys.executable is empty)"
    for part in _PARTS:
        if not part.is_file():
            return f"the guardian's program {str(part)!r} is not there"
    return guardian().failure


class Guardian:
    """The one guardian of this process."""

    def __init__(self) -> None:
        self.table: Table | None = None
        self.armed = False
        self.failure: str | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control = -1
        self._alive = -1

    @property
    def pid(self) -> int | None:
        """Its process id; None while there is none."""
        return None if self._process is None else self._process.pid

    def acquire(self) -> int:
        """Start it, unless it runs already, for one more who needs it; return a descriptor that tells of it.

        Raises:
            OSError: When it cannot be started.
        """
        with self._lock:
            if self._process is None:
                self._start()
            self._users += 1
            return os.dup(self._alive)

    def replace(self, dead: int) -> int:
        """Start another one in place of the one that has died, for one who has seen that; as ``acquire``.

        Args:
            dead: The descriptor that told; it is closed.
        """
        with self._lock:
            os.close(dead)
            if self._process is not None and self._process.poll() is not None:
                _log.warning("the guardian was killed: another one is started; the host had none in between")
                self._let_go()
            if self._process is None:
                self._start()
            return os.dup(self._alive)

    def look(self, descriptor: int) -> bool | None:
        """Return True when it is armed, False when it has died, None while neither is known."""
        try:
            word = os.read(descriptor, 1)
        except BlockingIOError:
            return True if self.armed else None
        if word:
            self.armed = True
            return True
        with self._lock:
            if self._process is not None and _is_same_pipe(descriptor, self._alive):
                # The end of its pipe comes just before its own, which is waited for: it needs a microsecond.
                self._process.kill()
                code = self._process.wait()
                self.armed = False
                if code > 0:  # nobody has killed it, so another one would end as well
                    self.failure = f"the guardian has ended by itself, with code {code}"
        return False

    def release(self) -> subprocess.Popen[bytes] | None:
        """One less needs it. When it was the last, it is told to end, and returned to be waited for."""
        with self._lock:
            self._users -= 1
            if self._users > 0 or self._process is None:
                return None
            process = self._process
            with contextlib.suppress(BrokenPipeError):
                os.write(self._control, b"q")
            self._let_go()
            self._drop_table()
            return process

    def _start(self) -> None:
        if self.table is None:
            self.table = Table()
        control, ours = os.pipe()
        alive, theirs = os.pipe()
        os.set_blocking(alive, False)
        words = [
            stray_registry().marker.token,
            str(os.getpid()),
            str(control),
            str(theirs),
            str(self.table.descriptor),
            tree().base,
        ]
        try:
            # Not through asyncio: it outlives the event loop that happens to need it first.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", str(_PROGRAM), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(control, theirs, self.table.descriptor),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            os.close(alive)
            if self._users == 0:
                self._drop_table()
            raise
        finally:
            os.close(control)
            os.close(theirs)
        self._control, self._alive = ours, alive
        self.armed = False

    def _let_go(self) -> None:
        for descriptor in (self._control, self._alive):
            if descriptor >= 0:
                os.close(descriptor)
        self._control = self._alive = -1
        self._process = None
        self.armed = False

    def forget(self) -> None:
        """Close everything, in a fork of the host: whoever held the pipe on would hide the host's end."""
        process = self._process
        self._let_go()
        if process is not None:
            process.returncode = 0  # it is no child of the fork's, so nothing is to be said of it
        self._drop_table()

    def _drop_table(self) -> None:
        if self.table is not None:
            self.table.close()
            self.table = None


def _is_same_pipe(one: int, other: int) -> bool:
    if other < 0:
        return False
    return os.fstat(one).st_ino == os.fstat(other).st_ino


class _CurrentGuardian:
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
    """The need of one launcher for the guardian, on its event loop."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        """Need nothing yet.

        Args:
            on_failure: Called when there can be no guardian; ``failure`` says why.
        """
        self.failure: str | None = None
        self._on_failure = on_failure
        self._owner: Guardian | None = None
        self._descriptor = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: asyncio.Future[None] | None = None

    @property
    def armed(self) -> bool:
        """Whether a start may go on."""
        return self._owner is not None and self._owner.armed

    @property
    def table(self) -> Table | None:
        """Where children are entered; None while it is not armed."""
        return None if self._owner is None else self._owner.table

    async def arm(self) -> None:
        """Return once the guardian is armed, or it is known that there can be none. Safe to cancel."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._unwatch()
        if self._owner is None:
            owner = guardian()
            try:
                self._descriptor = owner.acquire()
            except OSError as error:
                self._fail(f"a guardian could not be started: {error}", passing=error.errno in _PASSING)
                return
            self._owner = owner
        if self._loop is None:
            self._watch(loop)
        if self._known is not None and not self._known.done():
            timer = loop.call_later(_ARMED_WITHIN, self._settle)
            try:
                await asyncio.shield(self._known)
            finally:
                timer.cancel()
            if self._descriptor >= 0 and not self.armed:
                self._fail("the guardian has not answered in time")

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known = loop.create_future()
        loop.add_reader(self._descriptor, self._on_news)
        if self.armed:
            self._settle()

    def _unwatch(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._loop = None

    def _settle(self) -> None:
        if self._known is not None and not self._known.done():
            self._known.set_result(None)

    def _on_news(self) -> None:
        owner, loop = self._owner, self._loop
        if owner is None or loop is None:
            return
        was_armed = self._known is not None and self._known.done()
        match owner.look(self._descriptor):
            case True:
                self._settle()
            case False:
                self._unwatch()
                if not was_armed:
                    self._fail("the guardian has ended before it was armed")
                    return
                if owner.failure is not None:
                    self._fail(owner.failure)
                    return
                try:
                    self._descriptor = owner.replace(self._descriptor)
                except OSError as error:
                    self._descriptor = -1
                    self._fail(f"a guardian could not be started: {error}", passing=error.errno in _PASSING)
                    return
                self._watch(loop)
            case None:
                pass

    def _fail(self, why: str, *, passing: bool = False) -> None:
        _log.warning("%s: if the host is killed by SIGKILL, its programs live on", why)
        self.failure = why
        if not passing:
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
        owner, self._owner = self._owner, None
        return None if owner is None else owner.release()

    async def close(self) -> None:
        """Need it no more; wait for its end when nobody else does, through any cancellation of this call."""
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
                cancelled = await settle(gone, within=_GONE_WITHIN)
            finally:
                loop.remove_reader(pidfd)
                os.close(pidfd)
        else:
            cancelled = None
        try:
            # Without a pidfd this waits for some milliseconds, once at the end of all.
            process.wait(0.0 if pidfd >= 0 else _GONE_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if cancelled is not None:
            raise cancelled
