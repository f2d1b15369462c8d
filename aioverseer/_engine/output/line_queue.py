"""LineQueue: the queue of one reader, filled by the batch.

Who fills it, and what becomes of lines for which it has no room, never lives here.
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
    class QueueShutDown(Exception):  # the name that asyncio gives it from 3.13 on
        """The queue is at its end: everything was delivered, and nothing more comes."""


__all__ = ["LineQueue", "QueueShutDown"]

T = TypeVar("T")


@exported_from("aioverseer")
class LineQueue(asyncio.Queue[T], AsyncIterator[T]):
    """An ``asyncio.Queue`` that is filled by the batch and knows its end.

    ``get``, ``get_nowait``, ``qsize``, ``empty``, ``full``, ``task_done`` and ``join`` mean what they mean for
    ``asyncio.Queue``, and do not touch the event loop while lines are left. ``async for`` ends at the end;
    ``get`` and ``get_nowait`` raise QueueShutDown there.

    A batch is always taken whole, so the queue may exceed ``maxsize`` by one chunk of the pipe. While it is full the
    pipe is not read, until half of it is free: the program waits in its ``write``.
    """

    def __init__(self, maxsize: int = 0) -> None:
        """Make an empty queue.

        Args:
            maxsize: Lines that it holds before the pipe is left alone; 0 is no limit.
        """
        super().__init__(maxsize)
        self.on_room: Callable[[], None] | None = None
        self._shut = False
        self._blocked = False
        self._low = maxsize // 2
        self._queue: deque[T]  # made by asyncio.Queue; subclasses may use it (its own doc says so)

    @property
    def blocked(self) -> bool:
        """Whether the pipe is left alone until half of the queue is free."""
        return self._blocked

    async def get(self) -> T:
        """Return the next line, waiting for one. Safe to cancel: no line is lost then.

        Raises:
            QueueShutDown: At the end.
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
            asyncio.QueueEmpty: When there is none at the moment.
            QueueShutDown: At the end.
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
        """Return all lines that are there, waiting until there is at least one. Safe to cancel.

        Raises:
            QueueShutDown: At the end.
        """
        while not self._queue:
            await self._wait_for_line()
        batch = list(self._queue)
        self._queue.clear()
        if self._blocked:
            self._make_room(len(batch))
        return batch

    def __aiter__(self) -> Self:
        """Iterate over the lines as they come."""
        return self

    async def __anext__(self) -> T:
        """Return the next line, or stop at the end."""
        # The same as get(), written out: a call more for each line is a fifth of its time.
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
        """Add a line of one's own, waiting while the queue is full. Safe to cancel: it is not added then.

        Raises:
            QueueShutDown: Once the queue takes no more.
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
                    # It was woken for room that it does not take any more: the next one takes it.
                    _wake(self._putters, 1)
                raise
        self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Add a line of one's own.

        Raises:
            asyncio.QueueFull: When there is no room.
            QueueShutDown: Once the queue takes no more.
        """
        if self._shut:
            raise QueueShutDown
        if self.full():
            raise asyncio.QueueFull
        self._queue.append(item)
        self._settle(len(self._queue) - 1)

    def deliver(self, batch: Sequence[T]) -> None:
        """Take a batch, whatever its size, and wake those who wait for lines; after the end it is thrown away."""
        if self._shut:
            return
        before = len(self._queue)
        self._queue.extend(batch)
        self._settle(before)
        if 0 < self.maxsize <= len(self._queue):
            self._blocked = True

    def end(self) -> None:
        """Take note that nothing more comes; what is there is still delivered."""
        self._finish(immediate=False)

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """End the queue, as ``asyncio.Queue.shutdown`` does from Python 3.13 on.

        Args:
            immediate: Whether what is still there is thrown away.
        """
        self._finish(immediate=immediate)

    def _finish(self, *, immediate: bool) -> None:
        self._shut = True
        if immediate:
            before = len(self._queue)
            self._queue.clear()
            self._settle(before)
        if self._blocked:
            self._make_room(0)  # those who put are all woken below
        _wake(self._getters, len(self._getters))
        _wake(self._putters, len(self._putters))

    async def _wait_for_line(self) -> None:
        if self._shut:
            raise self._at_end()
        getter = self._get_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except BaseException:
            if getter.done() and not getter.cancelled() and self._queue:
                # It was woken for a line that it does not take any more: the next one takes it.
                _wake(self._getters, 1)
            else:
                getter.cancel()
                if getter in self._getters:
                    self._getters.remove(getter)
            raise

    def _at_end(self) -> Exception:
        return QueueShutDown()

    def _settle(self, before: int) -> None:
        """Count what came and went for ``join``, and wake as many getters as there are new lines."""
        change = len(self._queue) - before
        self._unfinished_tasks = max(0, self._unfinished_tasks + change)
        if self._unfinished_tasks:
            self._finished.clear()
        else:
            self._finished.set()
        if self._getters:
            # Not as many as there are lines: who is woken for a line that another was woken for loses its turn.
            _wake(self._getters, change)

    def _watch_room(self) -> None:
        """Have whoever takes the next line make room: somebody waits in ``put``."""
        self._blocked = True
        self._low = self.maxsize - 1

    def _make_room(self, taken: int) -> None:
        self._blocked = False
        self._low = self.maxsize // 2
        if self._putters:
            # For new room only: room that was there before has been given to others, who may not have run yet.
            room = self.maxsize - len(self._queue)
            _wake(self._putters, room - max(0, room - taken))
            if self._putters:
                self._watch_room()
        if self.on_room is not None:
            self.on_room()

    # asyncio's own names, which typeshed leaves out of the public class.
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
