"""LengthPrefixDecoder: frames that begin with their length, as a binary number."""

from __future__ import annotations

from typing import Literal

from aioverseer.core.text.lines import PartialBytes
from aioverseer.core.text.unframed import UnframedSplitter

__all__ = ["LengthPrefixDecoder"]


class LengthPrefixDecoder:
    """Decoder of one stream. The same bytes give the same items, however they are cut into chunks."""

    __slots__ = ("_byteorder", "_limit", "_parts", "_prefix", "_size", "_surplus", "_unframed", "_wanted")

    def __init__(self, *, size: int, byteorder: Literal["big", "little"], limit: int) -> None:
        """Make a decoder for one stream.

        Args:
            size: Bytes of the length.
            byteorder: Order of these bytes.
            limit: Longest frame, in bytes.
        """
        self._prefix = size
        self._byteorder: Literal["big", "little"] = byteorder
        self._limit = limit
        self._parts: list[bytes] = []
        """Chunks that are not decoded yet, ``_size`` bytes together."""
        self._size = 0
        self._wanted = size
        """Bytes that the next step needs. Fewer are only kept, so that a long frame is joined once."""
        self._surplus = 0
        """Bytes of a frame over the limit that are still to come."""
        self._unframed = UnframedSplitter()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the items that are complete now."""
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        items: list[bytes] = []
        start = self._decode(data, items)
        self._size = len(data) - start
        if self._size:
            self._parts.append(data[start:])
        return items

    def finish(self) -> list[bytes]:
        """Return the rest at the end of the stream: a frame that was cut, with its length."""
        rest = b"".join(self._parts)
        self._parts.clear()
        return [*self._unframed.finish(), *([PartialBytes(rest)] if rest else [])]

    def _decode(self, data: bytes, items: list[bytes]) -> int:
        """Add the items that are complete; return the start of the rest."""
        prefix, byteorder, limit = self._prefix, self._byteorder, self._limit
        start, size = 0, len(data)
        while True:
            if self._surplus:
                taken = data[start : start + self._surplus]
                start += len(taken)
                self._surplus -= len(taken)
                items += self._unframed.feed(taken)
                if self._surplus:
                    return start
                items += self._unframed.finish()
            begin = start + prefix
            if begin > size:
                self._wanted = prefix
                return start
            length = int.from_bytes(data[start:begin], byteorder)
            stop = begin + length
            if length > limit:
                self._surplus = stop - start
            elif stop > size:
                self._wanted = stop - start
                return start
            else:
                items.append(data[begin:stop])
                start = stop
