"""Scripted pipes lose nothing, for any sizes of writes and any times of free room."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import Spec
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

ASCII = st.text(st.characters(max_codepoint=127), max_size=5).map(str.encode)
LINES = (b"y" * 99 + b"\n") * 800
"""More than the capacity of a pipe, in one write: line by line, the examples would need a million writes."""
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([65_535, 65_536, 65_537, 200_000]))


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(SIZES, max_size=8), room=st.lists(st.booleans(), max_size=30))
async def test_output_comes_once_and_in_order(sizes: list[int], room: list[bool]) -> None:
    """The reader pauses and resumes at random; the end comes once, after the output."""
    written = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    script = FakeChild()
    for data in written:
        script = script.writes(data)
    launcher = ScriptedLauncher(ManualClock(), script.exits(0))
    child = await launcher.launch(Spec(id="x", argv=("x",)), capture=True)
    stream = child.stdout
    assert stream is not None
    read: list[bytes] = []
    ended = asyncio.Event()
    answers = iter(room)
    stream.attach(read.append, ended.set, blocked=lambda: next(answers, False))
    async with limit(10, "the output"):
        while not ended.is_set():
            held = sum(map(len, written)) - sum(map(len, read))
            assert held >= 0
            stream.resume()
            await asyncio.sleep(0)
        assert 0 == (await child.wait()).code
    assert b"".join(written) == b"".join(read)


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.one_of(ASCII, st.sampled_from([b"\n", b"x" * 70_000, LINES]))))
async def test_input_is_read_line_by_line(pieces: list[bytes]) -> None:
    """Writes end anywhere, the last line needs no newline, and only a line longer than the pipe is read in parts."""
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)

    launcher = ScriptedLauncher(ManualClock(), FakeChild().answers(take).exits(0))
    child = await launcher.launch(Spec(id="x", argv=("x",), stdin="pipe"), capture=True)
    assert child.stdin is not None
    async with limit(10, "the input"):
        for piece in pieces:
            await child.stdin.write(piece)
        await child.stdin.write_eof()
        assert 0 == (await child.wait()).code
    whole = b"".join(pieces)
    assert whole == child.stdin.received
    text = whole.decode("utf-8", "replace")
    if all(len(line) < 60_000 for line in whole.split(b"\n")):
        assert text.removesuffix("\n").split("\n") == (lines or [""])
    else:
        assert text.replace("\n", "") == "".join(lines)


async def test_reader_that_resumes_within_its_callback_gets_chunks_once() -> None:
    """The flow goes on by itself after the callback."""
    launcher = ScriptedLauncher(ManualClock(), FakeChild().writes(b"a").writes(b"b").writes(b"c").exits(0))
    stream = (await launcher.launch(Spec(id="x", argv=("x",)), capture=True)).stdout
    assert stream is not None
    read: list[bytes] = []

    def on_data(chunk: bytes) -> None:
        read.append(chunk)
        stream.resume()

    stream.attach(on_data, lambda: read.append(b"end"), blocked=lambda: False)
    assert [b"a", b"b", b"c", b"end"] == read


async def test_output_after_the_close_is_discarded() -> None:
    """The child goes on, as there is no SIGPIPE for scripts."""
    launcher = ScriptedLauncher(ManualClock(), FakeChild())
    child = await launcher.launch(Spec(id="x", argv=("x",)), capture=True)
    child.close()
    for _ in range(3):
        child.print("x" * 65_536)
    assert not child.has_ended
