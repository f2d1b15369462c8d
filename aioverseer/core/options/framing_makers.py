"""Functions that make framings, with checks of their arguments; ``aioverseer.framing`` exports them."""

from __future__ import annotations

from typing import Literal

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.framing import FRAME_LIMIT, Chunks, ContentLength, FramingRule, LengthPrefix, Lines

__all__ = ["chunks", "content_length", "length_prefix", "lines"]

_SIZES = range(1, 9)


@exported_from("aioverseer.framing")
def lines(*, end: str | bytes | None = None, universal: bool = False) -> FramingRule:
    r"""Return the framing of lines, without their ends.

    A line longer than ``line_limit`` comes in pieces. A last line without an end is a ``PartialLine``, or
    ``PartialBytes`` without an encoding.

    Args:
        end: End of a line, for example ``"\0"``; None for ``\n`` and ``\r\n``.
        universal: Whether a lone ``\r`` ends a line, too, as in progress bars.

    Raises:
        SpecError: If an argument has a wrong type or value, or both are given.
    """
    if end is not None:
        if not isinstance(end, str | bytes) or not end:
            raise _refused("lines", "end", end, r'is no end of a line: pass text or bytes, for example "\0"')
        if universal:
            raise _refused("lines", "end", end, "cannot go with universal=True: leave one out")
    return Lines(end=end, universal=bool(universal))


@exported_from("aioverseer.framing")
def chunks() -> FramingRule:
    """Return the framing of bytes as they come: nothing is added or removed, and nothing is waited for."""
    return Chunks()


@exported_from("aioverseer.framing")
def content_length(*, limit: int = FRAME_LIMIT) -> FramingRule:
    r"""Return the framing of the Language Server Protocol: ``Content-Length: 12\r\n\r\n`` and 12 bytes.

    Items are the contents, without the header. Other output comes as ``UnframedBytes``, line by line: a ``print()`` in
    a server does not disturb the next frames, and a header without a valid number counts as other output. A frame that
    the end of the stream cuts is one ``PartialBytes``, with its header.

    Args:
        limit: Longest frame in bytes. A longer one is not collected: its bytes come as ``UnframedBytes``, header
            included, and the frame after it is whole again.

    Raises:
        SpecError: If ``limit`` is not a number of bytes.
    """
    return ContentLength(limit=_limit("content_length", limit))


@exported_from("aioverseer.framing")
def length_prefix(
    size: int = 4, byteorder: Literal["big", "little"] = "big", *, limit: int = FRAME_LIMIT
) -> FramingRule:
    """Return the framing of frames that begin with their length, as a binary number without a sign.

    Items are the frames, without the length. A frame that the end of the stream cuts is one ``PartialBytes``, with its
    length.

    Args:
        size: Bytes of the length, 1 to 8.
        byteorder: ``"big"`` for the network, ``"little"`` for most processors.
        limit: Longest frame in bytes. A longer one is not collected: its bytes come as ``UnframedBytes``, line by line,
            the length included. Such a length mostly means that the program has written text: its traceback, for
            example.

    Raises:
        SpecError: If an argument has a wrong type or value.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size not in _SIZES:
        raise _refused("length_prefix", "size", size, "is no size of a length: pass 1 to 8 bytes")
    if byteorder not in ("big", "little"):
        raise _refused("length_prefix", "byteorder", byteorder, 'is unknown: pass "big" or "little"')
    return LengthPrefix(size=size, byteorder=byteorder, limit=_limit("length_prefix", limit))


def _limit(framing: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _refused(framing, "limit", value, "is no number of bytes: pass 1 or more")
    return value


def _refused(framing: str, name: str, value: object, why: str) -> SpecError:
    return SpecError(f"framing.{framing}: {name}={value!r} {why}", option="framing", value=value)
