"""Services end when a run of pytest ends in any way; and workers that run at the same time."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from itertools import groupby
from operator import itemgetter

import pytest

HANGS = """
    import asyncio, signal, socket
    import pytest
    from aioverseer import Spec
    from aioverseer.pytest_plugin import service_fixture

    @service_fixture(scope="session")
    def wide():
        return Spec.of("wide", ["sh", "-c", "sleep 1000 & wait"])

    def test_plain(wide, threaded_overseer):
        own = threaded_overseer.add("own", "sleep", "1000").start()
        # A signal just before a system call does not interrupt it. It writes to this socket in any case.
        heard, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno())
        print("pids", wide.pid, own.pid, flush=True)
        heard.recv(1)
        raise AssertionError("the signal has raised nothing")

    @pytest.mark.asyncio
    async def test_async(wide, overseer):
        print("pids", wide.pid, (await overseer.add("own", "sleep", "1000").start()).pid, flush=True)
        await asyncio.sleep(1000)
"""


@pytest.mark.parametrize(
    ("test", "number"),
    [
        ("plain", signal.SIGINT),
        ("async", signal.SIGINT),
        ("plain", signal.SIGTERM),
        ("plain", signal.SIGKILL),
        ("async", signal.SIGKILL),
    ],
)
def test_ended_run_leaves_nothing(suite: pytest.Pytester, test: str, number: int) -> None:
    """Ctrl-C is reported by pytest. After SIGTERM and SIGKILL the guardian ends the services."""
    suite.makepyfile(test_it=HANGS)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", f"test_it.py::test_{test}"],
        cwd=suite.path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert run.stdout is not None
    for line in run.stdout:
        if found := re.search(r"pids (\d+) (\d+)", line):
            break
    else:
        raise AssertionError("the test has not begun")
    held = [os.pidfd_open(int(pid)) for pid in found.groups()]
    try:
        run.send_signal(number)
        rest = run.stdout.read()
        run.wait(20)
        for pidfd in held:
            # A pidfd is readable once its process has ended.
            assert select.select([pidfd], [], [], 10)[0]
    finally:
        for pidfd in held:
            os.close(pidfd)
        run.kill()
        run.stdout.close()
        run.wait()
    assert ("! KeyboardInterrupt !" in rest) == (number == signal.SIGINT)
    assert ("no tests ran in" in rest) == (number == signal.SIGINT)


def test_workers_have_ports_and_servers_of_their_own(suite: pytest.Pytester) -> None:
    """Four workers at the same time; a named port is the same in all workers that hold it."""
    suite.makepyfile(
        """
        import os, pytest
        from aioverseer import ready
        from server import SERVER, ask

        @pytest.mark.parametrize("number", range(12))
        def test_it(service_factory, free_port, free_port_factory, number):
            service_factory("web", *SERVER, str(free_port), ready=ready.tcp(free_port))
            assert ask(free_port, b"hello") == b"HELLO"
            named = free_port_factory("shared")
            assert named == free_port_factory("shared") != free_port
            with open("ports", "a") as file:
                file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {named}\\n")
        """
    )
    suite.runpytest_subprocess("-n", "4").assert_outcomes(passed=12)
    lines = [line.split() for line in (suite.path / "ports").read_text().splitlines()]
    assert 12 == len(lines)
    # On a loaded machine a worker may begin after all others have released the port. It then has another port.
    together = [(named, {worker for worker, _ in group}) for named, group in groupby(lines, key=itemgetter(1))]
    assert len(together) == len({named for named, _ in together})
    assert sum(len(workers) for _, workers in together) == len(set.union(*(workers for _, workers in together)))
    assert len({worker for worker, _ in lines}) > 1
