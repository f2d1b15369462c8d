"""LineSplitter, which makes lines of the bytes of a pipe, and the values that carry lines."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import count, repeat
from typing import Any, NamedTuple, Protocol

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.encodings import kind_of
from aioverseer.core.text.decoders import decoder_for
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE

__all__ = [
    "EXCESS_BYTES",
    "LINE_COST",
    "ContinuedBytes",
    "ContinuedLine",
    "Line",
    "LineSplitter",
    "PartialBytes",
    "PartialLine",
    "RawLineSplitter",
    "as_partial",
    "can_split_bytes",
    "cut_utf8",
    "decoded_part",
    "guarded",
    "make_lines",
    "with_missed",
]
LINE_COST = 200
"""Approximate bytes that a Line takes in addition to its text. They bound the memory of many empty lines."""
EXCESS_BYTES = 4 * 1024 * 1024
"""Most bytes, or characters of text, that programs may leave at their end to a lossless subscriber or log without room.
More lines are dropped and counted, until there is room again."""

_LEAST_LIMIT = 4
"""Least limit: a piece must have room for the longest character of UTF-8."""
_CR = 0x0D


@exported_from("aioverseer")
class ContinuedLine(str):
    """A piece of an over-long line; the next item of the queue belongs to the same line."""

    __slots__ = ()


@exported_from("aioverseer")
class ContinuedBytes(bytes):
    """A piece of an over-long line delivered as bytes."""

    __slots__ = ()


@exported_from("aioverseer")
class PartialLine(str):
    """The last line of a stream that ended before the line did."""

    __slots__ = ()


@exported_from("aioverseer")
class PartialBytes(bytes):
    """The last item of a stream that ended before the item did: a line as bytes, or a frame with its header."""

    __slots__ = ()


@exported_from("aioverseer")
class Line(NamedTuple):
    """One line of a service.

    A named tuple, for speed: one is made for every line, and a frozen dataclass takes several times as long.

    Attributes:
        id: Id of the service.
        stream: ``"stdout"`` or ``"stderr"``.
        text: Text without the end of the line, a ``str``; ``bytes`` if the service has no encoding, or another framing
            than lines. It is a ``PartialLine`` or ``PartialBytes`` if the stream ended before the item did.
        time: Wall-clock time at which the line was read, aware; a label.
        run: Number of the run of the service that wrote it, from 1.
        continued: Whether the next line of this stream is the rest of this one, which was longer than the limit.
        seq: Number of the line in its service, from 1, over all runs and both streams. Lines that no subscriber got
            count, too.
        missed: Number of lines that this subscriber has lost just before this one because it was too slow; 0 for none.
    """

    id: str
    stream: str
    # str or bytes depends on an option. A union would force a check on every reader. A type parameter would force an
    # argument on every annotation with Line or Service, and an overseer holds services of both kinds.
    text: Any
    time: datetime
    run: int
    continued: bool = False
    seq: int = 0
    missed: int = 0


_as_line: Callable[[tuple[object, ...]], Line] = functools.partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType]  # generic over what Line says
    Line,
)
_WHOLE = {str}, {bytes}
_PIECES = ContinuedLine, ContinuedBytes
_NEVER: Iterable[bool] = repeat(False)  # noqa: FBT003  # repeat takes nothing by name


_NONE: Iterable[int] = repeat(0)


def make_lines(
    id: str, stream: str, texts: Sequence[str | bytes], time: datetime, run: int, first: int = 1
) -> list[Line]:
    """Return a batch of texts as lines of a service.

    Args:
        id: Id of the service.
        stream: ``"stdout"`` or ``"stderr"``.
        texts: Texts from a splitter.
        time: Time at which they were read.
        run: Number of the run that wrote them.
        first: Number of the first line in its service.
    """
    # The loop over the lines runs in C, for speed: every line that is read passes here.
    continued = _NEVER if set(map(type, texts)) in _WHOLE else (isinstance(text, _PIECES) for text in texts)
    return list(
        map(
            _as_line,
            zip(repeat(id), repeat(stream), texts, repeat(time), repeat(run), continued, count(first), _NONE),
        )
    )


def with_missed(line: Line, missed: int) -> Line:
    """Return a copy of a line that tells how many lines are missing before it."""
    return _as_line((*line[:-1], missed))


def as_partial(text: str | bytes) -> PartialLine | PartialBytes:
    """Return an item as one that the end of its stream has cut."""
    return PartialLine(text) if isinstance(text, str) else PartialBytes(text)


def decoded_part(data: bytes, encoding: str | None, errors: str) -> str | bytes:
    """Return the text of the complete characters of the beginning of a line; bytes without an encoding."""
    return data if encoding is None else codecs.getincrementaldecoder(encoding)(errors).decode(data)


class _Splitter(Protocol):
    def feed(self, chunk: bytes) -> list[Any]: ...

    def finish(self) -> list[Any]: ...

    def unfinished(self) -> str | bytes: ...


class LineSplitter:
    r"""Splitter of the bytes of one stream into lines.

    ``\n`` and ``\r\n`` end a line and are removed. A lone ``\r`` stays, and so do the other characters that
    ``str.splitlines()`` takes for an end of a line. A line longer than the limit comes in pieces, as long as the limit
    allows without cutting a character. All pieces but the last are a ``ContinuedLine`` or ``ContinuedBytes``; together
    they are the line. The same bytes give the same lines, however they are cut into chunks. Between two chunks the
    splitter holds about one limit of bytes. Its time is linear in the bytes.

    UTF-8 and encodings of one byte per character are split as bytes, and the limit counts the bytes that were read.
    Other encodings (UTF-16, UTF-32, those of East Asia) are decoded first, and the limit counts the bytes that the
    decoded text takes in the encoding, without a byte order mark.

    The error handler ``errors`` treats bytes that the encoding does not know, including a character that the end of the
    stream cuts. ``errors="strict"`` would raise in the middle of the output and lose it, so a Spec refuses it.
    """

    __slots__ = ("_splitter",)

    def __init__(
        self,
        *,
        encoding: str | None = "utf-8",
        errors: str = "replace",
        line_limit: int = DEFAULT_LINE_BUFFER_SIZE,
    ) -> None:
        """Make a splitter for one stream.

        Args:
            encoding: Encoding of the stream; None delivers bytes.
            errors: Error handler, as in ``bytes.decode``.
            line_limit: Longest line in bytes without its end; at least 4.

        Raises:
            SpecError: For an encoding that is unknown or not for text, or a limit that is too low.
        """
        if line_limit < _LEAST_LIMIT:
            raise SpecError(
                f"line_limit={line_limit!r} is too low: pass bytes, {_LEAST_LIMIT} or more",
                option="line_limit",
                value=line_limit,
            )
        kind = "bytes" if encoding is None else kind_of(encoding)
        errors = guarded(errors)
        self._splitter: _Splitter
        if encoding is not None and kind == "other":
            self._splitter = _TextSplitter(encoding, errors, line_limit)
        else:
            self._splitter = _ByteSplitter(encoding, errors, line_limit, cut_utf8 if kind == "utf-8" else None)

    def feed(self, chunk: bytes) -> list[str] | list[bytes]:
        """Take the next bytes of the stream; return the lines and pieces that are complete now."""
        return self._splitter.feed(chunk)

    def finish(self) -> list[str] | list[bytes]:
        """Return the rest at the end of the stream: the last line, if it has no end, as a partial one."""
        return self._splitter.finish()

    def unfinished(self) -> str | bytes:
        """Return the line that has no end yet, as far as its characters are complete, without its earlier pieces."""
        return self._splitter.unfinished()


class RawLineSplitter:
    r"""Splitter for a log file, which keeps the bytes: joined with ``\n``, the lines are what was written.

    Only ``\n`` ends a line, so a ``\r`` before it stays. A last line without an end is a ``ContinuedBytes``, as are the
    pieces of a line longer than the limit.
    """

    __slots__ = ("_splitter",)

    def __init__(self, *, encoding: str | None, line_limit: int, keeps_cr: bool = True) -> None:
        r"""Make a splitter for one stream.

        Args:
            encoding: Encoding of the stream, whose characters are not cut if it is UTF-8; ``can_split_bytes``.
            line_limit: Longest line in bytes without its end.
            keeps_cr: Whether the ``\r`` of ``\r\n`` belongs to the line. On a terminal the kernel has added it.
        """
        cut = cut_utf8 if encoding is not None and kind_of(encoding) == "utf-8" else None
        self._splitter = _ByteSplitter(None, "strict", line_limit, cut, is_raw=True, keeps_cr=keeps_cr)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the lines and pieces that are complete now."""
        return self._splitter.feed(chunk)

    def finish(self) -> list[bytes]:
        """Return the rest at the end of the stream, as pieces."""
        return self._splitter.finish()


