"""The queue of spawns: one in each iteration of the event loop, in the order of arrival, or several that share it."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from aioverseer._system.process.loop_resources import _SHARED, SpawnQueue
from tests.support.programs import limit


class Crowd:
    """Tasks that spawn once each."""

    def __init__(self, interrupted: int = -1) -> None:
        self.iteration = 0
        self.queue = SpawnQueue(asyncio.get_running_loop())
        self.interrupted = interrupted
        self.spawned: list[tuple[int, int]] = []
        """The number of each task, and the iteration in which it spawned."""

    async def spawn(self, number: int, *, shares: bool = False) -> None:
        """Wait for admission, and record it."""
        await self.queue.take(shares=shares)
        if number == self.interrupted:
            raise KeyboardInterrupt
        self.spawned.append((number, self.iteration))

    async def count(self) -> None:
        """Count the iterations of the loop."""
        while True:
            self.iteration += 1
            await asyncio.sleep(0)

    def sizes(self) -> list[int]:
        """The number of spawns in each iteration that had one."""
        iterations = [iteration for _, iteration in self.spawned]
        return [iterations.count(iteration) for iteration in sorted(set(iterations))]

    @property
    def order(self) -> list[int]:
        """The numbers of the tasks in the order of their spawns."""
        return [number for number, _ in self.spawned]


async def test_one_spawn_is_admitted_in_each_iteration() -> None:
    """Other tasks of the application run in between."""
    crowd = Crowd()
    counting = asyncio.create_task(crowd.count())
    async with limit():
        await asyncio.gather(*(crowd.spawn(number) for number in range(10)))
    counting.cancel()
    assert list(range(10)) == crowd.order
    assert [1] * 10 == crowd.sizes()


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ([True] * (2 * _SHARED + 3), [_SHARED, _SHARED, 3]),
        ([True] * 3, [3]),
        ([True, False, True, True, False, False, True], [1, 1, 2, 1, 1, 1]),
    ],
    ids=["many", "few", "not all"],
)
async def test_spawns_that_may_share_an_iteration_do_so_up_to_a_number(shares: list[bool], sizes: list[int]) -> None:
    """A spawn that may not share has an iteration of its own, and the order is that of arrival."""
    crowd = Crowd()
    counting = asyncio.create_task(crowd.count())
    async with limit():
        await asyncio.gather(*(crowd.spawn(number, shares=may) for number, may in enumerate(shares)))
    counting.cancel()
    assert list(range(len(shares))) == crowd.order
    assert sizes == crowd.sizes()


async def test_a_spawn_of_the_iteration_of_the_last_admission_waits() -> None:
    """The admitted one spawns in that iteration."""
    crowd = Crowd()
    counting = asyncio.create_task(crowd.count())
    async with limit():
        await asyncio.gather(crowd.spawn(0), crowd.spawn(1))
        await crowd.spawn(2)
    counting.cancel()
    assert [1, 1, 1] == crowd.sizes()


async def test_a_late_spawn_is_admitted_after_those_that_wait() -> None:
    """Also in an iteration in which others are admitted."""
    crowd = Crowd()
    first = [asyncio.create_task(crowd.spawn(number)) for number in range(3)]
    await asyncio.sleep(0)
    last = asyncio.create_task(crowd.spawn(3))
    async with limit():
        await asyncio.gather(*first, last)
    assert [0, 1, 2, 3] == crowd.order


@pytest.mark.parametrize("again", [False, True])
async def test_a_cancelled_wait_frees_its_place(again: bool) -> None:
    """The others keep their order, and no iteration is left out."""
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
    assert [1, 1, 1] == crowd.sizes()


async def test_a_cancel_scope_around_a_wait_catches_its_own_cancellation() -> None:
    """Anyio knows its own cancellation by the message."""
    crowd = Crowd()
    before = [asyncio.create_task(crowd.spawn(number)) for number in range(3)]
    await asyncio.sleep(0)
    async with limit():
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await crowd.spawn(3)
        await asyncio.gather(*before)
    assert scope.cancelled_caught
    assert [0, 1, 2] == crowd.order


def test_an_interrupt_in_one_task_does_not_hold_up_the_others() -> None:
    """A KeyboardInterrupt ends the run of the loop, and the application may run it again."""
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


async def test_an_empty_queue_leaves_nothing_on_the_loop() -> None:
    """An iteration without an admission is the last one."""
    crowd = Crowd()
    await asyncio.gather(*(crowd.spawn(number) for number in range(3)))
    for _ in range(4):
        await asyncio.sleep(0)
    assert not crowd.queue._busy
