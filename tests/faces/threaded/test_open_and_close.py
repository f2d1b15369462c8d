"""A ThreadedOverseer without a block: open, close, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from aioverseer import Overseer, OverseerError, Restart, State, ThreadedOverseer

BEGIN = """
import atexit, os, signal, sys, threading, time
from aioverseer import LogFile, Overseer, ThreadedOverseer
overseer = ThreadedOverseer(containment="basic").open()
script = "trap 'echo saved > SAVED; exit' TERM; echo up; while :; do sleep 0.01; done"
service = overseer.add("sleeper", "sh", "-c", script)
lines = service.lines()
service.start()
next(lines)
print(service.pid, flush=True)
"""


def run(code: str, folder: Path, *, words: tuple[str, ...] = ()) -> tuple[int, str, list[int]]:
    """Run a script to its end; return its exit code, its errors, and the services that live."""
    script = folder / "script.py"
    script.write_text(BEGIN.replace("SAVED", str(folder / "saved")) + textwrap.dedent(code))
    done = subprocess.run(
        # Python 3.12 warns of each fork of a program with threads.
        [sys.executable, "-W", "ignore::DeprecationWarning", *(words or (str(script),))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    pids = [int(word) for word in re.findall(r"^\d+$", done.stdout, re.MULTILINE)]
    assert pids, done.stderr
    return done.returncode, done.stderr, [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise KeyError('x')", 1, "KeyError"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(20)", -2, "KeyboardInterrupt"),
        ("threading.Thread(target=sys.exit).start()", 0, ""),
        ("threading.Thread(target=lambda: overseer.wait_forever).start()", 0, "AttributeError"),
        ("threading.Thread(target=service.wait, daemon=True).start()", 0, ""),
        ("overseer.close(); overseer.close()", 0, ""),
        ("overseer.close(); overseer.open(); service.start()", 0, ""),
        ("del overseer, service, lines", 0, ""),
        (
            """
other = ThreadedOverseer(containment='guarded', log=LogFile('log')).open()
hello = other.add('b', 'sh', '-c', 'echo hello; exec sleep 100').lines()
print(other['b'].start().pid)
next(hello)  # Python 3.12 and newer start no thread at their end, so that of the log must run by then
""",
            0,
            "",
        ),
        ("atexit.register(lambda: print(service.state, file=sys.stderr))", 0, "running"),
    ],
)
def test_services_are_stopped_at_the_end_of_the_interpreter(
    code: str, exit_code: int, error: str, tmp_path: Path
) -> None:
    """By their ladders, however the script ends, and without a word."""
    code_of_script, stderr, left = run(code, tmp_path)
    assert exit_code == code_of_script, stderr
    assert error in stderr
    if not error:
        assert "" == stderr
    assert [] == left
    assert "saved\n" == (tmp_path / "saved").read_text()


def test_end_of_a_test_run_stops_services(tmp_path: Path) -> None:
    """Of a module that opens one while it is imported."""
    _, output, left = run(
        "def test_it():\n    assert 'running' == str(service.state)\n",
        tmp_path,
        words=("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:asyncio", "script.py"),
    )
    assert "" == output
    assert [] == left
    assert "saved\n" == (tmp_path / "saved").read_text()


def test_fork_of_the_host_stops_nothing_at_its_exit(tmp_path: Path) -> None:
    """Neither by the hook nor by the end of a block; and a call there says why it cannot work."""
    code, stderr, left = run(
        """
        def alive():
            return os.path.exists(f"/proc/{service.pid}")

        pid = os.fork()
        if not pid:
            for call in (service.stop, overseer.stop_all, overseer.list_all, service.status, lambda: next(lines)):
                try:
                    call()
                except Exception as error:
                    print(type(error).__name__, "fork" in str(error), file=sys.stderr)
            overseer.close()
            sys.exit(7)
        assert 7 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert alive() and service.state.name == "RUNNING"
        with ThreadedOverseer(containment="basic") as other:
            pid = os.fork()
            if not pid:
                sys.exit(8)
            assert 8 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert alive()
        assert alive()
        service.restart()
        print(service.pid)
        """,
        tmp_path,
    )
    assert (0, "OverseerError True\n" * 5) == (code, stderr)
    assert [] == left


def test_fork_may_open_one_of_its_own(tmp_path: Path) -> None:
    """It is stopped at the end of the fork."""
    code, stderr, left = run(
        """
        pid = os.fork()
        if not pid:
            mine = ThreadedOverseer(containment="guarded").open()
            print(mine.add("mine", "sleep", "100").start().pid, flush=True)
            sys.exit(0)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert service.state.name == "RUNNING"
        """,
        tmp_path,
    )
    assert (0, "") == (code, stderr)
    assert [] == left


def test_open_gives_the_overseer_and_close_ends_it() -> None:
    """It may be opened again, and closed as often as one likes."""
    overseer = ThreadedOverseer(containment="basic")
    overseer.close()
    for _ in range(2):
        assert overseer is overseer.open()
        with pytest.raises(OverseerError, match="in use already"):
            overseer.open()
        with pytest.raises(OverseerError, match="in use already"), overseer:
            pytest.fail("it is open")
        assert State.RUNNING is (overseer["x"] if "x" in overseer else overseer.add("x", "sleep", "100")).start().state
        overseer.close()
        overseer.close()
        assert State.INTERRUPT is overseer["x"].state
    with pytest.raises(OverseerError, match=r"use it inside `with`, or call open\(\)"):
        overseer["x"].start()


def test_failed_open_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is that of the overseer."""
    overseer = ThreadedOverseer(containment="basic")

    async def fail() -> None:
        raise OSError("no entry")

    monkeypatch.setattr(overseer._overseer, "__aenter__", fail)
    before = threading.active_count()
    with pytest.raises(OSError, match="no entry"):
        overseer.open()
    assert before == threading.active_count()


