"""The output of one run: both streams, from the pipes of the child to the sinks of their lines."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._aio.timers import resolve
from aioverseer._engine.output.line_queue import LineQueue
from aioverseer._engine.output.pump import ByteSink, LineList, LineSink, Pump
from aioverseer._engine.output.tail import TAIL_LINES, Tail, TailSink
from aioverseer._system.protocols import Child, ReadStream
from aioverseer.core.clock import Clock
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import LineSplitter

__all__ = ["OutputStreams"]

_log = logging.getLogger("aioverseer")


class OutputStreams:
    """Standard output and standard error of one run.

    Attributes:
        stdout: Queue of the lines of standard output, when that is streamed; else None.
        stderr: Queue of the lines of standard error; None also when that is merged into standard output.
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
        keeps_tail: bool = False,
    ) -> None:
        """Create the queues. Nothing is read before ``begin``.

        Args:
            spec: Spec with the options for output.
            clock: Clock of ``drain_timeout``.
            listeners: Functions that return a sink for the stream of a name, or None.
            byte_sink: Factory of a consumer of the bytes of a stream; None for none.
            keeps_tail: Whether the last lines are remembered, unless all are kept.
        """
        self._spec = spec
        self._clock = clock
        self._listeners = listeners
        self._byte_sink = byte_sink
        self._kept_stdout: LineList | None = None
        self._kept_stderr: LineList | None = None
        self.stdout: LineQueue[Any] | None = None
        self.stderr: LineQueue[Any] | None = None
        if spec.buffered or spec.streaming:
            self._make_sinks(merged=spec.merge_stderr or spec.pty)
        # A terminal is always read, or the program would block in its first write.
        self.captured = spec.output == "read" and bool(spec.buffered or spec.streaming or spec.pty or listeners)
        self._tail = Tail() if keeps_tail and self.captured and not spec.buffered else None
        self._pumps: list[Pump] = []
        self._drained: asyncio.Future[None] | None = None
        self.ended_child: Child | None = None

    def _make_sinks(self, *, merged: bool) -> None:
        spec = self._spec
        if spec.buffered:
            self._kept_stdout = LineList()
            self._kept_stderr = None if merged else LineList()
        if spec.streaming:
            self.stdout = None if spec.streaming == "stderr" else LineQueue(spec.queue_size)
            self.stderr = None if merged or spec.streaming == "stdout" else LineQueue(spec.queue_size)

    def kept_lines(self) -> tuple[list[Any] | None, list[Any] | None]:
        """Return the lines so far of both streams; None when not buffered."""
        stdout, stderr = self._kept_stdout, self._kept_stderr
        return None if stdout is None else list(stdout.lines), None if stderr is None else list(stderr.lines)

    def last_lines(self) -> list[Any]:
        """Return the last lines, for an error message: of standard error, or else of standard output, if buffered."""
        if self._tail is not None:
            return [line.text for line in self._tail.lines("", TAIL_LINES)]
        stdout, stderr = self._kept_stdout, self._kept_stderr
        if stderr is not None and stderr.lines:
            return stderr.lines
        return [] if stdout is None else stdout.lines

    @property
    def held_up(self) -> list[str]:
        """Names of the streams that are not read because a lossless reader, or a log, has no room."""
        return [pump.stream for pump in self._pumps if pump.is_held_up]

    def begin(self, child: Child) -> None:
        """Begin to read, after the spawn."""
        if not self.captured:
            return
        for stream, source, kept, queue in (
            ("stdout", child.stdout, self._kept_stdout, self.stdout),
            ("stderr", child.stderr, self._kept_stderr, self.stderr),
        ):
            if source is not None:
                self._pumps.append(self._pump(stream, source, kept, queue))
        if self.stdout is not None and self.stderr is not None:
            self.stderr.on_full = functools.partial(self._warn_if_unread, "stderr", self.stderr, "stdout", self.stdout)
            self.stdout.on_full = functools.partial(self._warn_if_unread, "stdout", self.stdout, "stderr", self.stderr)
        for pump in self._pumps:
            pump.start()

    def _pump(self, stream: str, source: ReadStream, kept: LineList | None, queue: LineQueue[Any] | None) -> Pump:
        sinks: list[LineSink] = [sink for sink in (kept, queue) if sink is not None]
        if self._tail is not None:
            sinks.append(TailSink(self._tail, stream, self._clock.wall))
        sinks += [sink for listener in self._listeners if (sink := listener(stream)) is not None]
        byte_sink = None if self._byte_sink is None else self._byte_sink(stream)
        return Pump(source, self._splitter, sinks, stream=stream, byte_sink=byte_sink, on_end=self._on_pump_end)

    def _warn_if_unread(self, name: str, queue: LineQueue[Any], other: str, other_queue: LineQueue[Any]) -> None:
        """Log that a queue is full that nobody has read, although somebody reads the other one."""
        if queue.is_untouched and not other_queue.is_untouched:
            queue.on_full = None
            _log.warning(
                "%s: nobody reads its %s, and that queue is full: the program will wait in its next writes; "
                'read both streams, or pass streaming="%s"',
                self._spec.id,
                name,
                other,
            )

    def _splitter(self) -> LineSplitter:
        spec = self._spec
        return LineSplitter(encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit)

    @property
    def has_ended_queue(self) -> bool:
        """Whether the program has closed a stream that is delivered through a queue."""
        return any(queue is not None and queue.has_ended for queue in (self.stdout, self.stderr))

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
        for pump in self._pumps:
            if not pump.ended:
                pump.close()
        if self.ended_child is not None:
            self.ended_child.close()
            self.ended_child = None

    def end_queues(self) -> None:
        """End the queues of a run without a child. After a spawn the pumps end them."""
        if self.captured and self.ended_child is None:
            for queue in (self.stdout, self.stderr):
                if queue is not None:
                    queue.end()
