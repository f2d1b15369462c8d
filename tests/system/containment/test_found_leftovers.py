"""The processes that an ended leader has left: which are watched, and which of them gets which signal."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from aioverseer._system.containment import leftovers, procfs
from aioverseer._system.containment.leftovers import FoundLeftovers, ShimLeftovers, session_of, signal_process
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

FIRST, SECOND = 1 << 30, (1 << 30) + 1
"""No processes: these numbers are above the highest one of the kernel."""


class World:
    """Processes of a test: pipes are their pidfds."""

    def __init__(self) -> None:
        self.live: set[int] = set()
        self.sent: list[tuple[int, int]] = []
        self.pidfds: dict[int, int] = {}
        self._alive: dict[int, int] = {}
        self._inodes: dict[int, int] = {}

    def open_pidfd(self, pid: int) -> int:
        """Return a descriptor that becomes readable at the end of a process."""
        self.pidfds[pid], self._alive[pid] = os.pipe()
        self._inodes[pid] = os.fstat(self.pidfds[pid]).st_ino
        return self.pidfds[pid]

    def end(self, pid: int) -> None:
        """End a process."""
        self.live.discard(pid)
        if (descriptor := self._alive.pop(pid, None)) is not None:
            os.close(descriptor)

    def leftovers(self, *found: int, find: Callable[[], Any] | None = None) -> FoundLeftovers:
        """Return the leftovers of a run."""

        async def nothing() -> list[int]:
            return []

        return FoundLeftovers(
            found,
            group=1,
            find=find or nothing,
            is_left=lambda pid: pid in self.live,
            signal_group=lambda _number: True,
            reached=lambda _pid: 0,
        )

    def is_watched(self, pid: int) -> bool:
        """Return whether the pidfd of a process is open."""
        try:
            # A later pidfd may have the same number.
            return os.fstat(self.pidfds[pid]).st_ino == self._inodes[pid]
        except OSError:
            return False


@pytest.fixture(name="world")
def world_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Replace the processes of the system."""
    world = World()
    monkeypatch.setattr(leftovers, "open_pidfd", world.open_pidfd)
    monkeypatch.setattr(leftovers, "signal_process", lambda pid, _pidfd, number: world.sent.append((pid, number)))
    yield world
    for pid in (FIRST, SECOND):
        world.end(pid)


def test_process_that_ends_before_it_is_watched_is_no_leftover(world: World) -> None:
    """Its number may be that of another process by now."""
    left = world.leftovers(FIRST)
    assert (False, ()) == (bool(left), left.processes)
    assert not world.is_watched(FIRST)


