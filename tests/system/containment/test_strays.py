"""The register of runs: which processes are strays, and when pids prove that there are none."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest

from aioverseer._system.containment import outside, procfs
from aioverseer._system.containment.outside import OutsideSignal
from aioverseer._system.containment.pid_hints import LastPid
from aioverseer._system.containment.strays import StrayRegistry
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture(autouse=True)
def eager_threads() -> Iterator[None]:
    """Make threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_process_is_judged_while_runs_end_in_other_threads() -> None:
    """A process without a marker is compared with sessions that come and go."""
    runs = StrayRegistry()
    runs.end(runs.begin(), 1, kept=False)
    over = threading.Event()

    def end_many() -> None:
        while not over.is_set():
            runs.end(runs.begin(), 1, kept=False)

    stranger = subprocess.Popen(["sleep", "100"], env={})
    others = [threading.Thread(target=end_many) for _ in range(2)]
    for other in others:
        other.start()
    try:
        assert True not in [runs.judge(stranger.pid) for _ in range(2000)]
    finally:
        over.set()
        for other in others:
            other.join()
        stranger.kill()
        stranger.wait()


class World:
    """Answers of a kernel, and the processes that were read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.last = 1000
        self.environments: dict[int, bytes] = {}
        self.outside: set[int] = set()
        self.seen: list[int] = []
        self.on_look: Callable[[int], None] = lambda _pid: None
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("os.getsid", lambda pid: 0 if pid in self.outside else pid)
        monkeypatch.setattr(procfs, "HAS_PROC", True)
        monkeypatch.setattr(LastPid, "ask", lambda _self, *, keep_open: self.last)
        monkeypatch.setattr(procfs, "environment_of", self.environment_of)
        monkeypatch.setattr(procfs, "is_between_programs", lambda pid: b"" == self.environments.get(pid))
        monkeypatch.setattr(procfs, "state_of", lambda pid: "S" if pid in self.environments else "X")

    def environment_of(self, pid: int) -> bytes:
        """Return the environment of a process, empty if there is none."""
        self.seen.append(pid)
        self.on_look(pid)
        return self.environments.get(pid, b"")

    def spawn(self, runs: StrayRegistry) -> tuple[int, int]:
        """Start a run of the host."""
        run = runs.begin()
        self.last += 1
        runs.adopt(self.last)
        return run, self.last


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Replace /proc."""
    return World(monkeypatch)


def test_nothing_is_read_if_only_own_children_were_started(world: World) -> None:
    """Many programs that end at once cost no read of /proc."""
    runs = StrayRegistry()
    crowd = [world.spawn(runs) for _ in range(32)]
    for run, pid in crowd:
        runs.end(run, pid, kept=False)
        assert runs.begin_sweep() is None
    assert [] == world.seen


def test_only_younger_processes_are_read(world: World) -> None:
    """A process that is gone, or that belongs to others, is no reason for a sweep."""
    runs = StrayRegistry()
    first = world.spawn(runs)
    world.last += 2
    world.environments[world.last] = b"HOME=/\0"
    world.spawn(runs)
    runs.end(*first, kept=False)
    assert runs.begin_sweep() is None
    assert {1002, 1003} == set(world.seen)


def test_each_pid_is_checked_once(world: World) -> None:
    """Each run certainly leaves nothing, even while others are started."""
    runs = StrayRegistry()
    living = [world.spawn(runs) for _ in range(8)]
    for _ in range(100):
        world.now += 0.001
        runs.end(*living.pop(0), kept=False)
        assert runs.left_nothing()
        living.append(world.spawn(runs))
    assert [] == world.seen


@pytest.mark.parametrize("meanwhile", ["nothing", "another process", "before", "long ago", "own child"])
def test_run_has_left_nothing_if_no_other_process_was_started(world: World, meanwhile: str) -> None:
    """The other process is not read: it may be in the group, which is then signalled."""
    runs = StrayRegistry()
    if meanwhile == "before":
        world.last += 1
    run, pid = world.spawn(runs)
    if meanwhile == "another process":
        world.last += 1
        world.environments[world.last] = b"HOME=/\0"
    elif meanwhile == "long ago":
        world.now += 1
    elif meanwhile == "own child":
        world.spawn(runs)
    assert not runs.left_nothing()  # the run still lives
    runs.end(run, pid, kept=False)
    assert runs.left_nothing() == (meanwhile not in ("another process", "long ago"))
    assert not runs.left_nothing()  # reported once; only later ends count


