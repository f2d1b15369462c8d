"""A fork of the host inside the block leaves everything of its parent alone, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aioverseer import Overseer, Process
from aioverseer._aio.fork import generation, in_copy
from aioverseer._system.process.spawn import VARIABLE
from tests.support.programs import limit

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and epoll"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

SCRIPT = """
import asyncio, contextlib, logging, multiprocessing, os, signal, sys, time
from aioverseer import LogFile, Overseer, OverseerError, Process, Restart, ready

logging.basicConfig(level=logging.INFO, format="%(message)s")
host = os.getpid()
echo = "echo up; while read x; do echo got $x; done; echo end; exec sleep 100"


def fork(what):
    pid = os.fork()
    if not pid:
        what()
    return pid


async def reaped(pid):
    began = time.monotonic()
    code = os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1])
    assert time.monotonic() - began < 8, "the fork has waited for something"
    return code


async def all_is_well(overseer, service, lines, pid):
    "The service is the same one, is read and written, and its end is noticed."
    assert service.pid == pid and str(service.state) == "running", service.why()
    await service.write("a\\n")
    assert (await asyncio.wait_for(lines.get(), 5)).text == "got a"
    await service.write_eof()
    assert (await asyncio.wait_for(lines.get(), 5)).text == "end"
    os.kill(pid, signal.SIGKILL)
    await service.wait_for(lambda status: status.restarts == 1 and str(status.state) == "running", timeout=8)
    assert (await asyncio.wait_for(lines.get(), 5)).text == "up"
    assert service.pid != pid


async def main(what, **options):
    async with Overseer(log=LogFile("log-{id}"), **options) as overseer:
        overseer.record("events")
        service = overseer.add("web", "sh", "-c", echo, stdin="pipe", ready=ready.line("up"), restart=Restart("always"))
        overseer.add("waits", "false", restart=Restart("always", max_restarts=None))
        overseer.add("notifies", sys.executable, "-c", NOTIFY, ready=ready.notify())
        overseer.add_task("task", lambda: asyncio.sleep(100))
        lines = service.lines()
        await overseer.start_all()
        assert (await asyncio.wait_for(lines.get(), 5)).text == "up"
        pid = service.pid
        waiting = asyncio.create_task(service.wait())
        await asyncio.sleep(0)
        code = await reaped(fork(lambda: what(overseer, service)))
        await all_is_well(overseer, service, lines, pid)
        waiting.cancel()
        began = time.monotonic()
    assert time.monotonic() - began < 8
    return code

