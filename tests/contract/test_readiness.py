"""The contract of the seam: how a child says that it is ready is the same, real or scripted."""

from __future__ import annotations

import pytest

from aioverseer import NotReady, State, ready
from aioverseer.ready import Probe
from tests.contract.bench import Bench
from tests.support.programs import limit

BY = {
    "is ready by a line": ready.line("^up"),
    "is ready by a notice": ready.notify(),
    "is ready by a descriptor": ready.fd(4),
}


@pytest.mark.parametrize(("name", "probe"), BY.items(), ids=str)
async def test_it_is_ready_when_it_says_so(bench: Bench, name: str, probe: Probe) -> None:
    """Starting until then, running afterwards."""
    process = bench.process(name, ready=probe, ready_timeout=None)
    async with limit(10, "its readiness"):
        await process.start()
        await process.ready()
    assert State.RUNNING is process.state
    await bench.play(process.stop())


async def test_its_status_is_still_read(bench: Bench) -> None:
    """In its own words."""
    process = bench.process("is ready by a notice", ready=ready.notify())
    async with limit(10, "its readiness"):
        await process.start()
        await process.ready()
    assert "well" in process._runner.health_summary
    await bench.play(process.stop())


@pytest.mark.parametrize(
    "probe", [ready.line("up"), ready.notify(), ready.fd(), ready.fd() | ready.line("up")], ids=str
)
async def test_a_child_that_ended_before_is_never_ready(bench: Bench, probe: Probe) -> None:
    """It is told at once."""
    process = bench.process("ends before it is ready", ready=probe, ready_timeout=None)
    async with limit(10, "the end"):
        with pytest.raises(NotReady):
            await process.start()
    assert (State.FINISHED, 9) == (process.state, process.status().exit_code)


@pytest.mark.parametrize("name", ["is ready by a line", "is ready by a descriptor"])
async def test_another_descriptor_or_line_is_none(bench: Bench, name: str) -> None:
    """It runs on, and is not ready in time."""
    process = bench.process(name, ready=ready.fd(5) | ready.line("never"), ready_timeout=0.1)
    with pytest.raises(NotReady):
        await bench.play(process.start())
    status = await bench.play(process.wait())
    assert State.FATAL is status.state
