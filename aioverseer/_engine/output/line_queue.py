"""LineQueue: the queue of one reader, filled in batches.

Its contract is that of ``asyncio.Queue``, so this file alone uses private names of that class.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self, TypeVar

from aioverseer.core.export import exported_from

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    @exported_from("aioverseer")
    class QueueShutDown(Exception):  # named as asyncio's own, which exists from Python 3.13
        """The queue has ended: all lines were delivered, and none follows."""


__all__ = ["LineQueue", "QueueShutDown"]

T = TypeVar("T")


@exported_from("aioverseer")
class LineQueue(asyncio.Queue[T], AsyncIterator[T]):
    """An ``asyncio.Queue`` of lines that has an end.

    ``get``, ``get_nowait``, ``qsize``, ``empty``, ``full``, ``task_done`` and ``join`` work as in ``asyncio.Queue``.
    They do not use the event loop while lines are left. At the end, ``async for`` stops, and ``get`` and ``get_nowait``
    raise QueueShutDown.

    The queue always accepts a whole batch, so it may exceed ``maxsize`` by one chunk of the pipe. While it is full, the
    pipe is not read until half of the queue is free. The program then blocks when it writes.

    Attributes:
        missed: Number of lines that the reader has lost so far; 0 for a queue that loses none.
    """

    missed = 0

    def __init__(self, maxsize: int = 0) -> None:
        """Create an empty queue.

        Args:
            maxsize: Number of lines at which the pipe is no longer read; 0 is no limit.
        """
        super().__init__(maxsize)
        self.label = "the queue"
        self.end_reason = ""
        self.on_room: Callable[[], None] | None = None
        self.on_full: Callable[[], None] | None = None
        self._delivered: int = 0
        self._had_waiter = False
        self._shut = False
        self._blocked = False
        self._low = maxsize // 2
        self._queue: deque[T]  # made by asyncio.Queue, whose documentation allows subclasses to use it

    @property
    def blocked(self) -> bool:
        """Whether the pipe is not read until half of the queue is free."""
        return self._blocked

    @property
    def is_untouched(self) -> bool:
        """Whether no reader has ever taken a delivered line, or waited for one."""
        return not self._had_waiter and len(self._queue) == self._delivered

    @property
    def has_ended(self) -> bool:
        """Whether no line follows those that are in the queue."""
        return self._shut

    @property
    def has_waiter(self) -> bool:
        """Whether a reader waits for a line."""
        return bool(self._getters)

    async def get(self) -> T:
        """Return the next line, waiting for one if needed. Safe to cancel: no line is lost.

        Raises:
            QueueShutDown: If the queue has ended and is empty.
        """
        queue = self._queue
        while not queue:
            await self._wait_for_line()
        item = queue.popleft()
        if self._blocked and len(queue) <= self._low:
            self._make_room(1)
        return item

    def get_nowait(self) -> T:
        """Return the next line.

        Raises:
            asyncio.QueueEmpty: If there is no line at the moment.
            QueueShutDown: If the queue has ended and is empty.
        """
        queue = self._queue
        if not queue:
            if self._shut:
                raise self._at_end()
            raise asyncio.QueueEmpty
        item = queue.popleft()
        if self._blocked and len(queue) <= self._low:
            self._make_room(1)
        return item

    async def get_batch(self) -> list[T]:
        """Return all waiting lines, at least one. Safe to cancel.

        Raises:
            QueueShutDown: If the queue has ended and is empty.
        """
        while not self._queue:
            await self._wait_for_line()
        return self._take_all()

    def __aiter__(self) -> Self:
        """Iterate over the lines as they arrive."""
        return self

    async def __anext__(self) -> T:
        """Return the next line, or stop at the end."""
        # Repeats get(): one more call for each line would be a large part of the cost.
        queue = self._queue
        while not queue:
            try:
                await self._wait_for_line()
            except QueueShutDown:
                raise StopAsyncIteration from None
        item = queue.popleft()
        if self._blocked and len(queue) <= self._low:
            self._make_room(1)
        return item

    async def put(self, item: T) -> None:
        """Add a line of your own, waiting while the queue is full. Safe to cancel: the line is not added then.

        Raises:
            QueueShutDown: If the queue has ended.
        """
        while self.full() and not self._shut:
            putter = self._get_loop().create_future()
            self._putters.append(putter)
            self._watch_room()
            try:
                await putter
            except BaseException:
                if putter in self._putters:
                    self._putters.remove(putter)
                elif not putter.cancelled() and not self.full():
                    # This waiter was woken for room that it does not use, so wake the next one.
                    _wake(self._putters, 1)
                raise
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Add a line of your own.

        Raises:
            asyncio.QueueFull: If there is no room.
            QueueShutDown: If the queue has ended.
        """
        if self._shut:
            raise self._at_end()
        if self.full():
            raise asyncio.QueueFull
        self._queue.append(item)
        self._settle(len(self._queue) - 1)

    def deliver(self, batch: Sequence[T]) -> None:
        """Add a batch of any size, and wake waiting readers. After the end the batch is discarded."""
        if self._shut:
            return
        before = len(self._queue)
        self._queue.extend(batch)
        self._delivered += len(batch)
        self._settle(before)
        if 0 < self.maxsize <= len(self._queue):
            self._blocked = True
            if self.on_full is not None:
                self.on_full()

    def end(self) -> None:
        """End the queue. Lines that are in it are still delivered."""
        self._finish(immediate=False)

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """End the queue, as ``asyncio.Queue.shutdown`` does from Python 3.13 on.

        Args:
            immediate: Whether to discard the lines that are still in it.
        """
        if not self._shut:
            self.end_reason = "it was shut down"
        self._finish(immediate=immediate)

    def _finish(self, *, immediate: bool) -> None:
        self._shut = True
        self.on_full = None  # it leads back to the queue
        if immediate:
            before = len(self._queue)
            self._queue.clear()
            self._settle(before)
        if self._blocked:
            self._make_room(0)  # all putters are woken below
        _wake(self._getters, len(self._getters))
        _wake(self._putters, len(self._putters))

    def _take_all(self) -> list[T]:
        """Take all lines without waiting; none if there is none."""
        batch = list(self._queue)
        self._queue.clear()
        if self._blocked:
            self._make_room(len(batch))
        return batch

    def _drop_oldest_surplus(self) -> int:
        """Drop the oldest lines beyond the size of the queue; return their number."""
        queue, before = self._queue, len(self._queue)
        while len(queue) > self.maxsize:
            queue.popleft()
        self._settle(before)
        dropped = before - len(queue)
        self._delivered -= dropped
        return dropped

    def put_back(self, items: Sequence[T]) -> None:
        """Put lines that were taken in front of the others, and wake readers that wait for them."""
        if items:
            self._queue.extendleft(reversed(items))
            if 0 < self.maxsize <= len(self._queue):
                self._blocked = True
            _wake(self._getters, len(items))

    async def _wait_for_line(self) -> None:
        if self._shut:
            raise self._at_end()
        self._had_waiter = True
        getter = self._get_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except BaseException:
            if getter.done() and not getter.cancelled() and self._queue:
                # This waiter was woken for a line that it does not take, so wake the next one.
                _wake(self._getters, 1)
            else:
                getter.cancel()
                if getter in self._getters:
                    self._getters.remove(getter)
            raise

    def _at_end(self) -> Exception:
        return QueueShutDown(f"{self.label} has ended{f': {self.end_reason}' if self.end_reason else ''}")

    def _settle(self, before: int) -> None:
        """Update the count of ``join`` after a change, and wake a getter for each new line."""
        change = len(self._queue) - before
        self._unfinished_tasks = max(0, self._unfinished_tasks + change)
        if self._unfinished_tasks:
            self._finished.clear()
        else:
            self._finished.set()
        if self._getters:
            # For new lines only: older lines already have a woken getter. A second one would find none and lose its
            # place.
            _wake(self._getters, change)

    def _watch_room(self) -> None:
        """Make the next reader call ``_make_room``, because a putter waits."""
        self._blocked = True
        self._low = self.maxsize - 1

    def _make_room(self, taken: int) -> None:
        self._blocked = False
        self._low = self.maxsize // 2
        if self._putters:
            # For new room only: older room was given to putters that were woken and may not have run yet.
            room = self.maxsize - len(self._queue)
            _wake(self._putters, room - max(0, room - taken))
            if self._putters:
                self._watch_room()
        if self.on_room is not None:
            self.on_room()

    # Private names of asyncio.Queue that typeshed leaves out.
    _getters: deque[asyncio.Future[None]]
    _putters: deque[asyncio.Future[None]]
    _unfinished_tasks: int
    _finished: asyncio.Event
    _get_loop: Callable[[], asyncio.AbstractEventLoop]


def _wake(waiters: deque[asyncio.Future[None]], most: int) -> None:
    while most > 0 and waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            most -= 1
