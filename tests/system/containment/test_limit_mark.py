"""Marks in a limit: which limit, which value, and that nobody else gets it."""

from __future__ import annotations

import _thread
import errno
import functools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer._system.containment import mark_window, procfs
from aioverseer._system.containment.guardian import main as guardian_main
from aioverseer._system.containment.limit_mark import LimitMark, SpawnMark
from aioverseer._system.containment.mark_window import MarkWindow, fork_with_mark
from aioverseer._system.containment.pid_hints import LastPid
from aioverseer._system.containment.strays import StrayRegistry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

LOCKS, RTTIME = 10, 15
SLEEP = ["/bin/sleep", "60"]
FORK = ["/usr/bin/setsid", "/bin/sh", "-c", "sleep 60 & echo $!; wait"]


@pytest.fixture(name="start")
def start_fixture() -> Iterator[Callable[[SpawnMark | None], subprocess.Popen[bytes]]]:
    """Return a function that starts a program with a mark; it is killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: SpawnMark | None) -> subprocess.Popen[bytes]:
        started.append(MarkWindow(mark).call(lambda: subprocess.Popen(SLEEP, env={}, start_new_session=True)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@given(run=st.integers(1, (1 << 30) - 1), kept=st.booleans())
def test_mark_tells_the_run(run: int, kept: bool) -> None:
    """And whether its leftovers are kept; to the guardian, too. Another host's mark tells nothing."""
    mine, other = LimitMark(lambda _age: None), LimitMark(lambda _age: None)
    mark = mine.of(run, kept=kept)
    assert mark is not None
    marks = guardian_main.Marks("token", mine.word)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource, "prlimit", lambda _pid, field: (mark.value if field == mark.field else -1, -1))
        assert (run, kept) == mine.find(4321)
        assert other.find(4321) is None
        assert marks.has_limit(4321) is not kept
        assert not guardian_main.Marks("token", other.word).has_limit(4321)


def test_run_with_a_number_too_high_has_no_mark() -> None:
    """After a billion runs the variable in the environment is left."""
    assert LimitMark(lambda _age: None).of(1 << 30, kept=False) is None


def test_mark_of_another_users_process_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[SpawnMark | None], subprocess.Popen[bytes]]
) -> None:
    """prlimit(2) refuses it, /proc shows it to everybody."""
    limit_mark = LimitMark(lambda _age: None)
    marked, plain = start(limit_mark.of(7, kept=False)), start(None)

    def refuse(_pid: int, _field: int) -> tuple[int, int]:
        raise PermissionError

    monkeypatch.setattr(resource, "prlimit", refuse)
    assert ((7, False), None) == (limit_mark.find(marked.pid), limit_mark.find(plain.pid))
    marks = guardian_main.Marks("token", limit_mark.word)
    assert (True, False) == (marks.has_limit(marked.pid), marks.has_limit(plain.pid))


def test_zombie_is_no_stray(start: Callable[[SpawnMark | None], subprocess.Popen[bytes]]) -> None:
    """It still has its limit."""
    runs = StrayRegistry()
    run = runs.begin()
    process = start(runs.limit_mark.of(run, kept=False))
    runs.end(run, 1, kept=False)
    assert runs.judge(process.pid)
    assert [process.pid] == runs.left_by(run)
    marks = guardian_main.Marks("token", runs.limit_mark.word)
    assert guardian_main._judge(process.pid, marks, frozenset())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert runs.limit_mark.find(process.pid) is not None
    assert not runs.judge(process.pid)
    assert [] == runs.left_by(run)
    assert not guardian_main._judge(process.pid, marks, frozenset())


def test_live_and_kept_runs_leave_no_strays(start: Callable[[SpawnMark | None], subprocess.Popen[bytes]]) -> None:
    """As with the variable."""
    runs = StrayRegistry()
    live, kept = runs.begin(), runs.begin()
    first, second = start(runs.limit_mark.of(live, kept=False)), start(runs.limit_mark.of(kept, kept=True))
    runs.end(kept, 1, kept=True)
    runs.close()
    assert (False, False) == (runs.judge(first.pid), runs.judge(second.pid))
    assert [second.pid] == runs.left_by(kept)


@pytest.mark.parametrize("program", ["", "sys.setswitchinterval(1e-6)"])
def test_child_of_another_thread_gets_no_mark(program: str) -> None:
    """Neither while a program is started in one step, nor while Python code runs meanwhile."""
    done = subprocess.run([sys.executable, "-c", program.join(OTHERS)], capture_output=True, text=True, check=False)
    assert ("0 of 60\n", "") == (done.stdout, done.stderr)