@functools.cache
def can_split_bytes(encoding: str | None) -> bool:
    """Return whether the byte 0x0A ends a line in an encoding; not so in UTF-16, UTF-32 and EBCDIC."""
    return encoding is None or "\n".encode(encoding).removeprefix("".encode(encoding)) == b"\n"


_BUILT_IN = frozenset({"strict", "ignore", "replace", "backslashreplace", "surrogateescape", "surrogatepass"})


def guarded(errors: str) -> str:
    """Return the name of a handler that works like this one, or like "replace" if this one raises or cheats."""
    if errors in _BUILT_IN:
        return errors
    name = f"aioverseer-guarded-{errors}"
    handler, replace = codecs.lookup_error(errors), codecs.lookup_error("replace")

    def guard(error: UnicodeError) -> tuple[str | bytes, int]:
        try:
            text, position = handler(error)
            # A position after the end makes the codec raise; one that does not move forward makes it loop for ever.
            is_sound = (
                isinstance(error, UnicodeDecodeError)
                and isinstance(text, str)
                and error.start < position <= len(error.object)
            )
        except Exception:  # noqa: BLE001  # a handler of the application may raise anything, and no line must be lost
            return replace(error)
        return (text, position) if is_sound else replace(error)

    # Register a guard each time, as the application may register another handler of that name.
    codecs.register_error(name, guard)
    return name


