"""The manual clock: it moves when it is told to, and runs what lives by it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import anyio
import pytest

from aioverseer import Backoff, Overseer, Restart, State, Stop
from aioverseer.testing import EventRecorder, FakeChild, ManualClock, ScriptedLauncher, Stalled
from tests.support.programs import limit

HOUR = 3600.0


async def test_it_calls_in_order_each_at_its_own_time() -> None:
    """Timers made on the way included, cancelled ones not; what they lead to is done by then."""
    clock = ManualClock()
    calls: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, clock.now()))

    clock.call_at(2, note("b"))

    def on_the_way() -> None:
        clock.call_at(1.5, note("made on the way"))

    clock.call_at(1, on_the_way)
    clock.call_at(1, note("a"))
    clock.call_at(-5, note("past"))
    clock.call_at(1, note("cancelled")).cancel()
    began = clock.wall()
    await clock.advance(2)
    assert [("past", 0), ("a", 1), ("made on the way", 1.5), ("b", 2)] == calls
    assert (2.0, None, 2.0) == (clock.now(), clock.next_timer(), (clock.wall() - began).total_seconds())


async def test_it_waits_for_long_chains_before_it_moves() -> None:
    """As long as somebody asks for the time, not everything is done."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().prints("up").runs(5).exits(0))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        for number in range(100):
            overseer.add(str(number), "any", after=[str(number - 1)] if number else [], restart=Restart("never"))
        starting = asyncio.ensure_future(overseer.start_all())
        await clock.settle()
        assert starting.done()
        assert {State.RUNNING} == {overseer[id].state for id in overseer}
        await starting


async def test_a_backoff_of_an_hour_takes_a_moment() -> None:
    """Nobody has to know how far the clock is to be moved."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))

    async def scenario() -> None:
        async with Overseer(clock=clock, launcher=launcher) as overseer:
            hourly = Restart(max_restarts=3, within=None, backoff=Backoff(min=HOUR, max=HOUR))
            overseer.add("web", "web", restart=hourly)
            status = await overseer.supervise("web")
            assert (State.FATAL, 3) == (status.state, status.restarts)

    begin = time.process_time()
    await clock.run(scenario())
    assert 3 * HOUR + 4 == clock.now()
    assert time.process_time() - begin < 1


async def test_it_returns_what_the_coroutine_returns_and_raises_what_it_raises() -> None:
    """Futures will do as well."""
    clock = ManualClock()

    async def slow(value: int) -> int:
        await clock.sleep(HOUR)
        return 1 // value

    assert 1 == await clock.run(slow(1))
    with pytest.raises(ZeroDivisionError):
        await clock.run(slow(0))
    assert [1, 1] == list(await clock.run(asyncio.gather(slow(1), slow(1))))
    assert 3 * HOUR == clock.now()


async def test_what_waits_for_nothing_is_told_so() -> None:
    """With what it has waited for; what it holds is left, and that may take time on the clock."""
    clock = ManualClock()
    left: list[float] = []

    async def scenario() -> None:
        async with Overseer(
            clock=clock, launcher=ScriptedLauncher(clock, FakeChild().ignores(15)), shutdown_timeout=None
        ) as overseer:
            seen = EventRecorder(overseer.events())
            await overseer.add("web", "web", stop=Stop(timeout=HOUR)).start()
            try:
                await seen.until("web finished")
            finally:
                await clock.sleep(5)
                left.append(clock.now())

    with pytest.raises(Stalled, match=r"at 0 s of the clock no timer is armed, and it still waits") as caught:
        await clock.run(scenario(), patience=0)
    assert "'web finished' did not come" in str(caught.value)
    assert "+0.000 s  web  running      is ready" in str(caught.value)
    assert [5.0] == left
    assert HOUR + 5 == clock.now()


async def test_what_goes_on_for_ever_is_ended() -> None:
    """By its bound."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))

    async def scenario() -> None:
        async with Overseer(clock=clock, launcher=launcher) as overseer:
            overseer.add("web", "web", restart=Restart(max_restarts=None, backoff=Backoff(9, 9)))
            await overseer.supervise("web")

    with pytest.raises(Stalled, match="it is not over at 100 s of the clock"):
        await clock.run(scenario(), within=100)
    assert 10 <= len(launcher.children) <= 11


async def test_what_takes_timer_after_timer_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is what asks for the time without end."""
    monkeypatch.setattr("aioverseer.testing.clock._MOST_TIMERS", 50)
    monkeypatch.setattr("aioverseer.testing.clock._MOST_TURNS", 500)
    clock = ManualClock()

    async def ticks() -> None:
        while True:
            await clock.sleep(1)

    async def asks() -> None:
        while True:
            clock.now()
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="it goes on and on: 50 timers have come due by 50 s of the clock"):
        await clock.run(ticks())
    with pytest.raises(Stalled, match="somebody asks for the time without end"):
        await clock.run(asks())
    await asyncio.sleep(0)


async def test_what_does_not_end_when_it_is_cancelled_is_told_too() -> None:
    """It is left alone then."""
    clock = ManualClock()
    gate = asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.ensure_future(stubborn())
    with pytest.raises(Stalled, match="nor does it end when it is cancelled"):
        await clock.run(task, patience=0)
    gate.set()
    await task


async def test_it_waits_for_what_does_not_live_by_it() -> None:
    """A thread has the time that it needs, within the patience that was given."""
    clock = ManualClock()

    async def scenario() -> float:
        gate = threading.Event()
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await asyncio.to_thread(gate.wait)
        await clock.sleep(1)
        await asyncio.to_thread(clock.now)
        return clock.now()

    assert 1.0 == await clock.run(scenario(), patience=10)


@pytest.mark.parametrize("by", ["task", "scope", "timeout"])
async def test_a_cancelled_run_ends_what_it_runs(by: str) -> None:
    """Whose clean-up still has its time on the clock."""
    clock = ManualClock()
    ended: list[float] = []

    async def scenario() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await clock.sleep(HOUR)
            ended.append(clock.now())

    async def run() -> None:
        await clock.run(scenario(), patience=1000)

    async with limit(10, "the run"):
        if by == "task":
            task = asyncio.ensure_future(run())
            for _ in range(100):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        elif by == "scope":
            with anyio.move_on_after(0.05):
                await run()
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await run()
    assert [HOUR] == ended


async def test_a_timer_that_raises_ends_the_run() -> None:
    """With that error; nothing is left running."""
    clock = ManualClock()

    def bug() -> None:
        raise KeyError("a bug")

    clock.call_at(1, bug)
    with pytest.raises(KeyError, match="a bug"):
        await clock.run(asyncio.Event().wait())
    await asyncio.sleep(0)


async def test_a_sleep_can_be_cancelled() -> None:
    """Its timer is gone then."""
    clock = ManualClock()
    sleeping = asyncio.ensure_future(clock.sleep(10))
    await clock.settle()
    assert 10 == clock.next_timer()
    sleeping.cancel()
    await clock.settle()
    assert clock.next_timer() is None
