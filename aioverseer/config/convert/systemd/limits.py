"""Limits, priorities and privileges of a unit."""

from __future__ import annotations

import re
from typing import Any

from aioverseer.config.convert.systemd.directives import Directives
from aioverseer.config.convert.systemd.values import read_bytes, read_seconds

__all__ = ["read_limits"]

_RLIMITS = {
    "LimitCPU": "seconds",
    "LimitFSIZE": "bytes",
    "LimitDATA": "bytes",
    "LimitSTACK": "bytes",
    "LimitCORE": "bytes",
    "LimitRSS": "bytes",
    "LimitNOFILE": "number",
    "LimitAS": "bytes",
    "LimitNPROC": "number",
    "LimitMEMLOCK": "bytes",
    "LimitLOCKS": "number",
    "LimitSIGPENDING": "number",
    "LimitMSGQUEUE": "bytes",
    "LimitNICE": "nice",
    "LimitRTPRIO": "number",
    "LimitRTTIME": "microseconds",
}
"""Kinds of the values."""
_CLASSES = {
    "1": "realtime",
    "2": "best-effort",
    "3": "idle",
    **{name: name for name in ("realtime", "best-effort", "idle")},
}


def read_limits(keys: Directives, place: str) -> dict[str, Any]:
    """Return the options about limits, priorities and privileges.

    Args:
        keys: Keys of the section Service.
        place: Path of the service in our file.
    """
    options: dict[str, Any] = {}
    rlimits = {key[5:].lower(): limit for key in _RLIMITS if (limit := _rlimit(keys, key, place)) is not None}
    if rlimits:
        options["rlimits"] = rlimits
    for key, option in (("Nice", "nice"), ("OOMScoreAdjust", "oom_score_adj")):
        number = keys.whole(key, least=-1000)
        if number is not None:
            options[option] = number
            keys.carried(key, f"{place}.{option}")
    new = keys.switch("NoNewPrivileges")
    if new is not None:
        keys.carried("NoNewPrivileges", f"{place}.no_new_privileges")
    if new:
        options["no_new_privileges"] = True
    return options | _processors(keys, place) | _disks(keys, place) | _capabilities(keys, place) | _cgroup(keys, place)


def _rlimit(keys: Directives, key: str, place: str) -> int | list[int] | None:
    text = keys.take(key)
    if text is None:
        return None
    numbers = [_number(each.strip(), _RLIMITS[key]) for each in text.split(":")]
    found = [each for each in numbers if each is not None]
    if len(found) < len(numbers) or len(found) not in (1, 2):
        keys.refuse(key, "is no limit: write a number, soft:hard, or infinity")
        return None
    keys.carried(key, f"{place}.rlimits.{key[5:].lower()}")
    return found[0] if len(found) == 1 else found


def _number(text: str, kind: str) -> int | None:
    if text == "infinity":
        return -1
    match kind:
        case "bytes":
            return read_bytes(text)
        case "seconds" | "microseconds":
            # A bare number is in the unit of the limit.
            if text.isdecimal():
                return int(text)
            seconds = read_seconds(text)
            return None if seconds is None else int(seconds * (1 if kind == "seconds" else 1e6))
        case "nice" if re.fullmatch(r"[+-]\d+", text):
            return 20 - int(text)
        case _:
            size = read_bytes(text)
            return size if text.isdecimal() or size is not None else None


def _processors(keys: Directives, place: str) -> dict[str, Any]:
    numbers: list[int] = []
    values = keys.take_all("CPUAffinity")
    for word in re.split(r"[\s,]+", " ".join(values)):
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", word)
        if found:
            numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
        elif word:
            keys.lost("CPUAffinity", "cpus = takes numbers of processors")
            return {}
    if not values:
        return {}
    keys.carried("CPUAffinity", f"{place}.cpus")
    return {"cpus": sorted(set(numbers))}


def _disks(keys: Directives, place: str) -> dict[str, Any]:
    word, level = keys.take("IOSchedulingClass"), keys.whole("IOSchedulingPriority")
    kind = _CLASSES.get(word or "2")
    if word is not None:
        if kind is None:
            keys.lost("IOSchedulingClass", "io_class = takes realtime, best-effort or idle")
        else:
            keys.carried("IOSchedulingClass", f"{place}.io_class")
    if level is not None:
        used = kind not in (None, "idle")
        keys.carried("IOSchedulingPriority", f"{place}.io_class" if used else "nothing, as idle has none")
    if (word is None and level is None) or kind is None:
        return {}
    return {"io_class": kind if level is None or kind == "idle" else f"{kind}:{level}"}


def _capabilities(keys: Directives, place: str) -> dict[str, Any]:
    words = " ".join(keys.take_all("AmbientCapabilities")).split()
    if not words:
        return {}
    if any(word.startswith("~") for word in words):
        keys.lost("AmbientCapabilities", "ambient_capabilities = names those that the program keeps")
        return {}
    keys.carried("AmbientCapabilities", f"{place}.ambient_capabilities")
    return {"ambient_capabilities": [word.lower().removeprefix("cap_") for word in words]}


def _cgroup(keys: Directives, place: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, option in (("MemoryMax", "memory_max"), ("MemoryLimit", "memory_max"), ("TasksMax", "pids_max")):
        text = keys.take(key)
        if text is None:
            continue
        size = read_bytes(text)
        if text.strip() == "infinity":
            keys.carried(key, f"no limit, as without {option}")
        elif size is None or size == 0:
            keys.lost(key, f"{option} = takes a number, and no share of the machine")
        else:
            options[option] = size
            keys.carried(key, f"{place}.{option}, where cgroups are delegated")
    quota = keys.take("CPUQuota")
    if quota is not None:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", quota.strip())
        if found is None:
            keys.refuse("CPUQuota", "is no share: write for example 50%")
        else:
            options["cpu_max"] = float(found[1]) / 100
            keys.carried("CPUQuota", f"{place}.cpu_max, where cgroups are delegated")
    return options