@pytest.mark.parametrize("when", ["before", "after"])
def test_interrupt_of_an_open_leaves_nothing_in_use(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the overseer is being entered, or when it has just been."""
    main, enter = threading.get_ident(), Overseer.__aenter__
    interrupted, join = threading.Event(), threading.Thread.join

    def join_afterwards(thread: threading.Thread, timeout: float | None = None) -> None:
        interrupted.set()
        join(thread, timeout)

    async def enter_interrupted(overseer: Overseer) -> Overseer:
        if when == "after":
            await enter(overseer)
        signal.pthread_kill(main, signal.SIGINT)
        await asyncio.to_thread(interrupted.wait, 5)
        return overseer if when == "after" else await enter(overseer)

    monkeypatch.setattr(Overseer, "__aenter__", enter_interrupted)
    overseer = ThreadedOverseer(name="interrupted", containment="basic")
    monkeypatch.setattr(threading.Thread, "join", join_afterwards)
    with pytest.raises(KeyboardInterrupt):
        overseer.open()
    assert "aioverseer interrupted" not in [thread.name for thread in threading.enumerate()]
    monkeypatch.undo()
    with overseer:
        assert State.RUNNING is overseer.add("x", "sleep", "100").start().state


def test_close_raises_what_a_block_raises() -> None:
    """A critical service has ended."""
    overseer = ThreadedOverseer(containment="basic").open()
    service = overseer.add("x", "false", critical=True, restart=Restart("never"))
    service.start()
    service.wait()
    with pytest.raises(OverseerError, match="critical service 'x'"):
        overseer.close()
    overseer.close()
    assert os.getpid() > 0


STUBBORN = """
from aioverseer import Stop
stubborn = overseer.add("stubborn", "sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done",
                        stop=Stop(timeout=1000))
asked = stubborn.lines()
stubborn.start()
next(asked)
print(stubborn.pid, flush=True)

def interrupt_when_asked():
    while next(asked).text != "asked":
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt_when_asked, daemon=True).start()
"""


@pytest.mark.parametrize(
    "end",
    [
        "overseer.close()",
        "overseer.__exit__(None, None, None)",
        "overseer.__exit__(KeyError, KeyError('x'), None)",
    ],
)
def test_interrupt_of_a_close_kills_what_is_left(end: str, tmp_path: Path) -> None:
    """KeyboardInterrupt comes out once all has ended, and the overseer may be opened again."""
    code, stderr, left = run(
        f"""{STUBBORN}
try:
    {end}
except KeyboardInterrupt:
    assert not os.path.exists(f"/proc/{{stubborn.pid}}"), stubborn.why()
    print(stubborn.status().reason, file=sys.stderr)
overseer.close()
with overseer:
    service.start()
""",
        tmp_path,
    )
    assert 0 == code, stderr
    assert "SIGKILL" in stderr
    assert [] == left


def test_interrupt_at_the_end_of_the_interpreter_kills_without_a_traceback(tmp_path: Path) -> None:
    """The hook ends in silence."""
    assert (0, "", []) == run(STUBBORN, tmp_path)


def test_overseer_is_open_after_an_interrupt_of_the_kill(tmp_path: Path) -> None:
    """Each call says so, and the next close waits again."""
    code, stderr, left = run(
        """
import asyncio
from aioverseer import OverseerError
holds = []

async def hold():
    holds.extend((asyncio.get_running_loop(), asyncio.Event()))
    while not holds[1].is_set():
        try:
            await holds[1].wait()
        except asyncio.CancelledError:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

task = overseer.add_task("task", hold).start()
try:
    overseer.close()
except KeyboardInterrupt as interrupt:
    assert isinstance(interrupt.__context__, KeyboardInterrupt)

def refused(call):
    try:
        call()
    except OverseerError as error:
        return str(error)

assert task.state.is_live
assert "in use already" in refused(overseer.open)
kill = threading.Thread(target=overseer.stop_all, args=(True,))
kill.start()
holds[0].call_soon_threadsafe(holds[1].set)
kill.join()
overseer.close()
assert not task.state.is_live
assert "not in use" in refused(overseer.stop_all)
assert "not in use" in refused(task.start)
overseer.open()
service.start()
print(service.pid)
""",
        tmp_path,
    )
    assert (0, "", []) == (code, stderr, left)


def test_close_of_several_threads_waits_in_each(tmp_path: Path) -> None:
    """The overseer is left once."""
    code, stderr, left = run(
        """
def close():
    overseer.close()
    assert not os.path.exists(f"/proc/{service.pid}")

threads = [threading.Thread(target=close) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""",
        tmp_path,
    )
    assert (0, "", []) == (code, stderr, left)
