"""100 MB of output, with and without readers: the host's memory stays constant."""

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
"""Limit for the growth of a host's memory. One read and its lines, twice, are a good part of it."""
QUEUE = 1000
"""Lines that a subscriber or a stream holds by default."""


async def grown(how: str, what: str, *, line_limit: int = DEFAULT_LINE_BUFFER_SIZE) -> dict[str, Any]:
    """Return the report of the host that took part."""
    host = ROOT / "tests" / "support" / "memory_host.py"
    async with limit(25, "the host"):
        status = await Process(
            sys.executable, str(host), how, what, str(line_limit), extra_env={"PYTHONPATH": str(ROOT)}, line_limit=MB
        )
    assert status.ok
    # Of the stream that is not read; it comes after a second, if the program lives as long.
    warned = sum("nobody reads its stdout" in line for line in status.stderr or [])
    assert warned <= (how == "stalled process")
    assert status.stdout is not None
    found: dict[str, Any] = json.loads(status.stdout[0])
    assert found["ok"]
    return found


@pytest.mark.parametrize("how", HOWS)
async def test_memory_is_constant_while_a_program_writes_lines(how: str) -> None:
    """Without readers, with readers that never read, and with active ones. All 100 MB are read."""
    found = await grown(how, "lines")
    assert found["grown"] < FREE
    lines = SIZE // 100
    if how.startswith("stalled drop"):
        # All but the content of the queue; the last line is one more.
        assert lines + 1 - QUEUE == found["missed"]
    if how in ("reading block", "reading process", "stalled process"):
        assert lines * 99 + len(LAST) == found["bytes"]
    if how in ("nobody", "stalled drop_oldest", "stalled error", "stalled process"):
        assert LAST == found["last"]


@pytest.mark.parametrize("how", HOWS)
async def test_memory_is_bounded_for_an_endless_line(how: str) -> None:
    """Nothing grows with the line. A queue that is not read holds as many pieces as lines."""
    found = await grown(how, "endless")
    held = QUEUE * DEFAULT_LINE_BUFFER_SIZE if how.startswith("stalled") else 0
    assert found["grown"] < held + FREE
    if how in ("reading block", "reading process", "stalled process"):
        assert SIZE + len(LAST) == found["bytes"]
        assert SIZE // DEFAULT_LINE_BUFFER_SIZE == found["pieces"]


@pytest.mark.parametrize("how", ["nobody", "reading block", "reading process"])
async def test_memory_is_bounded_for_a_high_line_limit(how: str) -> None:
    """By a few times the limit: the bytes of the current line, its text and the last remembered line."""
    line_limit = 4 * MB
    found = await grown(how, "endless", line_limit=line_limit)
    assert found["grown"] < FREE + 8 * line_limit < SIZE
