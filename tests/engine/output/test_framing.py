"""Framing as an option of a Process and a Service."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from aioverseer import (
    LogFile,
    Overseer,
    PartialBytes,
    PartialLine,
    Process,
    Restart,
    Spec,
    SpecError,
    UnframedBytes,
    framing,
    ready,
)
from aioverseer._engine.output.output_queue import OutputQueue
from aioverseer._engine.output.run_queue import RunQueue
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit

LSP = framing.content_length()


def program(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", f"import os, sys, time\n{code}"


def writes(stdout: bytes, stderr: bytes = b"") -> tuple[str, str, str]:
    return program(f"os.write(1, {stdout!r}); os.write(2, {stderr!r})")


async def items_of(queue: Any) -> list[Any]:
    return [item async for item in queue]


async def test_frames_of_a_process_come_as_bytes() -> None:
    process = Process(
        *writes(LSP.encode(b"{}\n") + b"hello\n" + LSP.encode(b"x") + b"Content-Length: 9\r\n\r\nhalf", b"one\ntwo"),
        streaming=True,
        framing={"stdout": LSP},
    )
    async with process:
        stdout, stderr = await items_of(process.stdout), await items_of(process.stderr)
    assert [b"{}\n", b"hello\n", b"x", b"Content-Length: 9\r\n\r\nhalf"] == stdout
    assert [bytes, UnframedBytes, bytes, PartialBytes] == [type(item) for item in stdout]
    assert ["one", "two"] == stderr
    assert [str, PartialLine] == [type(item) for item in stderr]


async def test_frames_of_a_buffered_process_are_kept() -> None:
    status = await Process(*writes(LSP.encode(b"a\nb")), framing=LSP)
    assert [b"a\nb"] == status.stdout
    assert [] == status.stderr


async def test_chunks_bring_every_byte_of_a_stream() -> None:
    data = bytes(range(256)) * 1000
    process = Process(*program("sys.stdout.buffer.write(bytes(range(256)) * 1000)"), framing=framing.chunks())
    status = await process
    assert data == b"".join(status.stdout)


async def test_lines_of_a_service_have_frames_and_its_tail_shows_them() -> None:
    async with Overseer() as overseer:
        service = overseer.add("server", *writes(LSP.encode(b"a\nb") + LSP.encode(b"x" * 1000)), framing=LSP)
        lines = service.lines(overflow="block")
        await service.start()
        status = await service.wait()
        assert status.ok
        assert [b"a\nb", b"x" * 1000] == [line.text async for line in lines]
        assert [r"a\nb", "x" * 500 + "... (1000 bytes)"] == [line.text for line in service.tail()]
        assert [b"a\nb", b"x" * 1000] == [line.text for line in await service.lines(history=9).get_batch()]


async def test_a_large_frame_is_no_part_of_tail_and_history() -> None:
    size = 1_000_000
    code = f"sys.stdout.buffer.write(b'Content-Length: {size}\\r\\n\\r\\n' + b'x' * {size} + {LSP.encode(b'end')!r})"
    async with Overseer() as overseer:
        service = overseer.add("server", *program(code), framing=LSP)
        await service.start()
        await service.wait()
        assert ["x" * 500 + f"... ({size} bytes)", "end"] == [line.text for line in service.tail()] or ["end"] == [
            line.text for line in service.tail()
        ]
        assert [b"end"] == [line.text for line in await service.lines(history=9).get_batch()]


async def test_each_run_begins_with_a_fresh_decoder() -> None:
    async with Overseer() as overseer:
        service = overseer.add(
            "server",
            *writes(LSP.encode(b"{}") + b"Content-Length: 7\r\n\r\nhalf"),
            framing=LSP,
            restart=Restart("always", max_restarts=1),
        )
        lines = service.lines(overflow="block")
        await overseer.supervise("server")
        partial = b"Content-Length: 7\r\n\r\nhalf"
        assert [(1, b"{}"), (1, partial), (2, b"{}"), (2, partial)] == [(line.run, line.text) async for line in lines]


async def test_log_files_keep_the_bytes_whatever_the_framing(tmp_path: Path) -> None:
    data = LSP.encode(b"a\r\nb") + b"10%\r20%\r\nno end"
    for name, rule in {"lsp": LSP, "chunks": framing.chunks(), "nul": framing.lines(end="\0")}.items():
        async with Overseer() as overseer:
            service = overseer.add("server", *writes(data), framing=rule, log=LogFile(tmp_path / name))
            await service.start()
            await service.wait()
            await service.flush_log()
        assert data == (tmp_path / name).read_bytes()


async def test_error_messages_show_frames_as_lines() -> None:
    status = await Process(*program(f"os.write(1, {LSP.encode(b'a' + bytes(1))!r}); sys.exit(3)"), framing=LSP)
    with pytest.raises(Exception, match=r"last lines:\n  a\\x00$"):
        status.check()


class Failing:
    """A framing with a bug."""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Raise."""
        raise RuntimeError(f"cannot decode {data!r}")

    def end(self) -> list[bytes]:
        """Return nothing."""
        return []


