"""The host's ends of pipes, without a child: reading, pausing, draining, writing and closing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty

import pytest

from aioverseer._system.process.pipes import CHUNK, ReadPipe, WritePipe
from tests.support.programs import limit


class Reader:
    """A ReadPipe with its delivered chunks, and the other end."""

    def __init__(self) -> None:
        read, self.write_end = os.pipe()
        self.time = 100.0
        self.pipe = ReadPipe(read, now=lambda: self.time)
        self.chunks: list[bytes] = []
        self.ends = 0
        self.blocked = False
        self.news = asyncio.Event()

    def attach(self) -> Reader:
        """Begin to read."""
        self.pipe.attach(self._data, self._end, blocked=lambda: self.blocked)
        return self

    def _data(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.news.set()

    def _end(self) -> None:
        self.ends += 1
        self.news.set()

    async def until(self, count: int, ends: int = 0) -> None:
        """Until so many bytes and ends were delivered."""
        async with limit(10, "the delivery"):
            while len(b"".join(self.chunks)) < count or self.ends < ends:
                self.news.clear()
                await self.news.wait()

    def hang_up(self) -> None:
        """Close the other end."""
        os.close(self.write_end)


async def iterate(count: int) -> None:
    """Wait for so many iterations of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_chunks_come_as_they_were_written_then_the_end_once() -> None:
    """The end closes the descriptor."""
    reader = Reader().attach()
    os.write(reader.write_end, b"one")
    await reader.until(3)
    os.write(reader.write_end, b"two")
    reader.hang_up()
    await reader.until(6, ends=1)
    assert ([b"one", b"two"], 1) == (reader.chunks, reader.ends)
    reader.pipe.close()
    reader.pipe.drain()
    reader.pipe.resume()
    await iterate(5)
    assert 1 == reader.ends


async def test_nothing_is_read_before_it_is_attached_and_while_it_is_blocked() -> None:
    """resume() may be called twice, and before attach()."""
    reader = Reader()
    reader.pipe.resume()
    os.write(reader.write_end, b"early")
    await iterate(5)
    assert [] == reader.chunks
    reader.attach()
    await reader.until(5)
    reader.blocked = True
    os.write(reader.write_end, b"late")
    await iterate(5)
    assert [b"early"] == reader.chunks
    reader.pipe.resume()
    await iterate(5)
    assert [b"early"] == reader.chunks
    reader.blocked = False
    reader.pipe.resume()
    reader.pipe.resume()
    await reader.until(9)
    reader.pipe.close()
    reader.hang_up()


@pytest.mark.parametrize("size", [4096, 65536, 1 << 20])
async def test_draining_takes_all_that_a_full_pipe_holds_and_its_end(size: int) -> None:
    """This holds for every capacity, at once, and although the reader is blocked."""
    reader = Reader()
    fcntl.fcntl(reader.write_end, fcntl.F_SETPIPE_SZ, size)
    os.set_blocking(reader.write_end, False)
    written = os.write(reader.write_end, b"x" * (2 * size))
    assert size == written
    reader.blocked = True
    reader.attach()
    reader.hang_up()
    reader.pipe.drain()
    assert (written, 1) == (len(b"".join(reader.chunks)), reader.ends)
    assert max(map(len, reader.chunks)) <= CHUNK


async def test_draining_an_empty_pipe_delivers_nothing_and_does_not_wait() -> None:
    """The end comes later."""
    reader = Reader().attach()
    reader.pipe.drain()
    assert ([], 0) == (reader.chunks, reader.ends)
    reader.hang_up()
    await reader.until(0, ends=1)


async def test_draining_is_bounded_while_a_writer_goes_on() -> None:
    """A writer that refills the pipe for ever cannot block the event loop."""
    reader = Reader()
    os.set_blocking(reader.write_end, False)
    chunks = 0

    def refill(_chunk: bytes) -> None:
        nonlocal chunks
        chunks += 1
        assert chunks < 10
        os.write(reader.write_end, b"x" * CHUNK)

    os.write(reader.write_end, b"x" * CHUNK)
    reader.pipe.attach(refill, lambda: None, blocked=lambda: False)
    reader.pipe.drain()
    assert 1 <= chunks <= 2
    reader.pipe.close()
    reader.hang_up()


async def test_after_close_nothing_is_delivered_not_even_the_end() -> None:
    """This holds for a pipe that is readable in that iteration, and for close() in a callback."""
    reader = Reader().attach()
    os.write(reader.write_end, b"x")
    reader.pipe.close()
    reader.pipe.close()
    reader.hang_up()
    await iterate(5)
    assert ([], 0) == (reader.chunks, reader.ends)

    inner = Reader()
    got: list[bytes] = []

    def close(chunk: bytes) -> None:
        got.append(chunk)
        inner.pipe.close()

    inner.pipe.attach(close, lambda: got.append(b"end"), blocked=lambda: False)
    os.write(inner.write_end, b"x")
    inner.hang_up()
    await iterate(5)
    assert [b"x"] == got


async def test_a_terminal_that_hangs_up_is_an_end() -> None:
    """Its error is EIO, where a pipe has the end of file."""
    ours, theirs = pty.openpty()
    pipe = ReadPipe(ours)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    pipe.attach(lambda _chunk: None, lambda: ended.set_result(None), blocked=lambda: False)
    os.close(theirs)
    async with limit(10, "the end"):
        await ended


