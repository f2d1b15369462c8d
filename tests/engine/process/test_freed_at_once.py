"""A run that has ended is freed by its last reference: in a crash loop the collector has nothing to do."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart
from tests.support.programs import child, limit

CHATTY = child("import os; os.write(1, b'out\\n' * 100); os.write(2, b'err'); os._exit(1)")


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Objects in a reference cycle stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_the_runs_of_a_service_are_freed_when_the_next_one_has_begun() -> None:
    """With pipes, pumps and readers; only the last run is kept."""
    seen: list[weakref.ref[Process]] = []
    async with limit(30), Overseer() as overseer:
        policy = Restart("always", max_restarts=5, backoff=Backoff(min=0, max=0))
        service = overseer.add("svc", *CHATTY, restart=policy)
        lines, events = service.lines(), overseer.events()
        await service.start()
        while not (await anext(events)).state.is_final:
            if service.process is not None and service.process not in [known() for known in seen]:
                seen.append(weakref.ref(service.process))
        lines.close()
        assert 6 == len(seen)
        assert [None] * 5 == [known() for known in seen][:5]


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_process_is_freed_with_its_last_reference(buffered: bool, streaming: bool) -> None:
    """Whether its output was read or not; its task ends one iteration after the event."""
    process = Process(*CHATTY, buffered=buffered, streaming=streaming)
    known: list[weakref.ref[Any]] = [weakref.ref(process), weakref.ref(process._runner.streams)]
    async with limit(10):
        await process
    del process
    for _ in range(3):
        await asyncio.sleep(0)
    assert [None, None] == [part() for part in known]


def test_loops_are_freed_after_a_search_for_leftovers() -> None:
    """The last search and the last sweep of a loop do not keep it."""

    async def use() -> weakref.ref[asyncio.AbstractEventLoop]:
        await Process("sh", "-c", "setsid sleep 5 & sleep 5 & exit 0")
        return weakref.ref(asyncio.get_running_loop())

    known = asyncio.run(use())
    gc.collect()  # the cycles of asyncio
    assert known() is None
