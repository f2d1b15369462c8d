"""Open files and kernel pipes as the input and output of scripted children, for pipelines and ``stdout=file``."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

from aioverseer.core.typing import HasDescriptor
from aioverseer.testing.pipes import CAPACITY, ChildInput

__all__ = ["DescriptorInput", "DescriptorOutput"]


class DescriptorInput(ChildInput):
    """Input from a copy of a descriptor. It never blocks: a read follows only when there is something to read."""

    def __init__(self, file: HasDescriptor) -> None:
        """Copy the descriptor.

        Args:
            file: The file, socket or end of a pipe.
        """
        super().__init__()
        self._descriptor = os.dup(file.fileno())
        self._loop: asyncio.AbstractEventLoop | None = None

    def read_line(self) -> bytes | None:
        """Take a line with its newline; see ``ChildInput.read_line``."""
        while b"\n" not in self._unread and len(self._unread) < CAPACITY and self._fill():
            pass
        return super().read_line()

    def read_some(self) -> bytes | None:
        """Take all bytes that are there; see ``ChildInput.read_some``."""
        if not self._unread:
            self._fill()
        return super().read_some()

    def when_input(self, call: Callable[[], None]) -> None:
        """Call back once there is more input, or its end."""
        super().when_input(call)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._descriptor, self._on_readable)

    def break_off(self) -> None:
        """Close the copy of the descriptor. Idempotent."""
        super().break_off()
        self._stop_watching()
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _fill(self) -> bool:
        """Read what is there; return whether there may be more."""
        if self._at_end or not _is_ready(self._descriptor, select.POLLIN):
            return False
        data = os.read(self._descriptor, CAPACITY)
        self._unread += data
        self._at_end = not data
        return bool(data)

    def _on_readable(self) -> None:
        self._stop_watching()
        self._notify_child()

    def _stop_watching(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._descriptor)
            self._loop = None


class DescriptorOutput:
    """Output to a copy of a descriptor. It never blocks: bytes that find no room wait in the child."""

    def __init__(self, file: HasDescriptor, on_broken: Callable[[], None]) -> None:
        """Copy the descriptor.

        Args:
            file: The file, socket or end of a pipe.
            on_broken: Called when bytes are written that nobody can read any more, as the kernel sends SIGPIPE.
        """
        self._descriptor = os.dup(file.fileno())
        self._on_broken = on_broken
        self._writers = 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Callable[[], None]] = []

    def feed(self, data: bytes) -> int:
        """Write as many bytes as there is room for, and return their number."""
        taken = 0
        while taken < len(data) and self._descriptor >= 0 and _is_ready(self._descriptor, select.POLLOUT):
            try:
                # A pipe with room takes this number of bytes without blocking; see poll(2).
                taken += os.write(self._descriptor, data[taken : taken + select.PIPE_BUF])
            except BrokenPipeError:
                self._on_broken()
                return len(data)
        return taken

    def when_room(self, call: Callable[[], None]) -> None:
        """Call back once there may be room again."""
        self._waiting.append(call)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_writer(self._descriptor, self._on_writable)

    def add_writer(self) -> None:
        """Add a process that holds the descriptor."""
        self._writers += 1

    def drop_writer(self) -> None:
        """Remove a process that held the descriptor. The copy is closed with the last one."""
        self._writers -= 1
        if self._writers <= 0:
            self.close()

    def close(self) -> None:
        """Close the copy of the descriptor. Idempotent."""
        self._stop_watching()
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _on_writable(self) -> None:
        self._stop_watching()
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _stop_watching(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._descriptor)
            self._loop = None


def _is_ready(descriptor: int, event: int) -> bool:
    """Return whether a read or a write would not block; also when it would fail, or find the end."""
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(0))
