"""One server for all workers of pytest-xdist, in real runs of pytest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
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


def test_all_workers_have_the_same_server_and_the_last_one_stops_it(suite: pytest.Pytester) -> None:
    """Each of them asks it; afterwards nothing is left, which the checks around this test see."""
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


def test_one_that_dies_fails_the_tests_of_all(suite: pytest.Pytester) -> None:
    """At once, with its last words."""
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
        await asyncio.sleep(100)
"""
    )
    begin = time.monotonic()
    result = suite.runpytest_subprocess("-n", "2")
    assert time.monotonic() - begin < 30
    outcome = result.parseoutcomes()
    assert 2 == outcome.get("failed", 0) + outcome.get("errors", 0)
    result.stdout.fnmatch_lines(["*'web' is finished: exited with code 3*", "*told to die*"])


def test_one_that_cannot_become_ready_says_why(suite: pytest.Pytester) -> None:
    """Without workers too."""
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


def test_nothing_is_left_when_the_run_is_killed(suite: pytest.Pytester) -> None:
    """The controller and its workers, by SIGKILL: the keeper hears that they have hung up."""
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
    keeper = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    held = [os.pidfd_open(pid) for pid in (server, keeper)]
    try:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        for pidfd in held:
            assert select.select([pidfd], [], [], 10)[0]
    finally:
        for pidfd in held:
            os.close(pidfd)
