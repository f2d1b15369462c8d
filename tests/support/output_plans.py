"""Random output for tests: the writes of a child, and the lines that must come of them."""

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
"""A program that reads a Plan from its standard input, and performs it."""

ENCODINGS: tuple[dict[str, Any], ...] = (
    {"encoding": None},
    {"encoding": "utf-8", "errors": "surrogateescape"},
    {"encoding": "latin-1"},
)
"""Options that lose no bytes: the output can be restored from the lines."""

LIMITS = (16, 17, 23, 64, 1000, 16384)
"""Line limits, most of them so low that lines come in pieces."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of writes. Each is a descriptor, bytes, and the number of times that these are repeated in the write."""

    steps: tuple[tuple[int, bytes, int], ...]

    @property
    def stdin(self) -> bytes:
        """The input of the WRITER."""
        head = json.dumps([(number, len(data), times) for number, data, times in self.steps])
        return head.encode() + b"\n" + b"".join(data for _, data, _ in self.steps)

    def written(self, *numbers: int) -> bytes:
        """Return the bytes that go to these descriptors, in order."""
        return b"".join(data * times for number, data, times in self.steps if number in numbers)

    def expected(self, *numbers: int) -> bytes:
        """Return the expected lines as bytes: each line, even the last one, ends with one newline."""
        data = self.written(*numbers).replace(b"\r\n", b"\n")
        return data if data.endswith(b"\n") or not data else data + b"\n"


def joined(lines: Iterable[str | bytes], *, encoding: str | None, errors: str = "strict") -> bytes:
    """Return the bytes of these lines, each with a newline at its end."""
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
"""Single writes, most of them larger than the capacity of a pipe."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw random writes to both streams, at most one of them larger than a pipe."""
    steps = draw(st.lists(_SMALL, max_size=8))
    if draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), draw(_LARGE))
    return Plan(tuple(steps))
