"""The choice between the spawners, and the feature test of the fast one."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from aioverseer import Process, SpawnError
from aioverseer._system.containment.limit_mark import SpawnMark
from aioverseer._system.containment.mark_window import MarkWindow
from aioverseer._system.process import cpython, spawn
from aioverseer._system.process.child import require_unreaped
from aioverseer._system.process.launcher import _SPAWNERS
from aioverseer._system.process.spawn import VARIABLE, choose
from aioverseer._system.process.spawn_asyncio import _FirstStep
from tests.support.programs import limit
from tests.support.spawners import pidfd_only

LOCKS = 10
HAS_PIDFDS = sys.platform == "linux" and hasattr(os, "pidfd_open")


@pytest.fixture(autouse=True)
def _forget_the_variable() -> Iterator[None]:
    """The variable is read once, so each test begins without what another test has set."""
    spawn._wanted.cache_clear()
    yield
    spawn._wanted.cache_clear()


async def chosen() -> str:
    """The name of the spawner of this event loop."""
    return choose(_SPAWNERS, asyncio.get_running_loop()).name


@pytest.mark.skipif(not HAS_PIDFDS, reason="the fast spawner needs pidfds")
async def test_the_fast_spawner_serves_the_loops_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every Python that the suite runs with, as the feature test and not a version number decides."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "pidfd" == await chosen()


async def test_the_variable_chooses_the_spawner_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is then started, watched and stopped by it."""
    monkeypatch.setenv(VARIABLE, "asyncio")
    assert "asyncio" == await chosen()
    async with limit(20):
        assert 3 == (await Process("sh", "-c", "exit 3")).exit_code
        process = await Process("sleep", "100").start()
        assert 15 == (await process.stop()).signal


async def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the variable, its value and a remedy."""
    monkeypatch.setenv(VARIABLE, "fork")
    with pytest.raises(SpawnError, match=f"{VARIABLE} is 'fork', which is no spawner: set it to 'asyncio'") as raised:
        await Process("true").start()
    assert errno.EINVAL == raised.value.errno


async def test_a_named_spawner_that_does_not_suit_the_loop_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fallback works on every event loop."""
    monkeypatch.setenv(VARIABLE, "pidfd")
    monkeypatch.setattr("aioverseer._system.process.spawn_pidfd._has_pidfds", lambda: False)
    assert "asyncio" == await chosen()


@pidfd_only
@pytest.mark.parametrize("change", ["more is awaited", "less is passed on", "it raises"])
async def test_a_python_that_spawns_in_another_way_gets_the_spawner_of_asyncio(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feature test notices each difference that matters. It starts nothing, and the running loop is the same."""
    real: Any = cpython._create
    loop = asyncio.get_running_loop()

    async def changed(*words: str, **options: Any) -> object:
        match change:
            case "more is awaited":
                result = await real(*words, **options)
                await asyncio.sleep(0)
                return result
            case "less is passed on":
                del options["pass_fds"]
                return await real(*words, **options)
            case _:
                raise RuntimeError("no child processes in here")

    trial: Any = cpython._is_one_step.__wrapped__
    assert trial()
    # The namespace of the original, as a new Python would have it: else it would be taken for a wrapper.
    monkeypatch.setattr(cpython, "_create", changed)
    monkeypatch.setattr(cpython, "_is_original", lambda: True)
    assert not trial()
    assert loop is asyncio.get_running_loop()


async def test_spawn_that_a_task_factory_awaits_happens_in_its_window() -> None:
    """Tracing tools wrap what a task runs. The program must get its mark all the same."""
    before = resource.getrlimit(LOCKS)
    mark = SpawnMark(LOCKS, 1 << 62 | 4713, lambda _age: None)
    seen: list[int] = []

    async def fork() -> int:
        seen.append(resource.getrlimit(LOCKS)[0])
        await asyncio.sleep(0)
        seen.append(resource.getrlimit(LOCKS)[0])
        return 7

    async def wrapped(work: Coroutine[Any, Any, int]) -> int:
        return await work

    assert 7 == await wrapped(_FirstStep(fork(), MarkWindow(mark)))
    assert [mark.value, before[0]] == seen


def test_spawn_that_never_began_can_be_closed() -> None:
    """As a loop does that is closed before its first iteration. Nothing warns of a coroutine that nobody awaited."""

    async def fork() -> None:
        raise AssertionError

    _FirstStep(fork(), MarkWindow(None)).close()


def test_child_that_was_reaped_is_not_there_any_more() -> None:
    """Its number may be that of another process by now."""
    with subprocess.Popen(["sleep", "60"]) as program:
        require_unreaped(os.P_PID, program.pid)
        program.kill()
    with pytest.raises(ProcessLookupError, match=f"process {program.pid} has ended"):
        require_unreaped(os.P_PID, program.pid)
