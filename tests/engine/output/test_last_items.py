"""LastItems: the last output of a Process that streams, within bounds."""

from __future__ import annotations

from aioverseer._engine.output.last_items import LastItems
from aioverseer._engine.output.tail import TAIL_BYTES


def test_last_twenty_lines_of_both_streams_are_remembered() -> None:
    items = LastItems()
    stdout, stderr = items.sink(is_framed=False), items.sink(is_framed=False)
    for number in range(30):
        stdout.deliver([f"out {number}"])
    stderr.deliver([f"err {number}" for number in range(15)])
    assert [f"out {n}" for n in range(25, 30)] + [f"err {n}" for n in range(15)] == items.lines()
    stdout.deliver([str(number) for number in range(1000)])
    assert [str(number) for number in range(980, 1000)] == items.lines()


def test_long_lines_are_dropped_but_for_the_last_one() -> None:
    items = LastItems()
    sink = items.sink(is_framed=False)
    for letter in "abcdef":
        sink.deliver([letter * (TAIL_BYTES // 2)])
    assert "f" * (TAIL_BYTES // 2) == items.lines()[-1]
    assert sum(map(len, items.lines())) <= 2 * TAIL_BYTES
    sink.deliver(["g" * (3 * TAIL_BYTES)])
    assert ["g" * (3 * TAIL_BYTES)] == items.lines()


def test_large_frame_is_remembered_as_its_beginning() -> None:
    """Frames are shown as one line each, escaped and cut."""
    items = LastItems()
    sink = items.sink(is_framed=True)
    sink.deliver([b"\0small"])
    sink.deliver([b"x" * (3 * TAIL_BYTES), b"y" * 600])
    first, second, third = items.lines()
    assert "\\x00small" == first
    assert isinstance(second, str)
    assert second.endswith(f"... ({3 * TAIL_BYTES} bytes)")
    assert "y" * 500 + "... (600 bytes)" == third
    assert items._most_size < TAIL_BYTES


def test_small_items_count_until_they_are_dropped() -> None:
    """The bound of the size is that of what is still there."""
    items = LastItems()
    sink = items.sink(is_framed=False)
    for _ in range(1000):
        sink.deliver(["x" * 1000])
    assert 20 == len(items.lines())
    assert items._most_size <= 2 * TAIL_BYTES
