"""Files of cgroup v2: reading their texts, and the texts to write for limits.

The formats are those of the kernel's ``Documentation/admin-guide/cgroup-v2.rst`` and of proc(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Limits", "counter", "home", "is_unit"]

_PERIOD = 100_000
"""Period in microseconds, the default of the kernel for cpu.max."""
_LEAST_QUOTA = 1_000
"""Least quota in microseconds that the kernel accepts."""
_FIELDS = 5
"""Number of fields of mountinfo up to the mount point."""
_UNITS = (".service", ".scope", ".slice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one program and everything it starts; None is no limit.

    Attributes:
        memory: Bytes.
        pids: Number of processes and threads.
        cpu: Number of processors, also a fraction.
    """

    memory: int | None = None
    pids: int | None = None
    cpu: float | None = None

    @property
    def controllers(self) -> tuple[str, ...]:
        """Names of the controllers that the limits need, sorted."""
        wanted = {"cpu": self.cpu, "memory": self.memory, "pids": self.pids}
        return tuple(name for name, value in wanted.items() if value is not None)

    def files(self) -> dict[str, str]:
        """Return the texts to write, by the names of files of the cgroup, in order."""
        texts: dict[str, str] = {}
        if self.memory is not None:
            texts["memory.max"] = str(self.memory)
            # Kill all processes together: a service that has lost one of them neither works nor ends.
            texts["memory.oom.group"] = "1"
        if self.pids is not None:
            texts["pids.max"] = str(self.pids)
        if self.cpu is not None:
            texts["cpu.max"] = f"{max(_LEAST_QUOTA, round(self.cpu * _PERIOD))} {_PERIOD}"
        return texts


def home(cgroups: str, mounts: str) -> tuple[str, str] | str:
    """Find the cgroup of this process below a mount point.

    Args:
        cgroups: Text of /proc/self/cgroup.
        mounts: Text of /proc/self/mountinfo.

    Returns:
        Mount point and path of the cgroup below it, ``""`` for the mount point itself; or the reason why there is none.
    """
    path = next((line[3:] for line in cgroups.splitlines() if line.startswith("0::")), None)
    if path is None:
        return "this kernel has no cgroup v2"
    if path.startswith("/.."):
        return f"the cgroup {path!r} of this host is outside of what it sees"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if after.split(" ", 1)[0] != "cgroup2" or len(fields) < _FIELDS:
            continue
        root, point = _unescaped(fields[3]).rstrip("/"), _unescaped(fields[4])
        if path == root or path.startswith(root + "/"):
            return point, path[len(root) :].strip("/")
    return f"no cgroup v2 is mounted that shows the cgroup {path!r} of this host"


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def is_unit(name: str) -> bool:
    """Return whether systemd has made the cgroup of this name for a unit."""
    return name.endswith(_UNITS)


def counter(text: str, name: str) -> int:
    """Return one number of a flat keyed file, such as cgroup.events; 0 if the name is absent."""
    numbers: Mapping[str, str] = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return int(numbers.get(name, "0"))
