"""What programs leave behind outside of their group: found by the marker, killed, and nobody else."""

from __future__ import annotations

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
"""Leaves a daemon behind that has let go of everything."""


def lives(pid: int) -> bool:
    """Whether it is there and no zombie."""
    return procfs.state_of(pid) not in "ZX"


async def test_daemon_of_a_process_is_gone_at_its_end() -> None:
    """It holds nothing and is in no group of ours: only the marker tells."""
    status = await Process(*child(DAEMON))
    (text,) = map(str, status.stdout or ())
    assert not lives(int(text))


async def test_daemons_of_runs_that_were_restarted_are_gone_when_the_service_has_ended() -> None:
    """No restart looks for them; the end of the last does."""
    async with limit(), Overseer(containment="basic") as overseer:
        policy = Restart("always", max_restarts=2, within=None)
        service = overseer.add("web", *child(DAEMON), restart=policy, buffered=False)
        await overseer.supervise("web")
        pids = [int(line.text) for line in service.tail()]
        assert 3 == len(pids)
    assert [] == [pid for pid in pids if lives(pid)]


async def test_daemon_of_a_stopped_service_is_gone_when_the_stop_returns() -> None:
    """And that of another service, which still runs, is left alone."""
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


async def test_restarts_look_at_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at each process of the machine for each run of each service would be the machine's end."""
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


async def test_many_that_are_stopped_at_once_share_their_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them asks for one; nearly all are answered by the same."""
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
        # As if they had lived for long; who ends at once is known by the numbers that were given away since.
        monkeypatch.setattr("aioverseer._system.containment.pid_hints._YOUNG", 0.0)
        await overseer.stop_all()
    assert 1 <= looks <= 15


async def test_what_is_reported_lives_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Who it is, and that it goes on."""
    process = Process(*child(DAEMON), leftovers="report")
    status = await process
    (text,) = map(str, status.stdout or ())
    try:
        assert lives(int(text))
        assert [int(text)] == [survivor.pid for survivor in process.survivors]
        assert f"has left pid {text}" in caplog.text
    finally:
        os.kill(int(text), signal.SIGKILL)


