"""Programs in cgroups of the running kernel. Skipped where this user may make none."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import NotReady, Overseer, Process, Restart, State, Stop, Subscription
from aioverseer._system.containment import cgroup, procfs
from aioverseer._system.containment.cgroup import tree
from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.strays import stray_registry
from aioverseer.core.options.containment import Facilities, decide
from aioverseer.core.options.spec import Spec
from tests.support.daemons import LOST
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(tree().missing() is not None, reason=f"{tree().missing()}")

HOST = """
import asyncio, sys
from aioverseer import Overseer
from aioverseer._system.containment.guardian.client import guardian
async def main():
    async with Overseer(containment="strict") as overseer:
        service = overseer.add("web", sys.executable, "-c", sys.argv[1])
        lines = service.lines()
        await service.start()
        print(overseer.containment.mechanism, guardian().pid, (await lines.get()).text, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def ours() -> set[str]:
    """Return the cgroups of this library."""
    return {name for name in os.listdir(tree().base) if name.startswith("aioverseer-")}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Check that a test leaves no cgroup; those of other hosts do not count."""
    before = ours()
    yield
    assert set() == {name for name in ours() - before if _token() in name}
    assert () == cgroup.remaining()


def _token() -> str:
    return stray_registry().marker.token


def lives(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    return procfs.state_of(pid) not in "ZX"


def home_of(pid: int) -> str:
    """Return the last part of the cgroup of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("0::")).rpartition("/")[2]


async def next_line(lines: Subscription) -> str:
    """Return the next line."""
    line = await lines.get()
    return str(line.text)


@pytest.mark.parametrize("ending", ["by itself", "stopped", "left", "killed"])
async def test_daemon_without_session_group_and_marks_is_gone(ending: str) -> None:
    """For each kind of end of its leader. The cgroup is removed too."""
    code = LOST if ending == "by itself" else f"{LOST}\nsignal.pause()"
    async with limit(30):
        async with Overseer(containment="strict") as overseer:
            assert "cgroup" == overseer.containment.mechanism
            service = overseer.add("web", *child(code), restart=Restart("never"))
            lines = service.lines()
            await service.start()
            pid = int(await next_line(lines))
            if ending != "by itself":
                assert home_of(pid).startswith(f"aioverseer-{_token()}-")
            if ending == "stopped":
                await service.stop()
            elif ending == "killed":
                service.signal(signal.SIGKILL)
            if ending != "left":
                await service.wait()
                assert not lives(pid)
                assert "strict" == service.status().containment
        assert not lives(pid)


async def test_program_is_in_its_cgroup_before_its_first_step() -> None:
    """It also has its own pid: no wrapper stays between host and program."""
    async with limit(20), Overseer(containment="strict") as overseer:
        service = overseer.add("web", "sh", "-c", "cat /proc/self/cgroup | grep ^0::; echo $$; exec sleep 60")
        lines = service.lines()
        await service.start()
        assert f"aioverseer-{_token()}-" in await next_line(lines)
        assert str(service.pid) == await next_line(lines)


async def test_exit_is_that_of_the_program() -> None:
    """By code and by signal. A missing program gives the same error as without a cgroup."""
    async with limit(20), Overseer(containment="strict") as overseer:
        once = Restart("never")
        code = overseer.add("code", "sh", "-c", "exit 7", restart=once)
        death = overseer.add("death", "sh", "-c", "kill -SEGV $$", restart=once)
        for service in (code, death):
            await service.start()
            await service.wait()
        assert (7, signal.SIGSEGV) == (code.status().exit_code, death.status().signal)
        with pytest.raises(NotReady, match="there is no program 'nowhere-to-be-found'"):
            await overseer.add("none", "nowhere-to-be-found", restart=once).start()


async def test_program_that_cannot_enter_its_cgroup_was_never_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit code is that of the shell before it."""
    make = cgroup.Tree.make

    def spoilt(self: cgroup.Tree, spec: Spec, name: str) -> cgroup.Cgroup:
        made = make(self, spec, name)
        made.prefix[-1] += "/nowhere"
        return made

    monkeypatch.setattr(cgroup.Tree, "make", spoilt)
    async with limit(20), Overseer(containment="strict") as overseer:
        overseer.add("web", "sh", "-c", "echo ran", restart=Restart("never"))
        status = await overseer.supervise("web")
        assert "(it was never run: it could not enter its cgroup)" in status.reason
        assert "ran" not in [line.text for line in overseer["web"].tail()]
        monkeypatch.undo()
        overseer.add("fails", "false", restart=Restart("never"))
        assert (await overseer.supervise("fails")).reason == "exited with code 1"


async def test_cgroups_made_by_the_program_are_removed() -> None:
    """Even with processes in them."""
    code = """
import os, signal
path = "@BASE/" + next(l for l in open("/proc/self/cgroup") if l.startswith("0::")).strip().rpartition("/")[2]
os.mkdir(path + "/below")
if os.fork() == 0:
    open(path + "/below/cgroup.procs", "w").write("0")
    print(os.getpid(), flush=True)
