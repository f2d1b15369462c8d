"""Output lines: the queue that delivers them, the pump that fills it, and a Service's fan-out to subscribers.

Lines go through here in batches, as they came from the pipe. Nothing in here touches a descriptor or starts a task,
and nothing knows of states: ``process.py`` connects a pump to each pipe, ``service.py`` owns a hub.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal, Protocol, Self, TypeVar
from weakref import WeakSet, finalize

from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.lines import ContinuedBytes, ContinuedLine, Dropped, Line, LineSplitter
from aioverseer.system.seam import Source

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):  # the name that asyncio gives it from 3.13 on
        """The queue is at its end: everything was delivered, and nothing more comes."""


__all__ = [
    "TAIL_BYTES",
    "TAIL_LINES",
    "Hub",
    "LineList",
    "LineQueue",
    "Overflow",
    "Pump",
    "QueueShutDown",
    "Subscription",
]

TAIL_LINES = 200
"""Last lines that a Service remembers: what errors and failing tests show."""
TAIL_BYTES = 64 * 1024
"""Bytes, or characters of text, that these lines may have together; the last line is kept whatever its size."""

_LAST_BYTES = 128 * 1024
"""Bytes that are still read without regard to a slow reader once a program has ended: what it left behind is being
killed, and may fill its pipe once more before the end of the pipe comes."""

Overflow = Literal["drop_oldest", "drop_newest", "block", "error"]
"""What becomes of lines that a subscriber has no room for."""

_OVERFLOWS = ("drop_oldest", "drop_newest", "block", "error")

T = TypeVar("T")


class Outlet(Protocol):
    """Where a pump puts its batches."""

    on_room: Callable[[], None] | None
    """Called when it is no longer blocked."""

    @property
    def blocked(self) -> bool:
        """Whether the pipe is to be left alone until there is room."""
        ...

    def deliver(self, batch: Sequence[Any]) -> None:
        """Take a batch, whatever its size; the list is shared and must not be kept."""
        ...

    def end(self) -> None:
        """Take note that nothing more comes."""
        ...


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
        while not self._queue:
            await self._wait_for_line()
        return self.get_nowait()

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
        if self._blocked and len(queue) <= self.maxsize // 2:
            self._make_room()
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
            self._make_room()
        return batch

    def __aiter__(self) -> Self:
        """Iterate over the lines as they come."""
        return self

    async def __anext__(self) -> T:
        """Return the next line, or stop at the end."""
        try:
            while not self._queue:
                await self._wait_for_line()
            return self.get_nowait()
        except QueueShutDown:
            raise StopAsyncIteration from None

    def deliver(self, batch: Sequence[T]) -> None:
        """Take a batch, whatever its size, and wake those who wait for lines."""
        before = len(self._queue)
        self._queue.extend(batch)
        self._settle(before)
        if 0 < self.maxsize <= len(self._queue):
            self._blocked = True

    def end(self) -> None:
        """Take note that nothing more comes; what is there is still delivered."""
        self.shutdown()

    def shutdown(self, immediate: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of asyncio.Queue
        """End the queue, as ``asyncio.Queue.shutdown`` does from Python 3.13 on.

        Args:
            immediate: Whether what is still there is thrown away.
        """
        self._shut = True
        if immediate:
            before = len(self._queue)
            self._queue.clear()
            self._settle(before)
        if self._blocked:
            self._make_room()
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
        self._getters.clear()

    async def _wait_for_line(self) -> None:
        if self._shut:
            raise self._at_end()
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except BaseException:
            if getter.done() and not getter.cancelled() and self._queue:
                # It was woken for a line that it does not take any more: the next one takes it.
                self._wake(1)
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
            self._wake(len(self._queue))

    def _wake(self, most: int) -> None:
        while most > 0 and self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                most -= 1

    def _make_room(self) -> None:
        self._blocked = False
        if self.on_room is not None:
            self.on_room()

    # asyncio's own names, which typeshed leaves out of the public class.
    _getters: deque[asyncio.Future[None]]
    _unfinished_tasks: int
    _finished: asyncio.Event


class LineList:
    """Keeps all lines of a stream, for ``buffered`` output."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self.lines: list[Any] = []

    @property
    def blocked(self) -> bool:
        """Never: it grows."""
        return False

    def deliver(self, batch: Sequence[Any]) -> None:
        """Keep them."""
        self.lines.extend(batch)

    def end(self) -> None:
        """Nothing to do."""


