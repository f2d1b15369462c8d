"""The decoder of a stream, made for each run by the framing that the user has chosen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol, cast

from aioverseer.core.options.framing import (
    Chunks,
    ContentLength,
    Framing,
    FramingOption,
    LengthPrefix,
    Lines,
)
from aioverseer.core.text.content_length import ContentLengthDecoder
from aioverseer.core.text.length_prefix import LengthPrefixDecoder
from aioverseer.core.text.line_ends import CustomEndSplitter, UniversalSplitter
from aioverseer.core.text.lines import LineSplitter

__all__ = ["ItemDecoder", "decoder_for", "shown", "unfinished_line"]

_SHOWN = 500
"""Longest item, in bytes or characters, that is shown as a whole."""


class ItemDecoder(Protocol):
    """ItemDecoder of the bytes of one stream into items."""

    def feed(self, data: bytes, /) -> Sequence[Any]:
        """Take the next bytes of the stream; return the items that are complete now."""
        ...

    def finish(self) -> Sequence[Any]:
        """Return the rest at the end of the stream."""
        ...


def decoder_for(framing: FramingOption, *, encoding: str | None, errors: str, line_limit: int) -> ItemDecoder:
    """Return a new decoder.

    Args:
        framing: Framing of the stream.
        encoding: Encoding of lines; None for bytes.
        errors: Error handler of the encoding.
        line_limit: Longest line in bytes without its end.
    """
    match framing:
        case Lines(end=None, universal=universal):
            lines = LineSplitter(encoding=encoding, errors=errors, line_limit=line_limit)
            return UniversalSplitter(lines) if universal else lines
        case Lines(end=end):
            encoded = end.encode(encoding or "utf-8") if isinstance(end, str) else cast("bytes", end)
            return CustomEndSplitter(end=encoded, encoding=encoding, errors=errors, line_limit=line_limit)
        case Chunks():
            return _ChunkDecoder()
        case ContentLength(limit=limit):
            return ContentLengthDecoder(limit=limit)
        case LengthPrefix(size=size, byteorder=byteorder, limit=limit):
            return LengthPrefixDecoder(size=size, byteorder=byteorder, limit=limit)
        case _:
            return _UserDecoder(framing)


def unfinished_line(decoder: ItemDecoder) -> str | bytes | None:
    """Return the line that has no end yet; None with another framing than lines."""
    if isinstance(decoder, LineSplitter | UniversalSplitter | CustomEndSplitter):
        return decoder.unfinished()
    return None


def shown(item: str | bytes) -> str:
    """Return an item as one line for people: cut, and escaped where a character cannot be printed."""
    size = len(item)
    part = item if size <= _SHOWN else item[:_SHOWN]
    text = part if isinstance(part, str) else part.decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
    return text if part is item else f"{text}... ({size} {'characters' if isinstance(item, str) else 'bytes'})"


class _ChunkDecoder:
    """ItemDecoder that changes nothing."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[bytes]:
        return [data]

    def finish(self) -> list[bytes]:
        return []


class _UserDecoder:
    """ItemDecoder by an object of the user.

    After its first error the bytes come as ``UnframedBytes``, line by line, from the chunk on in which it was raised.
    """

    __slots__ = ("_framing",)

    def __init__(self, framing: FramingOption) -> None:
        self._framing = cast("Framing", framing() if callable(framing) else copy.deepcopy(framing))

    def feed(self, data: bytes) -> list[Any]:
        return _checked(self._framing.feed(data))

    def finish(self) -> list[Any]:
        return _checked(self._framing.end())


def _checked(items: Any) -> list[Any]:
    """Return the items of a framing of the user.

    Raises:
        TypeError: If they are no list of bytes or text.
    """
    if not isinstance(items, list | tuple):
        raise TypeError(f"a framing returned {type(items).__name__}: return a list of bytes")
    checked: list[Any] = list(cast("Sequence[Any]", items))
    for item in checked:
        if not isinstance(item, bytes | str):
            raise TypeError(f"a framing returned an item of type {type(item).__name__}: return bytes")
    return checked
