from __future__ import annotations

import codecs
import itertools
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aioverseer.core.errors import SpecError
from aioverseer.core.text.lines import (
    ContinuedBytes,
    ContinuedLine,
    Line,
    LineSplitter,
    PartialBytes,
    PartialLine,
    make_lines,
    with_missed,
)
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE

Typed = list[tuple[type, str | bytes]]
PLAIN: dict[type, type] = {PartialLine: str, PartialBytes: bytes}


def split(*chunks: bytes, encoding: str | None = "utf-8", errors: str = "replace", limit: int = 16384) -> Typed:
    """All lines of a stream that came in these chunks, each with its type; a last line without an end as any other."""
    splitter = LineSplitter(encoding=encoding, errors=errors, line_limit=limit)
    lines: list[str | bytes] = []
    for chunk in chunks:
        lines += splitter.feed(chunk)
    lines += splitter.finish()
    assert [] == splitter.finish()
    return [(PLAIN.get(type(line), type(line)), line) for line in lines]


def whole(*lines: str) -> Typed:
    """Lines of text, none of them a piece."""
    return [(str, line) for line in lines]


# --- the end of a line


def test_both_ends_of_line_are_removed() -> None:
    r"""``\n`` and ``\r\n`` end a line, blank lines are lines."""
    assert whole("a", "b", "", "c") == split(b"a\nb\r\n\r\nc\n")


def test_a_lone_carriage_return_stays() -> None:
    """A progress bar keeps its carriage returns, in front of the line's end too (B36)."""
    assert whole("10%\r20%\r", "x\r") == split(b"10%\r20%\r\r\nx\r")


@pytest.mark.parametrize(
    "chunks",
    [
        [b"ab\r\nxyz\n"],
        [b"ab\r", b"\nxyz\n"],
        [b"ab", b"\r", b"\n", b"xyz", b"\n"],
        [bytes([byte]) for byte in b"ab\r\nxyz\n"],
    ],
)
def test_a_carriage_return_is_looked_for_at_its_own_line(chunks: list[bytes]) -> None:
    """No character of a later line is eaten, and CR and LF may come apart (B28)."""
    assert whole("ab", "xyz") == split(*chunks)


def test_a_held_carriage_return_goes_on_with_its_line() -> None:
    """A carriage return at the end of a chunk, with no line feed after it, is text."""
    assert whole("ab\rcd") == split(b"ab\r", b"cd\n")


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_other_separators_do_not_end_a_line(end: str) -> None:
    """Other ends of ``str.splitlines`` are text."""
    assert whole(f"a{end}b") == split(f"a{end}b\n".encode())


# --- the begin and the end of the stream


def test_a_line_is_delivered_once_whole() -> None:
    """A line that is read in two halves is one line (B25)."""
    splitter = LineSplitter()
    assert [] == splitter.feed(b"foo")
    assert ["foobar"] == splitter.feed(b"bar\nnext")
    assert ["next"] == splitter.finish()


def test_the_last_line_needs_no_end() -> None:
    """Text that no newline follows is delivered at the end of the stream (B29)."""
    assert whole("a", "b") == split(b"a\nb")


def test_nothing_gives_no_line() -> None:
    """A stream without a byte has no line, and a newline at its end begins none."""
    assert [] == split()
    assert [] == split(b"", b"")
    assert whole("a") == split(b"a\n", b"")


def test_a_splitter_is_empty_after_its_end() -> None:
    """Bytes after ``finish`` are a new stream."""
    splitter = LineSplitter(encoding="utf-16-le")
    splitter.feed(b"a\0b")
    assert ["a\ufffd"] == splitter.finish()
    assert ["c"] == splitter.feed(b"c\0\n\0")


# --- the limit


def test_the_defaults_are_those_of_the_go_library() -> None:
    """The names and numbers are inherited."""
    assert (16384, 1000) == (DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "shift_jis"])
