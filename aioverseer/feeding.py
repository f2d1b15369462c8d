"""Feeding: what a program reads without anybody calling ``write()``: text, bytes, or what an async iterator gives.

Which descriptors that goes to, and when it begins and ends, never lives here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import cast

from aioverseer.core.options import Stdin
from aioverseer.system.seam import Sink

__all__ = ["feed"]

_log = logging.getLogger("aioverseer")


async def feed(id: str, stdin: Stdin, sink: Sink, encode: Callable[[str | bytes], bytes]) -> None:
    """Write what a Spec has for standard input, then end it.

    The next item of an iterator is asked for when the program has room for it. A program that does not read to the end
    is no error of the host. When an iterator raises, that is logged and the program reads the end of its input: it
    is not the fault of the service. When this is cancelled, nobody reads any more: the iterator is closed and the sink
    let go of, and no end is written, for which a terminal that is full would have to be waited for.

    Args:
        id: The service's id, for the log.
        stdin: Text, bytes, an async iterable, or a function that returns one.
        sink: Where to write.
        encode: Makes bytes of text.
    """
    try:
        try:
            if isinstance(stdin, str | bytes):
                await sink.write(encode(stdin))
            else:
                await _feed_items(stdin, sink, encode)
        except BrokenPipeError:
            pass
        except Exception:  # noqa: BLE001  # the user's own function: told in the log, as nobody awaits it
            _log.exception("%s: what feeds its standard input has failed", id)
        await sink.write_eof()
    finally:
        sink.close()


async def _feed_items(source: object, sink: Sink, encode: Callable[[str | bytes], bytes]) -> None:
    items: object = source
    if not isinstance(source, AsyncIterable) and callable(source):
        items = source()
    if not isinstance(items, AsyncIterable):
        raise TypeError(f"stdin gave {type(items).__name__}: pass an async iterable, or a function that returns one")
    try:
        item: object
        async for item in cast("AsyncIterable[object]", items):
            if not isinstance(item, str | bytes):
                raise TypeError(f"stdin gave an item of type {type(item).__name__}: every item is str or bytes")
            await sink.write(encode(item))
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
