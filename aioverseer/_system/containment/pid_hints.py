"""Process ids as evidence that a sweep would find nothing.

The kernel gives out rising pids. If every pid since the start of a child belongs to this host's own children, then
the child has started no process that could be left.
"""

from __future__ import annotations

import itertools
import math
import os
import time

__all__ = ["LastPid", "PidHints"]

_YOUNG = 0.25
"""Seconds for which pids are assumed to rise. No kernel uses up all 32,768 pids in that time."""

_FEW = 64
"""Processes worth checking one by one instead of reading all of /proc: half a millisecond. Also the number of older
children that may be remembered."""


class LastPid:
    """The pid that the kernel has given out most recently."""

    __slots__ = ("_descriptor",)

    def __init__(self) -> None:
        """Open nothing yet."""
        self._descriptor = -1

    def ask(self, *, keep_open: bool) -> int | None:
        """Return the last pid, or None where the kernel does not report it.

        Args:
            keep_open: Whether the file stays open until ``close``. Opening and closing it takes five times as long as
                reading it.
        """
        try:
            if self._descriptor < 0:
                self._descriptor = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
                if os.fstat(self._descriptor).st_dev != os.stat("/proc").st_dev:
                    # In a container lxcfs may have replaced the file. Its content is up to five seconds old.
                    self.close()
                    return None
            return int(os.pread(self._descriptor, 128, 0).rpartition(b" ")[2])
        except (OSError, ValueError):
            return None
        finally:
            if not keep_open:
                self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class PidHints:
    """The processes that ended runs can have started, as far as pids tell. Not thread-safe: the caller holds a lock."""

    def __init__(self) -> None:
        self._last_pid = LastPid()
        self._answer: int | None = None
        """The last pid when it was asked for, and the time of that."""
        self._answered = -math.inf
        self._checked = _CheckedRange()
        self._adopted: dict[int, float] = {}
        """When each recent child was adopted, oldest first."""
        self._max_adopted = _FEW
        """Number of remembered children at which the old ones are dropped."""
        self._oldest: tuple[float, int] | None = None
        """Time of adoption and pid of the first child, among the runs that ended since the last sweep."""

    def adopt(self, pid: int) -> None:
        """Remember a child that was just spawned."""
        now = time.monotonic()
        # Reinserted, not changed in place: the dictionary is ordered by time.
        self._adopted.pop(pid, None)
        self._adopted[pid] = now
        if len(self._adopted) >= self._max_adopted:
            _drop_older(self._adopted, now - _YOUNG)
            self._max_adopted = len(self._adopted) + _FEW

    def end(self, pid: int) -> None:
        """Add a child to those whose runs ended since the last sweep."""
        adopted = (self._adopted.get(pid, -math.inf), pid)
        if self._oldest is None:
            self._oldest = adopted
            return
        first, other = sorted((adopted, self._oldest))
        # Two threads spawn at once: the child with the lower pid may be adopted later. Then the pids of its
        # descendants are unknown.
        self._oldest = first if first[1] <= other[1] else (-math.inf, first[1])

    def reset(self) -> None:
        """Start again after a sweep."""
        self._oldest = None

    def close(self) -> None:
        """Close the file of the last pid; it is opened again when needed."""
        self._last_pid.close()

    def last_pid(self, *, keep_open: bool, max_age: float = 0.0) -> int | None:
        """Return the last pid, or None where the kernel does not report it; see ``LastPid.ask``.

        Args:
            keep_open: Whether the file of the last pid stays open, because runs live.
            max_age: Seconds for which an earlier answer will do.
        """
        now = time.monotonic()
        if now - self._answered >= max_age:
            self._answer, self._answered = self._last_pid.ask(keep_open=keep_open), now
        return self._answer

    def suspects(self, *, keep_open: bool) -> list[int] | None:
        """Return the pids that the ended runs can have started, or None when pids prove nothing.

        Descendants are younger than the first child of those runs, so their pids are higher, as long as the kernel has
        not wrapped around to low pids. Children of this host itself are not suspects.

        Args:
            keep_open: Whether the file of the last pid stays open, because runs live.
        """
        if self._oldest is None:
            return None
        adopted, first = self._oldest
        now = time.monotonic()
        if now - adopted > _YOUNG:
            return None
        last = self._last_pid.ask(keep_open=keep_open)
        if last is None or not first <= last <= first + len(self._adopted) + _FEW:
            return None
        checked = self._checked
        known = checked.first <= first + 1 and first <= checked.last <= last and now - checked.time <= _YOUNG
        if known and last == checked.last:
            return []
        start = checked.last if known else first
        suspects = [pid for pid in range(start + 1, last + 1) if self._adopted.get(pid, 0) < adopted]
        if not suspects:
            checked.first, checked.last, checked.time = checked.first if known else first + 1, last, now
        return suspects if len(suspects) <= _FEW else None


class _CheckedRange:
    """Consecutive pids that all went to children of this host, so that a crowd of runs checks each of them once."""

    __slots__ = ("first", "last", "time")

    def __init__(self) -> None:
        self.first = 1
        self.last = 0
        self.time = -math.inf
        """When the last pid was checked. Later the kernel may have reused the pids."""


def _drop_older(times: dict[int, float], limit: float) -> None:
    """Drop all entries before a time. In one go, because each search for the oldest entry passes all dropped ones."""
    for old in tuple(itertools.takewhile(lambda pid: times[pid] < limit, times)):
        del times[old]
