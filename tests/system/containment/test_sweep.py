"""Sweeps: processes that programs leave outside of their group are found by the marker and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, StopFailed
from aioverseer._system.containment import procfs
from aioverseer._system.containment.marker import VARIABLE, Marker
from aioverseer._system.containment.search import processes_of
from aioverseer._system.containment.strays import StrayRegistry, stray_registry
from aioverseer._system.containment.sweep import Sweeper
from aioverseer.core.options.containment import Survivor
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

DAEMON = """
import os, signal, sys
hear, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.close(hear)
        os.write(tell, b"x")
        signal.pause()
    os._exit(0)
os.read(hear, 1)
"""
"""Leaves a daemon that has closed everything."""


def lives(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    return procfs.state_of(pid) not in "ZX"


async def test_daemon_of_a_process_is_gone_at_its_end() -> None:
    """It has no descriptor and no group of the program: only the marker identifies it."""
    status = await Process(*child(DAEMON))
    (text,) = map(str, status.stdout or ())
    assert not lives(int(text))


async def test_daemons_of_restarted_runs_are_gone_after_the_service() -> None:
    """A restart does not look for them; the end of the last run does."""
    async with limit(), Overseer(containment="basic") as overseer:
        policy = Restart("always", max_restarts=2, within=None)
        service = overseer.add("web", *child(DAEMON), restart=policy, buffered=False)
        await overseer.supervise("web")
        pids = [int(line.text) for line in service.tail()]
        assert 3 == len(pids)
    assert [] == [pid for pid in pids if lives(pid)]


async def test_daemon_of_a_stopped_service_is_gone_after_the_stop() -> None:
    """A daemon of another service that still runs is left alone."""
    stays = child(DAEMON + "\nsignal.pause()")
    async with limit(), Overseer(containment="basic") as overseer:
        for id in ("a", "b"):
            lines = overseer.add(id, *stays).lines()
            await overseer.start(id)
            await lines.get()
        a, b = (int(overseer[id].tail()[0].text) for id in ("a", "b"))
        assert (True, True) == (lives(a), lives(b))
        await overseer.stop("a")
        assert (False, True) == (lives(a), lives(b))
    assert not lives(b)


async def test_restart_reads_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading every process for each run would overload the machine."""
    looks = 0
    real = procfs.pids

    def counted() -> list[int]:
        nonlocal looks
        looks += 1
        return real()

    monkeypatch.setattr(procfs, "pids", counted)
    async with limit(), Overseer(containment="basic") as overseer:
        policy = Restart("always", max_restarts=5, within=None, backoff=Backoff(min=0.001, max=0.001))
        overseer.add("web", "true", restart=policy)
        done = await overseer.supervise("web")
        assert 5 == done.restarts
        assert looks <= 1


async def test_stops_at_the_same_time_share_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stop asks for a sweep; nearly all get the same one."""
    looks = 0
    real = procfs.pids

    def counted() -> list[int]:
        nonlocal looks
        looks += 1
        return real()

    async with limit(30), Overseer(containment="basic") as overseer:
        for number in range(40):
            overseer.add(f"s{number}", "sleep", "60")
        await overseer.start_all()
        monkeypatch.setattr(procfs, "pids", counted)
        # As if the programs had lived for long. For short runs, pids alone prove that nothing is left.
        monkeypatch.setattr("aioverseer._system.containment.pid_hints._YOUNG", 0.0)
        await overseer.stop_all()
    assert 1 <= looks <= 15


async def test_reported_leftovers_live(caplog: pytest.LogCaptureFixture) -> None:
    """The status names them."""
    process = Process(*child(DAEMON), leftovers="report")
    status = await process
    (text,) = map(str, status.stdout or ())
    try:
        assert lives(int(text))
        assert [int(text)] == [survivor.pid for survivor in process.survivors]
        assert f"has left pid {text}" in caplog.text
    finally:
        os.kill(int(text), signal.SIGKILL)


async def test_kept_leftovers_outlive_the_overseer() -> None:
    """They also outlive all later sweeps."""
    async with limit(), Overseer() as overseer:
        service = overseer.add("web", *child(DAEMON), leftovers="keep")
        await overseer.supervise("web")
        pid = int(service.tail()[0].text)
        await Process(*child(DAEMON))
    try:
        assert lives(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_program_gets_only_the_marker() -> None:
    """With an inherited and with a given environment. The host itself has no marker."""
    show = child("import os; print(*sorted(name for name in os.environ if name.startswith('AIOVERSEER')))")
    inherited = [name for name in os.environ if name.startswith("AIOVERSEER")]
    assert [" ".join(sorted([VARIABLE, *inherited]))] == (await Process(*show)).stdout
    own = child("import os; print(*sorted(os.environ))")
    (names,) = (await Process(*own, env={"A": "b"})).stdout or ("",)
    assert {"A", VARIABLE} <= set(str(names).split()) <= {"A", VARIABLE, "LC_CTYPE"}
    assert VARIABLE not in os.environ


async def test_change_of_the_environment_reaches_the_next_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets the host's environment at the time of its start."""
    monkeypatch.setenv("COLOUR", "blue")
    assert ["blue"] == (await Process("sh", "-c", "echo $COLOUR")).stdout
    monkeypatch.setenv("COLOUR", "gr\udcffn")
    assert [b"gr\xffn"] == (await Process("sh", "-c", "echo $COLOUR", encoding=None)).stdout
    monkeypatch.delenv("COLOUR")
    assert [""] == (await Process("sh", "-c", "echo $COLOUR")).stdout


