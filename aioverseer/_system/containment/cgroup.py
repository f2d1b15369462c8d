"""cgroups v2: one for each run, below the cgroup of this host, which never moves.

Whoever makes a cgroup here removes it: at the end of its run, or when the launcher is closed; where the host was
killed, the guardian does, or the next host when that was killed too (``abandoned.py``). No other cgroup is touched, but
that ``cgroup.subtree_control`` of the host's own one gets a controller when a limit asks for it. ``Files`` is the seam
to the kernel.
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
"""Seconds from a kill to the end of the last one: less than a millisecond, unless one of them cannot die."""

_ENTER = 'echo 0 >"$0" && exec "$@"'
"""Enters a cgroup before the exec, so no fork can come before it. "$@" is not parsed by the shell."""


class Files:
    """The files of cgroup v2 and of proc(5), as the kernel has them."""

    def read(self, path: str) -> str:
        """Return the text of a file."""
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def write(self, path: str, text: str) -> None:
        """Write into a file that is there."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def make(self, path: str) -> None:
        """Make a cgroup."""
        os.mkdir(path)

    def remove(self, path: str) -> None:
        """Remove a cgroup that has no member, and those that its members have made below it.

        Raises:
            OSError: EBUSY where one has a member.
        """
        for below, _, _ in os.walk(path, topdown=False):
            os.rmdir(below)

    def is_writable(self, path: str) -> bool:
        """Whether this process may make cgroups there, and bring its children into them."""
        return os.access(path, os.W_OK | os.X_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)

    def is_delegated(self, path: str) -> bool:
        """Whether systemd has marked this cgroup as one that it leaves to its members."""
        for name in ("user.delegate", "trusted.delegate"):
            with contextlib.suppress(OSError):
                if os.getxattr(path, name) == b"1":
                    return True
        return False

    def has_systemd(self) -> bool:
        """Whether systemd looks after the cgroups of this machine, as sd_booted(3) asks."""
        return os.path.isdir("/run/systemd/system")


class Tree:
    """Where this host may make cgroups."""

    def __init__(self, files: Files) -> None:
        """Look, and change nothing.

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
            # Only what it has delegated is ours: below everything else it may kill and remove as it likes. A unit that
            # is delegated may have put the host into a leaf (DelegateSubgroup=); beside that ours are made.
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
        """Return why no cgroup can be had; None when one can."""
        return self.failure or self._unfit

    @functools.cached_property
    def _unfit(self) -> str | None:
        # Made for this, because the root of all cgroups does not have the files of others.
        path = f"{self.base}/aioverseer-probe-{os.getpid()}"
        try:
            held = _made(self.files, path)
        except OSError as error:
            return f"no cgroup can be made in {self.base!r} ({error.strerror})"
        try:
            self.files.write(f"{path}/cgroup.kill", "1")
        except OSError:
            return "this kernel has no cgroup.kill (Linux 5.14)"
        finally:
            self.files.remove(path)
            os.close(held)
        remove_abandoned(self.files, self.base)
        return None

    def enable(self, spec: Spec, controllers: tuple[str, ...]) -> None:
        """See to it that cgroups made here have these controllers.

        Raises:
            SpawnError: When they cannot have them, with what is missing and what to do.
        """
        shown = ", ".join(controllers)
        refusal = f"service {spec.id!r} cannot be started with limits ({_shown(spec)}): "
        if (why := self.missing()) is not None:
            raise SpawnError(f"{refusal}they need cgroup v2, and {why}", errno=errno.ENOTSUP, filename=spec.argv[0])
        on = self.files.read(f"{self.base}/cgroup.subtree_control").split()
        there = self.files.read(f"{self.base}/cgroup.controllers").split()
        lacking = [name for name in controllers if name not in on]
        if absent := [name for name in lacking if name not in there]:
            raise SpawnError(
                f"{refusal}they need the controllers {shown}, and {', '.join(absent)} is not in "
                f"{self.base}/cgroup.controllers: cgroup v1 may have it, or it is not delegated to this host",
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
            SpawnError: When it cannot be had.
        """
        limits = limits_of(spec)
        if limits.controllers:
            self.enable(spec, limits.controllers)
        made = Cgroup(self.files, f"{self.base}/{name}", kept=spec.leftovers != "kill")
        try:
            made.open(limits)
        except OSError as error:
            made.discard()
            raise SpawnError(
                f"service {spec.id!r} cannot be started: its cgroup {made.path!r} cannot be had ({error.strerror})",
                errno=error.errno,
                filename=error.filename,
            ) from error
        return made


