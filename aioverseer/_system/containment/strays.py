"""The registry of all runs of this host process: which run lives, and which processes are strays of ended runs.

There is one registry for each process. All overseers, event loops and threads share it, so it has a lock.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from aioverseer._system.containment import procfs
from aioverseer._system.containment.cgroup import Cgroup
from aioverseer._system.containment.limit_mark import LimitMark
from aioverseer._system.containment.marker import Marker
from aioverseer._system.containment.pid_hints import PidHints

__all__ = ["NOBODY", "Owner", "StrayRegistry", "stray_registry"]

_REMEMBERED = 5.0
"""Seconds for which the session of an ended run is known. Once a session is empty, its number may be reused."""

_MAX_SESSIONS = 256
"""Number of sessions of ended runs that are remembered."""

_EXEC = 0.01
"""Seconds to wait for processes in the middle of an exec. An exec takes a tenth of a millisecond."""


class Owner(NamedTuple):
    """The run that a process belongs to.

    Attributes:
        run: Number of the run; 0 for none that lives.
        is_stray: Whether the process must be killed, because its run has ended.
    """

    run: int
    is_stray: bool


NOBODY = Owner(run=0, is_stray=False)
"""The owner of a process that no run has started."""


class StrayRegistry:
    """The runs of this process."""

    def __init__(self) -> None:
        self.marker = Marker()
        self.limit_mark = LimitMark(self._last_pid)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._live: set[int] = set()
        self._leaders: dict[int, int] = {}
        """Children whose runs live, with the number of the run: they are never strays."""
        self._kept: dict[int, str] = {}
        """Names of the services whose runs leave processes that are kept."""
        self._sessions: dict[int, float] = {}
        """When each of the last sessions lost its leader, oldest first."""
        self._leaderless: dict[int, tuple[int, int]] = {}
        """Live runs whose leader has ended: its pid, and the number of ends before it.

        Their leftovers have the time of the ladder, so they are no strays yet."""
        self._ended: int = 0
        self._swept: int = 0
        self._hints = PidHints()
        self.cgroups: dict[int, Cgroup] = {}
        """The cgroups of live runs that have one."""

    def close(self) -> None:
        """Close the file that is open while runs live."""
        self._hints.close()

    def _last_pid(self, max_age: float) -> int | None:
        with self._lock:
            return self._hints.last_pid(keep_open=bool(self._live), max_age=max_age)

    def begin(self) -> int:
        """Register a run and return its number. Called before the spawn, so that no sweep can hit the new program."""
        with self._lock:
            run = next(self._numbers)
            self._live.add(run)
        return run

    def keep(self, run: int, id: str) -> None:
        """Record that the leftovers of a run are kept, and its service."""
        with self._lock:
            self._kept[run] = id

    def adopt(self, pid: int, run: int = 0) -> None:
        """Record the child of a run; 0 for a run whose number is not known."""
        with self._lock:
            self._leaders[pid] = run
            self._hints.adopt(pid)

    def leader_ended(self, run: int, pid: int) -> None:
        """Record the end of the leader of a run. Its leftovers are no strays before ``end``.

        Args:
            run: Number of the run.
            pid: Its child.
        """
        with self._lock:
            self._leaderless[run] = pid, self._ended
            self._lose(pid)

    def change_leader(self, run: int, pid: int, *, before: int) -> None:
        """Record that another process of a live run is its leader from now on.

        Args:
            run: Number of the run.
            pid: The new leader.
            before: The leader before it, which may have ended.
        """
        with self._lock:
            # The run goes on, so processes in the session of the old leader are no leftovers.
            self._leaderless.pop(run, None)
            self._sessions.pop(before, None)
            self._leaders[pid] = run

    def forget_leader(self, pid: int) -> None:
        """Record that a former leader of a live run has ended, or is an ordinary process of the run from now on."""
        with self._lock:
            self._leaders.pop(pid, None)

    def runs_of(self, leaders: Iterable[int]) -> dict[int, int]:
        """Return the live runs of leaders, by their pids."""
        return {pid: run for pid in leaders if (run := self._leaders.get(pid, 0))}

    def is_of_run(self, pid: int, run: int) -> bool:
        """Return whether a process belongs to a live run: as a leader, by its session, its ancestors, or a mark."""
        if self._leaders.get(pid) == run:
            return True
        leader = self.leader_of(pid)
        if leader is not None:
            return self._leaders.get(leader) == run
        owner = self.owner_of(pid)
        return owner is not None and owner.run == run

    def are_of_one_run(self, first: int, second: int | None) -> bool:
        """Return whether two leaders belong to the same run, whose main process has changed."""
        run = self._leaders.get(first, 0)
        return second is not None and run != 0 and self._leaders.get(second) == run

    def end(self, run: int, pid: int | None, *, kept: bool, clean: bool = False) -> None:
        """Record the end of a run: from now on, processes with its marker are strays.

        Args:
            run: Number of the run.
            pid: Its child; None when none was spawned.
            kept: Whether its leftovers are kept, so that they are no strays.
            clean: Whether it is known that the run has left nothing, so that no sweep has to look for it.
        """
        with self._lock:
            self._live.discard(run)
            if not self._live:
                self._hints.close()
            was_leaderless = self._leaderless.pop(run, None) is not None
            if pid is None:
                return
            if kept:
                self._leaders.pop(pid, None)
            elif not was_leaderless:
                self._lose(pid)
            elif not clean:
                # Again, because a sweep that began after the end of the leader has passed over its leftovers.
                self._ended += 1
                self._hints.end(pid)

    def _lose(self, pid: int) -> None:
        self._leaders.pop(pid, None)
        self._ended += 1
        self._hints.end(pid)
        self._sessions.pop(pid, None)
        self._sessions[pid] = time.monotonic()
        if len(self._sessions) > _MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    @property
    def ended(self) -> int:
        """The mark to pass to ``swept`` after a search that begins now and finds no stray."""
        return self._ended

    def left_nothing(self) -> bool:
        """Return whether the runs that ended since the last sweep have certainly left no process, in any group.

        The proof is by pids alone: this host's children are the only processes that were started since.
        """
        with self._lock:
            if self._ended == self._swept or not procfs.HAS_PROC or self._suspects() != []:
                return False
            self._swept = self._ended
            self._hints.reset()
            return True

    def begin_sweep(self) -> int | None:
        """Return the mark to pass to ``swept``, or None when a sweep could find nothing."""
        return self.ended if self.may_have_left() is not False else None

    def may_have_left(self) -> bool | None:
        """Return whether ended runs or leaders have left a process in any group; None when only a search can tell.

        Few processes are read. False is certain.
        """
        judged: set[int] = set()
        while True:
            with self._lock:
                if self._ended == self._swept or not procfs.HAS_PROC:
                    return False
                mark, suspects = self._ended, self._suspects()
            if suspects is None:
                return None
            # Repeat until no pid is new: a process that has just ended may have started another one, with a higher pid.
            new = [pid for pid in suspects if pid not in judged and pid not in self._leaders]
            if not new:
                break
            if any(self._is_left(pid) for pid in new):
                return True
            judged.update(new)
        self.swept(mark, leaderless=True)
        return False

    def _is_left(self, pid: int) -> bool:
        owner = self.owner_of(pid)
        return owner is None or owner.is_stray or owner.run in self._leaderless

    def _suspects(self) -> list[int] | None:
        return self._hints.suspects(keep_open=bool(self._live))

    def swept(self, mark: int, *, leaderless: bool = False) -> None:
        """Record that a sweep has found no stray.

        Args:
            mark: The value that ``begin_sweep`` returned before that sweep.
            leaderless: Whether it has found no leftover either of the runs whose leader has ended.
        """
        with self._lock:
            if not leaderless:
                mark = min([mark, *(before for _, before in self._leaderless.values())])
            self._swept = max(self._swept, mark)
            if self._swept == self._ended:
                self._hints.reset()

    def is_leaderless(self, run: int) -> bool:
        """Return whether the leader of a live run has ended."""
        return run in self._leaderless

    def judge(self, pid: int) -> bool | None:
        """Return whether a process is a stray; None while it is in the middle of an exec."""
        owner = self.owner_of(pid)
        return None if owner is None else owner.is_stray

    def owner_of(self, pid: int) -> Owner | None:
        """Return the run that a process belongs to; None while it is in the middle of an exec.

        Leaders of live runs, this host and its parent belong to no run.
        """
        if pid <= 1 or pid in self._leaders or pid == os.getpid() or pid == os.getppid():
            return NOBODY
        try:
            session = os.getsid(pid)
        except OSError:
            return NOBODY
        # Session 0: a kernel thread, as most processes are, or a process whose session lies outside of this pid
        # namespace. Our children make their sessions inside it. The check spares two reads of /proc for each process.
        # A process in the session of this host is no stray: nobody can come back to it from the session of a child.
        # Another thread may have started it during a spawn, with the limit of that run.
        if session == 0 or session == os.getsid(0):
            return NOBODY
        # The limit first, because a program cannot overwrite it, and a look at it takes a thirtieth of the time.
        if (found := self.limit_mark.find(pid)) is not None:
            return self._owner(*found) if procfs.state_of(pid) not in "ZX" else NOBODY
        environment = procfs.environment_of(pid)
        if (found := self.marker.find(environment)) is not None:
            return self._owner(*found)
        if self._sessions and self._has_lost_its_leader(session) and procfs.state_of(pid) not in "ZX":
            leaderless = tuple(self._leaderless.items())
            run = next((run for run, (leader, _) in leaderless if leader == session), 0)
            return Owner(run=run, is_stray=run == 0)
        return None if not environment and procfs.is_between_programs(pid) else NOBODY

    def _owner(self, run: int, kept: bool) -> Owner:  # noqa: FBT001  # the pair that the marks give
        return Owner(run=run, is_stray=not kept and run not in self._live)

    def _has_lost_its_leader(self, session: int) -> bool:
        """Return whether this is the session of an ended run."""
        if self._sessions.get(session, -_REMEMBERED) < time.monotonic() - _REMEMBERED:
            return False
        try:
            # If the session has a leader, its number was reused.
            os.getsid(session)
        except ProcessLookupError:
            return True
        return False

    def leader_of(self, pid: int) -> int | None:
        """Return the child of the living run to which a process belongs; None if it belongs to none.

        A process belongs to a run by its session, by its ancestors, or by a mark.
        """
        try:
            session = os.getsid(pid)
        except OSError:
            return None
        if session in self._leaders:
            return session
        ancestor, seen = pid, set[int]()
        while ancestor > 1 and ancestor not in seen and ancestor != os.getpid():
            if ancestor in self._leaders:
                return ancestor
            seen.add(ancestor)
            ancestor = procfs.parent_of(ancestor)
        found = self._mark_of(pid)
        with self._lock:
            return next((leader for leader, run in self._leaders.items() if found and run == found[0]), None)

    def kept_by(self, pid: int) -> str | None:
        """Return the service whose ended run has left a process that is kept; None if it is no such process."""
        found = self._mark_of(pid)
        return None if found is None else self._kept.get(found[0])

    def _mark_of(self, pid: int) -> tuple[int, bool] | None:
        return self.limit_mark.find(pid) or self.marker.find(procfs.environment_of(pid))

    def left_by(self, run: int) -> list[int]:
        """Return the processes that carry a mark of a run."""
        found: list[int] = []
        unclear, deadline = procfs.pids(), time.monotonic() + _EXEC
        while unclear:
            again: list[int] = []
            for pid in unclear:
                if (word := self.limit_mark.find(pid)) is not None:
                    if word[0] == run and procfs.state_of(pid) not in "ZX":
                        found.append(pid)
                    continue
                environment = procfs.environment_of(pid)
                word = self.marker.find(environment)
                if word is not None and word[0] == run:
                    found.append(pid)
                elif not environment and procfs.is_between_programs(pid):
                    again.append(pid)
            unclear = again if time.monotonic() < deadline else []
        return found


class _CurrentRegistry:
    """The registry of this process. A fork gets an empty one, as the parent's children are not its own."""

    def __init__(self) -> None:
        self.registry = StrayRegistry()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.registry.close()
        self.registry = StrayRegistry()


_current = _CurrentRegistry()


def stray_registry() -> StrayRegistry:
    """Return the registry of this process."""
    return _current.registry
