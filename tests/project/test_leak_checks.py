"""The checks of conftest.py find leaks, name them, and let clean tests pass."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import limit

TESTS = Path(__file__).parents[1]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

INI = """
[pytest]
addopts = -p no:hypothesispytest
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
"""

HEAD = """
import asyncio, os, signal, socket, subprocess, sys, threading
from pathlib import Path
import pytest

SLEEPER = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
kept = []
"""

Run = Callable[[str], pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a file of tests with a copy of our conftest, in its own process."""
    (pytester.path / "tests" / "support").mkdir(parents=True)
    (pytester.path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    for name in ("programs.py",):
        (pytester.path / "tests" / "support" / name).write_text((TESTS / "support" / name).read_text())
    pytester.makefile(".ini", pytest=INI)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(code: str) -> pytest.RunResult:
        pytester.makepyfile(HEAD + code)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=25)

    return run


def test_clean_tests_pass(run: Run) -> None:
    """Tests and fixtures, plain or async, that close, await and reap everything have no leak."""
    run(
        """
@pytest.fixture
async def server():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    async with server:
        yield server

@pytest.fixture(scope="module")
def wide():
    read, write = os.pipe()
    yield write
    os.close(read)
    os.close(write)

async def test_async(server):
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(lambda: None))
    process = await asyncio.create_subprocess_exec(*SLEEPER)
    process.kill()
    await process.wait()

@pytest.mark.parametrize("n", [1, 2])
async def test_shared_names(n, wide):
    os.write(wide, b"x")

def test_plain(wide):
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
"""
    ).assert_outcomes(passed=4)


def test_leaked_task_is_named(run: Run) -> None:
    """The report names the task, and the next test passes."""
    result = run(
        """
async def test_leaks():
    kept.append(asyncio.create_task(asyncio.Event().wait(), name="forgotten"))

async def test_next():
    pass
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*left 1 asyncio task*", "*forgotten*wait*"])


def test_leaked_thread_is_named(run: Run) -> None:
    """A daemon thread is a leak as well."""
    result = run(
        """
def test_leaks():
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()

def test_next():
    pass
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*thread forgotten*"])


@linux
def test_leaked_descriptor_is_named(run: Run) -> None:
    """The report says whether a descriptor is a pipe, a socket or a pidfd."""
    result = run(
        """
def test_pipe():
    os.pipe()

def test_socket():
    kept.append(socket.socket())

def test_pidfd():
    os.pidfd_open(os.getpid())

def test_next():
    pass
"""
    )
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_pipe*",
            "*left 2 thing(s)*",
            "*descriptor *: pipe:*",
            "*ERROR at teardown of test_socket*",
            "*left 1 thing(s)*",
            "*descriptor *: socket:*",
            "*ERROR at teardown of test_pidfd*",
            "*left 1 thing(s)*",
            "*descriptor *: anon_inode:*pidfd*",
        ]
    )


@linux
def test_leaked_child_is_named_and_killed(run: Run, tmp_path: Path) -> None:
    """The child is killed and reaped, so the next test sees none."""
    result = run(
        f"""
def test_leaks():
    pid = os.posix_spawn(SLEEPER[0], SLEEPER, os.environ)
    Path({str(tmp_path / "pid")!r}).write_text(str(pid))

def test_next():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*process * (child)*signal.pause*"])
    assert not _is_live(int((tmp_path / "pid").read_text()))


@linux
def test_leaked_zombie_is_named_and_reaped(run: Run) -> None:
    """A child that has ended is a leak until its parent waits for it."""
    result = run(
        """
def test_leaks():
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def test_next():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*zombie * (child)*"])


@linux
def test_leaked_daemon_is_found_and_killed(run: Run, tmp_path: Path) -> None:
    """The mark in its environment identifies a grandchild in its own session, after its parent has ended."""
    result = run(
        f"""
def test_leaks():
    code = '''import os, subprocess, sys
p = subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"], start_new_session=True)
open({str(tmp_path / "pid")!r}, "w").write(str(p.pid))
os._exit(0)'''
    subprocess.run([sys.executable, "-c", code], check=True)

def test_next():
    pass
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*process * (descendant)*signal.pause*"])
    assert not _is_live(int((tmp_path / "pid").read_text()))


@linux
def test_process_with_a_pending_sigkill_is_no_leak(run: Run) -> None:
    """A descendant with a pending SIGKILL is waited for, not reported."""
    run(
        """
CODE = '''import os, subprocess, sys
p = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"],
    start_new_session=True, stdout=subprocess.DEVNULL)
print(p.pid, flush=True)
os._exit(0)'''

@pytest.mark.parametrize("n", range(10))
def test_kills(n):
    done = subprocess.run([sys.executable, "-I", "-S", "-c", CODE], stdout=subprocess.PIPE, check=True)
    os.kill(int(done.stdout), signal.SIGKILL)
"""
    ).assert_outcomes(passed=10)


async def test_limit_names_its_purpose() -> None:
    """The helper fails with a message, and passes on a TimeoutError of the block itself."""
    with pytest.raises(AssertionError, match=r"the wait did not end within 0\.01 s"):
        async with limit(0.01, "the wait"):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError, match="own"):
        async with limit():
            raise TimeoutError("own")


def _is_live(pid: int) -> bool:
    """Return whether the process still runs one second later, as it may be ending."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([pidfd], [], [], 1.0)[0]
    finally:
        os.close(pidfd)