def test_checked_pids_expire(world: World) -> None:
    """After a while they may have been reused."""
    runs = StrayRegistry()
    first, second = world.spawn(runs), world.spawn(runs)
    runs.end(*first, kept=False)
    assert runs.left_nothing()
    world.now += 10
    world.last = 1000
    third = world.spawn(runs)
    world.last += 1  # the pid of the second one, which has ended
    runs.end(*third, kept=False)
    assert (second[1], False) == (world.last, runs.left_nothing())


def test_pid_below_the_first_child_is_checked(world: World) -> None:
    """Two threads spawn: the child that is adopted later has the lower pid, and has started another process."""
    runs = StrayRegistry()
    slow, quick = runs.begin(), runs.begin()
    world.last += 3
    spawned, stray, last = range(world.last - 2, world.last + 1)
    world.environments[stray] = b"HOME=/\0"
    runs.adopt(last)
    world.now += 0.001
    runs.adopt(spawned)
    runs.end(slow, spawned, kept=False)
    runs.end(quick, last, kept=False)
    assert not runs.left_nothing()
    assert runs.begin_sweep() is not None


def test_kernel_threads_are_not_read(world: World) -> None:
    """They have no session."""
    runs = StrayRegistry()
    first = world.spawn(runs)
    world.last += 1
    world.outside.add(world.last)
    world.environments[world.last] = b""
    runs.end(*first, kept=False)
    assert runs.begin_sweep() is None
    assert [] == world.seen


@pytest.mark.parametrize("environment", [b"", "marked"])
def test_possible_stray_is_a_reason_for_a_sweep(world: World, environment: bytes | str) -> None:
    """It has the marker of the run, or is in the middle of an exec and shows nothing."""
    runs = StrayRegistry()
    run, pid = world.spawn(runs)
    world.last += 1
    word = f"AIOVERSEER_RUN={runs.marker.word(run, kept=False)}".encode()
    world.environments[world.last] = word if environment == "marked" else b""
    assert runs.begin_sweep() is None  # the run still lives
    runs.end(run, pid, kept=False)
    mark = runs.begin_sweep()
    assert mark is not None
    del world.environments[world.last]
    runs.swept(mark)
    assert runs.begin_sweep() is None


def test_process_started_during_the_check_is_read_too(world: World) -> None:
    """A daemon that forks: the process that is read has just ended, and has started another one."""
    runs = StrayRegistry()
    run, pid = world.spawn(runs)
    word = f"AIOVERSEER_RUN={runs.marker.word(run, kept=False)}".encode()
    world.last += 1

    def end(pid: int) -> None:
        if (pid, world.last) == (1002, 1002):
            world.last += 1
            world.environments[world.last] = word

    world.on_look = end
    runs.end(run, pid, kept=False)
    assert runs.begin_sweep() is not None
    assert [1002, 1003] == world.seen


