"""The runs of this host process: which live, which have ended, and so which processes are strays.

One for each process, shared by all overseers, loops and threads of it, so under a lock: a sweep asks for all of them at
once. Killing is done elsewhere.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time

from aioverseer._system.containment import procfs
from aioverseer._system.containment.marker import Marker
from aioverseer._system.containment.pid_hints import LastPid

__all__ = ["StrayRegistry", "stray_registry"]

_REMEMBERED = 5.0
"""Seconds for which the session of an ended run is known: its number may be given away once it is empty."""

_SESSIONS = 256
"""Sessions that are known at most."""

_YOUNG = 0.25
"""Seconds for which numbers of processes are taken to rise: no kernel gives away all 32,768 of them in that time."""

_EXEC = 0.01
"""Seconds for those that are in the middle of an exec to show what they are; it takes a tenth of a millisecond."""

_FEW = 64
"""Processes that are looked at one by one, rather than all of the machine: half a millisecond. And children that are
remembered although they are not young any more."""


class StrayRegistry:
    """The runs of this process."""

    def __init__(self) -> None:
        self.marker = Marker()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._live: set[int] = set()
        self._leaders: set[int] = set()
        """The children whose runs live: they need not be looked at."""
        self._spawned: dict[int, float] = {}
        """When the children of the last moments were adopted, oldest first."""
        self._room = _FEW
        """How many of them may be remembered before the old ones are dropped."""
        self._sessions: dict[int, float] = {}
        """When the last sessions lost their leaders, oldest first."""
        self._ended: int = 0
        self._swept: int = 0
        self._oldest: tuple[float, int] | None = None
        """When and as what the first child was adopted, of those whose runs ended since the last sweep."""
        self._last = LastPid()
        self._ours = _Ours()

    def close(self) -> None:
        """Let go of what is open while runs live."""
        self._last.close()

    def begin(self) -> int:
        """Return the number of a new run, which lives from now on; before its spawn, so that no sweep can hit it."""
        with self._lock:
            run = next(self._numbers)
            self._live.add(run)
        return run

    def adopt(self, pid: int) -> None:
        """Take note of the child of a run."""
        now = time.monotonic()
        with self._lock:
            self._leaders.add(pid)
            # Put in again, not changed in place: the order is by time.
            self._spawned.pop(pid, None)
            self._spawned[pid] = now
            if len(self._spawned) >= self._room:
                _forget(self._spawned, now - _YOUNG)
                self._room = len(self._spawned) + _FEW

    def end(self, run: int, pid: int | None, *, kept: bool) -> None:
        """Take note of the end of a run: what bears its marker is a stray from now on, unless it is kept."""
        now = time.monotonic()
        with self._lock:
            self._live.discard(run)
            if not self._live:
                self._last.close()
            if pid is None:
                return
            self._leaders.discard(pid)
            if kept:
                return
            self._ended += 1
            adopted = (self._spawned.get(pid, -math.inf), pid)
            if self._oldest is None:
                self._oldest = adopted
            else:
                first, other = sorted((adopted, self._oldest))
                # Of two threads that spawn, the one with the lower number may be the later one to tell: whose
                # descendants have which numbers is not known then.
                self._oldest = first if first[1] <= other[1] else (-math.inf, first[1])
            self._sessions.pop(pid, None)
            self._sessions[pid] = now
            if len(self._sessions) > _SESSIONS:
                del self._sessions[next(iter(self._sessions))]

    def left_nothing(self) -> bool:
        """Return whether it is certain that no run has left anything since the last sweep, in its group or elsewhere.

        By the numbers alone: no process was started since that is not a child of this host.
        """
        with self._lock:
            if self._ended == self._swept or not procfs.HAS_PROC or self._suspects() != []:
                return False
            self._swept, self._oldest = self._ended, None
            return True

    def begin_sweep(self) -> int | None:
        """Return what to pass to ``swept``; None where nothing can be found, as nothing has ended since the last."""
        judged: set[int] = set()
        while True:
            with self._lock:
                if self._ended == self._swept or not procfs.HAS_PROC:
                    return None
                mark, suspects = self._ended, self._suspects()
            if suspects is None:
                return mark
            # Again until there is no new one: who has just ended may have started another before, behind the last.
            new = [pid for pid in suspects if pid not in judged]
            if not new:
                break
            if any(self.judge(pid) is not False for pid in new):
                return mark
            judged.update(new)
        self.swept(mark)
        return None

    def _suspects(self) -> list[int] | None:
        """Return the processes that the runs to sweep after can have started; None where that is not known.

        All of them are younger than the first child of those runs, so their numbers are higher, as long as the kernel
        has not come round to the low ones again. Those that this host has started itself meanwhile are none.
        """
        if self._oldest is None:
            return None
        adopted, first = self._oldest
        now = time.monotonic()
        if now - adopted > _YOUNG:
            return None
        last = self._last.ask(keep=bool(self._live))
        if last is None or not first <= last <= first + len(self._spawned) + _FEW:
            return None
        ours, spawned = self._ours, self._spawned
        known = ours.first <= first + 1 and first <= ours.last <= last and now - ours.seen <= _YOUNG
        if known and last == ours.last:
            return []
        looked = ours.last if known else first
        suspects = [pid for pid in range(looked + 1, last + 1) if spawned.get(pid, 0) < adopted]
        if not suspects:
            ours.first, ours.last, ours.seen = ours.first if known else first + 1, last, now
        return suspects if len(suspects) <= _FEW else None

    def swept(self, mark: int) -> None:
        """Take note of a sweep that has found nothing any more."""
        with self._lock:
            self._swept = max(self._swept, mark)
            if self._swept == self._ended:
                self._oldest = None

    def judge(self, pid: int) -> bool | None:
        """Return whether a process is what an ended run has left behind; None while it is in the middle of an exec."""
        if pid <= 1 or pid in self._leaders or pid in (os.getpid(), os.getppid()):
            return False
        try:
            session = os.getsid(pid)
        except OSError:
            return False
        # Threads of the kernel, most of what there is, and who is in a session outside of this pid namespace: what a
        # child of ours has started is in one that was made in here. This spares two files of /proc for each.
        if session == 0:
            return False
        environment = procfs.environment_of(pid)
        found = self.marker.find(environment)
        if found is not None:
            run, kept = found
            return not kept and run not in self._live
        if self._sessions and self._is_dead(session) and procfs.state_of(pid) not in "ZX":
            return True
        return None if not environment and procfs.is_between_programs(pid) else False

    def _is_dead(self, session: int) -> bool:
        """Return whether it is one of ours that has lost its leader."""
        if self._sessions.get(session, -_REMEMBERED) < time.monotonic() - _REMEMBERED:
            return False
        try:
            # A session with a leader is another one: ours is gone.
            os.getsid(session)
        except ProcessLookupError:
            return True
        return False

    def left_by(self, run: int) -> list[int]:
        """Return the processes that bear the marker of one run."""
        found: list[int] = []
        unclear, until = procfs.pids(), time.monotonic() + _EXEC
        while unclear:
            again: list[int] = []
            for pid in unclear:
                environment = procfs.environment_of(pid)
                mark = self.marker.find(environment)
                if mark is not None and mark[0] == run:
                    found.append(pid)
                elif not environment and procfs.is_between_programs(pid):
                    again.append(pid)
            unclear = again if time.monotonic() < until else []
        return found


class _Ours:
    """Numbers in a row that were all given to children of this host: a crowd looks at each of them once."""

    __slots__ = ("first", "last", "seen")

    def __init__(self) -> None:
        self.first = 1
        self.last = 0
        self.seen = -math.inf
        """When the last of them was looked at: later on they may have been given away once more."""


def _forget(times: dict[int, float], since: float) -> None:
    """Drop what is older; many at once, as each look for the oldest passes by all that were dropped before."""
    for old in tuple(itertools.takewhile(lambda pid: times[pid] < since, times)):
        del times[old]


class _CurrentRegistry:
    """Which is the one of this process: a fork has its own, and nothing to do with the children of the other."""

    def __init__(self) -> None:
        self.runs = StrayRegistry()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.runs.close()
        self.runs = StrayRegistry()


_current = _CurrentRegistry()


def stray_registry() -> StrayRegistry:
    """Return the runs of this process."""
    return _current.runs