async def test_a_framing_that_raises_loses_no_byte() -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    status = await Process(*writes(b"one\ntwo"), framing={"stdout": Failing})
    assert [UnframedBytes(b"one\n"), UnframedBytes(b"two")] == status.stdout
    assert status.ok
    assert ["the framing of stdout failed, and the rest comes as UnframedBytes"] == [
        each["message"] for each in reports
    ]
    assert isinstance(reports[0]["exception"], RuntimeError)


class Returning:
    """A framing that returns something else than a list of bytes."""

    def __init__(self, result: Any) -> None:
        """Return this from ``feed``."""
        self.result = result

    def feed(self, data: bytes, /) -> Any:
        """Return the result."""
        return self.result

    def end(self) -> list[bytes]:
        """Return nothing."""
        return []


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (b"one", "a framing returned bytes: return a list of bytes"),
        ([b"one", 2], "a framing returned an item of type int: return bytes"),
    ],
)
async def test_a_framing_that_returns_no_list_of_bytes_is_told_why(result: Any, why: str) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    status = await Process(*writes(b"one\n"), framing={"stdout": Returning(result)})
    assert [UnframedBytes(b"one\n")] == status.stdout
    assert [why] == [str(each["exception"]) for each in reports]


async def test_a_framing_that_raises_at_the_end_loses_no_earlier_item() -> None:
    class Cut(Returning):
        def end(self) -> list[bytes]:
            raise RuntimeError("cut")

    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    status = await Process(*writes(b"one"), framing={"stdout": Cut([b"item"])})
    assert [b"item"] == status.stdout
    assert ["cut"] == [str(each["exception"]) for each in reports]


def refused(**options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        Spec.of("server", ["server"], **options)
    return str(caught.value)


async def test_large_frames_fill_a_queue_by_their_bytes() -> None:
    code = """
    import os
    for number in range(200):
        data = memoryview((2**20).to_bytes(4, "big") + bytes([number]) * 2**20)
        while data:
            data = data[os.write(1, data):]
    """
    process = Process(*child(code), framing=framing.length_prefix(4), streaming="stdout", queue_size=100)
    async with limit(60), process:
        full = asyncio.Event()
        process.stdout.on_full = full.set
        await full.wait()
        assert 2 <= process.stdout.qsize() <= 4
        assert [frame[0] async for frame in process.stdout] == [*range(200)]


@pytest.mark.parametrize("kind", [OutputQueue, RunQueue])
async def test_dropped_frames_are_counted_and_the_rest_is_bounded_by_bytes(kind: type[OutputQueue[bytes]]) -> None:
    spec = Spec(id="server", argv=("server",), framing=framing.chunks(), queue_size=10)
    queue = kind(spec, "stdout", clock=ManualClock())
    if isinstance(queue, RunQueue):
        queue.keep_recent()
    for size in (1, 100_000, 50_000, 60_000, 70_000):
        queue.deliver([b"x" * size])
        queue.give_way()
    assert [len(queue.get_nowait()) for _ in range(queue.qsize())] == [60_000, 70_000]
    assert queue.missed == 3
    queue.deliver([b"x" * 200_000])
    assert queue.blocked
    queue.get_nowait()
    assert not queue.blocked


def test_options_that_a_framing_excludes_are_refused() -> None:
    assert "needs lines, and the framing of stdout gives none: take another probe" in refused(
        framing=LSP, ready=ready.line("up")
    )
    assert "pass stream='stderr' to the probe" in refused(framing={"stdout": LSP}, ready=ready.line("up"))
    Spec.of("server", ["server"], framing={"stdout": LSP}, ready=ready.line("up", stream="stderr"))
    Spec.of("server", ["server"], framing=framing.lines(universal=True), ready=ready.line("up"))
    assert "needs output, and output='null' gives none" in refused(framing=LSP, output="null")
    assert "has a framing of stderr, which merge_stderr=True puts into stdout" in refused(
        framing={"stderr": LSP}, merge_stderr=True
    )
    assert "cannot go with encoding='utf-16'" in refused(framing=framing.lines(universal=True), encoding="utf-16")
    assert "has an end that encoding='ascii' has not: pass bytes" in refused(
        framing=framing.lines(end="é"), encoding="ascii"
    )
    assert "service 'server': framing='lsp' is text: pass for example framing.content_length()" in refused(
        framing="lsp"
    )
