"""The contract of the seam: what a child leaves behind is found and ended the same, real or scripted."""

from __future__ import annotations

import signal

import pytest

from aioverseer import Exit
from tests.contract.bench import Bench, Ear


async def test_survivors_in_the_group_hold_the_output_until_the_sweep(bench: Bench) -> None:
    """The end of the leader is told before."""
    running = await bench.launch("leaves one in its group")
    ear = Ear(running.stdout)
    assert Exit(code=3) == await running.wait()
    assert 0 == ear.ends
    running.sweep()
    assert b"" == await ear.hear_end()


@pytest.mark.parametrize("leader_only", [False, True])
async def test_a_signal_reaches_the_group_or_the_leader_alone(bench: Bench, leader_only: bool) -> None:
    """A survivor that the signal did not reach still holds the output."""
    running = await bench.launch("has one beside it")
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    running.signal(signal.SIGTERM, leader_only=leader_only)
    assert Exit(signal=signal.SIGTERM) == await running.wait()
    if leader_only:
        assert 0 == ear.ends
        running.sweep()
    await ear.hear_end()


async def test_a_daemon_is_found_by_a_full_sweep(bench: Bench) -> None:
    """Not by that of its group; once it is ended there is nothing to find."""
    running = await bench.launch("leaves a daemon")
    assert Exit(code=0) == await running.wait()
    running.sweep()
    assert running.may_have_left()
    assert () == running.left()
    assert () == await running.sweep_all()
    assert not running.may_have_left()


@pytest.mark.parametrize("verb", ["sweep", "close"])
async def test_the_launcher_finds_it_too(bench: Bench, verb: str) -> None:
    """When it is asked to sweep, and when it is closed."""
    running = await bench.launch("leaves a daemon")
    await running.wait()
    running.sweep()
    assert () == await getattr(bench.launcher, verb)()
    assert not running.may_have_left()


async def test_kept_survivors_are_reported_and_not_swept(bench: Bench) -> None:
    """No sweep of others ends it."""
    running = await bench.launch("leaves one in its group", leftovers="report")
    await running.wait()
    (survivor,) = running.left()
    assert survivor.pid not in (1, running.pid)
    assert () == await bench.launcher.sweep()
    assert (survivor.pid,) == tuple(one.pid for one in running.left())
    running.sweep()


async def test_while_it_runs_nothing_of_it_is_swept(bench: Bench) -> None:
    """Neither by the launcher nor by the sweep of another child."""
    running = await bench.launch("has one beside it")
    ear = Ear(running.stdout)
    await ear.hear(b"up\n")
    other = await bench.launch("leaves a daemon")
    await other.wait()
    other.sweep()
    assert () == await other.sweep_all()
    assert () == await bench.launcher.sweep()
    running.signal(signal.SIGTERM, leader_only=True)
    await running.wait()
    assert 0 == ear.ends
    running.sweep()
    await ear.hear_end()


async def test_a_process_reports_its_survivors(bench: Bench) -> None:
    """Where it is to be reported, and only there."""
    process = bench.process("leaves a daemon", leftovers="report")
    await bench.play(process.wait())
    (survivor,) = process.survivors
    assert survivor.pid > 1
    if bench.kind == "real":
        import os

        os.kill(survivor.pid, signal.SIGKILL)
    process = bench.process("leaves a daemon")
    await bench.play(process.wait())
    assert () == process.survivors
