"""When a log file is rotated, and that its steps may be stopped anywhere."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.options.log import LogFile
from aioverseer.core.text.rotation import (
    Remove,
    Rename,
    RotationStep,
    files_with_copy,
    files_without_copy,
    is_due,
    rotation,
    unfinished_copies,
)

DAY = 86400.0


def perform(files: dict[str, list[int]], steps: tuple[RotationStep, ...]) -> None:
    """Do what the steps say with files that are a dict of names to contents."""
    for step in steps:
        if isinstance(step, Rename):
            files[step.target] = files.pop(step.source)
        else:
            del files[step.name]


def content(files: dict[str, list[int]]) -> list[int]:
    """All lines, oldest first."""
    names = sorted((name for name in files if name), key=lambda name: -int(name.split(".")[1]))
    return [line for name in [*names, ""] for line in files.get(name, [])]


@pytest.mark.parametrize(
    ("names", "keep", "steps"),
    [
        ([""], 5, [Rename("", ".1")]),
        (["", ".1"], 5, [Rename(".1", ".2"), Rename("", ".1")]),
        (["", ".1.gz", ".2.gz"], 5, [Rename(".2.gz", ".3.gz"), Rename(".1.gz", ".2.gz"), Rename("", ".1")]),
        (["", ".1"], 1, [Remove(".1"), Rename("", ".1")]),
        (["", ".1", ".2.gz"], 2, [Remove(".2.gz"), Rename(".1", ".2"), Rename("", ".1")]),
        # A gap, left by a killed host: files after it do not move, and none is removed.
        (["", ".1", ".3"], 3, [Rename(".1", ".2"), Rename("", ".1")]),
        (["", ".2", ".3"], 3, [Rename("", ".1")]),
        # More than are to be kept now.
        (["", ".1", ".4", ".12.gz"], 2, [Remove(".12.gz"), Remove(".4"), Rename(".1", ".2"), Rename("", ".1")]),
        # Two of one number stay together.
        (["", ".1", ".1.gz"], 2, [Rename(".1", ".2"), Rename(".1.gz", ".2.gz"), Rename("", ".1")]),
        # Files of other programs stay: dates, other suffixes, other numbers.
        (["", ".20300102", ".2030", ".bak", ".0", ".01", ".1.gz.tmp", ".1.bz2", "-1", ".x.1"], 1, [Rename("", ".1")]),
    ],
)
def test_the_steps_of_a_rotation(names: list[str], keep: int, steps: list[RotationStep]) -> None:
    """Up to the first hole, the oldest goes, the newest comes last."""
    assert tuple(steps) == rotation(names, keep)


@given(
    present=st.dictionaries(st.integers(1, 8), st.sampled_from(["", ".gz"])),
    keep=st.integers(1, 6),
    stop=st.integers(0, 12),
    again=st.integers(0, 12),
)
def test_a_rotation_may_be_stopped_anywhere(present: dict[int, str], keep: int, stop: int, again: int) -> None:
    """Lines keep their order, none is in two files, and none goes but those of the oldest files."""
    lines = itertools.count()
    files = {f".{number}{present[number]}": [next(lines)] for number in sorted(present, reverse=True)}
    files[""] = [next(lines)]
    held = content(files)
    for stopped in (stop, again, None):
        steps = rotation(files, keep)
        perform(files, steps[:stopped])
        kept = content(files)
        assert held[len(held) - len(kept) :] == kept
        assert len(held) - len(kept) <= sum(isinstance(step, Remove) for step in steps)
        held = kept
        if "" not in files:
            files[""] = [next(lines)]
            held = content(files)
    assert all(0 < int(name.split(".")[1]) <= keep for name in files if name)


def test_files_for_recovery_and_compression() -> None:
    """Copies that are not complete, files beside their copies, and files without."""
    names = ["", ".1", ".2", ".2.gz", ".3.gz", ".3.gz.tmp", ".10", ".10.gz", ".11", ".gz.tmp", ".1000", ".x.gz.tmp"]
    assert [".3.gz.tmp"] == unfinished_copies(names)
    assert [".10", ".2"] == files_with_copy(names)
    assert [".11", ".1"] == files_without_copy(names)


@pytest.mark.parametrize(
    ("options", "size", "adding", "last", "now", "due"),
    [
        ({}, 10**12, 10**12, 0.0, 10**9, False),
        ({"max_bytes": 10}, 5, 5, 0.0, 0.0, False),
        ({"max_bytes": 10}, 5, 6, 0.0, 0.0, True),
        ({"max_bytes": 10}, 0, 11, 0.0, 0.0, False),  # a line that is longer than a file goes into one of its own
        ({"every": DAY}, 5, 5, 3 * DAY, 4 * DAY - 1, False),
        ({"every": DAY}, 5, 5, 4 * DAY - 1, 4 * DAY, True),
        ({"every": DAY}, 5, 5, 4 * DAY, 4 * DAY - 1, False),  # the clock was set back
        ({"every": DAY}, 0, 5, 3 * DAY, 4 * DAY, False),
        ({"every": DAY, "max_bytes": 10}, 5, 6, 4 * DAY, 4 * DAY, True),
    ],
)
def test_when_it_is_due(options: Any, size: int, adding: int, last: float, now: float, due: bool) -> None:
    """By size before the line that is too much, by time with the first line of a period; an empty file never."""
    assert due is is_due(LogFile("x", **options), size=size, adding=adding, last=last, now=now)


@pytest.mark.parametrize(
    ("options", "begun", "adding", "due"),
    [
        # With what was begun it still goes into a file.
        ({"max_bytes": 100}, 30, 70, False),
        # It is longer than any file by itself.
        ({"max_bytes": 100}, 30, 71, True),
        # A new period does not cut a line.
        ({"every": DAY}, 30, 70, False),
        ({"max_bytes": 100, "every": DAY}, 30, 71, True),
    ],
)
def test_a_line_is_cut_only_if_no_file_can_hold_it(options: Any, begun: int, adding: int, due: bool) -> None:
    """And only there, whatever else is in the file."""
    assert due is is_due(LogFile("x", **options), size=90, begun=begun, adding=adding, last=0.0, now=2 * DAY)
