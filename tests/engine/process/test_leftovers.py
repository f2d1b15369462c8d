"""Leftovers of a program: killed, or kept and still read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from aioverseer import Overseer, Process, QueueShutDown, Restart, SpecError, State
from tests.support.programs import limit

Gate = Callable[[], int]
SCRIPT = "(read line < $0; echo late; read line < $0; echo later >&2) & echo early"
"""Leaves somebody behind in its group, who holds its pipes and speaks when the gate is opened."""


@pytest.fixture(name="gate")
def gate_fixture(tmp_path: pathlib.Path) -> Iterator[tuple[str, Gate]]:
    """A FIFO, and what lets one reader of it go on: a line of nothing, so that two readers cannot share one."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    yield str(path), lambda: os.write(descriptor, b"\n")
    os.close(descriptor)


async def test_late_output_of_a_process_arrives_and_delays_no_end(gate: tuple[str, Gate]) -> None:
    """The end is told while they live on; the stream ends with the last of them."""
    process = Process("sh", "-c", SCRIPT, gate[0], leftovers="keep", buffered=False, streaming=True, drain_timeout=3600)
    assert process.stdout is not None
    assert process.stderr is not None
    async with limit(10, "the end"):
        assert (await process).ok
    async with limit(10, "the lines"):
        assert "early" == await process.stdout.get()
        assert process._runner.is_still_read
        gate[1]()
        assert "late" == await process.stdout.get()
        gate[1]()
        assert "later" == await process.stderr.get()
    for stream in (process.stdout, process.stderr):
        with pytest.raises(QueueShutDown):
            await stream.get()
    assert not process._runner.is_still_read


async def test_late_output_of_a_service_arrives_beside_that_of_its_next_run(gate: tuple[str, Gate]) -> None:
    """Each line says which run it is of; the subscription ends when nobody is left to speak."""
    async with Overseer() as overseer:
        once = Restart("always", max_restarts=1)
        service = overseer.add("a", "sh", "-c", SCRIPT, gate[0], leftovers="keep", restart=once)
        lines = service.lines()
        assert (await overseer.supervise("a")).state is State.FATAL
        got = [await lines.get() for _ in range(2)]
        for _ in range(4):
            gate[1]()
        async with limit(10, "the last of them"):
            got += [line async for line in lines]
        seen = sorted((line.run, str(line.text)) for line in got)
    assert [(run, text) for run in (1, 2) for text in ("early", "late", "later")] == seen


async def gone(pid: int) -> None:
    """Until a process that is no child of ours has ended."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        async with limit(10, "its end"):
            await ended.wait()
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def test_leaving_closes_the_pipes_of_kept_survivors(gate: tuple[str, Gate]) -> None:
    """They live on, and find nobody at the other end; the block does not wait for them."""
    tells_pid = "trap '' PIPE; (read line < $0; echo late) & echo $!"
    async with Overseer() as overseer:
        service = overseer.add("a", "sh", "-c", tells_pid, gate[0], leftovers="keep")
        await overseer.supervise("a")
        overseer.remove("a")
        gate[1]()
        (pid,) = [int(line.text) for line in service.tail()]
        await gone(pid)
        assert 1 == len(service.tail())
    async with Process("sh", "-c", tells_pid, gate[0], leftovers="keep") as process:
        await process.wait()
    gate[1]()
    kept = process.status().stdout
    assert (False, 1) == (process._runner.is_still_read, len(kept or ()))
    await gone(int((kept or [0])[0]))


@pytest.mark.parametrize("of_service", [False, True])
async def test_leaving_closes_the_pipes_of_survivors_in_a_pipeline(of_service: bool, gate: tuple[str, Gate]) -> None:
    """The pipes of all programs and of all runs."""
    before = len(os.listdir("/dev/fd"))
    first = Process("sh", "-c", "(read line < $0) >&2 & echo $!", gate[0], leftovers="keep")
    async with limit(10):
        if of_service:
            async with Overseer(containment="basic") as overseer:
                service = overseer.add("pipe", "cat", stdin=first, restart=Restart("always", max_restarts=1))
                await overseer.supervise("pipe")
                pids = [int(line.text) for line in service.tail()]
        else:
            async with Process("cat", stdin=first) as process:
                pids = [int(line) for line in (await process.wait()).stdout or ()]
    assert (before, 2 if of_service else 1) == (len(os.listdir("/dev/fd")), len(pids))
    for _ in pids:
        gate[1]()
    for pid in pids:
        await gone(pid)


def test_other_values_are_refused() -> None:
    """With what there is."""
    with pytest.raises(SpecError, match="leftovers='burn' is unknown: pass 'kill' or 'keep' or 'report'"):
        Process("true", leftovers="burn")  # type: ignore[arg-type]  # the types forbid it