class Cgroup:
    """The cgroup of one run."""

    def __init__(self, files: Files, path: str, *, kept: bool) -> None:
        self._files = files
        self._kept = kept
        self._there = False
        self._held = -1
        self.path = path
        self.prefix = ["/bin/sh", "-c", _ENTER, f"{path}/cgroup.procs"]

    def open(self, limits: Limits) -> None:
        """Make it.

        Raises:
            OSError: When the kernel refuses.
        """
        self._held = _made(self._files, self.path)
        self._there = True
        for name, text in limits.files().items():
            self._files.write(f"{self.path}/{name}", text)

    def kill(self) -> None:
        """Kill all that is in it, with what is being forked at this moment; nothing is raised where it is gone."""
        if self._there:
            with contextlib.suppress(OSError):
                self._files.write(f"{self.path}/cgroup.kill", "1")

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed in it because of its limit of memory."""
        with contextlib.suppress(OSError):
            return self._there and counter(self._files.read(f"{self.path}/memory.events"), "oom_kill") > 0
        return False

    def was_entered(self) -> bool:
        """Whether anything has ever run in it; True where that is not told."""
        with contextlib.suppress(OSError):
            return counter(self._files.read(f"{self.path}/cpu.stat"), "usage_usec") > 0
        return True

    def is_empty(self) -> bool:
        """Whether no living process is in it."""
        try:
            return counter(self._files.read(f"{self.path}/cgroup.events"), "populated") == 0
        except OSError:
            return True

    def discard(self) -> bool:
        """End it now, unless what it holds is to be kept; return whether it is gone. Idempotent."""
        if not self._there:
            return True
        if not self._kept:
            self.kill()
        try:
            self._files.remove(self.path)
        except FileNotFoundError:
            pass
        except OSError:  # busy: its members die at this moment, or are kept
            _remaining[self.path] = self
            if self._kept:
                self._let_go()  # whoever finds it empty may remove it
            return False
        self._let_go()
        self._there = False
        _remaining.pop(self.path, None)
        return True

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    async def end(self) -> None:
        """End it, and return when nobody is in it any more, within a second.

        Cancelled, it has killed by then, and is removed later.
        """
        if self.discard() or self._kept:
            return
        await _emptied(f"{self.path}/cgroup.events", self.is_empty)
        self.discard()


_remaining: dict[str, Cgroup] = {}
"""Those that could not be removed at the end of their runs."""
os.register_at_fork(after_in_child=_remaining.clear)


def _made(files: Files, path: str) -> int:
    """Make a cgroup; return the descriptor that says that its host lives.

    Raises:
        OSError: When the kernel refuses.
    """
    while True:
        files.make(path)
        try:
            return hold(path)
        except FileNotFoundError:
            continue  # another host was quicker to look than this one to say that it lives
        except OSError:
            files.remove(path)
            raise


def remaining() -> tuple[Cgroup, ...]:
    """Return those that could not be removed at the end of their runs."""
    return tuple(_remaining.values())


async def end_remaining() -> None:
    """Remove what is left of ended runs, within a second; goes on through a cancellation, which is raised then."""
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
    # The kernel tells of a change by EPOLLPRI, for which asyncio cannot ask; an epoll that can is itself readable then.
    poll = select.epoll()
    try:
        poll.register(events, select.EPOLLPRI)
        empty: asyncio.Future[None] = loop.create_future()

        def look() -> None:
            poll.poll(0)
            os.pread(events, 256, 0)  # a read through this descriptor arms it again
            if is_empty() and not empty.done():
                empty.set_result(None)

        loop.add_reader(poll.fileno(), look)
        timer = loop.call_later(_GONE_WITHIN, resolve, empty)
        try:
            look()
            await empty
        finally:
            timer.cancel()
            loop.remove_reader(poll.fileno())
    finally:
        poll.close()
        os.close(events)


def limits_of(spec: Spec) -> Limits:
    """Return the limits that a Spec asks for."""
    return Limits(memory=spec.memory_max, pids=spec.pids_max, cpu=spec.cpu_max)


def _shown(spec: Spec) -> str:
    names = ("memory_max", "pids_max", "cpu_max")
    return ", ".join(f"{name}={getattr(spec, name)}" for name in names if getattr(spec, name) is not None)


@functools.cache
def tree() -> Tree:
    """Return where this process may make cgroups."""
    return Tree(Files())
