"""The hub: it passes the lines of a Service, across its runs, to subscribers, logs and the tail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._engine.output.lasting_queue import LastingQueue, call_when_forgotten
from aioverseer._engine.output.log_feed import LogFeed
from aioverseer._engine.output.log_sink import LogSink
from aioverseer._engine.output.pump import LineSink, report_error
from aioverseer._engine.output.subscription import Overflow, Subscribers, Subscription
from aioverseer._engine.output.tail import TAIL_LINES, Tail
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpecError
from aioverseer.core.options.framing import is_lines
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import Line, make_lines

__all__ = ["Hub"]


class Hub:
    """The output of a Service: its last lines, its subscribers and its logs.

    Subscribers are referenced weakly, so a subscription that the user drops disappears.
    """

    def __init__(self, id: str, *, clock: Clock, shared: Subscribers) -> None:
        """Create a hub without subscribers.

        Args:
            id: Id of the service.
            clock: Source of the time of each line.
            shared: Subscribers to the lines of all services.
        """
        self._id = id
        self._clock = clock
        self._shared = shared
        self._own = Subscribers()
        self._waiting: set[LastingQueue[Line]] = set()
        self._tail = Tail()
        self._next = 1
        self._sinks: set[HubSink] = set()
        self._ending = False
        self._end_reason = ""
        self._logs: Sequence[LogSink] = ()

    def sink(self, stream: str, run: int, spec: Spec) -> LineSink:
        """Return a new sink for one pipe of one run.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            run: Number of the run.
            spec: Options of the run.
        """
        sink = HubSink(self, stream, run, is_framed=not is_lines(spec.framing, stream))
        self._sinks.add(sink)
        return sink

    def log_feed(self, stream: str, run: int, spec: Spec) -> LogFeed:
        """Return a new feed that passes the bytes of one pipe of one run to the logs that keep them.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            run: Number of the run.
            spec: Options of the run.
        """
        return LogFeed(
            spec,
            is_wanted=lambda: any(log.is_raw and log.takes(self._id, stream) for log in self._logs),
            publish=lambda lines: self._log(make_lines(self._id, stream, lines, self._clock.wall(), run), is_raw=True),
        )

    def on_sink_end(self, sink: HubSink) -> None:
        """Remove a sink, because its pipe has ended."""
        self._sinks.discard(sink)
        if self._ending and not self._sinks:
            self._end()

    def log_to(self, logs: Sequence[LogSink]) -> None:
        """Set the logs for lines from now on."""
        self._logs = logs

    def begin(self) -> None:
        """Open the subscriptions, because the service was started."""
        self._ending = False
        for subscription in self._own.all():
            subscription.reopen()

    def end(self, why: str) -> None:
        """End subscriptions and logs of a service in a final state, as soon as no pipe is left.

        Args:
            why: Reason of the end, for the error of a subscriber.
        """
        self._ending = True
        self._end_reason = why
        if not self._sinks:
            self._end()

    def _end(self) -> None:
        for subscription in self._own.all():
            self._end_one(subscription)
        for log in self._logs:
            log.shutdown()

    def _end_one(self, subscription: Subscription) -> None:
        if not subscription.has_ended:
            subscription.end_reason = self._end_reason
        subscription.end()

    def subscribe(
        self, *, stream: str | None, history: int, size: int, overflow: Overflow, ended: bool
    ) -> Subscription:
        """Add a subscriber.

        Args:
            stream: ``"stdout"``, ``"stderr"``, or None for both.
            history: Number of remembered lines that it gets first.
            size: Number of lines that it holds.
            overflow: Treatment of lines that it has no room for.
            ended: Whether the service is in a final state.

        Raises:
            SpecError: If a value is invalid.
        """
        if not isinstance(history, int) or isinstance(history, bool) or history < 0:
            raise SpecError(f"history={history!r} is no number of lines, 0 or more", option="history", value=history)
        subscription = Subscription(stream=stream, size=size, overflow=overflow)
        subscription.label = f"the queue of {stream or 'the lines'} of {self._id!r}"
        subscription.on_room = self.resume_reading
        subscription.hold_while_waiting(self._waiting)
        if history > 0:
            past = [
                line for line in self._tail.items(self._id, TAIL_LINES) if subscription.takes(self._id, line.stream)
            ]
            if past:
                subscription.deliver(past[-history:])
        if ended and not self._sinks:
            self._end_one(subscription)
        self._own.add(subscription)
        if subscription.lossless:
            call_when_forgotten(subscription, self.resume_reading)
        return subscription

    def tail(self, most: int) -> list[Line]:
        """Return up to ``most`` of the last lines, oldest first."""
        return self._tail.lines(self._id, most)

    def publish(self, stream: str, run: int, batch: Sequence[str | bytes], *, is_framed: bool = False) -> None:
        """Pass a batch to subscribers, logs and the tail.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            run: Number of the run.
            batch: Texts of the lines.
            is_framed: Whether they are items of another framing than lines.
        """
        now = self._clock.wall()
        first = self._next
        self._next += len(batch)
        self._tail.remember(stream, run, now, batch, first, is_framed=is_framed)
        takers = [
            subscription
            for subscription in (*self._own.all(), *self._shared.all())
            if subscription.takes(self._id, stream)
        ]
        has_logs = bool(self._logs) and any(not log.is_raw and log.takes(self._id, stream) for log in self._logs)
        if takers or has_logs:
            count = len(batch)
            skipped = 0 if has_logs else min(subscription.surplus(count) for subscription in takers)
            lines = make_lines(self._id, stream, batch[skipped:] if skipped else batch, now, run, first + skipped)
            for subscription in takers:
                try:
                    subscription.deliver_last(lines, skipped)
                except Exception as error:  # noqa: BLE001  # reported below; it must not stop other readers
                    subscription.fail(error)
                    report_error("a subscriber of a service's lines failed and gets no more", error)
            if has_logs:
                self._log(lines, is_raw=False)

    def _log(self, lines: Sequence[Line], *, is_raw: bool) -> None:
        for log in self._logs:
            if log.is_raw is not is_raw or not log.takes(self._id, lines[0].stream):
                continue
            try:
                log.deliver(lines)
            except Exception as error:  # noqa: BLE001  # reported below; it must not stop other readers
                self._logs = [other for other in self._logs if other is not log]
                report_error("a log of a service's lines failed and gets no more of this run", error)
                log.shutdown()

    def blocked(self, stream: str) -> bool:
        """Return whether a lossless subscriber of a stream, or a log, has no room."""
        for log in self._logs:
            if log.blocked and log.takes(self._id, stream):
                return True
        for group in (self._own, self._shared):
            for subscription in group.all():
                if subscription.blocked and subscription.takes(self._id, stream):
                    return True
        return False

    def resume_reading(self) -> None:
        """Resume the pipes that no subscriber or log blocks any more."""
        for sink in list(self._sinks):
            if sink.on_room is not None:
                sink.on_room()


class HubSink:
    """A ``LineSink`` that passes the lines of one pipe to the hub."""

    def __init__(self, hub: Hub, stream: str, run: int, *, is_framed: bool) -> None:
        self.on_room: Callable[[], None] | None = None
        self._hub = hub
        self._stream = stream
        self._run = run
        self._is_framed = is_framed

    @property
    def blocked(self) -> bool:
        """Whether a lossless subscriber or a log has no room."""
        return self._hub.blocked(self._stream)

    def deliver(self, batch: Sequence[Any]) -> None:
        """Pass a batch to the hub."""
        self._hub.publish(self._stream, self._run, batch, is_framed=self._is_framed)

    def end(self) -> None:
        """Remove this sink from the hub."""
        self._hub.on_sink_end(self)
