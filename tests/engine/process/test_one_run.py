"""Process: one run of a real program, from INITIAL to its end."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from aioverseer import (
    Exit,
    OverseerError,
    Process,
    ProcessFailed,
    ProcessNotRunning,
    SpecError,
    State,
    Stop,
    StopFailed,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit

STUBBORN = child("import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(100)")
"""Ignores SIGTERM."""
POLITE = child(
    """
    import signal, sys, time
    signal.signal(15, lambda *_: sys.exit(0))
    print("up")
    time.sleep(100)
    """
)
"""Traps SIGTERM and exits with 0."""


async def started(*argv: str, **options: Any) -> Process:
    """A process that has said its first line."""
    process = Process(*argv, streaming=True, **options)
    await process.start()
    assert process.stdout is not None
    assert "up" == await process.stdout.get()
    return process


@pytest.mark.parametrize(
    ("code", "state", "exit_code", "number", "ok"),
    [
        ("pass", State.FINISHED, 0, None, True),
        ("raise SystemExit(3)", State.FINISHED, 3, None, False),
        ("import os; os.kill(os.getpid(), 9)", State.INTERRUPT, None, signal.SIGKILL, False),
    ],
)
async def test_the_final_state_says_how_it_ended(
    code: str, state: State, exit_code: int | None, number: int | None, ok: bool
) -> None:
    """A code, zero or not, is FINISHED; a signal is INTERRUPT; never both."""
    status = await Process(*child(code))
    assert (state, exit_code, number, ok) == (status.state, status.exit_code, status.signal, status.ok)
    assert status.started_at is not None
    assert status.stopped_at is not None
    assert status.started_at <= status.stopped_at
    assert status.runtime > 0
    if not ok:
        with pytest.raises(ProcessFailed, match=str(status.reason)):
            status.check()


async def test_starting_and_waiting_are_idempotent() -> None:
    """Any number of calls, at once or later, are one run with one end."""
    process = Process("sh", "-c", "read line", stdin="pipe")
    assert (State.INITIAL, None) == (process.state, process.pid)
    assert process is await process.start() is await process.start()
    pid = process.pid
    waits = [asyncio.ensure_future(process.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    process.close_stdin()
    ends = [await wait for wait in waits]
    assert [pid] * 3 == [end.pid for end in ends]
    assert ends[0] == await process == await process.wait()
    assert process is await process.start()
    again = await process.clone().start()
    assert pid != again.pid
    await again.stop()


@pytest.mark.parametrize("kill", [False, True])
async def test_a_stop_is_interrupt_whatever_the_exit(kill: bool) -> None:
    """The program obeys with exit code 0, or is killed."""
    process = await started(*POLITE)
    status = await process.stop(kill=kill)
    expected = (None, signal.SIGKILL) if kill else (0, None)
    assert (State.INTERRUPT, *expected) == (status.state, status.exit_code, status.signal)
    assert status == await process.stop()


async def test_the_ladder_goes_on_until_the_end_and_two_stops_are_one() -> None:
    """Each step is sent once, the last one ends what ignores the others."""
    ladder = Stop(steps=[(signal.SIGTERM, 0.05), (signal.SIGWINCH, 0.05)])
    process = await started(*STUBBORN, stop=ladder)
    first, second = await asyncio.gather(process.stop(), process.stop())
    assert first == second
    assert (signal.SIGTERM, signal.SIGWINCH, signal.SIGKILL) == process.signals_sent
    assert signal.SIGKILL == first.signal


async def test_a_program_that_is_stopped_by_sigstop_obeys_all_the_same() -> None:
    """SIGCONT goes along with the polite step."""
    process = await started(*POLITE)
    process.signal(signal.SIGSTOP)
    status = await process.stop()
    assert ((signal.SIGTERM,), 0) == (process.signals_sent, status.exit_code)


async def test_signals_reach_the_group_or_the_leader_alone() -> None:
    """Both hear a signal to the tree; with scope leader only the program itself."""
    code = """
    import os, signal
    who = "leader" if os.fork() else "other"
    signal.signal(signal.SIGUSR1, lambda *_: os.write(1, f"{who} 1\\n".encode()))
    signal.signal(signal.SIGUSR2, lambda *_: os.write(1, f"{who} 2\\n".encode()))
    os.write(1, b"up\\n")
    while True:
        rest()
    """
    process = await started(*child(code))
    assert process.stdout is not None
    assert "up" == await process.stdout.get()
    process.signal(signal.SIGUSR1)
    assert {"leader 1", "other 1"} == {await process.stdout.get(), await process.stdout.get()}
    process.signal(signal.SIGUSR2, scope="leader")
    assert "leader 2" == await process.stdout.get()
    await process.stop()
    assert [] == [line async for line in process.stdout]
    for ended in (process, Process("true")):
        with pytest.raises(ProcessNotRunning):
            ended.signal(signal.SIGUSR1)


async def test_standard_input_in_every_way(tmp_path: pathlib.Path) -> None:
    """The null device, text, bytes, a file, and a pipe to write to."""
    path = tmp_path / "in"
    path.write_text("a file")
    for stdin, expected in ((None, []), ("text é", ["text é"]), (b"bytes", ["bytes"]), (path, ["a file"])):
        assert expected == (await Process("cat", stdin=stdin)).stdout
    cat = await Process("cat", stdin="pipe").start()
    await cat.write("one\n")
    await cat.write(b"two")
    cat.close_stdin()
    assert ["one", "two"] == (await cat).stdout
    with pytest.raises(ProcessNotRunning):
        await cat.write("x")
    with pytest.raises(SpecError, match='stdin="pipe"'):
        await Process("cat").write("x")
    big = b"x" * 1_000_000
    assert (await Process("sh", "-c", "exec <&-; exit 0", stdin=big)).ok
    assert ["1000000"] == (await Process("wc", "-c", stdin=big)).stdout


async def test_output_in_every_way(tmp_path: pathlib.Path) -> None:
    """Kept, merged in order, as bytes, or thrown away."""
    code = ("sh", "-c", "echo out; echo err >&2; printf last")
    assert (["out", "last"], ["err"]) == ((await Process(*code)).stdout, (await Process(*code)).stderr)
    merged = await Process(*code, merge_stderr=True)
    assert (["out", "err", "last"], None) == (merged.stdout, merged.stderr)
    assert [b"out", b"last"] == (await Process(*code, encoding=None)).stdout
    nothing = Process("readlink", "/proc/self/fd/1", buffered=False)
    assert (None, None) == ((await nothing).stdout, nothing.stdout)
    where = await Process("pwd", cwd=tmp_path)
    assert [str(tmp_path)] == where.stdout
    assert ["b"] == (await Process("sh", "-c", "echo $A", env={"A": "a", "PATH": "/bin"}, extra_env={"A": "b"})).stdout


async def test_a_writer_waits_for_a_slow_reader_and_memory_stays_bounded() -> None:
    """The queue holds its size and one chunk; every line comes, in order."""
    process = Process("seq", "200000", streaming=True, buffered=False, queue_size=100)
    await process.start()
    assert process.stdout is not None
    most = 0
    expected = 0
    async for line in process.stdout:
        expected += 1
        assert str(expected) == line
        most = max(most, process.stdout.qsize())
    assert 200000 == expected
    assert (await process).ok
    assert most <= 100 + 2 * 65536 // 2


async def test_delay_and_a_stop_during_it_on_the_manual_clock() -> None:
    """Nothing is launched before its time, nor after a stop."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().exits(0))
    late = Process("any", clock=clock, launcher=launcher, delay_start=60)
    start = asyncio.ensure_future(late.start())
    await clock.advance(59)
    assert (State.STARTING, 0) == (late.state, len(launcher.children))
    await clock.advance(1)
    assert late is await start
    assert 1 == len(launcher.children)
    never = Process("any", clock=clock, launcher=launcher, delay_start=60)
    start = asyncio.ensure_future(never.start())
    await clock.settle()
    assert State.INTERRUPT == (await never.stop()).state
    assert never is await start
    await clock.advance(3600)
    assert 1 == len(launcher.children)


