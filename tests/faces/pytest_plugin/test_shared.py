"""One server for all workers of pytest-xdist, in real runs of pytest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

TESTS = """
    import os, signal, time, pytest
    from aioverseer import Spec, ready
    from aioverseer.pytest_plugin import service_fixture
    from server import SERVER, ask

    @pytest.fixture(scope="session")
    def port(free_port_factory):
        return free_port_factory("web")

    @service_fixture(scope="session", shared=True)
    def web(port):
        return Spec.of("web", [*SERVER, str(port)], ready=ready.tcp(port))
"""


@contextmanager
def pidfds(*pids: int) -> Generator[list[int]]:
    """Yield descriptors of processes, each readable once its process has ended."""
    with ExitStack() as stack:
        held: list[int] = []
        for pid in pids:
            held.append(os.pidfd_open(pid))
            stack.callback(os.close, held[-1])
        yield held


def ended(pidfds: Iterable[int]) -> bool:
    """Wait for the end of all, ten seconds for each."""
    return all(select.select([pidfd], [], [], 10)[0] for pidfd in pidfds)


def parent_of(pid: int) -> int:
    """Return the id of the parent process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_workers_share_a_server_and_the_last_one_stops_it(suite: pytest.Pytester) -> None:
    """Each worker sends a request. Checks of this suite find leftovers."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(12))
    def test_it(web, port, number):
        assert ask(port, b"hello") == b"HELLO"
        with open("pids", "a") as file:
            file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {web.pid}\\n")
"""
    )
    suite.runpytest_subprocess("-n", "4").assert_outcomes(passed=12)
    lines = [line.split() for line in (suite.path / "pids").read_text().splitlines()]
    assert (12, 1) == (len(lines), len({pid for _, pid in lines}))
    assert len({worker for worker, _ in lines}) > 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0][1]), 0)


def test_server_that_dies_fails_the_tests_of_all_workers(suite: pytest.Pytester) -> None:
    """They fail at once, with the last lines of the server."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    @pytest.mark.asyncio
    async def test_it(web, port, number):
        import asyncio
        try:
            ask(port, b"die")
        except OSError:
            pass
        await asyncio.sleep(1000)
"""
    )
    result = suite.runpytest_subprocess("-n", "2")
    outcome = result.parseoutcomes()
    assert 2 == outcome.get("failed", 0) + outcome.get("errors", 0)
    result.stdout.fnmatch_lines(["*'web' is finished: exited with code 3*", "*told to die*"])


