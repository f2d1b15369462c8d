"""The guardian: shared, armed before the first start, replaced when it is killed, gone after the last overseer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import Overseer, State
from aioverseer._system.containment.guardian import client as module
from aioverseer._system.containment.guardian import main as guardian_main
from aioverseer._system.containment.guardian.child_table import ENTRY, ChildTable, boot_time
from aioverseer._system.containment.guardian.client import Guardian, GuardianLease, guardian
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

STAY = child("import signal; print('up', flush=True); signal.pause()")


@pytest.fixture(autouse=True)
def _fresh_guardian() -> Iterator[None]:
    """Keep a failure in one test from the next one."""
    yield
    assert guardian().pid is None
    guardian().failure = None


async def test_guardian_is_armed_before_the_first_program() -> None:
    """The first launch starts it, not the entering. It is gone after leaving."""
    async with limit(), Overseer() as overseer:
        service = overseer.add("web", *STAY)
        armed: list[bool] = []
        spawn = asyncio.create_subprocess_exec

        async def watched(*words: str, **options: object) -> asyncio.subprocess.Process:
            armed.append(guardian().armed)
            return await spawn(*words, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # handed on as they are

        assert guardian().pid is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "create_subprocess_exec", watched)
            await service.start()
        assert [True] == armed
        assert "guarded" == overseer.containment.level
    assert guardian().pid is None


async def test_two_overseers_share_one_guardian() -> None:
    """It stays for the second when the first has ended, and is gone after both."""
    async with limit(), Overseer() as first:
        await first.add("a", *STAY).start()
        pid = guardian().pid
        assert pid is not None
        async with Overseer() as second:
            await second.add("b", *STAY).start()
            assert pid == guardian().pid
        assert pid == guardian().pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_event_loops_share_the_acknowledgement() -> None:
    """The loop that does not read it is woken too: the start must not take until its time limit."""
    first, second = GuardianLease(lambda: None), GuardianLease(lambda: None)
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        waiting = one.create_task(first.arm())
        one.run_until_complete(asyncio.sleep(0))
        assert not waiting.done()
        other.run_until_complete(second.arm())
        one.run_until_complete(asyncio.wait_for(waiting, 5))
        assert (True, True) == (first.armed, second.armed)
    finally:
        one.run_until_complete(first.close())
        other.run_until_complete(second.close())
        one.close()
        other.close()


async def test_level_basic_has_no_guardian() -> None:
    """Nothing is started that was not asked for."""
    async with limit(), Overseer(containment="basic") as overseer:
        await overseer.add("a", *STAY).start()
        assert guardian().pid is None


async def test_killed_guardian_is_replaced_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two overseers see its end, and start one new guardian for the programs that run already."""
    async with limit(), Overseer() as first, Overseer() as second:
        await first.add("a", *STAY).start()
        await second.add("b", *STAY).start()
        old = guardian().pid
        assert old is not None
        os.kill(old, signal.SIGKILL)
        while guardian().pid == old or not guardian().armed:  # the loop must see the end of the guardian
            await asyncio.sleep(0)
        await first.add("c", *STAY).start()
        warnings = [record for record in caplog.records if "guardian was killed" in record.message]
        assert 1 == len(warnings)
        assert ("guarded", State.RUNNING) == (first.containment.level, first["a"].state)
        assert old != guardian().pid


