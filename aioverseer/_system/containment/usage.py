"""One pass over the processes of the machine that sums up what live runs use. It gives way to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping

from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import StrayRegistry, stray_registry
from aioverseer.core.report.usage import Figures

__all__ = ["Slices", "measure"]

_SLICE = 0.001
"""Seconds of work after which others run."""

_PER_LOOK = 16
"""Processes between two looks at the time, about half a slice."""

_PARENT, _SESSION, _CPU, _THREADS, _MEMORY = 1, 3, slice(11, 15), 17, 21
"""Fields in /proc/PID/stat, counted from 0 after the name: the four times are those of the process in user and system
mode, and of the children that it has waited for."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Slices:
    """Gives way to the event loop each time that a slice of work is over."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + _SLICE

    async def rest(self) -> None:
        """Let others run, if the slice is over. Safe to cancel."""
        if time.perf_counter() >= self._end:
            await asyncio.sleep(0)
            self._end = time.perf_counter() + _SLICE


async def measure(leaders: Mapping[int, str], slices: Slices | None = None) -> dict[str, Figures]:
    """Return what programs use together with all that they have started. Safe to cancel.

    A process belongs to a program by its session, its parents or a mark. Without /proc the answer is empty.

    Args:
        leaders: Names by the pids of the main processes. A name may stand for several.
        slices: The slices of the caller, which go on; None begins one.
    """
    found = {name: Figures() for name in leaders.values()}
    if not leaders or not procfs.HAS_PROC:
        return found
    slices = Slices() if slices is None else slices
    registry = stray_registry()
    own_session = os.getsid(0)
    name_of: dict[int, str | None] = dict(leaders)
    by_run = {run: leaders[pid] for pid, run in registry.runs_of(leaders).items()}
    rows: dict[int, list[bytes]] = {}
    for place, pid in enumerate(procfs.each_pid()):
        # Kernel threads and the other processes of the machine take part until their session is known.
        if (row := _row(pid)) and row[_SESSION] != b"0" and row[0] not in (b"Z", b"X"):
            rows[pid] = row
        if place % _PER_LOOK == 0:
            await slices.rest()
    for place, (pid, row) in enumerate(rows.items()):
        if place % _PER_LOOK == 0:
            await slices.rest()
        name = name_of.get(pid) or _owner(pid, rows, name_of, own_session)
        if name is None and pid not in name_of and int(row[_SESSION]) != own_session:
            owner = registry.owner_of(pid)
            name = None if owner is None else by_run.get(owner.run)
            name_of[pid] = name
        if name is None:
            continue
        figures = found[name]
        figures.cpu_seconds += sum(map(int, row[_CPU])) / _TICKS
        figures.memory += int(row[_MEMORY]) * _PAGE
        figures.processes += 1
        figures.threads += int(row[_THREADS])
        figures.descriptors += _descriptors(pid)
    _apply_cgroups(found, by_run, registry)
    return found


def _row(pid: int) -> list[bytes] | None:
    """Return the first fields of /proc/PID/stat after the name; None when the process is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A name in brackets may contain blanks and brackets: the last bracket ends it.
        row = os.read(descriptor, 1024).rpartition(b")")[2].split(None, _MEMORY + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return row if len(row) > _MEMORY else None


def _apply_cgroups(found: Mapping[str, Figures], by_run: Mapping[int, str], registry: StrayRegistry) -> None:
    """Put the kernel's own figures in the place of sums, for programs of which each run has a cgroup."""
    runs: dict[str, list[int]] = {}
    for run, name in by_run.items():
        runs.setdefault(name, []).append(run)
    for name, numbers in runs.items():
        cgroups = [cgroup for run in numbers if (cgroup := registry.cgroups.get(run)) is not None]
        if len(cgroups) < len(numbers):
            continue
        cpu = [cgroup.cpu_seconds() for cgroup in cgroups]
        memory = [cgroup.memory() for cgroup in cgroups]
        if None not in cpu:
            found[name].cpu_seconds = sum(filter(None, cpu))
        if None not in memory:
            found[name].memory = sum(filter(None, memory))


def _owner(pid: int, rows: Mapping[int, list[bytes]], name_of: dict[int, str | None], own_session: int) -> str | None:
    """Return the program of a process, by its session or its parents; None if they do not tell."""
    passed: list[int] = []
    while pid not in name_of:
        row = rows.get(pid)
        if row is None:
            break
        session = int(row[_SESSION])
        if session in name_of:
            pid = session
            break
        if session == own_session:
            return None  # a process in the session of the host is the host's, as for a sweep
        passed.append(pid)
        pid = int(row[_PARENT])
    name = name_of.get(pid)
    if name is not None and passed:
        name_of.update(dict.fromkeys(passed, name))
    return name


def _descriptors(pid: int) -> int:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        # The size of the folder is the number of its entries since Linux 6.2.
        return os.stat(folder).st_size or len(os.listdir(folder))
    return 0
