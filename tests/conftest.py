"""Every test proves that it left no task, no thread, no descriptor, no child and no descendant.

The check runs outside all fixtures of the test, when its event loop is closed already, except for
the tasks: those are counted inside the loop, after every other fixture of the function. A descendant is known
by an environment variable of the test, so that it is found even when its parents are gone. Leaked things are
ended, so that the next test does not suffer. Nothing is waited for but what is ending already, and no
longer than ``GRACE`` seconds.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import os
import select
import signal
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from aioverseer._system.containment.guardian.client import guardian
from tests.support.programs import child

with suppress(ImportError):  # some tests run these checks in environments of their own
    from hypothesis import settings

    # The same examples in each run: a gate tells of the change that it judges, and not of what chance finds elsewhere.
    settings.register_profile("gate", derandomize=True, deadline=None)
    if not os.environ.get("AIOVERSEER_LONG"):
        settings.load_profile("gate")

LINUX = sys.platform == "linux"
"""Elsewhere there is no /proc: tasks and threads are still counted."""
GRACE = 1.0
"""Seconds for a thread that is ending or a process that has its SIGKILL already."""
MARK = "TEST_LEAK_MARK"
"""The variable in the environment; a pytest inside a test continues its value, so both see the children."""

_numbers = itertools.count(1)
_outer_mark = os.environ.get(MARK)


@pytest.fixture(name="child")
def child_fixture() -> Any:
    """``helpers.child`` for tests that take it as a fixture."""
    return child


def pytest_configure() -> None:
    """No idle event loop in the main thread: some versions of pytest-asyncio make one beside the tests'."""
    asyncio.set_event_loop(None)
    importlib.import_module("ctypes")  # libffi of Debian opens its own file with this import, and keeps it open
    _be_a_usual_host()


def _be_a_usual_host() -> None:
    """Give ignored signals their default actions: nohup ignores SIGHUP, and a shell SIGINT and SIGQUIT for ``&``.

    Programs of a host that ignores signals are started in another way, and most tests are about the usual one.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python itself ignores these two
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            with suppress(ValueError, OSError):  # not the main thread
                signal.signal(number, usual)


def pytest_collection_finish() -> None:
    """Keep the hundred thousand permanent objects out of each garbage collection."""
    gc.collect()
    gc.freeze()


# --- tasks: inside the loop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests, and only those, count their tasks; the fixture goes first and so is finished last."""
    for item in items:
        if pytest_asyncio.is_async_test(item):
            names: list[str] = item.fixturenames  # one list for all parameters of a test
            if "_no_task_left" not in names:
                names.insert(0, "_no_task_left")


@pytest_asyncio.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        names = "\n".join(sorted(f"  task {task.get_name()}: {task.get_coro()!r}" for task in left))
        pytest.fail(f"the test left {len(left)} asyncio task(s):\n{names}", pytrace=False)


# --- all else: outside everything


@dataclass(frozen=True, slots=True)
class _Proc:
    """A process, known by its number and its birth, so that a reused number is another one."""

    pid: int
    born: int
    parent: int = field(compare=False)
    state: str = field(compare=False)
    command: str = field(compare=False)

    def __str__(self) -> str:
        kind = "zombie" if self.state in "ZX" else "process"
        whose = "child" if self.parent == os.getpid() else "descendant"
        return f"{kind} {self.pid} ({whose}): {self.command}"


@dataclass(slots=True)
class _Held:
    """Threads, descriptors and processes of this process at one moment."""

    threads: set[threading.Thread] = field(default_factory=set)
    descriptors: set[tuple[int, str]] = field(default_factory=set)
    processes: set[_Proc] = field(default_factory=set)
    newest: bytes = b""
    """The number of the process or thread that was made last on this machine."""

    @classmethod
    def now(cls, mark: str, since: _Held | None = None) -> _Held:
        """Look; at the processes only when one was made since an earlier look: most tests make none."""
        newest = _newest()
        found = since.processes if since is not None and since.newest == newest else _processes(mark)
        return cls(set(threading.enumerate()), _descriptors(), set(found), newest)

    def add(self, other: _Held) -> None:
        self.threads |= other.threads
        self.descriptors |= other.descriptors
        self.processes |= other.processes


def _descriptors() -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    if LINUX:
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # the descriptor that listed the folder
                found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


def _read(path: str) -> bytes:
    """The content, empty when the process is gone or not ours to read."""
    try:
        file = os.open(path, os.O_RDONLY)  # a file object would take twice the time, and there are thousands of tests
    except OSError:
        return b""
    parts: list[bytes] = []
    try:
        while part := os.read(file, 1 << 16):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(file)
    return b"".join(parts)


def _newest() -> bytes:
    """Read before one looks for processes, so that the next look sees who was made meanwhile."""
    return _read("/proc/loadavg").rpartition(b" ")[2] if LINUX else b""


