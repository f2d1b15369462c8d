"""A tree of programs that ignore signals, and hosts of that tree that end in each way.

Used by the tests of containment, and by ``python tests/soak torture``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from pathlib import Path

__all__ = ["MECHANISMS", "WAYS", "host", "leftovers_of", "live_processes", "marked", "wait_for_ends"]

MECHANISMS = ("basic", "guarded", "shim", "cgroup", "pidns")
"""Mechanisms of containment. ``basic`` promises nothing for a killed host."""

WAYS = ("normal", "exception", "exit", "cancellation", "SIGINT", "SIGTERM", "SIGKILL")
"""Ways in which a host ends."""

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
    if pid := os.fork():
        if number % 3 == 2:
            os.waitpid(pid, 0)  # it only had the daemon to start
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
"""Ten processes: children in the group, in sessions of their own, and daemons. They ignore signals and hold pipes."""

HOST = """
import asyncio, ctypes, os, signal, sys
from aioverseer import Overseer, Stop
from aioverseer._system.containment import cgroup
mark, mechanism, way, loop, tree = sys.argv[1:6]
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
        print(overseer.containment.mechanism if overseer.containment.level == "strict" else level, flush=True)
        # A fork by a library in C runs no fork handlers of Python, so copies of descriptors stay open.
        fork = {"fork": os.fork, "fork in C": ctypes.CDLL(None).fork}.get(way)
        if fork is not None and fork() == 0:
            print(os.getpid(), flush=True)
            while True:
                signal.pause()
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
if loop == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


def live_processes(mark: str) -> list[int]:
    """Return the processes with this word in their command line."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{int(name)}/cmdline").read_bytes().split(b"\0")
            if mark.encode() in words and int(name) != os.getpid():
                found.append(int(name))
    return found


def guardians_of(host: int) -> dict[int, int]:
    """Return the guardian of a live host with its pidfd. Guardians of other hosts may run on this machine."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if b"guardian/boot.py" not in Path(f"/proc/{int(name)}/cmdline").read_bytes():
                continue
            parent = Path(f"/proc/{int(name)}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1]
            if int(parent) == host:
                found[int(name)] = os.pidfd_open(int(name))
    return found


def wait_for_ends(pids: list[int], deadline: float) -> None:
    """Wait until all processes have ended, or until the deadline."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            try:
                select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
            finally:
                os.close(pidfd)


@contextlib.contextmanager
def marked() -> Generator[str]:
    """Give a word that nobody else has; whoever has it at the end is killed."""
    mark = f"tree-{uuid.uuid4().hex}"
    try:
        yield mark
    finally:
        found = live_processes(mark)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for_ends(found, time.monotonic() + 5.0)


@contextlib.contextmanager
def host(
    mark: str, level: str, way: str, *, loop: str = "asyncio", user: str | None = None
) -> Generator[subprocess.Popen[str]]:
    """Run a host until its tree is up.

    Args:
        mark: A word in the command lines of all of it.
        level: The mechanism of containment that it uses.
        way: The way in which it ends.
        loop: ``"asyncio"`` or ``"uvloop"``.
        user: The user of the host; None is the current user.
    """
    words = [sys.executable, "-c", HOST, mark, level, way, loop, TREE]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, user=user, cwd="/"
    ) as process:
        try:
            assert process.stdout is not None
            assert level == process.stdout.readline().strip()
            yield process
        finally:
            process.kill()


def leftovers_of(level: str, way: str, *, loop: str = "asyncio", user: str | None = None) -> list[int]:
    """Let one host end in this way; return the live processes of its tree afterwards, or one second after SIGKILL."""
    with marked() as mark, host(mark, level, way, loop=loop, user=user) as process:
        tree, mine = live_processes(mark), guardians_of(process.pid)
        if way.startswith("SIG"):  # otherwise the host may have ended already
            assert len(tree) >= _TREE, f"the tree of {level}, {way} is not whole"
            process.send_signal(getattr(signal, way))
        process.wait(20)
        if way == "SIGKILL":
            wait_for_ends(tree, time.monotonic() + 1.0)
        try:
            # The guardian of a killed host ends after the tree.
            stayed = [pid for pid, pidfd in mine.items() if not select.select([pidfd], [], [], 1.0)[0]]
        finally:
            for pidfd in mine.values():
                os.close(pidfd)
        return live_processes(mark) + stayed


_TREE = 11
"""The ten processes and the host."""
