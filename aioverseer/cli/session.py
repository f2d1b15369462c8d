"""Session: supervise a set of services to their end, and show all that they write and what becomes of them.

What ``up`` and ``run`` have in common. Which services there are, and which exit code an end means, is their affair.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio

from aioverseer import (
    Dropped,
    Event,
    Line,
    LogFile,
    Overseer,
    QueueShutDown,
    Spec,
    State,
    Status,
    StopFailed,
    Subscription,
)
from aioverseer.cli.formatting import Screen, plural, sentence, summary
from aioverseer.cli.merged_output import OutputLane
from aioverseer.cli.stream_writer import StreamWriter

__all__ = ["Outcome", "supervise"]

_PATIENCE = 1.0
"""Seconds without progress after which the rest of the output is given up, once somebody wants us to end."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How it went.

    Attributes:
        statuses: The final Status of each service.
        code: The exit code, when it does not depend on the services: somebody has ended it all.
    """

    statuses: Mapping[str, Status] = field(default_factory=dict[str, Status])
    code: int | None = None


async def supervise(
    specs: Sequence[Spec],
    *,
    screen: Screen,
    out: StreamWriter,
    err: StreamWriter,
    log: LogFile | None = None,
    split: bool = False,
    terse: bool = False,
) -> Outcome:
    """Run services until all have ended and all is shown.

    Args:
        specs: The services.
        screen: How their lines look.
        out: Where their output goes.
        err: Where the news go.
        log: Where their output is kept, too.
        split: Whether their standard error goes to ours, and not to standard output.
        terse: Whether a good end goes without saying, and a bad one without a summary.
    """
    session = _Session(screen, out, err, log=log, split=split, terse=terse)
    return await session.run(specs)


class _Session:
    def __init__(
        self, screen: Screen, out: StreamWriter, err: StreamWriter, *, log: LogFile | None, split: bool, terse: bool
    ) -> None:
        self._screen = screen
        self._split = split
        self._terse = terse
        self._out = OutputLane(out, self._on_out_failure)
        self._err = OutputLane(err, lambda _error: None)
        self._overseer = Overseer(name="aioverseer", handle_signals=True, log=log)
        self._outcome = Outcome()
        self._logs: Subscription | None = None
        self._live: set[str] = set()
        self._told_stop = False
        self._wants_stop = anyio.Event()
        self._over = anyio.Event()
        self._shown = anyio.Event()

    async def run(self, specs: Sequence[Spec]) -> Outcome:
        for spec in specs:
            self._overseer.add(spec)
        async with anyio.create_task_group() as group:
            try:
                async with self._overseer as overseer, self._hangup():
                    self._logs = overseer.logs(overflow="block")
                    group.start_soon(self._show, self._logs, overseer.events())
                    await self._supervise(overseer)
            except StopFailed as error:
                self._outcome.code = 1
                self._err.put_now(_now(), self._screen.news(str(error)))
            if self._overseer.received_signal is not None:
                self._outcome.code = 128 + self._overseer.received_signal
            self._over.set()
            await self._wait_until_shown()
            group.cancel_scope.cancel()
        return self._outcome

    async def _supervise(self, overseer: Overseer) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_when_wanted)
            # Else the signal came before there was anything to stop.
            if overseer.received_signal is None:
                self._outcome.statuses = await overseer.supervise_all()
            group.cancel_scope.cancel()

    async def _stop_when_wanted(self) -> None:
        await self._wants_stop.wait()
        await self._overseer.stop_all()

    @asynccontextmanager
    async def _hangup(self) -> AsyncGenerator[None]:
        """Stop all when the terminal is closed: its signal would end us alone, and the services would live on."""
        if signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
            yield  # nohup: somebody wants us to go on
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._stop, 128 + signal.SIGHUP)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def _on_out_failure(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            self._stop(128 + signal.SIGPIPE)
        else:
            self._err.put_now(
                _now(), self._screen.news(f"standard output cannot be written: {error.strerror}; stopping all services")
            )
            self._stop(1)

    def _stop(self, code: int) -> None:
        if self._outcome.code is None:
            self._outcome.code = code
        if self._out.failure is not None and self._logs is not None:
            self._logs.close()
        self._wants_stop.set()

    # What is to be shown.

    async def _show(self, logs: Subscription, events: AsyncIterator[Event]) -> None:
        """Show lines and news until the overseer has been left and all is written."""
        async with anyio.create_task_group() as errors:
            errors.start_soon(self._err.run, self._out)
            async with anyio.create_task_group() as output:
                output.start_soon(self._out.run, self._err)
                async with anyio.create_task_group() as feeders:
                    feeders.start_soon(self._feed_lines, logs)
                    feeders.start_soon(self._feed_news, events)
                await self._over.wait()
                self._out.end()
            await self._tell_failures()
            self._err.end()
        self._shown.set()

    async def _tell_failures(self) -> None:
        if self._outcome.code is None and not self._terse:
            for status in self._outcome.statuses.values():
                if not status.ok:
                    await self._err.put(_now(), self._screen.news(summary(status)))

    async def _feed_lines(self, logs: Subscription) -> None:
        while True:
            try:
                batch = await logs.get_batch()
            except QueueShutDown:
                return
            # Lines that were read together go together.
            for (time, is_error), lines in itertools.groupby(_lines(batch), self._place):
                lane = self._err if is_error else self._out
                await lane.put(time, self._screen.lines(lines))

    def _place(self, line: Line) -> tuple[datetime, bool]:
        return line.time, self._split and line.stream == "stderr"

    async def _feed_news(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            if event.state in (State.STOPPING, State.INTERRUPT):
                await self._tell_stop(event)
            if event.state.is_live:
                self._live.add(event.id)
            else:
                self._live.discard(event.id)
            text = sentence(event, terse=self._terse)
            # Who closed our output does not want to hear of the consequences.
            if text is not None and self._out.failure is None:
                await self._err.put(event.time, self._screen.news(text))

    async def _tell_stop(self, event: Event) -> None:
        received = self._overseer.received_signal
        if received is None or self._told_stop:
            return
        self._told_stop = True
        services = plural(len(self._live), "service")
        if received is signal.SIGINT:
            text = f"stopping {services}; press Ctrl-C again to kill {'it' if len(self._live) == 1 else 'them'}"
        else:
            text = f"received {received.name}: stopping {services}; a second one kills"
        await self._err.put(event.time, self._screen.news(text))

    async def _wait_until_shown(self) -> None:
        """Wait until all is written; no longer than it goes on, once somebody wants us to end."""
        if self._outcome.code is None:
            await self._shown.wait()
        while not self._shown.is_set():
            # The news of our own end are no sign that somebody reads the output.
            lane = self._out if self._out.left else self._err
            written = lane.written
            with anyio.move_on_after(_PATIENCE):
                await self._shown.wait()
            if lane.written == written:
                break
        if self._out.left and self._out.failure is None:
            text = "nobody reads standard output: the rest of it is not shown"
            self._err.put_now(_now(), self._screen.news(text))
            with anyio.move_on_after(1):
                while self._err.left:
                    await self._err.changed()


def _lines(batch: Sequence[Line | Dropped]) -> list[Line]:
    return [item for item in batch if not isinstance(item, Dropped)]


def _now() -> datetime:
    return datetime.now(UTC)
