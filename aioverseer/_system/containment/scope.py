"""The scope of one run, as in systemd: everything that containment adds to a launch and to the end of the program.

The launcher uses containment through these two classes alone. A ``ContainmentLevel`` prepares a ``RunScope`` before
each spawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import logging
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from aioverseer._aio.fork import generation
from aioverseer._system.containment import cgroup, procfs
from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.guardian.child_table import ChildTable
from aioverseer._system.containment.leftovers import session_of
from aioverseer._system.containment.limit_mark import SpawnMark
from aioverseer._system.containment.search import processes_of
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.containment.strays import StrayRegistry, stray_registry
from aioverseer._system.containment.sweep import Sweeper
from aioverseer._system.host.environment import Environment
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.containment import AskedContainment, Containment, Facilities, Survivor, decide
from aioverseer.core.options.spec import Spec
from aioverseer.core.state import Exit

__all__ = ["ContainmentLevel", "RunScope", "sweep_strays"]

_log = logging.getLogger("aioverseer")


class RunScope:
    """The containment of one run.

    Attributes:
        shim: The shim that runs the program; None where there is none.
        cgroup: The cgroup of the run; None where there is none.
    """

    __slots__ = (
        "_before_spawn",
        "_child_table",
        "_clean",
        "_generation",
        "_kept",
        "_pid",
        "_registry",
        "_run",
        "_slot",
        "cgroup",
        "shim",
    )

    def __init__(self, *, kept: bool, child_table: ChildTable | None, id: str = "") -> None:
        """Begin a run. It counts as live until ``end``.

        Args:
            kept: Whether leftovers of the run are kept.
            child_table: The children that the guardian kills; None where there is no guardian.
            id: The name of the service.
        """
        self._generation = generation()
        self._registry = stray_registry()
        self._run = self._registry.begin()
        self._kept = kept
        if kept:
            self._registry.keep(self._run, id)
        self._child_table = child_table
        self._slot = 0
        self._pid: int | None = None
        self._clean = False
        """Whether it is known that the run has left nothing."""
        self.shim: shim_client.Shim | None = None
        self.cgroup: cgroup.Cgroup | None = None
        self._before_spawn = 0 if child_table is None else child_table.now()

    @property
    def prefix(self) -> list[str]:
        """Words to put before the command line."""
        return [
            *([] if self.cgroup is None else self.cgroup.prefix),
            *([] if self.shim is None else self.shim.prefix),
        ]

    def make_cgroup(self, spec: Spec) -> None:
        """Make a cgroup for the run.

        Raises:
            SpawnError: If the system refuses it.
        """
        name = f"aioverseer-{self._registry.marker.word(self._run, kept=self._kept)}"
        self.cgroup = self._registry.cgroups[self._run] = cgroup.tree().make(spec, name.rstrip(";"))

    def kill(self) -> None:
        """Kill every process in the run's cgroup, if it has one."""
        if self.cgroup is not None and self._generation == generation():
            self.cgroup.kill()

    def environment(self, given: Mapping[str, str] | None, own: Mapping[bytes, bytes]) -> Environment:
        """Return the environment of the child with the marker added.

        Args:
            given: Environment of the Spec; None for that of the host.
            own: Environment of the host.
        """
        marker = self._registry.marker
        if given is None:
            return marker.inherited(own, self._run, kept=self._kept)
        return marker.added(given, self._run, kept=self._kept)

    def mark(self) -> SpawnMark | None:
        """Return the limit that marks the child and its descendants; None where there is none."""
        return self._registry.limit_mark.of(self._run, kept=self._kept)

    def adopt(self, pid: int) -> None:
        """Record the child that was spawned."""
        self._pid = pid
        self._registry.adopt(pid, self._run)
        if self.shim is not None:
            self.shim.adopted()
        if self._child_table is not None:
            with contextlib.suppress(ValueError):  # the table is closed: the guardian is gone
                self._slot = self._child_table.add(pid, self._before_spawn)

    def is_own(self, pid: int) -> bool:
        """Return whether a process belongs to this run. The leader does, too."""
        if self._run == 0 or self._pid is None:
            return False
        if self.cgroup is not None and pid in self.cgroup.pids():
            return True
        return pid == self._pid or self._registry.is_of_run(pid, self._run)

    def change_leader(self, pid: int) -> None:
        """Record that another process of the run is its leader from now on."""
        if self._run != 0 and self._pid is not None:
            self._registry.change_leader(self._run, pid, before=self._pid)
            self._pid = pid

    def forget_leader(self, pid: int) -> None:
        """Record that a former leader has ended, or is an ordinary process of the run from now on."""
        self._registry.forget_leader(pid)

    async def ended(self, exit: Exit) -> Exit:
        """Record the end of the leader, and return its exit with the cause that the system knows.

        Its leftovers are no strays before ``end``. Idempotent, and safe to cancel.
        """
        if (exit.signal is not None or exit.code != 0) and (cause := self._cause(exit)) is not None:
            exit = dataclasses.replace(exit, cause=cause)
        if self._kept:
            if self.cgroup is not None:
                await self.cgroup.end()
            self.end()
        elif self._run != 0 and self._pid is not None:
            self._registry.leader_ended(self._run, self._pid)
        return exit

    async def processes(self, *, group_is_empty: bool, everywhere: bool) -> list[int]:
        """Return the live processes that the ended leader has left. Zombies do not count.

        Args:
            group_is_empty: Whether the leader's process group has no member, not even a zombie.
            everywhere: Whether to search all processes. If not, the cgroup and the leader's session are searched, and
                all only when it is known that there is something to find.
        """
        if self._run == 0 or self._pid is None:
            return []
        evidence = self._registry.may_have_left() if procfs.HAS_PROC else None
        everywhere = everywhere or evidence is True
        found: set[int] = set()
        if self.cgroup is not None and not self.cgroup.remove_empty():
            found.update(self.cgroup.pids())
        if evidence is False:
            pass
        elif everywhere and procfs.HAS_PROC:
            found.update(await processes_of(self._registry, self._run))
        elif not group_is_empty:
            found.update(session_of(self._pid))
        self._clean = (everywhere or evidence is False) and not found
        return sorted(found)

    async def live_processes(self) -> list[int]:
        """Return the live processes of the run while its leader lives. The leader may be among them."""
        if self.cgroup is not None:
            return self.cgroup.pids()
        return await processes_of(self._registry, self._run) if procfs.HAS_PROC and self._run != 0 else []

    def owns(self, pid: int) -> bool:
        """Return whether a process belongs to this run, other than the leader."""
        owner = self._registry.owner_of(pid)
        # A process in the middle of an exec shows nothing. It was found to belong to this run a moment ago.
        if owner is None or owner.run == self._run != 0:
            return True
        return self.cgroup is not None and pid in self.cgroup.pids()

    def _cause(self, exit: Exit) -> str | None:
        """Return the cause of a failure, where the shim or the cgroup knows it."""
        if self.shim is not None and (why := self.shim.failure(exit.code)) is not None:
            return f"it was never run: {why}"
        if self.cgroup is not None and self.cgroup.ran_out_of_memory():
            return "out of memory"
        if self.cgroup is not None and exit.code is not None and not self.cgroup.was_entered():
            return "it was never run: it could not enter its cgroup"
        return None

    def end(self) -> None:
        """Record the end of the leader, or that none was spawned. Idempotent."""
        if self._generation != generation():  # the run goes on in the parent of this fork
            return
        if self.cgroup is not None:
            self.cgroup.discard()
        if self.shim is not None:
            self.shim.close()
        if self._run == 0:
            return
        self._registry.cgroups.pop(self._run, None)
        self._registry.end(self._run, self._pid, kept=self._kept, clean=self._clean)
        if self._child_table is not None:
            with contextlib.suppress(ValueError):
                self._child_table.remove(self._slot)
        self._run = 0 if not self._kept else self._run
        self._slot = 0

    def left(self) -> tuple[Survivor, ...]:
        """Return the processes that a run with kept leftovers has left."""
        if self._generation != generation():
            return ()
        return tuple(Survivor(pid=pid, command=procfs.command_of(pid)) for pid in self._registry.left_by(self._run))

    def left_nothing(self) -> bool:
        """Return whether it is certain that nothing is left."""
        self._clean = self._registry.left_nothing()
        return self._clean

    def may_have_left(self) -> bool:
        """Return whether a sweep could find anything."""
        if self.cgroup is not None and not self.cgroup.remove_empty():
            return True
        return self._registry.begin_sweep() is not None

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill strays; see ``sweep_strays``. With a cgroup, return when it is empty, after a second at most."""
        self.end()
        if self.cgroup is not None:
            await self.cgroup.end()
        return await sweep_strays()


async def sweep_strays() -> tuple[Survivor, ...]:
    """Kill the processes that ended runs of this host have left, within a second; return the survivors."""
    registry, loop = stray_registry(), asyncio.get_running_loop()
    while (mark := registry.begin_sweep()) is not None:
        task, covered = _sweeps.get(loop, (None, 0))
        if task is None or task.done():
            task, covered = loop.create_task(_sweep(registry, mark), name="aioverseer sweep"), mark
            _sweeps[loop] = task, covered
            task.add_done_callback(_forget)
        # Shielded, because other callers wait for the same sweep. It takes a second at most.
        survivors = await asyncio.shield(task)
        if covered >= mark:
            return survivors
        # That sweep may have passed before the run of this call ended. So runs that end together share two sweeps.
    return ()


async def _sweep(registry: StrayRegistry, mark: int) -> tuple[Survivor, ...]:
    try:
        survivors = await Sweeper(registry.judge).sweep()
    except OSError as error:  # no descriptors are left, for example: the next sweep finds the strays
        _log.warning("cannot look for what ended programs have left behind: %s", error)
        return ()
    if not survivors:
        registry.swept(mark)
    return survivors


_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[asyncio.Task[tuple[Survivor, ...]], int]] = (
    WeakKeyDictionary()
)
"""The sweep under way on each event loop, and the mark up to which it covers ended runs."""


def _forget(task: asyncio.Task[tuple[Survivor, ...]]) -> None:
    """Drop a sweep that is over: its task refers to the event loop, and would keep it for ever."""
    loop = task.get_loop()
    if _sweeps.get(loop, (None, 0))[0] is task:
        del _sweeps[loop]


class ContainmentLevel:
    """The level of containment of one launcher.

    Attributes:
        asked: The level that was asked for.
        containment: The level in force, and why.
    """

    def __init__(self, asked: AskedContainment) -> None:
        """Choose the mechanism for a level.

        Raises:
            ContainmentError: If the system cannot provide the level.
        """
        self.asked: AskedContainment = asked
        self._lease: guardian_client.GuardianLease | None = None
        self._uses_cgroup = self._uses_guardian = self._uses_shim = self._uses_namespace = False
        # Level basic needs nothing of the system, so a lone Process does not check what it offers.
        self.containment = _basic(proc=procfs.HAS_PROC, limit=not stray_registry().limit_mark.missing)
        if asked != "basic":
            self._decide()

    def _decide(self) -> None:
        found = Facilities(
            proc=procfs.HAS_PROC,
            limit=not stray_registry().limit_mark.missing,
            guardian=(None if self._lease is None else self._lease.failure) or guardian_client.missing(),
            shim=shim_client.missing() if self.asked == "strict" else None,
            cgroup=cgroup.tree().missing() if self.asked == "strict" else "none was asked for",
            pidns=shim_client.missing_namespace() if self.asked == "pidns" else "none was asked for",
        )
        self.containment = decide(self.asked, found)
        self._uses_cgroup = self.containment.mechanism == "cgroup"
        self._uses_shim = self.containment.mechanism in ("shim", "pidns")
        self._uses_namespace = self.containment.mechanism == "pidns"
        # The guardian also empties the cgroups of a killed host.
        self._uses_guardian = self._uses_cgroup or self.containment.mechanism == "guardian"
        if self._uses_guardian:
            self._lease = self._lease or guardian_client.GuardianLease(self._decide)

    async def prepare(self, spec: Spec) -> RunScope:
        """Return the scope of one launch. If the level has a guardian, it is armed by then. Safe to cancel.

        Raises:
            SpawnError: If the limits of the Spec, or its ``leftovers``, are impossible at this level.
        """
        kept = spec.leftovers != "kill"
        if kept and self._uses_namespace:
            raise SpawnError(
                f"service {spec.id!r} cannot be started with leftovers={spec.leftovers!r}: a pid namespace ends with "
                'its program, so nothing can be kept; pass leftovers="kill", or another containment',
                errno=errno.EINVAL,
                filename=spec.argv[0],
            )
        child_table: ChildTable | None = None
        if self._uses_guardian and self._lease is not None:
            if not self._lease.armed:
                await self._lease.arm()
            child_table = self._lease.child_table
        scope = RunScope(kept=kept, child_table=child_table, id=spec.id)
        if self._uses_shim:
            scope.shim = shim_client.Shim("namespace" if self._uses_namespace else "keep" if kept else "kill")
        if self._uses_cgroup or not (spec.memory_max is spec.pids_max is spec.cpu_max is None):
            try:
                scope.make_cgroup(spec)
            except BaseException:
                scope.end()
                raise
        return scope

    async def close(self) -> tuple[Survivor, ...]:
        """Sweep for the last time and release the guardian; return the survivors."""
        try:
            await cgroup.end_remaining()
            return await sweep_strays()
        finally:
            if self._lease is not None:
                await self._lease.close()


@functools.cache
def _basic(*, proc: bool, limit: bool) -> Containment:
    return decide("basic", Facilities(proc=proc, limit=limit, guardian=None, shim=None))
