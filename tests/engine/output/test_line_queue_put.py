"""Puts into a LineQueue work as in asyncio.Queue of Python 3.13, on every Python."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings

from aioverseer import LineQueue, QueueShutDown
from tests.support.programs import limit
from tests.support.queue_model import READS, Step, play_on_both, steps

ALL = (*READS, "put", "put", "put", "put_nowait", "get")


async def iterate(count: int) -> None:
    """Run a few iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("maxsize", range(4))
def test_every_method_is_that_of_an_asyncio_queue(maxsize: int) -> None:
    """With putters and getters that wait and are cancelled at any time."""

    @settings(max_examples=50, deadline=None)
    @given(taken=steps(ALL))
    def compare(taken: list[Step]) -> None:
        play_on_both(maxsize, taken)

    compare()


@pytest.mark.parametrize("maxsize", range(3))
@pytest.mark.parametrize("shutdown", ["shutdown", "shutdown now"])
def test_putters_see_the_end_as_of_an_asyncio_queue(maxsize: int, shutdown: str) -> None:
    """Waiting putters see it at once. Later nothing is accepted."""

    @settings(max_examples=50, deadline=None)
    @given(before=steps(ALL), after=steps((*ALL, "shutdown", "shutdown now")))
    def compare(before: list[Step], after: list[Step]) -> None:
        play_on_both(maxsize, [*before, (shutdown, 0), *after])

    compare()


@pytest.mark.parametrize("by", ["get", "get_nowait", "get_batch", "for"])
async def test_put_waits_for_room(by: str) -> None:
    """In each way of making room. Putters continue in order."""
    queue: LineQueue[int] = LineQueue(1)
    async with limit(5, "the putters"):
        await queue.put(0)
        putters = [asyncio.ensure_future(queue.put(number)) for number in (1, 2, 3)]
        await iterate(3)
        assert not any(putter.done() for putter in putters)
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(9)
        got: list[int] = []
        while len(got) < 4:
            match by:
                case "get":
                    got.append(await queue.get())
                case "get_batch":
                    got += await queue.get_batch()
                case "for":
                    async for item in queue:
                        got.append(item)
                        break
                case _:
                    await iterate(5)
                    got.append(queue.get_nowait())
        assert [0, 1, 2, 3] == got
        await asyncio.gather(*putters)


async def test_get_batch_makes_room_for_several_putters() -> None:
    """It takes several items, so several putters continue."""
    queue: LineQueue[int] = LineQueue(2)
    async with limit(5, "the putters"):
        queue.deliver([0, 1, 2])
        putters = [asyncio.ensure_future(queue.put(number)) for number in (3, 4, 5)]
        await iterate(3)
        assert [0, 1, 2] == await queue.get_batch()
        await iterate(3)
        assert [True, True, False] == [putter.done() for putter in putters]
        assert [3, 4] == await queue.get_batch()
        await iterate(3)
        assert all(putter.done() for putter in putters)
        assert 5 == queue.get_nowait()


async def test_put_waits_until_an_overfull_queue_has_room() -> None:
    """A batch is accepted whole. A putter waits until the queue is below its size again."""
    queue: LineQueue[int] = LineQueue(2)
    async with limit(5, "the putter"):
        queue.deliver([0, 1, 2, 3])
        putter = asyncio.ensure_future(queue.put(4))
        for expected in (0, 1):
            assert expected == queue.get_nowait()
            await iterate(3)
            assert not putter.done()
        assert 2 == queue.get_nowait()
        await putter
        assert [3, 4] == await queue.get_batch()


@pytest.mark.parametrize("immediate", [False, True])
async def test_nothing_is_put_after_the_end(immediate: bool) -> None:
    """With and without room. A waiting putter sees the end and has not put its item."""
    queue: LineQueue[int] = LineQueue(1)
    async with limit(5, "the putters"):
        await queue.put(0)
        putters = [asyncio.ensure_future(queue.put(number)) for number in (1, 2)]
        await iterate(3)
        queue.shutdown(immediate)
        ends = await asyncio.gather(*putters, return_exceptions=True)
        assert [QueueShutDown, QueueShutDown] == [type(end) for end in ends]
        for _ in range(2):
            with pytest.raises(QueueShutDown):
                queue.put_nowait(3)
            with pytest.raises(QueueShutDown):
                await queue.put(4)
        assert ([] if immediate else [0]) == [item async for item in queue]
        with pytest.raises(QueueShutDown):
            await queue.put(5)


async def test_cancelled_putter_passes_the_room_on() -> None:
    """Even in the iteration in which it was woken."""
    for pause in range(3):
        queue: LineQueue[int] = LineQueue(1)
        async with limit(5, "the putters"):
            await queue.put(0)
            first, second = (asyncio.ensure_future(queue.put(number)) for number in (1, 2))
            await iterate(3)
            assert 0 == queue.get_nowait()
            await iterate(pause)
            was_done = first.done()
            first.cancel()
            await iterate(5)
            if was_done:
                assert 1 == queue.get_nowait()
            await second
            assert 2 == queue.get_nowait()
