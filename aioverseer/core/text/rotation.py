"""When a log file is rotated, and by which steps: pure, from the names that are there.

Each step is one system call that happens wholly or not at all, and the steps stand in an order in which every line is
in exactly one file before and after each of them. So a host that is killed between two of them leaves at most a hole
in the numbers, which the next rotation closes, or a file beside its own compressed copy, which recovery removes.
Nothing in here performs a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aioverseer.core.options.log import LogFile

__all__ = ["PACKED", "UNFINISHED", "Remove", "Rename", "Step", "is_due", "leftovers", "pairs", "rotation", "to_pack"]

PACKED = ".gz"
UNFINISHED = ".gz.tmp"
"""End of the name of a compressed copy that is not complete."""

_NAME = re.compile(r"\.([1-9][0-9]{0,2})(\.gz|\.gz\.tmp)?")
"""What follows the log file's own name. Longer numbers are dates, and somebody else's."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename a file. Both are named by what follows the log file's path."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, named by what follows the log file's path."""

    name: str


Step = Rename | Remove


def is_due(log: LogFile, *, size: int, begun: int = 0, adding: int, last: float, now: float) -> bool:
    """Return whether to rotate before a line, or before one more piece of it.

    Args:
        log: The rules.
        size: Bytes that are in the file; an empty one is never rotated.
        begun: How many of them are of the same line; 0 at its begin.
        adding: Bytes of the line, or the piece.
        last: Wall-clock time in seconds of the last line in the file.
        now: That of the line.
    """
    if size == 0:
        return False
    if log.max_bytes is not None and size + adding > log.max_bytes:
        # A line is cut where no file could hold it: one that never ends must not fill the disk.
        return begun == 0 or begun + adding > log.max_bytes
    # A clock that was set back must not rotate to and fro.
    return begun == 0 and log.every is not None and now // log.every > last // log.every


def rotation(names: Iterable[str], keep: int) -> tuple[Step, ...]:
    """Return the steps that make room for a new file.

    Args:
        names: What follows the log file's path in the names of the files that are there; others are not touched.
        keep: How many rotated files are kept.
    """
    held = _held(names)
    # Oldest first: what is left when that is interrupted has no hole in time.
    steps: list[Step] = [
        Remove(name) for number in sorted(held, reverse=True) if number > keep for name in held[number]
    ]
    # Files move up only as far as the first hole: what lies behind it stays in its place.
    hole = next((number for number in range(1, keep + 1) if number not in held), None)
    if hole is None:
        hole = keep
        steps += [Remove(name) for name in held[keep]]
    for number in range(hole - 1, 0, -1):
        steps += [Rename(name, _renumbered(name, number + 1)) for name in held[number]]
    return (*steps, Rename("", ".1"))


def leftovers(names: Iterable[str]) -> list[str]:
    """Return compressed copies that were never completed: the file itself is still there."""
    return sorted(name for name in names if _NAME.fullmatch(name) and name.endswith(UNFINISHED))


def pairs(names: Iterable[str]) -> list[str]:
    """Return files beside which a compressed copy stands, oldest first."""
    held = _held(names)
    return [f".{number}" for number in sorted(held, reverse=True) if len(held[number]) > 1]


def to_pack(names: Iterable[str]) -> list[str]:
    """Return files that are rotated and have no compressed copy, oldest first."""
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
    return f".{number}{PACKED if name.endswith(PACKED) else ''}"