async def test_answer_that_is_there_is_read_without_the_event_loop() -> None:
    """For a millisecond after the loop has looked; then other tasks have their time."""
    reader = Reader().attach()
    os.write(reader.write_end, b"a")
    assert not reader.pipe.read_at_once()
    await reader.until(1)
    assert not reader.pipe.read_at_once()
    os.write(reader.write_end, b"b")
    assert reader.pipe.read_at_once()
    reader.time += 0.0009
    os.write(reader.write_end, b"c")
    assert reader.pipe.read_at_once()
    reader.time += 0.0002
    os.write(reader.write_end, b"d")
    assert not reader.pipe.read_at_once()
    assert [b"a", b"b", b"c"] == reader.chunks
    await reader.until(4)
    os.write(reader.write_end, b"e")
    assert reader.pipe.read_at_once()
    reader.hang_up()
    assert not reader.pipe.read_at_once()
    await reader.until(5, ends=1)
    assert not reader.pipe.read_at_once()


async def test_reader_without_room_reads_nothing_at_once() -> None:
    reader = Reader().attach()
    os.write(reader.write_end, b"a")
    await reader.until(1)
    os.write(reader.write_end, b"b")
    reader.blocked = True
    assert not reader.pipe.read_at_once()
    reader.blocked = False
    assert reader.pipe.read_at_once()
    reader.pipe.close()
    assert not reader.pipe.read_at_once()
    reader.hang_up()


def sink() -> tuple[int, WritePipe]:
    """The other end, and that of the host."""
    read, write = os.pipe()
    return read, WritePipe(write)


async def read_all(descriptor: int, count: int) -> bytes:
    """Read so many bytes without blocking the loop."""
    os.set_blocking(descriptor, False)
    data = b""
    async with limit(10, "the bytes"):
        while len(data) < count:
            try:
                data += os.read(descriptor, CHUNK)
            except BlockingIOError:
                await asyncio.sleep(0)
    return data


async def test_a_write_larger_than_the_pipe_waits_for_its_reader() -> None:
    """All bytes arrive in order, and those of two writers do not mix."""
    read, pipe = sink()
    first = asyncio.create_task(pipe.write(b"a" * 300_000))
    second = asyncio.create_task(pipe.write(b"b" * 300_000))
    await iterate(3)
    assert not first.done()
    assert b"a" * 300_000 + b"b" * 300_000 == await read_all(read, 600_000)
    await asyncio.gather(first, second)
    await pipe.write(b"")
    pipe.close()
    assert b"" == os.read(read, 1)
    os.close(read)


async def test_no_write_overtakes_one_that_waits() -> None:
    """Not even in the moment in which the first has ended and the second has not begun."""
    read, pipe = sink()

    async def write_twice() -> None:
        await pipe.write(b"a" * 65_537)
        assert not pipe.write_at_once(b"c")
        await pipe.write(b"c")

    first = asyncio.create_task(write_twice())
    second = asyncio.create_task(pipe.write(b"b"))
    await iterate(3)
    assert b"a" * 65_537 + b"bc" == await read_all(read, 65_539)
    await asyncio.gather(first, second)
    assert pipe.write_at_once(b"d")
    pipe.close()
    os.close(read)


async def test_a_write_without_a_reader_is_a_broken_pipe() -> None:
    """The reader may be gone before the write or during it, or the pipe closed."""
    read, pipe = sink()
    waiting = asyncio.create_task(pipe.write(b"x" * 300_000))
    await iterate(3)
    os.close(read)
    with pytest.raises(BrokenPipeError):
        await waiting
    with pytest.raises(BrokenPipeError):
        await pipe.write(b"x")
    pipe.close()
    pipe.close()
    with pytest.raises(BrokenPipeError, match="closed"):
        await pipe.write(b"x")


async def test_closing_ends_all_pending_writes() -> None:
    """All of them raise, and the descriptor number may be reused at once."""
    read, pipe = sink()
    writes = [asyncio.create_task(pipe.write(b"x" * 300_000)) for _ in range(3)]
    await iterate(3)
    number = pipe._descriptor
    pipe.close()
    assert number == os.dup(read)
    other_read, write = os.pipe()
    os.dup2(write, number)
    os.close(write)
    other = WritePipe(number)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [BrokenPipeError] * 3 == [type(result) for result in results]
    waiting = asyncio.create_task(other.write(b"y" * 300_000))
    await iterate(3)
    assert b"y" * 300_000 == await read_all(other_read, 300_000)
    await waiting
    other.close()
    os.close(read)
    os.close(other_read)


async def test_a_cancelled_write_lets_the_next_one_begin() -> None:
    """It leaves no writer on the loop."""
    read, pipe = sink()
    first = asyncio.create_task(pipe.write(b"a" * 300_000))
    second = asyncio.create_task(pipe.write(b"b" * 1000))
    await iterate(3)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    data = await read_all(read, 66_000)
    await second
    assert (b"a" * 65536, b"b" * (len(data) - 65536)) == (data[:65536], data[65536:])
    pipe.close()
    rest = await read_all(read, 1000 - (len(data) - 65536))
    assert 1000 == len(data) - 65536 + len(rest)
    assert b"" == os.read(read, 1)
    os.close(read)


async def test_copy_in_a_fork_writes_nowhere() -> None:
    """The program must read the end of its input from the parent alone. A closed pipe stays closed."""
    read, pipe = sink()
    pipe.separate()
    async with limit(10):
        await pipe.write(b"x" * 300_000)
    assert b"" == os.read(read, 1)
    pipe.close()
    pipe.separate()
    with pytest.raises(BrokenPipeError):
        await pipe.write(b"x")
    os.close(read)
