"""Our own ends of the pipes to a child, on the event loop.

Descriptors and readiness only: what the bytes mean is decided above. Nothing in here starts a task.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable

from aioverseer._aio.poller import ReaderWatch
from aioverseer._aio.timers import resolve

__all__ = ["CHUNK", "ReadPipe", "WritePipe"]

CHUNK = 64 * 1024
"""Bytes per read: what a Linux pipe holds by default. 256 KiB reads were 1.5 times slower, as malloc then maps
and unmaps memory for each."""

_F_GETPIPE_SZ = 1032


class ReadPipe:
    """The end that the host reads; owns its descriptor from the start."""

    def __init__(self, descriptor: int, *, hold: bool = False, watch: ReaderWatch | None = None) -> None:
        """Take over a descriptor.

        Args:
            descriptor: The read end of a pipe, or our end of a terminal.
            hold: Keep it open behind its end, until ``close``.
            watch: Who tells that it can be read; by default the event loop on which it is attached.
        """
        self._hold = hold
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._watch = watch
        self._on_data: Callable[[bytes], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._blocked: Callable[[], bool] | None = None
        self._reading = False

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Begin to read on the running event loop; see ``seam.Source``."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop()
        self._blocked = blocked
        self._on_data = on_data
        self._on_end = on_end
        self.resume()

    def _pause(self) -> None:
        if self._reading and self._watch is not None:
            self._watch.remove_reader(self._descriptor)
            self._reading = False

    def resume(self) -> None:
        """Read on."""
        if not self._reading and self._on_data is not None and self._watch is not None and self._descriptor >= 0:
            self._watch.add_reader(self._descriptor, self._on_readable)
            self._reading = True

    def fileno(self) -> int:
        """Return the descriptor; -1 once it was let go of."""
        return self._descriptor

    def drain(self) -> None:
        """Deliver at once what the pipe holds; see ``seam.Source``."""
        # What a program wrote before it ended is in the pipe by now, ahead of anything that a survivor adds.
        # One capacity is all that can be there, so a survivor that keeps writing cannot keep us here.
        if self._descriptor < 0:
            return
        # The one byte more makes it look once again behind a full pipe, where the end may be.
        left = self._capacity() + 1
        while left > 0:
            count = self._read()
            if count <= 0:
                return
            left -= count

    def close(self) -> None:
        """Let go of the pipe."""
        if self._descriptor >= 0:
            self._pause()
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        # Whoever reads holds this pipe, and is held by these: without such a ring both are freed at once.
        self._on_data = self._on_end = self._blocked = None

    def _on_readable(self) -> None:
        # Asked before the read and not behind it: while one of many pipes fills a reader's queue, the others have
        # been found readable in the same turn.
        if self._blocked is not None and self._blocked():
            self._pause()
        else:
            self._read()

    def _read(self) -> int:
        """Read one chunk and deliver it; return its size, 0 at the end, -1 when there is nothing now."""
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except (BlockingIOError, InterruptedError):
            return -1
        except OSError:
            # A pseudo-terminal says EIO where a pipe says end of file; nothing more can come from either.
            chunk = b""
        if chunk:
            if self._on_data is not None:
                self._on_data(chunk)
            return len(chunk)
        on_end = self._on_end
        if self._hold:
            self._pause()
        else:
            self.close()
        if on_end is not None:
            on_end()
        return 0

    def _capacity(self) -> int:
        try:
            return fcntl.fcntl(self._descriptor, _F_GETPIPE_SZ)
        except OSError:  # not Linux
            return CHUNK


class WritePipe:
    """The end that the host writes; owns its descriptor from the start."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor.

        Args:
            descriptor: The write end of a pipe.
        """
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        # Bytes of two writers must not mix, so the second waits until the first is through.
        self._turn = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while the pipe is full; see ``seam.Sink``.

        When it is cancelled, a part may have been written, as with any pipe.
        """
        async with self._turn:
            view = memoryview(data)
            while view:
                if self._descriptor < 0:
                    raise BrokenPipeError("the pipe is closed")
                try:
                    view = view[os.write(self._descriptor, view) :]
                except (BlockingIOError, InterruptedError):
                    await self._wait_for_room()

    async def write_eof(self) -> None:
        """Close it once all that is being written is through; see ``seam.Sink``."""
        async with self._turn:
            self.close()

    def close(self) -> None:
        """Let go of the pipe; a write that waits for room ends with BrokenPipeError."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if self._room is not None:
            self._room.get_loop().remove_writer(descriptor)
            if not self._room.done():
                self._room.set_result(None)
        os.close(descriptor)

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        room = self._room = loop.create_future()
        descriptor = self._descriptor
        loop.add_writer(descriptor, resolve, room)
        try:
            await room
        finally:
            self._room = None
            # After close() the number may belong to somebody else already; close() has removed the writer.
            if self._descriptor == descriptor:
                loop.remove_writer(descriptor)