signal.pause()
""".replace("@BASE", tree().base)
    async with limit(20), Overseer(containment="strict") as overseer:
        service = overseer.add("web", *child(code), stop=Stop(timeout=5))
        lines = service.lines()
        await service.start()
        pid = int(await next_line(lines))
        assert "below" == home_of(pid)
        await service.stop()
        assert not lives(pid)


async def test_kept_leftovers_live_on() -> None:
    """Their cgroup stays as long as they live."""
    async with limit(20):
        async with Overseer(containment="strict") as overseer:
            code = LOST.replace("print(os.getpid(), flush=True)", "print(os.getpid(), flush=True); os.dup2(2, 1)")
            service = overseer.add("web", *child(code), leftovers="keep", restart=Restart("never"))
            lines = service.lines()
            await service.start()
            pid = int(await next_line(lines))
            await service.wait()
            assert lives(pid)
        assert lives(pid)
        opened = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(opened, gone.set)
            await gone.wait()
        finally:
            asyncio.get_running_loop().remove_reader(opened)
            os.close(opened)
        for left in cgroup.remaining():
            await left.end()


async def test_lone_process_has_a_level_of_its_own() -> None:
    """It releases the guardian that it needed."""
    async with limit(20):
        process = Process(*child(LOST), containment="strict", buffered=True)
        await process
        pid = int(str(next(iter(process.status().stdout or ()))))
        assert not lives(pid)
        assert "strict" == process.status().containment
        assert guardian_client.guardian().pid is None


async def test_service_has_a_level_of_its_own() -> None:
    """Other services have the level of their overseer."""
    async with limit(20), Overseer(containment="basic") as overseer:
        own = overseer.add("own", "sleep", "60", containment="strict")
        other = overseer.add("other", "sleep", "60")
        await asyncio.gather(own.start(), other.start())
        assert ("strict", "basic") == (own.status().containment, other.status().containment)
        assert own.pid is not None
        assert other.pid is not None
        assert State.RUNNING is own.state
        assert not home_of(other.pid).startswith(f"aioverseer-{_token()}")


async def test_limit_without_its_controller_is_refused() -> None:
    """The error names the controller and the place where it is missing."""
    there = Path(tree().base, "cgroup.controllers").read_text(encoding="utf-8").split()
    if "memory" in there:
        pytest.skip("this kernel has the controller in cgroup v2")
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", "sleep", "60", memory_max=1 << 26, restart=Restart("never"))
        with pytest.raises(NotReady, match=r"limits \(memory_max=67108864\).*cgroup.controllers does not have memory"):
            await service.start()
        assert service.pid is None


def test_killed_host_leaves_neither_program_nor_cgroup() -> None:
    """The guardian also kills processes without marker and in other sessions."""
    code = f"{LOST}\nsignal.pause()"
    before = ours()
    with subprocess.Popen([sys.executable, "-c", HOST, code], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        mechanism, guardian_pid, daemon = host.stdout.readline().split()
        assert "cgroup" == mechanism
        mine = Path(tree().base, home_of(int(daemon)))
        assert mine.is_dir()
        assert mine.name not in before
        opened = [os.pidfd_open(int(daemon)), os.pidfd_open(int(guardian_pid))]
        host.kill()
        host.wait()
    try:
        for one in opened:
            assert select.select([one], [], [], 10)[0]
    finally:
        for one in opened:
            os.close(one)
    assert not mine.exists()


LOOK = """
from aioverseer._system.containment.cgroup import tree
assert tree().missing() is None
"""
"""Steps of a host before its first cgroup."""


def test_next_host_removes_an_abandoned_cgroup() -> None:
    """A host killed together with its guardian leaves it. It is removed when it is empty, not before."""
    code = f"{LOST}\nsignal.pause()"
    with subprocess.Popen([sys.executable, "-c", HOST, code], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        _, guardian_pid, daemon = host.stdout.readline().split()
        mine = Path(tree().base, home_of(int(daemon)))
        opened = os.pidfd_open(int(guardian_pid))
        os.kill(int(guardian_pid), signal.SIGSTOP)  # so that it does not see the end of its host first
        os.kill(int(guardian_pid), signal.SIGKILL)
        host.kill()
        host.wait()
    try:
        assert select.select([opened], [], [], 10)[0]
        subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=20)
        assert lives(int(daemon))
        assert mine.is_dir()
    finally:
        os.close(opened)
        (mine / "cgroup.kill").write_text("1")
    while "populated 1" in (mine / "cgroup.events").read_text():
        with (mine / "cgroup.events").open("rb", buffering=0) as events:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            if b"populated 1" in events.read():
                poll.poll(1000)
    subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=20)
    assert not mine.exists()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # raised from 3.15 on
def test_empty_cgroup_of_a_living_host_is_left_alone() -> None:
    """Its program may not have entered it yet. A fork of the host changes nothing."""
    made = tree().make(Spec.of("web", ("true",)), f"aioverseer-{_token()}-999999")
    try:
        fork = os.fork()
        if fork == 0:
            os._exit(0)
        os.waitpid(fork, 0)
        subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=20)
        assert os.path.isdir(made.path)
    finally:
        assert made.discard()
    assert not os.path.exists(made.path)


def test_cgroup_taken_for_abandoned_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host may remove it in the moment before it is locked."""
    make, made = cgroup.Files.make, []

    def taken_away(self: cgroup.Files, path: str) -> None:
        make(self, path)
        made.append(path)
        if len(made) == 1:
            subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=20)
            assert not os.path.exists(path)

    monkeypatch.setattr(cgroup.Files, "make", taken_away)
    one = tree().make(Spec.of("web", ("true",)), f"aioverseer-{_token()}-999998")
    assert [one.path] * 2 == made
    assert one.discard()


def test_no_cgroup_without_a_guardian() -> None:
    """Nobody would remove it after the host."""
    assert "shim" == decide("strict", Facilities(cgroup=None, guardian="none")).mechanism
