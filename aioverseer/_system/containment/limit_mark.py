"""The second marker: a soft limit without effect that identifies descendants, as the variable in the environment does.

A program can overwrite its environment without knowing: titles, as redis and nginx set them, are written there. A limit
is out of reach of the program's memory. It is inherited across fork and exec, and closing all descriptors keeps it.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Callable
from typing import NamedTuple

from aioverseer._system.containment import procfs

__all__ = ["LimitMark", "SpawnMark"]


class _Field(NamedTuple):
    """A limit that can carry a mark.

    Attributes:
        number: Number of the limit in Linux; the module ``resource`` has no names for these.
        name: Its name in /proc/PID/limits.
    """

    number: int
    name: str


_FIELDS = (
    # RLIMIT_LOCKS: the kernel has not read it since Linux 2.4.25; see setrlimit(2).
    _Field(10, "Max file locks"),
    # RLIMIT_RTTIME: CPU time of real-time threads, in microseconds. A mark is 146,000 years. It serves a host below
    # another one, whose mark is in the first field.
    _Field(15, "Max realtime timeout"),
)

_RUN_BITS = 30
_TOKEN_BITS = 31
_TOP = 1 << (_TOKEN_BITS + _RUN_BITS + 1)
"""The highest bit of each mark: a limit of this size is never reached."""


class SpawnMark(NamedTuple):
    """The mark of one run.

    Attributes:
        field: Number of the limit.
        value: Soft limit of the program: the token of the host, the run, and in the last bit whether leftovers of the
            run are kept.
        last_pid: Function that returns the last process id of the system, or an earlier answer of at most that many
            seconds; None where the system does not tell it.
    """

    field: int
    value: int
    last_pid: Callable[[float], int | None]


class LimitMark:
    """The limit marks of one host process."""

    def __init__(self, last_pid: Callable[[float], int | None]) -> None:
        """Choose a token; the limit is chosen on first use.

        Args:
            last_pid: Function that returns the last process id of the system; see ``SpawnMark``.
        """
        self._last_pid = last_pid
        # Never 0, so that the trial of a limit looks like no host's mark.
        self._token = 1 + int.from_bytes(os.urandom(8), "big") % ((1 << _TOKEN_BITS) - 1)
        self._chosen: tuple[_Field | None] | None = None

    @property
    def _in_use(self) -> _Field | None:
        # The result is a tuple, because None is a result, too.
        if self._chosen is None:
            self._chosen = (_choose() if procfs.HAS_PROC else None,)
        return self._chosen[0]

    @property
    def word(self) -> str:
        """Description of all marks of this host for the guardian: ``field:token``; empty where there are no marks."""
        field = self._in_use
        return "" if field is None else f"{field.number}:{self._token}"

    @property
    def missing(self) -> bool:
        """Whether this host cannot mark programs by a limit."""
        return self._in_use is None

    def of(self, run: int, *, kept: bool) -> SpawnMark | None:
        """Return the mark of a run; None where this host has no marks, or the number of the run is too high."""
        field = self._in_use
        if field is None or run >> _RUN_BITS:
            return None
        return SpawnMark(field.number, _TOP | self._token << _RUN_BITS + 1 | run << 1 | kept, self._last_pid)

    def find(self, pid: int) -> tuple[int, bool] | None:
        """Return the run that a process is marked with, and whether leftovers of that run are kept.

        A zombie still has its mark.
        """
        field = self._in_use
        if field is None:
            return None
        try:
            soft = resource.prlimit(pid, field.number)[0]
        except PermissionError:
            soft = _shown_limit(pid, field)
        except OSError:
            return None
        if soft < _TOP or soft >> _RUN_BITS + 1 != (_TOP >> _RUN_BITS + 1 | self._token):
            return None
        return soft >> 1 & (1 << _RUN_BITS) - 1, bool(soft & 1)


def _shown_limit(pid: int, field: _Field) -> int:
    """Return the soft limit of another user's process, from the file that every user may read; 0 where it has none."""
    found = re.search(rf"^{field.name} +(\d+) ", procfs.read(f"/proc/{pid}/limits").decode(), re.MULTILINE)
    return 0 if found is None else int(found[1])


def _choose() -> _Field | None:
    """Return the first limit that this process may use: unlimited, and without the mark of a host above.

    The marks of two hosts above take both limits. Then the last limit is used all the same: the host that owns this
    mark keeps its other means.
    """
    fallback: _Field | None = None
    for field in _FIELDS:
        soft, hard = resource.getrlimit(field.number)
        if hard != resource.RLIM_INFINITY or not _may_set(field.number, soft, hard):
            continue
        if soft == resource.RLIM_INFINITY:
            return field
        if soft >= _TOP:
            fallback = field
    return fallback


def _may_set(field: int, soft: int, hard: int) -> bool:
    """Try the limit once: a sandbox may refuse it, or ignore it."""
    try:
        resource.setrlimit(field, (_TOP, hard))
        return resource.getrlimit(field)[0] == _TOP
    except (OSError, ValueError):
        return False
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(field, (soft, hard))
