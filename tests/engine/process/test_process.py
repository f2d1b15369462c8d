"""Process, verb by verb and option by option, with real children; its main lines are in test_one_run.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pathlib
import signal
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioverseer import OverseerError, Process, ProcessNotRunning, SpawnError, Spec, SpecError, State, Stop
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

SLEEPER = child("import signal; print('up'); signal.pause()")
"""Ends by any signal."""
STUBBORN = child("import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()")
"""Ignores SIGTERM."""
TRAPPER = child(
    """
    import os, signal
    def leave(*_):
        print("bye")
        os._exit(0)
    signal.signal(signal.SIGTERM, leave)
    print("up")
    while True:
        rest()
    """
)
"""Traps SIGTERM, says good-bye and exits with 0."""


async def line(process: Process) -> Any:
    """Its next line; meets the program there."""
    assert process.stdout is not None
    async with limit(10, "the next line"):
        return await process.stdout.get()


async def up(*argv: str, **options: Any) -> Process:
    """A process that has said its first line."""
    settings: dict[str, Any] = {"streaming": True, **options}
    process = Process(*argv, **settings)
    await process.start()
    assert "up" == await line(process)
    return process


# --- its description


async def test_a_new_process_has_done_nothing() -> None:
    """Construction starts nothing, needs no event loop of its own, and everything can be asked."""
    process = Process("some/where/prog", "-x", "a b")
    status = process.status()
    assert (State.INITIAL, None, None, None) == (process.state, process.pid, process.exit, process.error)
    assert ("prog", ("some/where/prog", "-x", "a b"), 0.0) == (status.id, status.argv, status.runtime)
    assert (None, None, [], []) == (status.started_at, status.stopped_at, status.stdout, status.stderr)
    assert (None, None, (), False) == (
        process.stdout,
        process.stderr,
        process.signals_sent,
        process._runner.machine.unstoppable,
    )
    assert "<Process 'prog' \"some/where/prog -x 'a b'\" initial>" == repr(process)
    process.close_stdin()
    assert State.INITIAL is (await process.stop()).state


def test_a_process_can_be_made_outside_of_an_event_loop() -> None:
    """It belongs to the loop on which it is started, not to the one on which it was made."""
    process = Process("true")
    assert asyncio.run(process.wait()).ok


async def test_a_clone_has_the_same_spec_and_a_life_of_its_own() -> None:
    """All options go along; streams and results do not."""
    first = Process(
        "cat", id="cat", stdin="x\ny", streaming=True, buffered=True, encoding=None, line_limit=99, env={"A": "b"}
    )
    assert [b"x", b"y"] == (await first).stdout
    second = first.clone()
    assert second.spec == first.spec
    assert State.INITIAL is second.state
    assert second.stdout is not first.stdout
    assert [b"x", b"y"] == (await second).stdout
    assert (await first).pid != (await second).pid


async def test_a_process_from_a_spec_keeps_its_options() -> None:
    """The defaults of a Spec hold then, not those of the constructor."""
    process = Process.from_spec(Spec(id="echo", argv=("echo", "hi")))
    assert (None, None) == ((await process).stdout, process.stdout)


async def test_a_status_is_a_frozen_snapshot() -> None:
    """The status of a live process does not change afterwards, and its final status stays."""
    process = await up(*TRAPPER, buffered=True)
    live = process.status()
    assert (State.RUNNING, process.pid, ["up"], None) == (live.state, live.pid, live.stdout, live.stopped_at)
    assert f"runs as pid {process.pid}" == live.reason
    assert (None, None, False) == (live.exit_code, live.signal, live.ok)
    assert f"running pid={process.pid}>" in repr(process)
    end = await process.stop()
    assert (State.RUNNING, ["up"]) == (live.state, live.stdout)
    assert (["up", "bye"], None) == (end.stdout, process.status(lines=False).stdout)
    assert end == process.status() == await process
    assert end.runtime >= live.runtime > 0
    assert end.runtime == process.runtime == process.runtime
    assert end.started_at is not None
    assert end.stopped_at is not None
    assert end.stopped_at >= end.started_at


# --- how it ends


async def test_a_trapped_stop_is_interrupt_with_its_exit_code() -> None:
    """The intent is kept: exit code 0 after a stop is no natural end."""
    process = await up(*TRAPPER)
    status = await process.stop()
    assert (State.INTERRUPT, 0, None) == (status.state, status.exit_code, status.signal)
    assert "a stop was asked for; exited with code 0" == status.reason
    assert (signal.SIGTERM,) == process.signals_sent


@pytest.mark.parametrize("how", ["from outside", "by signal()"])
async def test_a_death_by_a_signal_that_is_no_stop_is_interrupt(how: str) -> None:
    """The status has the signal, whoever sent it, and no step of the ladder was taken."""
    process = await up(*SLEEPER)
    assert process.pid is not None
    if how == "from outside":
        os.kill(process.pid, signal.SIGKILL)
    else:
        process.signal(signal.SIGKILL)
        assert State.RUNNING is process.state
    status = await process
    assert (State.INTERRUPT, None, signal.SIGKILL) == (status.state, status.exit_code, status.signal)
    assert "was killed by SIGKILL" == status.reason
    assert () == process.signals_sent


async def test_a_trapped_signal_that_is_no_stop_is_a_natural_end() -> None:
    """Exit code 0 after signal(SIGTERM) is FINISHED: nobody asked for a stop."""
    process = await up(*TRAPPER)
    process.signal(signal.SIGTERM)
    assert (State.FINISHED, 0) == ((status := await process).state, status.exit_code)


async def test_exit_codes_are_kept() -> None:
    """Each of them, with FINISHED."""
    ends = await asyncio.gather(*(Process("sh", "-c", f"exit {code}") for code in (0, 3, 127, 255)))
    assert [(State.FINISHED, code) for code in (0, 3, 127, 255)] == [(end.state, end.exit_code) for end in ends]


async def test_a_failed_spawn_is_fatal_for_every_caller() -> None:
    """Start raises the same error each time, wait returns it, stop and status go on working, streams end."""
    process = Process("/no/such/program", streaming=True)
    calls = await asyncio.gather(process.start(), process.start(), process.wait(), return_exceptions=True)
    error, again, status = calls
    assert isinstance(error, SpawnError)
    assert again is error is process.error
    assert process.status() == status == await process.stop()
    assert (State.FATAL, error) == (process.state, process.status().error)
    assert process.stdout is not None
    assert [] == [text async for text in process.stdout]
    with pytest.raises(SpawnError):
        async with process:
            pass


# --- the ladder


async def test_steps_of_ones_own_are_taken_in_order() -> None:
    """The program hears each one, and is gone after the one that it obeys."""
    code = """
    import os, signal
    signal.signal(signal.SIGINT, lambda *_: os.write(1, b"int\\n"))
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
    print("up")
    while True:
        rest()
    """
    ladder = Stop(steps=[(signal.SIGINT, 0.05), (signal.SIGUSR1, 5), (signal.SIGTERM, 5)])
    process = await up(*child(code), stop=ladder, buffered=True)
    status = await process.stop()
    assert (State.INTERRUPT, 7) == (status.state, status.exit_code)
    assert (signal.SIGINT, signal.SIGUSR1) == process.signals_sent
    assert ["up", "int"] == status.stdout


async def test_a_kill_ends_a_polite_stop_that_takes_long() -> None:
    """stop(kill=True) during a stop goes to the last step at once; both calls return the same end."""
    process = await up(*STUBBORN, stop=Stop(timeout=60))
    polite = asyncio.ensure_future(process.stop())
    await asyncio.sleep(0)
    assert (State.STOPPING, (signal.SIGTERM,)) == (process.state, process.signals_sent)
    assert "a stop was asked for; SIGTERM was sent" == process.status().reason
    async with limit(10, "the kill"):
        killed = await process.stop(kill=True)
    assert killed == await polite == await process.stop()
    assert (signal.SIGTERM, signal.SIGKILL) == process.signals_sent


async def test_many_stops_at_once_are_one() -> None:
    """All get the same status, and the program one SIGTERM."""
    process = await up(*TRAPPER, buffered=True)
    ends = await asyncio.gather(*(process.stop() for _ in range(5)), process.wait())
    assert [ends[0]] * 6 == ends
    assert ["up", "bye"] == ends[0].stdout


async def test_a_stubborn_program_that_is_frozen_is_killed_too() -> None:
    """SIGKILL needs no SIGCONT."""
    process = await up(*STUBBORN, stop=Stop(timeout=0.05))
    process.signal(signal.SIGSTOP)
    status = await process.stop()
    assert (signal.SIGKILL, (signal.SIGTERM, signal.SIGKILL)) == (status.signal, process.signals_sent)


@pytest.mark.parametrize("scope", ["tree", "leader"])
async def test_the_ladders_scope_selects_leader_or_tree(scope: Any) -> None:
    """With "leader" the other gets the step once the leader has ended, and with "tree" at the same time."""
    code = """
    import os, select, signal, sys
    r, w = os.pipe()
    def leave(*_):
        os.write(1, b"leader heard\\n")
        select.select([r], [], [], float(sys.argv[1]))  # the other has heard it too, or has had its time
        os.write(1, b"leader ends\\n")
        os._exit(0)
    if os.fork():
        signal.signal(signal.SIGTERM, leave)
        os.read(r, 1)
        print("up")
        while True:
            rest()
    def heard(*_):
        os.write(1, b"other heard\\n")
        os.write(w, b"x")
        os._exit(0)
    signal.signal(signal.SIGTERM, heard)
    os.write(w, b"x")
    while True:
        rest()
    """
    patience = {"tree": "10", "leader": "0.1"}[scope]
    process = await up(*child(code, patience), stop=Stop(timeout=20, scope=scope), buffered=True)
    status = await process.stop()
    assert (0, (signal.SIGTERM,)) == (status.exit_code, process.signals_sent)
    assert isinstance(status.stdout, list)
    assert {"up", "leader heard", "other heard", "leader ends"} == set(status.stdout)
    last = {"tree": "leader ends", "leader": "other heard"}[scope]
    assert last == status.stdout[-1]


async def test_a_stop_while_it_is_being_spawned_ends_it() -> None:
    """Neither lost nor too early: the program is stopped once it exists, in whichever turn the stop comes."""
    for turns in range(8):
        process = Process(*SLEEPER)
        starting = asyncio.ensure_future(process.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        if process.state is State.INITIAL:
            assert State.INITIAL is (await process.stop()).state
            await starting
        async with limit(10, f"the stop in turn {turns}"):
            status = await process.stop()
        assert (State.INTERRUPT, signal.SIGTERM) == (status.state, status.signal)
        assert process is await starting


async def test_a_stop_waits_for_a_program_that_has_just_ended_by_itself() -> None:
    """While its last output is awaited a stop changes only how the end is called."""
    # Its survivor holds the pipe, until the stop ends it.
    code = """
    import os
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(1, b"%d\\n" % os.getpid())
        os.execvpe("sleep", ["sleep", "100"], {})
    os.close(tell)
    os.read(hear, 1)
    """
    process = Process(*child(code), streaming=True, buffered=True, drain_timeout=0.3)
    await process.start()
    await line(process)
    assert process.pid is not None
    with contextlib.suppress(ProcessNotRunning):  # until its end is known
        while True:
            process.signal(signal.SIGCONT)
            await asyncio.sleep(0)
    assert State.RUNNING is process.state
    with pytest.raises(ProcessNotRunning, match="has just ended"):
        process.signal(signal.SIGTERM)
    status = await process.stop()
    assert (State.INTERRUPT, 0) == (status.state, status.exit_code)


async def test_the_ladder_goes_on_when_the_call_is_cancelled() -> None:
    """The program ends even when the caller of the stop is cancelled."""
    process = await up(*STUBBORN, stop=Stop(timeout=0.05))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.stop(), 0.001)
    assert State.STOPPING is process.state
    assert signal.SIGKILL == (await process).signal


# --- the delay, on a clock of the test


async def test_a_start_is_delayed_and_its_stop_is_at_once() -> None:
    """Nothing is launched before its time, and nothing after a stop, however often it is asked for."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(5).exits(0))
    late = Process("prog", clock=clock, launcher=launcher, delay_start=30)
    waiting = asyncio.ensure_future(late.wait())
    await clock.advance(29.9)
    assert (State.STARTING, "waits 30 s before its start", None) == (late.state, late.status().reason, late.pid)
    assert [] == launcher.children
    await clock.advance(0.1)
    assert (State.RUNNING, 1) == (late.state, len(launcher.children))
    await clock.advance(5)
    assert (State.FINISHED, 5.0) == ((status := await waiting).state, status.runtime)

    stopped = Process("prog", clock=clock, launcher=launcher, delay_start=30)
    waiting = asyncio.ensure_future(stopped.wait())
    await clock.advance(10)
    assert State.INTERRUPT is (await stopped.stop()).state
    assert (State.INTERRUPT, None, None) == ((status := await waiting).state, status.pid, status.started_at)
    assert "a stop was asked for before it was started" == status.reason
    assert await stopped.start() is stopped
    assert clock.next_timer() is None
    await clock.advance(100)
    assert 1 == len(launcher.children)


