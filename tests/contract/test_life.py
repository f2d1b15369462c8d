"""The contract of the seam: start, signals and end of a child are the same, real or scripted."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from aioverseer import Exit, ProcessNotRunning, SpawnError, Spec, State, Stop
from tests.contract.bench import BEHAVIOURS, Bench, Ear
from tests.support.programs import limit

# --- the start


async def test_a_program_that_cannot_be_started_is_a_spawn_error(bench: Bench) -> None:
    """With the errno of the system and the name of the program; a second one is another error."""
    for _ in range(2):
        with pytest.raises(SpawnError) as caught:
            await bench.launch("is not there")
        assert (2, "no-such-program") == (caught.value.errno, caught.value.filename)
    assert () == await bench.launcher.close()


async def test_each_child_has_a_number_of_its_own(bench: Bench) -> None:
    """Above 1, and another one than the host's."""
    pids = [(await bench.launch(name)).pid for name in ("sleeps", "exits with 3", "sleeps")]
    assert 3 == len(set(pids) - {os.getpid()})
    assert min(pids) > 1


@pytest.mark.parametrize("turns", range(6))
async def test_a_launch_that_is_cancelled_gives_the_child_or_leaves_nothing(bench: Bench, turns: int) -> None:
    """At whatever turn of the loop."""
    spec = Spec(id="sleeps", argv=BEHAVIOURS["sleeps"].argv)
    launching = asyncio.ensure_future(bench.launcher.launch(spec, capture=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    launching.cancel()
    async with limit(10, "the launch"):
        await asyncio.wait([launching])
    if launching.cancelled():
        # tests/conftest.py looks for what is left of a real one.
        assert [] == getattr(bench.launcher, "children", [])
    else:
        running = launching.result()
        running.signal(signal.SIGKILL)
        assert Exit(signal=signal.SIGKILL) == await running.wait()
        running.close()


# --- the end


@pytest.mark.parametrize(
    ("name", "expected"),
    [("exits with 3", Exit(code=3)), ("dies", Exit(signal=signal.SIGKILL)), ("speaks", Exit(code=1))],
)
async def test_the_end_is_a_code_or_a_signal(bench: Bench, name: str, expected: Exit) -> None:
    """The same for everybody who waits, before and after the end, whatever its pipes do."""
    running = await bench.launch(name)
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


async def test_closing_and_sweeping_may_come_twice(bench: Bench) -> None:
    """Neither raises for what is gone."""
    running = await bench.launch("exits with 3")
    await running.wait()
    for _ in range(2):
        running.sweep()
        assert () == await running.sweep_all()
        running.close()
    assert Exit(code=3) == await running.wait()


# --- signals


async def test_after_the_end_there_is_nobody_to_signal(bench: Bench) -> None:
    """ProcessLookupError, for the leader and the group, before and after its descriptors were released."""
    running = await bench.launch("exits with 3")
    await running.wait()
    for _ in range(2):
        for leader_only in (False, True):
            with pytest.raises(ProcessLookupError):
                running.signal(signal.SIGTERM, leader_only=leader_only)
        running.close()


@pytest.mark.parametrize("leader_only", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGRTMIN, signal.SIGKILL])
async def test_a_signal_ends_a_program_without_handler(bench: Bench, number: int, leader_only: bool) -> None:
    """Real-time signals too."""
    running = await bench.launch("sleeps")
    await Ear(running.stdout).hear(b"up\n")
    running.signal(number, leader_only=leader_only)
    assert Exit(signal=number) == await running.wait()


async def test_sigkill_ends_a_program_that_ignores_other_signals(bench: Bench) -> None:
    """SIGCONT, SIGWINCH and their like are harmless to both."""
    running = await bench.launch("ignores")
    await Ear(running.stdout).hear(b"up\n")
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG):
        running.signal(number)
        running.signal(number, leader_only=True)
    running.signal(signal.SIGKILL)
    assert Exit(signal=signal.SIGKILL) == await running.wait()


async def test_a_handler_can_end_it_in_its_own_way(bench: Bench) -> None:
    """With last words and a code."""
    running = await bench.launch("ends on SIGTERM")
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    running.signal(signal.SIGTERM)
    assert Exit(code=7) == await running.wait()
    assert b"up\nbye\n" == await ear.hear_end()


async def test_a_handler_can_let_it_live(bench: Bench) -> None:
    """Each time."""
    running = await bench.launch("reloads on SIGHUP")
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    for times in (1, 2):
        running.signal(signal.SIGHUP)
        await ear.until(lambda times=times: ear.data.count(b"reloaded\n") == times)  # type: ignore[misc]  # of this round
    running.signal(signal.SIGTERM)
    assert Exit(signal=signal.SIGTERM) == await running.wait()


@pytest.mark.parametrize("name", ["sleeps", "ends on SIGTERM"])
async def test_a_stopped_program_handles_nothing_until_it_is_continued(bench: Bench, name: str) -> None:
    """So a ladder sends SIGCONT after each step."""
    running = await bench.launch(name)
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    running.signal(signal.SIGSTOP)
    bench.see_stopped(running)
    running.signal(signal.SIGTERM)
    waiting = asyncio.ensure_future(running.wait())
    await asyncio.wait([waiting], timeout=0.05)  # the only way to see that nothing happens
    assert not waiting.done()
    running.signal(signal.SIGCONT)
    assert {"sleeps": Exit(signal=signal.SIGTERM), "ends on SIGTERM": Exit(code=7)}[name] == await waiting


async def test_a_stopped_program_can_be_killed(bench: Bench) -> None:
    """SIGKILL needs no SIGCONT."""
    running = await bench.launch("ignores")
    await Ear(running.stdout).hear(b"up\n")
    running.signal(signal.SIGSTOP)
    bench.see_stopped(running)
    running.signal(signal.SIGKILL)
    assert Exit(signal=signal.SIGKILL) == await running.wait()


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
    status = await bench.play(process.stop())
    assert signal.SIGKILL == status.signal
    assert (signal.SIGTERM, signal.SIGKILL) == process.signals_sent
    with pytest.raises(ProcessNotRunning):
        process.signal(signal.SIGTERM)
