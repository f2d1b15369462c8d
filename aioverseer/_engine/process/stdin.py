"""The input of one run: what it is fed without anybody calling ``write()``, and what is written to it.

Which descriptors that goes to, and whether the program lives, never lives here.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from typing import cast

from aioverseer._aio.shield import settle
from aioverseer._system.protocols import WriteStream
from aioverseer.core.errors import ProcessNotRunning
from aioverseer.core.options.spec import Spec

__all__ = ["StdinFeeder"]

_log = logging.getLogger("aioverseer")


class StdinFeeder:
    """What the program of one run reads, unless that is the null device."""

    def __init__(self, spec: Spec) -> None:
        """Prepare it; nothing is fed before ``begin``."""
        self._spec = spec
        self._sink: WriteStream | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._has_told = False

    @property
    def is_for_writers(self) -> bool:
        """Whether ``write()`` is what it is for: a pipe that was asked for, or a terminal that is not fed."""
        given = self._spec.stdin
        return given == "pipe" or (self._spec.pty and given is None)

    def begin(self, sink: WriteStream | None) -> None:
        """Feed it: the program has been started.

        Args:
            sink: Where to write; None where the program reads what is not ours.
        """
        self._sink = sink
        if sink is not None and self._spec.stdin not in (None, "pipe"):
            self._feeder = asyncio.create_task(self._feed(sink), name=f"aioverseer feed {self._spec.id}")

    async def end(self, *, within: float) -> asyncio.CancelledError | None:
        """Feed it no more: the program has ended.

        Args:
            within: Seconds that what feeds it has to end.

        Returns:
            The last cancellation that came in the meantime, or None.
        """
        if self._feeder is None:
            return None
        # It may wait for an iterator of the user that gives nothing any more.
        self._feeder.cancel()
        return await settle(self._feeder, within=within)

    async def write(self, data: bytes | str) -> None:
        """Write to a program that lives; see ``Process.write``."""
        try:
            await self._open_sink().write(self._encoded(data))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, None):
                raise
            raise self._unread() from None

    async def write_eof(self) -> None:
        """End it behind all that is being written; see ``Process.write_eof``."""
        await self._open_sink().write_eof()

    def close(self) -> None:
        """End it at once. Idempotent."""
        if self._sink is not None:
            self._sink.close()

    def _open_sink(self) -> WriteStream:
        if self._sink is None:
            raise self._unread()
        return self._sink

    def _unread(self) -> ProcessNotRunning:
        return ProcessNotRunning(f"{self._spec.id!r} does not read its standard input any more")

    def _encoded(self, data: str | bytes) -> bytes:
        if not isinstance(data, str):
            return data
        encoding = self._spec.encoding or "utf-8"
        # A byte order mark stands before the first text that a program reads, and nowhere else.
        mark = "".encode(encoding) if self._has_told else b""
        encoded = data.encode(encoding).removeprefix(mark)
        self._has_told = True
        return encoded

    async def _feed(self, sink: WriteStream) -> None:
        """Write what a Spec has for standard input, then end it.

        The next item of an iterator is asked for when the program has room for it. A program that does not read to the
        end is no error of the host. When an iterator raises, that is logged and the program reads the end of its input:
        it is not the fault of the service. When this is cancelled, nobody reads any more: the iterator is closed and
        the sink let go of, and no end is written, for which a terminal that is full would have to be waited for.
        """
        stdin = self._spec.stdin
        try:
            try:
                if isinstance(stdin, str | bytes):
                    await sink.write(self._encoded(stdin))
                else:
                    await self._feed_items(stdin, sink)
            except BrokenPipeError:
                pass
            except Exception:  # noqa: BLE001  # the user's own function: told in the log, as nobody awaits it
                _log.exception("%s: what feeds its standard input has failed", self._spec.id)
            await sink.write_eof()
        finally:
            sink.close()

    async def _feed_items(self, source: object, sink: WriteStream) -> None:
        items: object = source
        if not isinstance(source, AsyncIterable) and callable(source):
            items = source()
        if not isinstance(items, AsyncIterable):
            raise TypeError(
                f"stdin gave {type(items).__name__}: pass an async iterable, or a function that returns one"
            )
        try:
            item: object
            async for item in cast("AsyncIterable[object]", items):
                if not isinstance(item, str | bytes):
                    raise TypeError(f"stdin gave an item of type {type(item).__name__}: every item is str or bytes")
                await sink.write(self._encoded(item))
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
