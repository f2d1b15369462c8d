"""100 MB from a program, whoever reads or does not: the host's memory stays where it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import DEFAULT_LINE_BUFFER_SIZE, Process
from tests.support.memory_host import HOWS, LAST, SIZE
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MB = 1 << 20
ROOT = Path(__file__).parents[3]
FREE = 8 * MB
"""What a host may take beyond what it took before: one read and its lines, twice over, is a good part of it."""
QUEUE = 1000
"""Lines that a subscriber or a stream holds by default."""


async def grown(how: str, what: str, *, line_limit: int = DEFAULT_LINE_BUFFER_SIZE) -> dict[str, Any]:
    """What the host says that took part."""
    host = ROOT / "tests" / "support" / "memory_host.py"
    async with limit(25, "the host"):
        status = await Process(
            sys.executable, str(host), how, what, str(line_limit), extra_env={"PYTHONPATH": str(ROOT)}, line_limit=MB
        )
    assert (True, []) == (status.ok, status.stderr)
    assert status.stdout is not None
    found: dict[str, Any] = json.loads(status.stdout[0])
    assert found["ok"]
    return found


@pytest.mark.parametrize("how", HOWS)
async def test_memory_stays_where_it_was_while_a_program_writes_lines(how: str) -> None:
    """With nobody, with those who never read, and with those who do; and 100 MB did go through."""
    found = await grown(how, "lines")
    assert found["grown"] < FREE
    lines = SIZE // 100
    if how.startswith("stalled drop"):
        # All but what the queue holds; the last line is one more.
        assert lines + 1 - QUEUE == found["dropped"]
    if how in ("reading block", "reading process", "stalled process"):
        assert lines * 99 + len(LAST) == found["bytes"]
    if how in ("nobody", "stalled drop_oldest", "stalled error", "stalled process"):
        assert LAST == found["last"]


@pytest.mark.parametrize("how", HOWS)
async def test_memory_is_bounded_while_a_program_never_ends_its_line(how: str) -> None:
    """Nothing grows with the line; a queue that is not read holds so many pieces as it holds lines."""
    found = await grown(how, "endless")
    held = QUEUE * DEFAULT_LINE_BUFFER_SIZE if how.startswith("stalled") else 0
    assert found["grown"] < held + FREE
    if how in ("reading block", "reading process", "stalled process"):
        assert SIZE + len(LAST) == found["bytes"]
        assert SIZE // DEFAULT_LINE_BUFFER_SIZE == found["pieces"]


@pytest.mark.parametrize("how", ["nobody", "reading block", "reading process"])
async def test_memory_is_bounded_by_a_high_line_limit_too(how: str) -> None:
    """What is being gathered, its text and the last one that is remembered: a few times the limit, no more."""
    line_limit = 4 * MB
    found = await grown(how, "endless", line_limit=line_limit)
    assert found["grown"] < FREE + 8 * line_limit < SIZE
