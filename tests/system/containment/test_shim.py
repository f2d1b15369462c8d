"""Programs below a shim: their exits, signals and output stay the same, and no process outlives them."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aioverseer import ContainmentError, Overseer, Restart, SpawnError, State, Stop, Subscription
from aioverseer._system.containment import cgroup, procfs
from aioverseer._system.containment.shim import client as shim_client
from aioverseer._system.containment.shim.client import Shim
from aioverseer.core.options.containment import AskedContainment, Facilities, decide
from tests.support.daemons import LOST
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(shim_client.missing() is not None, reason=f"{shim_client.missing()}")

STRUCK = """
import importlib.util, os, signal
spec = importlib.util.spec_from_file_location("shim", {program!r})
shim = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shim)
fork = os.fork
def struck():
    if {when!r} == "before":
        os.killpg(0, signal.SIGTERM)
    pid = fork()
    if pid and {when!r} == "behind":
        os.killpg(0, signal.SIGTERM)
    return pid
os.fork = struck
shim.main()
"""
"""A shim whose group gets a signal at its forks."""


async def next_line(lines: Subscription) -> str:
    """Return the next line."""
    line = await lines.get()
    return str(line.text)


def lives(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    return procfs.state_of(pid) not in "ZX"


@pytest.fixture(name="asked", params=["strict", "pidns"], ids=["shim", "pidns"])
def asked_fixture(request: pytest.FixtureRequest) -> AskedContainment:
    """Each containment with a shim."""
    asked: AskedContainment = request.param
    if asked == "pidns" and (why := shim_client.missing_namespace()) is not None:
        pytest.skip(why)
    return asked


@pytest.fixture(autouse=True)
def no_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide cgroups, with which strict needs no shim."""
    monkeypatch.setattr(cgroup.Tree, "missing", lambda _: "this test is about shims")


@pytest.mark.parametrize("ending", ["by itself", "stopped"])
async def test_daemon_without_session_group_and_marks_is_gone(ending: str) -> None:
    """Only a shim finds such a daemon."""
    code = LOST if ending == "by itself" else f"{LOST}\nsignal.pause()"
    async with limit(), Overseer(containment="strict") as overseer:
        service = overseer.add("web", *child(code))
        lines = service.lines()
        await service.start()
        pid = int(await next_line(lines))
        if ending == "stopped":
            assert lives(pid)
            await service.stop()
        await service.wait()
        assert not lives(pid)


