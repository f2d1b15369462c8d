"""The pump: it reads one pipe, divides the bytes into lines or other items, and passes each batch to its sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aioverseer._system.protocols import ReadStream
from aioverseer.core.text.framing import ItemDecoder, unfinished_line
from aioverseer.core.text.unframed import UnframedSplitter

__all__ = ["ByteSink", "LineList", "LineSink", "Pump", "report_error"]

_LAST_BYTES = 128 * 1024
"""Bytes that are read after the end of a program even if a sink is blocked. Processes that it left are being killed,
and may fill the pipe once more before its end."""


class LineSink(Protocol):
    """Receiver of batches of lines."""

    on_room: Callable[[], None] | None
    """Called when the sink is no longer blocked."""

    @property
    def blocked(self) -> bool:
        """Whether the pipe must not be read until there is room."""
        ...

    def deliver(self, batch: Sequence[Any]) -> None:
        """Accept a batch of any size. Other sinks get the same list, so it must not be kept."""
        ...

    def end(self) -> None:
        """End the sink: no batch follows."""
        ...


class ByteSink(Protocol):
    """Receiver of the bytes of a pipe, before they are decoded. It raises nothing, and a ``LineSink`` blocks for it."""

    def feed(self, chunk: bytes) -> None:
        """Accept a chunk of any size."""
        ...

    def finish(self) -> None:
        """Accept the end of the pipe."""
        ...


def report_error(message: str, error: Exception) -> None:
    """Pass the error of a sink to the exception handler of the event loop."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})


class LineList:
    """A sink that keeps all lines of a stream, for ``buffered`` output."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self.lines: list[Any] = []

    @property
    def blocked(self) -> bool:
        """False: the list grows without limit."""
        return False

    def deliver(self, batch: Sequence[Any]) -> None:
        """Keep the lines of a batch."""
        self.lines.extend(batch)

    def end(self) -> None:
        """Do nothing."""


class Pump:
    """Passes the lines of one pipe to its sinks. It does not read the pipe while one of them is blocked.

    Attributes:
        stream: ``"stdout"`` or ``"stderr"``.
        ended: Whether the pipe has ended and all lines are delivered.
    """

    def __init__(
        self,
        source: ReadStream,
        decoder: Callable[[], ItemDecoder],
        sinks: Sequence[LineSink],
        *,
        stream: str = "stdout",
        byte_sink: ByteSink | None = None,
        on_end: Callable[[], None],
    ) -> None:
        """Connect a pipe. Nothing is read before ``start``.

        Args:
            source: The pipe.
            decoder: Factory of the decoder, called for the first bytes, as many programs write nothing.
            sinks: Receivers of the lines.
            stream: Name of the stream.
            byte_sink: Receiver of the bytes; None for none.
            on_end: Called once, when the pipe has ended and all lines are delivered.
        """
        self.stream = stream
        self.ended = False
        self._source = source
        # The stream of another launcher may not have it.
        self._read_at_once: Callable[[], bool] | None = getattr(source, "read_at_once", None)
        self._make_decoder = decoder
        self._decoder: ItemDecoder | None = None
        self._sinks = sinks
        self._byte_sink = byte_sink
        self._on_end = on_end
        self._watchers: list[Callable[[], None]] = []
        self._spare = 0
        for sink in sinks:
            sink.on_room = self._on_room

    @property
    def is_held_up(self) -> bool:
        """Whether the pipe is not read, because a sink has no room."""
        return not self.ended and self._is_blocked()

    def unfinished(self) -> str | bytes | None:
        """Return the line that has no end yet; None for none."""
        return None if self._decoder is None else unfinished_line(self._decoder)

    def read_at_once(self) -> bool:
        """Deliver what the pipe has now, without the event loop; return whether there was something."""
        return self._read_at_once is not None and self._read_at_once()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after each chunk, for readers of the unfinished line. The callback must not raise."""
        self._watchers.append(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Call back no more. Idempotent."""
        if callback in self._watchers:
            self._watchers.remove(callback)

    def start(self) -> None:
        """Begin to read."""
        self._source.attach(self._data, self._end, blocked=self._is_blocked)

    def add(self, sink: LineSink) -> None:
        """Add a receiver, of the lines from now on."""
        self._sinks = [*self._sinks, sink]
        sink.on_room = self._on_room

    def remove(self, sink: LineSink) -> None:
        """Remove a receiver that has never blocked, without its end. Idempotent."""
        self._sinks = [other for other in self._sinks if other is not sink]
        sink.on_room = None

    def drain(self) -> None:
        """Deliver the current content of the pipe even if a sink is blocked, and read on to its end."""
        self._source.drain()
        if not self.ended:
            self._spare = _LAST_BYTES
            self._source.resume()

    def close(self) -> None:
        """Close the pipe, and deliver an unfinished line."""
        self._source.close()
        self._end()

    def _data(self, chunk: bytes) -> None:
        self._spare -= len(chunk)
        if self._byte_sink is not None:
            self._byte_sink.feed(chunk)
        try:
            if self._decoder is None:
                self._decoder = self._make_decoder()
            batch = self._decoder.feed(chunk)
        except Exception as error:  # noqa: BLE001  # a framing of the user may raise anything
            batch = self._replace_decoder(error).feed(chunk)
        if batch:
            self._deliver(batch)
        if self._watchers:
            for watcher in list(self._watchers):
                watcher()

    def _replace_decoder(self, error: Exception) -> ItemDecoder:
        """Return the decoder that takes over from a framing of the user that has failed, so that no byte is lost."""
        report_error(f"the framing of {self.stream} failed, and the rest comes as UnframedBytes", error)
        self._decoder = UnframedSplitter()
        return self._decoder

    def _is_blocked(self) -> bool:
        if self._spare > 0:
            return False
        for sink in self._sinks:  # noqa: SIM110  # any() with a generator takes three times as long, for each chunk
            if sink.blocked:
                return True
        return False

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._byte_sink is not None:
            self._byte_sink.finish()
        if self._decoder is not None and (batch := self._last_batch(self._decoder)):
            self._deliver(batch)
        for sink in self._sinks:
            sink.on_room = None
            _end(sink)
        self._watchers = []
        # Drop the references that lead back to the Process: only the garbage collector frees a reference cycle.
        self._sinks, self._byte_sink, self._make_decoder, self._read_at_once = (), None, UnframedSplitter, None
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    def _last_batch(self, decoder: ItemDecoder) -> Sequence[Any]:
        try:
            return decoder.finish()
        except Exception as error:  # noqa: BLE001  # a framing of the user may raise anything
            return self._replace_decoder(error).finish()

    def _deliver(self, batch: Sequence[Any]) -> None:
        for sink in self._sinks:
            try:
                sink.deliver(batch)
            except Exception as error:  # noqa: BLE001  # reported below; it must stop neither the run nor other sinks
                self._sinks = [other for other in self._sinks if other is not sink]
                report_error("a sink of a program's lines failed and gets no more", error)
                _end(sink)

    def _on_room(self) -> None:
        if not self.ended and not self._is_blocked():
            self._source.resume()


def _end(sink: LineSink) -> None:
    try:
        sink.end()
    except Exception as error:  # noqa: BLE001  # reported here; it must stop neither the run nor other sinks
        report_error("a sink of a program's lines failed at its end", error)


def _nothing() -> None:
    """Do nothing: the pipe has ended."""
