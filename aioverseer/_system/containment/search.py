"""One search through all processes of the machine for the processes of live runs. Callers of the same moment share it.

A search costs some microseconds for each process. A stop of a thousand services must not pay that a thousand times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from aioverseer._system.containment import procfs
from aioverseer._system.containment.strays import StrayRegistry

__all__ = ["processes_of"]

_PER_ITERATION = 32
"""Processes judged in one iteration of the event loop, about 0.3 ms: less than a spawn."""

_EXEC = 0.05
"""Seconds for which a process in the middle of an exec is judged again. An exec takes some hundred microseconds."""

_TIMEOUT = 1.0
"""Seconds for a search. It needs them only if processes fork faster than they are found."""


class _Search:
    """One search, for all runs."""

    def __init__(self, registry: StrayRegistry) -> None:
        self.began = False
        self.waiters = 0
        self._registry = registry
        self._found: dict[int, list[int]] = {}
        self._has_strays = False

    async def run(self, previous: asyncio.Task[dict[int, list[int]]] | None) -> dict[int, list[int]]:
        """Search, after the search before this one; return the pids of each run."""
        if previous is not None and not previous.done():
            await asyncio.wait({previous})
        self.began = True
        loop = asyncio.get_running_loop()
        deadline, mark = loop.time() + _TIMEOUT, self._registry.ended
        seen: set[int] = set()
        unclear: list[int] = []
        # Repeat until no pid is new: a process may start another one and end before it is judged.
        while (new := [pid for pid in procfs.pids() if pid not in seen]) and loop.time() < deadline:
            seen.update(new)
            for _ in self._judge(new, unclear):
                await asyncio.sleep(0)
        # Polled, because the kernel does not report the end of an exec.
        exec_deadline = loop.time() + _EXEC
        while unclear and loop.time() < exec_deadline:
            await asyncio.sleep(0)
            again, unclear = unclear, []
            for _ in self._judge(again, unclear):
                await asyncio.sleep(0)
        if not self._has_strays and not unclear:
            self._registry.swept(mark, leaderless=not any(map(self._registry.is_leaderless, self._found)))
        return self._found

    def _judge(self, pids: list[int], unclear: list[int]) -> Iterator[None]:
        """Judge processes; yield where the event loop should run others."""
        for place, pid in enumerate(pids):
            if place % _PER_ITERATION == _PER_ITERATION - 1:
                yield
            owner = self._registry.owner_of(pid)
            if owner is None:
                unclear.append(pid)
            elif owner.is_stray:
                self._has_strays = True
            elif owner.run != 0:
                self._found.setdefault(owner.run, []).append(pid)


_searches: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[_Search, asyncio.Task[dict[int, list[int]]]]] = (
    WeakKeyDictionary()
)
"""The search under way on each event loop, or the next one."""


def _forget(task: asyncio.Task[dict[int, list[int]]]) -> None:
    """Drop a search that is over: its task refers to the event loop, and would keep it for ever."""
    loop = task.get_loop()
    if _searches.get(loop, (None, None))[1] is task:
        del _searches[loop]


async def processes_of(registry: StrayRegistry, run: int) -> list[int]:
    """Return the pids of the live processes of a run, without its leader. Zombies do not count.

    Safe to cancel: other callers may wait for the same search, which goes on for them; the last one ends it. It takes
    a second at most.
    """
    loop = asyncio.get_running_loop()
    search, task = _searches.get(loop, (None, None))
    if search is None or search.began:
        # A search that has begun may have passed the processes of this run.
        search = _Search(registry)
        task = loop.create_task(search.run(task), name="aioverseer search")
        _searches[loop] = search, task
        task.add_done_callback(_forget)
    assert task is not None  # noqa: S101  # for the type checkers
    search.waiters += 1
    try:
        return (await asyncio.shield(task)).get(run, [])
    finally:
        search.waiters -= 1
        if search.waiters == 0 and not task.done():
            # The next caller must not join a search that is cancelled, so the search is forgotten at once.
            task.cancel()
            _forget(task)
