"""The queue of programs that start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer.core.errors import SpecError
from aioverseer.core.machine.start_limit import StartLimit
from aioverseer.core.options.overseer import check_max_starting

NAMES = "abcdef"
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "leave", "admit"]), st.sampled_from(NAMES), st.integers(1, 2)), max_size=60
)


@given(st.integers(1, 3), STEPS)
def test_places_are_never_exceeded_and_the_order_is_kept(places: int, steps: list[tuple[str, str, int]]) -> None:
    """The runs of one service, 1 and 2, share its place."""
    limit = StartLimit(places)
    starting: list[tuple[str, int]] = []
    queue: list[tuple[str, int]] = []

    def names(runs: list[tuple[str, int]]) -> list[str]:
        return list(dict.fromkeys(id for id, _ in runs))

    for step, id, run in steps:
        is_known = (id, run) in starting or (id, run) in queue
        if step == "ask" and not is_known:
            may = id in names(starting) or (not queue and len(names(starting)) < places)
            assert may is limit.ask(id, run)
            (starting if may else queue).append((id, run))
        elif step == "leave":
            starting = [known for known in starting if known != (id, run)]
            queue = [known for known in queue if known != (id, run)]
            assert (bool(queue) and len(names(starting)) < places) is limit.leave(id, run)
        elif step == "admit":
            following = names(queue)[0] if queue and len(names(starting)) < places else None
            runs = [run for name, run in queue if name == following]
            assert limit.admit() == (None if following is None else (following, runs))
            queue = [known for known in queue if known[0] != following]
            starting += [(id, run) for id in [following] if id is not None for run in runs]
        assert len(limit.starting) <= places
        assert set(names(starting)) == set(limit.starting)
        assert queue == [(id, run) for id, run in queue if limit.is_queued(id, run)]
        assert list(range(len(names(queue)))) == [limit.ahead(id) for id in names(queue)]


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "4", None])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(SpecError, match="max_starting="):
        check_max_starting(value)