async def test_guardian_that_fails_is_not_restarted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It has ended by itself, as the next one would. Each overseer lowers its level."""
    program = tmp_path / "boot.py"
    program.write_bytes(Path(module._PROGRAM).read_bytes())
    (tmp_path / "main.py").write_text("raise ImportError('half of it is missing')\n")
    monkeypatch.setattr(module, "_PROGRAM", str(program))
    started: list[Guardian] = []
    start = Guardian._start

    def counted(guardian: Guardian) -> None:
        started.append(guardian)
        start(guardian)

    monkeypatch.setattr(Guardian, "_start", counted)
    async with limit(), Overseer() as first, Overseer() as second:
        await first.add("a", *STAY).start()
        await second.add("b", *STAY).start()
        while "guarded" in (first.containment.level, second.containment.level):
            assert 2 >= len(started)
            await asyncio.sleep(0)
        assert "ended by itself" in first.containment.reason
        assert (State.RUNNING, State.RUNNING) == (first["a"].state, second["b"].state)
        await first.add("c", *STAY).start()
    assert 2 >= len(started)
    assert not [record for record in caplog.records if "was killed" in record.message]


async def test_guardian_that_cannot_start_lowers_the_level(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once, with the consequence. Programs are started all the same."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with caplog.at_level(logging.WARNING, "aioverseer"):
        async with limit(), Overseer() as overseer:
            levels = [overseer.containment.level]
            await overseer.add("a", "sleep", "60").start()
            await overseer.add("b", "sleep", "60").start()
            levels.append(overseer.containment.level)
            assert ["guarded", "basic"] == levels
            assert "could not be started" in overseer.containment.reason
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 == len(warnings)
    assert "its programs live on" in warnings[0]


async def test_guardian_is_tried_again_after_a_temporary_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A final failure is reported once. A temporary one is reported by each overseer that meets it."""

    def full(_self: Guardian) -> None:
        raise BlockingIOError(errno.EAGAIN, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(Guardian, "_start", full)
        async with limit(), Overseer() as overseer:
            await overseer.add("a", "sleep", "60").start()
            await overseer.add("b", "sleep", "60").start()
            assert "basic" == overseer.containment.level
            assert "no room" in overseer.containment.reason
    assert 1 == len([record for record in caplog.records if "could not be started" in record.message])
    async with limit(), Overseer() as overseer:
        await overseer.add("a", "sleep", "60").start()
        assert "guarded" == overseer.containment.level


async def test_final_failure_of_the_guardian_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The level of each overseer shows it before anything is started."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for _ in range(3):
        async with limit(), Overseer() as overseer:
            await overseer.add("a", "sleep", "60").start()
            assert ("basic", "marker") == (overseer.containment.level, overseer.containment.mechanism)
            assert any("the host itself is killed" in way for way in overseer.containment.escapes)
    assert "basic" == Overseer().containment.level
    assert 1 == len([record for record in caplog.records if record.levelno == logging.WARNING])


async def test_guardian_that_ends_before_it_is_armed_counts_as_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For example where its interpreter cannot run."""
    python = tmp_path / "python"
    python.symlink_to("/bin/false")
    monkeypatch.setattr(sys, "executable", str(python))
    async with limit(), Overseer() as overseer:
        await overseer.add("a", "sleep", "60").start()
        assert "before it was armed" in overseer.containment.reason


async def test_guardian_survives_a_signal_to_the_group_of_the_host() -> None:
    """It has its own session, and ignores all signals that ask a program to end."""
    async with limit(), Overseer() as overseer:
        await overseer.add("a", *STAY).start()
        pid = guardian().pid
        assert pid is not None
        assert pid == os.getsid(pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert b"" == b"".join(
            os.readlink(f"/proc/{pid}/fd/{number}").encode() for number in range(3) if not _is_null(pid, number)
        )
        await overseer.add("b", *STAY).start()
        assert pid == guardian().pid


def _descriptors() -> Iterator[str]:
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the process that listed the folder has ended
            yield os.readlink(f"/proc/self/fd/{number}")


def _is_null(pid: int, number: int) -> bool:
    return os.readlink(f"/proc/{pid}/fd/{number}") == os.devnull


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # raised from 3.15 on
async def test_fork_of_the_host_has_no_part_of_the_guardian() -> None:
    """It has no descriptors, which would hide the host's end, and no token. Its end changes nothing."""
    async with limit(), Overseer() as overseer:
        service = await overseer.add("a", *STAY).start()
        pid = guardian().pid
        read, write = os.pipe()
        fork = os.fork()
        if fork == 0:
            names = list(_descriptors())
            held = any("aioverseer" in name for name in names) or guardian().pid is not None
            os.write(write, b"held" if held else b"free")
            os._exit(0)
        assert b"free" == os.read(read, 4)
        os.waitpid(fork, 0)
        os.close(read)
        os.close(write)
        assert (pid, State.RUNNING) == (guardian().pid, service.state)


def test_reused_pid_is_not_killed() -> None:
    """An entry counts only for a session leader that was born while the host spawned it."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        table = ChildTable()
        try:
            now = boot_time()
            tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
            table.add(stranger.pid, now - 10 * tick)
            ((pid, before, after),) = guardian_main.entries(table.descriptor)
            assert stranger.pid == pid
            assert guardian_main.is_child(pid, before, after)
            assert not guardian_main.is_child(pid, before - 100 * tick, after - 100 * tick)
            assert not guardian_main.is_child(pid, before + 100 * tick, after + 100 * tick)
            assert not guardian_main.is_child(os.getpid(), before, after)
        finally:
            table.close()
            stranger.kill()


def test_daemon_started_during_the_pass_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next pass is made although the one before has killed nothing."""
    with subprocess.Popen(["sleep", "60"], env={"AIOVERSEER_RUN": "token-1;"}) as stray:
        listed = [str(stray.pid - 1)]
        judge = guardian_main._judge

        def end(pid: int, marks: guardian_main.Marks, sessions: frozenset[int]) -> bool | None:
            if str(stray.pid) not in listed:
                listed.append(str(stray.pid))
                return False
            return judge(pid, marks, sessions)

        table = ChildTable()
        try:
            monkeypatch.setattr("os.listdir", lambda _folder: list(listed))
            monkeypatch.setattr(guardian_main, "_judge", end)
            guardian_main.end_all(guardian_main.Marks("token", ""), table.descriptor)
            assert -signal.SIGKILL == stray.wait(10)
        finally:
            table.close()
            stray.kill()


def test_slots_of_ended_children_are_reused() -> None:
    """The table has only children that live."""
    table = ChildTable()
    try:
        places = [table.add(pid, 5) for pid in (11, 12, 13)]
        table.remove(places[1])
        assert [11, 13] == [pid for pid, _, _ in guardian_main.entries(table.descriptor)]
        assert places[1] == table.add(14, 6)
        assert [11, 14, 13] == [pid for pid, _, _ in guardian_main.entries(table.descriptor)]
        assert struct.calcsize("=qqq") == ENTRY.size
    finally:
        table.close()


def test_guardian_without_its_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example in a program that was frozen into one file."""
    assert module.missing() is None
    monkeypatch.setattr(sys, "executable", "")
    assert "sys.executable is empty" in (module.missing() or "")
    assert Guardian().pid is None