NOTIFY = '''
import os, socket, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", chr(0)))
time.sleep(100)
'''
"""


def run(code: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a host; return its exit code and its errors."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=28,
        check=False,
    )
    return done.returncode, done.stderr


ENDS = {
    "sys.exit": "sys.exit(7)",
    "an exception": "raise ZeroDivisionError",
    "os._exit": "os._exit(7)",
    "an interrupt": "raise KeyboardInterrupt",
}
CODES = {"sys.exit": 7, "os._exit": 7, "an exception": 1, "an interrupt": -2}


@pytest.mark.parametrize("spawner", ["", "asyncio"])
@pytest.mark.parametrize("end", ENDS)
def test_end_of_a_fork_leaves_the_parent_alone(end: str, spawner: str, tmp_path: Path) -> None:
    """The services, their pipes, logs, records, timers and the loop itself."""
    code, stderr = run(
        f"""
        def what(overseer, service):
            {ENDS[end]}

        code = asyncio.run(main(what, containment="basic"))
        assert code == {CODES[end]}, code
        """,
        tmp_path,
        **{VARIABLE: spawner},
    )
    assert 0 == code, stderr
    if end in ("sys.exit", "os._exit"):
        assert "pending" not in stderr
        assert "Traceback" not in stderr
    # Each event once, also in the log of the application.
    events = [json.loads(line)["seq"] for line in (tmp_path / "events").read_text().splitlines()]
    assert sorted(set(events)) == events
    assert 2 == (tmp_path / "log-web").read_text().count("up\n")


@pytest.mark.parametrize("level", ["guarded", "strict"])
def test_end_of_a_fork_leaves_the_containment_alone(level: str, tmp_path: Path) -> None:
    """The guardian knows its children as before, and a shim or cgroup runs on."""
    code, stderr = run(
        f"""
        def what(overseer, service):
            sys.exit(7)

        from aioverseer import ContainmentError
        try:
            code = asyncio.run(main(what, containment="{level}"))
        except ContainmentError:
            code = 7
        assert code == 7, code
        """,
        tmp_path,
    )
    assert 0 == code, stderr
    assert "guardian" not in stderr


def test_use_in_a_fork_is_refused(tmp_path: Path) -> None:
    """With a clear error, by each verb."""
    code, stderr = run(
        """
        async def use(overseer, service):
            calls = [
                overseer.start_all, overseer.stop_all, service.start, service.stop, service.restart, service.ready,
                lambda: overseer.supervise("web"), lambda: service.write("x"), overseer.__aenter__,
            ]
            for call in calls:
                with contextlib.suppress(OverseerError):
                    try:
                        await call()
                    except OverseerError as error:
                        assert "of which this one is a fork" in str(error), error
                        raise
                    raise AssertionError(call)
            for call in (lambda: service.signal(15), service.lines, overseer.events, overseer.logs):
                try:
                    call()
                except OverseerError as error:
                    assert "fork" in str(error), error
                else:
                    assert call in (overseer.events, overseer.logs), call
            os._exit(7)

        def what(overseer, service):
            use(overseer, service).send(None)

        assert asyncio.run(main(what, containment="basic")) == 7
        """,
        tmp_path,
    )
    assert 0 == code, stderr


def test_fork_may_have_an_overseer_of_its_own(tmp_path: Path) -> None:
    """With its own guardian, services and events."""
    code, stderr = run(
        """
        async def own():
            async with Overseer(containment="guarded") as overseer:
                service = await overseer.add("mine", "sh", "-c", "echo here; exec sleep 100").start()
                assert (await asyncio.wait_for(service.lines(history=9).get(), 5)).text == "here"
            assert str(service.state) == "interrupted"
            assert (await Process("true")).ok

        def what(overseer, service):
            asyncio.run(own())
            sys.exit(7)

        assert asyncio.run(main(what, containment="guarded")) == 7
        """,
        tmp_path,
    )
    assert 0 == code, stderr


def test_worker_of_multiprocessing_holds_nothing(tmp_path: Path) -> None:
    """While it lives, the parent closes the input of a program, and the program reads its end."""
    code, stderr = run(
        """
        async def host():
            context = multiprocessing.get_context("fork")
            async with Overseer(containment="basic") as overseer, Process("cat", stdin="pipe") as lone:
                service = overseer.add("web", "cat", stdin="pipe", restart=Restart("never"))
                await service.start()
                worker = context.Process(target=time.sleep, args=(100,))
                worker.start()
                service.close_stdin()
                lone.close_stdin()
                assert (await asyncio.wait_for(service.wait(), 5)).ok
                assert (await asyncio.wait_for(lone.wait(), 5)).ok
                worker.kill()
                worker.join()

        asyncio.run(host())
        """,
        tmp_path,
    )
    assert 0 == code, stderr


def test_block_of_a_process_is_left_alone_by_a_fork(tmp_path: Path) -> None:
    """A lone Process, and one that only runs."""
    code, stderr = run(
        """
        async def host():
            other = await Process("sleep", "100").start()
            async with Process("sleep", "100") as process:
                pid = os.fork()
                if not pid:
                    for call in (lambda: process.signal(15), process.clone().state.name.lower, process.status):
                        try:
                            call()
                        except OverseerError as error:
                            assert "clone()" in str(error)
                    sys.exit(7)
                assert await reaped(pid) == 7
                assert str(process.state) == str(other.state) == "running"
                os.kill(process.pid, 0), os.kill(other.pid, 0)
                os.kill(other.pid, signal.SIGHUP)
                assert (await asyncio.wait_for(other.wait(), 5)).signal == signal.SIGHUP
            assert process.status().signal == signal.SIGTERM

        asyncio.run(host())
        """,
        tmp_path,
    )
    assert (0, "") == (code, stderr)


def test_fork_during_the_start_of_a_pipeline_does_not_hold_its_pipe(tmp_path: Path) -> None:
    """The reader meets the end of its input although the fork lives on."""
    code, stderr = run(
        """
        async def host():
            first = Process("echo", "hello", delay_start=0.3)
            process = Process("cat", stdin=first)
            starting = asyncio.create_task(process.start())
            while str(first.state) != "starting":
                await asyncio.sleep(0)
            pid = os.fork()
            if not pid:
                time.sleep(100)
                os._exit(0)
            status = await asyncio.wait_for(process.wait(), 8)
            assert status.stdout == ["hello"]
            await starting
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

        asyncio.run(host())
        """,
        tmp_path,
    )
    assert (0, "") == (code, stderr)


def test_application_whose_tasks_wait_ends_in_a_fork(tmp_path: Path) -> None:
    """For a start, a stop, a rollback: none keeps the fork."""
    code, stderr = run(
        """
        async def host():
            async with Overseer(containment="basic") as overseer:
                deaf = overseer.add("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done",
                                    ready=ready.line("up"))
                never = overseer.add("never", "sleep", "100", ready=ready.command("false"))
                await deaf.start()
                tasks = [asyncio.create_task(work) for work in
                         (deaf.stop(), never.start(), asyncio.to_thread(time.sleep, 0.1),
                          Process("sleep", "100").start())]
                await asyncio.sleep(0.3)
                pid = os.fork()
                if not pid:
                    sys.exit(7)
                assert await reaped(pid) == 7
                assert str(deaf.state) == "stopping" and str(never.state) == "starting"
                os.kill(deaf.pid, signal.SIGKILL)
                await asyncio.wait_for(tasks[0], 5)
                for task in tasks:
                    task.cancel()
                await (await tasks[3] if not tasks[3].cancelled() else deaf).stop()

        asyncio.run(host())
        """,
        tmp_path,
    )
    assert 0 == code, stderr


async def test_nothing_is_a_copy_in_the_host_itself() -> None:
    """A fork of the host changes nothing in it."""
    async with limit(20), Overseer(containment="basic") as overseer:
        await overseer.add("x", "sleep", "100").start()
        before = generation()
        if not (pid := os.fork()):
            os._exit(0 if in_copy() and generation() == before + 1 else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert not in_copy()
        assert before == generation()
    assert (await Process("true")).ok
    await asyncio.sleep(0)
