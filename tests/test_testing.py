"""The scripted child and the real one keep one contract, and the manual clock keeps that of clocks."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aioverseer import Exit, Process, ProcessNotRunning, SpawnError, Spec, State, Stop
from aioverseer.system.clock import LoopClock
from aioverseer.system.launch import SystemLauncher
from aioverseer.system.seam import Child, Launcher
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from helpers import child, limit

BEHAVIOURS: dict[str, tuple[tuple[str, ...], Callable[[], FakeChild]]] = {
    "exits with 3": (("sh", "-c", "exit 3"), lambda: FakeChild().exits(3)),
    "dies": (("sh", "-c", "kill -9 $$"), lambda: FakeChild().dies()),
    "sleeps": (child("import signal; print('up'); signal.pause()"), lambda: FakeChild().prints("up")),
    "ignores": (
        child("import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"),
        lambda: FakeChild().ignores(signal.SIGTERM).prints("up"),
    ),
    "speaks": (
        ("sh", "-c", "echo one; echo two; echo err >&2; exit 1"),
        lambda: FakeChild().prints("one", "two").prints("err", stream="stderr").exits(1),
    ),
    "says much": (
        ("seq", "3000"),
        lambda: (
            FakeChild()
            .prints(*(str(n) for n in range(1, 1001)))
            .prints(*map(str, range(1001, 2001)))
            .prints(*map(str, range(2001, 3001)))
            .exits(0)
        ),
    ),
    "is not there": (("no-such-program",), lambda: FakeChild().cannot_start()),
}
"""The same behaviour as a real program and as a script."""


class Bench:
    """Launches a behaviour by one of the launchers; time passes by itself in both."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clock = ManualClock()
        self._running: list[Child] = []

    def launcher(self, name: str) -> Launcher:
        """What starts it."""
        return SystemLauncher() if self.kind == "real" else ScriptedLauncher(self.clock, BEHAVIOURS[name][1]())

    async def launch(self, name: str, *, capture: bool = True, **options: Any) -> Child:
        """The bare child."""
        spec = Spec(id="prog", argv=BEHAVIOURS[name][0], **options)
        running = await self.launcher(name).launch(spec, capture=capture)
        self._running.append(running)
        return running

    def process(self, name: str, **options: Any) -> Process:
        """The child within a Process."""
        clock = LoopClock() if self.kind == "real" else self.clock
        return Process(*BEHAVIOURS[name][0], launcher=self.launcher(name), clock=clock, **options)

    async def pass_time(self, task: asyncio.Future[Any]) -> None:
        """Let the clock run until a task is done."""
        async with limit(10, "the task"):
            while not task.done():
                if self.kind == "scripted":
                    await self.clock.advance(0.1)
                await asyncio.sleep(0)

    async def clear(self) -> None:
        """End the bare children."""
        for running in self._running:
            with contextlib.suppress(ProcessLookupError):
                running.signal(signal.SIGKILL)
            await running.wait()
            running.close()


