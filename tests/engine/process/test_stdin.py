"""Standard input: text, bytes, files, async iterators, and programs that do not read."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import signal
from collections.abc import AsyncIterator

import pytest

from aioverseer import Overseer, Process, ProcessNotRunning, Restart, SpecError
from tests.support.programs import child, limit


async def count_to(most: int, seen: list[int] | None = None) -> AsyncIterator[str]:
    """Lines with numbers; notes how far it was asked."""
    for number in range(1, most + 1):
        if seen is not None:
            seen.append(number)
        yield f"{number}\n"


async def test_an_async_iterator_is_fed_item_by_item_and_then_the_end() -> None:
    """Text and bytes."""
    assert [str(n) for n in range(1, 4)] == (await Process("cat", stdin=count_to(3))).stdout

    async def blobs() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b\n"

    assert ["ab"] == (await Process("cat", stdin=blobs())).stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "shift_jis"])
async def test_a_byte_order_mark_is_written_once(encoding: str) -> None:
    """Before the first text of a run, however many follow it."""

    async def words() -> AsyncIterator[str | bytes]:
        yield "one\n"
        yield "two\n".encode(encoding).removeprefix("".encode(encoding))
        yield "three\n"

    assert ["one", "two", "three"] == (await Process("cat", stdin=words(), encoding=encoding)).stdout
    async with Process("cat", stdin="pipe", encoding=encoding) as process:
        for word in ("one\n", "", "two\n"):
            await process.write(word)
        await process.write_eof()
        assert ["one", "two"] == (await process).stdout


async def test_an_iterator_is_asked_no_further_than_the_program_reads() -> None:
    """A pipe holds 64 KiB; the next item waits."""
    seen: list[int] = []
    full = asyncio.Event()

    async def blocks() -> AsyncIterator[bytes]:
        for number in range(1000):
            seen.append(number)
            if number == 16:
                full.set()
            yield b"x" * 4095 + b"\n"

    code = "import sys; sys.stdin.buffer.read(1); print('read'); sys.stdin.read(); print('all')"
    async with Process(
        *child("import signal; signal.pthread_sigmask(0, {10}); print('up'); signal.sigwait({10}); " + code),
        stdin=blocks(),
        buffered=False,
        streaming=True,
    ) as process:
        assert process.stdout is not None
        assert "up" == await process.stdout.get()
        await full.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert 17 == len(seen)
        process.signal(10)
        assert ["read", "all"] == [await process.stdout.get() for _ in range(2)]
    assert 1000 == len(seen)


@pytest.mark.parametrize("pty", [False, True])
async def test_a_program_that_ignores_fixed_input_is_no_error(
    pty: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, or closes its input and goes on: nothing is logged, and nobody waits."""
    monkeypatch.setattr("aioverseer._engine.process.run_task._MARGIN", 1000)
    text = "a line\n" * 20_000  # more than a pipe or a terminal holds
    async with limit(10, "the ends"):
        for script in ("exec true", "exec 0<&-; echo on", "head -n 1"):
            assert (await Process("sh", "-c", script, stdin=text, pty=pty)).ok
    assert [] == caplog.records


async def test_a_program_that_closes_its_input_early_ends_the_iterator(caplog: pytest.LogCaptureFixture) -> None:
    """No error of the host; the iterator is closed."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    async with limit(10, "the end"):
        assert (await Process("head", "-c", "1", stdin=endless())).ok
        await closed.wait()
    assert [] == caplog.records


async def test_an_iterator_that_gives_nothing_does_not_outlive_the_program() -> None:
    """It is cancelled and closed before the end is reported."""
    closed = False
    asked = asyncio.Event()

    async def silent() -> AsyncIterator[str]:
        nonlocal closed
        asked.set()
        try:
            await asyncio.get_running_loop().create_future()
            yield ""
        finally:
            closed = True

    async with limit(10, "the end"), Process("cat", stdin=silent()) as process:
        await asked.wait()
        process.signal(signal.SIGKILL)
        assert signal.SIGKILL == (await process.wait()).signal
        assert closed


async def test_an_iterator_that_raises_ends_the_input_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The program reads what came before and the end of file."""

    async def broken() -> AsyncIterator[str]:
        yield "before\n"
        raise ValueError("no more")

    with caplog.at_level(logging.ERROR, "aioverseer"):
        status = await Process("cat", stdin=broken())
    assert (True, ["before"]) == (status.ok, status.stdout)
    assert ["cat: the source of its standard input has failed"] == [record.message for record in caplog.records]


async def test_items_that_are_neither_text_nor_bytes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """And so is a function that returns no iterator."""

    async def numbers() -> AsyncIterator[str]:
        yield 1  # type: ignore[misc]  # the types forbid it

    for stdin in (numbers(), lambda: 5):
        caplog.clear()
        assert (await Process("cat", stdin=stdin)).ok  # type: ignore[arg-type]  # the types forbid it
        assert 1 == len(caplog.records)


async def test_a_function_feeds_each_run_anew() -> None:
    """A service that is restarted asks it again."""
    async with Overseer() as overseer:
        policy = Restart("always", max_restarts=1)
        service = overseer.add("cat", "cat", stdin=lambda: count_to(2), restart=policy)
        lines = service.lines()
        await overseer.supervise("cat")
        seen = [(getattr(line, "run", 0), getattr(line, "text", "")) async for line in lines]
    assert [(1, "1"), (1, "2"), (2, "1"), (2, "2")] == seen


async def test_an_open_file_is_given_to_the_program(tmp_path: pathlib.Path) -> None:
    """From where it stands; it stays open."""
    path = tmp_path / "input"
    path.write_text("one\ntwo\n")
    with path.open("rb", buffering=0) as file:
        file.read(4)
        assert ["two"] == (await Process("cat", stdin=file)).stdout
        assert not file.closed


async def test_end_of_file_follows_a_write_in_progress() -> None:
    """However much that is."""
    async with Process("wc", "-c", stdin="pipe") as process:
        writing = asyncio.gather(*(process.write(b"x" * 300_000) for _ in range(3)))
        await asyncio.sleep(0)
        await process.write_eof()
        await writing
        status = await process
        assert ["900000"] == status.stdout
    with pytest.raises(ProcessNotRunning):
        await process.write_eof()


def test_an_invalid_input_source_is_refused() -> None:
    """With what there is."""
    with pytest.raises(SpecError, match="stdin is of type int: pass None"):
        Process("cat", stdin=5)  # type: ignore[arg-type]  # the types forbid it
