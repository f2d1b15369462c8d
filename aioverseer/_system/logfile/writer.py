"""The thread that writes the logs of one overseer, and the backlog of each log.

The event loop hands batches over and never waits; whatever may wait for a disk, a handler or a lock happens in the
thread. What a file or a logger does with entries never lives here.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from aioverseer._aio.timers import resolve
from aioverseer.core.text.lines import EXCESS_BYTES
from aioverseer.core.text.log_format import Entry, Gap

__all__ = ["BACKLOG_BYTES", "Backlog", "LogWriter", "Target"]

BACKLOG_BYTES = 2 * 1024 * 1024
"""Bytes, or characters of text, that may wait for one log before its rule for overflow is followed; each line counts
for its text and ``LINE_COST``."""

_WORK_AT_END = 5.0
"""Seconds that compressing may go on once everything is written and the overseer waits for the end."""


class Target(Protocol):
    """What a backlog is written to, in the thread. Nothing of it raises for what happens outside of the program."""

    named: bool
    """Whether lines are to tell their service."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries, at least one."""
        ...

    def reopen(self) -> None:
        """Let go of the file, and open what bears its name for the next line."""
        ...

    def close(self) -> None:
        """Let go of the file until there is another line."""
        ...

    def work(self) -> bool:
        """Do a piece of what is not urgent; return whether there is more."""
        ...

    def stop_work(self) -> None:
        """Leave undone what is not urgent."""
        ...


class LogWriter:
    """A thread and its orders. Made on the event loop; every method but the thread's own belongs there."""

    def __init__(self, name: str, *, on_lost: Callable[[str, int], None], on_news: Callable[[str, str], None]) -> None:
        """Prepare a thread.

        Args:
            name: Of the thread.
            on_lost: Called on the event loop with a service's id and how many of its lines are lost.
            on_news: Called on the event loop with a service's id and what has happened to its log.
        """
        self._name = name
        self._on_lost = on_lost
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], Target | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._targets: list[Target] = []
        self._busy: deque[Target] = deque()
        self._ended = False
        self._failed = False

    def start(self) -> bool:
        """Start the thread, if it does not run yet; return whether orders are taken."""
        if self._ended or self._thread is not None:
            return not self._ended
        # A daemon: a host that never leaves its overseer must still be able to end.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the host may have no more threads
            if not self._failed:
                self._failed = True
                self._on_news("", f"the thread that writes logs cannot be started: {error}")
            return False
        self._thread = thread
        return True

    def order(self, work: Callable[[], None], target: Target | None = None) -> None:
        """Have something done in the thread, after all that was ordered before; nothing while it does not run.

        Args:
            work: What is to be done.
            target: What may have work that is not urgent after it.
        """
        if self._thread is not None and not self._ended:
            self._orders.put((work, target))

    def add(self, target: Target) -> None:
        """Take note of something that is closed at the end."""
        self._targets.append(target)

    def drop(self, target: Target) -> None:
        """Close something once what was ordered so far is done: it gets nothing more."""
        if target in self._targets:
            self._targets.remove(target)
            self.order(target.stop_work)
            self.order(target.close)

    def flushed(self) -> asyncio.Future[None]:
        """Return a future for the moment when all that was ordered so far is done."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._thread is None:
            future.set_result(None)
        else:
            self.order(lambda: self.call(resolve, future))
        return future

    def end(self) -> asyncio.Future[None]:
        """Have everything written and closed; the future is done when the thread is about to end.

        No order is taken after this one.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        if self._thread is None:
            future.set_result(None)
        else:
            self.order(self._close)
            self.order(lambda: self.call(resolve, future))
            self._orders.put(None)
        self._ended = True
        return future

    def join(self) -> None:
        """Wait for the thread, which is about to end."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def call(self, callback: Callable[..., None], *args: object) -> None:
        """Call something on the event loop, from the thread; a loop that is closed hears nothing any more."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    # The news of targets: see ``log_trouble.News``.

    def lost(self, lines: Counter[str]) -> None:
        """Count lines that are lost."""
        for id, n in lines.items():
            self.call(self._on_lost, id, n)

    def tell(self, id: str, reason: str) -> None:
        """Tell of a change."""
        self.call(self._on_news, id, reason)

    # In the thread.

    def _run(self) -> None:
        busy = self._busy
        while True:
            try:
                order = self._orders.get(block=not busy)
            except queue.Empty:
                # One piece for one of them, so that lines wait no longer than that takes.
                idle = busy.popleft()
                if idle.work():
                    busy.append(idle)
                continue
            if order is None:
                return
            work, target = order
            work()
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
    """What waits to be written to one target: filled on the event loop, emptied in the thread.

    Attributes:
        target: What it is written to.
        on_room: Called on the event loop when it is no longer blocked.
    """

    def __init__(self, target: Target, writer: LogWriter, *, blocks: bool) -> None:
        """Make an empty backlog.

        Args:
            target: What it is written to.
            writer: The thread.
            blocks: Whether to ask for no more when it is full, rather than to drop what comes.
        """
        self.target = target
        self.on_room: Callable[[], None] = _nothing
        self._writer = writer
        self._blocks = blocks
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._size = 0
        self._ordered = False
        self._full = False
        self._excess = 0
        writer.add(target)

    @property
    def blocked(self) -> bool:
        """Whether no more is wanted until half of it is written."""
        return self._blocks and self._full

    def add(self, entries: Sequence[Entry], size: int, *, force: bool = False) -> bool:
        """Take entries; return whether they were taken.

        Args:
            entries: At least one.
            size: What they count for.
            force: Whether to take them although it is full.
        """
        with self._lock:
            if (self._full and not force and not self._is_bearable()) or not self._writer.start():
                return False
            if self._full:
                self._excess += size
            self._waiting += entries
            self._size += size
            self._full = self._size >= BACKLOG_BYTES
            ordered, self._ordered = self._ordered, True
        if not ordered:
            self._writer.order(self._write, self.target)
        return True

    def _is_bearable(self) -> bool:
        # No pipe is read while it blocks, but that of a program which has ended is emptied: its end is not to wait for
        # a disk that may never answer. In a crash loop that is a pipe full for each run.
        # Whatever one run leaves is taken: a pipe of newlines alone counts for more than the bound.
        return self._blocks and self._excess < EXCESS_BYTES

    def reopen(self) -> None:
        """Have the file opened anew."""
        self._writer.order(self.target.reopen)

    def close(self) -> None:
        """Have the file closed until there is another line."""
        self._writer.order(self.target.close)

    def drop(self) -> None:
        """Have the file closed for good."""
        self._writer.drop(self.target)

    def _write(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
            size, self._ordered = self._size, False
        try:
            self.target.write(entries)
        except BaseException as error:  # noqa: BLE001  # a bug of ours, told as such: the other logs go on
            self._writer.lost(Counter(entry.id for entry in entries if not isinstance(entry, Gap)))
            self._writer.tell(entries[0].id, f"its log has failed, a bug of aioverseer: {error!r}")
        with self._lock:
            self._size -= size
            room = self._full and self._size <= BACKLOG_BYTES // 2
            if room:
                self._full, self._excess = False, 0
        if room:
            self._writer.call(self.on_room)


def _nothing() -> None:
    """Nobody waits for room."""
