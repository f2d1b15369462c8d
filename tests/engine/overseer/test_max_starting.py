"""``Overseer(max_starting=...)``: so many programs between their start and their readiness at once."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest

from aioverseer import Backoff, NotReady, Overseer, Restart, SpecError, State, ThreadedOverseer, ready
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
        assert ("start", "its turn after 'a', 'b', and behind 2 others") == (why.awaits[0].kind, why.awaits[0].text)
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


def test_option_is_checked() -> None:
    with pytest.raises(SpecError, match="max_starting=0"):
        Overseer(max_starting=0)


def test_without_an_event_loop() -> None:
    with ThreadedOverseer(max_starting=1) as overseer:
        for name in "ab":
            overseer.add(name, sys.executable, "-c", "print('up', flush=True); input()", stdin="pipe", ready=UP)
        overseer.start_all()
