"""Programs in a pid namespace: the kernel kills all of it, even if shim and host are killed together."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import pytest

from aioverseer import ContainmentError, NotReady, Overseer, Restart, SpawnError, State, Stop, Subscription
from aioverseer._system.containment import procfs
from aioverseer._system.containment.guardian import client as guardian_client
from aioverseer._system.containment.shim import client as shim_client
from aioverseer.core.options.containment import Facilities, decide
from tests.support.daemons import LOST
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(
    shim_client.missing_namespace() is not None, reason=f"{shim_client.missing_namespace()}"
)

LEADER = f"{LOST}\nos.wait()\nprint('up', flush=True)"
"""Leaves a lost daemon, whose parent is gone by "up"."""

HOST = """
import asyncio, sys
from aioverseer import Overseer
async def main():
    async with Overseer(containment="pidns") as overseer:
        service = overseer.add("web", sys.executable, "-c", sys.argv[1])
        lines = service.lines()
        await service.start()
        while (await lines.get()).text != "up":
            pass
        print(service.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def next_line(lines: Subscription) -> str:
    """Return the next line."""
    line = await lines.get()
    return str(line.text)


def inside(shim: int, *, zombies: bool = False) -> list[int]:
    """Return the processes in the pid namespace of a shim, by their pids outside of it."""
    first = Path(f"/proc/{shim}/task/{shim}/children").read_text(encoding="ascii").split()[0]
    name = os.readlink(f"/proc/{first}/ns/pid")
    found: list[int] = []
    for pid in procfs.pids():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") == name and (zombies or procfs.state_of(pid) != "Z"):
                found.append(pid)
    assert name != os.readlink("/proc/self/ns/pid")
    return found


@contextlib.contextmanager
def opened(pids: list[int]) -> Generator[list[int]]:
    """Open pidfds of processes."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    try:
        yield pidfds
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def ends(pidfd: int) -> bool:
    """Return whether a process ends within some seconds, or has ended already."""
    return bool(select.select([pidfd], [], [], 5)[0])


@pytest.mark.parametrize("ending", ["by itself", "stopped", "left", "killed", "shim killed"])
async def test_daemon_without_session_group_and_marks_is_gone(ending: str) -> None:
    """It is gone when its leader has ended, for each kind of end. No guardian is needed."""
    code = f"{LEADER}\nimport sys; sys.stdin.read()"
    async with limit(30):
        async with Overseer(containment="pidns") as overseer:
            assert ("strict", "pidns") == (overseer.containment.level, overseer.containment.mechanism)
            service = overseer.add("web", *child(code), restart=Restart("never"), stdin="pipe")
            lines = service.lines()
            await service.start()
            while await next_line(lines) != "up":
                pass
            assert service.pid is not None
            members = inside(service.pid)
            assert 3 == len(members), "the first one, the program and the daemon"
            assert guardian_client.guardian().pid is None
            with opened(members) as pidfds:
                if ending == "by itself":
                    assert service.process is not None
                    service.process.close_stdin()
                elif ending == "stopped":
                    await service.stop()
                elif ending == "killed":
                    service.signal(signal.SIGKILL)
                elif ending == "shim killed":
                    os.kill(service.pid, signal.SIGKILL)
                if ending == "left":
                    await overseer.__aexit__(None, None, None)
                else:
                    await service.wait()
                assert all(map(ends, pidfds))
        assert "strict" == service.status().containment


@pytest.mark.parametrize("whom", ["host", "host and shim", "host and shim, when all are stopped"])
def test_nothing_lives_when_the_host_is_killed(whom: str) -> None:
    """Whether the shim lives to kill the others or not."""
    code = f"{LEADER}\nsignal.pause()"
    with subprocess.Popen([sys.executable, "-c", HOST, code], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        shim = int(host.stdout.readline())
        members = inside(shim)
        with opened([shim, *members]) as pidfds:
            # Stop both first, so that neither sees the end of the other.
            for pid in (host.pid, shim) if "shim" in whom else ():
                os.kill(pid, signal.SIGSTOP)
            for pid in members if "stopped" in whom else ():
                os.kill(pid, signal.SIGSTOP)
            if "shim" in whom:
                os.kill(shim, signal.SIGKILL)
            host.kill()
            assert all(map(ends, pidfds))


async def test_program_is_not_the_init_of_its_namespace() -> None:
    """So signals have their usual effect on it. /proc is that of the namespace."""
    code = """
    import os
    print(os.getpid(), os.getppid(), sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()))
    print(os.path.samefile("/proc/self/exe", f"/proc/{os.getpid()}/exe"))
    """
    async with limit(20), Overseer(containment="pidns") as overseer:
        overseer.add("web", *child(code), restart=Restart("never"))
        assert 0 == (await overseer.supervise("web")).exit_code
        assert ["2 1 [1, 2]", "True"] == [str(line.text) for line in overseer["web"].tail()]
        sleeper = await overseer.add("sleeper", "sleep", "60", stop=Stop(timeout=20)).start()
        assert signal.SIGTERM == (await sleeper.stop()).signal


async def test_orphans_are_reaped_while_the_program_lives() -> None:
    """The init reaps them, so that no zombie stays."""
    code = """
    import os, sys
    for _ in range(20):
        hear, tell = os.pipe()
        if (pid := os.fork()) == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.close(tell)
        os.waitpid(pid, 0)
        os.read(hear, 1)
    print("up", flush=True)
    sys.stdin.read()
    """
    async with limit(20), Overseer(containment="pidns") as overseer:
        service = overseer.add("web", *child(code), stdin="pipe", restart=Restart("never"))
        lines = service.lines()
        await service.start()
        assert "up" == await next_line(lines)
        assert service.pid is not None
        # The last ones may not be reaped yet. Without reaping there would be twenty.
        assert len(inside(service.pid, zombies=True)) <= 4
        await service.stop()


async def test_each_run_has_its_own_namespace() -> None:
    """The exit of each run is that of its program."""
    async with limit(30), Overseer(containment="pidns") as overseer:
        overseer.add("web", "sh", "-c", "echo $$; exit 3", restart=Restart(max_restarts=2, within=None))
        status = await overseer.supervise("web")
        assert (State.FATAL, 3) == (status.state, status.exit_code)
        assert ["2"] * 3 == [str(line.text) for line in overseer["web"].tail()]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may run a program as another user")
async def test_program_of_another_user_is_ended_too() -> None:
    """It gives up its rights inside the namespace."""
    async with limit(30), Overseer(containment="pidns") as overseer:
        service = overseer.add("web", "sh", "-c", "id -u; exec setsid sleep 60", user="65534")
        lines = service.lines()
        await service.start()
        assert "65534" == await next_line(lines)
        assert service.pid is not None
        with opened(inside(service.pid)) as pidfds:
            os.kill(service.pid, signal.SIGKILL)
            assert all(map(ends, pidfds))


@pytest.mark.parametrize("leftovers", ["keep", "report"])
async def test_kept_leftovers_are_refused(leftovers: Literal["keep", "report"]) -> None:
    """A pid namespace would kill them."""
    async with limit(20), Overseer(containment="pidns") as overseer:
        overseer.add("web", "true", leftovers=leftovers, restart=Restart("never"))
        status = await overseer.supervise("web")
        assert isinstance(status.error, SpawnError)
        assert f"leftovers='{leftovers}': a pid namespace ends with its program" in str(status.error)


def test_unavailable_namespace_is_refused() -> None:
    """It never falls to another level, and the error says what to do."""
    with pytest.raises(ContainmentError, match=r'containment="pidns" is not available: no room; ask for "strict"'):
        decide("pidns", Facilities(pidns="no room"))
    assert () == decide("pidns", Facilities(pidns=None)).escapes


def in_a_user_namespace(*, most: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run a host where the kernel allows a given number of pid namespaces."""
    script = f'echo {most} >/proc/sys/user/max_pid_namespaces && exec "$0" "$@"'
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=25, check=False)
    if "max_pid_namespaces" in done.stderr or done.stderr.startswith("unshare"):
        pytest.skip(done.stderr)
    return done


