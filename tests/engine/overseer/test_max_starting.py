"""``Overseer(max_starting=...)``: so many programs between their start and their readiness at once."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from typing import Any

import pytest

from aioverseer import Backoff, NotReady, Overseer, Restart, Roll, SpecError, State, ThreadedOverseer, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

UP = ready.line("up")


def slow(seconds: float) -> FakeChild:
    return FakeChild().runs(seconds).prints("up")


def scripted(*children: FakeChild, **options: Any) -> tuple[ManualClock, Overseer]:
    clock = ManualClock()
    return clock, Overseer(clock=clock, launcher=ScriptedLauncher(clock, *children), **options)


def states(overseer: Overseer) -> str:
    """The first letters of the states: w waits for its turn."""
    return "".join(
        "w" if "max_starting" in overseer[id].why().reason else str(overseer[id].state)[0] for id in overseer
    )


async def test_others_wait_in_the_order_of_their_start() -> None:
    clock, overseer = scripted(slow(10), max_starting=2)
    async with limit(), overseer:
        for name in "abcde":
            overseer.add(name, "web", ready=UP, ready_timeout=12)
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(1)
        assert "sswww" == states(overseer)
        why = overseer.why()["e"]
        assert "waits for its turn: no more than 2 programs start at once (max_starting)" in str(why)
        assert 1 == str(why).count("its turn")
        assert ("start", "'a', 'b' to be ready, and for 2 others before it") == (why.awaits[0].kind, why.awaits[0].text)
        await clock.advance(10)
        assert "rrssw" == states(overseer)
        await clock.advance(10)
        assert "rrrrs" == states(overseer)
        await clock.advance(10)
        await starting


async def test_time_for_readiness_begins_with_the_turn() -> None:
    clock, overseer = scripted(slow(10), max_starting=1)
    async with limit(), overseer:
        for name in "abc":
            overseer.add(name, "web", ready=UP, ready_timeout=11)
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(31)
        await starting


async def test_end_of_a_start_makes_room() -> None:
    """By a crash, by a spawn that fails, and by a stop of one that starts or waits."""
    dies = FakeChild().runs(1).exits(1)
    clock, overseer = scripted(dies, FakeChild().cannot_start(), slow(99), slow(99), slow(99), max_starting=1)
    async with limit(), overseer:
        for name in "abcde":
            overseer.add(name, "web", ready=UP, restart=Restart("never"))
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(0.5)
        assert "swwww" == states(overseer)
        assert State.INTERRUPT is (await overseer.stop("d")).state
        await clock.advance(1)
        with pytest.raises(NotReady):
            await starting
        assert "ffsiw" == states(overseer)
        await overseer.stop("c")
        await clock.advance(1)
        assert "ffiis" == states(overseer)
        again = asyncio.create_task(overseer.start("d"))
        await clock.advance(1)
        assert "ffiws" == states(overseer)
        again.cancel()
        await clock.advance(1)
        assert "ffiis" == states(overseer)


async def test_restart_takes_its_turn_too() -> None:
    clock, overseer = scripted(FakeChild().prints("up"), slow(10), FakeChild().prints("up"), max_starting=1)
    async with limit(), overseer:
        soon = Restart(backoff=Backoff(min=1, max=1, jitter=False))
        await overseer.add("a", "web", ready=UP, restart=soon).start()
        starting = asyncio.create_task(overseer.add("b", "web", ready=UP).start())
        await clock.advance(1)
        overseer.signal("a", signal.SIGKILL)
        await clock.advance(2)
        assert "ws" == states(overseer)
        await clock.advance(10)
        await starting
        assert ("rr", 1) == (states(overseer), overseer["a"].restarts)


async def test_delay_takes_no_place() -> None:
    clock, overseer = scripted(slow(5), max_starting=1)
    async with limit(), overseer:
        overseer.add("a", "web", ready=UP, delay_start=3)
        overseer.add("b", "web", ready=UP)
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(1)
        assert ("ss", "its start", 2.0) == (states(overseer), overseer["a"].why().due, overseer["a"].why().due_in)
        await clock.advance(3)
        assert "ws" == states(overseer)
        await clock.advance(7)
        await starting


async def test_stop_of_all_starts_nobody() -> None:
    launched: list[str] = []

    class Counting(ScriptedLauncher):
        async def launch(self, spec: Any, **options: Any) -> Any:
            """Count the launches."""
            launched.append(spec.id)
            return await super().launch(spec, **options)

    clock = ManualClock()
    launcher = Counting(clock, FakeChild())
    async with limit(), Overseer(clock=clock, launcher=launcher, max_starting=1) as overseer:
        for name in "abc":
            overseer.add(name, "web", ready=UP)
        overseer.add("d", "web", ready=UP, after={"a": "started"})
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(1)
        report = await overseer.stop_all()
        assert report.ok
        assert ["a"] == launched
        with pytest.raises(NotReady):
            await starting
        again = asyncio.create_task(overseer.start("b"))
        await clock.advance(1)
        assert ["a", "b"] == launched
        again.cancel()
    assert State.INTERRUPT is overseer["b"].state


async def test_services_that_wait_for_others_take_no_place() -> None:
    """A chain of ten with one place is no deadlock, and a lone program without a probe passes at once."""
    async with limit(), Overseer(max_starting=1) as overseer:
        for number in range(10):
            after = f"s{number + 1}" if number < 9 else []
            overseer.add(f"s{number}", "sh", "-c", "echo up; exec sleep 60", ready=UP, after=after)
        overseer.add("plain", "sleep", "60")
        await overseer.start_all()
        assert {"running"} == {str(overseer[id].state) for id in overseer}


async def test_tasks_are_no_programs() -> None:
    async with limit(), Overseer(max_starting=1) as overseer:
        overseer.add("a", "sleep", "60", ready=UP)
        starting = asyncio.create_task(overseer.start("a"))
        await overseer.add_task("task", asyncio.Event().wait).start()
        starting.cancel()


async def test_killed_overseer_ends_those_that_wait() -> None:
    async with limit():
        async with Overseer(max_starting=1) as overseer:
            for name in "abc":
                overseer.add(name, "sleep", "60", ready=UP)
            starting = asyncio.create_task(overseer.start_all())
            await overseer["c"].wait_for(State.STARTING, 5)
        assert {State.INTERRUPT} == {overseer[id].state for id in overseer}
        with pytest.raises(NotReady):
            await starting


class Timed(ScriptedLauncher):
    """Records when each program was launched."""

    def __init__(self, clock: ManualClock, *children: FakeChild) -> None:
        super().__init__(clock, *children)
        self.times: list[float] = []
        self._now = clock.now

    async def launch(self, spec: Any, **options: Any) -> Any:
        """Record the time."""
        self.times.append(self._now())
        return await super().launch(spec, **options)

    def gaps(self) -> list[float]:
        """Seconds between the launches."""
        return [after - before for before, after in itertools.pairwise(self.times)]


async def test_successors_of_a_roll_take_their_turns() -> None:
    clock = ManualClock()
    launcher = Timed(clock, slow(10))
    async with limit(), Overseer(clock=clock, launcher=launcher, max_starting=1) as overseer:
        web = overseer.add_instances("web", "web", ready=UP, instances=3, roll=Roll(surge=3))
        other = overseer.add("other", "web", ready=UP)
        await clock.run(web.start())
        rolling = asyncio.create_task(web.roll())
        await clock.advance(1)
        assert "is being started; waits for its turn" not in web[0].status().reason
        starting = asyncio.create_task(other.start())
        await clock.advance(1)
        assert "max_starting" in other.why().reason
        await clock.advance(50)
        assert "done" == (await rolling).outcome
        await starting
        assert [10.0] * 6 == launcher.gaps()


async def test_successor_shares_the_place_of_a_run_that_never_becomes_ready() -> None:
    """Else the roll to the version that mends it would wait for it."""
    hangs = FakeChild()
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, hangs)
    async with limit(), Overseer(clock=clock, launcher=launcher, max_starting=1) as overseer:
        web = overseer.add_instances("web", "web", ready=UP, ready_timeout=None, instances=1)
        starting = asyncio.create_task(web.start())
        await clock.advance(1)
        launcher.script("web.0", slow(5))
        report = await clock.run(web.roll())
        assert ("done", State.RUNNING) == (report.outcome, web.state)
        await starting
        launcher.script("other", slow(1))
        await clock.run(overseer.add("other", "web", ready=UP).start())


async def test_cancelled_roll_gives_its_places_back() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().prints("up"))
    async with limit(), Overseer(clock=clock, launcher=launcher, max_starting=1) as overseer:
        web = overseer.add_instances("web", "web", ready=UP, instances=2, roll=Roll(surge=2))
        other = overseer.add("other", "web", ready=UP)
        await clock.run(web.start())
        for id in ("web.0", "web.1"):
            launcher.script(id, FakeChild())
        rolling = asyncio.create_task(web.roll())
        await clock.advance(1)
        starting = asyncio.create_task(other.start())
        await clock.advance(1)
        rolling.cancel()
        await clock.advance(60)
        with pytest.raises(asyncio.CancelledError):
            await rolling
        await starting
        assert [1, 1] == [service.number for service in map(_runner, web)]


async def test_crash_of_the_old_run_while_the_successor_starts() -> None:
    """The successor takes over before it is ready, and keeps its place until it is."""
    clock = ManualClock()
    launcher = Timed(clock, FakeChild().prints("up"))
    async with limit(), Overseer(clock=clock, launcher=launcher, max_starting=1) as overseer:
        web = overseer.add_instances("web", "web", ready=UP, instances=1, restart=Restart("never"))
        other = overseer.add("other", "web", ready=UP)
        await clock.run(web.start())
        launcher.script("web.0", slow(10))
        rolling = asyncio.create_task(web.roll())
        await clock.advance(1)
        web[0].signal(signal.SIGKILL)
        await clock.advance(1)
        assert (State.STARTING, 2) == (web[0].state, _runner(web[0]).number)
        starting = asyncio.create_task(other.start())
        await clock.advance(1)
        assert "max_starting" in other.why().reason
        await clock.advance(9)
        await starting
        await rolling


def _runner(service: Any) -> Any:
    return service._runner


def test_option_is_checked() -> None:
    with pytest.raises(SpecError, match="max_starting=0"):
        Overseer(max_starting=0)


def test_without_an_event_loop() -> None:
    with ThreadedOverseer(max_starting=1) as overseer:
        for name in "ab":
            overseer.add(name, sys.executable, "-c", "print('up', flush=True); input()", stdin="pipe", ready=UP)
        overseer.start_all()
