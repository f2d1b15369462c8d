"""A guardian that cannot be started again, does not answer, or does not end."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from aioverseer import Overseer, Spec
from aioverseer._system.containment.guardian import client as module
from aioverseer._system.containment.guardian.client import guardian
from aioverseer._system.process.launcher import SystemLauncher
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SLEEP = ("sleep", "100")


@pytest.fixture(autouse=True)
def _fresh_guardian() -> Iterator[None]:
    """Keep a failure in one test from the next one."""
    yield
    assert guardian().pid is None
    guardian().failure = None


async def test_guardian_that_cannot_be_replaced_lowers_the_level(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The programs go on; the reason is logged."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async with limit(), Overseer() as overseer:
        service = await overseer.add("a", *SLEEP).start()
        pid = guardian().pid
        assert pid is not None
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", refused)
            os.kill(pid, signal.SIGKILL)
            while overseer.containment.level != "basic":
                await asyncio.sleep(0)
        assert service.state.is_live
    assert "a guardian could not be started" in caplog.text


async def test_guardian_that_does_not_answer_lowers_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start goes on without it, after a limit."""
    monkeypatch.setattr(module, "_START_TIMEOUT", 0.05)
    monkeypatch.setattr(module.Guardian, "read_state", lambda *_: None)
    async with limit(), Overseer() as overseer:
        await overseer.add("a", *SLEEP).start()
        assert "basic" == overseer.containment.level
        assert "has not answered in time" in overseer.containment.reason


async def test_stopped_guardian_is_killed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation that comes meanwhile is raised after that."""
    monkeypatch.setattr(module, "_END_TIMEOUT", 0.1)
    async with limit():
        overseer = await Overseer().__aenter__()
        await overseer.add("a", *SLEEP).start()
        await overseer.stop_all()
        pid = guardian().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_launcher_serves_one_event_loop_after_another() -> None:
    """Without a close between them."""
    launcher = SystemLauncher(containment="guarded")
    codes: list[int | None] = []

    async def use() -> None:
        child = await launcher.launch(Spec(id="x", argv=("true",)), capture=False)
        codes.append((await child.wait()).code)
        child.close()

    asyncio.run(use())
    asyncio.run(use())
    asyncio.run(launcher.close())
    assert [0, 0] == codes
