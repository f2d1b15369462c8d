"""The spawner that the tests run with, and a spy that works with both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from aioverseer._system.process import launcher
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.spawn import VARIABLE, ExitWatcher, Spawner, SpawnRequest

__all__ = ["pidfd_only", "watch_spawns"]

pidfd_only = pytest.mark.skipif(
    os.environ.get(VARIABLE) == "asyncio", reason=f"about the pidfd spawner, and {VARIABLE} chooses the other one"
)


def watch_spawns(
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Call a function before and after each spawn, whichever spawner makes it."""

    class Watched:
        def __init__(self, spawner: Spawner) -> None:
            self.name = spawner.name
            self._spawner = spawner

        def suits(self, loop: asyncio.AbstractEventLoop) -> bool:
            return self._spawner.suits(loop)

        async def spawn(self, request: SpawnRequest, resources: LoopResources) -> ExitWatcher:
            before()
            child = await self._spawner.spawn(request, resources)
            after()
            return child

    monkeypatch.setattr(launcher, "_SPAWNERS", tuple(Watched(spawner) for spawner in launcher._SPAWNERS))
