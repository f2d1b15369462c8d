"""Clients that send requests without a pause, on kept-alive and on fresh connections, and count what fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["Load", "load"]


@dataclass
class Load:
    """Answers and failures that the clients have seen."""

    done: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0

    def count(self) -> None:
        """Count an answer."""
        self.done += 1
        if self.done >= self.wanted:
            self.enough.set()

    async def until(self, answers: int) -> None:
        """Wait for so many more answers."""
        self.wanted = self.done + answers
        self.enough.clear()
        await self.enough.wait()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> bool:
    """Send a request, read its answer, and return whether the connection stays open."""
    connection = "keep-alive" if keep else "close"
    writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ConnectionError(f"answered {head[:40]!r}")
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return keep and b"connection: close" not in head


async def _client(port: int, seen: Load, *, keep: bool) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            seen.refused += 1
            continue
        try:
            while await _ask(reader, writer, keep=keep):
                seen.count()
            seen.count()
        except (OSError, EOFError) as error:
            seen.failed.append(repr(error))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def load(port: int, *, clients: int) -> AsyncGenerator[Load, None]:
    """Run clients while the block runs, half of them on connections that they keep."""
    seen = Load()
    tasks = [asyncio.create_task(_client(port, seen, keep=bool(number % 2))) for number in range(clients)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
