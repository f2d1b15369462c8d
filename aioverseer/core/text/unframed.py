"""UnframedBytes: output that belongs to no frame, and the splitter that cuts it into items."""

from __future__ import annotations

from aioverseer.core.export import exported_from
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE

__all__ = ["LONGEST", "UnframedBytes", "UnframedSplitter"]

LONGEST = DEFAULT_LINE_BUFFER_SIZE
"""Longest item, in bytes. A longer line is cut."""


@exported_from("aioverseer")
class UnframedBytes(bytes):
    """Bytes of a stream that belong to no frame, with the end of their line: a ``print()`` between two frames."""

    __slots__ = ()


class UnframedSplitter:
    r"""Splitter of bytes into items that end with ``\n`` or have the longest length of a line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the items that are complete now."""
        items: list[bytes] = []
        data = self._rest + data
        start = 0
        while start < len(data):
            stop = data.find(b"\n", start, start + LONGEST) + 1
            if not stop:
                if len(data) - start <= LONGEST:
                    break
                stop = start + LONGEST
            items.append(UnframedBytes(data[start:stop]))
            start = stop
        self._rest = data[start:]
        return items

    def finish(self) -> list[bytes]:
        """Return the rest."""
        rest, self._rest = self._rest, b""
        return [UnframedBytes(rest)] if rest else []
