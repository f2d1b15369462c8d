"""However a host ends, nothing that it started is alive a second later."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from aioverseer.system.containment.cgroup import tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
CGROUP = pytest.param("cgroup", marks=pytest.mark.skipif(tree().missing() is not None, reason=f"{tree().missing()}"))

TREE = """
import os, signal, sys
mark, gate = sys.argv[1], sys.argv[2]
def stay():
    for number in (1, 2, 15):
        signal.signal(number, signal.SIG_IGN)
    os.write(tell, b"x")
    while True:
        signal.pause()
hear, tell = os.pipe()
for number in range(9):
    if os.fork():
        continue
    if number % 3 == 1:
        os.setsid()
    elif number % 3 == 2:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setpgid(0, 0)
    stay()
for _ in range(9):
    os.read(hear, 1)
print("up", flush=True)
stay()
"""
"""Ten: children in the group, in sessions of their own, and daemons; none heeds a signal, all hold the pipes."""

HOST = """
import asyncio, os, signal, sys
from aioverseer import Overseer, Stop
from aioverseer.system.containment import cgroup
mark, mechanism, way, tree = sys.argv[1:5]
level = "strict" if mechanism in ("shim", "cgroup") else mechanism
if mechanism == "shim":
    cgroup.Tree.missing = lambda tree: "this test is about shims"
async def main():
    async with Overseer(containment=level, handle_signals=way == "SIGTERM") as overseer:
        quick = Stop(steps=[(signal.SIGTERM, 0.05), (signal.SIGKILL, 2)])
        service = overseer.add("tree", sys.executable, "-I", "-S", "-c", tree, mark, "x", stop=quick, drain_timeout=0.1)
        lines = service.lines()
        await service.start()
        assert "up" == (await lines.get()).text
        print(overseer.containment.mechanism if level == "strict" else level, flush=True)
        if way == "exception":
            raise ValueError("the block fails")
        if way == "exit":
            sys.exit(3)
        if way == "cancellation":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        if way == "SIGTERM":
            await service.wait()
        elif way != "normal":
            await asyncio.Event().wait()
asyncio.run(main())
"""


def living(mark: str) -> list[int]:
    """Those with this word in their command line."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{int(name)}/cmdline").read_bytes().split(b"\0")
            if mark.encode() in words and int(name) != os.getpid():
                found.append(int(name))
    return found


def watchmen() -> set[int]:
    """The guardians of all hosts of this machine."""
    found: set[int] = set()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if b"watchman.py" in Path(f"/proc/{int(name)}/cmdline").read_bytes():
                found.add(int(name))
    return found


def wait_for_ends(pids: list[int], deadline: float) -> None:
    """Return when all of them are gone, or at the deadline."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            try:
                select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
            finally:
                os.close(pidfd)


@pytest.fixture(name="mark")
def mark_fixture() -> Iterator[str]:
    """A word that no other test has; whoever has it at the end is killed."""
    mark = f"tree-{uuid.uuid4().hex}"
    yield mark
    for pid in living(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def host(mark: str, level: str, way: str) -> Generator[subprocess.Popen[str]]:
    """A host whose tree is up."""
    words = [sys.executable, "-c", HOST, mark, level, way, TREE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert level == process.stdout.readline().strip()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("level", ["basic", "guarded", "shim", CGROUP])
@pytest.mark.parametrize("way", ["normal", "exception", "exit", "cancellation", "SIGINT", "SIGTERM"])
def test_nothing_lives_when_the_block_has_ended(mark: str, level: str, way: str) -> None:
    """However it ended; children, sessions and daemons. The guardian is gone with it."""
    with host(mark, level, way) as process:
        if way.startswith("SIG"):
            process.send_signal(getattr(signal, way))
        process.wait(20)
        # The host is over: what lives now has outlived the end of its block.
        assert [] == living(mark)


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP])
def test_nothing_lives_a_second_after_the_host_was_killed(mark: str, level: str, turn: int) -> None:
    """Of ten, none that heeds a signal; and no guardian is left."""
    before = watchmen()
    with host(mark, level, "SIGKILL") as process:
        tree = living(mark)
        assert 11 <= len(tree), turn
        mine = list(watchmen() - before)
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 1.0
        wait_for_ends(tree, deadline)
        assert [] == living(mark)
        wait_for_ends(mine, deadline + 1.0)
        assert not set(mine) & watchmen()


def test_without_a_guardian_a_killed_host_leaves_its_programs(mark: str) -> None:
    """What the level basic says of itself is true, and so the test above tests something."""
    with host(mark, "basic", "SIGKILL") as process:
        process.kill()
        process.wait(10)
        assert 10 == len(living(mark))
