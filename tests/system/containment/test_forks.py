"""Programs that fork while they are ended, as fast as possible, or so that no process lives for long."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator

import pytest

from aioverseer import Overseer, Restart, Stop
from aioverseer._system.containment import cgroup
from aioverseer._system.containment.shim import client as shim_client
from aioverseer.core.options.containment import AskedContainment
from tests.support.host_tree import live_processes
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

BOMB = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
take, give = os.pipe()
os.write(give, b"x" * 400)
os.close(give)
print("up", flush=True)
while True:
    if not os.read(take, 1):
        signal.pause()
    if os.fork() == 0:
        os.setsid()
"""
"""Each of them forks on, into sessions of their own, until four hundred have been made."""

PHOENIX = """
import os, signal, time
print("up", flush=True)
if os.fork():
    signal.pause()
for _ in range(5000):
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
"""
"""A daemon that is another process each millisecond, for five seconds at least."""


def level(asked: AskedContainment, mechanism: str, why: str | None) -> object:
    """Return the parameters of a mechanism; skipped where the system lacks it."""
    return pytest.param(asked, mechanism, marks=pytest.mark.skipif(why is not None, reason=f"{why}"), id=mechanism)


STRICT = [
    level("strict", "shim", shim_client.missing()),
    level("strict", "cgroup", cgroup.tree().missing()),
    level("pidns", "pidns", shim_client.missing_namespace()),
]


@pytest.fixture(name="mark")
def mark_fixture() -> Iterator[str]:
    """Return a word that no other test uses, and kill every process that has it at the end."""
    mark = f"forks-{uuid.uuid4().hex}"
    yield mark
    while pids := live_processes(mark):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def _ended(program: str, mark: str, asked: AskedContainment, mechanism: str) -> list[int]:
    """Start a service, stop it once it is up, and return processes that live after the ladder's time and a second."""
    with pytest.MonkeyPatch.context() as patch:
        if mechanism == "shim":
            patch.setattr(cgroup.Tree, "missing", lambda _: "this test is about shims")
        async with limit(25), Overseer(containment=asked) as overseer:
            assert mechanism == overseer.containment.mechanism
            quick = Stop(steps=[(signal.SIGTERM, 0.05), (signal.SIGKILL, 5)])
            words = [sys.executable, "-I", "-S", "-c", program, mark]
            service = overseer.add("web", *words, stop=quick, restart=Restart("never"), drain_timeout=0.05)
            lines = service.lines()
            await service.start()
            await lines.get()
            began = time.monotonic()
            await service.stop()
            assert time.monotonic() - began < 5, "the stop has not stopped"
            return live_processes(mark)


@pytest.mark.parametrize(
    ("asked", "mechanism"), [level("basic", "marker", None), level("guarded", "guardian", None), *STRICT]
)
async def test_fork_bomb_is_gone_after_its_stop(mark: str, asked: AskedContainment, mechanism: str) -> None:
    """Signals race with forks, so the kill is repeated until no process is left."""
    assert [] == await _ended(BOMB, mark, asked, mechanism)


@pytest.mark.parametrize(("asked", "mechanism"), STRICT)
async def test_daemon_that_forks_each_millisecond_is_gone(mark: str, asked: AskedContainment, mechanism: str) -> None:
    """No sweep finds it for certain, but it cannot leave a strict level."""
    assert [] == await _ended(PHOENIX, mark, asked, mechanism)
