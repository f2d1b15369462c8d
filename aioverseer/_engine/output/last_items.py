"""LastItems: the last lines or frames of a lone Process that does not keep all of them, for error messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aioverseer._engine.output.tail import TAIL_BYTES
from aioverseer.core.report.status import MOST_LAST_LINES
from aioverseer.core.text.framing import shown

__all__ = ["LastItems"]


class LastItems:
    """The last items of both streams.

    Batches are kept as they arrive, because each chunk of a conversation passes here. Their number is bounded by the
    lines that an error shows, and their size by about twice the limit of a service's tail.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[Sequence[str | bytes], bool]] = deque(maxlen=MOST_LAST_LINES)
        self._most_size = 0
        """Upper bound of the size of all batches. Batches that the deque drops are not subtracted."""

    def sink(self, *, is_framed: bool) -> LastItemsSink:
        """Return a sink for one stream.

        Args:
            is_framed: Whether the stream has another framing than lines.
        """
        return LastItemsSink(self, is_framed=is_framed)

    def remember(self, batch: Sequence[str | bytes], *, is_framed: bool) -> None:
        """Add a batch."""
        items = batch[-MOST_LAST_LINES:]
        self._batches.append((items, is_framed))
        self._most_size += sum(map(len, items))
        if self._most_size > 2 * TAIL_BYTES:
            self._trim()

    def lines(self) -> list[str | bytes]:
        """Return the last lines, oldest first. Items of another framing are cut and escaped."""
        lines = [shown(item) if is_framed else item for batch, is_framed in self._batches for item in batch]
        return lines[-MOST_LAST_LINES:]

    def _trim(self) -> None:
        """Keep the newest items that fit; a frame that does not fit is kept as the text that an error shows."""
        size = 0
        kept: list[tuple[Sequence[str | bytes], bool]] = []
        for item, is_framed in reversed([(item, framed) for batch, framed in self._batches for item in batch]):
            fits = not is_framed or len(item) <= TAIL_BYTES
            batch = [item if fits else shown(item)]
            size += len(batch[0])
            if kept and size > TAIL_BYTES:
                break
            kept.append((batch, is_framed and fits))
        kept = kept[:MOST_LAST_LINES]
        self._batches.clear()
        self._batches.extend(reversed(kept))
        self._most_size = sum(len(batch[0]) for batch, _ in kept)


class LastItemsSink:
    """A ``LineSink`` that remembers the last items of one stream."""

    def __init__(self, items: LastItems, *, is_framed: bool) -> None:
        self.on_room: Callable[[], None] | None = None
        self._items = items
        self._is_framed = is_framed

    @property
    def blocked(self) -> bool:
        """False: the memory for last items is bounded."""
        return False

    def deliver(self, batch: Sequence[Any]) -> None:
        """Remember the last items of a batch."""
        self._items.remember(batch, is_framed=self._is_framed)

    def end(self) -> None:
        """Do nothing."""