OTHERS = (
    """
import asyncio, resource, subprocess, sys, threading
from aioverseer import Process
""",
    """
before, over, seen = resource.getrlimit(10), threading.Event(), []
def start_others():
    while not over.is_set():
        if len(seen) < 60:
            process = subprocess.Popen(["/bin/sleep", "60"])
            seen.append(process)
thread = threading.Thread(target=start_others)
thread.start()
async def main():
    while len(seen) < 60:
        await asyncio.gather(*(Process("/bin/true") for _ in range(4)))
asyncio.run(main())
over.set()
thread.join()
print(sum(resource.prlimit(it.pid, 10) != before for it in seen), "of", len(seen))
for process in seen:
    process.kill()
    process.wait()
""",
)


def test_process_in_the_session_of_the_host_is_no_stray() -> None:
    """No descendant of a program comes back to it: another thread has started the process during a spawn."""
    runs = StrayRegistry()
    run = runs.begin()
    mark = runs.limit_mark.of(run, kept=False)
    started = [
        MarkWindow(mark).call(functools.partial(subprocess.Popen, SLEEP, start_new_session=new))
        for new in (False, True)
    ]
    try:
        runs.end(run, 1, kept=False)
        assert [False, True] == [runs.judge(process.pid) for process in started]
    finally:
        runs.close()
        for process in started:
            process.kill()
            process.wait()


def start_thread() -> Callable[[], None]:
    """Start a thread that ``threading`` does not know, as libraries in C do; return the function that ends it."""
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())
    return lock.release


def limit_of(pid: int) -> int:
    """Return the soft limit of a process."""
    return resource.prlimit(pid, LOCKS)[0]


def test_orphan_of_a_thread_that_nobody_knows_loses_the_mark() -> None:
    """The orphan is in the session of the host. Each program of the library has a session of its own."""
    mark = SpawnMark(LOCKS, 1 << 62 | 4711, lambda _age: LastPid().ask(keep_open=False))
    end_thread = start_thread()
    try:
        window = MarkWindow(mark)
        orphan = int(window.call(lambda: subprocess.check_output(["/bin/sh", "-c", "sleep 60 >&2 & echo $!"])))
        try:
            assert mark.value == limit_of(orphan)
            window.clear_others(0)
            assert resource.getrlimit(LOCKS)[0] == limit_of(orphan)
        finally:
            os.kill(orphan, signal.SIGKILL)
    finally:
        end_thread()


