"""Rotation of log files: when it is due, and its steps, from the names of the existing files.

Each step is one system call that happens completely or not at all. Before and after each step every line is in exactly
one file. A host that is killed between two steps leaves at most a gap in the numbers, which the next rotation closes.
Or it leaves a file next to its compressed copy, and the recovery removes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aioverseer.core.options.log import LogFile

__all__ = [
    "COMPRESSED",
    "UNFINISHED",
    "Remove",
    "Rename",
    "RotationStep",
    "files_with_copy",
    "files_without_copy",
    "is_due",
    "rotation",
    "unfinished_copies",
]

COMPRESSED = ".gz"
UNFINISHED = ".gz.tmp"
"""Suffix of a compressed copy that is not complete."""

_NAME = re.compile(r"\.([1-9][0-9]{0,2})(\.gz|\.gz\.tmp)?")
"""Suffix of a rotated file. A longer number may be a date in the name of a file of another program."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename a file. Both names are suffixes of the path of the log file."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file. The name is a suffix of the path of the log file."""

    name: str


RotationStep = Rename | Remove


def is_due(log: LogFile, *, size: int, begun: int = 0, adding: int, last: float, now: float) -> bool:
    """Return whether to rotate before a line, or before a further piece of it.

    Args:
        log: Options of the file.
        size: Bytes in the file; an empty file is never rotated.
        begun: Bytes of the same line in the file; 0 before its first piece.
        adding: Bytes of the line or the piece.
        last: Wall-clock time of the last line in the file, in seconds.
        now: Wall-clock time of this line, in seconds.
    """
    if size == 0:
        return False
    if log.max_bytes is not None and size + adding > log.max_bytes:
        # Cut a line only if no file can hold it: a line that never ends must not fill the disk.
        return begun == 0 or begun + adding > log.max_bytes
    # Compare with ">": a clock that was set back must not cause rotations.
    return begun == 0 and log.every is not None and now // log.every > last // log.every


def rotation(names: Iterable[str], keep: int) -> tuple[RotationStep, ...]:
    """Return the steps that make room for a new file.

    Args:
        names: Suffixes of the existing files whose names begin with the path of the log file. Unknown ones are ignored.
        keep: Number of rotated files to keep.
    """
    held = _held(names)
    # Remove the oldest first, so that an interruption leaves no gap in time.
    steps: list[RotationStep] = [
        Remove(name) for number in sorted(held, reverse=True) if number > keep for name in held[number]
    ]
    # Move files up only to the first gap. Files with higher numbers keep their names.
    gap = next((number for number in range(1, keep + 1) if number not in held), None)
    if gap is None:
        gap = keep
        steps += [Remove(name) for name in held[keep]]
    for number in range(gap - 1, 0, -1):
        steps += [Rename(name, _renumbered(name, number + 1)) for name in held[number]]
    return (*steps, Rename("", ".1"))


def unfinished_copies(names: Iterable[str]) -> list[str]:
    """Return compressed copies that were never completed; their files still exist."""
    return sorted(name for name in names if _NAME.fullmatch(name) and name.endswith(UNFINISHED))


def files_with_copy(names: Iterable[str]) -> list[str]:
    """Return files that have a compressed copy, oldest first."""
    held = _held(names)
    return [f".{number}" for number in sorted(held, reverse=True) if len(held[number]) > 1]


def files_without_copy(names: Iterable[str]) -> list[str]:
    """Return rotated files without a compressed copy, oldest first."""
    held = _held(names)
    return [f".{number}" for number in sorted(held, reverse=True) if held[number] == [f".{number}"]]


def _held(names: Iterable[str]) -> Mapping[int, list[str]]:
    held: dict[int, list[str]] = {}
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        if match and not name.endswith(UNFINISHED):
            held.setdefault(int(match[1]), []).append(name)
    return held


def _renumbered(name: str, number: int) -> str:
    return f".{number}{COMPRESSED if name.endswith(COMPRESSED) else ''}"
