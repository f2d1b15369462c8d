"""The same on an event loop that is not asyncio's own: it makes its children itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, State
from aioverseer._system.containment import procfs
from tests.support.programs import limit

uvloop = pytest.importorskip("uvloop")


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it there, with a limit."""

    async def limited() -> None:
        async with limit(20):
            await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


# libuv opens a pipe for signals with the first loop of a process, and keeps it: not in a test that counts descriptors.
uvloop.new_event_loop().close()


def test_a_program_has_its_environment_and_its_true_exit() -> None:
    """The host's with the marker, one that was given, and additions."""

    async def main() -> None:
        status = await Process("sh", "-c", "echo $AIOVERSEER_RUN $PATH; exit 3")
        assert (3, 1) == (status.exit_code, len(status.stdout or ()))
        marker, _, path = str((status.stdout or [""])[0]).partition(" ")
        assert marker
        assert os.environ["PATH"] == path
        status = await Process("/bin/sh", "-c", "echo $WORD $PATH", env={"WORD": "x"}, extra_env={"PATH": "/bin"})
        assert ["x /bin"] == status.stdout
        assert 9 == (await Process("sh", "-c", "kill -9 $$")).signal

    on_uvloop(main)


def test_crash_loop_and_block_end_on_uvloop() -> None:
    """Restarts, pipes, groups and the sweep."""
    pids: list[int] = []

    async def main() -> None:
        async with Overseer() as overseer:
            policy = Restart("always", max_restarts=5, backoff=Backoff(min=0, max=0))
            overseer.add("loop", "sh", "-c", "echo up", restart=policy)
            lines = overseer["loop"].lines()
            assert State.FATAL is (await overseer.supervise("loop")).state
            assert ["up"] * 6 == [str(getattr(line, "text", line)) async for line in lines]
            family = await overseer.add("family", "sh", "-c", "setsid sleep 100 & echo $!; exec sleep 100").start()
            pids.append(int(str(getattr(await family.lines(history=5).get(), "text", ""))))
            pids.append(family.pid or 0)

    on_uvloop(main)
    assert all(pid > 0 for pid in pids)
    assert {"X", "Z"} >= {procfs.state_of(pid) for pid in pids}


def test_a_missing_program_is_reported() -> None:
    """By the same sentence."""

    async def main() -> None:
        status = await Process("no-such-program")
        assert "there is no program 'no-such-program' on PATH" in status.reason

    on_uvloop(main)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_open() -> None:
    """Descriptors are those of before."""
    before = os.listdir("/proc/self/fd")

    async def main() -> None:
        async with Process("cat", stdin="pipe", streaming=True) as cat:
            await cat.write("hello\n")
            assert cat.stdout is not None
            assert "hello" == await cat.stdout.get()

    on_uvloop(main)
    assert before == os.listdir("/proc/self/fd")
