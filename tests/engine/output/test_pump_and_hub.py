"""The queue of lines, the pump and the hub, with lines of real children at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import Line, LineQueue, LogFile, Overseer, Process, QueueShutDown, Spec, SpecError, State, Subscription
from aioverseer._engine.output.hub import Hub
from aioverseer._engine.output.log_sink import LogSink
from aioverseer._engine.output.pump import LineList, Pump
from aioverseer._engine.output.subscription import Subscribers
from aioverseer._engine.output.tail import TAIL_BYTES, TAIL_LINES
from aioverseer.core.text.lines import EXCESS_BYTES, LINE_COST, LineSplitter
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit


async def iterate(count: int) -> None:
    """Run a few iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- LineQueue as an asyncio.Queue


async def test_line_queue_is_an_asyncio_queue() -> None:
    """The same names mean the same."""
    queue: LineQueue[str] = LineQueue(2)
    assert isinstance(queue, asyncio.Queue)
    assert (True, False, 0, 2) == (queue.empty(), queue.full(), queue.qsize(), queue.maxsize)
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    queue.deliver(["a", "b", "c"])
    assert (False, True, 3) == (queue.empty(), queue.full(), queue.qsize())
    assert ("a", "b", "c") == (await queue.get(), queue.get_nowait(), await asyncio.wait_for(queue.get(), 1))
    assert queue.empty()


async def test_join_waits_until_each_line_is_done() -> None:
    """It needs as many task_done() as lines; one more is an error."""
    queue: LineQueue[int] = LineQueue()
    await queue.join()
    queue.deliver([1, 2])
    joined = asyncio.ensure_future(queue.join())
    assert [1, 2] == await queue.get_batch()
    queue.task_done()
    await iterate(3)
    assert not joined.done()
    queue.task_done()
    await joined
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


async def test_discarded_lines_need_no_task_done() -> None:
    """shutdown(immediate=True) completes join()."""
    queue: LineQueue[int] = LineQueue()
    queue.deliver([1, 2])
    joined = asyncio.ensure_future(queue.join())
    await iterate(2)
    queue.shutdown(immediate=True)
    await joined
    with pytest.raises(QueueShutDown):
        queue.get_nowait()


async def test_end_comes_after_the_last_line() -> None:
    """For every method, before and during the wait. QueueShutDown is asyncio's own where it exists."""
    queue: LineQueue[str] = LineQueue()
    queue.deliver(["last"])
    queue.end()
    queue.end()
    assert "last" == await queue.get()
    for verb in (queue.get, queue.get_batch):
        with pytest.raises(QueueShutDown):
            await verb()
    with pytest.raises(QueueShutDown):
        queue.get_nowait()
    assert [] == [text async for text in queue]
    assert getattr(asyncio, "QueueShutDown", QueueShutDown) is QueueShutDown

    waiting: LineQueue[str] = LineQueue()
    getters = [asyncio.ensure_future(waiting.get()) for _ in range(3)]
    batch = asyncio.ensure_future(waiting.get_batch())
    loop = asyncio.ensure_future(_all_of(waiting))
    await iterate(2)
    waiting.deliver(["a"])
    waiting.end()
    waits: list[asyncio.Task[Any]] = [*getters, batch, loop]
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert "a" == results[0]
    assert [QueueShutDown] * 3 == [type(result) for result in results[1:4]]
    assert [] == results[4]


async def _all_of(queue: LineQueue[Any]) -> list[Any]:
    return [line async for line in queue]


async def test_get_batch_returns_all_waiting_lines() -> None:
    """At least one line; it waits for the first one."""
    queue: LineQueue[int] = LineQueue(3)
    waiting = asyncio.ensure_future(queue.get_batch())
    await iterate(2)
    queue.deliver(list(range(10)))
    assert list(range(10)) == await waiting
    assert (0, False) == (queue.qsize(), queue.blocked)
    waiting = asyncio.ensure_future(queue.get_batch())
    await iterate(2)
    waiting.cancel()
    await asyncio.wait([waiting])
    queue.deliver([10])
    assert [10] == await queue.get_batch()


