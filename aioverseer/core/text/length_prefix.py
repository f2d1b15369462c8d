"""LengthPrefixDecoder: frames that begin with their length, as a binary number."""

from __future__ import annotations

from typing import Literal

from aioverseer.core.text.frames import FrameDecoder
from aioverseer.core.text.lines import PartialBytes

__all__ = ["LengthPrefixDecoder"]


class LengthPrefixDecoder(FrameDecoder):
    """Decoder of one stream with lengths."""

    __slots__ = ("_byteorder", "_prefix")

    def __init__(self, *, size: int, byteorder: Literal["big", "little"], limit: int) -> None:
        """Make a decoder for one stream.

        Args:
            size: Bytes of the length.
            byteorder: Order of these bytes.
            limit: Longest frame, in bytes.
        """
        super().__init__(limit=limit)
        self._prefix = size
        self._byteorder: Literal["big", "little"] = byteorder

    def finish(self) -> list[bytes]:
        """Return the rest at the end of the stream: a frame that was cut, with its length."""
        rest = self._take_rest()
        return [*self._unframed.finish(), *([PartialBytes(rest)] if rest else [])]

    def _decode(self, data: bytes, items: list[bytes]) -> int:
        prefix, byteorder, limit = self._prefix, self._byteorder, self._limit
        start, size = 0, len(data)
        while True:
            if self._surplus:
                start += self._pass_on(data[start : start + self._surplus], items)
                if self._surplus:
                    return start
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
