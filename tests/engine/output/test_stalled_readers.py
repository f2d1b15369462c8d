"""A reader that never reads blocks its own stream and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from aioverseer import LineQueue, Overseer, Process, Restart, Service, State, Status
from tests.support.programs import child, limit

FLOOD = child(
    """
    import os
    if os.fork() == 0:
        while True:
            os.write(1, b"%099d\\n" % 0)
    while data := os.read(0, 1000):
        os.write(2, data)
    """
)
"""Its child writes to stdout for ever; it says on stderr what it reads, and ends at the end of that."""
LINE = 100
"""Bytes of each line on stdout."""
CHUNK = 64 * 1024 // LINE + 1
"""Lines in one read of a full pipe."""
SIZE = 10
HELD = SIZE + 6 * CHUNK
"""Lines at most: its size and the read that filled it; at the end what the pipe holds, then 128 KiB of survivors', the
last two with one read more at most."""
NEVER = 60.0
"""Seconds of grace: as good as for ever for a test that ends within 20 s."""

How = Literal["exit", "stop", "kill"]
HOWS: tuple[How, ...] = ("exit", "stop", "kill")


async def until_blocked(queue: LineQueue[Any]) -> None:
    """Let the program write until its pipe is no longer read."""
    while not queue.blocked:
        await asyncio.sleep(0)


async def end(program: Process | Service, how: How) -> Status:
    """End the program, and wait for its status."""
    if how == "exit":
        program.close_stdin()
        return await program.wait()
    return await program.stop(kill=how == "kill")


@pytest.mark.parametrize("how", HOWS)
async def test_unread_stream_of_a_process_blocks_nothing_else(how: How) -> None:
    """The other stream goes on, and the end is reported at once, although queue and pipe are not empty.

    One line is read, as a stream that nobody has begun to read would give way.
    """
    process = Process(
        *FLOOD, stdin="pipe", streaming=True, buffered=False, queue_size=SIZE, drain_timeout=NEVER, line_limit=1000
    )
    async with limit(20, "the run"):
        await process.start()
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None
        assert stderr is not None
        await stdout.get()
        await until_blocked(stdout)
        held = stdout.qsize()
        for number in range(100):
            await process.write(f"{number}\n")
            assert str(number) == await stderr.get()
        assert held == stdout.qsize() <= SIZE + CHUNK
        status = await end(process, how)
        assert (State.FINISHED if how == "exit" else State.INTERRUPT) is status.state
        assert stdout.qsize() <= HELD
        assert [] == [line async for line in stderr]
        *whole, _cut = [line async for line in stdout]
    assert {"0" * (LINE - 1)} == set(whole)


def stalled(overseer: Overseer, service: Service, *, whole_set: bool) -> LineQueue[Any]:
    """Return a lossless subscription to stdout that is never read."""
    if whole_set:
        return overseer.logs("stdout", size=SIZE, overflow="block")
    return service.lines("stdout", size=SIZE, overflow="block")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("whole_set", [False, True], ids=["of a service", "of the overseer"])
async def test_stalled_subscriber_blocks_nothing_else(how: How, whole_set: bool) -> None:
    """The other stream, the other service, the stop and the end go on, for a subscriber of one or of all services."""
    async with limit(20, "the services"), Overseer() as overseer:
        services = [
            overseer.add(id, *FLOOD, stdin="pipe", drain_timeout=NEVER, restart=Restart("never"))
            for id in ("stalled", "other")
        ]
        unread = stalled(overseer, services[0], whole_set=whole_set)
        errors = [service.lines("stderr", overflow="block") for service in services]
        await overseer.start_all()
        await until_blocked(unread)
        for number in range(50):
            for service, queue in zip(services, errors, strict=True):
                await service.write(f"{number}\n")
                line = await queue.get()
                assert (service.id, str(number)) == (line.id, line.text)
        assert unread.qsize() <= SIZE + 2 * CHUNK
        for service in services:
            status = await end(service, how)
            assert (State.FINISHED if how == "exit" else State.INTERRUPT) is status.state
        for queue in errors:
            assert [] == [line async for line in queue]
        assert unread.qsize() <= SIZE + 2 * (HELD - SIZE)


@pytest.mark.parametrize("whole_set", [False, True], ids=["of a service", "of the overseer"])
async def test_overseer_ends_in_spite_of_a_stalled_subscriber(whole_set: bool) -> None:
    """Its programs are stopped in time, and all waits for them end."""
    async with limit(20, "the overseer"):
        async with Overseer() as overseer:
            service = overseer.add("flood", *FLOOD, stdin="pipe", drain_timeout=NEVER)
            unread = stalled(overseer, service, whole_set=whole_set)
            await service.start()
            ended = asyncio.ensure_future(service.wait())
            await until_blocked(unread)
        assert State.INTERRUPT is (await ended).state
        assert 0 < unread.qsize() <= HELD
        held = unread.qsize()
        assert held == len([line async for line in unread])


async def test_stalled_subscriber_has_every_line_of_ended_services() -> None:
    """Each end is reported without a reader. After that all lines are there, in each service's order."""
    async with limit(20, "the services"):
        async with Overseer() as overseer:
            unread = overseer.logs(size=SIZE, overflow="block")
            for number in range(5):
                # All lines fit in one pipe, so the program ends by itself.
                overseer.add(f"seq-{number}", "seq", "3000")
            ends = await overseer.supervise_all()
        lines = [line async for line in unread]
    assert 5 == sum(status.ok for status in ends.values())
    for id in ends:
        assert [str(number) for number in range(1, 3001)] == [line.text for line in lines if line.id == id]


async def test_stalled_subscriber_gets_all_newlines_of_a_full_pipe() -> None:
    """A pipe holds sixty thousand of them, and one run leaves no more than that."""
    async with limit(20, "the service"), Overseer() as overseer:
        script = f"seq {SIZE}; read -r _; yes '' | head -c 60000; echo end"
        service = overseer.add("newlines", "sh", "-c", script, stdin="pipe")
        unread = service.lines(size=SIZE, overflow="block")
        await service.start()
        await until_blocked(unread)
        await service.write("\n")
        assert (await service.wait()).ok
        lines = [line.text async for line in unread]
    assert SIZE + 60_000 + 1 == len(lines)
    assert "end" == lines[-1]


async def test_stalled_stream_continues_where_it_stopped() -> None:
    """No line is missing or out of order, however often the reader stalls."""
    process = Process("seq", "200000", streaming=True, buffered=False, queue_size=SIZE)
    got: list[Any] = []
    async with limit(20, "the run"):
        await process.start()
        stdout = process.stdout
        assert stdout is not None
        while len(got) < 100_000:
            await until_blocked(stdout)
            got += await stdout.get_batch()
        got += [line async for line in stdout]
        assert (await process).ok
    assert [str(number) for number in range(1, 200_001)] == got
