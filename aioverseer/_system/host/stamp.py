"""Stamp: a file with the time of the last run of a schedule."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime

__all__ = ["read_stamp", "write_stamp"]


def read_stamp(path: str) -> datetime | None:
    """Return the time of a stamp, aware; None if there is none.

    Raises:
        OSError: If the file exists and cannot be read.
        ValueError: If the file has no time.
    """
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(100)
    except FileNotFoundError:
        return None
    found = datetime.fromisoformat(text.strip())
    if found.tzinfo is None:
        raise ValueError(f"{text.strip()!r} has no zone")
    return found


def write_stamp(path: str, time: datetime) -> None:
    """Write a stamp, so that a reader finds the old one or the new one.

    Raises:
        OSError: If the file cannot be written.
    """
    beside = f"{path}.{os.getpid()}.new"
    try:
        with open(beside, "w", encoding="ascii") as file:
            file.write(f"{time.isoformat()}\n")
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