async def test_a_start_that_is_cancelled_in_its_delay_is_no_start() -> None:
    """The timer goes with it."""
    clock = ManualClock()
    process = Process("prog", clock=clock, launcher=ScriptedLauncher(clock), delay_start=30)
    starting = asyncio.ensure_future(process.start())
    await clock.advance(1)
    starting.cancel()
    await asyncio.wait([starting])
    assert (True, State.INTERRUPT, None) == (starting.cancelled(), process.state, clock.next_timer())
    assert "its start was cancelled before it was started" == process.status().reason


# --- where it runs


async def test_folder_and_environment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``env`` replaces, ``extra_env`` adds; the host's environment is read when the program starts."""
    monkeypatch.setenv("FROM_HOST", "1")
    inherited = Process("env", extra_env={"ADDED": "é"})
    monkeypatch.setenv("SET_LATER", "2")
    status = await inherited
    assert status.stdout is not None
    assert {"FROM_HOST=1", "SET_LATER=2", "ADDED=é"} <= {str(text) for text in status.stdout}
    assert "ADDED" not in os.environ
    mark = {"TEST_LEAK_MARK": os.environ["TEST_LEAK_MARK"]}
    replaced = await Process("/usr/bin/env", env={**mark, "A": "a", "B": "b"}, extra_env={"B": "c"})
    given = {str(text) for text in replaced.stdout or () if not str(text).startswith("AIOVERSEER_RUN=")}
    assert {*(f"{name}={text}" for name, text in mark.items()), "A=a", "B=c"} == given
    for cwd in (tmp_path, str(tmp_path)):
        assert [str(tmp_path)] == (await Process("pwd", cwd=cwd)).stdout


