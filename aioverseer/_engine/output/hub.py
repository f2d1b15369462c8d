"""The hub: a Service's output, from the pipes of its runs to its subscribers and its memory of the last lines.

What a subscriber does with lines that it has no room for never lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._engine.output.log_sink import LogSink
from aioverseer._engine.output.pump import LineSink, tell
from aioverseer._engine.output.subscription import Overflow, Subscribers, Subscription, release_when_forgotten
from aioverseer._engine.output.tail import TAIL_LINES, Tail
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.text.lines import Line, make_lines

__all__ = ["Hub"]


class Hub:
    """A Service's output: its last lines, and its subscribers.

    A subscriber that nobody holds any more is forgotten.
    """

    def __init__(self, id: str, *, clock: Clock, shared: Subscribers) -> None:
        """Make a hub without subscribers.

        Args:
            id: The service's id, for its lines.
            clock: Labels the lines.
            shared: Subscribers of the whole overseer; the overseer adds to it.
        """
        self._id = id
        self._clock = clock
        self._shared = shared
        self._own = Subscribers()
        self._waiting: set[Subscription] = set()
        self._tail = Tail()
        self._inlets: set[_HubSink] = set()
        self._ending = False
        self._logs: Sequence[LogSink] = ()

    def inlet(self, stream: str, run: int) -> LineSink:
        """Return the outlet for one pipe of one run."""
        inlet = _HubSink(self, stream, run)
        self._inlets.add(inlet)
        return inlet

    def close_inlet(self, inlet: _HubSink) -> None:
        """Take note that a pipe has ended."""
        self._inlets.discard(inlet)
        if self._ending and not self._inlets:
            self.end()

    def log_to(self, logs: Sequence[LogSink]) -> None:
        """Give the lines from now on to these logs, and to no others."""
        self._logs = logs

    def begin(self) -> None:
        """Open the subscriptions: the service has been started."""
        self._ending = False
        for subscription in self._own.all():
            subscription.reopen()

    def end(self) -> None:
        """End the subscriptions and logs of this service, once no pipe is left: it is in a final state."""
        self._ending = True
        if self._inlets:
            return
        for subscription in self._own.all():
            subscription.end()
        for log in self._logs:
            log.shutdown()

    def subscribe(
        self, *, stream: str | None, history: int, size: int, overflow: Overflow, ended: bool
    ) -> Subscription:
        """Add a subscriber, beginning with up to ``history`` remembered lines.

        Raises:
            SpecError: For a value that cannot be.
        """
        if not isinstance(history, int) or isinstance(history, bool) or history < 0:
            raise SpecError(f"history={history!r} is no number of lines, 0 or more", option="history", value=history)
        subscription = Subscription(stream=stream, size=size, overflow=overflow)
        subscription.on_room = self.room
        subscription.hold_while_waiting(self._waiting)
        if history > 0:
            past = [line for line in self.tail(TAIL_LINES) if subscription.takes(self._id, line.stream)]
            if past:
                subscription.deliver(past[-history:])
        if ended and not self._inlets:
            subscription.end()
        self._own.add(subscription)
        release_when_forgotten(subscription, self.room)
        return subscription

    def tail(self, most: int) -> list[Line]:
        """Return the last lines from memory, oldest first."""
        return self._tail.lines(self._id, most)

    def publish(self, stream: str, run: int, batch: Sequence[str | bytes]) -> None:
        """Give a batch to the subscribers and the tail."""
        now = self._clock.wall()
        self._tail.remember(stream, run, now, batch)
        takers = [
            subscription
            for group in (self._own, self._shared)
            for subscription in group.all()
            if subscription.takes(self._id, stream)
        ]
        logs = [log for log in self._logs if log.takes(self._id, stream)]
        if takers or logs:
            count = len(batch)
            skipped = 0 if logs else min(subscription.surplus(count) for subscription in takers)
            lines = make_lines(self._id, stream, batch[skipped:] if skipped else batch, now, run)
            for subscription in takers:
                try:
                    subscription.deliver_last(lines, skipped)
                except Exception as error:  # noqa: BLE001  # told below; its trouble is no other reader's
                    subscription.fail(error)
                    tell("a subscriber of a service's lines failed and gets no more", error)
            for log in logs:
                try:
                    log.deliver(lines)
                except Exception as error:  # noqa: BLE001  # told below; its trouble is no other reader's
                    self._logs = [other for other in self._logs if other is not log]
                    tell("a log of a service's lines failed and gets no more of this run", error)
                    log.shutdown()

    def blocked(self, stream: str) -> bool:
        """Whether a lossless subscriber of this stream, or a log, has no room."""
        for log in self._logs:
            if log.blocked and log.takes(self._id, stream):
                return True
        for group in (self._own, self._shared):
            for subscription in group.all():
                if subscription.blocked and subscription.takes(self._id, stream):
                    return True
        return False

    def room(self) -> None:
        """Let the pipes be read again for which nobody is blocked any more."""
        for inlet in list(self._inlets):
            if inlet.on_room is not None:
                inlet.on_room()


class _HubSink:
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
        self._hub.close_inlet(self)
