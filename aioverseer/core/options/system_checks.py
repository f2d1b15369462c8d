"""Checks of the options of a Spec for the operating system: user, groups, umask, processors, limits and ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import cast

from aioverseer.core.options.checker import Checker
from aioverseer.core.options.keywords import Rlimit

__all__ = ["RLIMITS", "check_groups", "check_ports", "check_processors", "check_rlimits", "check_umask", "check_user"]

_UMASK = range(0o1000)
_USUAL_MASKS = frozenset({0, 0o2, 0o7, 0o22, 0o27, 0o37, 0o66, 0o77, 0o117, 0o137, 0o177, 0o222, 0o277, 0o377})
_MEANT_MASKS = frozenset(int(f"{mask:o}") for mask in _USUAL_MASKS)
"""Usual masks, written in octal digits and read as decimal numbers: 22 was meant as 0o22."""
_PORTS = range(1, 1 << 16)
_CPUS = (0.01, 10_000)
"""Least and most value of ``cpu_max``; the kernel refuses less than a hundredth of a processor."""
RLIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
"""Names of resources that prlimit(1) knows."""


def check_user(check: Checker, user: object) -> object:
    """Return the user."""
    good = (isinstance(user, int) and not isinstance(user, bool) and user >= 0) or (
        isinstance(user, str) and all(user.split(":")) and user.count(":") <= 1 and "\0" not in user
    )
    if not good:
        raise check.refuse("user", user, 'is no user: pass a name, a number, or "name:group"')
    return user


def check_groups(check: Checker, value: object) -> tuple[str | int, ...]:
    """Return the groups as a tuple."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise check.refuse("extra_groups", value, "is no list: pass names or numbers of groups")
    items = tuple(cast("Iterable[object]", value))
    for item in items:
        good = item >= 0 and not isinstance(item, bool) if isinstance(item, int) else _is_group_name(item)
        if not good:
            raise check.refuse("extra_groups", item, "is no group: pass its name or its number")
    return cast("tuple[str | int, ...]", items)


def check_umask(check: Checker, value: object) -> object:
    """Return the umask."""
    if type(value) is int and value not in _USUAL_MASKS and value in _MEANT_MASKS:
        raise check.refuse("umask", value, f"is a decimal number, the mask {value:#o}: write umask=0o{value:03}")
    return check.within("umask", value, _UMASK)


def check_processors(check: Checker, cpus: object) -> object:
    """Return the number of processors."""
    why = f"pass {_CPUS[0]} to {_CPUS[1]}, for example 1.5"
    if not isinstance(cpus, int | float) or isinstance(cpus, bool) or cpus != cpus:  # nan  # noqa: PLR0124
        raise check.refuse("cpu_max", cpus, f"is no number of processors: {why}")
    if not _CPUS[0] <= cpus <= _CPUS[1]:
        raise check.refuse("cpu_max", cpus, f"is too {'low' if cpus < _CPUS[0] else 'high'}, in processors: {why}")
    return cpus


def check_ports(check: Checker, ports: object) -> range:
    """Return the ports."""
    if isinstance(ports, int) and not isinstance(ports, bool) and ports in _PORTS:
        raise check.refuse("port", ports, f"is no range: pass range({ports}, {ports + 1}) for this one")
    if not isinstance(ports, range):
        raise check.refuse("port", ports, "is no range: pass for example range(9000, 9100)")
    if not ports or ports.step != 1 or ports[0] not in _PORTS or ports[-1] not in _PORTS:
        raise check.refuse("port", ports, "is no range of ports: pass one inside of range(1, 65536), with a port in it")
    return ports


def check_rlimits(check: Checker, value: object) -> Mapping[str, Rlimit]:
    """Return the limits as a mapping that cannot be changed."""
    if not isinstance(value, Mapping):
        raise check.refuse("rlimits", value, 'is no mapping: pass for example {"nofile": 1024}')
    limits = dict(cast("Mapping[object, object]", value))
    for name, limit in limits.items():
        if name not in RLIMITS:
            raise check.refuse("rlimits", name, f"is no resource: there are {', '.join(sorted(RLIMITS))}")
        pair = _as_pair(limit)
        if not _is_limits(pair):
            raise check.refuse(
                f"rlimits[{name!r}]",
                limit,
                "is no limit: pass a number, (soft, hard) with soft not above hard, or -1 for none" + _as_limit(limit),
            )
    return MappingProxyType(cast("dict[str, Rlimit]", limits))


def _as_pair(limit: object) -> tuple[object, ...]:
    return cast("tuple[object, ...]", limit) if isinstance(limit, tuple) else (limit, limit)


def _as_limit(limit: object) -> str:
    """Return how to write a limit that was given as a list or a text; empty without an idea."""
    match limit:
        case [int(soft), int(hard)]:
            return f"; write ({soft}, {hard})"
        case str() if limit.strip().isdecimal():
            return f"; write {limit.strip()}"
        case str() | None:
            return "; write -1 for no limit"
        case _:
            return ""


def _is_limits(pair: tuple[object, ...]) -> bool:
    match pair:
        case (int(soft), int(hard)) if not isinstance(soft, bool) and not isinstance(hard, bool):
            return hard == -1 <= soft or 0 <= soft <= hard
        case _:
            return False


def _is_group_name(item: object) -> bool:
    # setpriv takes the names as a list separated by commas.
    return isinstance(item, str) and bool(item) and not {",", "\0"} & set(item)