async def test_a_relative_program_is_looked_for_in_its_folder(tmp_path: pathlib.Path) -> None:
    """Also when a wrapper stands before it, and when the error is explained."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    for options in ({}, {"umask": 0o22}):
        assert ["ran"] == (await Process("./script", cwd=tmp_path, **options)).stdout  # type: ignore[arg-type]  # options by name
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(SpawnError, match="the interpreter in its first line is not"):
        await Process("./script", cwd=tmp_path).start()


# --- standard input


async def test_no_input_is_the_null_device() -> None:
    """A program that reads gets the end of the file, never the terminal of the host."""
    assert ["/dev/null"] == (await Process("readlink", "/proc/self/fd/0")).stdout
    assert (await Process("cat")).ok


async def test_inherited_input_is_that_of_the_host(tmp_path: pathlib.Path) -> None:
    """A host run with a file as its input hands it on."""
    path = tmp_path / "in"
    path.write_text("from the host\n")
    code = """
    import asyncio
    from aioverseer import Process
    print((asyncio.run(Process("cat", stdin="inherit").wait())).stdout)
    """
    root = pathlib.Path(__file__).parents[3]
    host = await Process(sys.executable, "-c", child(code)[-1], stdin=path, extra_env={"PYTHONPATH": str(root)})
    assert ["['from the host']"] == host.stdout


async def test_a_file_as_input_is_read_from_its_beginning_by_each_run(tmp_path: pathlib.Path) -> None:
    """It is opened for each run, and an empty one is no pipe that waits."""
    path = tmp_path / "in"
    path.write_text("1\n2\n")
    process = Process("cat", stdin=path)
    assert [["1", "2"]] * 2 == [(await process).stdout, (await process.clone()).stdout]


async def test_a_fifo_as_input_does_not_hold_up_the_event_loop(tmp_path: pathlib.Path) -> None:
    """Opening one that nobody writes to would block; the program gets what a writer that is there writes."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert (await Process("cat", stdin=path)).ok
    both = os.open(path, os.O_RDWR)
    try:
        process = await Process("head", "-n1", stdin=path, streaming=True, buffered=True).start()
        os.write(both, b"through\n")
        assert "through" == await line(process)
        assert (await process).ok
    finally:
        os.close(both)


