"""Programs that SIGKILL does not end, for real: frozen by cgroup v1, they are in an uninterruptible sleep (state D)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioverseer import Overseer, Restart, State, Stop, StopFailed, Subscription
from aioverseer._system.containment import cgroup, procfs
from aioverseer.core.options.containment import AskedContainment
from tests.support.programs import child, limit

FREEZER = Path("/sys/fs/cgroup/freezer")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or (not os.access(FREEZER / "freezer.state", os.F_OK) and not os.access(FREEZER, os.W_OK)),
    reason="needs the freezer of cgroup v1, and the right to use it",
)


class Freezer:
    """A cgroup whose members do nothing, not even die."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def freeze(self, pid: int) -> None:
        """Put a process in, and return once it stands still."""
        (self.path / "cgroup.procs").write_text(str(pid))
        (self.path / "freezer.state").write_text("FROZEN")
        while (self.path / "freezer.state").read_text() != "FROZEN\n":
            pass  # microseconds: the kernel tells when the last one has stopped
        assert "D" == procfs.state_of(pid)

    def thaw(self) -> None:
        """Let all of them go on."""
        (self.path / "freezer.state").write_text("THAWED")


@pytest.fixture(name="freezer")
def freezer_fixture() -> Iterator[Freezer]:
    """A freezer of this test."""
    freezer = Freezer(FREEZER / f"aioverseer-test-{os.getpid()}")
    try:
        yield freezer
    finally:
        freezer.thaw()
        for text in (freezer.path / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(text), signal.SIGKILL)
        while (freezer.path / "cgroup.procs").read_text():
            pass  # killed processes, until they are reaped
        freezer.path.rmdir()


async def told(lines: Subscription) -> str:
    """The next line."""
    line = await lines.get()
    return str(line.text)


@pytest.mark.parametrize("containment", ["basic", "guarded"])
async def test_service_that_cannot_die_is_named_by_its_state(
    freezer: Freezer, containment: AskedContainment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its ladder's time, with its number; it ends when it can."""
    monkeypatch.setattr("aioverseer.core.options.stop.FINAL_TIMEOUT", 0.1)
    async with limit(20), Overseer(containment=containment) as overseer:
        service = overseer.add("stuck", *child("print('up'); rest()"), stop=Stop(timeout=0.1), restart=Restart("never"))
        lines = service.lines()
        await service.start()
        assert "up" == await told(lines)
        assert service.pid is not None
        freezer.freeze(service.pid)
        began = time.monotonic()
        with pytest.raises(StopFailed, match="stuck"):
            await service.stop()
        assert time.monotonic() - began < 5
        status = service.status()
        assert State.STOPPING is status.state
        assert "still there" in status.reason
        assert status.pid == service.pid
        with pytest.raises(StopFailed, match="stuck"):
            await service.wait()
        events = overseer.events()
        freezer.thaw()
        assert State.INTERRUPT is (await anext(events)).state


async def test_descendant_that_cannot_die_holds_its_shim_up_for_a_moment_only(
    freezer: Freezer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The exit of the program is told, and who is left is named by the host."""
    monkeypatch.setattr(cgroup.Tree, "missing", lambda _: "this test is about shims")
    code = """
    import os, signal, sys
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(tell, b"x")
        signal.pause()
    os.read(hear, 1)
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        print(file.read().strip(), flush=True)
    sys.stdin.read()
    sys.exit(7)
    """
    async with limit(25):
        overseer = Overseer(containment="strict")
        await overseer.__aenter__()
        service = overseer.add("web", *child(code), stdin="pipe", restart=Restart("never"), drain_timeout=0.1)
        lines = service.lines()
        await service.start()
        daemon = int(await told(lines))
        freezer.freeze(daemon)
        assert service.process is not None
        service.process.close_stdin()
        status = await service.wait()
        assert (7, State.FINISHED) == (status.exit_code, status.state)
        with pytest.raises(StopFailed, match=f"pid {daemon}"):
            await overseer.__aexit__(None, None, None)
        assert f"pid {daemon}" in caplog.text