def test_a_line_of_the_limit_is_whole(encoding: str, end: bytes) -> None:
    """The limit counts without the line's end."""
    data = b"x" * 8 + end
    assert whole("x" * 8) == split(data, encoding=encoding, limit=8)
    assert whole("x" * 8) == split(*(bytes([byte]) for byte in data), encoding=encoding, limit=8)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_of_twice_the_limit_is_two_pieces(end: bytes) -> None:
    """Each piece but the last is marked."""
    expected: Typed = [(ContinuedLine, "x" * 8), (str, "y" * 8)]
    assert expected == split(b"x" * 8 + b"y" * 8 + end, limit=8)


def test_a_line_over_the_limit_by_a_carriage_return_is_two_pieces() -> None:
    """A carriage return that ends no line counts like every character."""
    expected: Typed = [(ContinuedLine, "x" * 8), (str, "\r")]
    assert expected == split(b"x" * 8 + b"\r", limit=8)
    assert expected == split(b"x" * 8 + b"\r", b"\r\n", limit=8)


def test_an_over_long_line_between_others_hurts_none() -> None:
    """The lines before and after a line of 64 KiB and more are what they were (B26)."""
    lines = split(b"before\n" + b"x" * 70_000 + b"\nafter\n")
    assert (str, "before") == lines[0]
    assert (str, "after") == lines[-1]
    pieces = lines[1:-1]
    assert [ContinuedLine] * 4 + [str] == [kind for kind, _ in pieces]
    assert "x" * 70_000 == "".join(str(piece) for _, piece in pieces)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "shift_jis", "utf-16-le", "utf-32"])
def test_text_without_a_newline_comes_while_it_is_written(encoding: str) -> None:
    """A line that never ends neither fails nor waits (B27), in encodings that are decoded first too."""
    width = len("x".encode(encoding)) - len("".encode(encoding))
    splitter = LineSplitter(encoding=encoding, line_limit=8 * width)
    encoder = codecs.getincrementalencoder(encoding)()
    assert ["x" * 8, "x" * 8] == splitter.feed(encoder.encode("x" * 20))
    assert ["xxxxyyyy"] == splitter.feed(encoder.encode("yyyyy"))
    assert ["y"] == splitter.finish()


@pytest.mark.parametrize("shift", range(5))
@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_piece_does_not_cut_a_character(character: str, shift: int) -> None:
    """A piece is a little shorter than the limit rather than break a character."""
    line = "x" * shift + character * 20
    lines = split(line.encode(), limit=9)
    assert line == "".join(str(piece) for _, piece in lines)
    assert all(9 - 3 <= len(str(piece).encode()) <= 9 for _, piece in lines[:-1])


def test_only_a_character_that_would_be_cut_makes_a_piece_shorter() -> None:
    """A whole character in front of the cut stays, whatever follows it."""
    expected: Typed = [(ContinuedLine, "xxé"), (str, "\ufffd")]
    assert expected == split(b"xx\xc3\xa9\x80", limit=4)


def test_broken_bytes_at_a_cut_decode_as_they_would_in_one() -> None:
    """Pieces of an invalid line are together what the whole would have been."""
    data = b"\xe2\x82" * 3 + b"\x80" * 9 + b"\xf0\x9f" * 5 + b"\xff\xc3"
    lines = split(data, limit=4)
    assert data.decode(errors="replace") == "".join(str(piece) for _, piece in lines)