async def test_text_is_fed_in_the_encoding_of_the_process() -> None:
    """As the output is read."""
    assert ["é"] == (await Process("cat", stdin="é\n", encoding="latin-1")).stdout
    assert ["2"] == (await Process("wc", "-c", stdin="é\n", encoding="latin-1")).stdout
    assert [b"\xc3\xa9"] == (await Process("cat", stdin="é", encoding=None)).stdout


async def test_input_for_a_program_that_does_not_read_is_no_error() -> None:
    """It ends, or it lives on; nothing waits for the rest of its input."""
    big = "x" * 300_000
    assert (await Process("true", stdin=big)).ok
    process = await up(*SLEEPER, stdin=big)
    assert signal.SIGTERM == (await process.stop()).signal


async def test_writing_waits_while_the_program_does_not_read_and_can_be_cancelled() -> None:
    """A full pipe holds up the writer alone; writers do not mix their bytes."""
    code = """
    import sys
    print("up")
    if sys.stdin.buffer.read(1) == b"g":
        print(len(sys.stdin.buffer.read()))
    """
    process = await up(*child(code), stdin="pipe")
    size = 1_000_000
    first = asyncio.ensure_future(process.write(b"g" * size))
    second = asyncio.ensure_future(process.write("h" * size))
    await asyncio.gather(first, second)
    process.close_stdin()
    process.close_stdin()
    assert str(2 * size - 1) == await line(process)
    assert (await process).ok

    process = await up(*SLEEPER, stdin="pipe")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.write(b"x" * size), 0.01)
    blocked = asyncio.ensure_future(process.write(b"y" * size))
    await asyncio.sleep(0)
    process.close_stdin()
    with pytest.raises(ProcessNotRunning, match="does not read"):
        await blocked
    await process.stop()