def _processes(mark: str) -> set[_Proc]:
    """Our children, zombies too, and every living process that has the mark in its environment."""
    found: set[_Proc] = set()
    if not LINUX:
        return found
    own = os.getpid()
    marks = tuple(f"{MARK}={mark}{end}".encode() for end in ("\0", "/"))
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == own:
            continue
        head, _, tail = _read(f"/proc/{name}/stat").rpartition(b")")
        fields = tail.split()
        if not fields:
            continue
        state, parent, born = fields[0].decode(), int(fields[1]), int(fields[19])
        if parent != own:
            environment = _read(f"/proc/{name}/environ")
            if not any(environment.startswith(m) or b"\0" + m in environment for m in marks):
                continue
        command = _read(f"/proc/{name}/cmdline").replace(b"\0", b" ") or head.partition(b"(")[2]
        found.add(_Proc(int(name), born, parent, state, ascii(command.decode(errors="replace").strip())[:200]))
    return found


_EXITING = 0x4
"""The flag of the kernel for a process that is on its way out (PF_EXITING)."""


def _dying(process: _Proc) -> bool:
    """Whether it is on its way out, or has a SIGKILL that it has not yet acted on."""
    fields = _read(f"/proc/{process.pid}/stat").rpartition(b")")[2].split()
    if not fields or int(fields[6]) & _EXITING:
        return True
    for line in _read(f"/proc/{process.pid}/status").splitlines():
        if line.startswith((b"SigPnd:", b"ShdPnd:")) and int(line.split()[1], 16) & 1 << signal.SIGKILL - 1:
            return True
    return False


def _wait_for_end(process: _Proc, *, kill: bool = False) -> None:
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if kill:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(GRACE * 1000)
    finally:
        os.close(pidfd)


def _end(process: _Proc) -> None:
    _wait_for_end(process, kill=True)
    if process.parent == os.getpid():
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


_last = _Held()
"""The processes of the last look."""


def _leaks(before: _Held, mark: str) -> list[str]:
    """One line for each thing that was not there before."""
    for thread in set(threading.enumerate()) - before.threads:
        thread.join(GRACE)
    now = _Held.now(mark, before)
    dying = [process for process in now.processes - before.processes if _dying(process)]
    for process in dying:
        _wait_for_end(process)
    if dying:
        now.processes = _processes(mark)
    if now.descriptors - before.descriptors:
        # Descriptors held by garbage alone are closed here. Where that is a fault, Python itself warns.
        gc.collect()
        now.descriptors = _descriptors()
    lines = [f"thread {thread.name}" for thread in now.threads - before.threads]
    if (why := guardian().failure) is not None:
        lines.append(f"no guardian for the tests that follow: {why}")
        guardian().failure = None
    lines += [f"descriptor {number}: {target}" for number, target in now.descriptors - before.descriptors]
    for process in now.processes - before.processes:
        lines.append(str(process))
        _end(process)
    _last.newest, _last.processes = now.newest, now.processes
    return sorted(lines)


_before = pytest.StashKey[_Held]()
_mark = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Mark what the test will start, and note what there is before it."""
    mark = f"{os.getpid()}-{next(_numbers)}"
    item.stash[_mark] = mark = f"{_outer_mark}/{mark}" if _outer_mark else mark
    os.environ[MARK] = mark
    item.stash[_before] = _Held.now(mark, _last)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    """Resources of a wider fixture are not a leak of the test that needed it first."""
    item = request.node if isinstance(request.node, pytest.Item) else request._pyfuncitem
    if fixturedef.scope == "function" or _before not in item.stash:
        return (yield)
    before = _Held.now(item.stash[_mark], item.stash[_before])
    try:
        return (yield)
    finally:
        now = _Held.now(item.stash[_mark], before)
        item.stash[_before].add(
            _Held(
                now.threads - before.threads,
                now.descriptors - before.descriptors,
                now.processes - before.processes,
            )
        )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Compare, after the last fixture is finished; a failed tear-down keeps its own error."""
    try:
        result = yield
    except BaseException as error:
        leaks = _finish(item)
        if leaks:
            error.add_note(_report(leaks))
        raise
    leaks = _finish(item)
    if leaks:
        pytest.fail(_report(leaks), pytrace=False)
    return result


def _report(leaks: list[str]) -> str:
    return "\n".join([f"the test left {len(leaks)} thing(s) behind:", *(f"  {line}" for line in leaks)])


def _finish(item: pytest.Item) -> list[str]:
    if _before not in item.stash:
        return []  # its set-up was never reached
    leaks = _leaks(item.stash[_before], item.stash[_mark])
    del item.stash[_before]
    if _outer_mark is None:
        os.environ.pop(MARK, None)
    else:
        os.environ[MARK] = _outer_mark
    return leaks
