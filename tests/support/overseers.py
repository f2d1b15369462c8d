"""Helpers for tests of an Overseer: one with scripted children, and whether a process is alive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

from aioverseer import Overseer
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher

__all__ = ["ended", "is_alive", "scripted"]


def is_alive(pid: int | None) -> bool:
    """Whether a process of this number is there; a zombie counts."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def scripted(*scripts: FakeChild, by_id: dict[str, list[FakeChild]] | None = None, **options: Any) -> Any:
    """An overseer whose time and children belong to the test; with its clock and launcher."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts, by_id=by_id)
    return Overseer(clock=clock, launcher=launcher, **options), clock, launcher


async def ended(work: Awaitable[Any], clock: ManualClock, seconds: float = 60.0) -> Any:
    """Move the clock on while this is done, and return its result."""
    task = asyncio.ensure_future(work)
    await clock.advance(seconds)
    assert task.done(), "still waiting"
    return await task
