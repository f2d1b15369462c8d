"""The cage: all that containment adds to one launch, and to the end of what was launched.

This is the one seam between the launcher and the mechanisms: prepare before the spawn, adopt the child, take note
of its end, sweep, close.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from aioverseer.core.containment import AskedContainment, Containment, Facilities, Survivor, decide
from aioverseer.core.spec import Spec
from aioverseer.core.state import Exit
from aioverseer.system.containment import cgroup as cgroups
from aioverseer.system.containment import guardian as guardians
from aioverseer.system.containment import procfs, shims
from aioverseer.system.containment.runs import Runs, runs
from aioverseer.system.containment.sweep import Sweeper
from aioverseer.system.containment.table import Table, boot_time

__all__ = ["Cage", "Cages"]


class Cage:
    """What contains one run."""

    __slots__ = ("_before", "_kept", "_pid", "_place", "_run", "_runs", "_table", "cgroup", "shim")

    def __init__(self, *, kept: bool, table: Table | None) -> None:
        """Begin a run; it lives until ``end``."""
        self._runs = runs()
        self._run = self._runs.begin()
        self._kept = kept
        self._table = table
        self._place = 0
        self._pid: int | None = None
        self.shim: shims.Shim | None = None
        self.cgroup: cgroups.Cgroup | None = None
        self._before = 0 if table is None else boot_time()

    @property
    def prefix(self) -> list[str]:
        """The words to put before the command line."""
        return [
            *([] if self.cgroup is None else self.cgroup.prefix),
            *([] if self.shim is None else self.shim.prefix),
        ]

    def enclose(self, spec: Spec) -> None:
        """Make a cgroup for the run.

        Raises:
            SpawnError: When it cannot be had.
        """
        name = f"aioverseer-{self._runs.marker.word(self._run, kept=self._kept)}"
        self.cgroup = cgroups.tree().make(spec, name.rstrip(";"))

    def kill(self) -> None:
        """Kill all that is in its cgroup, where it has one."""
        if self.cgroup is not None:
            self.cgroup.kill()

    def environment(self, given: Mapping[str, str] | None) -> Mapping[str, str] | Mapping[bytes, bytes]:
        """Return the environment for the child: what was given, or the host's when None, and the marker."""
        marker = self._runs.marker
        if given is None:
            return marker.inherited(self._run, kept=self._kept)
        return marker.added(given, self._run, kept=self._kept)

    def adopt(self, pid: int) -> None:
        """Take note of the child that was spawned."""
        self._pid = pid
        self._runs.adopt(pid)
        if self.shim is not None:
            self.shim.adopted()
        if self._table is not None:
            with contextlib.suppress(ValueError):  # closed: the guardian is gone
                self._place = self._table.add(pid, self._before)

    async def ended(self, exit: Exit) -> Exit:
        """Take note of the end of its leader; return it with what the system says of it. Safe to cancel and to repeat.

        Where there is a cgroup, it returns when that is empty, a second later at most.
        """
        if self.cgroup is not None:
            if (exit.signal is not None or exit.code != 0) and self.cgroup.ran_out_of_memory():
                exit = dataclasses.replace(exit, cause="out of memory")
            await self.cgroup.end()
        self.end()
        return exit

    def end(self) -> None:
        """Take note of the end of its leader, or that there is none. Idempotent."""
        if self.cgroup is not None:
            self.cgroup.discard()
        if self.shim is not None:
            self.shim.close()
        if self._run == 0:
            return
        self._runs.end(self._run, self._pid, kept=self._kept)
        if self._table is not None:
            with contextlib.suppress(ValueError):
                self._table.remove(self._place)
        self._run = 0 if not self._kept else self._run
        self._place = 0

    def left(self) -> tuple[Survivor, ...]:
        """Return what a run whose leftovers are kept has left behind."""
        return tuple(Survivor(pid=pid, command=procfs.command_of(pid)) for pid in self._runs.left_by(self._run))

    def may_have_left(self) -> bool:
        """Return whether a sweep could find anything."""
        return self._runs.begin_sweep() is not None

    async def sweep(self) -> tuple[Survivor, ...]:
        """See ``sweep_strays``."""
        return await sweep_strays()


async def sweep_strays() -> tuple[Survivor, ...]:
    """End what the ended runs of this process have left behind, within a second; return what is still there."""
    known, loop = runs(), asyncio.get_running_loop()
    while (mark := known.begin_sweep()) is not None:
        task, covered = _sweeps.get(loop, (None, 0))
        if task is None or task.done():
            task, covered = loop.create_task(_sweep(known, mark), name="aioverseer sweep"), mark
            _sweeps[loop] = task, covered
        # Shielded: others wait for the same one, and it is bounded.
        survivors = await asyncio.shield(task)
        if covered >= mark:
            return survivors
        # It may have looked before the end of what this call is about: two hundred that end at once need two looks.
    return ()


async def _sweep(known: Runs, mark: int) -> tuple[Survivor, ...]:
    survivors = await Sweeper(known.is_stray).sweep()
    if not survivors:
        known.swept(mark)
    return survivors


_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[asyncio.Task[tuple[Survivor, ...]], int]] = (
    WeakKeyDictionary()
)
"""The last sweep on each event loop, and up to which end of a run it looks."""


class Cages:
    """What one launcher needs to contain what it launches."""

    def __init__(self, asked: AskedContainment) -> None:
        """Ask for a level.

        Raises:
            ContainmentError: When it cannot be had.
        """
        self.asked: AskedContainment = asked
        self._guarding = guardians.Guarding(self._decide)
        self._decide()

    def _decide(self) -> None:
        found = Facilities(
            proc=procfs.HAS_PROC,
            # A lone Process asks for no more: it need not look.
            guardian=None if self.asked == "basic" else guardians.missing(),
            shim=shims.missing() if self.asked == "strict" else None,
            cgroup=cgroups.tree().missing() if self.asked == "strict" else "none was asked for",
        )
        self.containment: Containment = decide(self.asked, found)
        self._caged = self.containment.mechanism == "cgroup"
        self._guarded = self._caged or self.containment.mechanism == "guardian"
        self._shimmed = self.containment.mechanism == "shim"

    async def prepare(self, spec: Spec) -> Cage:
        """Return a cage for one launch; the guardian is armed then, where there is one. Safe to cancel.

        Raises:
            SpawnError: When the limits of the Spec cannot be had.
        """
        kept = spec.leftovers != "kill"
        if self._guarded and not self._guarding.armed:
            await self._guarding.arm()
        cage = Cage(kept=kept, table=guardians.guardian().table if self._guarded else None)
        if self._shimmed:
            cage.shim = shims.Shim(keep=kept)
        if self._caged or not (spec.memory_max is spec.pids_max is spec.cpu_max is None):
            try:
                cage.enclose(spec)
            except BaseException:
                cage.end()
                raise
        return cage

    async def close(self) -> tuple[Survivor, ...]:
        """Sweep for the last time and let the guardian go; return what is still there."""
        try:
            await cgroups.end_remaining()
            return await sweep_strays()
        finally:
            await self._guarding.close()
