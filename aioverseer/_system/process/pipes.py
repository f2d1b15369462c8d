"""The host's ends of the pipes to a child, read and written on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import time
from collections.abc import Callable
from weakref import WeakSet

from aioverseer._aio.fork import generation
from aioverseer._aio.poller import ReaderWatch
from aioverseer._aio.timers import resolve

__all__ = ["CHUNK", "PipeEnd", "ReadPipe", "WritePipe", "kernel_pipe"]

CHUNK = 64 * 1024
"""Bytes per read, the default capacity of a Linux pipe. Reads of 256 KiB are slower, as malloc then maps and unmaps
memory for each of them."""

_WITHOUT_LOOP = 0.001
"""Seconds in which a reader may read on without the event loop, whose other work must not notice."""
_F_GETPIPE_SZ = 1032
"""Command of fcntl(2) on Linux: return the capacity of a pipe."""


class PipeEnd:
    """One end of a pipe between two programs, which the host neither reads nor writes."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        self._descriptor = descriptor
        _of_programs.add(self)

    def fileno(self) -> int:
        """Return the descriptor.

        Raises:
            ValueError: If it has been closed.
        """
        if self._descriptor < 0:
            raise ValueError("the pipe is closed")
        return self._descriptor

    def separate(self) -> None:
        """Close the copy, in a fork of the host; see ``WritePipe.separate``."""
        _replace_by_null(self._descriptor)

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def kernel_pipe() -> tuple[PipeEnd, PipeEnd]:
    """Make a pipe, and return the end to read and the end to write."""
    read, write = os.pipe()
    return PipeEnd(read), PipeEnd(write)


