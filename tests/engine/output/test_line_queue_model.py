"""A LineQueue behaves as an asyncio.Queue under random operations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.queue_model import READS, Step, play_on_both, steps


@settings(max_examples=300, deadline=None)
@given(maxsize=st.integers(0, 3), taken=steps((*READS, "put_nowait", "put_nowait")))
def test_items_come_out_as_from_an_asyncio_queue(maxsize: int, taken: list[Step]) -> None:
    """With getters that are cancelled at any time, a full queue, and callers of join()."""
    play_on_both(maxsize, taken)


@settings(max_examples=300, deadline=None)
@given(
    maxsize=st.integers(0, 3),
    before=steps((*READS, "put_nowait", "put_nowait")),
    shutdown=st.sampled_from(["shutdown", "shutdown now"]),
    after=steps((*READS, "shutdown", "shutdown now")),
)
def test_it_ends_as_an_asyncio_queue_ends(maxsize: int, before: list[Step], shutdown: str, after: list[Step]) -> None:
    """Remaining items are delivered or discarded. After that every getter sees the end."""
    play_on_both(maxsize, [*before, (shutdown, 0), *after])


@pytest.mark.parametrize("victims", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("iterations", range(3))
def test_getter_cancelled_when_an_item_comes_passes_it_on(victims: tuple[int, ...], iterations: int) -> None:
    """In the same iteration in which it comes, or one or two later."""
    for count in (1, 2, 3):
        play_on_both(
            0,
            [
                *[("get", 0)] * 3,
                ("iterate", 2),
                *[("put_nowait", 0)] * count,
                ("iterate", iterations),
                *[("cancel", victim) for victim in victims],
                ("iterate", 5),
                *[("put_nowait", 0)] * 3,
                ("iterate", 5),
            ],
        )