async def test_daemon_without_marks_that_ignores_the_ladder_is_gone() -> None:
    """The shim kills it, so SIGKILL for the group must not come before and kill the shim."""
    code = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{LOST}
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("up", flush=True)
signal.pause()
"""
    async with limit(), Overseer(containment="strict") as overseer:
        service = overseer.add("web", *child(code), stop=Stop(timeout=0.2))
        lines = service.lines()
        await service.start()
        pid = int(await next_line(lines))
        assert "up" == await next_line(lines)
        status = await service.stop()
        assert "ended by SIGKILL" in status.reason
        assert not lives(pid)


def test_host_that_ends_before_it_reads_the_report_leaves_nothing() -> None:
    """The unread report resets the connection, so the shim gets an error in place of the end of file."""
    shim = Shim("kill")
    code = f"{LOST}\nos.close(1)"
    words = [*shim.prefix, *child(code)]
    with subprocess.Popen(words, pass_fds=shim.pass_fds, stdout=subprocess.PIPE, start_new_session=True) as program:
        shim.adopted()
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert [shim.fileno()] == select.select([shim.fileno()], [], [], 10)[0]
        shim.close()
        program.wait(10)
    assert not lives(pid)


async def test_guarded_loses_such_a_daemon() -> None:
    """Level guarded reports this, and it proves that the test above tests something."""
    async with limit(), Overseer(containment="guarded") as overseer:
        service = overseer.add("web", *child(LOST))
        await overseer.supervise("web")
        pid = int(service.tail()[0].text)
    try:
        assert lives(pid)
        said = "emptied its environment and changed its limits"
        assert any(said in way for way in decide("guarded", Facilities()).escapes)
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
async def test_exit_code_is_that_of_the_program(code: int, asked: AskedContainment) -> None:
    """For every exit code."""
    async with limit(), Overseer(containment=asked) as overseer:
        overseer.add("web", "sh", "-c", f"exit {code}", restart=Restart("never"))
        status = await overseer.supervise("web")
        assert (code, None, State.FINISHED) == (status.exit_code, status.signal, status.state)
        assert "strict" == status.containment


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1, signal.SIGPIPE])
async def test_death_by_a_signal_is_reported(number: int, asked: AskedContainment) -> None:
    """The shim writes no core file."""
    async with limit(), Overseer(containment=asked) as overseer:
        overseer.add("web", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$", restart=Restart("never"))
        status = await overseer.supervise("web")
        assert (None, number) == (status.exit_code, status.signal)


async def test_program_has_its_input_output_and_ordinary_signals(asked: AskedContainment) -> None:
    """As without a shim: no signal is ignored, and no descriptor of the host is open."""
    code = """
    import os, signal, sys
    print(sys.stdin.readline().strip(), flush=True)
    print("oops", file=sys.stderr, flush=True)
    with open("/proc/self/status") as file:
        print(*(line.split()[1] for line in file if line.startswith(("SigIgn", "SigBlk"))), flush=True)
    print(*sorted(os.listdir("/proc/self/fd"), key=int), flush=True)
    """
    seen: dict[str, list[str]] = {}
    async with limit(20), Overseer(containment="basic") as basic, Overseer(containment=asked) as strict:
        for overseer in (basic, strict):
            service = overseer.add("web", *child(code), stdin="hello\n")
            await overseer.supervise("web")
            seen[overseer.containment.level] = sorted(str(line.text) for line in service.tail())
    assert {"hello", "oops"} < set(seen["basic"])
    assert seen["basic"] == seen["strict"]


async def test_ladder_reaches_the_program_and_ends_all(asked: AskedContainment) -> None:
    """Graceful steps are for the program, which may clean up. The last step kills all."""
    polite = child("import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up'); rest()")
    deaf = child("import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()")
    quick = Stop(steps=[(signal.SIGTERM, 0.05), (signal.SIGKILL, 5)])
    async with limit(), Overseer(containment=asked) as overseer:
        for id, words, stop in (("polite", polite, Stop()), ("deaf", deaf, quick)):
            lines = overseer.add(id, *words, stop=stop).lines()
            await overseer.start(id)
            await lines.get()
        report = await overseer.stop_all()
        assert (7, None) == (overseer.status("polite").exit_code, overseer.status("polite").signal)
        assert signal.SIGKILL == overseer.status("deaf").signal
        assert ["deaf"] == report.escalated


async def test_signal_for_the_leader_reaches_the_program_alone(asked: AskedContainment) -> None:
    """Its children do not get the signal."""
    code = """
    import os, signal
    signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"one\\n" if os.getpid() == me else b"two\\n"))
    me = os.getpid()
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.write(tell, b"x")
        while True:
            rest()
    os.read(hear, 1)
    print("up", flush=True)
    while True:
        rest()
    """
    async with limit(), Overseer(containment=asked) as overseer:
        service = overseer.add("web", *child(code))
        lines = service.lines()
        await service.start()
        assert "up" == await next_line(lines)
        service.signal(signal.SIGUSR1, scope="leader")
        assert "one" == await next_line(lines)
        service.signal(signal.SIGUSR1)
        assert {"one", "two"} == {await next_line(lines), await next_line(lines)}


async def test_stopped_shim_is_killed(asked: AskedContainment) -> None:
    """SIGSTOP to the group stops the shim too; the last step continues it."""
    async with limit(), Overseer(containment=asked) as overseer:
        service = await overseer.add("web", "sleep", "60").start()
        service.signal(signal.SIGSTOP)
        status = await service.stop(kill=True)
        assert signal.SIGKILL == status.signal


async def test_killed_shim_takes_its_program_along() -> None:
    """After SIGKILL from outside. The host sweeps other processes with the marker."""
    code = """
    import os, signal, sys
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), flush=True)
        os.write(tell, b"x")
        signal.pause()
    os.read(hear, 1)
    print(os.getpid(), flush=True)
    signal.pause()
    """
    async with limit(), Overseer(containment="strict") as overseer:
        service = overseer.add("web", *child(code), restart=Restart("never"))
        lines = service.lines()
        await service.start()
        pids = [int(await next_line(lines)) for _ in range(2)]
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        assert signal.SIGKILL == (await service).signal
    assert [] == [pid for pid in pids if lives(pid)]


async def test_missing_program_is_a_spawn_error(asked: AskedContainment) -> None:
    """The program is looked up before the spawn."""
    async with limit(), Overseer(containment=asked) as overseer:
        overseer.add("web", "no-such-program", restart=Restart("never"))
        status = await overseer.supervise("web")
        assert isinstance(status.error, SpawnError)
        assert None is status.exit_code


async def test_many_shims_leave_no_descriptor(asked: AskedContainment) -> None:
    """No shim inherits the socket of another, so the stop of one does not stop the others."""
    async with limit(30), Overseer(containment=asked) as overseer:
        for number in range(6):
            overseer.add(f"s{number}", "sleep", "60")
        await overseer.start_all()
        await asyncio.gather(*(overseer.stop(f"s{number}") for number in range(3)))
        assert [State.RUNNING] * 3 == [overseer.status(f"s{number}").state for number in range(3, 6)]


@pytest.mark.parametrize("when", ["before", "behind"])
async def test_signal_before_the_command_exists_is_not_lost(
    asked: AskedContainment, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent to the group just before and just after each fork of the shim, as an early stop may do."""
    (tmp_path / "struck.py").write_text(STRUCK.format(when=when, program=shim_client._PROGRAM))
    monkeypatch.setattr(shim_client, "_PROGRAM", str(tmp_path / "struck.py"))
    async with limit(), Overseer(containment=asked) as overseer:
        overseer.add("web", "sleep", "60", restart=Restart("never"))
        status = await overseer.supervise("web")
    assert signal.SIGTERM == status.signal


def test_interpreter_without_permission_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example after a change of the user. It is reported when the level is chosen."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ContainmentError, match="may not run the Python interpreter '/nowhere/python'"):
        Overseer(containment="strict")


def test_other_systems_have_no_shim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is reported."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "only Linux has subreapers" == shim_client.missing()
