r"""Splitters for lines with other ends than ``\n``: one chosen by the user, and a lone ``\r`` of a progress bar."""

from __future__ import annotations

from typing import Any

from aioverseer.core.options.encodings import kind_of
from aioverseer.core.text.lines import (
    ContinuedBytes,
    ContinuedLine,
    LineSplitter,
    as_partial,
    cut_utf8,
    decoded_part,
    guarded,
)

__all__ = ["CustomEndSplitter", "UniversalSplitter"]

_CR = b"\r"
_LF = b"\n"


class UniversalSplitter:
    r"""Splitter at ``\n``, ``\r\n`` and a lone ``\r``. A ``\r`` ends its line at once, whatever follows."""

    __slots__ = ("_after_cr", "_lines")

    def __init__(self, lines: LineSplitter) -> None:
        """Wrap a splitter whose encoding leaves these bytes alone."""
        self._lines = lines
        self._after_cr = False
        r"""Whether the last byte was ``\r``, so that ``\n`` would belong to it."""

    def feed(self, data: bytes) -> list[str] | list[bytes]:
        """Take the next bytes of the stream; return the lines and pieces that are complete now."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(_LF)
        if _CR in data:
            self._after_cr = data.endswith(_CR)
            data = data.replace(b"\r\n", _LF).replace(_CR, _LF)
        return self._lines.feed(data)

    def unfinished(self) -> str | bytes:
        """Return the line that has no end yet."""
        return self._lines.unfinished()

    def finish(self) -> list[str] | list[bytes]:
        """Return the rest at the end of the stream: the last line, if it has no end."""
        return self._lines.finish()


class CustomEndSplitter:
    """Splitter at any bytes. As with ``LineSplitter``, a line longer than the limit comes in pieces."""

    __slots__ = ("_encoding", "_end", "_errors", "_is_utf8", "_limit", "_rest")

    def __init__(self, *, end: bytes, encoding: str | None, errors: str, line_limit: int) -> None:
        """Make a splitter for one stream.

        Args:
            end: End of a line.
            encoding: UTF-8, an encoding of one byte per character, or None for bytes.
            errors: Error handler, as in ``bytes.decode``.
            line_limit: Longest line in bytes without its end.
        """
        self._end = end
        self._encoding = encoding
        self._errors = guarded(errors)
        self._is_utf8 = encoding is not None and kind_of(encoding) == "utf-8"
        self._limit = line_limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take the next bytes of the stream; return the lines and pieces that are complete now."""
        rest = self._rest
        # There is no end in the rest, so the next one begins in its last bytes at the earliest.
        start = max(0, len(rest) - len(self._end) + 1)
        rest += data
        items: list[Any] = []
        if rest.find(self._end, start) >= 0:
            *lines, last = bytes(rest).split(self._end)
            for line in lines:
                items.append(self._text(line[self._cut_pieces(line, len(line), items) :]))
            rest[:] = last
        del rest[: self._cut_pieces(rest, self._sure_size(), items)]
        return items

    def _sure_size(self) -> int:
        """Return the size of the rest without last bytes that may be the first ones of an end."""
        end, rest = self._end, self._rest
        return len(rest) - next((n for n in range(len(end) - 1, 0, -1) if rest.endswith(end[:n])), 0)

    def unfinished(self) -> str | bytes:
        """Return the line that has no end yet."""
        return decoded_part(bytes(self._rest[: self._sure_size()]), self._encoding, self._errors)

    def finish(self) -> list[Any]:
        """Return the rest at the end of the stream: the last line, if it has no end."""
        rest = bytes(self._rest)
        self._rest.clear()
        items: list[Any] = []
        if rest:
            start = self._cut_pieces(rest, len(rest), items)
            items.append(as_partial(self._text(rest[start:])))
        return items

    def _cut_pieces(self, data: bytes | bytearray, size: int, items: list[Any]) -> int:
        """Cut pieces off while more than the limit is left; return the start of the rest."""
        start = 0
        while size - start > self._limit:
            stop = start + self._limit
            if self._is_utf8:
                stop = cut_utf8(data, stop)
            piece = self._text(bytes(data[start:stop]))
            items.append(ContinuedLine(piece) if isinstance(piece, str) else ContinuedBytes(piece))
            start = stop
        return start

    def _text(self, data: bytes) -> str | bytes:
        return data if self._encoding is None else data.decode(self._encoding, self._errors)
