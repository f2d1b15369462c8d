"""One framing of each kind, and programs that speak in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aioverseer import framing

__all__ = ["FRAMINGS", "Semicolons", "encoded", "texts"]


class Semicolons:
    """Framing of a user: a semicolon ends an item."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Take bytes; return the items that are complete now."""
        *items, self._rest = (self._rest + data).split(b";")
        return items

    def end(self) -> list[bytes]:
        """Return the rest."""
        return [self._rest] if self._rest else []

    @staticmethod
    def encode(item: bytes) -> bytes:
        """Return an item with its end."""
        return item + b";"


FRAMINGS: dict[str, Any] = {
    "lines": framing.lines(),
    "NUL": framing.lines(end="\0"),
    "universal": framing.lines(universal=True),
    "chunks": framing.chunks(),
    "content_length": framing.content_length(),
    "length_prefix": framing.length_prefix(4),
    "own": Semicolons,
}


def encoded(name: str, *items: str) -> list[bytes]:
    """Return the bytes of each item in one of the framings."""
    frames: list[bytes] = [FRAMINGS[name].encode(item.encode()) for item in items]
    return [frame.replace(b"\n", b"\r") for frame in frames] if name == "universal" else frames


def texts(name: str, items: Sequence[str | bytes]) -> list[str]:
    """Return items as text; chunks are joined, as their borders are by chance."""
    read = [item if isinstance(item, str) else item.decode() for item in items]
    return ["".join(read)] if name == "chunks" else read
