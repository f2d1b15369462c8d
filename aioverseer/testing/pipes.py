"""Pipes of scripted children: without descriptors, but with the capacity and the blocking of real pipes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["CAPACITY", "ChildInput", "ScriptedReadStream", "ScriptedWriteStream"]

CAPACITY = 64 * 1024
"""Default capacity of a pipe in Linux, in bytes; see pipe(7)."""


class ScriptedReadStream:
    """The end of a pipe that the host reads; implements ``aioverseer.abc.ReadStream``."""

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

    # --- for the host

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Begin to read.

        Args:
            on_data: Called with each chunk.
            on_end: Called once, at the end of the pipe.
            blocked: Asked before each chunk; True pauses the flow until ``resume``.
        """
        self._on_data, self._on_end, self._blocked = on_data, on_end, blocked
        self._flow()

    def resume(self) -> None:
        """Continue after a pause."""
        self._flow()

    def drain(self) -> None:
        """Deliver the contents of the pipe, even during a pause."""
        self._flow(drained=True)

    def close(self) -> None:
        """Discard the contents and deliver nothing more. Idempotent."""
        self._on_data = self._on_end = None
        self._closed = True
        self._held.clear()
        self._size = 0
        self._notify_child()

    # --- for the child

    def feed(self, data: bytes) -> int:
        """Write as many bytes as there is room for, and return their number."""
        if self._closed:  # bytes are discarded; a real program would get SIGPIPE
            return len(data)
        taken = 0
        while taken < len(data) and (room := CAPACITY - self._size) > 0:
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
        """Add a process that holds the write end."""
        self._writers += 1

    def drop_writer(self) -> None:
        """Remove a process that held the write end. The pipe ends with the last one."""
        self._writers -= 1
        self._flow()

    def _flow(self, *, drained: bool = False) -> None:
        if self._flowing:  # called by on_data: the loop below continues by itself
            return
        self._flowing = True
        try:
            while self._held and self._on_data is not None and (drained or not self._blocked()):
                data = self._held.popleft()
                self._size -= len(data)
                self._notify_child()
                self._on_data(data)
        finally:
            self._flowing = False
        if self._writers == 0 and not self._held and self._on_end is not None:
            on_end = self._on_end
            self.close()
            on_end()

    def _notify_child(self) -> None:
        waiting, self._waiting = self._waiting, []
        _call_soon(waiting)


class ChildInput:
    """The standard input of a child, as the child reads it.

    Attributes:
        broken: Whether the child has closed it.
    """

    def __init__(self, *, terminal: bool = False) -> None:
        """Open the input.

        Args:
            terminal: Whether it is a terminal, where the end of file is a character and more input may follow.
        """
        self.closed = False
        self.broken = False
        self._terminal = terminal
        self._at_end = False
        self._unread = bytearray()
        self._waiting: list[Callable[[], None]] = []

    def when_input(self, call: Callable[[], None]) -> None:
        """Call back once there is more input, or its end."""
        self._waiting.append(call)

    def read_line(self) -> bytes | None:
        """Take a line with its newline.

        Returns:
            The line. At the end of the input, the rest without a newline, and then b"". None if no line is complete.
        """
        place = self._unread.find(b"\n") + 1
        if place == 0 and not self._at_end and len(self._unread) < CAPACITY:
            return None
        return self._take(place or len(self._unread))

    def read_some(self) -> bytes | None:
        """Take all bytes that are there; b"" at the end of the input, None if there are none yet."""
        if not self._unread and not self._at_end:
            return None
        return self._take(len(self._unread))

    def break_off(self) -> None:
        """Close the read end."""
        self.broken = True
        self._on_room()

    def _take(self, size: int) -> bytes:
        data = bytes(self._unread[:size])
        del self._unread[:size]
        if not data and self._terminal:
            self._at_end = self.closed  # an end of file that was typed is read once
        self._on_room()
        return data

    def _on_room(self) -> None:
        """Accept that there is room, or that nobody reads any more."""

    def _notify_child(self) -> None:
        waiting, self._waiting = self._waiting, []
        _call_soon(waiting)


class ScriptedWriteStream(ChildInput):
    """The end of a pipe that the host writes; implements ``aioverseer.abc.WriteStream``.

    Attributes:
        received: All bytes that were written to it.
        closed: Whether the host has closed it.
        broken: Whether the child has closed it.
    """

    def __init__(self, *, terminal: bool = False) -> None:
        """Open the pipe.

        Args:
            terminal: Whether it is a terminal, where the end of file is a character and more input may follow.
        """
        super().__init__(terminal=terminal)
        self.received = b""
        self._write_lock = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None

    # --- for the host

    async def write(self, data: bytes) -> None:
        """Write all bytes, waiting while the pipe is full.

        Raises:
            BrokenPipeError: If either side has closed the pipe.
        """
        async with self._write_lock:
            view = memoryview(data)
            while view:
                if self.closed or self.broken:
                    raise BrokenPipeError("the pipe is closed, or nobody reads it any more")
                if (room := CAPACITY - len(self._unread)) > 0:
                    self._at_end = False
                    self._unread += view[:room]
                    self.received += bytes(view[:room])
                    view = view[room:]
                    self._notify_child()
                else:
                    await self._wait_for_room()

    async def write_eof(self) -> None:
        """End the input after all writes that are under way."""
        async with self._write_lock:
            if self._terminal and not self.closed:
                self._at_end = True
                self._notify_child()
            else:
                self.close()

    def close(self) -> None:
        """Close the write end: the child reads the rest, then the end. Idempotent."""
        if not self.closed:
            self.closed = self._at_end = True
            self._on_room()
            self._notify_child()

    async def _wait_for_room(self) -> None:
        room = self._room = asyncio.get_running_loop().create_future()
        try:
            await room
        finally:
            self._room = None

    def _on_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _call_soon(waiting: list[Callable[[], None]]) -> None:
    """Call back in the next loop iteration: as with real pipes, the reader or writer itself continues first."""
    for call in waiting:
        asyncio.get_running_loop().call_soon(call)
