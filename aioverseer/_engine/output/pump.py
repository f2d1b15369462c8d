"""The pump: one pipe's bytes become lines and go to its outlets.

Who the outlets are is said by ``streams.py``; queues and subscribers never live here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aioverseer._system.protocols import ReadStream
from aioverseer.core.text.lines import LineSplitter

__all__ = ["LineList", "LineSink", "Pump", "tell"]

_LAST_BYTES = 128 * 1024
"""Bytes that are still read without regard to a slow reader once a program has ended: what it left behind is being
killed, and may fill its pipe once more before the end of the pipe comes."""


class LineSink(Protocol):
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


def tell(message: str, error: Exception) -> None:
    """Give an error that stopped one reader to the event loop's exception handler."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})


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
        source: ReadStream,
        splitter: Callable[[], LineSplitter],
        outlets: Sequence[LineSink],
        *,
        on_end: Callable[[], None],
    ) -> None:
        """Connect a pipe; nothing is read before ``start``.

        Args:
            source: The pipe.
            splitter: Makes what makes lines of bytes, for the first of them: many a program writes nothing.
            outlets: Who gets the lines.
            on_end: Called once, when the pipe has ended and everything was delivered.
        """
        self.ended = False
        self._source = source
        self._make_splitter = splitter
        self._splitter: LineSplitter | None = None
        self._outlets = outlets
        self._on_end = on_end
        self._spare = 0
        for outlet in outlets:
            outlet.on_room = self._room

    def start(self) -> None:
        """Begin to read."""
        self._source.attach(self._data, self._end, blocked=self._is_blocked)

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
        if self._splitter is None:
            self._splitter = self._make_splitter()
        batch = self._splitter.feed(chunk)
        if batch:
            self._deliver(batch)

    def _is_blocked(self) -> bool:
        return self._spare <= 0 and any(outlet.blocked for outlet in self._outlets)

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._splitter is not None and (batch := self._splitter.finish()):
            self._deliver(batch)
        for outlet in self._outlets:
            outlet.on_room = None
            _end(outlet)
        # Nothing is left that holds the Process, which holds this: such rings are not freed at once.
        self._outlets, self._make_splitter = (), LineSplitter
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    def _deliver(self, batch: Sequence[Any]) -> None:
        for outlet in self._outlets:
            try:
                outlet.deliver(batch)
            except Exception as error:  # noqa: BLE001  # told below; its trouble is neither the run's nor another's
                self._outlets = [other for other in self._outlets if other is not outlet]
                tell("an outlet of a program's lines failed and gets no more", error)
                _end(outlet)

    def _room(self) -> None:
        if not self.ended and not self._is_blocked():
            self._source.resume()


def _end(outlet: LineSink) -> None:
    try:
        outlet.end()
    except Exception as error:  # noqa: BLE001  # told here; its trouble is neither the run's nor another's
        tell("an outlet of a program's lines failed at its end", error)


def _nothing() -> None:
    """Nothing to do: the pipe has ended."""