class ReadPipe:
    """The end that the host reads. It owns its descriptor."""

    def __init__(
        self,
        descriptor: int,
        *,
        hold: bool = False,
        watch: ReaderWatch | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over a descriptor.

        Args:
            descriptor: The read end of a pipe, or the host's end of a terminal.
            hold: Whether the descriptor stays open after the end of the output, until ``close``.
            watch: Function that calls back when the pipe is readable; None is the event loop on which it is attached.
            now: Monotonic clock, in seconds.
        """
        self._hold = hold
        self._now = now
        self._looked_at = 0.0
        """Time at which the event loop has last found the pipe readable."""
        self._generation = generation()
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
        """Begin to read on the running event loop; see ``protocols.ReadStream``."""
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
        """Resume reading."""
        if not self._reading and self._on_data is not None and self._watch is not None and self._descriptor >= 0:
            self._watch.add_reader(self._descriptor, self._on_readable)
            self._reading = True

    def fileno(self) -> int:
        """Return the descriptor; -1 once it has been closed."""
        return self._descriptor

    def drain(self) -> None:
        """Deliver at once what the pipe holds; see ``protocols.ReadStream``."""
        # The output of an ended program is in the pipe by now, before anything that a survivor adds. A pipe holds no
        # more than its capacity, so the loop stops there: a survivor that keeps writing cannot prolong it.
        if self._descriptor < 0 or self._generation != generation():
            return
        # One byte more than the capacity: after a full pipe, one more read finds the end of the output.
        left = self._capacity() + 1
        while left > 0:
            count = self._read()
            if count <= 0:
                return
            left -= count

    def close(self) -> None:
        """Close the pipe."""
        if self._descriptor >= 0:
            self._pause()
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        # The callbacks belong to the reader, which holds this pipe. Dropping them breaks that reference cycle, so both
        # are freed at once and not by the garbage collector.
        self._on_data = self._on_end = self._blocked = None

    def _on_readable(self) -> None:
        # Checked before the read and not after it: several pipes that share a reader's queue become readable in one
        # iteration, and the first of them may fill the queue.
        if self._blocked is not None and self._blocked():
            self._pause()
        elif self._generation == generation():  # else the data belongs to the parent of this fork
            self._looked_at = self._now()
            self._read()

    def read_at_once(self) -> bool:
        """Deliver a chunk that is in the pipe already; return whether there was one.

        A reader that would wait for the event loop calls this. On one core the kernel often runs the program as soon as
        it is asked something, so its answer is there before the event loop has been used; this saves two iterations.
        A program that always has something to say must not keep the loop from its other work. So nothing is read here
        when the loop has not looked at this pipe for a millisecond. The end of the output is left to the loop, too.
        """
        if (
            not self._reading
            or self._now() > self._looked_at + _WITHOUT_LOOP
            or self._generation != generation()
            or (self._blocked is not None and self._blocked())
        ):
            return False
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except OSError:  # nothing to read, or the end of a terminal
            return False
        if not chunk or self._on_data is None:
            return False
        self._on_data(chunk)
        return True

    def _read(self) -> int:
        """Read and deliver one chunk; return its size, 0 at the end of the output, -1 when there is nothing to read."""
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except (BlockingIOError, InterruptedError):
            return -1
        except OSError:
            # A pseudo-terminal reports its end by EIO, where a pipe reports the end of file.
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
    """The end that the host writes. It owns its descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor.

        Args:
            descriptor: The write end of a pipe.
        """
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        _of_programs.add(self)
        # The second of two writers waits for the first, so that their bytes do not mix.
        self._lock = asyncio.Lock()
        self._writers = 0
        """Writers that hold the lock or wait for it. The lock is free for a moment between two of them."""
        self._writable: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Write all bytes, waiting while the pipe is full; see ``protocols.WriteStream``.

        After a cancellation a part of the bytes may have been written, as with any pipe.
        """
        view = memoryview(data)
        if not self._writers:
            view = self._write_some(view)
            if not view:
                return
        self._writers += 1
        try:
            async with self._lock:
                while view := self._write_some(view):
                    await self._wait_until_writable()
        finally:
            self._writers -= 1

    def write_at_once(self, data: bytes) -> bool:
        """Write all bytes if there is room for them now, and no write is pending; else write none, and return False.

        The kernel guarantees this up to PIPE_BUF (POSIX, write(2)); longer data is not tried.
        """
        return len(data) <= select.PIPE_BUF and not self._writers and not self._write_some(memoryview(data))

    def _write_some(self, view: memoryview) -> memoryview:
        """Write what there is room for; return the rest."""
        if self._descriptor < 0:
            raise BrokenPipeError("the pipe is closed")
        try:
            return view[os.write(self._descriptor, view) :]
        except (BlockingIOError, InterruptedError):
            return view

    async def write_eof(self) -> None:
        """Close the pipe after all pending writes; see ``protocols.WriteStream``."""
        self._writers += 1
        try:
            async with self._lock:
                self.close()
        finally:
            self._writers -= 1

    def separate(self) -> None:
        """Close the copy, in a fork of the host: the program must read the end of its input from the parent alone.

        The null device takes its number, as the copies of other objects may still use it.
        """
        _replace_by_null(self._descriptor)

    def close(self) -> None:
        """Close the pipe. A pending write raises BrokenPipeError."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        if self._writable is not None:
            self._writable.get_loop().remove_writer(descriptor)
            if not self._writable.done():
                self._writable.set_result(None)
        os.close(descriptor)

    async def _wait_until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable = self._writable = loop.create_future()
        descriptor = self._descriptor
        loop.add_writer(descriptor, resolve, writable)
        try:
            await writable
        finally:
            self._writable = None
            # ``close`` removes the writer itself: after it, the descriptor number may belong to another file.
            if self._descriptor == descriptor:
                loop.remove_writer(descriptor)


def _replace_by_null(descriptor: int) -> None:
    if descriptor >= 0:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, descriptor, inheritable=False)
        os.close(null)


def _separate_all() -> None:
    for pipe in list(_of_programs):
        with contextlib.suppress(OSError):  # no descriptors are left
            pipe.separate()


_of_programs: WeakSet[WritePipe | PipeEnd] = WeakSet()
"""The pipes whose end a program must notice although this process has forks."""
os.register_at_fork(after_in_child=_separate_all)
