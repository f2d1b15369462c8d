"""However a host ends, nothing that it started is alive a second later."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aioverseer.system.containment.cgroup import tree
from aioverseer.system.containment.shims import missing_namespace
from torture import WAYS, host, living, marked, round_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
PIDNS = pytest.param(
    "pidns", marks=pytest.mark.skipif(missing_namespace() is not None, reason=f"{missing_namespace()}")
)
CGROUP = pytest.param("cgroup", marks=pytest.mark.skipif(tree().missing() is not None, reason=f"{tree().missing()}"))


@pytest.fixture(name="mark")
def mark_fixture() -> Iterator[str]:
    """A word that no other test has."""
    with marked() as mark:
        yield mark


@pytest.mark.parametrize("level", ["basic", "guarded", "shim", CGROUP, PIDNS])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "SIGKILL"])
def test_nothing_lives_when_the_block_has_ended(level: str, way: str) -> None:
    """However it ended; children, sessions and daemons. The guardian is gone with it."""
    assert [] == round_of(level, way)


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP, PIDNS])
def test_nothing_lives_a_second_after_the_host_was_killed(level: str, turn: int) -> None:
    """Of ten, none that heeds a signal; and no guardian is left."""
    assert [] == round_of(level, "SIGKILL"), turn


@pytest.mark.parametrize("way", ["normal", "exception", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("level", ["guarded", "shim", CGROUP, PIDNS])
def test_the_same_on_uvloop(level: str, way: str) -> None:
    """There a spawn is no single step, and exits come by another way."""
    pytest.importorskip("uvloop")
    assert [] == round_of(level, way, loop="uvloop")


def _nobody_can() -> bool:
    if os.getuid() != 0:
        return False
    with contextlib.suppress(OSError, KeyError):
        look = [sys.executable, "-c", "import aioverseer.system.containment.guardian"]
        return subprocess.run(look, user="nobody", cwd="/", capture_output=True, check=False).returncode == 0
    return False


@pytest.mark.skipif(not _nobody_can(), reason="needs root, and a Python that others may run")
@pytest.mark.parametrize("way", ["normal", "cancellation", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("level", ["guarded", "shim", PIDNS])
def test_the_same_as_a_plain_user(level: str, way: str) -> None:
    """Without any right that root has."""
    assert [] == round_of(level, way, user="nobody")


def test_without_a_guardian_a_killed_host_leaves_its_programs(mark: str) -> None:
    """What the level basic says of itself is true, and so the test above tests something."""
    with host(mark, "basic", "SIGKILL") as process:
        process.kill()
        process.wait(10)
        assert 10 == len(living(mark))