class Pump:
    """Moves one pipe's lines to its outlets, and leaves the pipe alone while one of them is blocked."""

    def __init__(
        self,
        source: Source,
        splitter: LineSplitter,
        outlets: Sequence[Outlet],
        *,
        on_end: Callable[[], None],
    ) -> None:
        """Connect a pipe; nothing is read before ``start``.

        Args:
            source: The pipe.
            splitter: Makes lines of bytes; used by this pump alone.
            outlets: Who gets the lines.
            on_end: Called once, when the pipe has ended and everything was delivered.
        """
        self.ended = False
        self._source = source
        self._splitter = splitter
        self._outlets = outlets
        self._on_end = on_end
        self._spare = 0
        for outlet in outlets:
            outlet.on_room = self._room

    def start(self) -> None:
        """Begin to read."""
        self._source.attach(self._data, self._end)

    def drain(self) -> None:
        """Deliver what the pipe holds now, whether anybody is blocked or not, and look out for its end."""
        self._source.drain()
        if not self.ended:
            self._spare = _LAST_BYTES
            self._source.resume()

    def close(self) -> None:
        """Let go of the pipe, and deliver the line that was begun."""
        self._source.close()
        self._end()

    def _data(self, chunk: bytes) -> None:
        self._spare -= len(chunk)
        batch = self._splitter.feed(chunk)
        for outlet in self._outlets if batch else ():
            outlet.deliver(batch)
        if self._spare <= 0 and any(outlet.blocked for outlet in self._outlets):
            self._source.pause()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        batch = self._splitter.finish()
        for outlet in self._outlets:
            if batch:
                outlet.deliver(batch)
            outlet.end()
        self._on_end()

    def _room(self) -> None:
        if not self.ended and not any(outlet.blocked for outlet in self._outlets):
            self._source.resume()


class Subscription(LineQueue[Line | Dropped]):
    """One subscriber's lines of a Service, or of all services of an Overseer.

    Attributes:
        stream: ``"stdout"``, ``"stderr"``, or None for both.
        dropped: Lines that this subscriber has lost so far; each loss is also a ``Dropped`` in its place.
    """

    def __init__(self, *, stream: str | None, size: int, overflow: Overflow, ids: frozenset[str] | None = None) -> None:
        if stream not in (None, "stdout", "stderr"):
            raise SpecError(
                f'stream={stream!r} is unknown: pass "stdout", "stderr" or None',
                option="stream",
                value=stream,
            )
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise SpecError(f"size={size!r} is no number of lines, 1 or more", option="size", value=size)
        if overflow not in _OVERFLOWS:
            raise SpecError(
                f"overflow={overflow!r} is unknown: there are {', '.join(_OVERFLOWS)}",
                option="overflow",
                value=overflow,
            )
        super().__init__(size)
        self.stream = stream
        self.dropped = 0
        self._overflow = overflow
        self._ids = ids
        self._closed = False
        self._failure: Exception | None = None

    @property
    def lossless(self) -> bool:
        """Whether it slows the program rather than lose a line."""
        return self._overflow == "block"

    def close(self) -> None:
        """Take no more lines and end; what is there is thrown away. Idempotent."""
        self._closed = True
        self.shutdown(immediate=True)

    def takes(self, id: str, stream: str) -> bool:
        """Whether lines of this service and stream are for this subscriber."""
        return (
            not self._closed
            and (self.stream is None or self.stream == stream)
            and (self._ids is None or id in self._ids)
        )

    def reopen(self) -> None:
        """Take lines again: the service has been started anew."""
        if not self._closed:
            self._shut = False

    def deliver(self, batch: Sequence[Line | Dropped]) -> None:
        """Take what there is room for; what becomes of the rest is said by ``overflow``."""
        if len(self._queue) + len(batch) <= self.maxsize or self._overflow == "block":
            super().deliver(batch)
            self._blocked = self._blocked and self._overflow == "block"
            return
        before = len(self._queue)
        match self._overflow:
            case "drop_oldest":
                self._drop_oldest(batch)
            case "drop_newest":
                self._drop_newest(batch)
            case _:
                self._fail(batch)
        self._settle(before)

    def _drop_oldest(self, batch: Sequence[Line | Dropped]) -> None:
        # The mark of what is lost stands first and takes no line's place.
        queue = self._queue
        first = queue[0] if queue else None
        known = 0
        if isinstance(first, Dropped):
            known = first.n
            queue.popleft()
        lost = max(0, len(queue) + len(batch) - self.maxsize)
        old = min(lost, len(queue))
        for _ in range(old):
            queue.popleft()
        queue.extend(batch[lost - old :])
        self.dropped += lost
        if known + lost:
            queue.appendleft(Dropped(known + lost))

    def _drop_newest(self, batch: Sequence[Line | Dropped]) -> None:
        queue = self._queue
        kept = batch[: max(0, self.maxsize - len(queue))]
        lost = len(batch) - len(kept)
        queue.extend(kept)
        self.dropped += lost
        last = queue[-1]
        if isinstance(last, Dropped):
            queue[-1] = Dropped(last.n + lost)
        else:
            queue.append(Dropped(lost))

    def _fail(self, batch: Sequence[Line | Dropped]) -> None:
        self._queue.extend(batch[: max(0, self.maxsize - len(self._queue))])
        self._failure = asyncio.QueueFull(
            f"this subscriber was more than {self.maxsize} lines behind: read faster, or choose another overflow rule"
        )
        self._closed = True
        self.shutdown()

    def _at_end(self) -> Exception:
        return self._failure or super()._at_end()


