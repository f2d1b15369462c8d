"""Expect: waiting for output whose line may have no end yet."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import (
    Backoff,
    LineQueue,
    NotReady,
    Overseer,
    OverseerError,
    PartialLine,
    Process,
    QueueShutDown,
    Restart,
    RunEnded,
    Spec,
    SpecError,
    ThreadedOverseer,
    framing,
    ready,
)
from aioverseer._engine.output.output_queue import OutputQueue
from aioverseer._engine.output.pump import Pump
from aioverseer.core.text.framing import decoder_for
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher

SHELL = """
import sys
print("welcome")
sys.stdout.write("> "); sys.stdout.flush()
for line in sys.stdin:
    if line == "quit\\n":
        break
    if line == "fail\\n":
        sys.exit("it failed")
    if line == "many\\n":
        for number in range(5000):
            print("row", number)
    else:
        print("you said", line.strip())
    sys.stdout.write("> "); sys.stdout.flush()
"""


def shell(**options: Any) -> Process:
    return Process(sys.executable, "-c", SHELL, stdin="pipe", streaming=True, **options)


async def test_prompt_is_found_in_any_encoding() -> None:
    """An encoding whose newline has several bytes is decoded before it is divided."""
    code = "import os, sys; os.write(1, 'ü\\nname> '.encode('utf-16')); sys.stdin.read()"
    process = Process(sys.executable, "-c", code, stdin="pipe", streaming=True, encoding="utf-16")
    async with process:
        assert "ü" == await process.stdout.get()
        assert "name> " == (await process.stdout.expect("^name> $", 20))[0]


async def test_prompt_is_found_before_its_line_ends() -> None:
    async with shell() as process:
        match = await process.stdout.expect("> ", 20)
        assert "welcome\n" == match.string[: match.start()]
        await process.write("hello\n")
        match = await process.stdout.expect(r"said (\w+)\n", 20)
        assert "hello" == match[1]
        await process.stdout.expect("> ", 20)
        assert process.stdout.empty()
        await process.write("bye\nquit\n")
        assert ["you said bye", "> "] == [line async for line in process.stdout]


@pytest.mark.parametrize("pty", [False, True])
async def test_all_output_before_a_prompt_comes_with_its_match(pty: bool) -> None:
    """The queue holds fewer lines than the program writes: they are read while the match is searched."""
    async with shell(pty=pty, queue_size=10) as process:
        await process.stdout.expect("> ", 20)
        await process.write("many\n")
        match = await process.stdout.expect("> ", 20)
        assert [f"row {number}" for number in range(5000)] == match.string[: match.start()].splitlines()


async def test_end_of_the_run_is_told_at_once_with_reason_and_last_lines() -> None:
    async with shell() as process:
        await process.stdout.expect("> ", 20)
        await process.write("fail\n")
        with pytest.raises(RunEnded) as caught:
            await process.stdout.expect("never")
        assert "has ended before its stdout matched 'never': exited with code 1" in str(caught.value)
        assert "it failed" in caught.value.lines
        assert caught.value.status is not None
        assert 1 == caught.value.status.exit_code


async def test_output_that_came_before_the_end_is_found_after_it() -> None:
    process = Process(sys.executable, "-c", "print('a'); print('b', end='')", streaming=True)
    await process
    assert "b" == (await process.stdout.expect("b$"))[0]
    with pytest.raises(RunEnded):
        await process.stdout.expect("a")
    with pytest.raises(QueueShutDown):
        process.stdout.get_nowait()


async def test_a_program_that_closes_its_output_and_lives_on() -> None:
    clock = ManualClock()
    child = FakeChild().writes("half").closes("stdout")
    process = Process("server", streaming=True, clock=clock, launcher=ScriptedLauncher(clock, child), drain_timeout=0.5)
    async with process:
        waiting = asyncio.create_task(process.stdout.expect("never"))
        await clock.settle()
        assert not waiting.done()
        await clock.advance(0.5)
        with pytest.raises(RunEnded, match="'server' has ended its output before its stdout matched 'never'"):
            await waiting
        assert ["half"] == [line async for line in process.stdout]


# --- a queue by hand


class Tap:
    """A pipe whose chunks a test delivers."""

    def attach(self, on_data: Any, on_end: Any, *, blocked: Any) -> None:
        """Keep the callbacks."""
        self.data, self.end, self.blocked = on_data, on_end, blocked

    def resume(self) -> None:
        """Do nothing."""

    def drain(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def open_queue(clock: ManualClock | None = None, **options: Any) -> tuple[OutputQueue[Any], Tap]:
    spec = Spec.of("server", ["server"], **options)
    tap = Tap()
    queue: OutputQueue[Any] = OutputQueue(spec, "stdout", clock=clock or ManualClock())

    def decoder() -> Any:
        rule: Any = spec.framing
        return decoder_for(rule, encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit)

    pump = Pump(tap, decoder, [queue], on_end=lambda: None)
    queue.connect(pump)
    pump.start()
    return queue, tap


def drained(queue: LineQueue[Any]) -> list[Any]:
    items: list[Any] = []
    while not queue.empty():
        items.append(queue.get_nowait())
    return items


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("a", ["b", "cd", "ef"]),
        ("ab", ["", "cd", "ef"]),
        ("ab\n", ["cd", "ef"]),
        ("b\nc", ["d", "ef"]),
        ("(?s).*", []),
        ("e", ["f"]),
        ("^c", ["ab", "cd", "ef"]),
        ("(?m)^c", ["d", "ef"]),
        ("", ["ab", "cd", "ef"]),
    ],
)
async def test_what_follows_a_match_comes_as_items(pattern: str, left: list[str]) -> None:
    for unfinished in (False, True):
        queue, tap = open_queue()
        tap.data(b"ab\r\ncd\n" + (b"ef" if unfinished else b""))
        waiting = asyncio.ensure_future(queue.expect(pattern))
        await asyncio.sleep(0)
        if not unfinished:
            tap.data(b"ef")
            await asyncio.sleep(0)
        if pattern == "^c":
            waiting.cancel()
        await asyncio.wait({waiting})
        tap.end()
        assert (["ef"] if pattern == "(?s).*" and not unfinished else left) == drained(queue)


async def test_a_match_in_an_unfinished_line_takes_its_beginning() -> None:
    queue, tap = open_queue()
    tap.data(b"name: ")
    assert "name: " == (await queue.expect(": ")).string
    tap.data(b"Ada")
    assert "Ada" == (await queue.expect("A.*"))[0]
    tap.data(b" L.\nnext\n")
    assert [" L.", "next"] == drained(queue)


async def test_pieces_of_a_long_line_are_taken_too() -> None:
    queue, tap = open_queue(line_limit=16)
    tap.data(b"x" * 10)
    await queue.expect("x{10}")
    tap.data(b"y" * 30 + b"\n")
    assert ["yyyyyy", "y" * 16, "y" * 8] == drained(queue)
    tap.data(b"x" * 20)
    await queue.expect("x{18}")
    tap.data(b"z" * 20)
    tap.end()
    assert ["xx" + "z" * 12, "z" * 8] == drained(queue)


async def test_a_character_that_came_in_part_is_waited_for() -> None:
    queue, tap = open_queue()
    tap.data("é".encode()[:1])
    waiting = asyncio.ensure_future(queue.expect(r".\Z"))
    await asyncio.sleep(0)
    assert not waiting.done()
    tap.data("é".encode()[1:])
    assert "é" == (await waiting)[0]


async def test_bytes_are_matched_by_bytes() -> None:
    queue, tap = open_queue(encoding=None)
    tap.data(b"a\n\xff> ")
    assert b"\xff> " == (await queue.expect(rb"\xff> "))[0]


async def test_lines_with_another_end_are_matched_with_it() -> None:
    queue, tap = open_queue(framing=framing.lines(end="\0"))
    tap.data(b"a\nb\0c")
    assert "b\0c" == (await queue.expect("b\0c"))[0]
    queue, tap = open_queue(framing=framing.lines(universal=True))
    tap.data(b"10%\r20%")
    assert "20" == (await queue.expect(r"(\d+)%\Z"))[1]


async def test_the_beginning_of_an_end_is_no_output_yet() -> None:
    queue, tap = open_queue(framing=framing.lines(end="\r\n\r\n"))
    tap.data(b"head\r\n\r")
    assert (await queue.expect("(?s)head.*")).group() == "head"
    tap.data(b"\nbody")
    assert drained(queue) == [""]
    assert (await queue.expect("body")).string == "body"


async def test_a_wait_that_fails_takes_nothing() -> None:
    clock = ManualClock()
    queue, tap = open_queue(clock, queue_size=2)
    tap.data(b"a\nb\nc\nd")
    waiting = asyncio.ensure_future(queue.expect("x", 5))
    await clock.advance(4.9)
    assert not waiting.done()
    tap.data(b"e")
    await clock.advance(0.1)
    with pytest.raises(
        TimeoutError, match=r"stdout of 'server' has not matched 'x' within 5 s; it ends with 'a\\nb\\n"
    ):
        await waiting
    assert queue.blocked
    waiting = asyncio.ensure_future(queue.expect("x"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    tap.data(b"f\n")
    assert ["a", "b", "c", "def"] == drained(queue)
    with pytest.raises(TimeoutError, match=r"within 0 s; no more output has come$"):
        await queue.expect("x", 0)


async def test_a_reader_that_waits_gets_what_a_failed_wait_returns() -> None:
    queue, tap = open_queue()
    waiting = asyncio.ensure_future(queue.expect("x"))
    await asyncio.sleep(0)
    tap.data(b"a\n")
    await asyncio.sleep(0)
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    assert "a" == await getter


async def test_a_second_wait_at_once_is_refused() -> None:
    queue, _ = open_queue()
    waiting = asyncio.ensure_future(queue.expect("x"))
    await asyncio.sleep(0)
    with pytest.raises(OverseerError, match="another task waits in expect"):
        await queue.expect("y")
    waiting.cancel()


async def test_endless_output_without_a_match_is_given_up_and_kept() -> None:
    queue, tap = open_queue(queue_size=10)
    waiting = asyncio.ensure_future(queue.expect("never"))
    line = b"x" * 1023 + b"\n"
    for _ in range(16 * 16 + 1):
        tap.data(line * 64)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.QueueFull, match="has not matched 'never' in "):
        await waiting
    assert (16 * 16 + 1) * 64 == queue.qsize()


async def test_a_match_far_behind_the_beginning_has_all_text_before_it() -> None:
    queue, tap = open_queue()
    waiting = asyncio.ensure_future(queue.expect(r"\Aend|end> "))
    await asyncio.sleep(0)
    for _ in range(30):
        tap.data((b"x" * 1023 + b"\n") * 16)
        await asyncio.sleep(0)
    tap.data(b"end> ")
    match = await waiting
    assert 30 * 16 * 1024 == match.start()


@pytest.mark.parametrize(
    ("pattern", "options", "message"),
    [
        ("(", {}, r"pattern='\(' is no regular expression"),
        (b"a", {}, "pattern=b'a' is no str, but lines are, with encoding='utf-8'"),
        ("a", {"encoding": None}, "pattern='a' is no bytes"),
        ("a", {"framing": framing.chunks()}, r"has framing=Chunks\(\), which gives no lines: read its items"),
    ],
)
async def test_wrong_patterns_are_refused(pattern: Any, options: Any, message: str) -> None:
    queue, _ = open_queue(**options)
    with pytest.raises(SpecError, match=message):
        await queue.expect(pattern)
    with pytest.raises(SpecError, match="timeout='x' is"):
        await open_queue()[0].expect(re.compile("a"), "x")  # type: ignore[arg-type]  # wrong on purpose


TEXTS = st.lists(st.sampled_from(["a", "b", "\n", "\r\n", "é", "ab\n", "x" * 20, "\r"]), max_size=20).map("".join)


@given(
    text=TEXTS,
    cuts=st.lists(st.integers(0, 100), max_size=8),
    pattern=st.sampled_from(["a", "b\n", "é", "x{7}", "\n\n", "ab?", "a\nb", "xa", "\r"]),
    limit=st.sampled_from([16, 16384]),
)
def test_no_character_is_lost_or_comes_twice(text: str, cuts: list[int], pattern: str, limit: int) -> None:
    """Matches one after the other and then the items are the text, in any chunks."""

    async def run() -> None:
        queue, tap = open_queue(line_limit=limit)
        data = text.encode()
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        taken = ""

        async def reads() -> None:
            nonlocal taken
            while True:
                match = await queue.expect(pattern)
                taken += match.string[: match.end()]

        reader = asyncio.ensure_future(reads())
        for start, stop in zip(places, places[1:], strict=False):  # noqa: RUF007
            tap.data(data[start:stop])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait({reader})
        tap.end()
        items = drained(queue)
        rest = "".join(
            item if isinstance(item, PartialLine) or type(item).__name__ == "ContinuedLine" else f"{item}\n"
            for item in items
        )
        assert text.replace("\r\n", "\n") == taken + rest

    asyncio.run(run())


# --- ready.prompt


async def test_a_prompt_makes_a_program_ready_and_stays_in_the_queue() -> None:
    async with shell(ready=ready.prompt(r"^(\S) $"), ready_timeout=20) as process:
        assert process.ready_match is not None
        assert ">" == process.ready_match[1]
        assert "> " == (await process.stdout.expect("> ", 20))[0]


async def test_a_prompt_in_a_finished_line_counts() -> None:
    clock = ManualClock()
    child = FakeChild().writes("login: root\n")
    process = Process("server", ready=ready.prompt("login:"), clock=clock, launcher=ScriptedLauncher(clock, child))
    async with process:
        assert process.ready_match is not None
        assert "login: root" == process.ready_match.string


async def test_a_prompt_that_comes_in_parts_is_found() -> None:
    clock = ManualClock()
    child = FakeChild().writes("log").runs(1).writes("in: ")
    process = Process("server", ready=ready.prompt("login: "), clock=clock, launcher=ScriptedLauncher(clock, child))
    starting = asyncio.create_task(process.start())
    await clock.advance(0.9)
    assert not starting.done()
    await clock.advance(0.1)
    await starting
    await process.stop()


async def test_a_program_without_its_prompt_is_not_ready() -> None:
    process = Process(sys.executable, "-c", "print('no')", ready=ready.prompt("login: ", stream="stdout"))
    with pytest.raises(NotReady, match="last lines:\n  no"):
        await process.start()
    assert "a prompt with 'login: ' on stdout" == str(process.spec.ready)


async def test_an_ended_process_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        process = shell(ready=ready.prompt("> "), ready_timeout=20)
        async with process:
            await process.stdout.expect("> ", 20)
            await process.write("quit\n")
            with pytest.raises(RunEnded):
                await process.stdout.expect("never")
        known = weakref.ref(process)
        del process
        for _ in range(3):
            await asyncio.sleep(0)
        assert known() is None
    finally:
        gc.enable()


# --- services, and code without asyncio


async def test_each_run_of_a_service_has_prompts() -> None:
    async with Overseer() as overseer:
        service = overseer.add(
            "shell",
            *(sys.executable, "-c", SHELL),
            stdin="pipe",
            ready=ready.prompt("> "),
            restart=Restart("always", max_restarts=1, backoff=Backoff(min=0.01)),
        )
        runs = service.runs()
        await service.start()
        numbers: list[int] = []
        async for run in runs:
            await run.stdout.expect("> ", 20)
            await run.write("hello\n")
            assert "hello" == (await run.stdout.expect(r"said (\w+)\n> ", 20))[1]
            assert run.ready_match is not None
            numbers.append(run.number)
            await run.write("fail\n")
            with pytest.raises(RunEnded, match="exited with code 1") as caught:
                await run.stdout.expect("never")
            assert "it failed" in caught.value.lines
        assert [1, 2] == numbers


@pytest.mark.parametrize("is_known_before", [True, False])
async def test_a_run_that_closes_its_output_and_lives_on_has_no_more_prompts(is_known_before: bool) -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().reads("go").closes("stdout"))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        service = await overseer.add("server", "server", stdin="pipe", drain_timeout=0.5).start()
        run = service.process
        assert run is not None
        if is_known_before:
            assert run.stdout.empty()
        await run.write("go\n")
        await clock.settle()
        waiting = asyncio.create_task(run.stdout.expect("never"))
        await clock.advance(0.5)
        with pytest.raises(RunEnded, match="'server' has ended its output before its stdout matched 'never'"):
            await waiting
        assert not run.stdout.has_ended


async def test_the_first_wait_in_a_running_service_sees_the_prompt_that_has_come() -> None:
    async with Overseer() as overseer:
        service = overseer.add("shell", sys.executable, "-c", SHELL, stdin="pipe", ready=ready.prompt("> "))
        await service.start()
        assert service.process is not None
        assert "> " == (await service.process.stdout.expect("> ", 20))[0]


def test_plain_code_waits_for_prompts() -> None:
    with ThreadedOverseer() as overseer:
        service = overseer.add("shell", sys.executable, "-c", SHELL, stdin="pipe", ready=ready.prompt("> "))
        runs = service.runs()
        service.start()
        run = next(runs)
        assert "welcome" == next(run.stdout)
        assert "> " == run.stdout.expect("> ", 20).string
        run.write("many\n")
        assert "row 0" == next(run.stdout)
        with pytest.raises(TimeoutError):
            run.stdout.expect("never", 0)
        match = run.stdout.expect("(?m)^> ", 20)
        assert [f"row {number}" for number in range(1, 5000)] == match.string[: match.start()].splitlines()
        run.write("fail\n")
        with pytest.raises(RunEnded):
            run.stdout.expect("never")