def test_refusal_of_the_kernel_is_quoted() -> None:
    """When the overseer is made."""
    code = """
from aioverseer import ContainmentError, Overseer
try:
    Overseer(containment="pidns")
except ContainmentError as error:
    print(error)
"""
    done = in_a_user_namespace(most=0, code=code)
    assert "no pid namespace can be made (No space left on device); ask for" in done.stdout, done.stderr


def test_later_refusal_of_the_kernel_is_the_cause() -> None:
    """It is no exit code of the program, which was never run."""
    code = """
import asyncio
from aioverseer import Overseer, Restart, ready
async def main():
    async with Overseer(containment="pidns") as overseer:
        # A real run: the kernel frees the namespace of the trial at its own time, so the first service may need a
        # restart.
        up = ready.line("up")
        first = await overseer.add("first", "sh", "-c", "echo up; exec sleep 60", ready=up).start()
        second = overseer.add("second", "sleep", "60", restart=Restart("never"))
        print((await overseer.supervise("second")).reason)
asyncio.run(main())
"""
    done = in_a_user_namespace(most=1, code=code)
    assert (
        "exited with code 127 (it was never run: no pid namespace can be made (No space left on device))" in done.stdout
    ), done.stderr


async def test_one_service_can_have_a_namespace() -> None:
    """If the system refuses it, that service alone cannot be started."""
    async with limit(20), Overseer(containment="basic") as overseer:
        own = overseer.add("own", "sh", "-c", "echo up; exec sleep 60", containment="pidns")
        lines = own.lines()
        await own.start()
        assert "up" == await next_line(lines)
        assert own.pid is not None
        assert 2 == len(inside(own.pid))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shim_client, "missing_namespace", lambda: "no room")
            service = overseer.add("none", "sleep", "60", containment="pidns", restart=Restart("never"))
            overseer.launcher._others.clear()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType]  # as in another host
            with pytest.raises(NotReady, match="is not available: no room"):
                await service.start()
        await own.stop()