def test_shared_server_that_is_not_ready_fails_the_test(suite: pytest.Pytester) -> None:
    """It works without workers, too."""
    suite.makepyfile(
        """
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="session", shared=True)
        def web():
            return Spec.of("web", ["sh", "-c", "echo the disk is full; exit 1"], ready=ready.tcp(1))

        def test_it(web):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'web' is not ready*", "*the disk is full*"])


def test_killed_run_leaves_nothing(suite: pytest.Pytester) -> None:
    """Controller and workers are killed by SIGKILL. The keeper sees the end of their connections."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    def test_it(web, number):
        with open("pids", "a") as file:
            file.write(f"{web.pid} ")
        time.sleep(1000)
"""
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"],
        cwd=suite.path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    pids = suite.path / "pids"
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert run.poll() is None
    server = int(pids.read_text().split()[0])
    with pidfds(server, parent_of(server)) as held:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        assert ended(held)


def test_killed_keeper_fails_the_tests_at_once(suite: pytest.Pytester) -> None:
    """The report is the last one that the keeper has sent. The server ends as well."""
    suite.makepyfile(
        TESTS
        + """
    @pytest.mark.parametrize("number", range(2))
    @pytest.mark.asyncio
    async def test_it(web, number, tmp_path_factory):
        import asyncio, pathlib
        together = tmp_path_factory.getbasetemp().parent
        (together / str(number)).touch()
        while number == 1 and not (together / "0").exists() or number == 0 and not (together / "1").exists():
            await asyncio.sleep(0)
        if number == 0:
            pathlib.Path("pid").write_text(str(web.pid))
            keeper = int(pathlib.Path(f"/proc/{web.pid}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(keeper, signal.SIGKILL)
        await asyncio.sleep(1000)

    def test_later(web, port):
        assert ask(port, b"hello") == b"HELLO"
"""
    )
    result = suite.runpytest_subprocess("-n", "2")
    assert result.parseoutcomes()["failed"] >= 2
    result.stdout.fnmatch_lines(
        [
            "*CriticalServiceEnded: shared service 'web' is lost: process * has gone before them; was it killed? *",
            "*- service web -*",
            "web is running for *s: is ready*",
            "events:",
            "* +0.000 s  starting * is being started",
            "*running * is ready*",
            "shared by the workers of this run, kept by process *, which has gone: this is its last report",
        ]
    )
    with suppress(ProcessLookupError), pidfds(int((suite.path / "pid").read_text())) as held:
        assert ended(held)


def test_killed_worker_does_not_disturb_the_others(suite: pytest.Pytester) -> None:
    """The other worker keeps the server, and nothing is left at the end."""
    suite.makepyfile(
        TESTS
        + """
    def wait_for(name):
        while not os.path.exists(name):
            time.sleep(0.01)

    @pytest.mark.parametrize("number", range(6))
    def test_it(web, port, number):
        with open("pids", "a") as file:
            file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {web.pid}\\n")
        if number == 0:
            wait_for("other")
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        open("other", "w").close()
        wait_for("killed")
        assert ask(port, b"hello") == b"HELLO"
"""
    )
    suite.runpytest_subprocess("-n", "2").assert_outcomes(passed=5, failed=1)
    lines = [line.split() for line in (suite.path / "pids").read_text().splitlines()]
    assert 1 == len({pid for worker, pid in lines if worker in {"gw0", "gw1"}})
    for pid in {pid for _, pid in lines}:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_shared_server_has_reports_logs_and_options_of_any_other(suite: pytest.Pytester) -> None:
    """With and without workers."""
    suite.makepyfile(
        """
        from aioverseer import ready
        from aioverseer import Spec
        from aioverseer.pytest_plugin import service_fixture

        @service_fixture(scope="session", shared=True, containment="basic", name="web")
        def server():
            script = "echo first; echo second >&2; test -z $AIOVERSEER_GUARD || echo guarded; exec sleep 1000"
            return Spec.of("web", ["sh", "-c", script], ready=ready.line("second", stream="stderr"))

        def test_it(web):
            assert web.spec.id == "web"
            raise SystemError("mine")
        """
    )
    for options in ((), ("-n", "1")):
        result = suite.runpytest_subprocess("--aioverseer-logs=logs", *options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "*SystemError: mine*",
                "*- service web -*",
                "web is running for *s: is ready*",
                "last 2 lines:",
                "  std*: *",
                "  std*: *",
                "events:",
                "* +0.000 s  starting * is being started",
                "*running * is ready*",
                "shared by the workers of this run, kept by process *",
            ]
        )
        result.stdout.no_fnmatch_line("*its last report*")
    log = (suite.path / "logs" / "shared" / "web.log").read_text().splitlines()
    assert ["first", "first", "second", "second"] == sorted(log)


def test_service_that_cannot_be_sent_to_the_keeper_is_refused(suite: pytest.Pytester) -> None:
    """The error comes before a process is started. Functions at the top of a module can be sent."""
    suite.makeconftest(
        """
        from aioverseer import Spec, ready
        from aioverseer.pytest_plugin import service_fixture

        async def is_there():
            pass

        @service_fixture(scope="session", shared=True)
        def fine():
            return Spec.of("fine", ["sleep", "100"], ready=ready.check(is_there))

        @service_fixture(shared=True)
        def closure():
            async def inner():
                pass
            return Spec.of("closure", ["sleep", "100"], ready=ready.check(inner))

        @service_fixture(shared=True, containment="everything")
        def wrong():
            return Spec.of("wrong", ["sleep", "100"])
        """
    )
    suite.makepyfile(
        """
        def test_fine(fine):
            assert fine.pid

        def test_closure(closure):
            pass

        def test_wrong(wrong):
            pass
        """
    )
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*service 'closure' cannot be shared, as another process is to run it: *", "*containment='everything'*"]
    )


def test_modules_in_the_working_folder_do_not_reach_the_keeper(tmp_path: Path) -> None:
    """The command pytest does not put that folder on the import path, and neither may the keeper."""
    (tmp_path / "random.py").write_text("raise RuntimeError('a module of the user')")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "from aioverseer import Spec, ready\n"
        "from aioverseer.pytest_plugin import service_fixture\n\n"
        "@service_fixture(scope='session', shared=True)\n"
        "def job(): return Spec.of('job', ['sh', '-c', 'echo up; exec sleep 100'], ready=ready.line('up'))\n\n"
        "def test_it(job): assert job.pid\n"
    )
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