@pytest.mark.parametrize("by", ["get", "get_nowait", "get_batch", "for", "subscription"])
async def test_waiting_lines_are_taken_without_the_event_loop(by: str) -> None:
    """By each method: no other task runs before the last line is taken."""
    queue: LineQueue[Any] = Subscription(stream=None, size=9, overflow="block") if by == "subscription" else LineQueue()
    queue.deliver([line(number) for number in range(5)])
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    match by:
        case "get":
            got = [await queue.get() for _ in range(5)]
        case "get_nowait":
            got = [queue.get_nowait() for _ in range(5)]
        case "get_batch":
            got = await queue.get_batch()
        case _:
            queue.end()
            got = [one async for one in queue]
    assert not turned.is_set()
    assert texts(got) == list("01234")


@pytest.mark.parametrize("subscribed", [False, True])
async def test_reader_with_timeouts_leaves_nothing_in_the_queue(subscribed: bool) -> None:
    """With a silent program and wait_for() around each get, nothing grows, and the next line arrives."""
    queue: LineQueue[Any] = Subscription(stream=None, size=9, overflow="block") if subscribed else LineQueue(1)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0)
        waiting = asyncio.ensure_future(queue.get())
        await iterate(2)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert 0 == len(queue._getters)
    queue.deliver([line(0), line(1)])
    assert ["0", "1"] == texts(await queue.get_batch())
    if subscribed:
        return
    queue.deliver([line(2)])
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.put(line(3)), 0)
    assert 0 == len(queue._putters)


@pytest.mark.parametrize("first", ["get", "get_batch", "for", "put"])
def test_queue_belongs_to_the_event_loop_of_its_reader(first: str) -> None:
    """As an asyncio.Queue does: a reader on another loop would never be woken."""
    queue: LineQueue[int] = LineQueue(1)
    if first == "put":
        queue.deliver([0])

    async def wait() -> None:
        verbs: dict[str, Callable[[], Any]] = {
            "get": queue.get,
            "get_batch": queue.get_batch,
            "for": queue.__anext__,
            "put": lambda: queue.put(1),
        }
        await asyncio.wait_for(verbs[first](), 0.001)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    with pytest.raises(RuntimeError, match="bound to a different event loop"):
        asyncio.run(wait())


async def test_getters_are_served_in_order() -> None:
    """The getter that has waited longest gets the first line."""
    queue: LineQueue[int] = LineQueue()
    getters = [asyncio.ensure_future(queue.get()) for _ in range(4)]
    await iterate(2)
    queue.deliver([0])
    queue.deliver([1, 2, 3])
    assert [0, 1, 2, 3] == await asyncio.gather(*getters)


