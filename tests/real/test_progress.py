"""The progress bar of curl: each state of it is seen at once, and comes as a line."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aioverseer import LogFile, Overseer, Process, Restart, framing
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="not installed: curl")

BAR = framing.lines(universal=True)
PIECE = b"x" * 100_000
HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def served() -> AsyncGenerator[tuple[str, asyncio.Queue[None]]]:
    """Serve four pieces over HTTP, each after an item of the queue; give the URL and the queue."""
    pieces: asyncio.Queue[None] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEADER)
        for _ in range(4):
            await pieces.get()
            writer.write(PIECE)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", pieces


def curl(url: str, target: Path) -> tuple[str, ...]:
    """Return the command of a download."""
    return "curl", "--noproxy", "*", "--progress-bar", "--output", str(target), url


async def test_each_state_of_a_download_is_seen_while_it_waits(tmp_path: Path) -> None:
    """The next piece is sent when the state is known, so nothing is held back until a line ends."""
    async with limit(30), served() as (url, pieces):
        process = Process(*curl(url, tmp_path / "got"), streaming="stderr", framing=BAR)
        async with process:
            for percent in (25, 50):
                pieces.put_nowait(None)
                await process.stderr.expect(rf"\b{percent}\.0%")
            for _ in range(2):
                pieces.put_nowait(None)
            last = [line async for line in process.stderr][-1]
            assert "100.0%" in last
            assert (await process).ok
    assert 4 * PIECE == (tmp_path / "got").read_bytes()


async def test_states_are_lines_of_a_service_and_the_log_keeps_their_bytes(tmp_path: Path) -> None:
    async with limit(30), served() as (url, pieces), Overseer() as overseer:
        log = LogFile(tmp_path / "log")
        service = overseer.add("get", *curl(url, tmp_path / "got"), framing=BAR, restart=Restart("never"), log=log)
        await service.start()
        for _ in range(4):
            pieces.put_nowait(None)
        assert (await service.wait()).ok
        await service.flush_log()
        states = [match for line in service.tail() for match in re.findall(r"([\d.]+)%", line.text)]
        assert "100.0" == states[-1]
        assert sorted(states, key=float) == states
        assert b"\r" in (tmp_path / "log").read_bytes()
