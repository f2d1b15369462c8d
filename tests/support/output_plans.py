"""Random output for the tests: what a child writes in which pieces, and what must come of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from aioverseer.core.text.lines import ContinuedBytes, ContinuedLine
from tests.support.programs import child

__all__ = ["ENCODINGS", "LIMITS", "WRITER", "Plan", "joined", "plans"]

WRITER = child(
    """
    import json, os, sys
    plan = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read()
    start = 0
    for number, size, times in plan:
        piece = memoryview(data[start : start + size] * times)
        start += size
        while piece:
            piece = piece[os.write(number, piece) :]
    """
)
"""Writes what a Plan says, as it finds it in its standard input."""

ENCODINGS: tuple[dict[str, Any], ...] = (
    {"encoding": None},
    {"encoding": "utf-8", "errors": "surrogateescape"},
    {"encoding": "latin-1"},
)
"""Options under which every byte can be had back from the lines."""

LIMITS = (16, 17, 23, 64, 1000, 16384)
"""Line limits: mostly so low that there are pieces."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Each step is a descriptor, bytes, and how often these are written, all in one write."""

    steps: tuple[tuple[int, bytes, int], ...]

    @property
    def stdin(self) -> bytes:
        """What tells the WRITER."""
        head = json.dumps([(number, len(data), times) for number, data, times in self.steps])
        return head.encode() + b"\n" + b"".join(data for _, data, _ in self.steps)

    def written(self, *numbers: int) -> bytes:
        """All that goes to these descriptors, one after the other."""
        return b"".join(data * times for number, data, times in self.steps if number in numbers)

    def expected(self, *numbers: int) -> bytes:
        """What the lines must be together: each line's end is one newline, and the last line has one too."""
        data = self.written(*numbers).replace(b"\r\n", b"\n")
        return data if data.endswith(b"\n") or not data else data + b"\n"


def joined(lines: Iterable[str | bytes], *, encoding: str | None, errors: str = "strict") -> bytes:
    """The bytes that these lines were made of, with a newline as the end of each."""
    parts: list[bytes] = []
    for line in lines:
        parts.append(line.encode(encoding or "", errors) if isinstance(line, str) else line)
        if not isinstance(line, ContinuedLine | ContinuedBytes):
            parts.append(b"\n")
    return b"".join(parts)


_WORDS = st.one_of(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\r\r\n", b"a line\n", "\u00e9\u20ac\U0001f4a5".encode()]),
    st.sampled_from([b"\xf0\x9f", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\x0b\x0c\x85", "\u2028".encode()]),
    st.binary(max_size=12),
)
_SMALL = st.tuples(
    st.sampled_from([1, 1, 2]),
    st.lists(_WORDS, min_size=1, max_size=6).map(b"".join),
    st.sampled_from([1, 1, 1, 2, 3, 20]),
)


def _of_size(number: int, line: bytes, size: int) -> tuple[int, bytes, int]:
    return number, line, size // len(line)


_LARGE = st.builds(
    _of_size,
    st.sampled_from([1, 2]),
    st.sampled_from([b"0123456789abcdef" * 8 + b"\n", b"x" * 501 + b"\r\n", "\u20ac".encode() * 700]),
    st.integers(60_000, 150_000),
)
"""More than a pipe holds, most of them, in one write."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Random writes to both streams, among them at most one that is longer than a pipe."""
    steps = draw(st.lists(_SMALL, max_size=8))
    if draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), draw(_LARGE))
    return Plan(tuple(steps))