@pytest.mark.parametrize("batches", [[[0], [1], [2]], [[0, 1], [2]], [[0, 1, 2]]])
@pytest.mark.parametrize("victims", [*itertools.combinations(range(3), 1), *itertools.combinations(range(3), 2)])
async def test_cancelled_getter_loses_no_line(batches: list[list[int]], victims: tuple[int, ...]) -> None:
    """In every iteration, before and after its wake-up, each line reaches exactly one remaining reader."""
    for before, between, after in itertools.product(range(3), repeat=3):
        queue: LineQueue[int] = LineQueue(2)
        getters = [asyncio.create_task(queue.get()) for _ in range(3)]
        await iterate(before)
        first, *rest = batches
        queue.deliver(first)
        await iterate(between)
        for victim in victims:
            getters[victim].cancel()
        await iterate(3 * after)
        # No reader waits while a line is in the queue.
        assert not after or queue.empty() or all(task.done() for task in getters), (before, between, after)
        for batch in rest:
            queue.deliver(batch)
        queue.end()
        async with limit(5, "the getters"):
            await asyncio.wait(getters)
        got = [task.result() for task in getters if not task.cancelled() and task.exception() is None]
        left = await _all_of(queue)
        assert [0, 1, 2] == sorted(got + left), (before, between, after)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("deliver"), st.integers(0, 4)),
            st.tuples(st.sampled_from(["get", "batch", "cancel", "turn", "nowait", "timeout"]), st.integers(0, 5)),
        ),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_line_is_lost_or_doubled(steps: list[tuple[str, int]]) -> None:
    """Readers of every kind are cancelled at any time: each line comes once, in order for each reader."""

    async def play() -> None:
        queue: LineQueue[int] = LineQueue(3)
        number = itertools.count()
        written = 0
        got: list[list[int]] = []
        tasks: list[asyncio.Task[None]] = []

        async def read(verb: Callable[[], Any]) -> None:
            mine: list[int] = []
            got.append(mine)
            with contextlib.suppress(QueueShutDown, TimeoutError):
                while True:
                    result = await verb()
                    mine += result if isinstance(result, list) else [result]

        for step, size in steps:
            match step:
                case "deliver":
                    queue.deliver([next(number) for _ in range(size)])
                    written += size
                case "get":
                    tasks.append(asyncio.create_task(read(queue.get)))
                case "batch":
                    tasks.append(asyncio.create_task(read(queue.get_batch)))
                case "timeout":
                    tasks.append(asyncio.create_task(read(lambda: asyncio.wait_for(queue.get(), 0))))
                case "cancel" if tasks:
                    tasks[size % len(tasks)].cancel()
                case "nowait":
                    with contextlib.suppress(asyncio.QueueEmpty):
                        got.append([queue.get_nowait()])
                case _:
                    await iterate(size)
            assert not queue.blocked or queue.qsize() > queue.maxsize // 2
        queue.end()
        if tasks:
            await asyncio.wait(tasks)
        got.append([line async for line in queue])
        assert list(range(written)) == sorted(itertools.chain(*got))
        assert all(mine == sorted(mine) for mine in got)

    asyncio.run(play())


def test_back_pressure_lasts_from_full_to_half() -> None:
    """A full queue is blocked until half of it is read. That is reported once."""
    queue: LineQueue[int] = LineQueue(10)
    told: list[int] = []
    queue.on_room = lambda: told.append(queue.qsize())
    queue.deliver(range(9))
    assert not is_blocked(queue)
    queue.deliver(range(9, 25))
    assert is_blocked(queue)
    while is_blocked(queue):
        queue.get_nowait()
    assert [5] == told
    queue.deliver(range(5))
    assert is_blocked(queue)
    queue.shutdown()
    assert ([5, 10], False) == (told, queue.blocked)


def is_blocked(sink: Any) -> bool:
    """Return whether a sink is blocked. A function, because type checkers take a property for constant."""
    return bool(sink.blocked)


# --- Pump