def test_child_of_a_marked_process_that_starts_late_loses_the_mark() -> None:
    """It is started after the last process id was asked for, and before its parent loses the mark."""
    script = "read -r line; sleep 60 >&2 & echo $!; wait"
    calls = late = 0

    def last_pid(_age: float) -> int | None:
        nonlocal calls, late
        calls += 1
        found = LastPid().ask(keep_open=False)
        if calls == 2:  # the first one is that of the window
            process.stdin.write(b"\n")
            process.stdin.flush()
            late = int(process.stdout.readline())
        return found

    mark = SpawnMark(LOCKS, 1 << 62 | 4711, last_pid)
    end_thread = start_thread()
    window = MarkWindow(mark)
    words = ["/bin/sh", "-c", script]
    process: Any = window.call(lambda: subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    with process:
        try:
            window.clear_others(0)
            assert [resource.getrlimit(LOCKS)[0]] * 2 == [limit_of(process.pid), limit_of(late)]
        finally:
            end_thread()
            process.kill()
            if late:
                os.kill(late, signal.SIGKILL)


@pytest.mark.parametrize("known", [True, False])
def test_child_that_was_started_during_a_window_loses_the_mark(*, known: bool) -> None:
    """Its child loses it too. Popen runs Python code, so another thread may start a child of its own."""
    before = resource.getrlimit(LOCKS)
    mark = SpawnMark(LOCKS, 1 << 62 | 4711, lambda _age: LastPid().ask(keep_open=False) if known else None)
    started: list[subprocess.Popen[bytes]] = []

    def spawn() -> subprocess.Popen[bytes]:
        thread = threading.Thread(target=lambda: started.append(subprocess.Popen(FORK, stdout=subprocess.PIPE)))
        thread.start()
        thread.join()
        return subprocess.Popen(FORK, stdout=subprocess.PIPE)

    window = MarkWindow(mark)
    mine = window.call(spawn)
    started.append(mine)
    try:
        pids = [pid for it in started for pid in (it.pid, int(it.stdout.readline()))]  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  # it is a pipe
        busy = threading.Event()
        another = threading.Thread(target=busy.wait)  # with one thread there would be nothing to look for
        another.start()
        window.clear_others(mine.pid)
        busy.set()
        another.join()
        assert [before[0]] * 2 + [mark.value] * 2 == [resource.prlimit(pid, LOCKS)[0] for pid in pids]
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  # as above


def test_spawn_succeeds_where_no_process_can_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free descriptor, for example. Nobody would know the child of a spawn that fails after the fork."""

    def pids() -> list[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/proc")

    monkeypatch.setattr(procfs, "pids", pids)
    end_thread = start_thread()
    try:
        assert 4711 == fork_with_mark(SpawnMark(LOCKS, 1 << 62, lambda _age: None), lambda: 4711)
    finally:
        end_thread()


def test_failed_spawn_sets_the_limit_back() -> None:
    """In both ways."""
    before = resource.getrlimit(LOCKS)
    mark = SpawnMark(LOCKS, 1 << 62, lambda _age: None)

    def fail() -> int:
        assert 1 << 62 == resource.getrlimit(LOCKS)[0]
        raise BlockingIOError("no more processes")

    for call in (MarkWindow(mark).call, lambda spawn: fork_with_mark(mark, spawn)):
        with pytest.raises(BlockingIOError):
            call(fail)
        assert before == resource.getrlimit(LOCKS)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_of_the_host_during_a_window_has_the_limit_of_the_host() -> None:
    """The fork would otherwise be a stray of the host."""
    before = resource.getrlimit(LOCKS)
    hear, tell = os.pipe()

    def fork() -> None:
        if os.fork() == 0:
            os.write(tell, repr(resource.getrlimit(LOCKS)).encode())
            os._exit(0)

    def fork_elsewhere() -> None:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

    try:
        MarkWindow(SpawnMark(LOCKS, 1 << 62, lambda _age: None)).call(fork_elsewhere)
        os.wait()
        assert repr(before).encode() == os.read(hear, 100)
    finally:
        os.close(hear)
        os.close(tell)


@pytest.mark.parametrize(
    ("outer", "chosen"),
    [
        ({}, LOCKS),
        ({LOCKS: (1 << 62, -1)}, RTTIME),
        ({LOCKS: (1 << 62, -1), RTTIME: (1 << 62, -1)}, RTTIME),
        ({LOCKS: (100, -1)}, RTTIME),
        ({LOCKS: (100, 100)}, RTTIME),
        ({LOCKS: (0, 0), RTTIME: (0, 0)}, None),
        ({LOCKS: (100, -1), RTTIME: (100, -1)}, None),
    ],
)
def test_first_free_limit_is_used(outer: dict[int, tuple[int, int]], chosen: int | None) -> None:
    """Hosts above have theirs; limits of an administrator stay as they are."""
    code = (
        "import sys; from aioverseer._system.containment.limit_mark import LimitMark\n"
        "mark = LimitMark(lambda _age: None).of(1, kept=False)\n"
        "print(mark and mark.field)"
    )
    words = ["prlimit", *(f"--{NAMES[number]}={soft}:{shown(hard)}" for number, (soft, hard) in outer.items())]
    done = subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (f"{chosen}\n", "") == (done.stdout, done.stderr)


NAMES = {LOCKS: "locks", RTTIME: "rttime"}


def shown(limit: int) -> str:
    """Return a limit as prlimit(1) reads it."""
    return "unlimited" if limit == -1 else str(limit)


def test_limit_that_a_sandbox_refuses_later_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is started nevertheless, once."""
    mark = LimitMark(lambda _age: None).of(1, kept=False)
    assert mark is not None

    def refuse(_field: int, _limits: tuple[int, int]) -> None:
        raise PermissionError("seccomp")

    calls: list[int] = []

    def spawn() -> int:
        calls.append(1)
        return 4321

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert [4321, 4321] == [fork_with_mark(mark, spawn), MarkWindow(mark).call(spawn)]
    assert [1, 1] == calls


def test_no_mark_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could be found by it."""
    monkeypatch.setattr(procfs, "HAS_PROC", False)
    runs = LimitMark(lambda _age: None)
    assert (None, "", True) == (runs.of(1, kept=False), runs.word, runs.missing)
    assert runs.find(os.getpid()) is None
    assert not guardian_main.Marks("token", runs.word).has_limit(os.getpid())


def test_daemon_below_a_host_below_a_host_is_a_stray_of_both() -> None:
    """Each host has its own limit."""
    outer = StrayRegistry()
    run = outer.begin()
    code = """if True:
        import os, subprocess
        from aioverseer._system.containment.limit_mark import LimitMark
        from aioverseer._system.containment.mark_window import MarkWindow
        mark = LimitMark(lambda _age: None).of(1, kept=False)
        null = subprocess.DEVNULL
        sleep = lambda: subprocess.Popen(["sleep", "60"], env={}, stdout=null, stderr=null)
        print(MarkWindow(mark).call(sleep).pid, mark.field)
    """
    words = [sys.executable, "-c", code]
    inner = MarkWindow(outer.limit_mark.of(run, kept=False)).call(
        lambda: subprocess.run(words, capture_output=True, text=True, check=True)
    )
    outer.close()
    pid, field = map(int, inner.stdout.split())
    try:
        assert RTTIME == field
        assert 1 << 62 <= resource.prlimit(pid, RTTIME)[0]
        assert (run, False) == outer.limit_mark.find(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_no_mark_where_a_sandbox_refuses_each_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seccomp can make the call fail."""

    def refuse(_field: int, _limits: tuple[int, int]) -> None:
        raise PermissionError("seccomp")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert LimitMark(lambda _age: None).missing


@pytest.mark.parametrize("marked", [False, True])
def test_program_without_a_possible_mark_is_started_once(marked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no mark, or the hard limit of the host has become too low for it."""
    mark = SpawnMark(LOCKS, 1 << 62, lambda _age: None) if marked else None
    monkeypatch.setattr(resource, "getrlimit", lambda _field: (100, 100))
    changed: list[object] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *given: changed.append(given))
    calls: list[int] = []

    def spawn() -> int:
        calls.append(1)
        return 4321

    assert [4321, 4321] == [fork_with_mark(mark, spawn), MarkWindow(mark).call(spawn)]
    assert ([1, 1], []) == (calls, changed)


@pytest.mark.parametrize("threads", [0, 1])
def test_forked_program_keeps_the_mark(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread of the host causes a search for other children, which have to lose it."""
    mark = SpawnMark(LOCKS, 1 << 62 | 4712, lambda _age: None)
    before, over = resource.getrlimit(LOCKS), threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(threads)]
    monkeypatch.setattr(mark_window, "_is_alone", lambda: threads == 0)  # other tests have threads
    for other in others:
        other.start()
    started: list[subprocess.Popen[bytes]] = []

    def fork() -> int:
        started.append(subprocess.Popen(SLEEP, env={}, start_new_session=True))
        return started[0].pid

    try:
        pid = fork_with_mark(mark, fork)
        assert started[0].pid == pid
        assert (mark.value, before) == (limit_of(pid), resource.getrlimit(LOCKS))
    finally:
        over.set()
        for process in started:
            process.kill()
            process.wait()


def test_process_with_a_second_thread_is_not_alone() -> None:
    code = (
        "import _thread\n"
        "from aioverseer._system.containment.mark_window import _is_alone\n"
        "before, began, over = _is_alone(), _thread.allocate_lock(), _thread.allocate_lock()\n"
        "began.acquire(), over.acquire()\n"
        "_thread.start_new_thread(lambda: (began.release(), over.acquire()), ())\n"  # unknown to ``threading``
        "began.acquire()\n"
        "print(before, _is_alone())\n"
        "over.release()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "True False\n" == done.stdout


def test_window_of_another_thread_is_closed_in_a_fork() -> None:
    """In its own thread the fork is the spawn, whose child needs the mark."""
    before = resource.getrlimit(LOCKS)
    marked = (1 << 62, before[1])
    state = mark_window._WindowState()
    try:
        for thread, expected in ((threading.get_ident(), marked), (threading.get_ident() + 1, before)):
            resource.setrlimit(LOCKS, marked)
            state.open = mark_window._OpenWindow(thread, LOCKS, before)
            state.renew()
            left: object = state.open
            assert (expected, None) == (resource.getrlimit(LOCKS), left)
    finally:
        resource.setrlimit(LOCKS, before)


def test_search_for_an_ancestor_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process ids that are reused during the search can lead in a circle."""
    monkeypatch.setattr(os, "getsid", lambda pid: pid)
    monkeypatch.setattr(procfs, "parent_of", lambda pid: 5_000_001 if pid == 5_000_000 else 5_000_000)
    assert not mark_window._comes_from_elsewhere(5_000_000, 4321)
