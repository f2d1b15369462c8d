r"""ContentLengthDecoder: the frames of the Language Server Protocol, ``Content-Length: 2\r\n\r\n{}``."""

from __future__ import annotations

import re

from aioverseer.core.text.frames import FrameDecoder
from aioverseer.core.text.lines import PartialBytes
from aioverseer.core.text.unframed import LONGEST, UnframedBytes

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


class ContentLengthDecoder(FrameDecoder):
    """Decoder of one stream with headers.

    A line that is no header is an item at once, even between the lines of a header: threads of a program write so.
    """

    __slots__ = ("_header", "_is_in_frame", "_length", "_lengths", "_width")

    def __init__(self, *, limit: int) -> None:
        """Make a decoder for one stream.

        Args:
            limit: Longest frame, in bytes.
        """
        super().__init__(limit=limit)
        self._header = b""
        """Lines of the current header, in a frame all of them."""
        self._length = -1
        """Length of the current frame; -1 before it is known."""
        self._is_in_frame = False
        self._lengths: dict[bytes, int] = {}
        """Lengths by their headers, none over the limit."""
        self._width = 0
        """Bytes of the last of these headers."""

    def finish(self) -> list[bytes]:
        """Return the rest at the end of the stream: a frame that was cut, with its header."""
        rest = self._header + self._take_rest()
        items = self._unframed.finish()
        if rest:
            is_frame = b"content-length".startswith(rest[:14].lower()) or bool(self._header)
            items.append(PartialBytes(rest) if is_frame else UnframedBytes(rest))
            self._header, self._length, self._is_in_frame = b"", -1, False
        return items

    def _decode(self, data: bytes, items: list[bytes]) -> int:
        start, size = 0, len(data)
        self._wanted = 0
        while start < size or self._is_in_frame:
            if self._is_in_frame:
                stop = start + self._length
                if stop > size:
                    self._wanted = self._length
                    return start
                items.append(data[start:stop])
                start = stop
                self._header, self._length, self._is_in_frame = b"", -1, False
            elif self._surplus:
                start += self._pass_on(data[start : start + self._surplus], items)
            elif not self._header and (found := _SIMPLE.match(data, start := self._take_simple(data, start, items))):
                needed = found.end() - start + int(found[1])
                if int(found[1]) <= self._limit:
                    self._wanted = needed
                    return start
                self._surplus = needed
            elif start < size:
                stop = data.find(b"\n", start, start + LONGEST) + 1
                if not stop:
                    if size - start <= LONGEST:
                        return start
                    stop = start + LONGEST
                self._take_line(data[start:stop], items)
                start = stop
            else:
                break
        return start

    def _take_simple(self, data: bytes, start: int, items: list[bytes]) -> int:
        """Add the whole frames with the usual header that follow each other; return the start of the rest."""
        # Most frames pass here. Their headers mostly have the same number of bytes, and came before: a slice of
        # that size is looked up, so nothing is searched or parsed.
        size, width = len(data), self._width
        length_of, add = self._lengths.get, items.append
        while True:
            length = length_of(data[start : start + width])
            if length is None:
                end = data.find(b"\r\n\r\n", start, start + _SIMPLE_SIZE)
                if end < 0 or (length := self._length_of(data[start : end + 4])) is None:
                    break
                width = end + 4 - start
            begin = start + width
            stop = begin + length
            if stop > size:
                break
            add(data[begin:stop])
            start = stop
        self._width = width
        return start

    def _length_of(self, header: bytes) -> int | None:
        """Return the length that a usual header says; None for another header, and for a length over the limit."""
        length = self._lengths.get(header)
        if length is None and (found := _SIMPLE.fullmatch(header)) and int(found[1]) <= self._limit:
            if len(self._lengths) >= _MOST_LENGTHS:
                self._lengths.clear()
            length = self._lengths[header] = int(found[1])
        return length

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