class _ByteSplitter:
    """Splitter that decodes after splitting: for bytes, and for encodings in which byte 0x0A is always a newline."""

    __slots__ = ("_cut", "_encoding", "_errors", "_is_raw", "_keeps_cr", "_limit", "_rest")

    def __init__(
        self,
        encoding: str | None,
        errors: str,
        limit: int,
        cut: Callable[[bytes | bytearray, int], int] | None,
        *,
        is_raw: bool = False,
        keeps_cr: bool = False,
    ) -> None:
        self._encoding = encoding
        self._errors = errors
        self._limit = limit
        self._cut = cut
        self._is_raw = is_raw
        self._keeps_cr = keeps_cr
        self._rest = bytearray()
        """Unfinished line without the pieces already returned: at most the limit and one byte."""

    def feed(self, chunk: bytes) -> list[Any]:
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._rest += chunk
            return self._take_pieces()
        data = chunk[:end]
        if self._rest:
            data = b"".join((self._rest, data))
            self._rest.clear()
        if not self._keeps_cr and b"\r" in data:  # replace() alone is slower than all the rest
            data = data.replace(b"\r\n", b"\n")
        lines = self._split_long(data) if self._has_long(data) else self._split(data)
        if end < len(chunk):
            self._rest += chunk[end:]
            lines += self._take_pieces()
        return lines

    def finish(self) -> list[Any]:
        if not self._rest:
            return []
        line = bytes(self._rest)
        self._rest.clear()
        lines = self._split_long(line + b"\n")
        lines[-1] = ContinuedBytes(lines[-1]) if self._is_raw else as_partial(lines[-1])
        return lines

    def unfinished(self) -> str | bytes:
        # A carriage return at the end may be the first half of "\r\n".
        return decoded_part(bytes(self._rest).removesuffix(b"\r"), self._encoding, self._errors)

    def _split(self, data: bytes) -> list[Any]:
        encoding = self._encoding
        lines: list[Any]
        if data.find(b"\n") == len(data) - 1:  # split() looks at each character, which takes ten times the rest
            line = data[:-1]
            return [line if encoding is None else line.decode(encoding, self._errors)]
        lines = data.split(b"\n") if encoding is None else data.decode(encoding, self._errors).split("\n")
        lines.pop()
        return lines

    def _has_long(self, data: bytes) -> bool:
        # Jump to the last newline within each limit. If there is none, the line is too long.
        step = self._limit + 1
        last = len(data) - 1
        start = 0
        while last - start >= step:
            end = data.rfind(b"\n", start, start + step)
            if end < 0:
                return True
            start = end + 1
        return False

    def _split_long(self, data: bytes) -> list[Any]:
        lines: list[Any] = []
        for line in data[:-1].split(b"\n"):
            start = self._cut_pieces(line, len(line), lines)
            rest = line[start:]
            lines.append(rest if self._encoding is None else rest.decode(self._encoding, self._errors))
        return lines

    def _take_pieces(self) -> list[Any]:
        rest = self._rest
        if len(rest) <= self._limit:
            return []
        pieces: list[Any] = []
        # A carriage return at the end may be the first half of "\r\n".
        held = 0 if self._keeps_cr else rest[-1] == _CR
        del rest[: self._cut_pieces(rest, len(rest) - held, pieces)]
        return pieces

    def _cut_pieces(self, data: bytes | bytearray, size: int, pieces: list[Any]) -> int:
        """Cut pieces off while more than the limit is left; return the start of the rest."""
        start = 0
        while size - start > self._limit:
            stop = start + self._limit
            if self._cut is not None:
                stop = self._cut(data, stop)
            piece = data[start:stop]
            if self._encoding is None:
                pieces.append(ContinuedBytes(piece))
            else:
                pieces.append(ContinuedLine(piece.decode(self._encoding, self._errors)))
            start = stop
        return start


