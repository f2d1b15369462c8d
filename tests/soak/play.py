"""The soak: four services end at once and are restarted at once, while readers follow their events and lines.

Counts must agree exactly. Memory, descriptors, threads and tasks must stay flat.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aioverseer import Backoff, Overseer, Restart, State
from aioverseer._engine.events import journal

__all__ = ["Sample", "soak"]

PROGRAMS = {
    "silent": ("true",),
    "fails": ("false",),
    "talks": ("sh", "-c", "echo 1; echo 2; echo 3"),
}
VANISHES = "vanishes"
"""One more program: it removes its own file, so that all later starts fail."""
SAMPLES = 10
MORE_MEMORY = 4 * 1024
"""Allowed growth in KiB between the first sample that counts and the last one."""
MORE_OBJECTS = 3000
"""Allowed growth of the number of objects that the garbage collector knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The resources of the host at one moment."""

    restarts: int
    events: int
    memory: int
    descriptors: int
    threads: int
    tasks: int
    objects: int

    def __str__(self) -> str:
        return (
            f"{self.restarts:9,} restarts: {self.memory:7,} KiB, {self.descriptors:3} descriptors, "
            f"{self.threads:2} threads, {self.tasks:2} tasks, {self.objects:,} objects"
        )


def sample(restarts: int, events: int) -> Sample:
    """Return the resources of this process."""
    gc.collect()
    with open("/proc/self/status") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return Sample(
        restarts=restarts,
        events=events,
        memory=memory,
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
        objects=len(gc.get_objects()),
    )


JOURNAL = 500
"""The size of the journal during the soak. A small journal is full soon, so its memory stays flat from then on."""


async def soak(
    *, restarts: int | None, seconds: float | None, on_sample: Callable[[Sample], None] = lambda _sample: None
) -> list[str]:
    """Run until the restarts or seconds are over; return a line for each resource that has grown.

    Args:
        restarts: The number of restarts of all services together; None to run for ``seconds``.
        seconds: The duration, when ``restarts`` is None.
        on_sample: A function that is called with each sample.

    Raises:
        AssertionError: When an event was missed or a count is wrong.
    """
    kept, journal.JOURNAL_SIZE = journal.JOURNAL_SIZE, JOURNAL
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, VANISHES)
            file.write_text('#!/bin/sh\nrm -- "$0"\n')
            file.chmod(0o755)
            programs = {**PROGRAMS, VANISHES: (str(file),)}
            return await _play(programs, restarts=restarts, seconds=seconds, on_sample=on_sample)
    finally:
        journal.JOURNAL_SIZE = kept


async def _play(
    programs: Mapping[str, tuple[str, ...]],
    *,
    restarts: int | None,
    seconds: float | None,
    on_sample: Callable[[Sample], None],
) -> list[str]:
    before = sample(0, 0)
    until = None if seconds is None else time.monotonic() + seconds
    samples: list[Sample] = []
    overseer = Overseer()
    for name, argv in programs.items():
        overseer.add(name, *argv, restart=Restart("always", max_restarts=None, backoff=Backoff(0, 0)))
    async with overseer:
        events, lines = overseer.events(), overseer["talks"].lines(overflow="block", size=50)
        began = dict.fromkeys(programs, 0)
        read = 0

        async def read_lines() -> None:
            nonlocal read
            async for line in lines:
                assert (line.seq, line.missed) == (read + 1, 0), "a line was lost"
                assert line.text == str(read % 3 + 1), "a line was lost, came twice or out of order"
                read += 1

        reading = asyncio.create_task(read_lines())
        supervising = asyncio.create_task(overseer.supervise_all())
        seq = total = 0
        batch = max(1, (restarts or 10_000) // SAMPLES)
        next_at: float = batch if until is None else time.monotonic() + (seconds or 0) / SAMPLES
        async for event in events:
            seq += 1
            assert (seq, 0) == (event.seq, event.missed), "an event was missed"
            if event.state is State.STARTING:
                began[event.id] += 1
                total += 1
            if (total if until is None else time.monotonic()) >= next_at and len(samples) < SAMPLES:
                samples.append(sample(total, seq))
                on_sample(samples[-1])
                next_at = next_at + (batch if until is None else (seconds or 0) / SAMPLES)
            if len(samples) == SAMPLES and not supervising.done():
                break
        await overseer.stop_all()
        statuses = await supervising
        while (late := events.get_nowait()) is not None:
            seq += 1
            assert seq == late.seq
            began[late.id] += late.state is State.STARTING
        for name, status in statuses.items():
            assert status.restarts == began[name] - 1, f"{name}: {status.restarts} restarts, {began[name]} starts"
        await reading
    assert began["talks"] * 3 - 2 * 3 <= read <= began["talks"] * 3, (read, began["talks"])
    after = sample(total, seq)
    grown = [
        f"{what}: {getattr(before, what)} before, {getattr(after, what)} after"
        for what in ("descriptors", "threads", "tasks")
        if getattr(after, what) > getattr(before, what)
    ]
    # The journal fills up first. It keeps a number of events, whatever their age.
    full = [one for one in samples if one.events > 2 * JOURNAL]
    for what, most in (("memory", MORE_MEMORY), ("objects", MORE_OBJECTS)) if len(full) > 1 else ():
        first, last = getattr(full[0], what), getattr(full[-1], what)
        if last - first > most:
            grown.append(f"{what}: {first}, then {last}")
    spread = max(one.descriptors for one in samples) - min(one.descriptors for one in samples)
    if spread > 4 * len(programs) * 2:
        grown.append(f"descriptors: {[one.descriptors for one in samples]}")
    return grown
