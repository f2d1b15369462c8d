"""Whatever is written in whatever chunks, through a real pipe by a real child, to readers of every kind and speed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import ContinuedBytes, Dropped, Line, LineQueue, Overseer, Process, QueueShutDown, Subscription
from helpers import child, limit

WRITER = child(
    """
    import os, sys
    read = sys.stdin.buffer
    while size := read.read(8):
        os.write(1, read.read(int(size)))
    """
)
"""Writes each chunk that it is fed by a call of its own."""

Data = list[bytes]
CHUNKS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=300),
        st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"\xe2\x82", b"\xac", b"word " * 20]), min_size=1).map(
            b"".join
        ),
        st.integers(1, 5000).map(lambda count: b"".join(b"%d\n" % n for n in range(count))),
        st.integers(1, 90_000).map(lambda size: b"x" * size),
    ),
    max_size=12,
)
SPEEDS = st.lists(st.integers(0, 3), min_size=1, max_size=7)


def plan(chunks: Data) -> bytes:
    """What to feed the writer."""
    return b"".join(b"%8d" % len(chunk) + chunk for chunk in chunks)


def written(chunks: Data) -> bytes:
    """What must come out, joined: every line ended by a newline alone."""
    data = b"".join(chunks)
    if data and not data.endswith(b"\n"):
        data += b"\n"
    # At the end of the file a carriage return before the newline that was added here is one of its own.
    body, end = (data[:-2], data[-2:]) if not b"".join(chunks).endswith(b"\n") else (data, b"")
    return body.replace(b"\r\n", b"\n") + end


def joined(lines: Iterable[object]) -> bytes:
    """What came out."""
    return b"".join(line if isinstance(line, ContinuedBytes) else bytes(line) + b"\n" for line in lines)  # type: ignore[call-overload]  # bytes


class Pace:
    """A reader that goes away for some turns of the loop after each line."""

    def __init__(self, speeds: list[int]) -> None:
        self._speeds = speeds
        self._taken = 0

    async def __call__(self) -> None:
        """Go away."""
        self._taken += 1
        # Big inputs are not slowed down to the end: a thousand lines show all that a slow reader does.
        for _ in range(self._speeds[self._taken % len(self._speeds)] if self._taken < 1000 else 0):
            await asyncio.sleep(0)


Reader = Callable[[LineQueue[Any], Pace], Awaitable[list[Any]]]


async def iterating(queue: LineQueue[Any], pace: Pace) -> list[Any]:
    """``async for``."""
    lines: list[Any] = []
    async for line in queue:
        lines.append(line)
        await pace()
    return lines


async def getting(queue: LineQueue[Any], pace: Pace) -> list[Any]:
    """get(), or what is there at once."""
    lines: list[Any] = []
    with contextlib.suppress(QueueShutDown):
        while True:
            try:
                lines.append(queue.get_nowait())
            except asyncio.QueueEmpty:
                lines.append(await queue.get())
            await pace()
    return lines


async def in_batches(queue: LineQueue[Any], pace: Pace) -> list[Any]:
    """get_batch()."""
    lines: list[Any] = []
    with contextlib.suppress(QueueShutDown):
        while True:
            batch = await queue.get_batch()
            assert batch
            lines += batch
            await pace()
    return lines


async def several(queue: LineQueue[Any], pace: Pace) -> list[Any]:
    """Three at once; each line goes to one of them, in the order in which they were asked for."""
    lines: list[Any] = []

    async def one() -> None:
        with contextlib.suppress(QueueShutDown):
            while True:
                lines.append(await queue.get())  # no turn of the loop between the two
                await pace()

    await asyncio.gather(one(), one(), one())
    return lines


async def giving_up(queue: LineQueue[Any], pace: Pace) -> list[Any]:
    """Getters that are cancelled, in that very turn or later, and wait_for that runs out at once."""
    lines: list[Any] = []
    with contextlib.suppress(QueueShutDown):
        while True:
            getter = asyncio.ensure_future(queue.get())
            await pace()
            getter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                lines.append(await getter)
            with contextlib.suppress(TimeoutError):
                lines.append(await asyncio.wait_for(queue.get(), 0))
            with contextlib.suppress(TimeoutError):
                lines.append(await asyncio.wait_for(queue.get(), 0.0005))
    return lines


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reader", [iterating, getting, in_batches, several, giving_up], ids=lambda r: r.__name__)
def test_what_comes_out_of_a_process_is_what_went_in(reader: Reader) -> None:
    """Joined, byte for byte, whatever the size of the queue, the limit of a line and the speed of the reader."""

    @given(chunks=CHUNKS, speeds=SPEEDS, size=st.integers(1, 50), limit_=st.sampled_from([16, 17, 1000, 16384]))
    @settings(max_examples=25, deadline=None)
    def check(chunks: Data, speeds: list[int], size: int, limit_: int) -> None:
        async def main() -> list[Any]:
            options: Any = {"encoding": None, "line_limit": limit_, "queue_size": size, "stdin": plan(chunks)}
            async with limit(60), Process(*WRITER, buffered=False, streaming=True, **options) as process:
                assert process.stdout is not None
                lines = await reader(process.stdout, Pace(speeds))
                assert (await process).ok
            return lines

        lines = asyncio.run(main())
        assert written(chunks) == joined(lines)
        assert all(len(line) <= limit_ for line in lines)

    check()


RULES = st.lists(
    st.tuples(
        st.sampled_from(["drop_oldest", "drop_newest", "block", "error"]), st.integers(1, 40), SPEEDS, st.booleans()
    ),
    min_size=1,
    max_size=4,
)


async def follow(queue: Subscription, pace: Pace) -> list[Line | Dropped]:
    """Read to the end, or to where a subscriber was too slow for its rule."""
    items: list[Line | Dropped] = []
    with contextlib.suppress(QueueShutDown, asyncio.QueueFull):
        while True:
            items.append(await queue.get())
            await pace()
    return items


def account(queue: Subscription, items: list[Line | Dropped], lines: list[Any], rule: str) -> None:
    """Each line is delivered in its place, or counted there."""
    place = 0
    for item in items:
        if isinstance(item, Dropped):
            place += item.n
        else:
            assert lines[place] == item.text
            place += 1
    assert queue.dropped == sum(item.n for item in items if isinstance(item, Dropped))
    if rule == "error":
        assert place <= len(lines)
    else:
        assert len(lines) == place
    if rule == "block":
        assert 0 == queue.dropped


@pytest.mark.timeout(120)
@given(chunks=CHUNKS, rules=RULES)
@settings(max_examples=40, deadline=None)
def test_what_subscribers_of_a_service_get_and_lose_adds_up(chunks: Data, rules: list[Any]) -> None:
    """Side by side, each with its rule, size and speed; some begin to read when all is over, one goes away."""

    async def main() -> None:
        async with limit(60), Overseer() as overseer:
            service = overseer.add("writer", *WRITER, encoding=None, stdin=plan(chunks))
            whole = service.lines(overflow="block", size=7)
            queues = [service.lines(overflow=rule, size=size) for rule, size, _, _ in rules]
            leaving = service.lines(overflow="block", size=1)
            readers = {
                queue: asyncio.ensure_future(follow(queue, Pace(speeds)))
                for queue, (rule, _, speeds, late) in zip(queues, rules, strict=True)
                if rule == "block" or not late
            }
            first = asyncio.ensure_future(follow(whole, Pace([0])))
            await service.start()
            await asyncio.sleep(0)
            leaving.close()
            assert (await service).ok
            lines = [line.text for line in await first if isinstance(line, Line)]
            whole_text = [
                ContinuedBytes(line.text) if line.continued else line.text  # type: ignore[arg-type]  # bytes
                for line in await follow(service.lines(history=0), Pace([0]))
                if isinstance(line, Line)
            ]
            assert [] == whole_text
            for (rule, _, speeds, _), queue in zip(rules, queues, strict=True):
                items = await (readers[queue] if queue in readers else follow(queue, Pace(speeds)))
                account(queue, items, lines, rule)
        data = b"".join(chunks).replace(b"\r\n", b"\n").replace(b"\n", b"")
        assert data == b"".join(lines).replace(b"\n", b"")  # type: ignore[arg-type]  # bytes

    asyncio.run(main())


@pytest.mark.parametrize("limit_", [16384, 32 << 20])
async def test_lines_of_many_megabytes_and_no_newline_at_all_come_whole(limit_: int) -> None:
    """16 MiB in one line, and as much again without an end."""
    code = (
        "import os\nfor end in (b'\\n', b''):\n    for _ in range(256): os.write(1, b'x' * 65536)\n    os.write(1, end)"
    )
    options: Any = {"encoding": None, "line_limit": limit_, "queue_size": 4}
    async with Process(*child(code), buffered=False, streaming=True, **options) as process:
        assert process.stdout is not None
        most, total, ends = 0, 0, 0
        async for line in process.stdout:
            most = max(most, process.stdout.qsize())
            total += len(line)
            ends += not isinstance(line, ContinuedBytes)
    assert (32 << 20, 2) == (total, ends)
    assert most <= 4 + 65536 // limit_ + 1


STALL = """
import asyncio, resource, sys
from aioverseer import Overseer, Process

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

