"""The exit of a process that is no child of this host, and its signals."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from aioverseer._system.process import main_process
from aioverseer._system.process.main_process import MainProcess
from aioverseer.core.options.main_pid import LOST_EXIT
from aioverseer.core.state import Exit
from tests.support.programs import limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs pidfds")


async def orphan(script: str) -> MainProcess:
    """Start a process that is no child of this one."""
    starter = await asyncio.create_subprocess_exec(
        "sh", "-c", f"({script}) >/dev/null & echo $!", stdout=asyncio.subprocess.PIPE
    )
    told, _ = await starter.communicate()
    return MainProcess(int(told))


@pytest.mark.parametrize(
    ("script", "expected"),
    [("sleep 0.05; exit 7", Exit(code=7)), ("exec sleep 60", Exit(signal=signal.SIGTERM))],
)
async def test_exit_is_known(script: str, expected: Exit) -> None:
    process = await orphan(script)
    try:
        if expected.signal:
            process.signal(signal.SIGTERM)
        async with limit(5):
            assert expected == await process.wait()
        assert process.has_ended
    finally:
        process.close()


async def test_exit_that_nobody_tells_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an older kernel, after the parent has reaped it: neither code nor signal, which is a failure."""
    monkeypatch.setattr(main_process, "kept_exit", lambda _: None)
    monkeypatch.setattr(main_process, "tells_exits", lambda _: False)
    monkeypatch.setattr("aioverseer._system.containment.procfs.zombie_status_of", lambda _: None)
    process = await orphan("sleep 0.02")
    async with limit(5):
        exit = await process.wait()
    process.close()
    assert (None, None, LOST_EXIT) == (exit.code, exit.signal, exit.cause)
    assert str(exit).startswith("ended with a status that is lost (its parent has taken it")


async def test_wait_may_be_cancelled() -> None:
    process = await orphan("exec sleep 60")
    waiting = asyncio.ensure_future(process.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    process.signal_group(signal.SIGKILL)
    async with limit(5):
        assert Exit(signal=signal.SIGKILL) == await process.wait()
    process.close()
    with pytest.raises(ProcessLookupError):
        process.signal(signal.SIGTERM)
