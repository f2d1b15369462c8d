"""Values for ``stdin`` that would silently give a program something else than was meant."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aioverseer import LineQueue, Overseer, Process, SpecError


async def test_values_that_are_no_input_are_refused(tmp_path: Path) -> None:
    """The error says what to write, and shows no content."""
    other = Process("seq", "3", streaming=True)
    path = tmp_path / "file"
    with path.open("w") as written, path.open() as closed:
        closed.close()
        async with Overseer() as overseer:
            service = overseer.add("seq", "seq", "3")
            wrong: list[tuple[Any, str]] = [
                (other.stdout, "Queue: the lines of a queue have lost their ends"),
                (service.lines(), "Subscription: the lines of a queue"),
                (asyncio.Queue(), "the lines of a queue"),
                (asyncio.StreamReader(), "a StreamReader fails at a line above its limit"),
                (other, "its standard output is for that program alone"),
                (service, "Service: a service is no input"),
                (io.BytesIO(b"secret"), "pass its content, getvalue()"),
                (io.StringIO("secret"), "pass its content, getvalue()"),
                (bytearray(b"secret"), "pass None"),
                (memoryview(b"secret"), "pass None"),
                (subprocess.PIPE, 'pass None, "pipe"'),
                (0, '"inherit"'),
                (True, "pass None"),
                (written, "not open for reading"),
                (closed, "the file is closed"),
                (["a"], "pass None"),
                (iter("ab"), "pass None"),
            ]
            for value, words in wrong:
                with pytest.raises(SpecError) as caught:
                    Process("cat", stdin=value)
                assert words in str(caught.value)
                assert "secret" not in str(caught.value)
                with pytest.raises(SpecError):
                    overseer.add("cat", "cat", stdin=value)


async def test_a_function_that_returns_a_queue_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be seen before it is called; the program reads nothing instead of one long line."""
    queue: LineQueue[str] = LineQueue()
    queue.deliver(["a", "b"])
    status = await Process("cat", stdin=lambda: queue)
    assert status.stdout == []
    assert "the lines of a queue have lost their ends" in caplog.text


async def test_lines_with_their_ends_are_an_input() -> None:
    """As the error says to write it."""
    other = Process("seq", "3", streaming=True)

    async def feed() -> AsyncIterator[str]:
        async for line in other.stdout:
            yield line + "\n"

    await other.start()
    assert (await Process("wc", "-l", stdin=feed)).stdout[0].strip() == "3"
