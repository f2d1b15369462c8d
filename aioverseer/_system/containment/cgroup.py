"""cgroups v2: one for each run, below the cgroup of this host, which never moves.

A cgroup is removed at the end of its run or when the launcher closes. After the host was killed, the guardian removes
it, or the next host does (``cgroup_cleanup.py``). No other cgroup changes, except that a limit adds its controller to
``cgroup.subtree_control`` of the host's own cgroup.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import select
from collections.abc import Callable

from aioverseer._aio.shield import settle
from aioverseer._aio.timers import resolve
from aioverseer._system.containment.cgroup_cleanup import hold, remove_abandoned
from aioverseer.core.errors import SpawnError
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.cgroup_files import Limits, counter, home, is_unit

__all__ = ["Cgroup", "Files", "Tree", "limits_of", "tree"]

_GONE_WITHIN = 1.0
"""Seconds from a kill to the end of the last process: less than a millisecond, unless one of them cannot die."""

_ENTER = 'echo 0 >"$0" && exec "$@"'
"""Script that enters a cgroup before the exec, so that no fork can come first. The shell does not parse "$@"."""


class Files:
    """The kernel's files of cgroup v2 and proc(5). Tests replace this class."""

    def read(self, path: str) -> str:
        """Return the text of a file."""
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def write(self, path: str, text: str) -> None:
        """Write to an existing file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def make(self, path: str) -> None:
        """Make a cgroup."""
        os.mkdir(path)

    def remove(self, path: str) -> None:
        """Remove an empty cgroup and the empty cgroups that its processes made below it.

        Raises:
            OSError: If a process is in one of them (EBUSY).
        """
        for below, _, _ in os.walk(path, topdown=False):
            os.rmdir(below)

    def is_writable(self, path: str) -> bool:
        """Return whether this process may make cgroups below the path and move its children into them."""
        return os.access(path, os.W_OK | os.X_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)

    def is_delegated(self, path: str) -> bool:
        """Return whether systemd has delegated this cgroup to the processes in it."""
        for name in ("user.delegate", "trusted.delegate"):
            with contextlib.suppress(OSError):
                if os.getxattr(path, name) == b"1":
                    return True
        return False

    def has_systemd(self) -> bool:
        """Return whether systemd manages the cgroups of this machine, by the test of sd_booted(3)."""
        return os.path.isdir("/run/systemd/system")


class Tree:
    """The cgroup below which this host may make others.

    Attributes:
        files: The kernel's files.
        base: Path of that cgroup; empty when there is none.
        failure: Why there is none; None when there is one.
    """

    def __init__(self, files: Files) -> None:
        """Find the cgroup of this host. Nothing changes.

        Args:
            files: The kernel's files.
        """
        self.files = files
        self.base = ""
        self.failure = self._find()

    def _find(self) -> str | None:
        try:
            found = home(self.files.read("/proc/self/cgroup"), self.files.read("/proc/self/mountinfo"))
        except OSError as error:
            return f"/proc does not tell of cgroups ({error.strerror})"
        if isinstance(found, str):
            return found
        point, path = found
        if self.files.has_systemd():
            # Only a delegated cgroup is ours: elsewhere systemd kills and removes at will. A delegated unit may have
            # put the host into a leaf (DelegateSubgroup=). Then our cgroups are made next to that leaf.
            while path and not is_unit(path.rpartition("/")[2]):
                path = path.rpartition("/")[0]
            if not path or not self.files.is_delegated(f"{point}/{path}"):
                return (
                    f"systemd has not delegated the cgroup {f'/{path}'!r} of this host: run it with Delegate=yes, "
                    "for example by systemd-run --user --scope -p Delegate=yes"
                )
        base = f"{point}/{path}".rstrip("/")
        if not self.files.is_writable(base):
            return f"this user may not make cgroups in {base!r}"
        self.base = base
        return None

    def missing(self) -> str | None:
        """Return why no cgroup can be made; None when one can."""
        return self.failure or self._probe_failure

    @functools.cached_property
    def _probe_failure(self) -> str | None:
        # A cgroup is made for the test, because the root cgroup lacks some files of the others.
        path = f"{self.base}/aioverseer-probe-{os.getpid()}"
        try:
            lock = _make_locked(self.files, path)
        except OSError as error:
            return f"no cgroup can be made in {self.base!r} ({error.strerror})"
        try:
            self.files.write(f"{path}/cgroup.kill", "1")
        except OSError:
            return "this kernel has no cgroup.kill (Linux 5.14)"
        finally:
            self.files.remove(path)
            os.close(lock)
        remove_abandoned(self.files, self.base)
        return None

    def enable(self, spec: Spec, controllers: tuple[str, ...]) -> None:
        """Enable controllers for the cgroups made below the base.

        Raises:
            SpawnError: If that is impossible. The message says what is missing and what to do.
        """
        refusal = f"service {spec.id!r} cannot be started with limits ({_shown(spec)}): "
        if (why := self.missing()) is not None:
            raise SpawnError(f"{refusal}they need cgroup v2, and {why}", errno=errno.ENOTSUP, filename=spec.argv[0])
        on = self.files.read(f"{self.base}/cgroup.subtree_control").split()
        there = self.files.read(f"{self.base}/cgroup.controllers").split()
        lacking = [name for name in controllers if name not in on]
        if absent := [name for name in lacking if name not in there]:
            raise SpawnError(
                f"{refusal}{self.base}/cgroup.controllers does not have {' and '.join(absent)}: cgroup v1 may have "
                "it, or it is not delegated to this host; have it delegated, or leave the limit out",
                errno=errno.ENOTSUP,
                filename=spec.argv[0],
            )
        if not lacking:
            return
        try:
            self.files.write(f"{self.base}/cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))
        except OSError as error:
            why = error.strerror
            if error.errno == errno.EBUSY:
                why = (
                    "this host itself is in it, and a cgroup whose children have controllers may have no processes: "
                    "put the host into a leaf, with DelegateSubgroup=host beside Delegate=yes, for example"
                )
            raise SpawnError(
                f"{refusal}{', '.join(lacking)} cannot be enabled in {self.base!r}: {why}",
                errno=error.errno,
                filename=spec.argv[0],
            ) from error

    def make(self, spec: Spec, name: str) -> Cgroup:
        """Make a cgroup for a run, with the limits of its Spec.

        Raises:
            SpawnError: If the system refuses it.
        """
        limits = limits_of(spec)
        if limits.controllers:
            self.enable(spec, limits.controllers)
        cgroup = Cgroup(self.files, f"{self.base}/{name}", kept=spec.leftovers != "kill")
        try:
            cgroup.open(limits)
        except OSError as error:
            cgroup.discard()
            raise SpawnError(
                f"service {spec.id!r} cannot be started: its cgroup {cgroup.path!r} cannot be made ({error.strerror})",
                errno=error.errno,
                filename=error.filename,
            ) from error
        return cgroup


class Cgroup:
    """The cgroup of one run.

    Attributes:
        path: Its folder.
        prefix: Words to put before the command line, so that the program runs in it.
    """

    def __init__(self, files: Files, path: str, *, kept: bool) -> None:
        self._files = files
        self._kept = kept
        self._exists = False
        self._lock = -1
        self.path = path
        self.prefix = ["/bin/sh", "-c", _ENTER, f"{path}/cgroup.procs"]

    def open(self, limits: Limits) -> None:
        """Make the cgroup and set its limits.

        Raises:
            OSError: If the kernel refuses.
        """
        self._lock = _make_locked(self._files, self.path)
        self._exists = True
        for name, text in limits.files().items():
            self._files.write(f"{self.path}/{name}", text)

    def kill(self) -> None:
        """Kill every process in it, including one that is being forked. Does nothing when the cgroup is gone."""
        if self._exists:
            with contextlib.suppress(OSError):
                self._files.write(f"{self.path}/cgroup.kill", "1")

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel has killed one of its processes because of the memory limit."""
        with contextlib.suppress(OSError):
            return self._exists and counter(self._files.read(f"{self.path}/memory.events"), "oom_kill") > 0
        return False

    def was_entered(self) -> bool:
        """Return whether any process has ever run in it; True where the kernel does not say."""
        with contextlib.suppress(OSError):
            return counter(self._files.read(f"{self.path}/cpu.stat"), "usage_usec") > 0
        return True

    def cpu_seconds(self) -> float | None:
        """Return the processor time of all that ran in it; None where the kernel does not say."""
        with contextlib.suppress(OSError):
            return counter(self._files.read(f"{self.path}/cpu.stat"), "usage_usec") / 1e6
        return None

    def memory(self) -> int | None:
        """Return the bytes of memory of all that run in it; None without the memory controller."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._files.read(f"{self.path}/memory.current"))
        return None

    def is_empty(self) -> bool:
        """Return whether no living process is in it."""
        try:
            return counter(self._files.read(f"{self.path}/cgroup.events"), "populated") == 0
        except OSError:
            return True

    def pids(self) -> list[int]:
        """Return the processes in it and in the cgroups that they have made below it. Zombies do not count."""
        found: list[int] = []
        if self._exists:
            for folder, _, _ in os.walk(self.path):
                with contextlib.suppress(OSError):
                    found += map(int, self._files.read(f"{folder}/cgroup.procs").split())
        return found

    def remove_empty(self) -> bool:
        """Remove it if no living process is in it; return whether it is gone. Nothing is killed."""
        if not self._exists:
            return True
        try:
            self._files.remove(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        self._unlock()
        self._exists = False
        _remaining.pop(self.path, None)
        return True

    def discard(self) -> bool:
        """Kill its processes, unless they are kept, and try to remove it; return whether it is gone. Idempotent."""
        if not self._exists:
            return True
        if not self._kept:
            self.kill()
        if self.remove_empty():
            return True
        # Busy: its processes are dying, or are kept.
        _remaining[self.path] = self
        if self._kept:
            self._unlock()  # any host that finds it empty may remove it
        return False

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def end(self) -> None:
        """Kill its processes and remove it; return when it is empty, or after a second.

        When cancelled, its processes are killed already, and the cgroup is removed later.
        """
        if self.discard() or self._kept:
            return
        await _emptied(f"{self.path}/cgroup.events", self.is_empty)
        self.discard()


_remaining: dict[str, Cgroup] = {}
"""Cgroups that could not be removed at the end of their runs."""
os.register_at_fork(after_in_child=_remaining.clear)


def _make_locked(files: Files, path: str) -> int:
    """Make a cgroup, and return the descriptor of the lock which shows that its host lives.

    Raises:
        OSError: If the kernel refuses.
    """
    while True:
        files.make(path)
        try:
            return hold(path)
        except FileNotFoundError:
            continue  # another host took it for an abandoned one before it was locked
        except OSError:
            files.remove(path)
            raise


def remaining() -> tuple[Cgroup, ...]:
    """Return the cgroups that could not be removed at the end of their runs."""
    return tuple(_remaining.values())


async def end_remaining() -> None:
    """Remove the cgroups of ended runs, within a second. A cancellation is raised only after that."""
    if not _remaining:
        return
    ends = asyncio.gather(*(cgroup.end() for cgroup in remaining()))
    cancelled = await settle(ends, within=_GONE_WITHIN + 0.1)
    if cancelled is not None:
        raise cancelled


async def _emptied(path: str, is_empty: Callable[[], bool]) -> None:
    try:
        events = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    # The kernel reports a change by EPOLLPRI, which asyncio cannot wait for. An epoll object can, and is itself
    # readable then.
    poll = select.epoll()
    try:
        poll.register(events, select.EPOLLPRI)
        empty: asyncio.Future[None] = loop.create_future()

        def check() -> None:
            poll.poll(0)
            with contextlib.suppress(OSError):  # ENODEV: the cgroup was removed by others
                os.pread(events, 256, 0)  # a read through this descriptor re-arms EPOLLPRI
            if is_empty() and not empty.done():
                empty.set_result(None)

        loop.add_reader(poll.fileno(), check)
        timer = loop.call_later(_GONE_WITHIN, resolve, empty)
        try:
            check()
            await empty
        finally:
            timer.cancel()
            loop.remove_reader(poll.fileno())
    finally:
        poll.close()
        os.close(events)


def limits_of(spec: Spec) -> Limits:
    """Return the limits of a Spec."""
    return Limits(memory=spec.memory_max, pids=spec.pids_max, cpu=spec.cpu_max)


def _shown(spec: Spec) -> str:
    names = ("memory_max", "pids_max", "cpu_max")
    return ", ".join(f"{name}={getattr(spec, name)}" for name in names if getattr(spec, name) is not None)


@functools.cache
def tree() -> Tree:
    """Return the place for cgroups of this process."""
    return Tree(Files())
