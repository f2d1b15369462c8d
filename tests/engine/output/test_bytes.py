"""Random bytes through a real pipe to readers of every kind: joined, the output is the input."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import LineQueue, Process, QueueShutDown
from tests.support.output_plans import ENCODINGS, LIMITS, WRITER, Plan, joined, plans
from tests.support.programs import limit

Step = tuple[str, int, int]
"""How to read, after how many iterations of the event loop, and a number whose meaning depends on the how."""

SURE = ("for", "get", "batch", "several")
"""These get a line each time; the others may come too early or be cancelled too soon."""
UNSURE = ("nowait", "timeout", "cancelled")


def step(kinds: Sequence[str]) -> st.SearchStrategy[Step]:
    """Return a random step of one of these kinds."""
    return st.tuples(st.sampled_from(kinds), st.integers(0, 4), st.integers(0, 5))


ways = st.builds(lambda steps, last: [*steps, last], st.lists(step(SURE + UNSURE), max_size=7), step(SURE))
"""How one reader reads: steps that lead to the end when they are taken again and again."""


async def iterate(count: int) -> None:
    """Run a few iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def take(queue: LineQueue[Any], got: list[Any]) -> None:
    """Take the next line, and record it at the moment when it leaves the queue."""
    got.append(await queue.get())


async def take_some(queue: LineQueue[Any], got: list[Any], pause: int, victim: int | None) -> None:
    """Read with three getters at the same time, and cancel one of them."""
    before = len(got)
    getters = [asyncio.ensure_future(take(queue, got)) for _ in range(3)]
    await iterate(pause)
    if victim is not None:
        getters[victim].cancel()
        # The others may still wait for a line that never comes, so cancel them too.
        await iterate(pause)
        for getter in getters:
            getter.cancel()
    ends = await asyncio.gather(*getters, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError | QueueShutDown | None) for end in ends)
    if len(got) == before and isinstance(ends[-1], QueueShutDown):
        raise ends[-1]


async def read_all(queue: LineQueue[Any], how: Sequence[Step], got: list[Any]) -> None:
    """Read to the end, repeating these steps."""
    with contextlib.suppress(QueueShutDown):
        for kind, pause, number in itertools.cycle(how):
            await iterate(pause)
            match kind:
                case "for":
                    left = number + 1
                    async for line in queue:
                        got.append(line)
                        left -= 1
                        if not left:
                            break
                    else:
                        with pytest.raises(QueueShutDown):
                            queue.get_nowait()
                        break
                case "get":
                    await take(queue, got)
                case "nowait":
                    try:
                        got.append(queue.get_nowait())
                    except asyncio.QueueEmpty:
                        await asyncio.sleep(0)
                case "batch":
                    batch = await queue.get_batch()
                    assert batch
                    got += batch
                case "timeout":
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(take(queue, got), number / 5000)
                case "several":
                    await take_some(queue, got, pause, None)
                case _:
                    await take_some(queue, got, pause, number % 3)


def assert_pieces_fit(
    lines: Sequence[str | bytes], limit: int, *, encoding: str | None, errors: str = "strict"
) -> None:
    """Check that no line and no piece is longer than the limit."""
    for line in lines:
        size = len(line.encode(encoding or "", errors)) if isinstance(line, str) else len(line)
        assert size <= limit


@settings(max_examples=60, deadline=None)
@given(
    plan=plans(),
    text=st.sampled_from(ENCODINGS),
    line_limit=st.sampled_from(LIMITS),
    queue_size=st.sampled_from([1, 2, 3, 10, 1000]),
    merge_stderr=st.booleans(),
    buffered=st.booleans(),
    out_steps=ways,
    error_steps=ways,
)
def test_bytes_of_both_streams_arrive_unchanged(
    plan: Plan,
    text: dict[str, Any],
    line_limit: int,
    queue_size: int,
    merge_stderr: bool,
    buffered: bool,
    out_steps: list[Step],
    error_steps: list[Step],
) -> None:
    """For random bytes, chunks, limits and readers. The kept lines are the same."""

    async def play() -> None:
        process = Process(
            *WRITER,
            stdin=plan.stdin,
            streaming=True,
            line_limit=line_limit,
            queue_size=queue_size,
            merge_stderr=merge_stderr,
            buffered=buffered,
            **text,
        )
        async with limit(20, "the run and its readers"):
            await process.start()
            assert process.stdout is not None
            got: list[list[Any]] = [[]]
            reading = [read_all(process.stdout, out_steps, got[0])]
            if process.stderr is not None:
                got.append([])
                reading.append(read_all(process.stderr, error_steps, got[1]))
            await asyncio.gather(*reading)
            status = await process
        assert status.ok
        expected = [plan.expected(1, 2)] if merge_stderr else [plan.expected(1), plan.expected(2)]
        assert expected == [joined(lines, **text) for lines in got]
        for lines in got:
            assert_pieces_fit(lines, line_limit, **text)
        if buffered:
            assert got == [status.stdout] if merge_stderr else got == [status.stdout, status.stderr]

    asyncio.run(play())


@settings(max_examples=40, deadline=None)
@given(
    plan=plans(),
    line_limit=st.sampled_from(LIMITS),
    queue_size=st.sampled_from([1, 2, 10]),
    readers=st.lists(ways, min_size=2, max_size=5),
)
def test_readers_of_one_queue_share_its_lines(
    plan: Plan, line_limit: int, queue_size: int, readers: list[list[Step]]
) -> None:
    """Each line goes to exactly one reader, and lines leave the queue in order."""

    async def play() -> None:
        process = Process(
            *WRITER,
            stdin=plan.stdin,
            streaming=True,
            buffered=True,
            encoding=None,
            line_limit=line_limit,
            queue_size=queue_size,
        )
        async with limit(20, "the run and its readers"):
            await process.start()
            queue, errors = process.stdout, process.stderr
            assert queue is not None
            assert errors is not None
            got: list[Any] = []
            await asyncio.gather(
                read_all(errors, [("batch", 0, 0)], []), *(read_all(queue, how, got) for how in readers)
            )
            status = await process
        assert plan.expected(1) == joined(got, encoding=None)
        assert got == status.stdout

    asyncio.run(play())
