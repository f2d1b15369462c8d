"""The runs of a service as conversations: each is read to its end, and the end is known no earlier."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, OverseerError, Process, Restart, State
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.framings import FRAMINGS, encoded, texts
from tests.support.programs import child, limit

ALWAYS = Restart("always", max_restarts=None, backoff=Backoff(min=0.0, max=0.0))
NEVER = Restart("never")

TALK = """
import sys
for number in range(20):
    print("notice", number)
print("answer")
"""
MESSAGES = [*(f"notice {number}" for number in range(20)), "answer"]


async def read(run: Process) -> list[Any]:
    items = []
    async for item in run.stdout:
        items.append(item)
        await asyncio.sleep(0)
    return items


def messages(name: str) -> list[str]:
    """The items of a run that writes all messages in this framing."""
    return texts(name, [message.encode() for message in MESSAGES])


@pytest.mark.parametrize("name", FRAMINGS)
async def test_each_of_a_thousand_runs_is_read_to_its_answer_before_its_end_is_known(name: str) -> None:
    clock = ManualClock()
    script = functools.reduce(FakeChild.writes, encoded(name, *MESSAGES), FakeChild()).exits()
    async with limit(60), Overseer(clock=clock, launcher=ScriptedLauncher(clock, script)) as overseer:
        restart = Restart("always", max_restarts=999, within=None, backoff=Backoff(min=0.0, max=0.0))
        service = overseer.add("talker", "talker", restart=restart, framing=FRAMINGS[name])
        reader = service.runs()
        await service.start()
        numbers = []
        async for run in reader:
            assert messages(name) == texts(name, await read(run))
            assert run.status().state is State.FINISHED
            numbers.append(run.number)
        assert numbers == list(range(1, 1001))


@pytest.mark.parametrize("name", FRAMINGS)
async def test_runs_of_real_programs_are_read_to_their_ends(name: str) -> None:
    program = child(f"import os\nfor frame in {encoded(name, *MESSAGES)}: os.write(1, frame)")
    async with limit(60), Overseer() as overseer:
        service = overseer.add("talker", *program, restart=ALWAYS, framing=FRAMINGS[name])
        reader = service.runs()
        await service.start()
        async for run in reader:
            assert messages(name) == texts(name, await read(run))
            assert run.status().exit_code == 0
            if run.number == 30:
                await service.stop()
                break


async def test_the_iteration_begins_with_the_current_run_and_ends_with_the_service() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=NEVER)
        await service.start()
        seen = []
        async for run in service.runs():
            assert run is service.process
            await run.write("hello\n")
            await run.write_eof()
            seen.append((run.number, await read(run), str(run.status().state)))
        assert seen == [(1, ["hello"], "finished")]
        assert [run async for run in service.runs()] == []


async def test_stdout_of_a_program_that_closes_it_ends_with_the_run() -> None:
    code = """
    import os, sys
    print("last")
    sys.stdout.flush()
    os.close(1)
    sys.stdin.read()
    """
    async with limit(), Overseer() as overseer:
        service = overseer.add("mute", *child(code), stdin="pipe", restart=NEVER)
        reader = service.runs()
        await service.start()
        run = await anext(reader)
        assert await run.stdout.get() == "last"
        ended = asyncio.ensure_future(anext(run.stdout, None))
        await run.write("more\n")
        assert run.state is State.RUNNING
        assert not ended.done()
        run.close_stdin()
        assert await ended is None
        assert run.status().state is State.FINISHED


async def test_a_service_has_a_process_while_a_program_lives() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().prints("hello").runs(1).exits(1), FakeChild())
    slow = Restart("always", backoff=Backoff(min=5.0, max=5.0))
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("talker", "talker", restart=slow)
        runs, seen = service.runs(), [service.process]
        await service.start()
        seen.append(service.process)
        await clock.advance(1.0)
        assert service.state is State.BACKOFF
        seen.append(service.process)
        await clock.advance(5.0)
        seen.append(service.process)
        await service.stop()
        first, second = [run async for run in runs]
        assert [None, first, None, second, service.process] == [*seen, None]
        assert await read(first) == ["hello"]


async def test_a_run_of_the_past_is_read_to_its_end() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("talker", *child(TALK), restart=NEVER)
        reader = service.runs()
        await service.start()
        await service.wait()
        await service.start()
        await service.wait()
        first, second = [run async for run in reader]
        assert (first.number, second.number) == (1, 2)
        for run in (second, first):
            assert len(await read(run)) == 21


async def test_a_slow_reader_slows_the_program_and_loses_nothing() -> None:
    code = "for number in range(200_000): print(number)"
    async with limit(60), Overseer() as overseer:
        service = overseer.add("fast", *child(code), restart=NEVER, queue_size=10)
        reader = service.runs()
        await service.start()
        run = await anext(reader)
        full = asyncio.Event()
        run.stdout.on_full = full.set
        if not run.stdout.blocked:
            await full.wait()
        assert "waits for a reader of its stdout" in service.status().reason
        assert run.stdout.qsize() < 100_000
        rest = [int(item) async for item in run.stdout]
        assert rest == list(range(200_000))


async def test_stderr_keeps_its_last_lines_until_somebody_reads_it() -> None:
    code = """
    import sys
    for number in range(50_000):
        print(number, file=sys.stderr)
    print("written")
    sys.stdin.readline()
    for number in range(50_000, 100_000):
        print(number, file=sys.stderr)
    """
    async with limit(60), Overseer() as overseer:
        service = overseer.add("loud", *child(code), stdin="pipe", restart=NEVER, queue_size=100)
        reader = service.runs()
        await service.start()
        run = await anext(reader)
        assert await run.stdout.get() == "written"
        await run.write("go on\n")
        items = [int(item) async for item in run.stderr]
        assert items[0] > 40_000
        assert items == list(range(items[0], 100_000))
        assert run.status().exit_code == 0


async def test_a_flood_of_an_unread_stderr_holds_no_streaming_run_up() -> None:
    code = """
    import os, sys
    for line in sys.stdin:
        for _ in range(100):
            os.write(2, b"flood\\n" * 2000)
        print(line, end="", flush=True)
    """
    async with limit(60), Overseer() as overseer:
        service = overseer.add("loud", *child(code), stdin="pipe", restart=NEVER, streaming=True, queue_size=100)
        await service.start()
        run = service.process
        assert run is not None
        full = asyncio.Event()
        on_full: Any = run.stderr.on_full

        def tell() -> None:
            on_full()
            full.set()

        run.stderr.on_full = tell
        await run.write("0\n")
        await full.wait()
        for number in range(3):
            assert await run.stdout.get() == str(number)
            await run.write(f"{number + 1}\n")
        assert run.stderr.missed > 100_000
        assert await run.stderr.get() == "flood"


async def test_without_runs_the_queue_begins_with_the_first_reading() -> None:
    async with limit(60), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=NEVER, queue_size=5)
        await service.start()
        run = service.process
        assert run is not None
        assert run.stdout.qsize() == 0
        lines = service.lines()
        await run.write("".join(f"{n}\n" for n in range(1000)))
        while (await lines.get()).text != "999":
            pass
        assert run.stdout.qsize() == 0
        reading = asyncio.ensure_future(run.stdout.get())
        await asyncio.sleep(0)
        await run.write("now\n")
        assert await reading == "now"
        await service.stop()
        assert [item async for item in run.stdout] == []


async def test_stdout_of_a_run_ends_with_a_survivor_that_is_kept(tmp_path: Path) -> None:
    """Its later output arrives after the end of the run."""
    os.mkfifo(tmp_path / "go")
    code = '(read -r _ < "$0"; echo later) & echo now'
    options: dict[str, Any] = {"leftovers": "keep", "drain_timeout": 0.01, "restart": NEVER}
    async with limit(), Overseer() as overseer:
        service = overseer.add("talker", "sh", "-c", code, str(tmp_path / "go"), **options)
        reader = service.runs()
        await service.start()
        run = await anext(reader)
        assert "now" == await run.stdout.get()
        await service.wait()
        go = os.open(tmp_path / "go", os.O_RDWR)
        os.write(go, b"\n")
        assert ["later"] == await read(run)
        os.close(go)


async def test_stdout_that_was_closed_before_its_first_reading_ends_with_the_run() -> None:
    code = "import os, sys; os.close(1); os.write(2, b'closed\\n'); sys.stdin.read()"
    async with limit(), Overseer() as overseer:
        service = overseer.add("mute", *child(code), stdin="pipe", restart=NEVER)
        lines = service.lines()
        await service.start()
        assert "closed" == (await lines.get()).text
        run = service.process
        assert run is not None
        ended = asyncio.ensure_future(anext(run.stdout, None))
        run.close_stdin()
        assert await ended is None


async def test_a_streaming_run_stays_lossless_when_the_iteration_is_left() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("counter", "seq", "2000", restart=NEVER, streaming=True, queue_size=5)
        runs = service.runs()
        await service.start()
        run = await anext(runs)
        runs.close()
        assert [str(number) for number in range(1, 2001)] == await read(run)


async def test_a_stream_that_is_not_read_has_no_queue() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("talker", *child(TALK), stdout="null", restart=NEVER)
        reader = service.runs()
        await service.start()
        run = await anext(reader)
        assert run.stdout is None
        assert [item async for item in run.stderr] == []


async def test_start_and_stop_of_a_run_are_refused() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe")
        await service.start()
        run = service.process
        assert run is not None
        for refused in (run.start, run.stop, run.__aenter__, lambda: run.__aexit__(None, None, None)):
            with pytest.raises(OverseerError, match=r"'cat', run 1: .* the service's affair: use service.start\(\)"):
                await refused()
        assert run.state is State.RUNNING
        assert service.state is State.RUNNING


async def test_a_reader_that_has_left_holds_no_program_up() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=NEVER, queue_size=5)
        await service.start()
        run = await anext(service.runs())
        gc.collect()
        lines = service.lines(overflow="block")
        for first in range(0, 1000, 10):
            await run.write("".join(f"{n}\n" for n in range(first, first + 10)))
            for n in range(first, first + 10):
                assert (await lines.get()).text == str(n)
        assert "waits for a reader" not in service.status().reason
        run.close_stdin()
        assert [item async for item in run.stdout] == ["995", "996", "997", "998", "999"]
        assert run.stdout.missed == 995


async def test_a_reader_that_has_begun_loses_nothing_when_the_iteration_is_left() -> None:
    async with limit(), Overseer() as overseer:
        service = overseer.add("cat", "cat", stdin="pipe", restart=NEVER, queue_size=5)
        runs = service.runs()
        await service.start()
        run = await anext(runs)
        lines = service.lines(overflow="block")
        await run.write("first\n" * 4)
        for _ in range(4):
            await lines.get()
        assert run.stdout.get_nowait() == "first"
        runs.close()
        written = asyncio.create_task(run.write("more\n" * 100_000))
        async for _ in lines:
            if run.stdout.blocked:
                break
        lines.close()
        items = [await run.stdout.get() for _ in range(100_003)]
        await written
        assert (items.count("first"), items.count("more"), run.stdout.missed) == (3, 100_000, 0)


async def test_a_cancelled_wait_for_a_run_takes_none() -> None:
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().prints("hello").exits())
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("talker", "talker", restart=NEVER)
        reader = service.runs()
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        waiting.cancel()
        await service.start()
        await service.wait()
        run = await anext(reader)
        assert run.number == 1
        assert await read(run) == ["hello"]


async def test_a_reader_ends_when_the_overseer_is_left() -> None:
    async with limit():
        async with Overseer() as overseer:
            service = overseer.add("never", "true")
            waiting = asyncio.ensure_future(anext(service.runs(), None))
            await asyncio.sleep(0)
        assert await waiting is None


async def test_a_stalled_reader_of_a_crash_loop_loses_whole_runs_and_counts_them() -> None:
    clock = ManualClock()
    script = FakeChild().prints("x" * 15_000, *("y" * 15_000 for _ in range(9))).exits(1)
    async with limit(60), Overseer(clock=clock, launcher=ScriptedLauncher(clock, script)) as overseer:
        service = overseer.add("talker", "talker", restart=ALWAYS)
        reader = service.runs()
        await service.start()
        await service.wait_for(lambda status: status.restarts >= 300)
        await service.stop()
        runs = [run async for run in reader]
        assert reader.missed > 0
        assert [run.number for run in runs] == list(range(reader.missed + 1, reader.missed + len(runs) + 1))
        for run in itertools.islice(runs, 3):
            assert len(await read(run)) == 10
