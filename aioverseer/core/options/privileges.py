"""Checks of options for processors, disks, the out-of-memory killer and capabilities, and the names that they take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from aioverseer.core.options.checker import Checker

__all__ = ["CAPABILITIES", "IO_CLASSES", "check_capabilities", "check_cpus", "check_io_class", "io_priority"]

CAPABILITIES = tuple(
    """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()
)
"""Names of the capabilities of Linux, each at its number."""
IO_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}
"""Numbers of the classes of ionice(1)."""
_LEVELS = "01234567"
_MOST_CPUS = 8192
"""Most processors that Linux is built for."""


def check_cpus(check: Checker, value: object) -> tuple[int, ...]:
    """Return the numbers of processors, sorted, each once."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        why = f"is one number: write cpus=[{value}] for that processor, or cpu_max={value} for so many processors"
        raise check.refuse("cpus", value, why)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise check.refuse("cpus", value, "is no list: pass numbers of processors, such as [0, 1] or range(4)")
    numbers = tuple(cast("Iterable[object]", value))
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MOST_CPUS:
            raise check.refuse("cpus", number, "is no processor: pass its number, from 0")
    return tuple(sorted(set(cast("tuple[int, ...]", numbers))))


def check_io_class(check: Checker, value: object) -> object:
    """Return the class."""
    if value is None:
        return None
    name, colon, level = value.partition(":") if isinstance(value, str) else ("", "", "")
    if name not in IO_CLASSES or (colon and (name == "idle" or len(level) != 1 or level not in _LEVELS)):
        why = 'is no class: pass "idle", "best-effort" or "realtime"; the last two may have a level, as "best-effort:7"'
        raise check.refuse("io_class", value, why)
    return value


def io_priority(io_class: str) -> tuple[str, int | None]:
    """Return the name of a class, and its level if one was given."""
    name, _, level = io_class.partition(":")
    return name, int(level) if level else None


def check_capabilities(check: Checker, value: object) -> tuple[str, ...]:
    """Return the names of capabilities as the kernel has them, in small letters and without ``CAP_``."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        hint = f": write [{value!r}]" if isinstance(value, str) else ""
        why = f'is no list{hint or ": pass names of capabilities"}, for example ["net_bind_service"]'
        raise check.refuse("ambient_capabilities", value, why if not hint else f"is no list{hint}")
    names: dict[str, None] = {}
    for item in cast("Iterable[object]", value):
        name = item.lower().removeprefix("cap_") if isinstance(item, str) else ""
        if name not in CAPABILITIES:
            why = 'is no capability: pass a name of capabilities(7), for example "net_bind_service"'
            raise check.refuse("ambient_capabilities", item, why)
        names[name] = None
    return tuple(names)