@pytest.mark.parametrize(("encoding", "width"), [("utf-16-le", 2), ("utf-16", 2), ("utf-32", 4)])
def test_the_limit_of_wide_encodings_is_in_bytes(encoding: str, width: int) -> None:
    """Characters of two or four bytes fill a piece sooner, and a byte order mark takes no room."""
    expected: Typed = [(ContinuedLine, "a" * (16 // width)), (str, "b" * (16 // width))]
    text = "a" * (16 // width) + "b" * (16 // width) + "\n"
    assert expected == split(text.encode(encoding), encoding=encoding, limit=16)


@pytest.mark.parametrize("limit", [-1, 0, 3])
def test_a_limit_without_room_for_a_character_is_refused(limit: int) -> None:
    """The limit is at least the longest character of UTF-8."""
    with pytest.raises(SpecError, match=f"line_limit={limit}") as caught:
        LineSplitter(line_limit=limit)
    assert ("line_limit", limit) == (caught.value.option, caught.value.value)


def test_memory_is_bounded_by_limit_and_chunk() -> None:
    """A line of 16 MiB without a newline is never held as a whole."""
    splitter = LineSplitter()
    chunk = b"x" * 65536
    splitter.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(256):
            splitter.feed(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 65536


# --- encodings


def test_without_an_encoding_lines_are_bytes() -> None:
    """Binary output arrives as it is (B36)."""
    expected: Typed = [(bytes, b"\xff\0"), (ContinuedBytes, b"\x80" * 4), (bytes, b"\x81")]
    assert expected == split(b"\xff\0\r\n\x80\x80", b"\x80\x80\x81", encoding=None, limit=4)


def test_a_character_in_two_chunks_is_whole() -> None:
    """Chunks may end in the middle of a character."""
    assert whole("é€😀") == split(*(bytes([byte]) for byte in "é€😀\n".encode()))


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ("replace", "a\ufffd"),
        ("backslashreplace", "a\\xe2\\x82"),
        ("ignore", "a"),
        ("surrogateescape", "a\udce2\udc82"),
    ],
)
def test_a_character_that_the_end_cuts_follows_errors(errors: str, expected: str) -> None:
    """An incomplete character is neither dropped nor waited for."""
    assert whole(expected) == split(b"a\xe2\x82", errors=errors)
    assert whole(expected, "b") == split(b"a\xe2\x82\nb", errors=errors)


def test_ignored_bytes_do_not_make_an_end_of_line() -> None:
    """A carriage return counts as the line feed's only where nothing stands between them."""
    assert whole("a\r") == split(b"a\r\xff\n", errors="ignore")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_is_no_text(encoding: str) -> None:
    """The mark at the begin is taken off, and needed by none."""
    assert whole("a", "b") == split("a\nb".encode(encoding), encoding=encoding)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_both_byte_orders_are_read(encoding: str, order: str) -> None:
    """The mark says which, also when it comes byte by byte."""
    data = "\ufeffa\nb".encode(f"{encoding}-{order}")
    assert whole("a", "b") == split(*(bytes([byte]) for byte in data), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_missing_byte_order_mark_does_not_raise(encoding: str) -> None:
    """Without a mark the order is that of the machine, as in ``bytes.decode``."""
    data = "a\nb".encode(encoding)[len("".encode(encoding)) :]
    assert whole("a", "b") == split(data, encoding=encoding)
    assert whole("\ufffd") == split(b"a", encoding=encoding)


def test_a_newline_that_is_another_byte_is_found() -> None:
    """EBCDIC ends a line with 0x25."""
    assert whole("a", "b") == split("a\nb\n".encode("cp037"), encoding="cp037")


@pytest.mark.parametrize("encoding", ["no-such-codec", "base64", "rot13", "hex"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    """A codec between bytes and bytes is no encoding of text."""
    with pytest.raises(SpecError, match=encoding) as caught:
        LineSplitter(encoding=encoding)
    assert ("encoding", encoding) == (caught.value.option, caught.value.value)


# --- any chunking


def naive(data: bytes, encoding: str | None, limit: int) -> Typed:
    """The same by the plainest means: all the bytes at once, each line cut character by character."""
    lines: list[str] | list[bytes]
    if encoding is None:
        lines = data.replace(b"\r\n", b"\n").split(b"\n")
    else:
        lines = data.decode(encoding, "replace").replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    result: Typed = []
    for line in lines:
        if isinstance(line, bytes):
            starts = range(0, max(1, len(line)), limit)
            result += [(ContinuedBytes, line[start : start + limit]) for start in starts[:-1]]
            result.append((bytes, line[starts[-1] :]))
            continue
        piece = ""
        for character in line:
            if len((piece + character).encode(encoding or "")) - len("".encode(encoding or "")) > limit:
                result.append((ContinuedLine, piece))
                piece = ""
            piece += character
        result.append((str, piece))
    return result


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in chunks that end at these places."""
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(borders)]


PLACES = st.lists(st.integers(0, 10_000), max_size=20)
LIMITS = st.integers(4, 40)
TEXT = st.lists(
    st.one_of(
        st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "é", "€", "あ", "漢字", "\u2028", "x" * 30]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    ),
    max_size=30,
).map("".join)
BYTES = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\r\n", b"\r", b"\r\r", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"x" * 30]),
        st.sampled_from([b"\x1b$B", b"\x1b(B", b"\x82\xa0", b"a\0", b"\n\0", b"\0\n", b"\xff\xfe", b"\x3d\xd8"]),
        st.binary(max_size=8),
    ),
    max_size=30,
).map(b"".join)
ENCODINGS = ["utf-8", "latin-1", "ascii", "cp1252", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "shift_jis"]
MORE = [*ENCODINGS, "gb18030", "big5", "euc_jp", "iso2022_jp", "iso2022_kr", "iso2022_jp_2004", "hz", "cp037", None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "gb18030"])
@given(text=TEXT, places=PLACES, limit=LIMITS)
def test_text_is_split_like_a_plain_model(encoding: str, text: str, places: list[int], limit: int) -> None:
    """Wherever the chunks end, the lines, the pieces and their types are those of the naive reference."""
    data = text.encode(encoding)
    assert naive(data, encoding, limit) == split(*cut(data, places), encoding=encoding, limit=limit)


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", None])
@given(data=BYTES, places=PLACES, limit=LIMITS)
def test_bytes_are_split_like_a_plain_model(encoding: str | None, data: bytes, places: list[int], limit: int) -> None:
    """The same where every byte is valid."""
    assert naive(data, encoding, limit) == split(*cut(data, places), encoding=encoding, limit=limit)


@pytest.mark.parametrize("encoding", MORE)
@given(data=BYTES, places=PLACES, limit=LIMITS)
@example(data=b"x" * 16 + b"\r\n", places=[17], limit=16)
@example(data=b"\x1b$\x00\x00\x00\x00\n\n\n", places=[], limit=4)
def test_any_chunking_gives_the_same_lines(encoding: str | None, data: bytes, places: list[int], limit: int) -> None:
    """Broken or not, the chunks do not show."""
    at_once = split(data, encoding=encoding, limit=limit)
    assert at_once == split(*cut(data, places), encoding=encoding, limit=limit)
    assert at_once == split(*(data[i : i + 1] for i in range(len(data))), encoding=encoding, limit=limit)


@pytest.mark.parametrize("errors", ["replace", "backslashreplace", "surrogateescape", "ignore"])
@given(data=BYTES, limit=LIMITS)
def test_joined_pieces_are_the_line(errors: str, data: bytes, limit: int) -> None:
    """For any limit, the joined pieces of broken bytes equal the text without a limit."""
    joined: list[str] = []
    begun = ""
    for kind, piece in split(data, errors=errors, limit=limit):
        begun += str(piece)
        if kind is str:
            joined.append(begun)
            begun = ""
    assert [line for _, line in split(data, errors=errors, limit=100_000)] == joined


# --- the values


def test_a_line_is_whole_unless_it_says_otherwise() -> None:
    """A Line is a tuple whose last fields have defaults."""
    now = datetime.now(UTC)
    line = Line("web", "stdout", "hello", now, 1)
    assert ("web", "stdout", "hello", now, 1, False, 0, 0) == line


def test_lines_of_a_batch_are_numbered() -> None:
    """From the given number on; the copy for a slow subscriber differs in nothing but what is missing."""
    now = datetime.now(UTC)
    lines = make_lines("web", "stderr", [ContinuedLine("a"), "b"], now, 2, 7)
    assert [("a", True, 7, 0), ("b", False, 8, 0)] == [tuple(line)[2:3] + tuple(line)[5:] for line in lines]
    assert lines[0]._replace(missed=3) == with_missed(lines[0], 3)


def test_pieces_are_text_with_a_mark_and_nothing_more() -> None:
    """A piece compares and works as what it holds."""
    assert ContinuedLine("a") == "a"
    assert ContinuedBytes(b"a") == b"a"
    assert not hasattr(ContinuedLine("a"), "__dict__")
    assert not hasattr(ContinuedBytes(b"a"), "__dict__")
