"""Lines of 16 MiB: whole if the limit allows it, otherwise in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer import DEFAULT_LINE_BUFFER_SIZE, Overseer, Process
from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine
from tests.support.programs import child, limit

SIZE = 16 << 20
WRITER = child(
    f"""
    import os
    # A character of three bytes, so that few reads of the pipe and few limits end with a whole one.
    line = b"ab" + "\\u20ac".encode() * {SIZE // 3}
    data = memoryview(b"before\\n" + line + b"\\r\\n" + b"after\\n" + line)
    while data:
        data = data[os.write(1, data) :]
    """
)
LINE = "ab" + "\u20ac" * (SIZE // 3)
BYTES = LINE.encode()


def whole(lines: list[Any], kind: type) -> list[Any]:
    """Return lines with their pieces joined."""
    put: list[Any] = []
    parts: list[Any] = []
    for line in lines:
        parts.append(line)
        if not isinstance(line, kind):
            put.append(type(line)().join(parts))
            parts = []
    assert not parts
    return put


@pytest.mark.parametrize("line_limit", [DEFAULT_LINE_BUFFER_SIZE, 32 << 20], ids=["in pieces", "whole"])
@pytest.mark.parametrize("encoding", ["utf-8", None])
async def test_long_lines_of_a_process_lose_nothing(encoding: str | None, line_limit: int) -> None:
    """With and without a final newline. The kept lines are the streamed ones."""
    process = Process(*WRITER, streaming=True, buffered=True, encoding=encoding, line_limit=line_limit)
    async with limit(20, "the run"):
        await process.start()
        stdout = process.stdout
        assert stdout is not None
        lines: list[Any] = [line async for line in stdout]
        status = await process
    assert status.ok
    assert lines == status.stdout
    sizes = [len(line.encode()) if encoding else len(line) for line in lines]
    assert max(sizes) <= line_limit
    if line_limit > len(BYTES):
        assert 4 == len(lines)
    elif encoding is None:
        # All but the last piece of each line are as long as the limit allows.
        assert 2 + 2 * -(-len(BYTES) // line_limit) == len(lines)
    put = whole(lines, ContinuedLine if encoding else ContinuedBytes)
    expected = ["before", LINE, "after", LINE] if encoding else [b"before", BYTES, b"after", BYTES]
    # Compared outside of the assertion, as pytest takes minutes to show a difference of megabytes.
    same = expected == put
    assert same


async def test_long_lines_of_a_service_are_continued() -> None:
    """Each piece is a Line. Joined by ``continued`` they are the line."""
    async with limit(20, "the service"), Overseer() as overseer:
        service = overseer.add("writer", *WRITER)
        subscription = service.lines(overflow="block", size=10)
        await service.start()
        put: list[str] = []
        parts: list[str] = []
        count = 0
        async for line in subscription:
            count += 1
            parts.append(str(line.text))
            if not line.continued:
                put.append("".join(parts))
                parts.clear()
        assert (await service.wait()).ok
    same = ["before", LINE, "after", LINE] == put
    assert same
    assert not parts
    assert 2 + 2 * (SIZE // DEFAULT_LINE_BUFFER_SIZE) <= count
