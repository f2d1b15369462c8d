r"""Framings: the same bytes give the same items, however they are cut into chunks."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import ContinuedBytes, ContinuedLine, PartialBytes, PartialLine, SpecError, UnframedBytes, framing
from aioverseer.core.options.framing import Framing, FramingOption, FramingRule, as_framing
from aioverseer.core.text.framing import decoder_for, shown
from aioverseer.core.text.unframed import LONGEST

Typed = list[tuple[type, Any]]


def decode(
    rule: FramingOption, *chunks: bytes, encoding: str | None = "utf-8", errors: str = "replace", limit: int = 16384
) -> Typed:
    """All items of a stream that came in these chunks, each with its type."""
    decoder = decoder_for(rule, encoding=encoding, errors=errors, line_limit=limit)
    items: list[Any] = []
    for chunk in chunks:
        items += decoder.feed(chunk)
    items += decoder.finish()
    assert [] == list(decoder.finish())
    return [(type(item), item) for item in items]


def plain(*items: Any) -> Typed:
    return [(type(item), item) for item in items]


RULES: dict[str, tuple[FramingRule, str | None]] = {
    "lines": (framing.lines(), "utf-8"),
    "lines of bytes": (framing.lines(), None),
    "lines in UTF-16": (framing.lines(), "utf-16"),
    "universal": (framing.lines(universal=True), "utf-8"),
    "universal bytes": (framing.lines(universal=True), None),
    "NUL": (framing.lines(end="\0"), "utf-8"),
    "two bytes": (framing.lines(end="\r\n"), "latin-1"),
    "repeated bytes": (framing.lines(end=b"\n\n"), None),
    "wide": (framing.lines(end="é"), "utf-8"),
    "content_length": (framing.content_length(limit=50), None),
    "length_prefix": (framing.length_prefix(1, limit=50), None),
    "length_prefix of two": (framing.length_prefix(2, "little", limit=50), None),
}
PIECES = [
    *[b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\0\0", b"a", b"bc", "é".encode(), b"\xc3", b"\xa9", b"x" * 30, b"\xff"],
    *[
        b"Content-Length: 2\r\n\r\n{}",
        b"content-length:3\n\nabc",
        b"Content-Length: 99\r\n\r\n",
        b"Content-Length: x\r\n",
    ],
    *[b"Content-Type: a\r\n", b"Content-", b"Content-Length: 0\r\n\r\n", b"print\n", b"\x02hi", b"\x00\x02hi", b"\x40"],
]
STREAMS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=14).map(b"".join)


@pytest.mark.parametrize("name", RULES)
@given(data=STREAMS, cuts=st.lists(st.integers(0, 400), max_size=12), limit=st.sampled_from([4, 5, 16, 16384]))
def test_chunks_do_not_matter(name: str, data: bytes, cuts: list[int], limit: int) -> None:
    rule, encoding = RULES[name]
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = decode(rule, data, encoding=encoding, limit=limit)
    chunks = [data[start:stop] for start, stop in itertools.pairwise(places)]
    assert whole == decode(rule, *chunks, encoding=encoding, limit=limit)
    assert whole == decode(rule, *(bytes([byte]) for byte in data), encoding=encoding, limit=limit)


def test_long_unframed_output_does_not_depend_on_chunks() -> None:
    data = b"x" * (LONGEST - 1) + b"\n" + b"y" * LONGEST + b"\n" + b"z" * (2 * LONGEST + 5)
    for rule in (framing.content_length(), framing.length_prefix(4, limit=1)):
        whole = decode(rule, data)
        assert b"".join(item for _, item in whole) == data
        assert {UnframedBytes} == {kind for kind, _ in whole}
        for size in (1, 7, LONGEST - 1, LONGEST, LONGEST + 1):
            assert whole == decode(rule, *(data[at : at + size] for at in range(0, len(data), size)))


@given(
    frames=st.lists(st.binary(max_size=40), max_size=8),
    cut=st.integers(0, 60),
    rule=st.sampled_from(
        [framing.content_length(), *(framing.length_prefix(n, order) for n in (1, 4, 8) for order in ("big", "little"))]
    ),
)
def test_frames_come_whole_and_what_the_end_cuts_is_partial(frames: list[bytes], cut: int, rule: FramingRule) -> None:
    data = b"".join(map(rule.encode, frames))
    assert plain(*frames) == decode(rule, data)
    if not data:
        return
    data = data[: max(0, len(data) - 1 - cut)]
    whole, size = [], 0
    for frame in frames:
        if size + len(rule.encode(frame)) > len(data):
            break
        whole.append(frame)
        size += len(rule.encode(frame))
    rest = [PartialBytes(data[size:])] if data[size:] else []
    assert plain(*whole, *rest) == decode(rule, data)


@given(data=st.lists(st.binary(min_size=1, max_size=40), max_size=9))
def test_chunks_keep_every_byte(data: list[bytes]) -> None:
    assert plain(*data) == decode(framing.chunks(), *data)


# --- lines


def test_a_last_line_without_an_end_is_partial() -> None:
    assert [(str, "a"), (PartialLine, "b")] == decode(framing.lines(), b"a\nb")
    assert [(bytes, b"a"), (PartialBytes, b"b")] == decode(framing.lines(), b"a\nb", encoding=None)
    assert [(str, "a"), (PartialLine, "b")] == decode(framing.lines(), "a\nb".encode("utf-16"), encoding="utf-16")
    assert plain("a", "b") == decode(framing.lines(), b"a\nb\n")


def test_universal_newlines_end_lines_of_a_progress_bar_at_once() -> None:
    decoder = decoder_for(framing.lines(universal=True), encoding="utf-8", errors="replace", line_limit=100)
    assert ["10%"] == decoder.feed(b"10%\r")
    assert ["20%"] == decoder.feed(b"20%\r")
    assert [] == decoder.feed(b"\n")
    assert ["", "done"] == decoder.feed(b"\r\ndone\n")


def test_a_chosen_end_leaves_newlines_alone() -> None:
    assert plain("a\nb\r", "", "c") == decode(framing.lines(end="\0"), b"a\nb\r\0\0c\0")
    assert plain("a\r", "b") == decode(framing.lines(end="\n"), b"a\r\nb\n")
    assert plain("a", "b\n") == decode(framing.lines(end="||"), b"a||b\n||")


def test_a_long_line_with_a_chosen_end_comes_in_pieces() -> None:
    assert [(ContinuedLine, "abcd"), (ContinuedLine, "efgh"), (str, "i")] == decode(
        framing.lines(end="\0"), b"abcdefghi\0", limit=4
    )
    assert [(ContinuedBytes, b"abcd"), (PartialBytes, b"e")] == decode(
        framing.lines(end="\0"), b"abcde", encoding=None, limit=4
    )
    assert [(ContinuedLine, "abc"), (str, "é")] == decode(framing.lines(end="\0"), "abcé\0".encode(), limit=4)


def test_time_of_a_long_line_with_a_chosen_end_is_linear() -> None:
    def seconds(size: int) -> float:
        decoder = decoder_for(framing.lines(end="\0"), encoding="utf-8", errors="replace", line_limit=2**24)
        began = time.thread_time()
        for _ in range(size // 2**14):
            assert decoder.feed(bytes(2**14).replace(b"\0", b"x")) == []
        return time.thread_time() - began

    short = min(seconds(2**19) for _ in range(3))
    assert min(seconds(2**23) for _ in range(2)) < 16 * 4 * short  # with its square it is 256 times


# --- Content-Length


def test_header_fields_are_known_in_any_order_and_case() -> None:
    data = b"content-type: x\r\nCONTENT-LENGTH : 2\r\n\r\n{}Content-Length: 3\n\nabc"
    assert plain(b"{}", b"abc") == decode(framing.content_length(), data)


def test_frame_after_an_unusual_header_may_come_in_pieces() -> None:
    data = (b"content-length:3\n\n", b"ab", b"cContent-Length: 2\r", b"\n\r\n{", b"}")
    assert plain(b"abc", b"{}") == decode(framing.content_length(), *data)


def test_frames_of_many_lengths_are_whole() -> None:
    """Headers are remembered, with two thousand of them in two orders."""
    frames = [b"x" * (number * 7919 % 2000) for number in range(2000)]
    rule = framing.content_length(limit=1999)
    data = b"".join(map(rule.encode, [*frames, *sorted(frames)]))
    chunks = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    assert plain(*frames, *sorted(frames)) == decode(rule, *chunks)


def test_output_between_frames_is_told_apart_line_by_line() -> None:
    """A print in a server is seen, and the next frames are whole."""
    rule = framing.content_length()
    data = b"Starting\r\n" + rule.encode(b"{}") + b"\nDEBUG: x\n" + rule.encode(b"[]") + b"no end"
    assert [
        (UnframedBytes, b"Starting\r\n"),
        (bytes, b"{}"),
        (UnframedBytes, b"\n"),
        (UnframedBytes, b"DEBUG: x\n"),
        (bytes, b"[]"),
        (UnframedBytes, b"no end"),
    ] == decode(rule, data)


def test_output_in_front_of_or_inside_a_header_does_not_break_it() -> None:
    data = b"Loading...Content-Length: 2\r\nwarning\r\n\r\n{}"
    assert [(UnframedBytes, b"Loading..."), (UnframedBytes, b"warning\r\n"), (bytes, b"{}")] == decode(
        framing.content_length(), data
    )


@pytest.mark.parametrize("value", [b"-1", b"x", b"", b"1e3", b"9" * 30])
def test_a_header_without_a_sound_number_is_not_obeyed(value: bytes) -> None:
    header = b"Content-Length: " + value + b"\r\n"
    data = header + b"\r\n" + framing.content_length().encode(b"{}")
    assert [(UnframedBytes, header), (UnframedBytes, b"\r\n"), (bytes, b"{}")] == decode(framing.content_length(), data)


@pytest.mark.parametrize("header", [b"Content-Length: 9\r\n\r\n", b"content-length:9\nContent-Type: a\n\n"])
def test_a_frame_over_the_limit_is_not_collected_and_the_next_one_is_whole(header: bytes) -> None:
    rule = framing.content_length(limit=8)
    data = header + b"012\n45678" + rule.encode(b"{}")
    kinds = decode(rule, data)
    assert (bytes, b"{}") == kinds.pop()
    assert {UnframedBytes} == {kind for kind, _ in kinds}
    assert header + b"012\n45678" == b"".join(item for _, item in kinds)


def test_endless_header_fields_are_unframed() -> None:
    line = b"Content-Type: x\r\n"
    items = decode(framing.content_length(), line * 3000 + framing.content_length().encode(b"{}"))
    assert (bytes, b"{}") == items.pop()
    assert {UnframedBytes} == {kind for kind, _ in items}


# --- length prefix


def test_text_in_place_of_a_length_is_seen_at_once() -> None:
    """A traceback on standard output is no frame of 1.4 GB that never comes."""
    decoder = decoder_for(framing.length_prefix(4), encoding=None, errors="replace", line_limit=100)
    assert [b"ok", b"Traceback (most recent call last):\n"] == list(
        decoder.feed(b"\0\0\0\2okTraceback (most recent call last):\n  File")
    )
    assert [b"  File"] == list(decoder.finish())


def test_a_frame_over_the_limit_of_a_length_prefix_keeps_the_stream_in_step() -> None:
    rule = framing.length_prefix(2, limit=3)
    assert [(UnframedBytes, b"\0\4abcd"), (bytes, b"ok")] == decode(rule, rule.encode(b"abcd") + rule.encode(b"ok"))


def test_an_item_too_long_for_its_length_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes are too long for a length of 1 bytes"):
        framing.length_prefix(1).encode(b"x" * 256)


# --- a framing of the user


class Threes:
    """Items of three bytes."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return each three bytes."""
        self.rest += data
        items = [self.rest[at : at + 3] for at in range(0, len(self.rest) - 2, 3)]
        self.rest = self.rest[3 * len(items) :]
        return items

    def end(self) -> list[bytes]:
        """Return the rest."""
        rest, self.rest = self.rest, b""
        return [PartialBytes(rest)] if rest else []