async def test_an_unstoppable_program_is_reported() -> None:
    """After SIGKILL has had its time, stop raises, and a later end is still seen."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM, signal.SIGKILL))
    process = Process("any", clock=clock, launcher=launcher)
    await process.start()
    stop = asyncio.ensure_future(process.stop())
    await clock.advance(12)
    with pytest.raises(StopFailed, match="still there 2 s after SIGKILL"):
        await stop
    assert State.STOPPING is process.state
    launcher.children[0].end(Exit(signal=signal.SIGKILL))
    await clock.settle()  # until then it may be waited for in vain
    assert State.INTERRUPT is (await process).state


async def test_a_block_stops_its_process_however_it_is_left() -> None:
    """Normally, by an error, by a cancellation."""
    async with await started(*STUBBORN, stop=Stop(timeout=0.05)) as process:
        pass
    assert State.INTERRUPT is process.state
    with contextlib.suppress(ZeroDivisionError):
        async with Process("sleep", "100") as process:
            _ = 1 / 0
    assert State.INTERRUPT is process.state
    with anyio.move_on_after(0):
        async with Process("sleep", "100") as process:
            await anyio.sleep_forever()
    assert process.state in (State.INTERRUPT, State.INITIAL)


async def start(process: Process) -> None:
    """Begin a run."""
    await process.start()


async def wait(process: Process) -> None:
    """Run to the end."""
    await process


async def block(process: Process) -> None:
    """Run for the length of a block."""
    async with process:
        await asyncio.sleep(100)


@pytest.mark.parametrize("how", ["native", "twice", "anyio", "timeout"])
@pytest.mark.parametrize("call", [start, wait, block])
async def test_cancelled_at_any_iteration_no_child_is_left(
    call: Callable[[Process], Coroutine[Any, Any, None]], how: str
) -> None:
    """Everything begun is rolled back before the cancellation continues; the state is valid."""
    for iterations in range(14):
        process = Process("sh", "-c", "sleep 100 & sleep 100", stop=Stop(timeout=5))
        task = asyncio.create_task(cancelled_in(call, process, how))
        for _ in range(iterations):
            await asyncio.sleep(0)
        if how in ("native", "twice"):
            task.cancel()
            if how == "twice":
                await asyncio.sleep(0)
                task.cancel()
        async with limit(10, f"the end of the call cancelled in iteration {iterations}"):
            await asyncio.wait([task])
        if not process.state.is_final and process.state is not State.INITIAL:
            # The call had come to its end before: what it has started is its caller's.
            assert (start, State.RUNNING, False) == (call, process.state, task.cancelled())
            await process.stop(kill=True)


async def cancelled_in(call: Callable[[Process], Coroutine[Any, Any, None]], process: Process, how: str) -> None:
    """Make the call inside of what cancels it."""
    if how == "anyio":
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await call(process)
    elif how == "timeout":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await call(process)
    else:
        await call(process)


@pytest.mark.parametrize("moment", ["while it runs", "while it is spawned"])
async def test_a_loop_that_is_closed_leaves_no_child(moment: str) -> None:
    """asyncio.run cancels all tasks at its end: the program is killed, reaped, and the host ends soon.

    In the turn of the spawn itself only asyncio knows the pid, and it kills the leader alone.
    """
    code = f"""
    import asyncio
    from aioverseer import Process
    async def main():
        process = Process({'"sh", "-c", "sleep 100 & sleep 100"' if moment == "while it runs" else '"sleep", "100"'})
        starting = asyncio.ensure_future(process.start())
        if {moment == "while it runs"}:
            await starting
        else:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    asyncio.run(main())
    """
    root = str(pathlib.Path(__file__).parents[3])
    argv = (sys.executable, *(word for word in child(code)[1:] if word not in ("-I", "-S")))
    async with limit(10, "the end of the host"):
        status = await Process(*argv, extra_env={"PYTHONPATH": root})
    assert (True, []) == (status.ok, status.stderr)


async def test_another_loop_is_refused() -> None:
    """A process belongs to the loop on which it was started."""
    process = await Process("sleep", "100").start()

    def elsewhere() -> str:
        with pytest.raises(OverseerError, match="another event loop") as caught:
            asyncio.run(process.stop())
        return str(caught.value)

    assert "sleep" in await asyncio.to_thread(elsewhere)
    await process.stop()


async def test_descriptions_are_refused_when_they_are_made() -> None:
    """Before anything is started, with the name of the option."""
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((), {}, "argv"),
        (("true", 5), {}, "argv\\[1\\]=5"),
        (("a\0b",), {}, "NUL"),
        (("true",), {"cwd": 5}, "cwd=5"),
        (("true",), {"bufferd": True}, "did you mean 'buffered'"),
    ]
    for argv, options, words in cases:
        with pytest.raises(SpecError, match=words):
            Process(*argv, **options)
