"""Whose turn it is to spawn: as many as fit into a turn of the event loop, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import anyio
import pytest

from aioverseer.system.commons import Turns
from helpers import limit

SPAWN = 0.0004
LONG = 0.002


class Crowd:
    """Tasks that take a turn each, and the time that passes meanwhile."""

    def __init__(self, seconds: Callable[[int], float] = lambda _number: SPAWN) -> None:
        self.now = 0.0
        self.turn = 0
        self.turns = Turns(asyncio.get_running_loop(), lambda: self.now)
        self.seconds = seconds
        self.came: list[tuple[int, int]] = []
        """Who spawned, and in which turn of the loop."""

    async def spawn(self, number: int) -> None:
        """Wait, then take some time."""
        await self.turns.take()
        self.now += self.seconds(number)
        self.came.append((number, self.turn))

    async def play(self, count: int) -> None:
        """All of them, beside somebody who counts the turns."""
        tasks = [asyncio.create_task(self.spawn(number)) for number in range(count)]
        async with limit():
            while not all(task.done() for task in tasks):
                self.turn += 1
                await asyncio.sleep(0)

    def sizes(self) -> list[int]:
        """How many spawned in each turn."""
        turns = [turn for _, turn in self.came]
        return [turns.count(turn) for turn in sorted(set(turns))]


async def test_as_many_as_fit_go_in_one_turn() -> None:
    """The one that fills it is the last."""
    crowd = Crowd()
    await crowd.play(10)
    assert list(range(10)) == [number for number, _ in crowd.came]
    assert [3, 3, 3, 1] == crowd.sizes()


async def test_one_that_takes_longer_has_a_turn_of_its_own() -> None:
    """Others of the host come in between."""
    crowd = Crowd(lambda _number: LONG)
    await crowd.play(5)
    assert [1, 1, 1, 1, 1] == crowd.sizes()


async def test_a_long_one_ends_its_turn() -> None:
    """What comes behind it goes in the next one."""
    crowd = Crowd(lambda number: LONG if number == 1 else SPAWN)
    await crowd.play(6)
    assert [2, 3, 1] == crowd.sizes()


async def test_who_comes_late_goes_behind_those_who_wait() -> None:
    """Although there is room in this turn."""
    crowd = Crowd(lambda _number: LONG)
    await crowd.play(1)
    first = [asyncio.create_task(crowd.spawn(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    last = asyncio.create_task(crowd.spawn(3))
    await asyncio.gather(*first, last)
    assert [0, 1, 2, 3] == [number for number, _ in crowd.came]


@pytest.mark.parametrize("again", [False, True])
async def test_who_is_cancelled_while_he_waits_gives_his_place_away(again: bool) -> None:
    """The others keep their order, and nobody waits a turn for him."""
    crowd = Crowd(lambda _number: LONG)
    tasks = [asyncio.create_task(crowd.spawn(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    if again:
        tasks[1].cancel()
    async with limit():
        assert [False, True, False, False] == [
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        ]
    assert [0, 2, 3] == [number for number, _ in crowd.came]
    assert not crowd.turns._waiting


async def test_a_cancel_scope_around_who_waits_ends_there() -> None:
    """It knows its own cancellation by the message, which comes out where it went in."""
    crowd = Crowd(lambda _number: LONG)
    before = [asyncio.create_task(crowd.spawn(number)) for number in range(3)]
    await asyncio.sleep(0)
    async with limit():
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await crowd.spawn(3)
        await asyncio.gather(*before)
    assert scope.cancelled_caught
    assert [0, 1, 2] == [number for number, _ in crowd.came]


async def test_who_is_let_through_goes_on_in_his_own_context() -> None:
    """Although another callback wakes him."""
    name: ContextVar[str] = ContextVar("name", default="nobody")
    crowd = Crowd(lambda _number: LONG)
    seen: list[str] = []

    async def one(number: int) -> None:
        name.set(str(number))
        await crowd.spawn(number)
        task = asyncio.current_task()
        assert task is not None
        seen.append(name.get())

    async with limit():
        await asyncio.gather(*(one(number) for number in range(3)))
    assert ["0", "1", "2"] == seen
    assert "nobody" == name.get()


def test_an_interrupt_in_one_does_not_hold_up_those_behind_it() -> None:
    """What a task does not catch comes out of the loop, which may go on."""
    loop = asyncio.new_event_loop()

    async def begin() -> list[asyncio.Task[None]]:
        def seconds(number: int) -> float:
            if number == 1:
                raise KeyboardInterrupt
            return LONG

        crowd = Crowd(seconds)
        return [asyncio.create_task(crowd.spawn(number)) for number in range(4)]

    try:
        tasks = loop.run_until_complete(begin())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(asyncio.wait(tasks, timeout=10))
        assert [True, True, True, True] == [task.done() for task in tasks]
        assert [None, None] == [tasks[number].exception() for number in (2, 3)]
        assert isinstance(tasks[1].exception(), KeyboardInterrupt)
    finally:
        loop.close()


async def test_nothing_is_left_on_the_loop_when_nobody_waits() -> None:
    """A turn that nobody takes is not followed by another one."""
    crowd = Crowd()
    await crowd.play(5)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not crowd.turns._is_open
