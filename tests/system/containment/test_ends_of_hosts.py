"""However a host ends, none of its programs lives a second later."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer._system.containment.cgroup import tree
from aioverseer._system.containment.shim.client import missing_namespace
from tests.support.host_tree import WAYS, host, leftovers_of, live_processes, marked, wait_for_ends

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
NO_PIDNS = missing_namespace()
PIDNS = pytest.param("pidns", marks=pytest.mark.skipif(NO_PIDNS is not None, reason=f"{NO_PIDNS}"))
CGROUP = pytest.param("cgroup", marks=pytest.mark.skipif(tree().missing() is not None, reason=f"{tree().missing()}"))


@pytest.fixture(name="mark")
def mark_fixture() -> Iterator[str]:
    """Return a word that no other test uses, and kill every process that has it at the end."""
    with marked() as mark:
        yield mark


@pytest.mark.parametrize("level", ["basic", "guarded", "shim", CGROUP, PIDNS])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "SIGKILL"])
def test_nothing_lives_after_the_block(level: str, way: str) -> None:
    """For each kind of end: children, sessions, daemons and the guardian are gone."""
    assert [] == leftovers_of(level, way)


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP, PIDNS])
def test_nothing_lives_a_second_after_the_host_is_killed(level: str, attempt: int) -> None:
    """Ten programs that ignore all signals are gone, and the guardian too."""
    assert [] == leftovers_of(level, "SIGKILL"), attempt


@pytest.mark.parametrize("way", ["normal", "exception", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP, PIDNS])
def test_nothing_lives_after_uvloop_is_killed(level: str, way: str) -> None:
    """On uvloop a spawn takes several steps, and exits are reported in another way."""
    pytest.importorskip("uvloop")
    assert [] == leftovers_of(level, way, loop="uvloop")


def _nobody_can() -> bool:
    if os.getuid() != 0:
        return False
    with contextlib.suppress(OSError, KeyError):
        look = [sys.executable, "-c", "import aioverseer._system.containment.guardian.client"]
        return subprocess.run(look, user="nobody", cwd="/", capture_output=True, check=False).returncode == 0
    return False


@pytest.mark.skipif(not _nobody_can(), reason="needs root, and a Python that others may run")
@pytest.mark.parametrize("way", ["normal", "cancellation", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("level", ["guarded", "shim", PIDNS])
def test_nothing_lives_after_a_plain_user_is_killed(level: str, way: str) -> None:
    """Without the rights of root."""
    assert [] == leftovers_of(level, way, user="nobody")


@pytest.mark.parametrize("way", ["fork", "fork in C"])
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP, PIDNS])
def test_fork_of_the_host_does_not_hide_its_end(mark: str, level: str, way: str) -> None:
    """The fork has copies of the pipes and locks that report the end of the host."""
    with host(mark, level, way) as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        tree = [pid for pid in live_processes(mark) if pid != fork]
        process.kill()
        wait_for_ends(tree, time.monotonic() + 2.0)
        assert [fork] == live_processes(mark)


@pytest.mark.parametrize(("level", "left"), [("shim", 9), pytest.param("pidns", 0, marks=PIDNS.marks)])
def test_host_killed_together_with_its_shim(mark: str, level: str, left: int) -> None:
    """As the level reports, a shim leaves the descendants of its program, and a pid namespace leaves nothing."""
    with host(mark, level, "SIGKILL") as process:
        tree = [pid for pid in live_processes(mark) if pid != process.pid]
        shim = next(pid for pid in tree if _parent(pid) == process.pid)
        # Daemons are children of the shim too, but in sessions of their own. They stay.
        command = [pid for pid in tree if _parent(pid) == shim and os.getsid(pid) == os.getsid(shim)]
        ends = tree if left == 0 else command
        # Stop both, so that neither sees the end of the other.
        for pid in (process.pid, shim):
            os.kill(pid, signal.SIGSTOP)
        os.kill(shim, signal.SIGKILL)
        process.kill()
        process.wait(10)
        wait_for_ends(ends, time.monotonic() + 5.0)
        assert left == len(live_processes(mark))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_without_a_guardian_a_killed_host_leaves_its_programs(mark: str) -> None:
    """Level basic reports this, and it proves that the test of guarded tests something."""
    with host(mark, "basic", "SIGKILL") as process:
        process.kill()
        process.wait(10)
        assert 10 == len(live_processes(mark))
