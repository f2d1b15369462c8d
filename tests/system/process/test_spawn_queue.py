"""Whose turn it is to spawn: one in each turn of the event loop, in the order of coming, or some that share it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import anyio
import pytest

from aioverseer._system.process.loop_resources import _SLICE, SpawnQueue
from tests.support.programs import limit

SPAWN = 0.4 * _SLICE
LONG = 2 * _SLICE


class Crowd:
    """Tasks that take a turn each, and the time that passes meanwhile."""

    def __init__(self, interrupted: int = -1) -> None:
        self.now = 0.0
        self.turn = 0
        self.turns = SpawnQueue(asyncio.get_running_loop(), lambda: self.now)
        self.interrupted = interrupted
        self.came: list[tuple[int, int]] = []
        """Who spawned, and in which turn of the loop."""

    async def spawn(self, number: int, *, shares: bool = False, seconds: float = SPAWN) -> None:
        """Wait, take some time, and say so."""
        await self.turns.take(shares=shares)
        if number == self.interrupted:
            raise KeyboardInterrupt
        self.now += seconds
        self.came.append((number, self.turn))

    async def count(self) -> None:
        """The turns of the loop."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    def sizes(self) -> list[int]:
        """How many came in each turn."""
        turns = [turn for _, turn in self.came]
        return [turns.count(turn) for turn in sorted(set(turns))]

    @property
    def order(self) -> list[int]:
        """Who came, one after the other."""
        return [number for number, _ in self.came]


async def test_one_is_let_through_in_each_turn() -> None:
    """Others of the host come in between."""
    crowd = Crowd()
    counting = asyncio.create_task(crowd.count())
    async with limit():
        await asyncio.gather(*(crowd.spawn(number) for number in range(10)))
    counting.cancel()
    first = crowd.came[0][1]
    assert [(number, first + number) for number in range(10)] == crowd.came


@pytest.mark.parametrize(
    ("shares", "seconds", "sizes"),
    [
        ([True] * 10, [SPAWN] * 10, [3, 3, 3, 1]),
        ([True] * 3, [LONG] * 3, [1, 1, 1]),
        ([True] * 6, [SPAWN, LONG, SPAWN, SPAWN, SPAWN, SPAWN], [2, 3, 1]),
        ([True, False, True, False, False, True, True], [SPAWN] * 7, [1, 2, 1, 3]),
    ],
    ids=["short", "long", "one is long", "not all"],
)
async def test_those_that_may_share_a_turn_do_until_it_is_full(
    shares: list[bool], seconds: list[float], sizes: list[int]
) -> None:
    """Behind one that may not, too; who may not is the first of his turn."""
    crowd = Crowd()
    counting = asyncio.create_task(crowd.count())
    async with limit():
        await asyncio.gather(
            *(
                crowd.spawn(number, shares=may, seconds=takes)
                for number, (may, takes) in enumerate(zip(shares, seconds, strict=True))
            )
        )
    counting.cancel()
    assert list(range(len(shares))) == crowd.order
    assert sizes == crowd.sizes()


async def test_who_comes_late_goes_behind_those_who_wait() -> None:
    """In whichever turn he comes."""
    crowd = Crowd()
    first = [asyncio.create_task(crowd.spawn(number)) for number in range(3)]
    await asyncio.sleep(0)
    last = asyncio.create_task(crowd.spawn(3))
    async with limit():
        await asyncio.gather(*first, last)
    assert [0, 1, 2, 3] == crowd.order


@pytest.mark.parametrize("again", [False, True])
async def test_who_is_cancelled_while_he_waits_gives_his_place_away(again: bool) -> None:
    """The others keep their order, and nobody waits a turn for him."""
    crowd = Crowd()
    tasks = [asyncio.create_task(crowd.spawn(number)) for number in range(4)]
    counting = asyncio.create_task(crowd.count())
    await asyncio.sleep(0)
    tasks[1].cancel()
    if again:
        tasks[1].cancel()
    async with limit():
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    counting.cancel()
    assert [False, True, False, False] == [isinstance(end, asyncio.CancelledError) for end in ends]
    assert [0, 2, 3] == crowd.order
    turns = [turn for _, turn in crowd.came]
    assert turns[-1] - turns[0] == 2


async def test_a_cancel_scope_around_who_waits_ends_there() -> None:
    """It knows its own cancellation by the message, which comes out where it went in."""
    crowd = Crowd()
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
    crowd = Crowd()
    seen: list[tuple[str, str]] = []

    async def one(number: int) -> None:
        name.set(str(number))
        await crowd.spawn(number)
        task = asyncio.current_task()
        assert task is not None
        seen.append((name.get(), task.get_name()))

    async with limit():
        await asyncio.gather(*(asyncio.create_task(one(number), name=f"task {number}") for number in range(3)))
    assert [("0", "task 0"), ("1", "task 1"), ("2", "task 2")] == seen
    assert "nobody" == name.get()


def test_an_interrupt_in_one_does_not_hold_up_those_behind_it() -> None:
    """What a task does not catch comes out of the loop, which may go on."""
    loop = asyncio.new_event_loop()

    async def begin() -> list[asyncio.Task[None]]:
        crowd = Crowd(interrupted=1)
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
    await asyncio.gather(*(crowd.spawn(number) for number in range(3)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not crowd.turns._busy
