"""The time zone of the host, with its name."""

from __future__ import annotations

import io
import os
import struct
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["local_zone", "zone_of"]

_LOCALTIME = "/etc/localtime"


def zone_of(name: str | None) -> tuple[tzinfo, str]:
    """Return a zone and its name.

    Args:
        name: The name; None is the zone of the host.
    """
    return local_zone() if name is None else (ZoneInfo(name), name)


def local_zone() -> tuple[tzinfo, str]:
    """Return the zone of the host and its name: that of ``TZ``, or else that of ``/etc/localtime``."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if name:
        return _named(name) or _from_file(name, "local time") or _from_rule(name) or (UTC, "UTC")
    _, _, name = os.path.realpath(_LOCALTIME).partition("/zoneinfo/")
    name = name.removeprefix("posix/")
    return (name and _named(name)) or _from_file(_LOCALTIME, "local time") or (UTC, "UTC")


def _named(name: str) -> tuple[tzinfo, str] | None:
    try:
        return ZoneInfo(name), name
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _from_file(path: str, name: str) -> tuple[tzinfo, str] | None:
    try:
        with open(path, "rb") as file:
            return ZoneInfo.from_file(file, key=name), name
    except (OSError, ValueError):
        return None


def _from_rule(rule: str) -> tuple[tzinfo, str] | None:
    """Return the zone of a rule of POSIX, such as ``CET-1CEST,M3.5.0,M10.5.0/3``: a zone file with nothing else."""
    block = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 1) + struct.pack(">lBB", 0, 0, 0) + b"\0"
    try:
        return ZoneInfo.from_file(io.BytesIO(block + block + f"\n{rule}\n".encode()), key=rule), rule
    except (ValueError, OSError):
        return None
