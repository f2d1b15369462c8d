"""The thread that writes the logs of one overseer, and the backlog of each log.

The event loop puts batches into a backlog and never blocks. The thread may block on a disk, a log handler or a lock.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from aioverseer._aio.timers import resolve
from aioverseer.core.text.lines import EXCESS_BYTES
from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["BACKLOG_BYTES", "Backlog", "LogWriter", "Target"]

BACKLOG_BYTES = 2 * 1024 * 1024
"""Bytes, or characters of text, that may wait for one log before its overflow rule applies. Each line counts with its
text and ``LINE_COST``."""

_WORK_AT_END = 5.0
"""Seconds for which compression may continue at the end, after everything is written, while the overseer waits."""

_TOO_SLOW = "they could not be written in time"


class Target(Protocol):
    """The destination of a backlog, used in the thread. No method raises because of a disk, a folder or a handler."""

    shows_ids: bool
    """Whether lines of text begin with the id of their service."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write one entry or more."""
        ...

    def reopen(self) -> None:
        """Close the file; the next line opens it by name again."""
        ...

    def close(self) -> None:
        """Close the file until there is another line."""
        ...

    def work(self) -> bool:
        """Do one piece of background work, such as compression; return whether there is more."""
        ...

    def stop_work(self) -> None:
        """Give up background work."""
        ...


class LogWriter:
    """A thread with a queue of jobs. Methods belong to the event loop, except where a comment says otherwise."""

    def __init__(
        self, name: str, *, on_lost: Callable[[str, int], None], on_trouble: Callable[[str, str], None]
    ) -> None:
        """Prepare a thread.

        Args:
            name: Name of the thread.
            on_lost: Called on the event loop with a service's id and the number of its lost lines.
            on_trouble: Called on the event loop with a service's id and a sentence about its log.
        """
        self._name = name
        self._on_lost = on_lost
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Target | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._targets: list[Target] = []
        self._busy: deque[Target] = deque()
        self._ended = False
        self._failed = False

    def start(self) -> bool:
        """Start the thread, if it does not run yet; return whether it accepts jobs."""
        if self._ended or self._thread is not None:
            return not self._ended
        # A daemon thread, so that a host which never leaves its overseer can still end.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the host may not start more threads
            if not self._failed:
                self._failed = True
                self._on_trouble("", f"the thread that writes logs cannot be started: {error}")
            return False
        self._thread = thread
        return True

    def submit(self, job: Callable[[], None], target: Target | None = None) -> None:
        """Run a job in the thread, after all earlier jobs. Does nothing while the thread does not run.

        Args:
            job: Function to call in the thread.
            target: Target that may have background work after the job.
        """
        if self._thread is not None and not self._ended:
            self._jobs.put((job, target))

    def add(self, target: Target) -> None:
        """Register a target, to be closed at the end."""
        self._targets.append(target)

    def drop(self, target: Target) -> None:
        """Close a target after all earlier jobs. It gets no more entries."""
        if target in self._targets:
            self._targets.remove(target)
            self.submit(target.stop_work)
            self.submit(target.close)

    def flushed(self) -> asyncio.Future[None]:
        """Return a future that is done when all earlier jobs are."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._thread is None:
            future.set_result(None)
        else:
            self.submit(lambda: self.call(resolve, future))
        return future

    def end(self) -> asyncio.Future[None]:
        """Write and close everything; the returned future is done when the thread is about to end.

        No job is accepted from now on.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self._thread is None:
            future.set_result(None)
        else:
            self.submit(self._close)
            self.submit(lambda: self.call(resolve, future))
            self._jobs.put(None)
        self._ended = True
        return future

    def join(self) -> None:
        """Wait for the thread to end, after the future of ``end`` is done."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def call(self, callback: Callable[..., None], *args: object) -> None:
        """Call a function on the event loop, from the thread. Does nothing when the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    # TroubleReport, called in the thread.

    def lost(self, lines: Counter[str]) -> None:
        """Report lost lines, counted by the id of their service."""
        for id, n in lines.items():
            self.call(self._on_lost, id, n)

    def publish(self, id: str, reason: str) -> None:
        """Report that trouble has begun or ended."""
        self.call(self._on_trouble, id, reason)

    # The thread itself.

    def _run(self) -> None:
        busy = self._busy
        while True:
            try:
                order = self._jobs.get(block=not busy)
            except queue.Empty:
                # One piece of background work, so that new lines wait no longer than that.
                idle = busy.popleft()
                if idle.work():
                    busy.append(idle)
                continue
            if order is None:
                return
            job, target = order
            job()
            if target is not None and target not in busy:
                busy.append(target)

    def _close(self) -> None:
        deadline = time.monotonic() + _WORK_AT_END
        for target in (*self._targets, *self._busy):
            while time.monotonic() < deadline and target.work():
                pass
            target.stop_work()
            target.close()
        self._busy.clear()


