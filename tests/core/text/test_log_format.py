"""The format of lines in a log file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Line, LogFile
from aioverseer.core.text.log_format import Gap, LogFormat

NOW = datetime(2030, 1, 2, 3, 4, 5, 678900, UTC)


def line(text: str | bytes, *, id: str = "web", stream: str = "stdout", run: int = 1, continued: bool = False) -> Line:
    """A line of a service."""
    return Line(id, stream, text, NOW, run, continued)


def written(*entries: Line | Gap, named: bool = False, **options: Any) -> bytes:
    """Content of a file after these entries."""
    form = LogFormat(LogFile("x", **options))
    return b"".join(form.encode(entry, named=named) for entry in entries)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (line("plain"), b"plain\n"),
        (line(""), b"\n"),
        (line("ü\r"), b"\xc3\xbc\r\n"),
        (line(b"\xff\x00raw"), b"\xff\x00raw\n"),
        (line(b"\xff".decode("utf-8", "surrogateescape")), b"\xff\n"),
        (line("\ud800"), b"\\ud800\n"),
        (Gap(id="web", n=3, time=NOW, reason="a reason"), b"[aioverseer: 3 lines are missing here: a reason]\n"),
        (Gap(id="", n=1, time=NOW, reason="a reason"), b"[aioverseer: 1 line is missing here: a reason]\n"),
    ],
)
def test_text_is_the_line_as_it_is(entry: Line | Gap, expected: bytes) -> None:
    """Bytes that the encoding did not know come back as they were, where that can be."""
    assert expected == written(entry)


def test_text_may_begin_with_the_time_and_the_service() -> None:
    """In milliseconds and with the offset; a mark of missing lines begins the same way."""
    gap = Gap(id="web", n=2, time=NOW, reason="r")
    nobodys = Gap(id="", n=2, time=NOW, reason="r")
    assert b"2030-01-02T03:04:05.678+00:00 a\n" == written(line("a"), timestamps=True)
    assert b"web | a\n" == written(line("a"), named=True)
    assert b"a b | a\n" == written(line("a", id="a\nb"), named=True)
    assert (
        b"2030-01-02T03:04:05.678+00:00 web | [aioverseer: 2 lines are missing here: r]\n"
        b"2030-01-02T03:04:05.678+00:00 [aioverseer: 2 lines are missing here: r]\n"
    ) == written(gap, nobodys, named=True, timestamps=True)


def test_the_pieces_of_an_over_long_line_are_one_line_of_text() -> None:
    """Time and service stand once, at its beginning."""
    entries = [line("aa", continued=True), line("bb", continued=True), line("c"), line("d")]
    assert b"aabbc\nd\n" == written(*entries)
    assert b"web | aabbc\nweb | d\n" == written(*entries, named=True)


@pytest.mark.parametrize(
    "between",
    [
        line("x", stream="stderr"),
        line("x", id="db"),
        line("x", run=2),
        Gap(id="", n=1, time=NOW, reason="x"),
    ],
)
def test_pieces_with_another_line_in_between_are_lines_of_their_own(between: Line | Gap) -> None:
    """No other line begins in the middle of one."""
    first, other, *rest = written(line("aa", continued=True), between, line("bb")).splitlines()
    assert (b"aa", [b"bb"]) == (first, rest)
    assert b"x" in other


def test_json_is_an_object_for_each_line() -> None:
    """Bytes are shown with backslashes; only a piece says that it is continued."""
    entries: list[Line | Gap] = [
        line('ü "q" \t', stream="stderr", run=7),
        line(b"\xff\x00", continued=True),
        line("\ud800"),
        Gap(id="web", n=3, time=NOW, reason="r"),
        Gap(id="", n=3, time=NOW, reason="r"),
    ]
    common = {"time": "2030-01-02T03:04:05.678+00:00", "id": "web", "stream": "stdout", "run": 1}
    gap = {"time": common["time"], "missing": 3, "reason": "r"}
    assert [
        common | {"text": 'ü "q" \t', "stream": "stderr", "run": 7},
        common | {"text": "\\xff\x00", "continued": True},
        common | {"text": "\ud800"},
        gap | {"id": "web"},
        gap | {"id": None},
    ] == [json.loads(text) for text in written(*entries, format="json", named=True).splitlines()]


def test_each_time_is_written_as_it_is() -> None:
    """The text of a time is kept for the lines that were read with it, and for no others."""
    later = line("b")._replace(time=NOW + timedelta(hours=1))
    stamps = [text.split()[0] for text in written(line("a"), later, line("c"), timestamps=True).splitlines()]
    assert [b"2030-01-02T03:04", b"2030-01-02T04:04", b"2030-01-02T03:04"] == [stamp[:16] for stamp in stamps]


ENTRIES = st.builds(
    line,
    st.one_of(st.text(), st.binary(), st.sampled_from(["\ud800", "\udcff", "plain"])),
    id=st.sampled_from(["a", "b"]),
    stream=st.sampled_from(["stdout", "stderr"]),
    run=st.integers(1, 2),
    continued=st.sampled_from([False, False, False, True]),
)


@given(
    entries=st.lists(ENTRIES, min_size=1, max_size=6),
    options=st.fixed_dictionaries({"format": st.sampled_from(["text", "json"]), "timestamps": st.booleans()}),
    named=st.booleans(),
)
def test_many_lines_at_once_are_the_lines_one_by_one(entries: list[Line], options: Any, named: bool) -> None:
    """Or they are left to that."""
    together = LogFormat(LogFile("x", **options)).encode_all(entries, named=named)
    assert together in (None, written(*entries, named=named, **options))
    if all(isinstance(entry.text, str) and entry.text.isascii() and not entry.continued for entry in entries):
        assert together is not None


@pytest.mark.parametrize("format", ["text", "json"])
def test_nothing_is_made_at_once_in_the_middle_of_a_line(format: Any) -> None:
    """The next entry may be the rest of the line."""
    form = LogFormat(LogFile("x", format=format))
    form.encode(line("a", continued=True), named=False)
    assert (form.encode_all([line("b")], named=False) is None) is (format == "text")
    form.encode(line("b"), named=False)
    assert form.encode_all([line("c")], named=False) is not None
    assert form.encode_all([Gap(id="", n=1, time=NOW, reason="r")], named=False) is None


@given(
    entries=st.lists(
        st.builds(line, st.just("text") | st.just(b"bytes"), id=st.sampled_from(["web", "db"])), min_size=1, max_size=6
    ),
    named=st.booleans(),
)
def test_lines_at_once_are_as_those_one_by_one(entries: list[Line], named: bool) -> None:
    """Lines of one moment and service share their head."""
    form = LogFormat(LogFile("x", timestamps=True))
    together = form.encode_all(entries, named=named)
    if together is not None:
        assert written(*entries, named=named, timestamps=True) == together
