"""Queues between pipes and readers: nothing lost, nothing twice, every drop counted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Line, LineQueue, Overseer, QueueShutDown, Restart, SpecError, Subscription
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit

CLOCK = ManualClock()


def lines(first: int, count: int) -> list[Line]:
    """Return a number of lines."""
    return [Line("a", "stdout", str(number), CLOCK.wall(), 1, seq=number + 1) for number in range(first, first + count)]


async def test_subscription_is_an_asyncio_queue() -> None:
    """Sizes, get, task_done, join and the end are those of asyncio.Queue."""
    queue: LineQueue[str] = LineQueue(3)
    assert (True, False, 0) == (queue.empty(), queue.full(), queue.qsize())
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.deliver(["a", "b", "c", "d"])
    assert (False, True, 4) == (queue.empty(), queue.full(), queue.qsize())
    joined = asyncio.ensure_future(queue.join())
    assert ["a", "b"] == [await queue.get(), queue.get_nowait()]
    assert ["c", "d"] == await queue.get_batch()
    for _ in range(4):
        assert not joined.done()
        queue.task_done()
    await joined
    queue.deliver(["last"])
    queue.shutdown()
    assert ["last"] == [line async for line in queue]
    for read in (queue.get, queue.get_batch):
        with pytest.raises(QueueShutDown):
            await read()
    with pytest.raises(QueueShutDown):
        queue.get_nowait()


async def test_immediate_shutdown_discards_all_lines() -> None:
    """As asyncio.Queue does from Python 3.13 on."""
    queue: LineQueue[str] = LineQueue()
    queue.deliver(["a"])
    queue.shutdown(immediate=True)
    await queue.join()
    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_end_wakes_all_readers() -> None:
    """No reader waits forever."""
    queue: LineQueue[str] = LineQueue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.end()
    async with limit(5, "the getters"):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [QueueShutDown] * 3 == [type(end) for end in ends]


@pytest.mark.parametrize("iterations", range(5))
@pytest.mark.parametrize("cancelled", [(), (0,), (1,), (0, 1), (0, 1, 2)])
async def test_cancelled_getters_lose_no_line(iterations: int, cancelled: Sequence[int]) -> None:
    """At whatever moment a getter is cancelled, each line comes once."""
    queue: LineQueue[int] = LineQueue()
    getters = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.deliver([1, 2])
    for _ in range(iterations):
        await asyncio.sleep(0)
    for number in cancelled:
        getters[number].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    queue.deliver([3, 4])
    for _ in range(5):
        await asyncio.sleep(0)
    queue.end()
    ends = await asyncio.gather(*getters, return_exceptions=True)
    got = [end for end in ends if isinstance(end, int)]
    assert [1, 2, 3, 4] == sorted(got + [line async for line in queue])
    assert [asyncio.CancelledError] * (3 - len(got)) == [type(end) for end in ends if not isinstance(end, int)]


async def test_timeout_around_get_loses_no_line() -> None:
    """wait_for may fire at the moment when the line comes."""
    queue: LineQueue[int] = LineQueue()
    got: list[int] = []
    for number in range(200):
        asyncio.get_running_loop().call_later(0.0005 * (number % 3), queue.deliver, [number])
        while True:
            try:
                got.append(await asyncio.wait_for(queue.get(), 0.0005))
                break
            except TimeoutError:
                continue
    assert list(range(200)) == got


async def test_pipe_is_not_read_until_half_of_the_queue_is_free() -> None:
    """Room is reported once, at half."""
    queue: LineQueue[int] = LineQueue(10)
    told: list[int] = []
    queue.on_room = lambda: told.append(queue.qsize())
    blocked: list[bool] = []
    for batch in (range(9), [9]):
        queue.deliver(batch)
        blocked.append(queue.blocked)
    assert [False, True] == blocked
    for _ in range(10):
        queue.get_nowait()
    assert ([5], False) == (told, queue.blocked)


Step = tuple[Literal["deliver", "read", "batch"], int]


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(1, 8),
    overflow=st.sampled_from(["drop_oldest", "drop_newest", "block"]),
    steps=st.lists(st.tuples(st.sampled_from(["deliver", "read", "batch"]), st.integers(1, 20)), max_size=30),
)
def test_delivered_and_dropped_lines_are_all_lines(size: int, overflow: Any, steps: list[Step]) -> None:
    """In order, each line once. A line tells how many are missing just before it, and the queue how many in all."""
    queue = Subscription(stream=None, size=size, overflow=overflow)
    written = 0
    items: list[Line] = []
    for what, count in steps:
        if what == "deliver":
            queue.deliver(lines(written, count))
            written += count
            if overflow != "block":
                assert queue.qsize() <= size
        elif what == "read":
            items += [queue.get_nowait() for _ in range(min(count, queue.qsize()))]
        else:
            items += [queue.get_nowait() for _ in range(queue.qsize())]
    queue.end()
    while queue.qsize():
        items.append(queue.get_nowait())
    position = 0
    for item in items:
        position += item.missed
        assert (str(position), position + 1) == (item.text, item.seq)
        position += 1
    told = sum(item.missed for item in items)
    assert written == len(items) + queue.missed
    # Only lines that are dropped after the last one have no line to tell of them.
    assert written - position == queue.missed - told
    assert overflow == "drop_newest" or queue.missed == told
    if overflow == "block":
        assert queue.missed == 0


@pytest.mark.parametrize(("overflow", "told"), [("drop_oldest", [3, 0]), ("drop_newest", [0, 0])])
async def test_a_slow_reader_gets_lines_and_nothing_else(overflow: Any, told: list[int]) -> None:
    """Lines that are dropped after the last one are counted by the queue alone; the next line tells of them."""
    queue = Subscription(stream=None, size=2, overflow=overflow)
    queue.deliver(lines(0, 5))
    assert told == [line.missed for line in await queue.get_batch()]
    assert 3 == queue.missed
    queue.deliver(lines(5, 1))
    assert 3 - sum(told) == (await queue.get()).missed
    assert 3 == queue.missed


async def test_lines_of_a_service_are_numbered_over_runs_and_streams() -> None:
    """Lines that nobody reads count. The tail, the history and each subscriber see the same numbers."""
    script = "echo a; echo b >&2; printf c; exit 1"
    policy = Restart(max_restarts=2, backoff=Backoff(min=0.001, max=0.001))
    async with Overseer() as overseer:
        service = overseer.add("web", "sh", "-c", script, restart=policy)
        other = overseer.add("other", "echo", "x")
        everything = overseer.logs()
        errors = service.lines("stderr")
        await overseer.supervise_all()
        late = service.lines(history=4)
        assert list(range(1, 10)) == [line.seq for line in service.tail(100)]
        assert [8, 9] == [line.seq for line in service.tail(2)]
        assert [6, 7, 8, 9] == [line.seq async for line in late]
        await overseer.start("web")
        await overseer.supervise("web")
        assert list(range(10, 19)) == [line.seq for line in service.tail(9)]
    seen = [line async for line in everything]
    assert list(range(1, 19)) == [line.seq for line in seen if line.id == "web"]
    assert [1] == [line.seq for line in other.tail()]
    assert {line.seq for line in seen if line.stream == "stderr"} == {line.seq async for line in errors}
    # Lines of other streams and services are not missing.
    assert {0} == {line.missed for line in seen}


async def test_missed_lines_and_the_rest_are_the_numbers() -> None:
    """Of a real program that writes much: numbers, gaps and totals agree, over two runs."""
    async with Overseer() as overseer:
        service = overseer.add("seq", "seq", "20000", restart=Restart("always", max_restarts=1, backoff=Backoff(0, 0)))
        queues = [service.lines(size=10), service.lines(size=10, overflow="drop_newest"), overseer.logs(size=1)]
        await overseer.supervise("seq")
    for queue in queues:
        last = 0
        count = 0
        async for line in queue:
            assert line.seq == last + line.missed + 1
            assert line.text == str((line.seq - 1) % 20000 + 1)
            last, count = line.seq, count + 1
        assert 40_000 == count + queue.missed
        assert 40_000 == last or queue is queues[1]


async def test_overflow_error_ends_the_queue_after_its_lines() -> None:
    """The subscriber that asked for it learns that it was too slow."""
    queue = Subscription(stream=None, size=2, overflow="error")
    queue.deliver(lines(0, 5))
    assert ["0", "1"] == [item.text for item in [await queue.get(), await queue.get()]]
    with pytest.raises(asyncio.QueueFull, match="more than 2 lines behind"):
        await queue.get()
    assert not queue.takes("a", "stdout")


def test_invalid_option_of_a_subscription_is_refused() -> None:
    """The error names the option and its value."""
    for options, words in (
        ({"stream": "out"}, "stream='out'"),
        ({"size": 0}, "size=0"),
        ({"overflow": "spill"}, "overflow='spill'"),
    ):
        whole: dict[str, Any] = {"stream": None, "size": 1, "overflow": "block", **options}
        with pytest.raises(SpecError, match=words):
            Subscription(**whole)


async def test_lossless_subscriber_releases_the_program_when_dropped() -> None:
    """It slows the program down. Closed or just dropped, the program goes on."""
    writer = child("import sys\nfor number in range(200000): sys.stdout.write(f'{number}\\n')\nsys.stdout.flush()")
    for forget in (True, False):
        async with limit(20, "the writer"), Overseer() as overseer:
            service = overseer.add("writer", *writer)
            slow = service.lines(overflow="block", size=10)
            await service.start()
            while not slow.blocked:
                await slow.get()
            assert service.pid is not None
            if forget:
                del slow
                gc.collect()
            else:
                slow.close()
            assert (await service.wait()).ok


async def test_streams_and_services_are_distinguished() -> None:
    """A subscriber has the stream that it asked for. Every line names its source."""
    async with Overseer() as overseer:
        merged = overseer.logs(size=100)
        errors = overseer.logs("stderr")
        for id in ("a", "b"):
            overseer.add(id, "sh", "-c", f"echo out {id}; echo err {id} >&2")
        await overseer.supervise_all()
        assert 3 == len(overseer["a"].tail(1) + overseer["b"].tail(5))
        assert [] == overseer["a"].tail(0)
    assert {("a", "stderr", "err a"), ("b", "stderr", "err b")} == {
        (item.id, item.stream, item.text) async for item in errors
    }
    assert 4 == len([item async for item in merged])