flood = [sys.executable, "-I", "-S", "-c", '''
import os
block = (b"x" * 99 + b"\\\\n") * 10000
for _ in range(%d):
    rest = memoryview(block)
    while rest: rest = rest[os.write(1, rest):]
''']

async def main():
    async with Overseer() as overseer:
        overseer.add("warm", *flood[:-1], flood[-1] % 5)
        await overseer.supervise_all()
        before = resident()
        nobody = overseer.add("nobody", *flood[:-1], flood[-1] % 100)
        slow = overseer.add("slow", *flood[:-1], flood[-1] % 100)
        held = overseer.add("held", *flood[:-1], flood[-1] % 100)
        unread, blocked = slow.lines(), held.lines(overflow="block")
        await overseer.start_all()
        async with Process(*flood[:-1], flood[-1] % 100, buffered=False, streaming=True) as process:
            ended = [(await service).ok for service in (nobody, slow)]
            print(ended, held.state, process.state, unread.dropped + unread.qsize() - 1)
            print(resident() - before)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_a_hundred_megabytes_that_nobody_reads_leave_memory_where_it_was() -> None:
    """No reader, one that drops, one that blocks, and a stream that is not read; 8 MB are allowed."""
    status = await Process(sys.executable, "-c", STALL)
    assert status.stdout is not None, status
    assert "[True, True] running running 1000000" == status.stdout[0], status.stderr
    assert int(status.stdout[1]) < 8 << 20


