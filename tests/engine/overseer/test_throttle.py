"""The throttle for restart storms, in an overseer: on a manual clock, and with real programs."""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Event, EventStream, Overseer, Restart, SpecError, State
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

SOON = Restart(max_restarts=None, backoff=Backoff(min=1.0, max=1.0))
AT_ONCE = Restart(max_restarts=None, backoff=Backoff(min=0.0, max=0.0))


@asynccontextmanager
async def scripted(
    *scripts: FakeChild, rate: float | None, by_id: dict[str, list[FakeChild]] | None = None
) -> AsyncGenerator[tuple[Overseer, ManualClock]]:
    """An overseer with a throttle, whose time and children belong to the test."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts, by_id=by_id)
    async with Overseer(clock=clock, launcher=launcher, restart_rate=rate) as overseer:
        yield overseer, clock


def news(events: EventStream) -> list[Event]:
    """All events so far."""
    return list(iter(events.get_nowait, None))


def restarts(events: list[Event], clock: ManualClock) -> list[tuple[float, str]]:
    """When each service was restarted, and which."""
    began = clock.wall().timestamp() - clock.now()
    return [
        (round(event.time.timestamp() - began, 3), event.id)
        for event in events
        if event.kind == "state" and (event.previous, event.state) == (State.BACKOFF, State.STARTING)
    ]


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), True, "5"])
def test_an_invalid_rate_is_refused(value: Any) -> None:
    """At the border, with what to do."""
    with pytest.raises(SpecError, match=r"restart_rate=.* is no rate: pass restarts a second"):
        Overseer(restart_rate=cast("float", value))


async def test_a_storm_comes_in_drops() -> None:
    """Ten services die at once: two restarts come at once, the others every half second, in their order."""
    ids = [f"s{number}" for number in range(10)]
    by_id = {id: [FakeChild().runs(5).exits(1), FakeChild()] for id in ids}
    async with scripted(rate=2, by_id=by_id) as (overseer, clock):
        for id in ids:
            overseer.add(id, id, restart=SOON)
        events = overseer.events()
        await overseer.start_all()
        await clock.advance(20)
        assert [(6.0, "s0"), *((6.0 + 0.5 * n, f"s{n + 1}") for n in range(9))] == restarts(news(events), clock)
        assert [State.RUNNING] * 10 == [overseer[id].state for id in ids]
        assert clock.next_timer() is None


async def test_without_a_rate_there_is_no_throttle() -> None:
    """It is off by default."""
    async with scripted(FakeChild().runs(5).exits(1), rate=None) as (overseer, clock):
        for number in range(5):
            overseer.add(f"s{number}", "any", restart=SOON)
        events = overseer.events()
        await overseer.start_all()
        await clock.advance(6)
        assert [6.0] * 5 == [when for when, _ in restarts(news(events), clock)]


async def test_a_throttled_service_names_the_throttle_and_its_time() -> None:
    """In why(), in the Status, and by an event; the time is that at which it comes."""
    async with scripted(FakeChild().runs(5).exits(1), rate=0.5) as (overseer, clock):
        for id in "abc":
            overseer.add(id, id, restart=SOON)
        events = overseer.events()
        await overseer.start_all()
        await clock.advance(6)
        assert [State.RUNNING, State.BACKOFF, State.BACKOFF] == [overseer[id].state for id in "abc"]
        why = overseer["c"].why()
        reason = "waits for its turn: no more than 0.5 restarts a second (restart_rate)"
        assert (reason, reason) == (why.reason, overseer.status("c").reason)
        assert [("throttle", "its turn at the throttle, behind 1 other", 4.0)] == [
            (one.kind, one.text, one.due_in) for one in why.awaits
        ]
        assert ("a restart", 4.0) == (why.due, why.due_in)
        assert f"{reason}; waits for its turn at the throttle, behind 1 other (in 4.0 s); next: a restart" in str(why)
        told = [event for event in news(events) if event.kind == "throttle"]
        assert [("b", State.BACKOFF, reason), ("c", State.BACKOFF, reason)] == [
            (event.id, event.state, event.reason) for event in told
        ]
        await clock.advance(1.9)
        assert "backoff" == str(overseer["b"].state)
        await clock.advance(0.1)
        assert "running" == str(overseer["b"].state)
        assert 2.0 == overseer["c"].why().due_in


async def test_a_stop_takes_it_out_of_the_queue() -> None:
    """Later services move up, and no timer is left when none waits."""
    async with scripted(FakeChild().runs(5).exits(1), rate=0.5) as (overseer, clock):
        for id in "abc":
            overseer.add(id, id, restart=SOON)
        await overseer.start_all()
        await clock.advance(6)
        status = await overseer.stop("b")
        assert (State.INTERRUPT, "a stop was asked for while it waited to restart") == (status.state, status.reason)
        assert 2.0 == overseer["c"].why().due_in
        await overseer.stop("a")
        await overseer.stop("c")
        assert clock.next_timer() is None
        await clock.advance(10)
        assert [0, 0] == [overseer[id].restarts for id in "bc"]


async def test_requested_restarts_are_not_throttled_or_counted() -> None:
    """A start and a restart take it out of the queue; the next in line has lost nothing by it."""
    async with scripted(FakeChild().runs(5).exits(1), rate=0.5) as (overseer, clock):
        for id in "abcd":
            overseer.add(id, id, restart=SOON)
        await overseer.start_all()
        await clock.advance(6)
        await overseer.start("c")
        await overseer.restart("d")
        assert [State.RUNNING, State.BACKOFF, State.RUNNING, State.RUNNING] == [overseer[id].state for id in "abcd"]
        assert 2.0 == overseer["b"].why().due_in


async def test_one_in_a_crash_loop_starves_nobody() -> None:
    """The queue goes round: the fast one has its turn between those of the others."""
    by_id = {id: [FakeChild().runs(0.01 if id == "fast" else 0.2).exits(1)] for id in ("fast", "b", "c", "d")}
    async with scripted(rate=1, by_id=by_id) as (overseer, clock):
        for id in by_id:
            overseer.add(id, id, restart=AT_ONCE)
        events = overseer.events()
        await overseer.start_all()
        await clock.advance(100)
        counts = collections.Counter(id for _, id in restarts(news(events), clock))
        assert set(by_id) == set(counts)
        assert max(counts.values()) - min(counts.values()) <= 2
        assert 100 <= sum(counts.values()) <= 101


async def test_members_of_a_group_wait_one_after_the_other() -> None:
    """Their order is kept; a group that is ended again while one waits begins anew, and nobody is lost."""
    async with scripted(FakeChild(), rate=1) as (overseer, clock):
        overseer.group("g", "one_for_all", restart=Restart(max_restarts=None, backoff=Backoff(min=1, max=1)))
        for id in "abc":
            overseer.add(id, id, group="g")
        events = overseer.events()
        await overseer.start_all()
        await clock.advance(5)
        overseer.signal("b", 9)
        await clock.advance(1.5)
        assert [State.RUNNING, State.BACKOFF, State.BACKOFF] == [overseer[id].state for id in "abc"]
        assert ["throttle"] == [one.kind for one in overseer["b"].why().awaits]
        assert ["group"] == [one.kind for one in overseer["c"].why().awaits]
        overseer.signal("a", 9)  # while b stands in the queue
        await clock.advance(10)
        assert [State.RUNNING] * 3 == [overseer[id].state for id in "abc"]
        came = restarts(news(events), clock)
        assert ["a", "a", "b", "c"] == [id for _, id in came]
        gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(came)]
        assert min(gaps) >= 1.0
        assert clock.next_timer() is None


@settings(deadline=None, max_examples=25)
@given(
    rate=st.sampled_from([0.5, 1, 3, 7.5]),
    lives=st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), min_size=1, max_size=8),
    stops=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 7), st.booleans()), max_size=6),
)
def test_the_rate_holds_and_no_service_is_lost(
    rate: float, lives: list[float], stops: list[tuple[float, int, bool]]
) -> None:
    """Crash loops of any speed, with stops and starts in between."""

    async def play() -> list[float]:
        by_id = {f"s{n}": [FakeChild().runs(life).exits(1)] for n, life in enumerate(lives)}
        async with scripted(rate=rate, by_id=by_id) as (overseer, clock):
            for id in by_id:
                overseer.add(id, id, restart=AT_ONCE)
            events = overseer.events()
            wanted = dict.fromkeys(by_id, True)
            asked: list[asyncio.Future[Any]] = [asyncio.ensure_future(overseer.start_all())]
            for when, number, wish in sorted(stops):
                await clock.advance(max(0.0, when - clock.now()))
                id = f"s{number % len(lives)}"
                wanted[id] = wish
                work: Coroutine[Any, Any, object] = overseer.start(id) if wish else overseer.stop(id)
                asked.append(asyncio.ensure_future(work))
            longest = max(lives) + len(lives) / rate  # its life, and a round of the queue
            await clock.advance(longest + 5)
            await asyncio.gather(*asked, return_exceptions=True)
            for id, why in overseer.why().items():
                assert wanted[id] == why.state.is_live
                assert not why.state.is_live or why.since <= longest
            # By the policy alone: what somebody asked for says so.
            reason = "is being restarted after its backoff"
            return [event.time.timestamp() for event in news(events) if event.reason == reason]

    came = asyncio.run(play())
    burst = max(1, int(rate))
    for first in range(len(came)):
        for last in range(first, len(came)):
            assert last - first + 1 <= rate * (came[last] - came[first]) + burst + 1e-3


async def test_ten_real_programs_in_a_crash_loop() -> None:
    """Together they are restarted no faster than is said, and each as often as the others."""
    ids = [f"s{number}" for number in range(10)]
    rate, most = 100.0, 200
    async with limit(25), Overseer(restart_rate=rate) as overseer:
        events = overseer.events()
        for id in ids:
            overseer.add(id, "false", restart=AT_ONCE)
        for id in ids:
            await overseer.start(id)
        came: list[tuple[float, str]] = []
        async for event in events:
            if (event.previous, event.state) == (State.BACKOFF, State.STARTING):
                came.append((event.time.timestamp(), event.id))
                if len(came) == most:
                    break
        await overseer.stop_all()
    for first in range(most):
        for last in range(first, most):
            assert last - first + 1 <= rate * (came[last][0] - came[first][0] + 0.02) + rate
    counts = collections.Counter(id for _, id in came)
    assert set(ids) == set(counts)
    behind_the_burst = collections.Counter(id for _, id in came[int(rate) + 10 :])
    assert max(behind_the_burst.values()) - min(behind_the_burst.values()) <= 2, counts
