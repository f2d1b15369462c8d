"""The output of one run: both its streams, from the pipes of its child to whoever takes the lines.

When a run begins and ends is said by others; what the lines of a Service are for never lives here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._aio.timers import resolve
from aioverseer._engine.output.line_queue import LineQueue
from aioverseer._engine.output.pump import LineList, LineSink, Pump
from aioverseer._system.protocols import Child, ReadStream
from aioverseer.core.clock import Clock
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import LineSplitter

__all__ = ["OutputStreams"]


class OutputStreams:
    """Standard output and standard error of one run.

    Attributes:
        stdout: The queue of its lines, when ``streaming``; else None.
        stderr: The same for standard error; None also where that comes with standard output.
        captured: Whether what the program writes is to come to us.
        left: The ended child whose pipes are still held by what it has left behind, and listened to.
    """

    def __init__(self, spec: Spec, *, clock: Clock, listeners: Sequence[Callable[[str], LineSink | None]]) -> None:
        """Make the queues; nothing is read before ``begin``.

        Args:
            spec: Says what is kept and streamed.
            clock: Whose seconds ``drain_timeout`` counts.
            listeners: Each gives an outlet for a stream by its name, or None.
        """
        self._spec = spec
        self._clock = clock
        self._listeners = listeners
        self._kept_stdout: LineList | None = None
        self._kept_stderr: LineList | None = None
        self.stdout: LineQueue[Any] | None = None
        self.stderr: LineQueue[Any] | None = None
        if spec.buffered or spec.streaming:
            self._make_outlets(merged=spec.merge_stderr or spec.pty)
        # A terminal is always read: a program on one that nobody reads would wait in its first write.
        self.captured = spec.output == "read" and (spec.buffered or spec.streaming or spec.pty or bool(listeners))
        self._pumps: list[Pump] = []
        self._drained: asyncio.Future[None] | None = None
        self.left: Child | None = None

    def _make_outlets(self, *, merged: bool) -> None:
        spec = self._spec
        if spec.buffered:
            self._kept_stdout = LineList()
            self._kept_stderr = None if merged else LineList()
        if spec.streaming:
            self.stdout = LineQueue(spec.queue_size)
            self.stderr = None if merged else LineQueue(spec.queue_size)

    def kept_lines(self) -> tuple[list[Any] | None, list[Any] | None]:
        """Return the lines so far, when buffered; else None."""
        stdout, stderr = self._kept_stdout, self._kept_stderr
        return None if stdout is None else list(stdout.lines), None if stderr is None else list(stderr.lines)

    def begin(self, child: Child) -> None:
        """Read: the program has been started."""
        if not self.captured:
            return
        for stream, source, kept, queue in (
            ("stdout", child.stdout, self._kept_stdout, self.stdout),
            ("stderr", child.stderr, self._kept_stderr, self.stderr),
        ):
            if source is not None:
                self._pumps.append(self._pump(stream, source, kept, queue))
        for pump in self._pumps:
            pump.start()

    def _pump(self, stream: str, source: ReadStream, kept: LineList | None, queue: LineQueue[Any] | None) -> Pump:
        outlets: list[LineSink] = [outlet for outlet in (kept, queue) if outlet is not None]
        outlets += [outlet for listener in self._listeners if (outlet := listener(stream)) is not None]
        return Pump(source, self._splitter, outlets, on_end=self._on_pump_end)

    def _splitter(self) -> LineSplitter:
        spec = self._spec
        return LineSplitter(encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit)

    async def drain(self, *, patient: bool) -> None:
        """Deliver what the program wrote before its end; wait a little for whoever still holds its pipe, if patient.

        What is kept may hold it as long as it likes: that is not waited for.
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

    def end(self, child: Child, *, listen: bool) -> None:
        """Take over the pipes and descriptors of the program, which has ended.

        Args:
            child: It.
            listen: Whether what it has left behind is listened to as long as it holds a pipe.
        """
        self.left = child
        if not listen or all(pump.ended for pump in self._pumps):
            self.release()

    def _on_pump_end(self) -> None:
        if not all(pump.ended for pump in self._pumps):
            return
        if self._drained is not None:
            resolve(self._drained)
        if self.left is not None:
            self.release()

    def release(self) -> None:
        """Let go of the pipes and descriptors of the ended program. Idempotent."""
        for pump in self._pumps:
            if not pump.ended:
                pump.close()
        if self.left is not None:
            self.left.close()
            self.left = None

    def end_queues(self) -> None:
        """End the queues of a run that never had a program; otherwise the pumps have done it, or are about to."""
        if self.captured and self.left is None:
            for queue in (self.stdout, self.stderr):
                if queue is not None:
                    queue.end()
