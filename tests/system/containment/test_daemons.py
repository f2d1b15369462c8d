"""A daemon that has overwritten its environment, left its session and closed its descriptors is found all the same."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import Overseer, Process, Status
from aioverseer._system.containment.shim.client import missing_namespace
from aioverseer._system.containment.strays import stray_registry
from tests.support.daemons import DAEMON
from tests.support.host_tree import wait_for_ends
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
NO_PIDNS = missing_namespace()

HOST = """
import asyncio, sys
from aioverseer import Overseer
async def main():
    async with Overseer(containment=sys.argv[1]) as overseer:
        service = overseer.add("daemon", sys.executable, "-I", "-S", "-c", sys.argv[2], *sys.argv[3:])
        lines = service.lines()
        await service.start()
        print((await lines.get()).text, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture(name="daemons")
def daemons_fixture() -> Iterator[list[int]]:
    """Collect pids; a test must leave none of them alive."""
    pids: list[int] = []
    yield pids
    alive = [pid for pid in pids if is_alive(pid)]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert [] == alive


def shown_by(status: Status) -> str:
    """Return the first line of a program."""
    assert status.stdout
    return str(status.stdout[0])


def is_alive(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


@pytest.mark.parametrize("stays", [(), ("stay",)], ids=["leader ends", "leader stays"])
@pytest.mark.parametrize("level", ["basic", "guarded", "strict"])
async def test_daemon_is_gone_after_the_block(level: str, stays: tuple[str, ...], daemons: list[int]) -> None:
    """Neither its session nor its environment tells whose it is."""
    async with limit(20):
        async with Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # of the parameters
            service = overseer.add("daemon", *child(DAEMON, *stays))
            lines = service.lines()
            await service.start()
            daemons.append(int((await lines.get()).text))
        assert not is_alive(daemons[0])


async def test_daemon_of_a_lone_process_is_gone(daemons: list[int]) -> None:
    """At its end, without an overseer."""
    async with limit(10):
        status = await Process(*child(DAEMON), buffered=True)
    daemons.append(int(shown_by(status)))
    assert not is_alive(daemons[0])


async def test_daemon_in_a_session_that_was_forgotten_is_gone(daemons: list[int]) -> None:
    """The block ends later than the memory of its session."""
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("daemon", *child(DAEMON, "stay"))
        lines = service.lines()
        await service.start()
        daemons.append(int((await lines.get()).text))
        stray_registry()._sessions.clear()


@pytest.mark.parametrize(
    ("level", "stays"),
    [
        pytest.param("guarded", (), id="guarded-leader ends"),
        pytest.param("guarded", ("stay",), id="guarded-leader stays"),
        pytest.param("strict", ("stay",), id="strict-leader stays"),
        pytest.param(
            "pidns",
            ("stay",),
            id="pidns-leader stays",
            marks=pytest.mark.skipif(NO_PIDNS is not None, reason=f"{NO_PIDNS}"),
        ),
    ],
)
def test_daemon_is_gone_after_the_host_was_killed(level: str, stays: tuple[str, ...], daemons: list[int]) -> None:
    """The guardian knows the mark; a shim and a namespace need none."""
    words = [sys.executable, "-c", HOST, level, DAEMON, *stays]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        shown = int(host.stdout.readline())
        found = descendants(host.pid)
        # The pid that a program sees in a namespace means nothing here.
        daemons += found if level == "pidns" else [shown]
        host.kill()
    wait_for_ends(daemons, time.monotonic() + 5.0)
    assert daemons
    assert [] == [pid for pid in daemons if is_alive(pid)]


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for below in map(int, (task / "children").read_text(encoding="ascii").split()):
                found += [below, *descendants(below)]
    return found


async def test_program_has_the_limits_of_its_host() -> None:
    """The limits that have a name are as they were, in the program and in the host."""
    code = "import json, resource; print(json.dumps([resource.getrlimit(n) for n in range(16)]))"
    before = [resource.getrlimit(number) for number in range(16)]
    status = await Process(*child(code), buffered=True)
    named = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
    shown = [tuple(pair) for pair in json.loads(shown_by(status))]
    assert [before[number] for number in named] == [shown[number] for number in named]
    assert [hard for _, hard in before] == [hard for _, hard in shown]
    assert before == [resource.getrlimit(number) for number in range(16)]


@pytest.mark.parametrize("spawner", ["pidfd", "asyncio", "uvloop"])
def test_every_spawner_marks_its_programs(spawner: str) -> None:
    """From the first instruction on. The host itself has no mark afterwards."""
    if spawner == "uvloop":
        pytest.importorskip("uvloop")
    variables = {**os.environ, **({"AIOVERSEER_SPAWNER": "asyncio"} if spawner == "asyncio" else {})}
    words = [sys.executable, "-c", MARKED, spawner]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    unlimited = str((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (["True True", "True True", unlimited], "") == (done.stdout.splitlines(), done.stderr)


MARKED = """
import asyncio, resource, sys
from aioverseer import Process
from aioverseer._system.containment.strays import stray_registry
SHOW = "import resource; print(resource.getrlimit(10)[0])"
async def main():
    for program in (sys.executable, "python3"):
        status = await Process(program, "-I", "-S", "-c", SHOW, buffered=True)
        value = int(status.stdout[0])
        print(value >= 1 << 62, value >> 31 == 1 << 31 | int(stray_registry().limit_mark.word.partition(":")[2]))
if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
print(resource.getrlimit(10))
"""
