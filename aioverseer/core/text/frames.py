"""FrameDecoder: the base of decoders of frames, keeps what has come of a frame until the whole of it is there."""

from __future__ import annotations

from abc import ABC, abstractmethod

from aioverseer.core.text.unframed import UnframedSplitter

__all__ = ["FrameDecoder"]


class FrameDecoder(ABC):
    """Decoder of one stream. The same bytes give the same items, however they are cut into chunks."""

    __slots__ = ("_limit", "_parts", "_size", "_surplus", "_unframed", "_wanted")

    def __init__(self, *, limit: int) -> None:
        """Make a decoder for one stream.

        Args:
            limit: Longest frame, in bytes.
        """
        self._limit = limit
        self._parts: list[bytes] = []
        """Chunks that are not decoded yet, ``_size`` bytes together."""
        self._size = 0
        self._wanted = 0
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

    @abstractmethod
    def finish(self) -> list[bytes]:
        """Return the rest at the end of the stream."""

    @abstractmethod
    def _decode(self, data: bytes, items: list[bytes]) -> int:
        """Add the items that are complete, and set ``_wanted``; return the start of the rest."""

    def _take_rest(self) -> bytes:
        """Return the bytes that are not decoded, and forget them."""
        rest = b"".join(self._parts)
        self._parts.clear()
        return rest

    def _pass_on(self, data: bytes, items: list[bytes]) -> int:
        """Add the next bytes of a frame over the limit, as items that belong to no frame; return their number."""
        items += self._unframed.feed(data)
        self._surplus -= len(data)
        if not self._surplus:
            items += self._unframed.finish()
        return len(data)
