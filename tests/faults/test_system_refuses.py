"""The system refuses: no process, no memory, no descriptor, no standard streams. It is told, and passes."""

from __future__ import annotations

import asyncio
import errno
import os
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, SpawnError, State, Stop
from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import stray_registry
from aioverseer._system.process import cpython
from tests.support.programs import limit

ROOT = str(pathlib.Path(__file__).parents[2])
FOREVER = Restart("always", max_restarts=None, backoff=Backoff(0.001, 0.001))


def host(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program that uses the library."""
    environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONWARNINGS": "error"}
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_fork_that_fails_is_judged_and_passes(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that restarts gets over it; nothing is left of the failed starts."""
    real: Any = subprocess._fork_exec  # type: ignore[attr-defined]  # private
    left = 5
    open_before = len(os.listdir("/proc/self/fd"))

    def fail(*words: object) -> int:
        nonlocal left
        if left:
            left -= 1
            raise OSError(number, os.strerror(number))
        return int(real(*words))

    monkeypatch.setattr(subprocess, "_fork_exec", fail)
    if cpython._fork_exec is not None:
        monkeypatch.setattr(cpython, "_fork_exec", fail)
    async with limit(), Overseer(containment="basic") as overseer:  # a guardian would be one of those that fail
        with pytest.raises(SpawnError, match="no room for another process"):
            await Process("true").start()
        service = await overseer.add("svc", "sleep", "100", restart=FOREVER).start()
        assert (State.RUNNING, 4, 0) == (service.state, service.restarts, left)
    monkeypatch.undo()
    assert open_before == len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(os.getuid() != 0, reason="becomes a user without processes")
def test_real_limit_of_processes_is_told() -> None:
    """RLIMIT_NPROC of another user: EAGAIN of the kernel."""
    done = host("""
        import asyncio, os, resource
        from aioverseer import Process, SpawnError
        os.setgid(64123); os.setuid(64123)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        async def main():
            for _ in range(3):
                try:
                    await Process("/bin/true").start()
                except SpawnError as error:
                    print(error.errno, "ulimit -u" in str(error))
        asyncio.run(main())
    """)
    if "Permission" in done.stderr:
        pytest.skip("another user cannot read this interpreter")
    # On 3.11 asyncio needs a thread for each child, which this limit refuses as well, after the fork.
    assert [f"{errno.EAGAIN} True"] * 3 == done.stdout.splitlines(), done.stderr


def test_descriptors_run_out_while_services_start_and_others_go_on() -> None:
    """Programs that fit run. The error names the limit, and later starts succeed once there is room."""
    done = host("""
        import asyncio, logging, resource, sys
        from aioverseer import *
        logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
        async def main(more):
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
            async with Overseer(raise_fd_limit=more) as overseer:
                for number in range(40):
                    overseer.add(f"s{number}", "sleep", "100", restart=Restart("never"))
                try:
                    await overseer.start_all()
                except NotReady as error:
                    print("error", "limit (ulimit -n) of 100" in str(error.__cause__))
                states = {overseer[id].state for id in overseer}
                print(sorted(map(str, states)))
            print(resource.getrlimit(resource.RLIMIT_NOFILE))
        asyncio.run(main(False))
        asyncio.run(main(True))
    """)
    lines = done.stdout.splitlines()
    assert "about 7 fit into the limit of 100 open descriptors" in lines[0]
    assert ["error True"] == [line for line in lines if line.startswith("error")]
    assert ["(100, 1000)"] * 2 == [line for line in lines if line.startswith("(")]
    assert "['running']" == lines[-2], done.stdout + done.stderr
    assert "" == done.stderr


@pytest.mark.parametrize("stdin", ["None", "'inherit'", "'text'"])
def test_host_without_standard_streams(stdin: str, tmp_path: pathlib.Path) -> None:
    """A daemon that has closed 0, 1 and 2: pipes then bear these numbers, and the right bytes arrive all the same."""
    out = tmp_path / "out"
    done = host(f"""
        import os
        for number in (0, 1, 2):
            os.close(number)
        import asyncio
        from aioverseer import Process
        async def main():
            status = await Process("sh", "-c", "echo out; echo err >&2; cat", stdin={stdin})
            with open({str(out)!r}, "w") as file:
                print(status.exit_code, status.stdout, status.stderr, file=file)
        asyncio.run(main())
    """)
    said = out.read_text() if out.exists() else ""
    text = ", 'text'" if stdin == "'text'" else ""
    if stdin == "'inherit'":
        assert f"['out'{text}]" in said, said + done.stderr
    else:
        assert said == f"0 ['out'{text}] ['err']\n", said + done.stderr


async def test_thousand_failures_leave_nothing(tmp_path: pathlib.Path) -> None:
    """Of a program that is no longer there."""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nrm -- "$0"\nexit 1\n')
    program.chmod(0o755)
    open_before = len(os.listdir("/proc/self/fd"))
    async with limit(20), Overseer() as overseer:
        policy = Restart("always", max_restarts=1000, within=None, backoff=Backoff(0, 0))
        status = await overseer.supervise(overseer.add("svc", str(program), restart=policy).id)
        assert (State.FATAL, 1000) == (status.state, status.restarts)
        await asyncio.sleep(0)
    assert open_before == len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_programs_end_while_processes_cannot_be_listed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No descriptor is left for /proc. The exit is that of the program, and a later sweep finds what it left."""

    def fail() -> list[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/proc")

    async with limit(), Overseer(containment="basic") as overseer:
        script = "sleep 100 & setsid sleep 100 & sleep 0.2; exit 3"
        overseer.add("svc", "sh", "-c", script, restart=Restart("never"), stop=Stop(timeout=1))
        with monkeypatch.context() as without_descriptors:
            without_descriptors.setattr(procfs, "pids", fail)
            status = await overseer.supervise("svc")
            assert (State.FINISHED, 3, None) == (status.state, status.exit_code, status.error)
            await Process("sh", "-c", script).wait()
            await overseer.add("stopped", "sh", "-c", "setsid sleep 100 & exec sleep 100").start()
            await overseer.stop("stopped")
    assert [] == [pid for pid in procfs.pids() if stray_registry().judge(pid)]
    assert "cannot look for" in caplog.text
    assert "bug" not in caplog.text
