"""Somebody else in the host reaps a child: its exit is the true one or told to be lost, never one that it had not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import suppress

import pytest

from aioverseer import Exit, Overseer, Process, Restart, State, Status
from aioverseer._system.process import exit_status, spawn_pidfd
from aioverseer._system.process.spawn import VARIABLE
from aioverseer.core.options.restart import wants_restart
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


@pytest.fixture(name="ignored")
def ignored_fixture() -> Generator[None]:
    """SIGCHLD is ignored: the kernel reaps every child at once."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.fixture(name="old_kernel", params=[False, True], ids=["this kernel", "a kernel without memory"])
def old_kernel_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the status of a reaped child is forgotten, as before Linux 6.15."""
    if request.param:
        for module in (exit_status, spawn_pidfd):
            monkeypatch.setattr(module, "kept_exit", lambda _pidfd: None)
    return bool(request.param)


CASES = [("exit 3", 3, None), ("exit 0", 0, None), ("exit 255", 255, None), ("kill -9 $$", None, signal.SIGKILL)]


def is_true_or_lost(status: Status, code: int | None, number: int | None) -> None:
    """The exit is what it was, or neither code nor signal."""
    assert (status.exit_code, status.signal) in ((code, number), (None, None))
    if status.exit_code is None and status.signal is None:
        assert "lost" in status.reason
        assert not status.ok


@pytest.mark.parametrize(("script", "code", "number"), CASES)
async def test_ignored_sigchld(
    script: str, code: int | None, number: int | None, ignored: None, old_kernel: bool
) -> None:
    """The true exit from the kernel's memory, else lost."""
    async with limit():
        # It lives long enough for a pidfd to be opened.
        status = await Process("sh", "-c", f"read line; {script}", stdin="go\n")
    is_true_or_lost(status, code, number)
    if old_kernel:
        assert (None, None) == (status.exit_code, status.signal)


@pytest.mark.parametrize(("script", "code", "number"), CASES)
async def test_waitpid_of_somebody_else(script: str, code: int | None, number: int | None, old_kernel: bool) -> None:
    """In the same iteration in which it ends, so that asyncio comes too late where it has no thread for it."""
    if old_kernel and os.environ.get(VARIABLE) == "asyncio":
        pytest.skip("before Linux 6.15, nothing but a line in asyncio's log tells a lost status from an exit code 255")
    async with limit():
        process = await Process("sh", "-c", f"read line; {script}", stdin="pipe").start()
        assert process.pid is not None
        assert process._runner.run_task.child is not None
        assert process._runner.run_task.child.stdin is not None
        await process.write("go\n")
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
        status = await process.wait()
    is_true_or_lost(status, code, number)


async def test_exit_code_255_of_its_own_is_told(old_kernel: bool) -> None:
    """As that of ssh: nobody else has reaped it."""
    async with limit():
        statuses = await asyncio.gather(*(Process("sh", "-c", "exit 255") for _ in range(5)))
    assert {255} == {status.exit_code for status in statuses}


async def test_lost_status_is_judged_as_a_failure() -> None:
    """It may have failed, and nobody knows: on-failure starts it again, and its budget bounds that."""
    assert wants_restart(Restart("on-failure"), Exit())
    clock = ManualClock()
    lost = FakeChild().ends(Exit())
    async with limit(), Overseer(clock=clock, launcher=ScriptedLauncher(clock, lost)) as overseer:
        overseer.add("lost", "program", restart=Restart(max_restarts=2, within=None))
        supervising = asyncio.ensure_future(overseer.supervise("lost"))
        await clock.advance(100)
        status = await supervising
    assert (State.FATAL, 2, None, None) == (status.state, status.restarts, status.exit_code, status.signal)
