"""The manual clock: it moves only by its methods, and runs coroutines to their end."""

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


async def test_advance_fires_timers_in_order_each_at_its_own_time() -> None:
    """Timers made by other timers fire too; cancelled ones do not."""
    clock = ManualClock()
    calls: list[tuple[str, float]] = []

    def record(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, clock.now()))

    clock.call_at(2, record("b"))

    def make_timer() -> None:
        clock.call_at(1.5, record("made by a timer"))

    clock.call_at(1, make_timer)
    clock.call_at(1, record("a"))
    clock.call_at(-5, record("past"))
    clock.call_at(1, record("cancelled")).cancel()
    began = clock.wall()
    await clock.advance(2)
    assert [("past", 0), ("a", 1), ("made by a timer", 1.5), ("b", 2)] == calls
    assert (2.0, None, 2.0) == (clock.now(), clock.next_timer(), (clock.wall() - began).total_seconds())


async def test_settle_waits_for_long_chains() -> None:
    """A chain goes on as long as some task uses the clock."""
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


async def test_run_jumps_over_backoffs_of_an_hour() -> None:
    """The test does not say how far to move the clock."""
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


async def test_run_passes_on_results_and_errors() -> None:
    """A future works as well as a coroutine."""
    clock = ManualClock()

    async def slow(value: int) -> int:
        await clock.sleep(HOUR)
        return 1 // value

    assert 1 == await clock.run(slow(1))
    with pytest.raises(ZeroDivisionError):
        await clock.run(slow(0))
    assert [1, 1] == list(await clock.run(asyncio.gather(slow(1), slow(1))))
    assert 3 * HOUR == clock.now()


async def test_wait_without_a_timer_is_a_stall() -> None:
    """The error names the event that was awaited; the clean-up has its time on the clock."""
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


async def test_run_ends_at_its_limit() -> None:
    """The limit is ``within``, in seconds of the clock."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(1))

    async def scenario() -> None:
        async with Overseer(clock=clock, launcher=launcher) as overseer:
            overseer.add("web", "web", restart=Restart(max_restarts=None, backoff=Backoff(9, 9)))
            await overseer.supervise("web")

    with pytest.raises(Stalled, match="it is not over at 100 s of the clock"):
        await clock.run(scenario(), within=100)
    assert 10 <= len(launcher.children) <= 11


async def test_endless_timers_and_endless_use_are_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are lowered for the test."""
    monkeypatch.setattr("aioverseer.testing.clock._MAX_TIMERS", 50)
    monkeypatch.setattr("aioverseer.testing.clock._MAX_ITERATIONS", 500)
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
    with pytest.raises(Stalled, match="tasks read the clock without end"):
        await clock.run(asks())
    await asyncio.sleep(0)


async def test_coroutine_that_resists_cancellation_is_a_stall() -> None:
    """The coroutine is left running."""
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


async def test_run_waits_for_threads() -> None:
    """A thread has ``patience`` seconds of real time."""
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
async def test_cancelled_run_cancels_its_coroutine(by: str) -> None:
    """The clean-up has its time on the clock."""
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


async def test_error_of_a_timer_ends_the_run() -> None:
    """The error is raised by ``run``, and no task is left."""
    clock = ManualClock()

    def bug() -> None:
        raise KeyError("a bug")

    clock.call_at(1, bug)
    with pytest.raises(KeyError, match="a bug"):
        await clock.run(asyncio.Event().wait())
    await asyncio.sleep(0)


async def test_cancelled_sleep_removes_its_timer() -> None:
    """No timer is left on the clock."""
    clock = ManualClock()
    sleeping = asyncio.ensure_future(clock.sleep(10))
    await clock.settle()
    assert 10 == clock.next_timer()
    sleeping.cancel()
    await clock.settle()
    assert clock.next_timer() is None


async def test_stall_is_reported_when_the_cancellation_is_caught() -> None:
    """The coroutine returns after its cancellation, and still has not come to its end by itself."""

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return

    with pytest.raises(Stalled, match="nothing is left to happen"):
        await ManualClock().run(stubborn(), patience=0.01)
