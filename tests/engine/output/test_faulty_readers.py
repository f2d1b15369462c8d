"""Failures between a pipe and its readers affect nothing else."""

from __future__ import annotations

import asyncio
import codecs
import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aioverseer import Backoff, LineQueue, Overseer, Process, QueueShutDown, Restart, Service, State
from aioverseer._engine.output.pump import LineList, Pump
from aioverseer.core.text.lines import LineSplitter
from aioverseer.testing import ManualClock
from tests.support.programs import child, limit

SIZE = 10
LINE = 128
RUN = 64 * 1024 // LINE
"""Lines of one run: what a pipe holds, so that each run ends although nobody reads."""
CRASHER = child(
    f"""
    import os
    os.write(1, b"%0{LINE - 1}d\\n" % os.getpid() * {RUN})
    os._exit(1)
    """
)

# --- a crash loop beside a reader who never reads


async def loop_until(clock: ManualClock, services: Sequence[Service], restarts: int) -> None:
    """Move the clock until each service has had a number of restarts, or has none although its backoff is long over."""
    waits = dict.fromkeys(services, 0)
    while any(service.restarts < restarts and waits[service] < 50 for service in services):
        before = {service: service.restarts for service in services}
        await clock.advance(1)
        for service in services:
            idle = service.state is State.BACKOFF and service.restarts == before[service]
            waits[service] = waits[service] + 1 if idle else 0


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_crash_loop_stops_in_spite_of_a_stalled_subscriber(ending: str) -> None:
    """A lossless subscriber never reads."""
    clock = ManualClock()
    policy = Restart("always", max_restarts=None, backoff=Backoff(min=1, max=1))
    async with limit(20, "the stop"), Overseer(clock=clock) as overseer:
        service = overseer.add("crasher", *CRASHER, restart=policy)
        unread = service.lines(size=SIZE, overflow="block")
        await service.start()
        await loop_until(clock, [service], 5)
        assert (await service.stop(kill=ending == "kill")).state.is_final
        assert unread.qsize()


# --- a queue that its reader has ended


async def test_stream_shut_down_by_its_reader_blocks_nothing() -> None:
    """Later lines are discarded: the program writes on, and the queue stays ended."""
    process = Process(
        "sh", "-c", "seq 100000; echo end >&2; read -r _", stdin="pipe", streaming=True, buffered=False, queue_size=10
    )
    async with limit(10, "the run"), process:
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None
        assert stderr is not None
        assert "1" == await stdout.get()
        stdout.shutdown(immediate=True)
        assert "end" == await stderr.get()
        assert 0 == stdout.qsize()
        with pytest.raises(QueueShutDown):
            stdout.get_nowait()
        await process.write("\n")
        assert (await process).ok
        assert [] == [line async for line in stdout]


async def test_subscription_shut_down_by_its_reader_blocks_nothing() -> None:
    """Even a lossless one, as with close()."""
    async with limit(10, "the run"), Overseer() as overseer:
        service = overseer.add("writer", "sh", "-c", "seq 100000; echo end >&2; read -r _", stdin="pipe")
        unread = service.lines("stdout", overflow="block", size=SIZE)
        errors = service.lines("stderr")
        await service.start()
        await unread.get()
        unread.shutdown(immediate=True)
        last = await errors.get()
        assert "end" == last.text
        assert 0 == unread.qsize()
        await service.write("\n")
        assert 0 == (await service.wait()).exit_code


def test_delivery_after_the_end_is_discarded() -> None:
    """As nothing can be put into an asyncio.Queue after its shutdown."""
    queue: LineQueue[int] = LineQueue(1)
    queue.deliver([1])
    queue.shutdown()
    queue.deliver([2, 3])
    assert 1 == queue.get_nowait()
    with pytest.raises(QueueShutDown):
        queue.get_nowait()


async def test_getters_are_served_in_order_of_waiting() -> None:
    """Only as many are woken as there are new lines: a getter woken for nothing would lose its place."""
    queue: LineQueue[int] = LineQueue()
    getters = [asyncio.ensure_future(queue.get()) for _ in range(4)]
    await asyncio.sleep(0)
    queue.deliver([0])
    queue.deliver([1])
    await asyncio.sleep(0)
    queue.deliver([2])
    queue.deliver([3])
    assert [0, 1, 2, 3] == await asyncio.gather(*getters)


# --- an error on the way


class Tap:
    """A ``ReadStream`` that the test feeds."""

    on_data: Callable[[bytes], None]
    on_end: Callable[[], None]

    def attach(
        self, on_data: Callable[[bytes], None], on_end: Callable[[], None], *, blocked: Callable[[], bool]
    ) -> None:
        """Let the data flow."""
        self.on_data, self.on_end = on_data, on_end

    def resume(self) -> None:
        """Do nothing."""

    def drain(self) -> None:
        """Deliver the rest, as after the end of the program."""
        self.on_data(b"left\n")

    def close(self) -> None:
        """Do nothing."""


class Full(LineList):
    """A sink that always fails, as a log file on a full disk."""

    def deliver(self, batch: Sequence[Any]) -> None:
        """Fail."""
        raise OSError(28, "No space left on device")