@pytest.mark.parametrize("given", [Threes, functools.partial(Threes), Threes()], ids=["class", "function", "object"])
def test_a_framing_of_the_user_begins_anew_for_each_run(given: FramingOption) -> None:
    for _ in range(2):
        assert [(bytes, b"abc"), (PartialBytes, b"de")] == decode(given, b"ab", b"cde")
    if isinstance(given, Threes):
        assert b"" == given.rest


# --- values that are no framing


def bad(value: Any) -> str:
    with pytest.raises(SpecError) as caught:
        as_framing(value)
    return str(caught.value)


def test_values_that_are_no_framing_are_refused_with_an_idea() -> None:
    class Half:
        def feed(self, data: bytes) -> list[bytes]:
            return [data]

    class Open(Threes):
        def __init__(self) -> None:
            super().__init__()
            self.file = open("/dev/null", "rb")  # noqa: SIM115

    assert "is text: pass for example framing.content_length()" in bad("lines")
    assert "has no method end()" in bad(Half)
    assert "has no method end()" in bad(Half())
    assert "has no method feed()" in bad(None)
    assert "is the function: call it, framing.content_length()" in bad(framing.content_length)
    assert 'has no stream \'stdin\': the names are "stdout" and "stderr"' in bad({"stdin": framing.lines()})
    opened = Open()
    assert "cannot be copied for each run (TypeError" in bad(opened)
    opened.file.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: framing.lines(end=""), "end='' is no end of a line"),
        (lambda: framing.lines(end="\0", universal=True), "cannot go with universal=True"),
        (lambda: framing.content_length(limit=0), "limit=0 is no number of bytes: pass 1 or more"),
        (lambda: framing.length_prefix(9), "size=9 is no size of a length: pass 1 to 8 bytes"),
        (
            lambda: framing.length_prefix(4, cast("Any", "network")),
            'byteorder=\'network\' is unknown: pass "big" or "little"',
        ),
        (lambda: framing.length_prefix(limit=True), "limit=True is no number of bytes"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert message in str(caught.value)
    assert "framing" == caught.value.option


# --- for people


def test_a_frame_is_shown_as_one_line() -> None:
    assert '{"a": "é"}' == shown('{"a": "é"}'.encode())
    assert r"a\nb\x1b[0m\xff" == shown(b"a\nb\x1b[0m\xff")
    assert "x" * 500 + "... (70000 bytes)" == shown(b"x" * 70000)
    assert r"a\tb" == shown("a\tb")


def test_protocol_of_the_user_is_what_decoders_need() -> None:
    made: Framing = Threes()
    assert [b"abc"] == made.feed(b"abc")