class Backlog:
    """Entries that wait to be written to one target. The event loop adds them, the thread takes them.

    Attributes:
        target: Their destination.
        on_room: Called on the event loop when the backlog is no longer blocked.
    """

    def __init__(self, target: Target, writer: LogWriter, *, blocks: bool) -> None:
        """Create an empty backlog.

        Args:
            target: Destination of the entries.
            writer: Thread that writes them.
            blocks: Whether a full backlog stops the reading of pipes; if not, it refuses entries.
        """
        self.target = target
        self.on_room: Callable[[], None] = _nothing
        self._writer = writer
        self._blocks = blocks
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._size = 0
        self._is_submitted = False
        self._full = False
        self._excess = 0
        writer.add(target)

    @property
    def blocked(self) -> bool:
        """Whether pipes must not be read until half of the backlog is written."""
        return self._blocks and self._full

    def add(self, entries: Sequence[Entry], size: int, *, force: bool = False) -> bool:
        """Add entries; return whether they were accepted.

        Args:
            entries: One entry or more.
            size: Their size, as ``BACKLOG_BYTES`` counts it.
            force: Whether a full backlog must accept them.
        """
        with self._lock:
            if (self._full and not force and not self._accepts_excess()) or not self._writer.start():
                return False
            if self._full:
                self._excess += size
            self._waiting += entries
            self._size += size
            self._full = self._size >= BACKLOG_BYTES
            submitted, self._is_submitted = self._is_submitted, True
        if not submitted:
            self._writer.submit(self._write, self.target)
        return True

    def _accepts_excess(self) -> bool:
        # A blocked backlog stops the reading of pipes, except the pipe of a program that has ended: that end must not
        # wait for a disk that may never answer. So a crash loop adds one pipe's content for each run, up to this bound.
        # The content of one pipe is always accepted, even if it alone exceeds the bound, as one full of newlines does.
        return self._blocks and self._excess < EXCESS_BYTES

    def gap(self, *, id: str, n: int, time: datetime) -> Gap:
        """Return the entry that stands for dropped lines.

        Args:
            id: Id of their service.
            n: Number of lines.
            time: Time of the last one.
        """
        return Gap(id=id, n=n, time=time, reason=_TOO_SLOW)

    def reopen(self) -> None:
        """Close the file; the next line opens it by name again."""
        self._writer.submit(self.target.reopen)

    def close(self) -> None:
        """Close the file until there is another line."""
        self._writer.submit(self.target.close)

    def drop(self) -> None:
        """Close the file for good."""
        self._writer.drop(self.target)

    def _write(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
            size, self._is_submitted = self._size, False
        try:
            self.target.write(entries)
        except BaseException as error:  # noqa: BLE001  # a bug of this library; the other logs go on
            self._writer.lost(Counter(entry.id for entry in entries if not isinstance(entry, Gap)))
            self._writer.publish(entries[0].id, f"its log has failed, a bug of aioverseer: {error!r}")
        with self._lock:
            self._size -= size
            room = self._full and self._size <= BACKLOG_BYTES // 2
            if room:
                self._full, self._excess = False, 0
        if room:
            self._writer.call(self.on_room)


def _nothing() -> None:
    """Do nothing: no pipe waits."""
