"""The output of one run: both streams, from the pipes of the child to the sinks of their lines."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aioverseer._aio.timers import OneShotTimer, resolve
from aioverseer._engine.output.last_items import LastItems
from aioverseer._engine.output.output_queue import OutputQueue
from aioverseer._engine.output.pump import ByteSink, LineList, LineSink, Pump
from aioverseer._engine.output.run_queue import RunQueue
from aioverseer._engine.output.tail import TAIL_LINES
from aioverseer._system.protocols import Child, ReadStream
from aioverseer.core.clock import Clock
from aioverseer.core.options.destinations import read_streams
from aioverseer.core.options.framing import framing_of, is_lines
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.framing import ItemDecoder, decoder_for, shown

__all__ = ["OutputStreams", "no_prompts"]

_PATIENCE = 1.0
"""Seconds in which the reader of a second stream may begin without a loss. Tasks for both often begin one by one."""

_log = logging.getLogger("aioverseer")


class PromptSearch(Protocol):
    """A search for prompts."""

    def look(self, unfinished: Callable[[], str | bytes | None]) -> None:
        """Look at the line that has no end yet, after each chunk."""
        ...


def no_prompts(stream: str) -> None:
    """Return None: no prompt is looked for."""


class OutputStreams:
    """Standard output and standard error of one run.

    The run of a service has queues that begin with their first reading; see ``RunQueue``. A lone Process has those that
    its options name.

    Attributes:
        captured: Whether the program's output comes through pipes.
        ended_child: The child after its end, as long as survivors hold its pipes and these are read; else None.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        clock: Clock,
        listeners: Sequence[Callable[[str], LineSink | None]],
        byte_sink: Callable[[str], ByteSink] | None = None,
        of_service: bool = False,
        watch_prompts: Callable[[str], PromptSearch | None] = no_prompts,
        end_error: Callable[[str], Awaitable[Exception]] | None = None,
    ) -> None:
        """Create the queues. Nothing is read before ``begin``.

        Args:
            spec: Spec with the options for output.
            clock: Clock of ``drain_timeout``.
            listeners: Functions that return a sink for the stream of a name, or None.
            byte_sink: Factory of a consumer of the bytes of a stream; None for none.
            of_service: Whether the run is one of a service, whose hub remembers the last lines. Otherwise they are
                remembered here, unless all lines are kept.
            watch_prompts: Function that returns what looks for prompts in the stream of a name, or None.
            end_error: Function that returns the error of a wait for output that never came; see ``OutputQueue``.
        """
        self._spec = spec
        self._clock = clock
        self._listeners = listeners
        self._byte_sink = byte_sink
        self._watch_prompts = watch_prompts
        self._end_error = end_error
        self._kept_stdout: LineList | None = None
        self._kept_stderr: LineList | None = None
        self._stdout: OutputQueue[Any] | None = None
        self._stderr: OutputQueue[Any] | None = None
        self._of_service = of_service
        self._run_ended = False
        self._added: list[tuple[str, LineSink]] = []
        self._end_reason = ""
        self._patience: dict[str, OneShotTimer] = {}
        self._warned_of: set[str] = set()
        # A terminal is always read, or the program would block in its first write.
        self._read = read_streams(spec)
        self.captured = bool(self._read and (spec.buffered or spec.streaming or spec.pty or listeners))
        self._last = None if of_service or spec.buffered or not self.captured else LastItems()
        self._pumps: list[Pump] = []
        if spec.buffered or spec.streaming:
            self._make_sinks()
        self._drained: asyncio.Future[None] | None = None
        self.ended_child: Child | None = None

    def _make_sinks(self) -> None:
        spec = self._spec
        if spec.buffered:
            self._kept_stdout = LineList() if "stdout" in self._read else None
            self._kept_stderr = LineList() if "stderr" in self._read else None
        if not spec.streaming:
            return
        if self._of_service:
            for queue in (self._run_queue("stdout"), self._run_queue("stderr")):
                if queue is not None and spec.streaming in (True, queue.stream):
                    queue.keep_all()
            return
        wanted = self._read if spec.streaming is True else self._read & {spec.streaming}
        self._stdout = self._queue("stdout") if "stdout" in wanted else None
        self._stderr = self._queue("stderr") if "stderr" in wanted else None

    @property
    def stdout(self) -> OutputQueue[Any] | None:
        """Queue of the lines of standard output; None for a lone Process that does not stream it."""
        return self._run_queue("stdout") if self._of_service else self._stdout

    @property
    def stderr(self) -> OutputQueue[Any] | None:
        """Queue of the lines of standard error; None also when that is merged into standard output."""
        return self._run_queue("stderr") if self._of_service else self._stderr

    def keep_for_reader(self) -> None:
        """Keep all of standard output, and the last lines of standard error: the run of a service has a reader."""
        for queue in (self._run_queue("stdout"), self._run_queue("stderr")):
            if queue is not None and queue.stream == "stdout":
                queue.keep_all()
            elif queue is not None:
                queue.keep_recent()

    def relax(self) -> None:
        """Hold the program up no longer for a stream that no one has begun to read: the reader of the runs has left."""
        if self._spec.streaming is True:
            return
        for queue in (self._stdout, self._stderr):
            if isinstance(queue, RunQueue) and queue.stream != self._spec.streaming:
                queue.relax()

    @property
    def waiting_bytes(self) -> int:
        """Bytes, or characters, of the items that wait for a reader, and what these objects cost, about."""
        return sum(queue.waiting_bytes for queue in (self._stdout, self._stderr) if isinstance(queue, RunQueue))

    def add_sink(self, stream: str, sink: LineSink) -> None:
        """Add a receiver of the lines of a stream, from now on. One for a stream that has ended, ends at once."""
        if not self._pumps:
            self._added.append((stream, sink))
            return
        pump = self._reading(stream)
        if pump is None:
            sink.end()
        else:
            pump.add(sink)

    def remove_sink(self, stream: str, sink: LineSink) -> None:
        """Remove a receiver, without its end. Idempotent."""
        self._added = [(name, other) for name, other in self._added if other is not sink]
        pump = self._reading(stream)
        if pump is not None:
            pump.remove(sink)

    def _reading(self, stream: str) -> Pump | None:
        """Return the pump of a stream, unless it has ended."""
        return next((pump for pump in self._pumps if pump.stream == stream and not pump.ended), None)

    def _run_queue(self, stream: str) -> RunQueue[Any] | None:
        """Return the queue of a stream of a service's run, made on its first use; None without such a stream."""
        known = self._stdout if stream == "stdout" else self._stderr
        if isinstance(known, RunQueue):
            return known
        if not self.captured or stream not in self._read:
            return None
        queue: RunQueue[Any] = RunQueue(self._spec, stream, clock=self._clock, end_error=self._end_error)
        queue.end_reason = self._end_reason
        if stream == "stdout":
            self._stdout = queue
        else:
            self._stderr = queue
        pump = self._reading(stream)
        if pump is not None:
            queue.begin_pipe()
            pump.add(queue)
            queue.connect(pump)
        elif self._pumps:
            queue.end()
        if self._run_ended:
            queue.end_run()
        return queue

    def _queue(self, stream: str) -> OutputQueue[Any]:
        return OutputQueue(self._spec, stream, clock=self._clock, end_error=self._end_error)

    def kept_lines(self) -> tuple[list[Any] | None, list[Any] | None]:
        """Return the lines so far of both streams; None when not buffered."""
        stdout, stderr = self._kept_stdout, self._kept_stderr
        return None if stdout is None else list(stdout.lines), None if stderr is None else list(stderr.lines)

    def last_lines(self) -> list[Any]:
        """Return the last lines, for an error message: of standard error, or else of standard output, if buffered."""
        if self._last is not None:
            return self._last.lines()
        stdout, stderr = self._kept_stdout, self._kept_stderr
        if stderr is not None and stderr.lines:
            return self._for_people("stderr", stderr.lines)
        return [] if stdout is None else self._for_people("stdout", stdout.lines)

    def _for_people(self, stream: str, kept: list[Any]) -> list[Any]:
        return kept if is_lines(self._spec.framing, stream) else [shown(item) for item in kept[-TAIL_LINES:]]

    @property
    def held_up(self) -> list[str]:
        """Names of the streams that are not read because a lossless reader, or a log, has no room."""
        return [pump.stream for pump in self._pumps if pump.is_held_up]

    def begin(self, child: Child) -> None:
        """Begin to read, after the spawn."""
        if not self.captured:
            return
        for stream, source, kept, queue in (
            ("stdout", child.stdout, self._kept_stdout, self._stdout),
            ("stderr", child.stderr, self._kept_stderr, self._stderr),
        ):
            if source is not None:
                if isinstance(queue, RunQueue):
                    queue.begin_pipe()
                self._pumps.append(self._pump(stream, source, kept, queue))
        stdout, stderr = self._stdout, self._stderr
        if stdout is not None and stderr is not None:
            stderr.on_full = stdout.on_reader = functools.partial(self._give_way_if_unread, stderr, stdout)
            stdout.on_full = stderr.on_reader = functools.partial(self._give_way_if_unread, stdout, stderr)
        self._added.clear()
        for pump in self._pumps:
            pump.start()

    def _pump(self, stream: str, source: ReadStream, kept: LineList | None, queue: OutputQueue[Any] | None) -> Pump:
        sinks: list[LineSink] = [sink for sink in (kept, queue) if sink is not None]
        if self._last is not None:
            sinks.append(self._last.sink(is_framed=not is_lines(self._spec.framing, stream)))
        sinks += [sink for listener in self._listeners if (sink := listener(stream)) is not None]
        sinks += [sink for name, sink in self._added if name == stream]
        byte_sink = None if self._byte_sink is None else self._byte_sink(stream)
        decoder = functools.partial(self._decoder, stream)
        pump = Pump(source, decoder, sinks, stream=stream, byte_sink=byte_sink, on_end=self._on_pump_end)
        if queue is not None:
            queue.connect(pump)
        if (prompts := self._watch_prompts(stream)) is not None:
            pump.watch(functools.partial(prompts.look, pump.unfinished))
        return pump

    def _give_way_if_unread(self, queue: OutputQueue[Any], other: OutputQueue[Any]) -> None:
        """Let a full queue drop items where somebody reads the other stream, and nobody has read this one for a second.

        Else a host that waits for an answer on one stream would wait for ever, as the program waits in the other one.
        """
        if not queue.blocked or not queue.is_untouched or other.is_untouched:
            return
        timer = self._patience.get(queue.stream)
        if timer is None:
            timer = self._patience[queue.stream] = OneShotTimer(self._clock)
            timer.arm(self._clock.now() + _PATIENCE, functools.partial(self._give_way_if_unread, queue, other))
        if timer.is_armed:
            return
        if queue.stream not in self._warned_of:
            self._warned_of.add(queue.stream)
            _log.warning(
                "%s: nobody reads its %s, and that queue is full: older items are dropped; read both streams, or pass "
                'streaming="%s"',
                self._spec.id,
                queue.stream,
                other.stream,
            )
        queue.give_way()

    def _decoder(self, stream: str) -> ItemDecoder:
        spec = self._spec
        return decoder_for(
            framing_of(spec.framing, stream), encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit
        )

    @property
    def has_ended_queue(self) -> bool:
        """Whether the program has closed a stream that is delivered through a queue."""
        return any(queue is not None and queue.has_ended for queue in (self._stdout, self._stderr))

    def read_at_once(self, stream: str) -> None:
        """Deliver what the pipe of a stream has now, without the event loop."""
        for pump in self._pumps:
            if pump.stream == stream:
                pump.read_at_once()

    async def drain(self, *, patient: bool) -> None:
        """Deliver the output that the program wrote before its end.

        Args:
            patient: Whether to wait up to ``drain_timeout`` for survivors that still hold a pipe. Kept leftovers are
                not waited for, because they may hold it forever.
        """
        for pump in self._pumps:
            pump.drain()
        if not patient or self._spec.leftovers != "kill" or all(pump.ended for pump in self._pumps):
            return
        drained = self._drained = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now() + self._spec.drain_timeout, lambda: resolve(drained))
        try:
            await drained
        finally:
            timer.cancel()

    def end(self, child: Child, *, read_on: bool) -> None:
        """Take over the pipes and descriptors of an ended child.

        Args:
            child: The child.
            read_on: Whether to read on while survivors hold a pipe.
        """
        self.ended_child = child
        if not read_on or all(pump.ended for pump in self._pumps):
            self.release()

    def _on_pump_end(self) -> None:
        if not all(pump.ended for pump in self._pumps):
            return
        if self._drained is not None:
            resolve(self._drained)
        if self.ended_child is not None:
            self.release()

    def release(self) -> None:
        """Close the pipes and descriptors of the ended child. Idempotent."""
        for timer in self._patience.values():
            timer.cancel()
        for pump in self._pumps:
            if not pump.ended:
                pump.close()
        if self.ended_child is not None:
            self.ended_child.close()
            self.ended_child = None

    def end_queues(self, why: str) -> None:
        """End the queues that no pump ends: those of a run without a child, and those of the run of a service.

        Args:
            why: Reason of the end of the run, for the error of a reader.
        """
        self._run_ended = True
        self._end_reason = why
        self._added.clear()  # of a run without a child
        for queue in (self._stdout, self._stderr):
            if queue is not None and not queue.end_reason:
                queue.end_reason = why
            if isinstance(queue, RunQueue):
                queue.end_run()
            elif queue is not None and self.captured and self.ended_child is None:
                queue.end()
