"""StdinFeeder: writes to the standard input of one run, from the option ``stdin`` or from ``write()``."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from typing import cast

from aioverseer._aio.shield import settle
from aioverseer._system.protocols import WriteStream
from aioverseer.core.errors import ProcessNotRunning
from aioverseer.core.options.input import unfit_input
from aioverseer.core.options.spec import Spec

__all__ = ["StdinFeeder"]

_log = logging.getLogger("aioverseer")


class StdinFeeder:
    """The standard input of one run."""

    def __init__(self, spec: Spec) -> None:
        """Prepare. ``begin`` starts to feed.

        Args:
            spec: The options of the run.
        """
        self._spec = spec
        self._sink: WriteStream | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._has_written = False

    @property
    def is_for_writers(self) -> bool:
        """Whether the input is for ``write()``: ``stdin="pipe"``, or a terminal without ``stdin``."""
        given = self._spec.stdin
        return given == "pipe" or (self._spec.pty and given is None)

    def begin(self, sink: WriteStream | None) -> None:
        """Start to feed, after the spawn.

        Args:
            sink: The stream to write to; None where the program reads a file or descriptor of the user.
        """
        self._sink = sink
        if sink is not None and self._spec.stdin not in (None, "pipe"):
            self._feeder = asyncio.create_task(self._feed(sink), name=f"aioverseer feed {self._spec.id}")

    async def end(self, *, within: float) -> asyncio.CancelledError | None:
        """Stop feeding, after the end of the program.

        Args:
            within: Seconds to wait for the feeding task.

        Returns:
            The last cancellation that came meanwhile, or None.
        """
        if self._feeder is None:
            return None
        # The task may wait for an iterator of the user that never gives another item.
        self._feeder.cancel()
        return await settle(self._feeder, within=within)

    async def write(self, data: bytes | str) -> None:
        """Write to a running program; see ``Process.write``."""
        try:
            await self._open_sink().write(self._encoded(data))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, None):
                raise
            raise self._unread() from None

    def write_at_once(self, data: bytes | str) -> bool:
        """Write a few bytes if the pipe has room for all of them now; else write nothing, and return False.

        Raises:
            ProcessNotRunning: If the program does not read its input any more.
        """
        sink = self._open_sink()
        write_at_once = getattr(sink, "write_at_once", None)
        if write_at_once is None or not isinstance(data, bytes):
            return False
        try:
            return bool(write_at_once(data))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO, None):
                raise
            raise self._unread() from None

    async def write_eof(self) -> None:
        """End the input after all pending writes; see ``Process.write_eof``."""
        await self._open_sink().write_eof()

    def close(self) -> None:
        """Close the input at once. Idempotent."""
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
        # A byte order mark belongs before the first text, and nowhere else.
        mark = "".encode(encoding) if self._has_written else b""
        encoded = data.encode(encoding).removeprefix(mark)
        self._has_written = True
        return encoded

    async def _feed(self, sink: WriteStream) -> None:
        """Write everything that the option ``stdin`` gives, then end the input.

        The next item of an iterator is requested once the program has room for it. A program that does not read to the
        end is not an error. An error of an iterator is logged, and the program reads end of file. A cancellation means
        that the program has ended: the iterator and the stream are closed, and no end of file is written, because that
        would block on a full terminal.
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
            except Exception:  # noqa: BLE001  # the user's own function: logged, because nobody awaits this task
                _log.exception("%s: the source of its standard input has failed", self._spec.id)
            await sink.write_eof()
        finally:
            sink.close()

    async def _feed_items(self, source: object, sink: WriteStream) -> None:
        items: object = source
        if not isinstance(source, AsyncIterable) and callable(source):
            items = source()
        if (why := unfit_input(items)) is not None:
            raise TypeError(f"stdin gave {type(items).__name__}: {why}")
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