def test_marker_of_an_outer_host_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the outer host's sweep finds programs of an inner host. Each host finds its own."""
    outer, inner = Marker(), Marker()
    monkeypatch.setenv(VARIABLE, outer.word(3, kept=False))
    words = inner.inherited(os.environb, 7, kept=True).entries[-1]
    assert ((3, False), (7, True)) == (outer.find(words), inner.find(words))
    assert None is Marker().find(words)
    assert [words] == inner.added({}, 7, kept=True).entries


def test_living_run_and_strangers_are_no_strays() -> None:
    """A stray has our marker, its run has ended, and it is not kept."""
    known = StrayRegistry()
    run, kept = known.begin(), known.begin()
    with contextlib.ExitStack() as stack:
        ours, other, spared = (
            stack.enter_context(
                subprocess.Popen(
                    ["/bin/sh", "-c", "echo up; read line"],
                    env=env,
                    start_new_session=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for env in (
                known.marker.added({}, run, kept=False).variables,
                Marker().added({}, run, kept=False).variables,
                known.marker.added({}, kept, kept=True).variables,
            )
        )
        for process in (ours, other, spared):
            stack.callback(process.kill)
            assert process.stdout is not None
            # Wait for the end of the exec, during which there is no environment.
            assert b"up\n" == process.stdout.readline()
        assert not known.judge(ours.pid)
        known.end(run, 1 << 30, kept=False)
        known.end(kept, 1 << 30, kept=True)
        assert (True, False, False) == tuple(map(known.judge, (ours.pid, other.pid, spared.pid)))
        assert [spared.pid] == known.left_by(kept)
    assert not any(map(known.judge, (0, 1, os.getpid(), os.getppid())))


@pytest.mark.parametrize("leader_ends", [True, False])
def test_process_in_a_session_of_an_ended_run_is_a_stray(leader_ends: bool) -> None:
    """Even with an empty environment. A session with a leader is another one with a reused number."""
    known = StrayRegistry()
    code = "import os, signal\nif os.fork() == 0:\n os.setpgid(0, 0)\n print(os.getpid(), flush=True)\n signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code + ("" if leader_ends else "\nsignal.pause()")],
        env={},
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    ) as leader:
        assert leader.stdout is not None
        pid = int(leader.stdout.readline())
        try:
            if leader_ends:
                leader.wait()
            assert not known.judge(pid)
            known.end(known.begin(), leader.pid, kept=False)
            assert leader_ends == known.judge(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
            leader.kill()


def _executing() -> list[str]:
    """Return the command line of a program that executes itself forever."""
    return ["/bin/sh", "-c", 'exec "$0" -c "$1" "$0" "$1"', "/bin/sh", 'exec "$0" -c "$1" "$0" "$1"']


def test_process_in_the_middle_of_an_exec_is_not_misjudged() -> None:
    """It shows no environment for a moment, unlike a process that has none."""
    known = stray_registry()
    run = known.begin()
    marked = {**os.environ, "AIOVERSEER_RUN": known.marker.word(run, kept=False)}
    # In a session of its own, as every child of a launcher. The session of the tests may be outside of this pid
    # namespace, and processes in such a session are never judged.
    with (
        subprocess.Popen(_executing(), env=marked, start_new_session=True) as ours,
        subprocess.Popen(["sleep", "60"], env={}) as other,
    ):
        known.end(run, None, kept=False)
        try:
            seen = {known.judge(ours.pid) for _ in range(20_000)}
            strangers = {known.judge(other.pid) for _ in range(100)}
        finally:
            ours.kill()
            other.kill()
    assert seen <= {True, None}
    assert True in seen
    assert {False} == strangers - {None}


async def test_process_in_the_middle_of_an_exec_is_judged_again() -> None:
    """In the same sweep, as the next one may be an hour later."""
    with subprocess.Popen(["sleep", "60"]) as stray:
        verdicts = iter([None, None, True, True])
        asked: list[int] = []

        def judge(pid: int) -> bool | None:
            if pid != stray.pid:
                return False
            asked.append(pid)
            return next(verdicts, False)

        try:
            async with limit():
                assert () == await Sweeper(judge).sweep()
            assert -signal.SIGKILL == stray.wait(5)
        finally:
            stray.kill()
    assert len(asked) >= 4


async def test_daemon_started_during_the_sweep_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of the first listing would be killed, so there would be no second pass."""
    stray = subprocess.Popen(["sleep", "100"])
    listed = [stray.pid - 1]
    monkeypatch.setattr(procfs, "pids", lambda: list(listed))

    def judge(pid: int) -> bool:
        if stray.pid not in listed:
            listed.append(stray.pid)
        return pid == stray.pid and stray.poll() is None

    try:
        assert () == await Sweeper(judge).sweep()
        assert -signal.SIGKILL == stray.wait(10)
    finally:
        stray.kill()
        stray.wait()


async def test_pid_reused_before_its_pidfd_is_not_killed() -> None:
    """The process is judged again with the pidfd open."""
    with subprocess.Popen(["sleep", "60"]) as other:
        verdicts = iter([True, False])
        try:
            async with limit():
                assert () == await Sweeper(lambda pid: pid == other.pid and next(verdicts, False)).sweep()
            assert other.poll() is None
        finally:
            other.kill()
    assert None is next(verdicts, None), "it was not looked at twice"


async def test_endless_exec_delays_a_sweep_only_briefly() -> None:
    """For example on a file system that does not answer."""
    me = os.getpid()
    async with limit():
        began = time.monotonic()
        assert () == await Sweeper(lambda pid: None if pid == me else False).sweep()
        assert time.monotonic() - began < 1


async def test_survivor_is_reported_on_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it."""
    overseer = Overseer(containment="basic")
    closed = overseer.launcher.close

    async def unwilling() -> tuple[Survivor, ...]:
        await closed()
        return (Survivor(pid=77, command="undead"),)

    monkeypatch.setattr(overseer.launcher, "close", unwilling)
    with pytest.raises(StopFailed, match=r"could not be killed: pid 77 \(undead\)"):
        async with overseer:
            await overseer.add("a", "true").start()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # raised from 3.15 on
def test_fork_has_its_own_register() -> None:
    """Its token differs, so neither sweeps the other's processes."""
    token = stray_registry().marker.token
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, stray_registry().marker.token.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert token != os.read(read, 99).decode()
    os.close(read)
    os.close(write)


async def test_leftovers_are_in_an_event_and_in_the_stop_report() -> None:
    """With ``leftovers="report"`` they live on."""
    async with limit(), Overseer(containment="basic") as overseer:
        events = overseer.events()
        stays = child(DAEMON + "\nsignal.pause()")
        service = overseer.add("web", *stays, leftovers="report")
        lines = service.lines()
        await service.start()
        pid = int(str(getattr(await lines.get(), "text", "")))
        report = await overseer.stop_all()
    try:
        assert lives(pid)
        assert [pid] == [survivor.pid for survivor in report.left["web"]]
        assert f"; it has left pid {pid}" in str(report)
        (event,) = [event for event in iter(events.get_nowait, None) if event.kind == "leftovers"]
        assert f"has left pid {pid}" in event.reason
        assert "which goes on" in event.reason
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_search_ends_with_its_last_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that is cancelled leaves no task behind, and ends no search of another caller."""
    pids = iter(range(2**22, 2**23))  # processes that have ended
    endless = True
    monkeypatch.setattr(procfs, "pids", lambda: [next(pids)] if endless else [])
    registry = StrayRegistry()
    async with limit():
        first, second = (asyncio.create_task(processes_of(registry, run)) for run in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        assert [] == [task for task in asyncio.all_tasks() if task.get_name() == "aioverseer search"][1:]
        late = asyncio.create_task(processes_of(registry, 3))
        await asyncio.sleep(0)
        endless = False
        assert [] == await second == await late
        endless = True
        alone = asyncio.create_task(processes_of(registry, 4))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait({alone})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        endless = False
        assert [] == await processes_of(registry, 5)