@pytest.mark.parametrize("reason", ["it has lived for long", "pids wrapped around", "too many were made", "no number"])
def test_sweep_is_needed_if_pids_prove_nothing(world: World, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason leads to a sweep."""
    runs = StrayRegistry()
    run, pid = world.spawn(runs)
    if reason == "it has lived for long":
        world.now += 1
    elif reason == "pids wrapped around":
        world.last = 300
    elif reason == "too many were made":
        world.last += 100
    else:
        monkeypatch.setattr(LastPid, "ask", lambda _self, *, keep_open: None)
    runs.end(run, pid, kept=False)
    assert runs.begin_sweep() is not None


def test_reused_pid_of_an_own_child_is_checked(world: World) -> None:
    """The last owner of a pid counts."""
    runs = StrayRegistry()
    old = world.spawn(runs)
    runs.end(*old, kept=False)
    assert runs.begin_sweep() is None
    world.now += 0.2
    world.last = 999
    young = world.spawn(runs)
    world.last += 1  # the pid of the old one
    world.environments[world.last] = f"AIOVERSEER_RUN={runs.marker.word(young[0], kept=False)}".encode()
    runs.end(*young, kept=False)
    assert (1000, 1001) == (young[1], world.last)
    assert runs.begin_sweep() is not None


def test_memory_of_runs_is_bounded(world: World) -> None:
    """After ten thousand runs only the last ones are remembered."""
    runs = StrayRegistry()
    for _ in range(10_000):
        world.now += 0.01
        runs.end(*world.spawn(runs), kept=False)
    assert (len(runs._hints._adopted) <= 70, len(runs._sessions)) == (True, 256)


def test_leftover_in_the_middle_of_an_exec_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows no environment for a moment, so it is read again."""
    runs = StrayRegistry()
    run = runs.begin()
    shown = iter([b"", b"", b"AIOVERSEER_RUN=" + runs.marker.word(run, kept=True).encode()])
    monkeypatch.setattr(procfs, "pids", lambda: [4321])
    monkeypatch.setattr(procfs, "environment_of", lambda _pid: next(shown))
    monkeypatch.setattr(procfs, "is_between_programs", lambda _pid: True)
    assert [4321] == runs.left_by(run)


def test_wait_for_an_exec_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten milliseconds are many times the length of an exec."""
    runs = StrayRegistry()
    now = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(now) / 200)
    monkeypatch.setattr(procfs, "pids", lambda: [4321])
    monkeypatch.setattr(procfs, "environment_of", lambda _pid: b"")
    monkeypatch.setattr(procfs, "is_between_programs", lambda _pid: True)
    assert [] == runs.left_by(runs.begin())


def test_loadavg_of_lxcfs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers lxcfs may replace the file, with a content that is seconds old."""
    asked = LastPid()
    assert asked.ask(keep_open=False) is not None
    real = os.open
    with monkeypatch.context() as patch, tempfile.NamedTemporaryFile() as other:
        other.write(b"0.00 0.00 0.00 1/100 4711\n")
        other.flush()
        patch.setattr(os, "open", lambda _path, flags: real(other.name, flags))
        assert asked.ask(keep_open=True) is None
    assert asked.ask(keep_open=False) is not None


def test_file_of_the_last_pid_is_open_while_runs_live() -> None:
    """It is read at the end of each short run."""
    before = os.listdir("/proc/self/fd")
    runs = StrayRegistry()
    first, second = runs.begin(), runs.begin()
    child = subprocess.Popen(["true"])
    runs.adopt(child.pid)
    child.wait()
    runs.end(first, child.pid, kept=False)
    runs.begin_sweep()
    assert len(before) + 1 == len(os.listdir("/proc/self/fd"))
    runs.end(second, None, kept=False)
    assert before == os.listdir("/proc/self/fd")


def test_process_belongs_to_the_run_of_its_ancestor() -> None:
    """In a session of its own, and without a mark. An ended process belongs to none."""
    runs = StrayRegistry()
    script = "setsid sh -c 'echo $$; exec sleep 60' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, env={}, start_new_session=True) as leader:
        assert leader.stdout is not None
        below = int(leader.stdout.readline())
        runs.adopt(leader.pid, runs.begin())
        try:
            assert [leader.pid, leader.pid, None] == [runs.leader_of(pid) for pid in (leader.pid, below, os.getpid())]
        finally:
            os.kill(below, signal.SIGKILL)
            leader.kill()
    assert runs.leader_of(leader.pid) is None


async def test_signal_outside_of_the_group_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look finds the processes of the first one again."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(outside, "signal_process", lambda pid, _pidfd, number: sent.append((pid, number)))
    looks, looked_twice = 0, asyncio.Event()

    with subprocess.Popen(["sleep", "60"], process_group=0) as program:

        async def find() -> list[int]:
            nonlocal looks
            looks += 1
            if looks == 2:
                looked_twice.set()
            return [program.pid]

        planned = OutsideSignal(os.getsid(0), find=find, owns=lambda _pid: True)
        async with limit(10):
            planned.plan(signal.SIGTERM, soon=0.0, late=0.0)
            await looked_twice.wait()
            await asyncio.sleep(0)
        planned.cancel()
        program.kill()
    assert [(program.pid, signal.SIGTERM), (program.pid, signal.SIGCONT)] == sent
