"""Poller: callbacks of many pipes by one descriptor of the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioverseer import Process
from aioverseer._aio import fork
from aioverseer._aio.fork import in_copy, separate
from aioverseer._aio.poller import Poller, poller_for
from tests.support.programs import limit

Pipe = tuple[int, int]


@pytest.fixture
def pipes() -> Iterator[Callable[[], Pipe]]:
    """A function that makes pipes, closed after the test."""
    opened: list[int] = []

    def make() -> Pipe:
        ends = os.pipe()
        opened.extend(ends)
        return ends

    yield make
    for descriptor in opened:
        os.close(descriptor)


async def watch() -> Poller:
    """Return a Poller for the running loop."""
    poller = poller_for(asyncio.get_running_loop())
    if poller is None:
        pytest.skip("this system has no epoll")
    return poller


async def test_each_pipe_calls_back_while_it_is_readable(pipes: Callable[[], Pipe]) -> None:
    """It is level-triggered like an event loop: from the write until all is read."""
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


async def test_a_removed_pipe_is_not_called_even_in_the_same_iteration(pipes: Callable[[], Pipe]) -> None:
    """The callback of one readable pipe removes the other."""
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


async def test_a_callback_that_raises_is_reported_and_stops_no_other(pipes: Callable[[], Pipe]) -> None:
    """The event loop does the same, in the same iteration and every time."""
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


async def test_after_close_the_loop_watches_the_remaining_pipes(pipes: Callable[[], Pipe]) -> None:
    """A program that did not die is reaped at its later exit. Closing twice does no harm."""
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


async def test_closed_poller_leaves_descriptors_to_the_loop() -> None:
    """Descriptors watched before the close, and descriptors added after it."""
    poller = Poller(asyncio.get_running_loop())
    called: list[int] = []
    pipes = [os.pipe(), os.pipe()]
    poller.add_reader(pipes[0][0], lambda: called.append(0))
    poller.close()
    poller.close()
    poller.add_reader(pipes[1][0], lambda: called.append(1))
    for _, write in pipes:
        os.write(write, b"x")
    while len(set(called)) < 2:
        await asyncio.sleep(0)
    for read, write in pipes:
        poller.remove_reader(read)
        os.close(read)
        os.close(write)


def test_poller_may_be_closed_after_its_loop() -> None:
    """Nothing can watch its descriptors any more."""
    loop = asyncio.new_event_loop()
    poller = Poller(loop)
    read, write = os.pipe()
    poller.add_reader(read, lambda: None)
    loop.close()
    poller.close()
    os.close(read)
    os.close(write)


async def test_programs_run_without_a_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left for it, and the event loop's own readers serve."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(select, "epoll", refused)
    assert None is poller_for(asyncio.get_running_loop())
    assert ["hello"] == (await Process("echo", "hello", containment="basic")).stdout


# --- the copy of a loop in a fork


def test_copy_of_a_loop_has_wakers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told apart while no loop runs, too, as in the iteration in which the host has forked."""
    monkeypatch.setattr(fork, "_copies", weakref.WeakSet())
    assert not in_copy()
    loop = asyncio.new_event_loop()
    separate(loop)
    assert in_copy()

    async def woken() -> bool:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        threading.Thread(target=loop.call_soon_threadsafe, args=(done.set_result, None)).start()
        await done
        return in_copy()

    assert loop.run_until_complete(asyncio.wait_for(woken(), 10))
    loop.close()
    separate(loop)  # a host may fork after the end of its loop


async def test_closed_poller_may_be_forked() -> None:
    """Its epoll is gone, and the number may be that of another file."""
    poller = Poller(asyncio.get_running_loop())
    poller.close()
    poller.separate()