async def test_what_is_kept_outlives_the_overseer() -> None:
    """And all later sweeps."""
    async with limit(), Overseer() as overseer:
        service = overseer.add("web", *child(DAEMON), leftovers="keep")
        await overseer.supervise("web")
        pid = int(service.tail()[0].text)
        await Process(*child(DAEMON))
    try:
        assert lives(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_program_sees_the_marker_and_nothing_else_of_ours() -> None:
    """With the inherited environment and with one of its own; the host itself has none."""
    show = child("import os; print(*sorted(name for name in os.environ if name.startswith('AIOVERSEER')))")
    assert [VARIABLE] == (await Process(*show)).stdout
    own = child("import os; print(*sorted(os.environ))")
    (names,) = (await Process(*own, env={"A": "b"})).stdout or ("",)
    assert {"A", VARIABLE} <= set(str(names).split()) <= {"A", VARIABLE, "LC_CTYPE"}
    assert VARIABLE not in os.environ


async def test_change_of_the_environment_reaches_the_next_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed on is what the host has at that time."""
    monkeypatch.setenv("COLOUR", "blue")
    assert ["blue"] == (await Process("sh", "-c", "echo $COLOUR")).stdout
    monkeypatch.setenv("COLOUR", "gr\udcffn")
    assert [b"gr\xffn"] == (await Process("sh", "-c", "echo $COLOUR", encoding=None)).stdout
    monkeypatch.delenv("COLOUR")
    assert [""] == (await Process("sh", "-c", "echo $COLOUR")).stdout


def test_marker_of_an_outer_host_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its sweep finds what an inner one has started; each finds its own."""
    outer, inner = Marker(), Marker()
    monkeypatch.setenv(VARIABLE, outer.word(3, kept=False))
    words = inner.inherited(os.environb, 7, kept=True).entries[-1]
    assert ((3, False), (7, True)) == (outer.find(words), inner.find(words))
    assert None is Marker().find(words)
    assert [words] == inner.added({}, 7, kept=True).entries


def test_living_run_and_strangers_are_no_strays() -> None:
    """Only what bears our marker, of a run that has ended, and is not kept."""
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
            # In the midst of an exec there is no environment to be seen.
            assert b"up\n" == process.stdout.readline()
        assert not known.judge(ours.pid)
        known.end(run, 1 << 30, kept=False)
        known.end(kept, 1 << 30, kept=True)
        assert (True, False, False) == tuple(map(known.judge, (ours.pid, other.pid, spared.pid)))
        assert [spared.pid] == known.left_by(kept)
    assert not any(map(known.judge, (0, 1, os.getpid(), os.getppid())))


def test_member_of_a_dead_session_is_a_stray_although_its_environment_is_empty() -> None:
    """A session whose number has a leader is another one."""
    known = StrayRegistry()
    code = "import os, signal\nif os.fork() == 0:\n os.setpgid(0, 0)\n print(os.getpid(), flush=True)\n signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], env={}, start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as leader:
        assert leader.stdout is not None
        pid = int(leader.stdout.readline())
        leader.wait()
        assert not known.judge(pid)
        known.end(known.begin(), leader.pid, kept=False)
        assert known.judge(pid)
        os.kill(pid, signal.SIGKILL)
    known.end(known.begin(), os.getsid(0), kept=False)
    assert not known.judge(os.getppid())


def _executing() -> list[str]:
    """Words of a program that executes itself again without end."""
    return ["/bin/sh", "-c", 'exec "$0" -c "$1" "$0" "$1"', "/bin/sh", 'exec "$0" -c "$1" "$0" "$1"']


def test_one_in_the_middle_of_an_exec_is_never_taken_for_somebody_else() -> None:
    """It shows no environment for a moment; that is told apart from one that has none."""
    known = stray_registry()
    run = known.begin()
    marked = {**os.environ, "AIOVERSEER_RUN": known.marker.word(run, kept=False)}
    # In a session of its own, as all that are started by a launcher: the one of the tests may be outside of their pid
    # namespace, and who is in such a one is not looked at.
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


async def test_one_in_the_middle_of_an_exec_is_looked_at_again() -> None:
    """In the same sweep: the next one may be an hour later."""
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


async def test_one_that_was_started_by_who_has_ended_meanwhile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon in the making: no pass would kill anybody, so there would be none after it."""
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


async def test_number_that_was_given_away_between_the_look_and_the_hold_is_not_hit() -> None:
    """Who is held is looked at again, and is somebody else by then."""
    with subprocess.Popen(["sleep", "60"]) as other:
        verdicts = iter([True, False])
        try:
            async with limit():
                assert () == await Sweeper(lambda pid: pid == other.pid and next(verdicts, False)).sweep()
            assert other.poll() is None
        finally:
            other.kill()
    assert None is next(verdicts, None), "it was not looked at twice"


async def test_one_that_stays_in_the_middle_of_an_exec_holds_a_sweep_up_for_a_moment_only() -> None:
    """As on a file system that does not answer."""
    me = os.getpid()
    async with limit():
        began = time.monotonic()
        assert () == await Sweeper(lambda pid: None if pid == me else False).sweep()
        assert time.monotonic() - began < 1


async def test_survivor_that_cannot_be_killed_is_told_on_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an error that names it: nothing is hidden."""
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
def test_runs_of_a_fork_are_others() -> None:
    """Its token is its own, so that neither sweeps the other's."""
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


async def test_what_a_service_has_left_is_an_event_and_in_the_report_of_its_stop() -> None:
    """With ``leftovers="report"``; it lives on."""
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
        (told,) = [event for event in iter(events.get_nowait, None) if event.kind == "leftovers"]
        assert f"has left pid {pid}" in told.reason
        assert "which goes on" in told.reason
    finally:
        os.kill(pid, signal.SIGKILL)