def test_signal_reaches_processes_beyond_the_number_of_the_watched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a process is asked for before each signal, as nothing reports its end."""
    monkeypatch.setattr(leftovers, "_MAX_WATCHED", 1)
    world.live = {FIRST, SECOND}
    left = world.leftovers(FIRST, SECOND)
    assert [FIRST, SECOND] == [each.pid for each in left.processes]
    assert [FIRST] == list(world.pidfds)
    left.signal(signal.SIGTERM)
    world.end(SECOND)
    left.signal(signal.SIGINT)
    assert [(FIRST, signal.SIGTERM), (SECOND, signal.SIGTERM), (FIRST, signal.SIGINT)] == world.sent
    left.close()


async def test_closed_pidfd_is_watched_no_more_at_once(world: World) -> None:
    """Its number may belong to a socket of the application before the waiting task has ended."""
    world.live = {FIRST}
    left = world.leftovers(FIRST)
    waiting = asyncio.create_task(left.wait())
    await asyncio.sleep(0)
    number = world.pidfds[FIRST]
    waiting.cancel()
    left.close()
    mine, other = os.pipe()
    os.dup2(mine, number)
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(number, came.set)
        await asyncio.wait({waiting})
        os.write(other, b"x")
        async with limit():
            await came.wait()
    finally:
        loop.remove_reader(number)
        for descriptor in {mine, other, number}:
            os.close(descriptor)


async def test_signal_during_a_search_reaches_what_the_search_finds(world: World) -> None:
    """A process that was started after the search before has not had it."""
    searching, go_on = asyncio.Event(), asyncio.Event()

    async def find() -> list[int]:
        searching.set()
        await go_on.wait()
        return sorted(world.live)

    world.live = {FIRST}
    left = world.leftovers(FIRST, find=find)
    async with limit(10):
        waiting = asyncio.create_task(left.wait())
        await asyncio.sleep(0)
        world.end(FIRST)
        await searching.wait()
        left.signal(signal.SIGTERM)
        world.live = {SECOND}
        searching.clear()
        go_on.set()
        await searching.wait()  # the search after the signal
        assert (SECOND, signal.SIGTERM) in world.sent
        assert (False, True) == (world.is_watched(FIRST), world.is_watched(SECOND))
        world.end(SECOND)
        await waiting
    left.close()


async def test_living_process_stays_watched_after_the_end_of_another(world: World) -> None:
    """A signal causes a search, after which the ended one is forgotten."""
    searched = asyncio.Event()

    async def find() -> list[int]:
        searched.set()
        return sorted(world.live)

    world.live = {FIRST, SECOND}
    left = world.leftovers(FIRST, SECOND, find=find)
    async with limit(10):
        waiting = asyncio.create_task(left.wait())
        await asyncio.sleep(0)
        world.end(FIRST)
        left.signal(signal.SIGTERM)
        await searched.wait()
        assert not waiting.done()
        assert (False, True) == (world.is_watched(FIRST), world.is_watched(SECOND))
        world.end(SECOND)
        await waiting
    left.close()


def test_session_of_an_ended_leader_has_no_zombies() -> None:
    """The leader itself is one, as nobody has reaped it."""
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        left = int(leader.stdout.readline())
        leader.kill()
        os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
        try:
            assert [left] == session_of(leader.pid)
        finally:
            os.kill(left, signal.SIGKILL)


def test_ended_process_gets_no_signal_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number may belong to another process by now."""
    with subprocess.Popen(["true"]) as program:
        pidfd = os.pidfd_open(program.pid)
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _number: sent.append(pid))
    signal_process(program.pid, pidfd, signal.SIGTERM)
    os.close(pidfd)
    assert [] == sent


def test_signal_is_sent_by_number_where_the_system_refuses_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sandbox does."""

    def refuse(_pidfd: int, _number: int) -> None:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    for has_pidfd in (True, False):
        with subprocess.Popen(["sleep", "60"]) as program:
            pidfd = os.pidfd_open(program.pid) if has_pidfd else None
            signal_process(program.pid, pidfd, signal.SIGTERM)
            if pidfd is not None:
                os.close(pidfd)
            assert -signal.SIGTERM == program.wait(10)


def test_missed_signal_below_a_shim_goes_to_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shim does not know whom the signal has reached. The shim sends a signal that has reached nobody."""
    sent: list[tuple[int, bool]] = []

    class FakeShim:
        def signal_leftovers(self, number: int, *, missed: bool) -> None:
            sent.append((number, missed))

    async def ended() -> None:
        pass

    monkeypatch.setattr(os, "getpgid", lambda pid: pid)
    monkeypatch.setattr(procfs, "parent_of", lambda _pid: 4321)
    left = ShimLeftovers(
        [FIRST, SECOND], shim=cast("Any", FakeShim()), pid=4321, wait=ended, reached={FIRST: signal.SIGTERM}
    )
    left.signal(signal.SIGTERM, missed=True)
    assert ([], [(SECOND, signal.SIGTERM)]) == (sent, world.sent)
    left.signal(signal.SIGINT, missed=True)
    left.signal(signal.SIGTERM)
    assert ([(signal.SIGINT, True), (signal.SIGTERM, False)], 1) == (sent, len(world.sent))
