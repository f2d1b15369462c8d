"""A session: supervise services until all have ended, and show their output and events. Used by ``up`` and ``run``."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import anyio

from aioverseer import (
    CriticalServiceEnded,
    Event,
    Line,
    Overseer,
    ProcessNotRunning,
    QueueShutDown,
    Spec,
    State,
    Status,
    Stop,
    StopFailed,
    Subscription,
)
from aioverseer.cli.formatting import LineFormatter, describe, summary
from aioverseer.cli.log_records import log_records_shown
from aioverseer.cli.merged_output import MergedOutput
from aioverseer.cli.printing import plural
from aioverseer.cli.signals import CommandSignals
from aioverseer.cli.stream_writer import StreamWriter

__all__ = ["OneCommand", "Outcome", "supervise"]

_FOR_ONE_PROCESS = (signal.SIGUSR1, signal.SIGUSR2)

_PATIENCE = 1.0
"""Seconds without a write after which unwritten output is discarded, once a stop of the command was requested."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The result of a session.

    Attributes:
        statuses: The final Status of each service.
        code: The exit code if a signal or a failure ended the session; None if the services decide it.
    """

    statuses: Mapping[str, Status] = field(default_factory=dict[str, Status])
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCommand:
    """How a session stands for its one program, as if a shell had started the program itself.

    Attributes:
        hand_on: The seconds that the program has after a signal before it is killed; the signal that has come is handed
            on to it as it is. None stops it by the ladder of its Spec.
        shares_output: Whether the program writes to the streams of this process itself.
    """

    hand_on: float | None
    shares_output: bool


async def supervise(
    specs: Sequence[Spec],
    *,
    overseer: Overseer,
    formatter: LineFormatter,
    out: StreamWriter,
    err: StreamWriter,
    stand_in: OneCommand | None = None,
) -> Outcome:
    """Run services until all have ended and all output is shown.

    Args:
        specs: The services.
        overseer: The overseer that will run them, which has no services yet.
        formatter: The formatter of their lines and of messages.
        out: The stream for their output.
        err: The stream for messages.
        stand_in: How the session stands for its one program. Standard error of the program then goes to ``err``, and
            neither its good end nor a summary is shown. None for a set of services.
    """
    session = _Session(overseer, formatter, out, err, stand_in=stand_in)
    return await session.run(specs)


class _Session:
    def __init__(
        self,
        overseer: Overseer,
        formatter: LineFormatter,
        out: StreamWriter,
        err: StreamWriter,
        *,
        stand_in: OneCommand | None,
    ) -> None:
        self._formatter = formatter
        self._stand_in = stand_in
        self._out = MergedOutput(out, self._on_out_failure)
        self._err = MergedOutput(err, lambda _error: None)
        self._overseer = overseer
        self._received: signal.Signals | None = None
        self._outcome = Outcome()
        self._logs: Subscription | None = None
        self._live: set[str] = set()
        self._stop_announced = False
        self._stop_requested = anyio.Event()
        self._kill_requested = anyio.Event()
        self._overseer_ended = anyio.Event()
        self._shown = anyio.Event()

    async def run(self, specs: Sequence[Spec]) -> Outcome:
        for spec in specs:
            if spec.instances is None:
                self._overseer.add(spec)
            else:
                self._overseer.add_instances(spec)
        async with anyio.create_task_group() as group:
            relay = None if self._stand_in is None else self._relay
            try:
                with (
                    CommandSignals(stop=self._on_signal, kill=self._kill_requested.set, relay=relay),
                    log_records_shown(self._show_record),
                ):
                    async with self._overseer as overseer:
                        self._logs = overseer.logs(overflow="block")
                        group.start_soon(self._show, self._logs, overseer.events())
                        await self._supervise(overseer)
            except (CriticalServiceEnded, StopFailed) as error:
                # A signal that has come before has its own exit code.
                self._outcome.code = self._outcome.code or 1
                self._err.put_now(_now(), self._formatter.message(str(error)))
            self._overseer_ended.set()
            await self._wait_until_shown()
            group.cancel_scope.cancel()
        return self._outcome

    async def _supervise(self, overseer: Overseer) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_on_request)
            # A signal that came before the first start has nothing to stop, so nothing is started.
            if not self._stop_requested.is_set():
                self._outcome.statuses = await overseer.supervise_all()
            group.cancel_scope.cancel()

    async def _stop_on_request(self) -> None:
        await self._stop_requested.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(self._overseer.stop_all)
            await self._kill_requested.wait()
            await self._overseer.stop_all(kill=True)

    def _on_signal(self, number: signal.Signals) -> None:
        self._received = number
        if self._stand_in is not None and self._stand_in.hand_on is not None:
            for id in self._overseer:
                self._overseer.update(id, stop=Stop(number, self._stand_in.hand_on))
        self._stop(128 + number)

    def _relay(self, number: signal.Signals) -> None:
        # A terminal signals all programs in front; other senders mean one process.
        scope: Literal["tree", "leader"] = "leader" if number in _FOR_ONE_PROCESS else "tree"
        for id in self._overseer:
            with contextlib.suppress(ProcessNotRunning):
                self._overseer.signal(id, number, scope=scope)

    def _on_out_failure(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            self._stop(128 + signal.SIGPIPE)
        else:
            text = f"standard output cannot be written: {error.strerror}; stopping all services"
            self._err.put_now(_now(), self._formatter.message(text))
            self._stop(1)

    def _stop(self, code: int) -> None:
        if self._outcome.code is None:
            self._outcome.code = code
        if self._out.failure is not None and self._logs is not None:
            self._logs.close()
        self._stop_requested.set()

    def _show_record(self, text: str) -> None:
        self._err.put_now(_now(), self._formatter.message(text))

    # Output.

    async def _show(self, logs: Subscription, events: AsyncIterator[Event]) -> None:
        """Show lines and events until the overseer has ended and everything is written."""
        async with anyio.create_task_group() as errors:
            errors.start_soon(self._err.run, self._out)
            async with anyio.create_task_group() as output:
                output.start_soon(self._out.run, self._err)
                async with anyio.create_task_group() as feeders:
                    feeders.start_soon(self._feed_lines, logs)
                    feeders.start_soon(self._feed_events, events)
                await self._overseer_ended.wait()
                self._out.end()
            await self._report_failures()
            self._err.end()
        self._shown.set()

    async def _report_failures(self) -> None:
        if self._outcome.code is None and self._stand_in is None:
            for status in self._outcome.statuses.values():
                if not status.ok:
                    await self._err.put(_now(), self._formatter.message(summary(status)))

    async def _feed_lines(self, logs: Subscription) -> None:
        told = 0
        while True:
            try:
                batch = await logs.get_batch()
            except QueueShutDown:
                await self._report_missed(_now(), logs.missed - told)
                return
            # Lines of one read have the same time, and are written as one item.
            for (time, is_error, missed), lines in itertools.groupby(batch, self._time_and_stream):
                await self._report_missed(time, missed)
                told += missed
                output = self._err if is_error else self._out
                await output.put(time, self._formatter.lines(lines))

    async def _report_missed(self, time: datetime, missed: int) -> None:
        if missed and self._out.failure is None:
            text = f"{plural(missed, 'line')} dropped: programs ended faster than their output could be shown"
            await self._err.put(time, self._formatter.message(text))

    def _time_and_stream(self, line: Line) -> tuple[datetime, bool, int]:
        return line.time, self._stand_in is not None and line.stream == "stderr", line.missed

    async def _feed_events(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            if event.state in (State.STOPPING, State.INTERRUPT):
                await self._announce_stop(event)
            if event.state.is_live:
                self._live.add(event.id)
            else:
                self._live.discard(event.id)
            text = describe(event, terse=self._stand_in is not None)
            # Once the reader has closed our standard output, as `| head` does, everything stops without messages.
            if text is not None and self._out.failure is None and not self._has_lost_reader(event):
                await self._err.put(event.time, self._formatter.message(text))

    def _has_lost_reader(self, event: Event) -> bool:
        """Return whether a program that writes to our standard output has failed as the output has no reader.

        Nothing is restarted then.
        """
        if self._stand_in is None or not self._stand_in.shares_output:
            return False
        failed = event.state is State.BACKOFF or (event.state.is_final and not event.status.ok)
        lost = failed and self._received is None and not self._out.writer.has_reader()
        if lost:
            self._stop(128 + signal.SIGPIPE)
        return lost or self._outcome.code == 128 + signal.SIGPIPE

    async def _announce_stop(self, event: Event) -> None:
        received = self._received
        if received is None or self._stop_announced:
            return
        self._stop_announced = True
        services = plural(len(self._live), "service")
        if received is signal.SIGINT:
            text = f"stopping {services}; press Ctrl-C again to kill {'it' if len(self._live) == 1 else 'them'}"
        else:
            text = f"received {received.name}: stopping {services}; a second one kills"
        await self._err.put(event.time, self._formatter.message(text))

    async def _wait_until_shown(self) -> None:
        """Wait until everything is written. After a request to stop, wait only as long as writes go on."""
        if self._outcome.code is None:
            await self._shown.wait()
        while not self._shown.is_set():
            # Messages on standard error do not show that standard output has a reader, so standard output goes first.
            output = self._out if self._out.unwritten else self._err
            written = output.written
            with anyio.move_on_after(_PATIENCE):
                await self._shown.wait()
            if output.written == written:
                break
        if self._out.unwritten and self._out.failure is None:
            text = "nobody reads standard output: the rest of it is not shown"
            self._err.put_now(_now(), self._formatter.message(text))
            with anyio.move_on_after(1):
                while self._err.unwritten:
                    await self._err.changed()


def _now() -> datetime:
    return datetime.now(UTC)
