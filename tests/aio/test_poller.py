"""One descriptor for all pipes: who is called back, and who is not any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioverseer._aio.poller import Poller, poller_for
from tests.support.programs import limit

Pipe = tuple[int, int]


@pytest.fixture
def pipes() -> Iterator[Callable[[], Pipe]]:
    """Make pipes; what is still open at the end is closed."""
    opened: list[int] = []

    def make() -> Pipe:
        ends = os.pipe()
        opened.extend(ends)
        return ends

    yield make
    for descriptor in opened:
        os.close(descriptor)


async def watch() -> Poller:
    """Return one for the running loop."""
    poller = poller_for(asyncio.get_running_loop())
    if poller is None:
        pytest.skip("this system has no epoll")
    return poller


async def test_each_pipe_calls_back_while_it_can_be_read(pipes: Callable[[], Pipe]) -> None:
    """Level by level, as an event loop does it: until it was read, and not before it was written."""
    poller = await watch()
    quiet, busy = pipes(), pipes()
    called: asyncio.Queue[str] = asyncio.Queue()
    poller.add_reader(quiet[0], lambda: called.put_nowait("quiet"))
    poller.add_reader(busy[0], lambda: called.put_nowait("busy"))
    os.write(busy[1], b"xx")
    async with limit(10):
        assert ["busy"] * 3 == [await called.get() for _ in range(3)]
    os.read(busy[0], 2)
    poller.close()


async def test_who_was_removed_is_called_no_more_even_in_the_same_turn(pipes: Callable[[], Pipe]) -> None:
    """The first of two that can be read removes the other."""
    poller = await watch()
    both = [pipes(), pipes()]
    called: list[int] = []
    done = asyncio.get_running_loop().create_future()

    def first_come(own: int, other: int) -> Callable[[], None]:
        def call() -> None:
            called.append(own)
            poller.remove_reader(other)
            poller.remove_reader(own)
            done.set_result(None)

        return call

    (a, _), (b, _) = both
    poller.add_reader(a, first_come(a, b))
    poller.add_reader(b, first_come(b, a))
    for _, write in both:
        os.write(write, b"x")
    async with limit(10):
        await done
    assert 1 == len(called)
    poller.remove_reader(a)
    poller.close()


async def test_a_reader_that_fails_is_told_and_stops_no_other(pipes: Callable[[], Pipe]) -> None:
    """As in the event loop itself, however often it fails, and in the same turn."""
    poller = await watch()
    loop = asyncio.get_running_loop()
    told: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    bad = [pipes(), pipes()]
    good = pipes()
    reached = loop.create_future()

    def fail() -> None:
        raise ValueError("no")

    def reach() -> None:
        if not reached.done():
            reached.set_result(None)

    # Whichever of them the system names first.
    for pipe, callback in ((bad[0], fail), (good, reach), (bad[1], fail)):
        poller.add_reader(pipe[0], callback)
    for pipe in (*bad, good):
        os.write(pipe[1], b"x")
    async with limit(10):
        await reached
    assert {"no"} == {str(error) for error in told}
    assert 0 == len(told) % 2
    for pipe in bad:
        poller.remove_reader(pipe[0])
    poller.close()


async def test_what_is_still_watched_at_its_end_is_left_to_the_loop(pipes: Callable[[], Pipe]) -> None:
    """A program that nothing could end is reaped when it ends after all; closing twice does no harm."""
    poller = await watch()
    read, write = pipes()
    called: asyncio.Queue[None] = asyncio.Queue()
    poller.add_reader(read, lambda: called.put_nowait(None))
    poller.close()
    poller.close()
    os.write(write, b"x")
    async with limit(10):
        await called.get()
    poller.remove_reader(read)
    assert not asyncio.get_running_loop().remove_reader(read)
