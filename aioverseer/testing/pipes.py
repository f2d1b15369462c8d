"""Pipes without descriptors: what a scripted child writes and reads, as full and as slow as real ones.

Bytes and their flow only. What a child writes and when is known in ``child.py``; nothing in here has a clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["ScriptedSink", "ScriptedSource"]

_CAPACITY = 64 * 1024
"""Bytes that a pipe of Linux holds by default."""


class ScriptedSource:
    """The end of a pipe that the host reads; see ``seam.Source``."""

    def __init__(self) -> None:
        self._held: deque[bytes] = deque()
        self._size = 0
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._blocked: Callable[[], bool] = lambda: False
        self._writers = 1
        self._closed = False
        self._flowing = False
        self._waiting: list[Callable[[], None]] = []

    # --- what the host does

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Begin to read; see ``seam.Source``."""
        self._on_data, self._on_end, self._blocked = on_data, on_end, blocked
        self._flow()

    def resume(self) -> None:
        """Read on; see ``seam.Source``."""
        self._flow()

    def drain(self) -> None:
        """Deliver all that is there, whether the reader is blocked or not; see ``seam.Source``."""
        self._flow(drained=True)

    def close(self) -> None:
        """Let go of it; see ``seam.Source``."""
        self._on_data = self._on_end = None
        self._closed = True
        self._held.clear()
        self._size = 0
        self._wake()

    # --- what the child does

    def feed(self, data: bytes) -> int:
        """Take as many bytes as there is room for, and return their number."""
        if self._closed:  # a real program would get SIGPIPE; nobody looks at what it does any more
            return len(data)
        taken = 0
        while taken < len(data) and (room := _CAPACITY - self._size) > 0:
            piece = data[taken : taken + room]
            self._held.append(piece)
            self._size += len(piece)
            taken += len(piece)
            self._flow()
        return taken

    def when_room(self, call: Callable[[], None]) -> None:
        """Call back once there may be room again."""
        self._waiting.append(call)

    def add_writer(self) -> None:
        """Take note of another process that holds the other end."""
        self._writers += 1

    def drop_writer(self) -> None:
        """Take note that one of them has let go of it: after the last one nothing more comes."""
        self._writers -= 1
        self._flow()

    def _flow(self, *, drained: bool = False) -> None:
        if self._flowing:  # a reader that looks again from within: the loop below goes on
            return
        self._flowing = True
        try:
            while self._held and self._on_data is not None and (drained or not self._blocked()):
                data = self._held.popleft()
                self._size -= len(data)
                self._wake()
                self._on_data(data)
        finally:
            self._flowing = False
        if self._writers == 0 and not self._held and self._on_end is not None:
            on_end = self._on_end
            self.close()
            on_end()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        _call_soon(waiting)


class ScriptedSink:
    """The end of a pipe that the host writes; see ``seam.Sink``.

    Attributes:
        received: All that was written to it.
        closed: Whether the host has let go of it.
        broken: Whether the child has.
    """

    def __init__(self, *, terminal: bool = False) -> None:
        """Open it; on a terminal an end of file is a character, and more may follow."""
        self.received = b""
        self.closed = False
        self.broken = False
        self._terminal = terminal
        self._at_end = False
        self._unread = bytearray()
        self._turn = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None
        self._waiting: list[Callable[[], None]] = []

    # --- what the host does

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while the pipe is full; see ``seam.Sink``."""
        async with self._turn:
            view = memoryview(data)
            while view:
                if self.closed or self.broken:
                    raise BrokenPipeError("the pipe is closed, or nobody reads it any more")
                if (room := _CAPACITY - len(self._unread)) > 0:
                    self._at_end = False
                    self._unread += view[:room]
                    self.received += bytes(view[:room])
                    view = view[room:]
                    self._tell()
                else:
                    await self._wait_for_room()

    async def write_eof(self) -> None:
        """End the input behind all that is being written; see ``seam.Sink``."""
        async with self._turn:
            if self._terminal and not self.closed:
                self._at_end = True
                self._tell()
            else:
                self.close()

    def close(self) -> None:
        """Let go of it; see ``seam.Sink``."""
        if not self.closed:
            self.closed = self._at_end = True
            self._make_room()
            self._tell()

    async def _wait_for_room(self) -> None:
        room = self._room = asyncio.get_running_loop().create_future()
        try:
            await room
        finally:
            self._room = None

    # --- what the child does

    def when_input(self, call: Callable[[], None]) -> None:
        """Call back once there is more to read, or the end."""
        self._waiting.append(call)

    def read_line(self) -> bytes | None:
        """Take a line with its newline, the rest at the end, b"" behind it; None when there is no whole one yet."""
        place = self._unread.find(b"\n") + 1
        if place == 0 and not self._at_end and len(self._unread) < _CAPACITY:
            return None
        line = bytes(self._unread[: place or None])
        del self._unread[: len(line)]
        if not line and self._terminal:
            self._at_end = self.closed  # typed once, it is read once
        self._make_room()
        return line

    def break_off(self) -> None:
        """Read no more, ever."""
        self.broken = True
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        _call_soon(waiting)


def _call_soon(waiting: list[Callable[[], None]]) -> None:
    """Call back, but not from within: as with real pipes, who has read or written goes on first."""
    for call in waiting:
        asyncio.get_running_loop().call_soon(call)
