"""Words before a program for its processors, its priority on disks, the out-of-memory killer and its capabilities."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection

from aioverseer._system.process.wrapper_tools import refuse, tool
from aioverseer.core.options.privileges import CAPABILITIES, IO_CLASSES, io_priority
from aioverseer.core.options.spec import Spec

__all__ = ["ambient_options", "cpu_words", "io_words", "oom_words"]

_SYS_ADMIN = CAPABILITIES.index("sys_admin")
_SYS_NICE = CAPABILITIES.index("sys_nice")
_SYS_RESOURCE = CAPABILITIES.index("sys_resource")


def oom_words(spec: Spec) -> list[str]:
    """Return the words of choom(1)."""
    wanted = spec.oom_score_adj
    if wanted is None:
        return []
    try:
        own = int(_content("/proc/self/oom_score_adj"))
    except OSError:
        raise refuse(spec, "oom_score_adj", wanted, "this system has no such setting", errno.ENOTSUP) from None
    if wanted == own:
        return []
    if wanted < own and not _has("CapEff", _SYS_RESOURCE):
        why = f"the host has {own}, and a lower number needs the capability sys_resource"
        raise refuse(spec, "oom_score_adj", wanted, why)
    return [tool(spec, "choom", "oom_score_adj", wanted), "-n", str(wanted), "--"]


def cpu_words(spec: Spec) -> list[str]:
    """Return the words of taskset(1)."""
    if not spec.cpus:
        return []
    if not hasattr(os, "sched_setaffinity"):
        raise refuse(spec, "cpus", spec.cpus, "this system binds no program to processors", errno.ENOTSUP)
    wanted = frozenset(spec.cpus)
    if missing := wanted - _usable(wanted):
        which = ", ".join(map(str, sorted(missing)))
        why = f"this host may not use processor {which}: it has {_shown(_usable(range(os.cpu_count() or 1)))}"
        raise refuse(spec, "cpus", spec.cpus, why, errno.EINVAL)
    return [tool(spec, "taskset", "cpus", spec.cpus), "-c", ",".join(map(str, spec.cpus))]


def io_words(spec: Spec) -> list[str]:
    """Return the words of ionice(1)."""
    if spec.io_class is None:
        return []
    name, level = io_priority(spec.io_class)
    if name == "realtime" and not (_has("CapEff", _SYS_NICE) or _has("CapEff", _SYS_ADMIN)):
        raise refuse(spec, "io_class", spec.io_class, "it needs the capability sys_nice")
    words = [tool(spec, "ionice", "io_class", spec.io_class), "-c", str(IO_CLASSES[name])]
    return words if level is None else [*words, "-n", str(level)]


def ambient_options(spec: Spec) -> list[str]:
    """Return the options of setpriv(1) for ambient capabilities.

    A capability must be inheritable before it can be ambient. setpriv keeps both when it changes the user.
    """
    if not spec.ambient_capabilities:
        return []
    # setpriv itself gets these by its exec: a root host passes its bounding set on, any other host what is ambient.
    held = "CapBnd" if os.geteuid() == 0 else "CapAmb"
    for name in spec.ambient_capabilities:
        if not _has(held, CAPABILITIES.index(name)):
            raise refuse(spec, "ambient_capabilities", name, "this host does not have it, so it cannot pass it on")
    words = ",".join(f"+{name}" for name in spec.ambient_capabilities)
    return [f"--inh-caps={words}", f"--ambient-caps={words}"]


def _has(field: str, number: int) -> bool:
    """Return whether a capability is in a set of this process; True where the system does not tell."""
    try:
        lines = _content("/proc/self/status").splitlines()
    except OSError:
        return True
    sets = [line.partition(":")[2] for line in lines if line.startswith(f"{field}:")]
    return not sets or bool(int(sets[0], 16) >> number & 1)


def _content(path: str) -> str:
    # Without pathlib, whose import takes longer than all modules of this folder.
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _usable(cpus: Collection[int]) -> frozenset[int]:
    """Return those processors on which a program of this host may run.

    No file tells what the cpuset of a container allows beyond the present choice, so a thread of its own tries it.
    """
    found: frozenset[int] = frozenset()

    def attempt() -> None:
        nonlocal found
        try:
            os.sched_setaffinity(0, cpus)
        except (OSError, OverflowError, ValueError):  # none of them
            return
        found = frozenset(os.sched_getaffinity(0)) & frozenset(cpus)

    thread = threading.Thread(target=attempt, name="aioverseer cpus")
    thread.start()
    thread.join()
    return found


def _shown(cpus: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))
