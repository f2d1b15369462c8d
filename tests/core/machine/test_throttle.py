"""The throttle for restart storms: number and order of restarts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer.core.errors import SpecError
from aioverseer.core.machine.throttle import TokenBucket
from aioverseer.core.options.overseer import check_rate


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True, "5", None])
def test_an_invalid_rate_is_refused(value: object) -> None:
    """Naming the option and the value."""
    with pytest.raises(SpecError, match=r"restart_rate=.* is no rate: pass restarts a second") as caught:
        check_rate(value)
    assert ("restart_rate", value) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (1, 1), (2.5, 2), (10, 10)])
def test_restarts_of_one_second_may_come_at_once(rate: float, burst: int) -> None:
    """One at least."""
    bucket = TokenBucket(check_rate(rate))
    assert burst == bucket.burst
    assert [True] * burst + [False] == [bucket.ask(str(number), 0.0) for number in range(burst + 1)]


def test_the_rest_comes_in_order_at_the_rate() -> None:
    """Each knows when; who leaves makes room."""
    bucket = TokenBucket(2.0)
    assert [True, True, False, False, False] == [bucket.ask(id, 10.0) for id in "abcde"]
    assert [10.5, 11.0, 11.5] == [bucket.due(id) for id in "cde"]
    assert [0, 1, 2] == [bucket.ahead(id) for id in "cde"]
    assert bucket.admit(10.4) is None
    bucket.leave("c")
    assert 10.5 == bucket.next_due() == bucket.due("d")
    assert ("d", None) == (bucket.admit(10.5), bucket.admit(10.5))
    assert ("e", None) == (bucket.admit(11.0), bucket.next_due())


def test_nobody_overtakes_the_queue() -> None:
    """Although there would be a restart for one who comes at the right moment."""
    bucket = TokenBucket(1.0)
    assert [True, False] == [bucket.ask(id, 0.0) for id in "ab"]
    assert not bucket.ask("c", 5.0)
    assert ["b", None] == [bucket.admit(5.0), bucket.admit(5.0)]


def test_a_service_is_in_the_queue_once() -> None:
    """The first one."""
    bucket = TokenBucket(1.0)
    for id in "abcb":
        bucket.ask(id, 0.0)
    assert (2, 0) == (len(bucket), bucket.ahead("b"))


def test_unused_restarts_are_saved_for_one_second() -> None:
    """An hour without restarts is no licence for a storm."""
    bucket = TokenBucket(3.0)
    assert [True] * 3 + [False] == [bucket.ask(str(number), 3600.0) for number in range(4)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("sleep"), st.floats(0, 3)),
        st.tuples(st.just("until due"), st.just(0)),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=300)
@given(rate=st.floats(0.05, 50), burst=st.none() | st.integers(1, 6), steps=STEPS)
def test_rate_and_order_hold_for_any_calls(rate: float, burst: int | None, steps: list[tuple[str, float]]) -> None:
    """The bucket agrees with a list as a model of the queue, for any calls at any times."""
    bucket = TokenBucket(rate, burst=burst)
    now = 0.0
    queue: list[str] = []
    restarts: list[float] = []

    def take() -> None:
        due = bucket.next_due()
        while (id := bucket.admit(now)) is not None:
            assert id == queue.pop(0)  # first come, first served
            restarts.append(now)
        assert due is None or now < due or restarts[-1] == now  # a restart comes at its announced time

    for step, value in steps:
        id = str(value)
        match step:
            case "ask" if bucket.ask(id, now):
                assert not queue
                restarts.append(now)
            case "ask" if id not in queue:
                queue.append(id)
            case "leave":
                bucket.leave(id)
                queue = [other for other in queue if other != id]
            case "sleep":
                now += value
                take()
            case "until due":
                now = max(now, bucket.next_due() or now)
                take()
            case _:
                pass
        assert (len(queue), [id in bucket for id in queue]) == (len(bucket), [True] * len(queue))
    for first, start in enumerate(restarts):
        for last in range(first, len(restarts)):
            window = restarts[last] - start
            assert last - first + 1 <= rate * window + bucket.burst + 1e-6
    for place, id in enumerate(list(queue)):  # no service is lost: each comes at its announced time
        assert place == bucket.ahead(id)
    while queue:
        due, now = bucket.due(queue[0]), max(now, bucket.due(queue[0]))
        assert due == bucket.next_due()
        before = len(queue)
        take()
        assert len(queue) < before
