"""Scripts of children: values that say what a child does, and when, on the clock of a test."""

from __future__ import annotations

import asyncio
import errno
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from aioverseer import (
    Alive,
    Exit,
    Overseer,
    PartialBytes,
    Process,
    Restart,
    SpecError,
    State,
    Stop,
    StopFailed,
    framing,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.framings import FRAMINGS, Semicolons, encoded


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


def run_of(clock: ManualClock, script: FakeChild, **options: Any) -> tuple[Process, ScriptedLauncher]:
    """Return a Process that follows a script, and its launcher."""
    launcher = ScriptedLauncher(clock, script)
    return Process("prog", clock=clock, launcher=launcher, **options), launcher


class OnlyReads:
    """A framing of a user, for input alone."""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return the chunk."""
        return [data]

    def end(self) -> list[bytes]:
        """Return nothing."""
        return []


FRAMES = framing.content_length()


def test_script_is_a_value() -> None:
    """Methods return new scripts, so a script can be shared."""
    base = FakeChild().prints("up")
    assert base.exits(1) != base.exits(2)
    assert base == FakeChild().prints("up")
    assert FakeChild() != base
    assert "up" in repr(base.runs(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FakeChild().runs(-1), r"FakeChild.runs: seconds=-1 cannot be: pass seconds, 0 or more"),
        (lambda: FakeChild().spawns_in(float("inf")), "seconds=inf cannot be"),
        (lambda: FakeChild().exits(256), "code=256 cannot be: pass an exit code"),
        (lambda: FakeChild().dies(0), "number=0 cannot be: pass a signal"),
        (lambda: FakeChild().ignores(99), "number=99 cannot be: pass a signal"),
        (lambda: FakeChild().on(9, FakeChild()), "no program can handle it"),
        (lambda: FakeChild().writes_ready(2), "pass a descriptor from 3 to 9"),
        (lambda: FakeChild().answers(framing="lines"), r"framing='lines' cannot be: pass a framing"),  # type: ignore[call-overload]  # on purpose
        (lambda: FakeChild().reads(framing={"stdout": FRAMES}), "cannot be: pass a framing"),  # type: ignore[arg-type]  # on purpose
        (lambda: FakeChild().answers(framing=OnlyReads), r"give it a method encode\(bytes\) -> bytes"),
        (
            lambda: FakeChild().reads(framing=FRAMES).reads(),
            r"as ContentLength\(.*: pass the same framing",
        ),
        (lambda: FakeChild().repeats(FakeChild().reads().reads(framing=FRAMES), times=2), "pass the same framing"),
        (lambda: FakeChild().prints("x", stream="out"), 'pass "stdout" or "stderr"'),  # type: ignore[arg-type]  # on purpose
        (lambda: FakeChild().closes("out"), 'pass "stdin", "stdout" or "stderr"'),  # type: ignore[arg-type]  # on purpose
        (lambda: FakeChild().exits(0).prints("x"), "nothing can come after the end of a program"),
        (lambda: FakeChild().repeats(FakeChild().prints("x")), "it takes no time, so it would never end"),
        (lambda: FakeChild().repeats(FakeChild().runs(1), times=-1), "times=-1 cannot be"),
    ],
)
def test_invalid_step_is_refused(make: Callable[[], FakeChild], message: str) -> None:
    """The error is raised where the step is added, and names the value."""
    with pytest.raises(SpecError, match=message):
        make()


async def test_steps_take_their_time(clock: ManualClock) -> None:
    """Output, then three seconds of life, then an end."""
    process, _ = run_of(clock, FakeChild().prints("ready").runs(3).prints("bye", stream="stderr").exits(1))
    status = await clock.run(process.wait())
    assert (1, ["ready"], ["bye"], 3.0) == (status.exit_code, status.stdout, status.stderr, clock.now())


async def test_spawn_takes_its_time_and_a_cancelled_start_is_killed(clock: ManualClock) -> None:
    """Spawning on a slow file system takes as long."""
    process, launcher = run_of(clock, FakeChild().spawns_in(60).exits(0))
    assert 0 == (await clock.run(process.wait())).exit_code
    assert 60 == clock.now()
    process, launcher = run_of(clock, FakeChild().spawns_in(60).cannot_start("no such host"))
    assert "no such host" in str((await clock.run(process.wait())).error)
    assert 120 == clock.now()
    process, launcher = run_of(clock, FakeChild().spawns_in(3))
    starting = asyncio.ensure_future(process.start())
    await clock.advance(2)
    starting.cancel()
    await clock.run(asyncio.wait([starting]))
    (child,) = launcher.children
    assert ([signal.SIGKILL], True, State.INTERRUPT) == (child.signals, child.has_ended, process.state)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EAGAIN, "the system has no room for another process"),
        (errno.ENOENT, "there is no such program"),
        (errno.EACCES, "it may not be executed"),
        (errno.EMFILE, "it cannot be started (EMFILE)"),
        (9999, "it cannot be started (9999)"),
    ],
)
async def test_error_of_a_start_fits_its_errno(clock: ManualClock, number: int, why: str) -> None:
    """Unless the script says something else."""
    for script, expected in (
        (FakeChild().cannot_start(number=number), why),
        (FakeChild().cannot_start("no", number), "no"),
    ):
        process, _ = run_of(clock, script)
        error = (await process).error
        assert isinstance(error, OSError)
        assert (number, True) == (error.errno, expected in str(error))


async def test_child_ends_some_time_after_a_signal(clock: ManualClock) -> None:
    """A child that takes longer than its ladder is killed."""
    script = FakeChild().ends_on(signal.SIGTERM, after=4, code=3)
    for timeout, expected in ((5, Exit(code=3)), (3, Exit(signal=signal.SIGKILL))):
        process, _ = run_of(clock, script, stop=Stop(timeout=timeout))
        await process.start()
        await clock.run(process.stop())
        assert expected == process.exit
    assert 7 == clock.now()


async def test_child_repeats_steps(clock: ManualClock) -> None:
    """Three times, or for ever; the steps feed a watchdog."""
    beat = FakeChild().runs(4).notifies("WATCHDOG=1")
    launcher = ScriptedLauncher(clock, FakeChild().repeats(beat, times=3), FakeChild().repeats(beat))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        web = await overseer.add("web", "web", alive=Alive(ready.notify(), every=5, failures=2)).start()
        await clock.advance(20)
        assert 0 == web.restarts
        await clock.advance(3600)
        assert (1, State.RUNNING) == (web.restarts, web.state)


async def test_child_reads_and_answers_lines(clock: ManualClock) -> None:
    """The child waits for a line, answers the next ones, and continues at the end of the input."""
    script = FakeChild().reads("^go").prints("going").answers(str.upper).prints("done").exits(0)
    process, launcher = run_of(clock, script, stdin="pipe", streaming=True)
    await process.start()
    assert process.stdout is not None
    await process.write("not yet\ngo on\n")
    assert "going" == await process.stdout.get()
    await process.write("a\nb")
    assert "A" == await process.stdout.get()
    process.close_stdin()
    assert ["B", "done"] == [line async for line in process.stdout]
    (child,) = launcher.children
    assert child.stdin is not None
    assert b"not yet\ngo on\na\nb" == child.stdin.received


async def test_answer_may_be_none(clock: ManualClock) -> None:
    """Nothing is written then."""
    answers = {"a": "1"}
    process, _ = run_of(clock, FakeChild().answers(answers.get).exits(0), stdin="b\na\n")
    assert ["1"] == (await process).stdout


@pytest.mark.parametrize("name", sorted({*FRAMINGS} - {"chunks"}))
@pytest.mark.parametrize("size", [1, 7, 1000], ids="chunks of {}".format)
async def test_child_answers_frames(clock: ManualClock, name: str, size: int) -> None:
    """Frames are answered one by one, wherever the writes are cut, and the script continues at the end of the input."""
    rule = FRAMINGS[name]
    script = FakeChild().reads("^go", framing=rule).answers(bytes.upper, framing=rule)
    script = script.writes(rule.encode(b"bye")).exits(0)
    process, _ = run_of(clock, script, stdin="pipe", streaming=True, framing={"stdout": rule}, encoding=None)
    await process.start()
    data = b"".join(encoded(name, "not yet", "go on", "one", "", "t-wo"))
    for start in range(0, len(data), size):
        await process.write(data[start : start + size])
    process.close_stdin()
    assert [b"ONE", b"", b"T-WO", b"bye"] == [item async for item in process.stdout]


async def test_child_reads_a_frame_that_the_end_cuts(clock: ManualClock) -> None:
    """As an item of its own kind, and nothing after it."""
    seen: list[Any] = []
    rule = framing.length_prefix(1)
    script = FakeChild().answers(seen.append, framing=rule).reads_all().answers(seen.append, framing=rule).exits()
    process, _ = run_of(clock, script, stdin=b"\2ab\3x")
    assert 0 == (await process).exit_code
    assert [(bytes, b"ab"), (PartialBytes, b"\3x")] == [(type(item), item) for item in seen]


async def test_child_reads_the_rest_of_its_input_once(clock: ManualClock) -> None:
    """Although this framing returns the rest each time that it is asked."""
    script = FakeChild().answers(framing=Semicolons).answers(framing=Semicolons).exits()
    process, _ = run_of(clock, script, stdin="a;rest")
    assert ["a;rest;"] == (await process).stdout


async def test_frames_may_follow_lines(clock: ManualClock) -> None:
    """The line is taken alone, so frames that came with it are whole; the rest of them is discarded at the end."""
    rule = framing.length_prefix(1)
    script = FakeChild().reads("start").reads("b", framing=rule).prints("seen").reads_all().exits()
    process, _ = run_of(clock, script, stdin=b"start\n" + b"".join(map(rule.encode, (b"a", b"b", b"c"))))
    assert (0, ["seen"]) == ((await process).exit_code, process.status().stdout)


async def test_child_asks_again_after_each_line(clock: ManualClock) -> None:
    """A line without an answer, too."""
    answers = {"1": "one"}
    process, _ = run_of(clock, FakeChild().answers(answers.get, prompt="=# ").exits(), stdin="0\n1\n")
    assert ["=# =# one", "=# "] == (await process).stdout


async def test_child_without_input_has_no_frames_to_answer(clock: ManualClock) -> None:
    """The script continues at once."""
    process, _ = run_of(clock, FakeChild().answers(framing=framing.length_prefix(4)).prints("done").exits(0))
    assert ["done"] == (await process).stdout


async def test_answer_may_be_an_end(clock: ManualClock) -> None:
    """A worker that crashes by a question: the questions before it are answered."""
    script = FakeChild().answers(lambda line: Exit(code=11) if line == "crash" else line)
    process, _ = run_of(clock, script, stdin="a\ncrash\nb\n")
    status = await process
    assert (11, ["a"]) == (status.exit_code, status.stdout)


async def test_answer_to_a_frame_may_be_an_end(clock: ManualClock) -> None:
    """A worker that crashes by a question: the questions before it are answered."""
    rule = framing.length_prefix(2)
    script = FakeChild().answers(lambda frame: Exit(code=11) if frame == b"crash" else frame, framing=rule)
    data = b"".join(rule.encode(item) for item in (b"a", b"crash", b"b"))
    process, _ = run_of(clock, script, stdin=data, framing=rule)
    status = await process
    assert (11, [b"a"]) == (status.exit_code, status.stdout)


async def test_child_prints_bytes_by_hand(clock: ManualClock) -> None:
    """A test may answer a frame itself."""
    rule = framing.length_prefix(4)
    process, launcher = run_of(clock, FakeChild(), streaming="stdout", framing=rule)
    async with process:
        launcher.children[0].print(rule.encode(b"\xff"))
        assert b"\xff" == await process.stdout.get()


async def test_terminal_input_continues_after_an_end_of_file(clock: ManualClock) -> None:
    """A new size of the terminal sends SIGWINCH."""
    script = FakeChild().reads_all().prints("first").reads_all().prints("second").exits(0)
    script = script.on(signal.SIGWINCH, FakeChild().prints("resized"))
    process, _ = run_of(clock, script, pty=True, streaming=True)
    await process.start()
    assert process.stdout is not None
    await process.write("a\n")
    await process.write_eof()
    assert "first" == await process.stdout.get()
    process.resize(*process.spec.window_size)
    process.resize(100, 30)
    assert "resized" == await process.stdout.get()
    await process.write("b\n")
    await process.write_eof()
    assert "second" == await process.stdout.get()
    assert 0 == (await process).exit_code


async def test_stopped_child_performs_no_steps(clock: ManualClock) -> None:
    """After SIGCONT, pending signals come before the overdue steps."""
    script = FakeChild().on(signal.SIGCONT, FakeChild().prints("continued")).on(15, FakeChild().prints("asked"))
    process, _ = run_of(clock, script.runs(5).prints("late").exits(0))
    await process.start()
    process.signal(signal.SIGTSTP)
    await clock.advance(60)
    process.signal(signal.SIGTTIN)
    process.signal(signal.SIGTERM)
    assert State.RUNNING is process.state
    process.signal(signal.SIGCONT)
    assert ["continued", "asked", "late"] == (await clock.run(process.wait())).stdout


async def test_immortal_leftover_is_reported(clock: ManualClock) -> None:
    """By an event of the service that has left it, and by each sweep."""
    launcher = ScriptedLauncher(clock, FakeChild().leaves("stuck on nfs", immortal=True).leaves("helper").exits(0))
    overseer = Overseer(clock=clock, launcher=launcher)
    events = overseer.events()
    await overseer.__aenter__()
    overseer.add("web", "web")
    await clock.run(overseer.supervise("web"))
    with pytest.raises(StopFailed, match=r"what could not be killed: pid 1002 \(stuck on nfs\)"):
        await overseer.__aexit__(None, None, None)
    reasons = [event.reason for event in iter(events.get_nowait, None) if event.kind == "leftovers"]
    assert ["exited with code 0 and left 2 processes behind", "has left pid 1002 (stuck on nfs) behind"] == [
        re.split(r":|, which", reason)[0] for reason in reasons
    ]
    assert ["stuck on nfs"] == [survivor.command for survivor in await launcher.close()]


async def test_child_records_what_happens_to_it(clock: ManualClock) -> None:
    """Signals without SIGCONT, the sweep, and the closing of its pipes."""
    process, launcher = run_of(clock, FakeChild().ignores(signal.SIGTERM), stop=Stop(timeout=3), stdin="pipe")
    await process.start()
    (running,) = launcher.children
    assert isinstance(running, RunningChild)
    assert f"<RunningChild 'prog' pid {running.pid} runs>" == repr(running)
    await process.write("x")
    stopping = asyncio.ensure_future(process.stop())
    await clock.advance(2.9)
    assert ([signal.SIGTERM], False, False) == (running.signals, running.swept, running.closed)
    await clock.advance(0.1)
    assert ([signal.SIGTERM, signal.SIGKILL], True, True) == (running.signals, running.swept, running.closed)
    assert running.stdin is not None
    assert (b"x", True) == (running.stdin.received, running.stdin.closed)
    assert repr(running).endswith("was killed by SIGKILL>")
    await stopping


async def test_test_directs_a_child_by_hand(clock: ManualClock) -> None:
    """Output, readiness and the end come when the test says so."""
    launcher = ScriptedLauncher(clock)
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        web = overseer.add("web", "web", ready=ready.fd() & ready.notify(), restart=Restart("never"))
        starting = asyncio.ensure_future(web.start())
        await clock.settle()
        child = launcher.of("web")[-1]
        child.print("hello\n")
        child.print("oops\n", stream="stderr")
        child.write_ready(4)  # the service does not wait for this one
        child.write_ready()
        assert State.STARTING is web.state
        child.notify(b"READY=1")
        await starting
        assert ["hello", "oops"] == [line.text for line in web.tail(2)]
        child.end(Exit(code=4))
        child.end(Exit(code=5))
        assert 4 == (await web.wait()).exit_code


async def test_scripts_are_used_in_order_and_the_last_one_is_repeated(clock: ManualClock) -> None:
    """A service with scripts of its own does not use up the common ones."""
    own = [FakeChild().exits(7), FakeChild().exits(8)]
    launcher = ScriptedLauncher(
        clock, FakeChild().exits(1), FakeChild().exits(2), by_id={"own": own, "one": FakeChild().exits(9)}
    )

    async def code_of(id: str) -> int | None:
        return (await Process("x", id=id, clock=clock, launcher=launcher)).exit_code

    ids = ("any", "own", "any", "own", "any", "own", "one", "one")
    assert [1, 7, 2, 8, 2, 8, 9, 9] == [await code_of(id) for id in ids]
    assert [1001, 1002, 1003] == [running.pid for running in launcher.children[:3]]
    launcher.script("one", FakeChild().exits(10))
    assert 10 == await code_of("one")
    assert 3 == len(launcher.of("one"))


def fake(clock: ManualClock, script: FakeChild, **options: Any) -> tuple[Process, ScriptedLauncher]:
    """Return a Process that keeps its output, and its launcher."""
    return run_of(clock, script, buffered=True, **options)


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (FakeChild().closes("stdin").prints("a").exits(0), ["a"]),
        (FakeChild().prints("a").closes("stdout").prints("b").exits(0), ["a"]),
        (FakeChild().notifies("READY=1").prints("a").exits(0), ["a"]),
    ],
)
async def test_step_without_its_channel_changes_nothing(
    clock: ManualClock, script: FakeChild, printed: list[str]
) -> None:
    """There is no input, no open output, or nobody to notify."""
    process, _ = fake(clock, script)
    assert (printed, 0) == ((status := await clock.run(process)).stdout, status.exit_code)


async def test_merged_output_ends_when_the_left_process_is_swept(clock: ManualClock) -> None:
    """The one pipe of both streams is held open by the process that was left behind."""
    process, launcher = fake(clock, FakeChild().prints("a").leaves("helper").exits(0), merge_stderr=True)
    assert ["a"] == (await clock.run(process)).stdout
    assert launcher.children[0].swept


async def test_print_after_the_end_changes_nothing(clock: ManualClock) -> None:
    """A real program that has ended writes nothing either."""
    process, launcher = fake(clock, FakeChild().prints("a").exits(0))
    await clock.run(process)
    launcher.children[0].print("late")
    assert ["a"] == process.status().stdout


async def test_print_without_captured_output_changes_nothing(clock: ManualClock) -> None:
    """The output goes elsewhere, as with ``output="null"``."""
    process, launcher = run_of(clock, FakeChild(), output="null")
    async with process:
        launcher.children[0].print("unseen")
        assert None is process.stdout
    assert None is process.status().stdout


async def test_scripts_by_the_name_of_a_set() -> None:
    clock = ManualClock()
    one, two, other = FakeChild().exits(1), FakeChild().exits(2), FakeChild().exits(3)
    launcher = ScriptedLauncher(clock, other, by_id={"web": [one], "web.1": two, "v1.2": two})
    overseer = Overseer(clock=clock, launcher=launcher)
    overseer.add_instances("web", "serve", instances=3, restart=Restart("never"))
    overseer.add("v1.2", "x", restart=Restart("never"))
    overseer.add("lone", "x", restart=Restart("never"))
    async with overseer:
        seen = await overseer.supervise_all()
    assert {"web.0": 1, "web.1": 2, "web.2": 1, "v1.2": 2, "lone": 3} == {id: seen[id].exit_code for id in seen}
    assert ["web.0", "web.1", "web.2"] == [child.spec.id for child in launcher.of("web")]
    assert ["web.1"] == [child.spec.id for child in launcher.of("web.1")]