async def test_a_reader_that_stalls_for_ever_holds_up_nothing_else() -> None:
    """Not the other stream, not another service, not the stop, not the report of the end."""
    code = """
    import os, threading
    def flood():
        while True: os.write(1, b"x" * 999 + b"\\n")
    threading.Thread(target=flood, daemon=True).start()
    for n in range(1000): os.write(2, b"%d\\n" % n)
    threading.Event().wait()
    """
    async with limit(30), Overseer() as overseer:
        noisy = overseer.add("noisy", *child(code))
        other = overseer.add("other", "seq", "5000")
        stalled, seen = noisy.lines("stdout", overflow="block", size=1), noisy.lines("stdout")
        errors, lines = noisy.lines("stderr", overflow="block"), other.lines(overflow="block")
        await overseer.start_all()
        assert [str(n) for n in range(1000)] == [getattr(await errors.get(), "text", "") for _ in range(1000)]
        assert 5000 == len([line async for line in lines])
        await seen.get()
        assert stalled.blocked
        status = await noisy.stop()
        assert (15, 0) == (status.signal, stalled.dropped)
    async with limit(30), Process(*child(code), buffered=False, streaming=True, queue_size=1) as process:
        assert process.stderr is not None
        assert [str(n) for n in range(1000)] == [await process.stderr.get() for _ in range(1000)]
        assert 15 == (await process.stop()).signal
