"""The cage: all that containment adds to one launch, and to the end of what was launched.

This is the one seam between the launcher and the mechanisms: prepare before the spawn, adopt the child, take note
of its end, sweep, close.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import StrayRegistry, stray_registry
from aioverseer._system.host.environment import Environment
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.containment import AskedContainment, Containment, Facilities, Survivor, decide
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

if TYPE_CHECKING:  # at run time they are imported where they are first needed: most hosts need none of them
    from aioverseer._system.containment.cgroup import Cgroup
    from aioverseer._system.containment.guardian.child_table import Table
    from aioverseer._system.containment.guardian.client import GuardianLease
    from aioverseer._system.containment.shim.client import Shim

__all__ = ["ContainmentLevel", "RunScope"]


class RunScope:
    """What contains one run."""

    __slots__ = ("_before", "_kept", "_pid", "_place", "_run", "_runs", "_table", "cgroup", "shim")

    def __init__(self, *, kept: bool, table: Table | None) -> None:
        """Begin a run; it lives until ``end``."""
        self._runs = stray_registry()
        self._run = self._runs.begin()
        self._kept = kept
        self._table = table
        self._place = 0
        self._pid: int | None = None
        self.shim: Shim | None = None
        self.cgroup: Cgroup | None = None
        self._before = 0 if table is None else table.now()

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
        from aioverseer._system.containment import cgroup  # noqa: PLC0415  # see above

        name = f"aioverseer-{self._runs.marker.word(self._run, kept=self._kept)}"
        self.cgroup = cgroup.tree().make(spec, name.rstrip(";"))

    def kill(self) -> None:
        """Kill all that is in its cgroup, where it has one."""
        if self.cgroup is not None:
            self.cgroup.kill()

    def environment(self, given: Mapping[str, str] | None, own: Mapping[bytes, bytes]) -> Environment:
        """Return the environment of the child: the given one, or that of the host, and the marker.

        Args:
            given: The environment that was asked for; None is that of the host.
            own: The environment of the host.
        """
        marker = self._runs.marker
        if given is None:
            return marker.inherited(own, self._run, kept=self._kept)
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
        if (exit.signal is not None or exit.code != 0) and (cause := self._cause(exit)) is not None:
            exit = dataclasses.replace(exit, cause=cause)
        if self.cgroup is not None:
            await self.cgroup.end()
        self.end()
        return exit

    def _cause(self, exit: Exit) -> str | None:
        """Return what a failure is due to, where what contains it knows."""
        if self.shim is not None and (why := self.shim.failure(exit.code)) is not None:
            return f"it was never run: {why}"
        if self.cgroup is not None and self.cgroup.ran_out_of_memory():
            return "out of memory"
        if self.cgroup is not None and exit.code is not None and not self.cgroup.was_entered():
            return "it was never run: it could not enter its cgroup"
        return None

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

    def left_nothing(self) -> bool:
        """Return whether nothing can be left; True is certain."""
        return self._runs.left_nothing()

    def may_have_left(self) -> bool:
        """Return whether a sweep could find anything."""
        return self._runs.begin_sweep() is not None

    async def sweep(self) -> tuple[Survivor, ...]:
        """See ``sweep_strays``."""
        return await sweep_strays()


async def sweep_strays() -> tuple[Survivor, ...]:
    """End what the ended runs of this process have left behind, within a second; return what is still there."""
    known, loop = stray_registry(), asyncio.get_running_loop()
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


async def _sweep(known: StrayRegistry, mark: int) -> tuple[Survivor, ...]:
    from aioverseer._system.containment.sweep import Sweeper  # noqa: PLC0415  # most hosts never need one

    survivors = await Sweeper(known.judge).sweep()
    if not survivors:
        known.swept(mark)
    return survivors


_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[asyncio.Task[tuple[Survivor, ...]], int]] = (
    WeakKeyDictionary()
)
"""The last sweep on each event loop, and up to which end of a run it looks."""


class ContainmentLevel:
    """What one launcher needs to contain what it launches."""

    def __init__(self, asked: AskedContainment) -> None:
        """Ask for a level.

        Raises:
            ContainmentError: When it cannot be had.
        """
        self.asked: AskedContainment = asked
        self._guarding: GuardianLease | None = None
        self._caged = self._guarded = self._shimmed = self._apart = False
        # A lone Process asks for no more, and need not look for what it does not use.
        self.containment = _basic(proc=procfs.HAS_PROC)
        if asked != "basic":
            self._decide()

    def _decide(self) -> None:
        # Here and not above: who has nothing but Processes, or no overseer yet, imports them for nothing.
        from aioverseer._system.containment import cgroup  # noqa: PLC0415
        from aioverseer._system.containment.guardian import client as guardian_client  # noqa: PLC0415
        from aioverseer._system.containment.shim import client as shim_client  # noqa: PLC0415

        found = Facilities(
            proc=procfs.HAS_PROC,
            guardian=(None if self._guarding is None else self._guarding.failure) or guardian_client.missing(),
            shim=shim_client.missing() if self.asked == "strict" else None,
            cgroup=cgroup.tree().missing() if self.asked == "strict" else "none was asked for",
            pidns=shim_client.missing_namespace() if self.asked == "pidns" else "none was asked for",
        )
        self.containment = decide(self.asked, found)
        self._caged = self.containment.mechanism == "cgroup"
        self._shimmed = self.containment.mechanism in ("shim", "pidns")
        self._apart = self.containment.mechanism == "pidns"
        # What a killed host leaves in its cgroups is the guardian's too.
        self._guarded = self._caged or self.containment.mechanism == "guardian"
        if self._guarded:
            self._guarding = self._guarding or guardian_client.GuardianLease(self._decide)

    async def prepare(self, spec: Spec) -> RunScope:
        """Return a cage for one launch; the guardian is armed then, where there is one. Safe to cancel.

        Raises:
            SpawnError: When the limits of the Spec cannot be had, or what it leaves behind cannot be kept.
        """
        kept = spec.leftovers != "kill"
        if kept and self._apart:
            raise SpawnError(
                f"service {spec.id!r} cannot be started with leftovers={spec.leftovers!r}: a pid namespace ends with "
                'its program, so nothing can be kept; pass leftovers="kill", or another containment',
                errno=errno.EINVAL,
                filename=spec.argv[0],
            )
        table: Table | None = None
        if self._guarded and self._guarding is not None:
            if not self._guarding.armed:
                await self._guarding.arm()
            table = self._guarding.table
        cage = RunScope(kept=kept, table=table)
        if self._shimmed:
            from aioverseer._system.containment.shim.client import Shim  # noqa: PLC0415  # loaded already

            cage.shim = Shim("namespace" if self._apart else "keep" if kept else "kill")
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
            cgroup: Any = sys.modules.get("aioverseer._system.containment.cgroup")
            if cgroup is not None:  # else there was none
                await cgroup.end_remaining()
            return await sweep_strays()
        finally:
            if self._guarding is not None:
                await self._guarding.close()


@functools.cache
def _basic(*, proc: bool) -> Containment:
    return decide("basic", Facilities(proc=proc, guardian=None, shim=None))