class Tap:
    """A ``ReadStream`` that the test feeds."""

    def __init__(self) -> None:
        self.resumed = 0
        self.closed = False
        self.held = b""

    @property
    def reading(self) -> Any:
        """Whether the source would be read."""
        return not self.blocked()

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Let the data flow."""
        self.on_data, self.on_end, self.blocked = on_data, on_end, blocked

    def resume(self) -> None:
        """Record the call."""
        self.resumed += 1

    def drain(self) -> None:
        """Deliver the rest."""
        held, self.held = self.held, b""
        self.on_data(held)

    def close(self) -> None:
        """Record the call."""
        self.closed = True


def pumped(*sinks: Any) -> tuple[Tap, Pump, list[str]]:
    """Return a pump that reads, and a list that records its end."""
    tap, ends = Tap(), list[str]()
    pump = Pump(tap, LineSplitter, sinks, on_end=lambda: ends.append("end"))
    pump.start()
    return tap, pump, ends


async def test_pump_does_not_read_while_a_sink_is_blocked() -> None:
    """The slowest sink decides, and all get everything."""
    small, large, kept = LineQueue[str](2), LineQueue[str](4), LineList()
    tap, pump, ends = pumped(small, large, kept)
    tap.on_data(b"1\n2\n3\n4\n")
    assert not tap.reading
    assert ["1", "2", "3"] == [small.get_nowait() for _ in range(3)]
    assert (False, 0) == (tap.reading, tap.resumed)
    assert ["1", "2"] == [large.get_nowait() for _ in range(2)]
    assert (True, 1) == (tap.reading, tap.resumed)
    tap.on_data(b"5")
    pump.close()
    pump.close()
    assert (True, ["end"], True) == (tap.closed, ends, pump.ended)
    assert (["4", "5"], ["3", "4", "5"]) == (await _all_of(small), await _all_of(large))
    assert list("12345") == kept.lines


def test_drain_ignores_a_slow_reader_up_to_a_bound() -> None:
    """A dying survivor fills its pipe once more at most. A survivor that writes on is slowed down again."""
    queue: LineQueue[str] = LineQueue(1)
    tap, pump, _ends = pumped(queue)
    tap.on_data(b"1\n2\n")
    assert not tap.reading
    tap.held = b"3\n"
    pump.drain()
    assert (True, 3) == (tap.reading, queue.qsize())
    delivered = 0
    while tap.reading:
        tap.on_data(b"x" * 16000 + b"\n")
        delivered += 16001
    assert 64 * 1024 < delivered < 256 * 1024


# --- Subscription


def line(number: int) -> Line:
    """Return a line of a service."""
    return Line("id", "stdout", str(number), ManualClock().wall(), 1)


@pytest.mark.parametrize("sizes", [(3,), (3, 10), (10_000,)])
def test_lines_dropped_at_once_are_counted_and_not_made(sizes: tuple[int, ...]) -> None:
    """A chunk has many more lines than a queue holds: the last ones are delivered, the others counted."""
    clock = ManualClock()
    hub = Hub("id", clock=clock, shared=Subscribers())
    queues = [hub.subscribe(stream=None, history=0, size=size, overflow="drop_oldest", ended=False) for size in sizes]
    texts = [str(number) for number in range(5000)]
    for begin in (0, 2000):
        hub.publish("stdout", 1, texts[begin : begin + (2000 if begin == 0 else 3000)])
    for size, queue in zip(sizes, queues, strict=True):
        items = [queue.get_nowait() for _ in range(queue.qsize())]
        lost = max(0, 5000 - size)
        assert [lost, *[0] * (len(items) - 1)] == [line.missed for line in items]
        assert list(range(lost + 1, 5001)) == [line.seq for line in items]
        assert texts[-size:] == [line.text for line in items]
        assert lost == queue.missed


def test_empty_lines_of_ended_programs_are_bounded() -> None:
    """A line takes memory in addition to its text. Every dropped line is counted in its place."""
    queue = Subscription(stream=None, size=2, overflow="block")
    queue.deliver([line(1), line(2)])
    empty = [line(0)._replace(text="")] * 1000
    for _ in range(50):
        queue.deliver(empty)
    kept = (EXCESS_BYTES // LINE_COST // 1000 + 1) * 1000
    assert 2 + kept == queue.qsize()
    assert 50_000 - kept == queue.missed
    while queue.qsize():
        assert 0 == queue.get_nowait().missed
    queue.deliver([line(3)])
    assert 50_000 - kept == queue.get_nowait().missed


async def test_output_of_ended_programs_for_a_full_reader_is_bounded() -> None:
    """Up to EXCESS_BYTES nothing is lost. After that lines are counted in their place, until the reader goes on."""
    queue = Subscription(stream=None, size=2, overflow="block")
    queue.deliver([line(1), line(2), line(3)])
    rest = [line(0)._replace(text="x" * (EXCESS_BYTES // 4 - LINE_COST)) for _ in range(6)]
    for one in rest:
        queue.deliver([one])
    assert 7 == len(await queue.get_batch())
    assert (2, 0, False) == (queue.missed, queue.qsize(), is_blocked(queue))
    # After reading, the reader has the full allowance again.
    for one in rest[:3]:
        queue.deliver([one, one])
    assert [2, 0, 0, 0, 0, 0] == [line.missed for line in await queue.get_batch()]
    assert (2, 0, False) == (queue.missed, queue.qsize(), is_blocked(queue))


@given(
    overflow=st.sampled_from(["drop_oldest", "drop_newest", "error", "block"]),
    size=st.integers(1, 6),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=30),
)
@settings(max_examples=300, deadline=None)
def test_every_line_is_delivered_or_counted_in_its_place(
    overflow: Any, size: int, steps: list[tuple[bool, int]]
) -> None:
    """Delivered and missed lines are all lines. Each line tells how many are missing just before it."""
    queue = Subscription(stream=None, size=size, overflow=overflow)
    written = 0
    read: list[Line] = []
    for write, count in steps:
        if write and queue.takes("id", "stdout"):
            queue.deliver([line(number) for number in range(written, written + count)])
            written += count
        else:
            with contextlib.suppress(asyncio.QueueEmpty, asyncio.QueueFull):
                read += [queue.get_nowait() for _ in range(min(count, queue.qsize()))]
        assert overflow == "block" or queue.qsize() <= size
    failed = overflow == "error" and not queue.takes("id", "stdout")
    queue.end()
    with contextlib.suppress(QueueShutDown, asyncio.QueueFull):
        while True:
            read.append(queue.get_nowait())
    expected = 0
    for item in read:
        expected += item.missed
        assert str(expected) == item.text
        expected += 1
    if not failed:
        assert written == len(read) + queue.missed
        assert written == expected or overflow == "drop_newest"
    assert queue.missed == 0 or overflow.startswith("drop")
    assert overflow != "block" or written == len(read)


def subscription(*, stream: Any = None, size: Any = 1, overflow: Any = "block") -> Subscription:
    """Return a subscription, with arguments that the types forbid too."""
    return Subscription(stream=stream, size=size, overflow=overflow)


async def test_overflow_error_comes_after_the_lines() -> None:
    """The subscription accepts nothing after that."""
    queue = Subscription(stream=None, size=2, overflow="error")
    queue.deliver([line(n) for n in range(3)])
    assert ["0", "1"] == [item.text for item in (await queue.get(), await queue.get())]
    for _ in range(2):
        with pytest.raises(asyncio.QueueFull, match="more than 2 lines behind"):
            await queue.get()
    assert not queue.takes("id", "stdout")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stream": "out"}, "stream='out'"),
        ({"size": 0}, "size=0"),
        ({"size": True}, "size=True"),
        ({"overflow": "x"}, "x"),
    ],
)
def test_invalid_subscription_is_refused(options: dict[str, Any], words: str) -> None:
    """The error has the option and its value."""
    with pytest.raises(SpecError, match=words):
        subscription(**options)


@pytest.mark.parametrize("history", [-1, 1.5, True, None, "5"])
def test_invalid_history_is_refused(history: Any) -> None:
    """The error has the option and its value."""
    hub = Hub("id", clock=ManualClock(), shared=Subscribers())
    with pytest.raises(SpecError, match=f"history={history!r}"):
        hub.subscribe(stream=None, history=history, size=1, overflow="block", ended=False)


# --- Hub


class Room:
    """Counts the reports of room, in place of a pump."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        """Count the call."""
        self.times += 1


def hub_of() -> tuple[Hub, Any, Room]:
    """Return a hub, its sink for stdout, and the callback of that sink."""
    hub = Hub("id", clock=ManualClock(), shared=Subscribers())
    sink, room = hub.sink("stdout", 1, Spec(id="x", argv=("x",))), Room()
    sink.on_room = room
    return hub, sink, room


def texts(lines: Sequence[Line]) -> list[Any]:
    """Return the texts of lines."""
    return [line.text for line in lines]


async def test_tail_is_bounded_by_lines_and_by_bytes() -> None:
    """With and without subscribers, in small and large batches. The last line is kept even if it is too long."""
    for subscribed in (False, True):
        hub, sink, _room = hub_of()
        queue = (
            hub.subscribe(stream=None, history=0, size=10, overflow="drop_oldest", ended=False) if subscribed else None
        )
        sink.deliver([str(n) for n in range(5000)])
        assert [str(n) for n in range(5000 - TAIL_LINES, 5000)] == texts(hub.tail(10**6))
        assert ["4998", "4999"] == texts(hub.tail(2))
        assert [] == hub.tail(0)
        for letter in "abcd":
            sink.deliver([letter * (TAIL_BYTES // 2)])
        assert ["c", "d"] == [str(text)[0] for text in texts(hub.tail(10))]
        sink.deliver(["e" * TAIL_BYTES * 2])
        assert ["e"] == [str(text)[0] for text in texts(hub.tail(10))]
        # Also within one batch.
        sink.deliver([f"{n:01000}" for n in range(100)])
        assert list(range(100 - TAIL_BYTES // 1000, 100)) == [int(text) for text in texts(hub.tail(10**6))]
        del queue


class Text(str):
    """A text that reports when it is garbage-collected."""

    __slots__ = ("__weakref__",)


def test_tail_keeps_only_the_end_of_a_large_batch() -> None:
    """A chunk of newlines is sixty thousand lines, and its list belongs to the pump."""
    hub, sink, _room = hub_of()
    batch = [Text(n) for n in range(5000)]
    known = [weakref.ref(text) for text in batch]
    sink.deliver(batch)
    batch.clear()
    gc.collect()
    assert TAIL_LINES == sum(text() is not None for text in known)
    assert [str(n) for n in range(5000 - TAIL_LINES, 5000)] == texts(hub.tail(10**6))


async def test_history_comes_first_and_only_from_its_stream() -> None:
    """As many lines as asked for. They count as any line if there is no room."""
    hub, sink, _room = hub_of()
    errors = hub.sink("stderr", 1, Spec(id="x", argv=("x",)))
    sink.deliver(["a", "b"])
    errors.deliver(["e"])
    sink.deliver(["c"])
    sink.end()
    errors.end()
    for stream, history, expected in (
        (None, 2, ["e", "c"]),
        (None, 99, ["a", "b", "e", "c"]),
        ("stdout", 2, ["b", "c"]),
        ("stderr", 9, ["e"]),
        (None, 0, []),
    ):
        queue = hub.subscribe(stream=stream, history=history, size=10, overflow="drop_oldest", ended=True)
        assert expected == texts(await _all_of(queue))
    queue = hub.subscribe(stream=None, history=4, size=2, overflow="drop_oldest", ended=True)
    assert [("e", 2), ("c", 0)] == [(line.text, line.missed) for line in await _all_of(queue)]
    assert 2 == queue.missed


async def test_lossless_subscriber_pauses_only_its_stream() -> None:
    """Other streams go on. Room is reported when the slowest subscriber has it."""
    hub, sink, room = hub_of()
    errors = hub.sink("stderr", 1, Spec(id="x", argv=("x",)))
    slow = hub.subscribe(stream="stdout", history=0, size=2, overflow="block", ended=False)
    quick = hub.subscribe(stream=None, history=0, size=2, overflow="drop_oldest", ended=False)
    sink.deliver(["1", "2", "3"])
    assert (True, False, 0) == (is_blocked(sink), errors.blocked, room.times)
    await slow.get_batch()
    assert (False, 1) == (is_blocked(sink), room.times)
    sink.deliver(["4", "5"])
    assert is_blocked(sink)
    slow.close()
    assert (False, 2) == (is_blocked(sink), room.times)
    assert [] == await _all_of(slow)
    assert [("4", 3), ("5", 0)] == [(line.text, line.missed) for line in await quick.get_batch()]


async def test_dropped_lossless_subscription_resumes_the_pipe() -> None:
    """Dropped without close(): the pipe is read again after the garbage collection."""
    hub, sink, room = hub_of()
    forgotten = hub.subscribe(stream=None, history=0, size=1, overflow="block", ended=False)
    sink.deliver(["1", "2"])
    assert is_blocked(sink)
    del forgotten
    gc.collect()
    await iterate(2)
    assert (False, True) == (is_blocked(sink), room.times > 0)


async def test_subscriptions_end_and_begin_with_the_service() -> None:
    """A closed one stays closed. The end waits until no process holds a pipe."""
    hub, sink, _room = hub_of()
    sink.end()
    kept = hub.subscribe(stream=None, history=0, size=9, overflow="block", ended=True)
    closed = hub.subscribe(stream=None, history=0, size=9, overflow="block", ended=True)
    closed.close()
    assert [] == await _all_of(kept)
    hub.begin()
    with pytest.raises(asyncio.QueueEmpty):
        kept.get_nowait()
    with pytest.raises(QueueShutDown):
        closed.get_nowait()
    sink = hub.sink("stdout", 2, Spec(id="x", argv=("x",)))
    sink.deliver(["a"])
    hub.end("it was removed")
    sink.deliver(["late"])
    sink.end()
    assert ["a", "late"] == texts(await _all_of(kept))
    assert [] == await _all_of(closed)


# --- lines of real children


async def test_program_blocks_until_half_of_the_queue_is_read() -> None:
    """With 5 MB, the queue holds its size and one chunk. Every line arrives in order."""
    code = """
    import os
    for n in range(50_000):
        os.write(1, b"%099d\\n" % n)
    os.write(2, b"written\\n")
    """
    process = Process(*child(code), streaming=True, buffered=False, queue_size=100)
    await process.start()
    queue = process.stdout
    assert queue is not None
    assert process.stderr is not None
    done = asyncio.ensure_future(process.stderr.get())
    got = await queue.get_batch()
    while not is_blocked(queue):
        await asyncio.sleep(0)
    # One chunk of 64 KiB is 655 lines and a piece.
    assert 100 <= queue.qsize() <= 100 + 656
    held = queue.qsize()
    await iterate(50)
    assert (held, State.RUNNING, False) == (queue.qsize(), process.state, done.done())
    while is_blocked(queue):
        got.append(queue.get_nowait())
    assert 50 == queue.qsize()
    async for text in queue:
        got.append(text)
        assert queue.qsize() <= 100 + 2 * 656
    assert [f"{n:099}" for n in range(50_000)] == got
    assert "written" == await done
    assert (await process).ok


async def test_end_is_reported_without_readers() -> None:
    """Survivors in the group are killed, so that the pipe ends, and the grace is not needed."""
    process = Process(
        "sh", "-c", "sleep 100 & seq 5000", streaming=True, buffered=False, queue_size=10, drain_timeout=60
    )
    async with limit(10, "the end"):
        assert (await process).ok
    assert process.stdout is not None
    assert [str(n) for n in range(1, 5001)] == await _all_of(process.stdout)


async def test_all_lines_before_an_exit_arrive_in_both_kinds_of_readers() -> None:
    """In two hundred runs, the last line without its newline included."""
    command = "i=0; while [ $i -lt 999 ]; do i=$((i+1)); echo $i; done; printf 1000"
    expected = [str(n) for n in range(1, 1001)]

    async def some(count: int) -> None:
        for _ in range(count):
            process = Process("sh", "-c", command, streaming=True, buffered=True, queue_size=300)
            _, read = await asyncio.gather(process.start(), _all_of(process.stdout))
            assert expected == read == (await process).stdout

    await asyncio.gather(*(some(20) for _ in range(10)))


@pytest.mark.parametrize("where", ["in the group", "where no sweep finds it"])
async def test_grandchild_with_the_pipe_delays_the_end_by_the_grace(where: str) -> None:
    """There is no delay if it is killed with the group, as a clock that stands still shows."""
    code = """
    import os, resource, signal, sys
    r, w = os.pipe()
    if os.fork() == 0:
        away = sys.argv[1] != "in the group"
        if away:
            os.setsid()
            for field in (10, 15) if sys.platform == "linux" else ():
                resource.setrlimit(field, (resource.RLIM_INFINITY, resource.getrlimit(field)[1]))
        print(os.getpid())
        os.set_inheritable(w, True)
        if away:
            os.execve("/bin/sh", ["sh", "-c", f"echo x >&{w}; exec sleep 60"], {})
        os.write(w, b"x")
        signal.pause()
    os.read(r, 1)
    print("bye")
    """
    clock = ManualClock() if where == "in the group" else None
    process = Process(*child(code, where), streaming=True, drain_timeout=0.2, clock=clock)
    loop = asyncio.get_running_loop()
    await process.start()
    assert process.stdout is not None
    began = loop.time()
    async with limit(10, "the end"):
        status = await process
    took = loop.time() - began
    seen = {text async for text in process.stdout}
    assert (True, True) == (status.ok, "bye" in seen)
    if clock is not None:
        assert clock.next_timer() is None
    else:
        assert 0.2 <= took
        (survivor,) = map(int, seen - {"bye"})
        assert os.getsid(survivor) == survivor
        os.kill(survivor, signal.SIGKILL)


async def test_failure_at_the_end_of_one_sink_spares_the_other() -> None:
    """It is reported as an error of the event loop."""
    ended: list[str] = []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    class First(LineList):
        def end(self) -> None:
            raise OSError("mine")

    class Second(LineList):
        def end(self) -> None:
            ended.append("second")

    pump = Pump(Tap(), LineSplitter, [First(), Second()], on_end=lambda: ended.append("pump"))
    pump.start()
    pump.close()
    assert ["second", "pump"] == ended
    assert "mine" == str(reported[0]["exception"])


async def test_failure_of_a_log_spares_the_other_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log gets no more lines of this run; subscribers and the other log get all."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    real = LogSink.deliver

    def deliver(sink: LogSink, lines: Sequence[Line]) -> None:
        if sink.takes("web", "stderr"):
            raise OSError("mine")
        real(sink, lines)

    monkeypatch.setattr(LogSink, "deliver", deliver)
    logs = [LogFile(tmp_path / "out", stream="stdout"), LogFile(tmp_path / "both")]
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", *child("print('one')"), log=logs)
        lines = service.lines()
        await overseer.supervise("web")
        assert ["one"] == [line.text async for line in lines]
    assert "one\n" == (tmp_path / "out").read_text()
    assert not (tmp_path / "both").exists()
    assert "mine" == str(reported[0]["exception"])


async def test_waiting_reader_of_a_forgotten_queue_gets_the_next_line() -> None:
    """Two tasks wait for one subscription that nothing else refers to."""
    async with limit(20), Overseer() as overseer:
        cat = await overseer.add("cat", "cat", stdin="pipe").start()
        lines = cat.lines()
        first, second = asyncio.ensure_future(lines.get()), asyncio.ensure_future(lines.get())
        del lines
        await iterate(2)
        await cat.write("one\n")
        assert "one" == (await first).text
        del first
        gc.collect()
        await iterate(2)
        await cat.write("two\n")
        assert "two" == (await second).text