def release_when_forgotten(subscription: Subscription, room: Callable[[], None]) -> None:
    """Let the pipes be read again when a lossless subscriber is dropped without ``close()``."""
    if subscription.lossless:
        # The collector may run in any thread, and the event loop may be gone by then.
        finalize(subscription, _call_soon, asyncio.get_running_loop(), room).atexit = False


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


class Hub:
    """A Service's output: its last lines, and its subscribers.

    A subscriber that nobody holds any more is forgotten.
    """

    def __init__(self, id: str, *, clock: Clock, shared: WeakSet[Subscription]) -> None:
        """Make a hub without subscribers.

        Args:
            id: The service's id, for its lines.
            clock: Labels the lines.
            shared: Subscribers of the whole overseer; the overseer adds to it.
        """
        self._id = id
        self._clock = clock
        self._shared = shared
        self._own: WeakSet[Subscription] = WeakSet()
        self._tail: deque[Line] = deque()
        self._tail_bytes = 0
        self._inlets: dict[str, _Inlet] = {}

    def inlet(self, stream: str, run: int) -> Outlet:
        """Return the outlet for one pipe of one run."""
        inlet = self._inlets[stream] = _Inlet(self, stream, run)
        return inlet

    def begin(self) -> None:
        """Open the subscriptions: the service has been started."""
        for subscription in list(self._own):
            subscription.reopen()

    def end(self) -> None:
        """End the subscriptions of this service: it is in a final state."""
        for subscription in list(self._own):
            subscription.shutdown()

    def subscribe(
        self, *, stream: str | None, history: int, size: int, overflow: Overflow, ended: bool
    ) -> Subscription:
        """Add a subscriber, beginning with up to ``history`` remembered lines."""
        subscription = Subscription(stream=stream, size=size, overflow=overflow)
        subscription.on_room = self.room
        past = [line for line in self._tail if subscription.takes(self._id, line.stream)]
        if history > 0 and past:
            subscription.deliver(past[-history:])
        if ended:
            subscription.shutdown()
        self._own.add(subscription)
        release_when_forgotten(subscription, self.room)
        return subscription

    def tail(self, most: int) -> list[Line]:
        """Return the last lines from memory, oldest first."""
        return list(self._tail)[-most:] if most > 0 else []

    def publish(self, stream: str, run: int, batch: Sequence[str | bytes]) -> None:
        """Give a batch to the subscribers and the tail."""
        id, now = self._id, self._clock.wall()
        takers = [
            subscription
            for group in (self._own, self._shared)
            for subscription in group
            if subscription.takes(id, stream)
        ]
        # Without a subscriber only the lines that the tail can hold are worth making.
        texts = batch if takers else batch[-TAIL_LINES:]
        lines = [Line(id, stream, text, now, run, isinstance(text, ContinuedLine | ContinuedBytes)) for text in texts]
        self._remember(lines[-TAIL_LINES:])
        for subscription in takers:
            subscription.deliver(lines)

    def blocked(self, stream: str) -> bool:
        """Whether a lossless subscriber of this stream has no room."""
        return any(
            subscription.blocked and subscription.takes(self._id, stream)
            for group in (self._own, self._shared)
            for subscription in group
        )

    def room(self) -> None:
        """Let the pipes be read again for which nobody is blocked any more."""
        for inlet in self._inlets.values():
            if inlet.on_room is not None:
                inlet.on_room()

    def _remember(self, lines: Sequence[Line]) -> None:
        tail = self._tail
        for line in lines:
            tail.append(line)
            self._tail_bytes += len(line.text)
        while len(tail) > TAIL_LINES or (self._tail_bytes > TAIL_BYTES and len(tail) > 1):
            self._tail_bytes -= len(tail.popleft().text)


class _Inlet:
    """The outlet of one pipe's pump into a hub."""

    def __init__(self, hub: Hub, stream: str, run: int) -> None:
        self.on_room: Callable[[], None] | None = None
        self._hub = hub
        self._stream = stream
        self._run = run

    @property
    def blocked(self) -> bool:
        return self._hub.blocked(self._stream)

    def deliver(self, batch: Sequence[Any]) -> None:
        self._hub.publish(self._stream, self._run, batch)

    def end(self) -> None:
        """Nothing to do: the hub lives on across runs."""
