"""The runs of this host process: which live, which have ended, and so which processes are strays.

One for each process, shared by all overseers, loops and threads of it, so under a lock: a sweep asks for all of them at
once. Killing is done elsewhere.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque

from aioverseer.system.containment import procfs
from aioverseer.system.containment.marker import Marker

__all__ = ["Runs", "runs"]

_REMEMBERED = 5.0
"""Seconds for which the session of an ended run is known: its number may be given away once it is empty."""


class Runs:
    """The runs of this process."""

    def __init__(self) -> None:
        self.marker = Marker()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._live: set[int] = set()
        self._sessions: deque[tuple[int, float]] = deque(maxlen=256)
        self._ended: int = 0
        self._swept: int = 0
        self._alone: int | None = None

    def begin(self) -> int:
        """Return the number of a new run, which lives from now on; before its spawn, so that no sweep can hit it."""
        with self._lock:
            run = next(self._numbers)
            self._live.add(run)
        return run

    def end(self, run: int, pid: int | None, *, kept: bool) -> None:
        """Take note of the end of a run: what bears its marker is a stray from now on, unless it is kept."""
        with self._lock:
            self._live.discard(run)
            if pid is None or kept:
                return
            self._alone = pid if self._ended == self._swept else None
            self._ended += 1
            self._sessions.append((pid, time.monotonic()))

    def begin_sweep(self) -> int | None:
        """Return what to pass to ``swept``; None where nothing can be found, as nothing has ended since the last."""
        with self._lock:
            if self._ended == self._swept or not procfs.HAS_PROC:
                return None
            if self._alone is not None and procfs.last_pid() == self._alone:
                # The kernel has made no process since: the one that has ended has started none.
                self._swept = self._ended
                return None
            return self._ended

    def swept(self, mark: int) -> None:
        """Take note of a sweep that has found nothing any more."""
        with self._lock:
            self._swept = max(self._swept, mark)

    def is_stray(self, pid: int) -> bool:
        """Return whether a process is what an ended run has left behind."""
        if pid <= 1 or pid in (os.getpid(), os.getppid()):
            return False
        found = self.marker.find(procfs.environment_of(pid))
        if found is not None:
            run, kept = found
            return not kept and run not in self._live
        return bool(self._sessions) and self._is_in_dead_session(pid)

    def _is_in_dead_session(self, pid: int) -> bool:
        try:
            session = os.getsid(pid)
        except OSError:
            return False
        since = time.monotonic() - _REMEMBERED
        with self._lock:
            # Not read as it stands: it raises when another thread ends a run meanwhile.
            sessions = tuple(self._sessions)
        if not any(session == known and at >= since for known, at in sessions):
            return False
        try:
            # A session with a leader is another one: ours is gone.
            os.getsid(session)
        except ProcessLookupError:
            return procfs.state_of(pid) not in "ZX"
        return False

    def left_by(self, run: int) -> list[int]:
        """Return the processes that bear the marker of one run."""
        found: list[int] = []
        for pid in procfs.pids():
            mark = self.marker.find(procfs.environment_of(pid))
            if mark is not None and mark[0] == run:
                found.append(pid)
        return found


class _Current:
    """Which is the one of this process: a fork has its own, and nothing to do with the children of the other."""

    def __init__(self) -> None:
        self.runs = Runs()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.runs = Runs()


_current = _Current()


def runs() -> Runs:
    """Return the runs of this process."""
    return _current.runs
