"""Usage: the resources that a service uses, with all that its program has started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aioverseer.core.export import exported_from

__all__ = ["CpuTotal", "Figures", "Usage"]


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resources that a service uses at a moment, with all that its program has started.

    Attributes:
        time: Wall-clock time of the figures, aware; a label.
        cpu_seconds: Processor time of all its runs, as far as it was seen, in seconds. It never falls.
        memory: Bytes of memory that are in use now: of its cgroup if it has one, else the sum of the resident memory of
            its processes, which counts what they share several times.
        processes: Number of live processes.
        threads: Number of their threads.
        descriptors: Number of their open descriptors; those of processes of another user are not seen.
    """

    time: datetime
    cpu_seconds: float = 0.0
    memory: int = 0
    processes: int = 0
    threads: int = 0
    descriptors: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "time": self.time.isoformat(),
            "cpu_seconds": self.cpu_seconds,
            "memory": self.memory,
            "processes": self.processes,
            "threads": self.threads,
            "descriptors": self.descriptors,
        }


@dataclass(slots=True)
class Figures:
    """Sums over the processes of one run, while they are being counted."""

    cpu_seconds: float = 0.0
    memory: int = 0
    processes: int = 0
    threads: int = 0
    descriptors: int = 0


class CpuTotal:
    """The processor time of a service over all its runs, of which each look sees only the present one."""

    def __init__(self) -> None:
        self._before = 0.0
        """Seconds of runs that have ended, and of processes that have ended without telling their parent."""
        self._last = 0.0
        self._runs: frozenset[int] = frozenset()

    def add(self, seconds: float, runs: frozenset[int]) -> float:
        """Return the total.

        Args:
            seconds: Processor time of the processes that live now, and of those that they have waited for.
            runs: The runs that live now.
        """
        # The kernel forgets a process with its last figures, so what was seen of it is kept here.
        if not runs & self._runs:
            self._before += self._last
        elif seconds < self._last:
            self._before += self._last - seconds
        self._last, self._runs = seconds, runs
        return self._before + seconds
