"""The hub: a Service's output, from the pipes of its runs to its subscribers and its memory of the last lines.

What a subscriber does with lines that it has no room for never lives here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from aioverseer.core.clock import Clock
from aioverseer.core.lines import ContinuedBytes, ContinuedLine, Line
from aioverseer.output.logs import LogSink
from aioverseer.output.pump import Outlet
from aioverseer.output.subscription import Overflow, Subscription, release_when_forgotten

__all__ = ["TAIL_BYTES", "TAIL_LINES", "Hub"]

TAIL_LINES = 200
"""Last lines that a Service remembers: what errors and failing tests show."""
TAIL_BYTES = 64 * 1024
"""Bytes, or characters of text, that these lines may have together; the last line is kept whatever its size."""


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
        self._logs: Sequence[LogSink] = ()

    def inlet(self, stream: str, run: int) -> Outlet:
        """Return the outlet for one pipe of one run."""
        inlet = self._inlets[stream] = _Inlet(self, stream, run)
        return inlet

    def log_to(self, logs: Sequence[LogSink]) -> None:
        """Give the lines from now on to these logs, and to no others."""
        self._logs = logs

    def begin(self) -> None:
        """Open the subscriptions: the service has been started."""
        for subscription in list(self._own):
            subscription.reopen()

    def end(self) -> None:
        """End the subscriptions of this service: it is in a final state."""
        for subscription in list(self._own):
            subscription.shutdown()
        for log in self._logs:
            log.shutdown()

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
        logs = [log for log in self._logs if log.takes(id, stream)]
        # Without a taker only the lines that the tail can hold are worth making.
        texts = batch if takers or logs else batch[-TAIL_LINES:]
        lines = [Line(id, stream, text, now, run, isinstance(text, ContinuedLine | ContinuedBytes)) for text in texts]
        self._remember(lines[-TAIL_LINES:])
        for subscription in takers:
            subscription.deliver(lines)
        for log in logs:
            log.deliver(lines)

    def blocked(self, stream: str) -> bool:
        """Whether a lossless subscriber of this stream, or a log, has no room."""
        if any(log.blocked and log.takes(self._id, stream) for log in self._logs):
            return True
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
