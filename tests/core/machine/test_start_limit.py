"""The queue of programs that start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.errors import SpecError
from aioverseer.core.machine.start_limit import StartLimit, check_max_starting

NAMES = "abcdef"
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "leave", "admit"]), st.sampled_from(NAMES)), max_size=60)


@given(st.integers(1, 3), STEPS)
def test_places_are_never_exceeded_and_the_order_is_kept(places: int, steps: list[tuple[str, str]]) -> None:
    limit = StartLimit(places)
    starting: list[str] = []
    queue: list[str] = []
    for step, id in steps:
        if step == "ask":
            may = id in starting or (not queue and len(starting) < places)
            assert may is limit.ask(id)
            if may and id not in starting:
                starting.append(id)
            elif not may and id not in queue:
                queue.append(id)
        elif step == "leave":
            starting = [name for name in starting if name != id]
            queue = [name for name in queue if name != id]
            assert (bool(queue) and len(starting) < places) is limit.leave(id)
        else:
            following = queue.pop(0) if queue and len(starting) < places else None
            assert following == limit.admit()
            if following is not None:
                starting.append(following)
        assert len(limit.starting) <= places
        assert set(starting) == set(limit.starting)
        assert {id: place for place, id in enumerate(queue)} == {id: limit.ahead(id) for id in NAMES if id in limit}


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "4", None])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(SpecError, match="max_starting="):
        check_max_starting(value)
