"""Scripted children on kernel pipes: joined with each other and with real programs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from aioverseer import Overseer, Process, Restart, Spec, State, framing
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


def scripted(clock: ManualClock, script: FakeChild, **options: Any) -> Process:
    """Return a Process that follows a script."""
    return Process("prog", clock=clock, launcher=ScriptedLauncher(clock, script), **options)


async def test_script_feeds_a_real_program(clock: ManualClock) -> None:
    first = scripted(clock, FakeChild().prints("a", "b").runs(5).prints("c").exits())
    async with limit():
        process = await Process("cat", stdin=first, streaming=True).start()
        assert ["a", "b"] == [await process.stdout.get() for _ in range(2)]
        await clock.advance(5)
        assert ["c"] == [line async for line in process.stdout]
        status = await process
    assert (0, State.FINISHED) == (status.exit_code, first.state)


async def test_script_reads_from_a_real_program(clock: ManualClock) -> None:
    async with limit():
        status = await scripted(clock, FakeChild().answers(str.upper).exits(), stdin=Process("printf", "one\ntwo"))
    assert ["ONE", "TWO"] == status.stdout


async def test_frames_pass_from_script_to_script(clock: ManualClock) -> None:
    """A frame larger than a pipe, too."""
    rule = framing.length_prefix(4)
    first = scripted(clock, FakeChild().writes(rule.encode(b"a\n") + rule.encode(b"x" * 200_000)).exits())
    script = FakeChild().answers(bytes.upper, framing=rule).exits()
    async with limit():
        status = await scripted(clock, script, stdin=first, framing=rule)
    assert [b"A\n", b"X" * 200_000] == status.stdout


async def test_frames_may_follow_lines_in_a_file(clock: ManualClock, tmp_path: Path) -> None:
    """The line was read together with the frames."""
    rule = framing.length_prefix(1)
    (tmp_path / "in").write_bytes(b"start\n" + rule.encode(b"a") + rule.encode(b"b"))
    script = FakeChild().reads("start").answers(bytes.upper, framing=rule).exits()
    async with limit():
        with (tmp_path / "in").open("rb") as file:
            status = await scripted(clock, script, stdin=file, framing=rule)
    assert [b"A", b"B"] == status.stdout


async def test_main_script_and_reaction_use_one_pipe(clock: ManualClock) -> None:
    """Both wait for input first, and for room in the output then."""
    source, feed = os.pipe()
    drain, target = os.pipe()
    big = "x" * 100_000
    script = FakeChild().on(signal.SIGHUP, FakeChild().reads("b").writes(big))
    script = script.reads("a").writes(big).runs(1).exits()
    with os.fdopen(source) as stdin, os.fdopen(target, "wb") as stdout, os.fdopen(drain, "rb") as reader:
        process = scripted(clock, script, stdin=stdin, stdout=stdout, streaming="stderr")
        async with limit():
            await process.start()
            process.signal(signal.SIGHUP)
            os.write(feed, b"b\na\n")
            os.close(feed)
            got = 0
            while got < 200_000:
                await clock.settle()
                got += len(reader.read1(65536))
            await clock.advance(1)
            assert 0 == (await process).exit_code


async def test_output_to_nowhere_is_lost(clock: ManualClock) -> None:
    async with limit():
        status = await scripted(clock, FakeChild().prints("x").prints("y", stream="stderr").exits(), stdout="null")
        merged = await scripted(clock, FakeChild().prints("z").exits(), stdout="null", merge_stderr=True)
    assert (None, ["y"], 0) == (status.stdout, status.stderr, merged.exit_code)


async def test_child_that_ignores_sigpipe_lives_on(clock: ManualClock) -> None:
    """Its output is lost."""
    first = scripted(clock, FakeChild().ignores(signal.SIGPIPE).writes("y\n" * 100_000).runs(1).exits(3))
    process = scripted(clock, FakeChild().exits(), stdin=first)
    async with limit():
        await clock.run(process.wait())
    assert 3 == first.status().exit_code


async def test_closed_input_breaks_the_pipe(clock: ManualClock) -> None:
    first = scripted(clock, FakeChild().runs(1).prints("nobody reads this").exits())
    process = scripted(clock, FakeChild().closes("stdin").reads_all().prints("end").runs(2).exits(), stdin=first)
    async with limit():
        await clock.run(process.wait())
    assert (["end"], signal.SIGPIPE) == (process.status().stdout, first.status().signal)


async def test_service_restarts_its_scripted_pipeline(clock: ManualClock) -> None:
    """Each run has fresh pipes, and no descriptor is left open."""
    before = len(os.listdir("/dev/fd"))
    by_id = {"dump": FakeChild().prints("row").exits(), "pack": FakeChild().answers().exits(1)}
    launcher = ScriptedLauncher(clock, by_id=by_id)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        policy = Restart(max_restarts=2)
        service = overseer.add("pack", "pack", stdin=Spec.of("dump", ["dump"]), restart=policy)
        await clock.run(overseer.supervise("pack"))
        assert [(1, "row"), (2, "row"), (3, "row")] == [(line.run, line.text) for line in service.tail()]
        assert before == len(os.listdir("/dev/fd"))


async def test_killed_pipeline_closes_its_descriptors(clock: ManualClock) -> None:
    before = len(os.listdir("/dev/fd"))
    first = scripted(clock, FakeChild().ignores(signal.SIGTERM))
    process = scripted(clock, FakeChild().reads_all().exits(), stdin=first)
    async with limit():
        await process.start()
        await process.stop(kill=True)
    assert (signal.SIGKILL, signal.SIGKILL) == (process.status().signal, first.status().signal)
    assert before == len(os.listdir("/dev/fd"))