@pytest.fixture(params=["scripted", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each test of the contract runs with both."""
    bench = Bench(request.param)
    yield bench
    async with limit(10, "the clearing"):
        await bench.clear()


class Ear:
    """Takes what a source delivers."""

    def __init__(self, source: Any) -> None:
        self.data = b""
        self.ends = 0
        self.blocked = False
        self.heard = asyncio.Event()
        self.source = source
        source.attach(self._data, self._end, blocked=lambda: self.blocked)

    def _data(self, chunk: bytes) -> None:
        self.data += chunk
        self.heard.set()

    def _end(self) -> None:
        self.ends += 1
        self.heard.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is delivered until that is so."""
        async with limit(10, "what is to be heard"):
            while not condition():
                self.heard.clear()
                await self.heard.wait()


# --- the seam


@pytest.mark.parametrize(
    ("name", "expected"),
    [("exits with 3", Exit(code=3)), ("dies", Exit(signal=signal.SIGKILL)), ("speaks", Exit(code=1))],
)
async def test_the_end_is_a_code_or_a_signal(bench: Bench, name: str, expected: Exit) -> None:
    """The same for everybody who waits, before and after the end, whatever its pipes do."""
    running = await bench.launch(name)
    assert running.pid > 1
    assert [expected] * 3 == await asyncio.gather(*(running.wait() for _ in range(3)))
    assert expected == await running.wait()


async def test_waiting_can_be_cancelled_and_changes_nothing(bench: Bench) -> None:
    """The child lives on, and is waited for again."""
    running = await bench.launch("sleeps")
    waiting = asyncio.ensure_future(running.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    running.signal(signal.SIGTERM)
    assert Exit(signal=signal.SIGTERM) == await running.wait()


async def test_an_ignored_signal_does_nothing_and_sigkill_ends_it(bench: Bench) -> None:
    """SIGCONT is harmless to both."""
    running = await bench.launch("ignores")
    ear = Ear(running.stdout)
    await ear.until(lambda: ear.data == b"up\n")
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGWINCH):
        running.signal(number)
        running.signal(number, leader_only=True)
    running.signal(signal.SIGKILL)
    assert Exit(signal=signal.SIGKILL) == await running.wait()


async def test_after_the_end_there_is_nobody_to_signal(bench: Bench) -> None:
    """Neither sweep nor close raise for what is gone, and both may come twice."""
    running = await bench.launch("exits with 3")
    await running.wait()
    for leader_only in (False, True):
        with pytest.raises(ProcessLookupError):
            running.signal(signal.SIGTERM, leader_only=leader_only)
    for _ in range(2):
        running.sweep()
        running.close()


async def test_a_program_that_cannot_be_started_is_a_spawn_error(bench: Bench) -> None:
    """With the errno of the system."""
    with pytest.raises(SpawnError) as caught:
        await bench.launch("is not there")
    assert 2 == caught.value.errno


@pytest.mark.parametrize("merge", [False, True])
async def test_output_comes_by_its_stream_and_then_its_end(bench: Bench, merge: bool) -> None:
    """Once; what was merged has no source of its own."""
    running = await bench.launch("speaks", merge_stderr=merge)
    ears = [Ear(source) for source in (running.stdout, running.stderr) if source is not None]
    for ear in ears:
        await ear.until(lambda ear=ear: ear.ends == 1)  # type: ignore[misc]  # the ear of this round
    assert ([b"one\ntwo\nerr\n"] if merge else [b"one\ntwo\n", b"err\n"]) == [ear.data for ear in ears]
    assert [1] * len(ears) == [ear.ends for ear in ears]


async def test_without_capture_there_is_nothing_to_read_or_write(bench: Bench) -> None:
    """And with it, what was not asked for is None too."""
    running = await bench.launch("exits with 3", capture=False)
    assert (None, None, None) == (running.stdin, running.stdout, running.stderr)
    running = await bench.launch("exits with 3", stdin="inherit")
    assert (True, True, True) == (running.stdin is None, running.stdout is not None, running.stderr is not None)


async def test_a_blocked_source_keeps_what_it_has_until_it_is_resumed(bench: Bench) -> None:
    """The end waits behind it."""
    running = await bench.launch("speaks")
    assert running.stdout is not None
    ear = Ear(running.stdout)
    ear.blocked = True
    held = ear.data, ear.ends  # a script delivers what it has at once
    await running.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert held == (ear.data, ear.ends)
    ear.blocked = False
    running.stdout.resume()
    await ear.until(lambda: ear.ends == 1)
    assert b"one\ntwo\n" == ear.data


async def test_draining_delivers_all_that_is_there_blocked_or_not(bench: Bench) -> None:
    """At once, although whoever takes it has no room; the end comes with it."""
    running = await bench.launch("says much")
    source = running.stdout
    assert source is not None
    data: list[bytes] = []
    ends: list[str] = []
    source.attach(data.append, lambda: ends.append("end"), blocked=lambda: True)
    await running.wait()
    source.drain()
    assert (b"".join(b"%d\n" % n for n in range(1, 3001)), ["end"]) == (b"".join(data), ends)


async def test_a_closed_source_is_silent(bench: Bench) -> None:
    """Not even its end is told."""
    running = await bench.launch("sleeps")
    ear = Ear(running.stdout)
    await ear.until(lambda: ear.data == b"up\n")
    ear.source.close()
    running.signal(signal.SIGKILL)
    await running.wait()
    for call in (ear.source.resume, ear.source.drain, ear.source.close):
        call()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (b"up\n", 0) == (ear.data, ear.ends)


async def test_a_closed_sink_refuses_what_is_written(bench: Bench) -> None:
    """BrokenPipeError, as with any pipe; closing twice is fine."""
    running = await bench.launch("sleeps", stdin="pipe")
    assert running.stdin is not None
    await running.stdin.write(b"x")
    running.stdin.close()
    running.stdin.close()
    with pytest.raises(BrokenPipeError):
        await running.stdin.write(b"x")


async def test_a_write_after_the_end_is_a_broken_pipe(bench: Bench) -> None:
    """Nobody reads it any more, although the sink was not closed."""
    running = await bench.launch("exits with 3", stdin="pipe")
    await running.wait()
    assert running.stdin is not None
    with pytest.raises(BrokenPipeError):
        await running.stdin.write(b"x")


async def test_a_file_as_input_is_no_pipe(bench: Bench) -> None:
    """The child reads it itself: there is nothing to write to."""
    running = await bench.launch("exits with 3", stdin=pathlib.Path("/dev/null"))
    assert running.stdin is None


# --- through a Process


@pytest.mark.parametrize(
    ("name", "state", "code", "number"),
    [
        ("exits with 3", State.FINISHED, 3, None),
        ("dies", State.INTERRUPT, None, signal.SIGKILL),
        ("speaks", State.FINISHED, 1, None),
        ("is not there", State.FATAL, None, None),
    ],
)
async def test_a_process_ends_the_same(
    bench: Bench, name: str, state: State, code: int | None, number: int | None
) -> None:
    """State, code and signal."""
    status = await bench.process(name)
    assert (state, code, number) == (status.state, status.exit_code, status.signal)
    if name == "speaks":
        assert (["one", "two"], ["err"]) == (status.stdout, status.stderr)


async def test_a_process_takes_the_same_steps_of_its_ladder(bench: Bench) -> None:
    """SIGTERM, which it ignores, then SIGKILL; afterwards there is nobody to signal."""
    process = bench.process("ignores", stop=Stop(timeout=0.05), streaming=True)
    await process.start()
    assert process.stdout is not None
    assert "up" == await process.stdout.get()
    stopping = asyncio.ensure_future(process.stop())
    await bench.pass_time(stopping)
    assert signal.SIGKILL == stopping.result().signal
    assert (signal.SIGTERM, signal.SIGKILL) == process.signals_sent
    with pytest.raises(ProcessNotRunning):
        process.signal(signal.SIGTERM)


async def test_a_process_that_nobody_reads_loses_nothing(bench: Bench) -> None:
    """The queue is full long before the end, and the end is told all the same."""
    process = bench.process("says much", streaming=True, buffered=False, queue_size=10)
    async with limit(10, "the end"):
        assert (await process).ok
    assert process.stdout is not None
    assert [str(n) for n in range(1, 3001)] == [text async for text in process.stdout]


# --- what only scripts have


async def test_a_scripted_child_notes_what_was_done_to_it() -> None:
    """Signals without SIGCONT, the sweep, and that its descriptors were let go of."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM))
    process = Process("prog", clock=clock, launcher=launcher, stop=Stop(timeout=3), stdin="pipe")
    await process.start()
    (running,) = launcher.children
    assert isinstance(running, RunningChild)
    await process.write("x")
    stopping = asyncio.ensure_future(process.stop())
    await clock.advance(2.9)
    assert ([signal.SIGTERM], False, False) == (running.signals, running.swept, running.closed)
    await clock.advance(0.1)
    assert ([signal.SIGTERM, signal.SIGKILL], True, True) == (running.signals, running.swept, running.closed)
    assert running.stdin is not None
    assert (b"x", True) == (running.stdin.received, running.stdin.closed)
    await stopping


async def test_scripts_are_taken_in_order_by_id_and_the_last_one_again() -> None:
    """A service with scripts of its own does not use up those of the others."""
    clock = ManualClock()
    launcher = ScriptedLauncher(
        clock, FakeChild().exits(1), FakeChild().exits(2), by_id={"own": [FakeChild().exits(7), FakeChild().exits(8)]}
    )
    codes = [
        (await Process("x", id=id, clock=clock, launcher=launcher)).exit_code
        for id in ("any", "own", "any", "own", "any", "own")
    ]
    assert [1, 7, 2, 8, 2, 8] == codes
    assert [1001, 1002, 1003] == [running.pid for running in launcher.children[:3]]


async def test_the_manual_clock_calls_in_order_each_at_its_own_time() -> None:
    """Timers made on the way included, cancelled ones not; what they lead to is done by then."""
    clock = ManualClock()
    calls: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, clock.now()))

    clock.call_at(2, note("b"))

    def on_the_way() -> None:
        clock.call_at(1.5, note("made on the way"))

    clock.call_at(1, on_the_way)
    clock.call_at(1, note("a"))
    clock.call_at(-5, note("past"))
    gone = clock.call_at(1, note("cancelled"))
    gone.cancel()
    gone.cancel()
    assert [] == calls  # never from within call_at
    began = clock.wall()
    await clock.advance(2)
    assert [("past", 0), ("a", 1), ("made on the way", 1.5), ("b", 2)] == calls
    assert (2.0, None, 2.0) == (clock.now(), clock.next_timer(), (clock.wall() - began).total_seconds())
