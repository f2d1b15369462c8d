r"""ContentLengthDecoder: the frames of the Language Server Protocol, ``Content-Length: 2\r\n\r\n{}``."""

from __future__ import annotations

import re

from aioverseer.core.text.lines import PartialBytes
from aioverseer.core.text.unframed import LONGEST, UnframedBytes, UnframedSplitter

__all__ = ["ContentLengthDecoder"]

_SIMPLE = re.compile(rb"Content-Length: ([0-9]{1,18})\r\n\r\n")
"""Header that nearly every program writes."""
_SIMPLE_SIZE = 38
"""Longest of these headers, in bytes."""
_MOST_LENGTHS = 1000
"""Headers that are remembered."""
_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n\Z", re.IGNORECASE)
"""End of a line with the length. Text without a newline may stand before it, from a ``print(end="")``."""
_OTHER = re.compile(rb"content-type[ \t]*:", re.IGNORECASE)
_EMPTY = (b"\r\n", b"\n")


class ContentLengthDecoder:
    """Decoder of one stream. The same bytes give the same items, however they are cut into chunks.

    A line that is no header is an item at once, even between the lines of a header: threads of a program write so.
    """

    __slots__ = (
        "_header",
        "_is_in_frame",
        "_length",
        "_lengths",
        "_limit",
        "_parts",
        "_size",
        "_surplus",
        "_unframed",
        "_wanted",
    )

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
        self._header = b""
        """Lines of the current header, in a frame all of them."""
        self._length = -1
        """Length of the current frame; -1 before it is known."""
        self._is_in_frame = False
        self._lengths: dict[bytes, int] = {}
        """Lengths by their headers."""
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
        """Return the rest at the end of the stream: a frame that was cut, with its header."""
        rest = self._header + b"".join(self._parts)
        self._parts.clear()
        items = self._unframed.finish()
        if rest:
            is_frame = b"content-length".startswith(rest[:14].lower()) or bool(self._header)
            items.append(PartialBytes(rest) if is_frame else UnframedBytes(rest))
            self._header, self._length, self._is_in_frame = b"", -1, False
        return items

    def _decode(self, data: bytes, items: list[bytes]) -> int:
        """Add the items that are complete; return the start of the rest."""
        start, size = 0, len(data)
        self._wanted = 0
        while start < size or self._is_in_frame:
            if self._is_in_frame:
                begin, stop = start, start + self._length
            elif self._surplus:
                start += self._pass_on(data[start : start + self._surplus], items)
                continue
            elif not self._header and (found := _SIMPLE.match(data, start := self._take_simple(data, start, items))):
                begin = found.end()
                stop = begin + int(found[1])
                if stop - begin > self._limit:
                    self._surplus = stop - start
                    continue
            elif start < size:
                stop = data.find(b"\n", start, start + LONGEST) + 1
                if not stop:
                    if size - start <= LONGEST:
                        return start
                    stop = start + LONGEST
                self._take_line(data[start:stop], items)
                start = stop
                continue
            else:
                break
            if stop > size:
                self._wanted = stop - start
                return start
            items.append(data[begin:stop])
            start = stop
            if self._is_in_frame:
                self._header, self._length, self._is_in_frame = b"", -1, False
        return start

    def _take_simple(self, data: bytes, start: int, items: list[bytes]) -> int:
        """Add the whole frames with the usual header that follow each other; return the start of the rest."""
        # Most frames pass here, so a header that came before is looked up and not parsed.
        size, limit, lengths = len(data), self._limit, self._lengths
        find, length_of, add = data.find, lengths.get, items.append
        while (end := find(b"\r\n\r\n", start, start + _SIMPLE_SIZE)) >= 0:
            header = data[start:end]
            if (length := length_of(header)) is None:
                found = _SIMPLE.match(data, start)
                if found is None:
                    break
                if len(lengths) >= _MOST_LENGTHS:
                    lengths.clear()
                length = lengths[header] = int(found[1])
            begin = end + 4
            stop = begin + length
            if stop > size or length > limit:
                break
            add(data[begin:stop])
            start = stop
        return start

    def _pass_on(self, data: bytes, items: list[bytes]) -> int:
        """Add bytes of a frame over the limit; return their number."""
        items += self._unframed.feed(data)
        self._surplus -= len(data)
        if not self._surplus:
            items += self._unframed.finish()
        return len(data)

    def _take_line(self, line: bytes, items: list[bytes]) -> None:
        """Add a line to the header, or to the items if it is none of a header."""
        if found := _LENGTH.search(line):
            if found.start():
                items.append(UnframedBytes(line[: found.start()]))
            self._length = int(found[1])
            self._header += found[0]
        elif _OTHER.match(line):
            self._header += line
        elif line in _EMPTY and self._length > self._limit:
            self._surplus = len(self._header) + len(line) + self._length
            header, self._header, self._length = self._header + line, b"", -1
            self._pass_on(header, items)
        elif line in _EMPTY and self._length >= 0:
            self._header += line
            self._is_in_frame = True
        else:
            items.append(UnframedBytes(line))
        if len(self._header) > LONGEST and not self._is_in_frame:  # lines of headers without an end
            items.append(UnframedBytes(self._header))
            self._header, self._length = b"", -1