async def test_a_waiting_write_fails_when_the_program_ends() -> None:
    """Also when somebody else still holds the reading end."""
    for code in (
        "print('up'); signal.pause()",
        "os.fork() or (os.setsid(), print('up'), signal.pause()); signal.pause()",
    ):
        process = await up(*child(f"import os, signal; {code}"), stdin="pipe", drain_timeout=0.05)
        writing = asyncio.ensure_future(process.write(b"x" * 1_000_000))
        await asyncio.sleep(0)
        survivors = _session_of_others(process)
        await process.stop(kill=True)
        with pytest.raises(ProcessNotRunning):
            await writing
        for pid in survivors:
            with contextlib.suppress(ProcessLookupError):  # the sweep at its end was quicker
                os.kill(pid, signal.SIGKILL)


def _session_of_others(process: Process) -> list[int]:
    """The children of a process that left its session."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [pid for pid in map(int, file.read().split()) if os.getsid(pid) != process.pid]


async def test_writing_to_a_closed_input_is_refused() -> None:
    """A broken pipe is told as what it is; the program lives on."""
    process = await up(*child("import os, signal; os.close(0); print('up'); signal.pause()"), stdin="pipe")
    with pytest.raises(ProcessNotRunning, match="does not read its standard input any more"):
        await process.write("x")
    assert State.RUNNING is process.state
    await process.stop()


# --- output


async def test_without_buffered_and_streaming_output_goes_to_the_null_device() -> None:
    """No pipe is made, so nothing can block and nothing is kept."""
    code = "import os, sys; sys.exit({os.readlink(f'/proc/self/fd/{n}') for n in (1, 2)} != {'/dev/null'})"
    process = Process(*child(code), buffered=False)
    status = await process
    assert (True, None, None) == (status.ok, status.stdout, status.stderr)
    assert (None, None) == (process.stdout, process.stderr)


@pytest.mark.parametrize(("buffered", "streaming"), [(True, False), (False, True), (True, True)])
async def test_buffered_and_streaming_each_have_all_output(buffered: bool, streaming: bool) -> None:
    """Both streams, each complete, the unterminated last line included."""
    process = Process("sh", "-c", "echo a; echo b >&2; printf c; printf d >&2", buffered=buffered, streaming=streaming)
    status = await process
    assert ((["a", "c"], ["b", "d"]) if buffered else (None, None)) == (status.stdout, status.stderr)
    if streaming:
        assert process.stdout is not None
        assert process.stderr is not None
        assert ["a", "c"] == [text async for text in process.stdout]
        assert ["b", "d"] == [text async for text in process.stderr]


async def test_merged_output_is_in_the_order_in_which_it_was_written() -> None:
    """Every line, alternating over both streams."""
    code = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    process = Process(*child(code), merge_stderr=True, streaming=True, buffered=True)
    status = await process
    assert [str(n) for n in range(2000)] == status.stdout
    assert (None, None) == (status.stderr, process.stderr)


async def test_without_an_encoding_lines_are_bytes() -> None:
    """Nothing is lost or replaced."""
    status = await Process("printf", r"\377\000a\r\nb\rc", encoding=None)
    assert [b"\xff\x00a", b"b\rc"] == status.stdout
    assert ["\ufffd\0a", "b\rc"] == (await Process("printf", r"\377\000a\r\nb\rc")).stdout


async def test_a_long_line_arrives_in_pieces_without_loss() -> None:
    """Nothing of it is lost."""
    status = await Process(*child("print('x' * 200_000); print('tail')"), line_limit=65536)
    assert status.stdout is not None
    assert [65536, 65536, 65536, 200_000 - 3 * 65536, 4] == [len(text) for text in status.stdout]


# --- use at the wrong time or place


async def test_after_the_end_there_is_nothing_to_signal_or_to_write_to() -> None:
    """The error is a ProcessLookupError too, names the program and says how it ended."""
    process = Process("sh", "-c", "exit 3", id="web", stdin="pipe")
    with pytest.raises(ProcessNotRunning, match="'web' is not running: it is initial"):
        process.signal(signal.SIGTERM)
    await process
    with pytest.raises(ProcessLookupError, match="'web' is not running: it is finished, exited with code 3"):
        process.signal(signal.SIGTERM)
    with pytest.raises(ProcessNotRunning):
        await process.write("x")
    process.close_stdin()


async def test_an_invalid_signal_is_refused() -> None:
    """Number and scope are checked before anything is sent."""
    process = await up(*SLEEPER)
    for number in (0, -9, 65, "TERM", True):
        with pytest.raises(SpecError, match="is no signal"):
            process.signal(number)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(SpecError, match="scope='all'"):
        process.signal(signal.SIGTERM, scope="all")  # type: ignore[arg-type]  # that is the point
    assert State.RUNNING is process.state
    await process.stop()


@pytest.mark.parametrize("verb", ["start", "wait", "stop", "write"])
async def test_another_event_loop_is_refused_at_once(verb: str) -> None:
    """Every verb that could wait there for ever says where the process belongs."""
    process = await up(*SLEEPER, stdin="pipe")

    async def use() -> None:
        call = process.write("x") if verb == "write" else getattr(process, verb)()
        async with asyncio.timeout(5):
            await call

    def elsewhere() -> None:
        with pytest.raises(OverseerError, match="belongs to another event loop"):
            asyncio.run(use())

    await asyncio.to_thread(elsewhere)
    assert State.RUNNING is process.state
    await process.stop()
    await asyncio.get_running_loop().shutdown_default_executor()


# --- as a block


async def test_a_block_starts_and_stops_and_lets_errors_through() -> None:
    """The program lives for the length of the block."""
    async with Process(*SLEEPER) as process:
        assert State.RUNNING is process.state
    assert (State.INTERRUPT, "its block has ended; was killed by SIGTERM") == (process.state, process.status().reason)
    other = Process(*SLEEPER)
    with pytest.raises(ZeroDivisionError):
        async with other:
            _ = 1 / 0
    assert State.INTERRUPT is other.state


async def test_a_block_around_a_program_that_ends_by_itself_keeps_its_end() -> None:
    """Leaving stops nothing then."""
    async with Process("sh", "-c", "exit 3") as process:
        await process
    assert (State.FINISHED, 3) == (process.state, process.status().exit_code)


async def test_a_cancelled_wait_stops_only_what_it_started() -> None:
    """A cancelled wait that started the program stops it; another one does not."""
    process = await up(*TRAPPER)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.001)
    assert State.RUNNING is process.state
    await process.stop()

    own = Process(*TRAPPER, streaming=True)
    waiting = asyncio.ensure_future(own.wait())
    assert "up" == await line(own)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (True, State.INTERRUPT, 0) == (waiting.cancelled(), own.state, own.status().exit_code)
    assert "the wait for it was cancelled; exited with code 0" == own.status().reason


def test_an_equal_spec_is_not_checked_again() -> None:
    """A Spec never changes, so those of the same command are the same; what cannot be compared is made anew."""
    assert Process("true", buffered=False).spec is Process("true", buffered=False).spec
    assert Process("true").spec is not Process("true", buffered=False).spec
    assert "a" == Process("true", id="a").spec.id
    one, other = Process("true", extra_env={"A": "1"}).spec, Process("true", extra_env={"A": "2"}).spec
    assert ({"A": "1"}, {"A": "2"}) == (one.extra_env, other.extra_env)


def test_arguments_of_a_process_are_freed_with_it() -> None:
    """An open file, a function, a text to feed, or a long command line is held by nobody once the Process is gone."""

    class Opened:
        def fileno(self) -> int:
            return 0

    async def feed() -> AsyncIterator[str]:
        yield "a"

    given: list[Any] = [Opened(), feed]
    held = [weakref.ref(each) for each in given]
    while given:
        Process("cat", stdin=given.pop())
    del feed
    text = "a" * 10_000
    before = sys.getrefcount(text)
    Process("cat", stdin=text)
    Process("sh", "-c", text)
    gc.collect()
    assert [None, None] == [each() for each in held]
    assert before == sys.getrefcount(text)


def test_mutable_options_are_described_anew() -> None:
    """A path is asked each time, and a view shows what it shows now."""

    class Current:
        path = "/bin"

        def __fspath__(self) -> str:
            return self.path

    path, groups = Current(), {"a": 1}
    numbers = groups.values()
    for name, group in ("/usr", 2), ("/tmp", 3):
        Process(path, cwd=path, extra_groups=numbers)
        path.path, groups["a"] = name, group
        spec = Process(path, cwd=path, extra_groups=numbers).spec
        assert ((name,), name, (group,)) == (spec.argv, spec.cwd, spec.extra_groups)


def test_invalid_options_are_refused_each_time() -> None:
    """Also where it equals what was taken before: True is 1. Its error is told alone."""
    assert 1 == Process("true", queue_size=1).spec.queue_size
    assert (80, 24) == Process("true", window_size=(80, 24)).spec.window_size
    with pytest.raises(SpecError, match="window_size="):
        Process("true", window_size=(80.0, 24.0))  # type: ignore[arg-type]  # refused
    with pytest.raises(SpecError, match=r"id=\[\]"):
        Process("true", id=[])  # type: ignore[arg-type]  # refused
    with pytest.raises(SpecError, match="env") as refused:
        Process("true", env={"A": 1})  # type: ignore[dict-item]  # refused
    assert refused.value.__context__ is None
    for _ in range(2):
        with pytest.raises(SpecError, match="queue_size=True"):
            Process("true", queue_size=True)
        with pytest.raises(SpecError, match="there is no option 'colour'"):
            Process("true", colour=1)  # type: ignore[call-arg]  # refused
        with pytest.raises(SpecError, match="group="):
            Process("true", group="web")