async def test_failing_sink_does_not_affect_other_sinks(caplog: pytest.LogCaptureFixture) -> None:
    """The run goes on. The error is reported once, to the event loop's handler or in the log."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(type(context.get("exception"))))
    kept, tap = LineList(), Tap()
    pump = Pump(tap, LineSplitter, [Full(), kept], on_end=lambda: None)
    pump.start()
    loop.call_soon(tap.on_data, b"one\ntwo\n")
    loop.call_soon(tap.on_data, b"three\n")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pump.drain()
    pump.close()
    assert ["one", "two", "three", "left"] == kept.lines
    told += [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert [OSError] == told


async def test_failing_subscriber_does_not_affect_others() -> None:
    """While the program runs and at its end. The exit of the program decides about the run."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)

    def fail(batch: Sequence[Any]) -> None:
        raise ValueError(len(batch))

    async with limit(10, "the service"), Overseer() as overseer:
        service = overseer.add("cat", "sh", "-c", "read -r line; echo $line; echo last", stdin="pipe")
        queues = [service.lines() for _ in range(4)]
        # In any order of delivery.
        queues[1].deliver = fail  # type: ignore[method-assign]  # that is the point
        queues[2].deliver = fail  # type: ignore[method-assign]  # that is the point
        await service.start()
        await service.write("first\n")
        status = await service.wait()
        assert (State.FINISHED, 0) == (status.state, status.restarts)
        for queue in (queues[0], queues[3]):
            assert ["first", "last"] == [line.text async for line in queue]


def fussy(error: UnicodeError) -> tuple[str, int]:
    """Act as an error handler of the application that fails for all bytes but one."""
    assert isinstance(error, UnicodeDecodeError)
    if error.object[error.start] == 0xFF:
        return "?", error.end
    raise error


@pytest.mark.parametrize("encoding", ["utf-16-le", "shift_jis"])
def test_failing_error_handler_in_a_wide_encoding_loses_no_line(encoding: str) -> None:
    """The incremental decoder goes on with the state of the earlier chunk."""
    codecs.register_error("aioverseer-tests-fussy", fussy)
    splitter = LineSplitter(encoding=encoding, errors="aioverseer-tests-fussy")
    bad = b"\x00\xd8" if encoding == "utf-16-le" else b"\x81\xfe"[:1] + b"\x20"
    data = "before\n".encode(encoding) + bad + "\nafter\n".encode(encoding) + "last".encode(encoding)
    lines: list[Any] = [line for byte in data for line in splitter.feed(bytes([byte]))] + list(splitter.finish())
    assert ("before", "after", "last") == (lines[0], *lines[-2:])
    assert "\N{REPLACEMENT CHARACTER}" in lines[1]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "utf-16-le", "shift_jis"])
@pytest.mark.parametrize(
    "answer",
    [("?", 0), ("?", -1), ("?", 10**9), (b"?", 10**9), (7, 1), None, "?"],
    ids=["back", "negative", "beyond the end", "bytes", "number", "nothing", "no pair"],
)
def test_nonsense_from_an_error_handler_loses_no_line(encoding: str, answer: Any) -> None:
    """It neither raises in the middle of the output nor keeps the codec at one place forever."""
    codecs.register_error("aioverseer-tests-nonsense", lambda _error: answer)
    splitter = LineSplitter(encoding=encoding, errors="aioverseer-tests-nonsense")
    bad = {"utf-16-le": b"\x00\xd8", "shift_jis": b"\x81"}.get(encoding, b"\xff")
    data = "before\n".encode(encoding) + bad + "\nafter\n".encode(encoding) + bad
    lines: list[Any] = [line for byte in data for line in splitter.feed(bytes([byte]))] + list(splitter.finish())
    expected = ["before", "\N{REPLACEMENT CHARACTER}", "after", "\N{REPLACEMENT CHARACTER}"]
    assert expected == lines


async def test_failing_error_handler_loses_no_line() -> None:
    """Its bytes are replaced as with "replace". Other lines arrive, and no reader waits in vain."""
    codecs.register_error("aioverseer-tests-fussy", fussy)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    code = r"""
    import os
    os.write(1, b"before\n\xff\n\xfe\nafter\n")
    os.read(0, 1)
    os.write(1, b"last")
    """
    process = Process(*child(code), stdin="pipe", streaming=True, buffered=True, errors="aioverseer-tests-fussy")
    async with limit(10, "the run"), process:
        stdout = process.stdout
        assert stdout is not None
        got: list[Any] = []
        async with limit(2, "the first lines"):
            while "after" not in got:
                got.append(await stdout.get())
        process.close_stdin()
        status = await process
    assert ("before", "after") == (got[0], got[-1])
    assert (State.FINISHED, "last") == (status.state, (status.stdout or [None])[-1])


# --- a subscriber whom only its own waiting holds


@pytest.mark.parametrize("whole_set", [False, True], ids=["of a service", "of the overseer"])
async def test_waiting_reader_is_not_garbage_collected(whole_set: bool) -> None:
    """A task that only its queue refers to lives on, as with an asyncio.Queue."""
    got: asyncio.Queue[object] = asyncio.Queue()

    async def follow(overseer: Overseer, service: Service) -> None:
        async for line in overseer.logs() if whole_set else service.lines():
            got.put_nowait(line)
        got.put_nowait("end")

    async with limit(10, "the service"), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe")
        await service.start()
        asyncio.create_task(follow(overseer, service))  # noqa: RUF006  # not held is what it is about
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
        await service.write("hello\n")
        async with limit(2, "the line"):
            await got.get()
        await service.stop()
        if whole_set:
            return
        assert "end" == await got.get()
