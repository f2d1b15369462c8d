"""The user of a program, its rights and its limits."""

from __future__ import annotations

from aioverseer.config.export.systemd.draft import UnitDraft

__all__ = ["add_rights"]

_LIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
"""Names of ``rlimits`` that have a ``Limit...=``."""
_PLAIN_SETTINGS = {
    "umask": "UMask",
    "nice": "Nice",
    "oom_score_adj": "OOMScoreAdjust",
    "no_new_privileges": "NoNewPrivileges",
    "memory_max": "MemoryMax",
    "pids_max": "TasksMax",
}
"""Options that have a setting with the same value."""


def add_rights(m: UnitDraft) -> None:
    """Add the user, and limits and rights of the program."""
    spec = m.spec
    if (user := m.given.take("user")) is not None:
        name, _, group = str(user).partition(":")
        m.service("User", name)
        if group:
            m.service("Group", group)
    if groups := m.given.take("extra_groups"):
        m.service("SupplementaryGroups", " ".join(map(str, groups)))
    for option, setting in _PLAIN_SETTINGS.items():
        if (value := m.given.take(option)) is not None:
            m.service(setting, "yes" if value is True else str(value))
    if (share := m.given.take("cpu_max")) is not None:
        m.service("CPUQuota", f"{share * 100:.0f}%")
    if cpus := m.given.take("cpus"):
        m.service("CPUAffinity", " ".join(map(str, cpus)))
    if (io := m.given.take("io_class")) is not None:
        name, _, level = io.partition(":")
        m.service("IOSchedulingClass", name)
        if level:
            m.service("IOSchedulingPriority", level)
    if names := m.given.take("ambient_capabilities"):
        m.service("AmbientCapabilities", " ".join(f"CAP_{name.upper()}" for name in names))
    m.given.take("rlimits")
    for name, limit in spec.rlimits.items():
        if name not in _LIMITS:
            m.given.lost("rlimits", f"{name} has no Limit{name.upper()}=")
            continue
        both = limit if isinstance(limit, tuple) else (limit, limit)
        m.service(f"Limit{name.upper()}", ":".join("infinity" if n < 0 else str(n) for n in both))