_CONTINUES = range(0x80, 0xC0)
"""Bytes of UTF-8 inside a character."""
_WIDTHS = {
    **dict.fromkeys(range(0xC2, 0xE0), 2),
    **dict.fromkeys(range(0xE0, 0xF0), 3),
    **dict.fromkeys(range(0xF0, 0xF5), 4),
}
"""First bytes of characters of UTF-8 that have several bytes, and their number."""


def cut_utf8(data: bytes | bytearray, stop: int) -> int:
    """Return ``stop``, or the start of the character that a cut at ``stop`` would divide."""
    # A byte that begins a character is a boundary for every decoder. So the pieces decode to the same text as the
    # whole, broken bytes included.
    if data[stop] in _CONTINUES:
        for back in (1, 2, 3):
            byte = data[stop - back]
            if byte not in _CONTINUES:
                return stop - back if _WIDTHS.get(byte, 1) > back else stop
    return stop


class _TextSplitter:
    """Splitter that decodes before splitting: for all other encodings."""

    __slots__ = ("_decoder", "_encoding", "_errors", "_limit", "_mark", "_rest", "_size")

    _WIDEST = 16
    """Upper bound of the bytes of one character in any encoding, shift sequences included."""

    def __init__(self, encoding: str, errors: str, limit: int) -> None:
        self._encoding = encoding
        self._errors = errors
        self._limit = limit
        self._mark = len("".encode(encoding))
        self._decoder = decoder_for(encoding, errors)
        self._rest: list[str] = []
        self._size = 0
        """Bytes of the rest, or slightly more if the encoding has shift sequences."""

    def feed(self, chunk: bytes) -> list[Any]:
        return self._take(self._decoder.decode(chunk))

    def finish(self) -> list[Any]:
        lines = self._take(self._decoder.decode(b"", final=True))
        rest = "".join(self._rest)
        self._keep("")
        self._decoder = decoder_for(self._encoding, self._errors)
        if rest:
            lines += self._split(rest + "\n")
            lines[-1] = PartialLine(lines[-1])
        return lines

    def unfinished(self) -> str | bytes:
        return "".join(self._rest).removesuffix("\r")

    def _take(self, text: str) -> list[Any]:
        end = text.rfind("\n") + 1
        lines: list[Any] = []
        if end:
            lines = self._split("".join((*self._rest, text[:end])).replace("\r\n", "\n"))
            self._keep("")
        if end < len(text):
            self._rest.append(text[end:])
            self._size += self._bytes(text[end:])
        if self._size > self._limit:
            rest = "".join(self._rest)
            self._keep(rest[self._cut_pieces(rest, len(rest) - rest.endswith("\r"), lines) :])
        return lines

    def _keep(self, rest: str) -> None:
        self._rest = [rest] if rest else []
        self._size = self._bytes(rest)

    def _split(self, text: str) -> list[Any]:
        lines: list[Any] = text.split("\n")
        lines.pop()
        if max(map(len, lines)) * self._WIDEST <= self._limit:
            return lines
        pieces: list[Any] = []
        for line in lines:
            start = self._cut_pieces(line, len(line), pieces)
            pieces.append(line[start:])
        return pieces

    def _cut_pieces(self, text: str, size: int, pieces: list[Any]) -> int:
        """Cut pieces off while more than the limit is left; return the start of the rest."""
        start = 0
        # Every character takes at least one byte. A single character is never cut, whatever it takes.
        while size - start > self._limit or (size - start > 1 and self._bytes(text[start:size]) > self._limit):
            low, high = start + 1, min(start + self._limit, size - 1)
            while low < high:
                middle = (low + high + 1) // 2
                if self._bytes(text[start:middle]) <= self._limit:
                    low = middle
                else:
                    high = middle - 1
            pieces.append(ContinuedLine(text[start:low]))
            start = low
        return start

    def _bytes(self, text: str) -> int:
        return len(text.encode(self._encoding, "replace")) - self._mark
