"""Usage of services: sums over all that they have started, in one pass that gives way to the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Overseer, Restart, State, Usage
from aioverseer.core.report.usage import CpuTotal
from tests.support.containment_levels import levels
from tests.support.daemons import DAEMON
from tests.support.programs import child, limit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
TREE = """
import os, signal, threading
held = bytearray(40_000_000)
if os.fork() == 0:
    os.setsid()
    threading.Thread(target=signal.pause, daemon=True).start()
    files = [open("/dev/null") for _ in range(50)]
    print("up", flush=True)
    signal.pause()
end = os.times().user + 0.2
while os.times().user < end:
    pass
print("up", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("level", levels("basic", "strict", "pidns"))
async def test_figures_are_those_of_the_whole_tree(level: str) -> None:
    """A child in a session of its own counts, and another service does not."""
    async with limit(20), Overseer(containment=level) as overseer:  # type: ignore[arg-type]  # a level
        tree = overseer.add("tree", *child(TREE))
        overseer.add("other", "sleep", "60")
        overseer.add("idle", "sleep", "60")
        lines = tree.lines()
        await tree.start()
        await overseer.start("other")
        await lines.get()
        await lines.get()
        usage = await overseer.usage()
        assert ["idle", "other", "tree"] == list(usage)
        found, shims = usage["tree"], {"shim": 1, "pidns": 2}.get(overseer.containment.mechanism, 0)
        assert (2 + shims, 3 + shims) == (found.processes, found.threads)
        assert found.memory > 40_000_000
        assert 0.2 <= found.cpu_seconds < 10
        assert found.descriptors >= 50 + 3
        assert (1 + shims, True) == (usage["other"].processes, usage["other"].memory < 40_000_000)
        assert Usage(time=usage["idle"].time) == usage["idle"]
        assert found.processes == (await tree.usage()).processes


async def test_daemon_counts_by_its_mark() -> None:
    async with limit(10), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *child(DAEMON, "stay"))
        lines = service.lines()
        await service.start()
        await lines.get()
        assert 2 == (await service.usage()).processes


async def test_processor_time_never_falls() -> None:
    """A new run begins where the last one was seen."""
    code = "import os, signal\nwhile os.times().user < 0.1: pass\nprint('up', flush=True)\nsignal.pause()"
    async with limit(20), Overseer(containment="basic") as overseer:
        service = overseer.add("server", *child(code), restart=Restart("always"))
        lines = service.lines()
        await service.start()
        seen = [0.0]
        for run in range(3):
            await lines.get()
            seen.append((await service.usage()).cpu_seconds)
            service.signal(signal.SIGKILL)
            await service.wait_for(
                lambda status, run=run: status.restarts == run + 1 and status.state is State.RUNNING  # type: ignore[misc]  # mypy infers no default of a lambda
            )
            seen.append((await service.usage()).cpu_seconds)
        assert seen == sorted(seen)
        assert seen[-1] >= 0.3


@given(st.lists(st.tuples(st.floats(0, 100), st.frozensets(st.integers(1, 4), max_size=2))))
def test_total_never_falls(looks: list[tuple[float, frozenset[int]]]) -> None:
    total, last = CpuTotal(), 0.0
    for seconds, runs in looks:
        now = total.add(seconds, runs)
        assert now >= last - 1e-6
        assert now >= seconds - 1e-6
        last = now


async def test_callers_of_a_moment_share_a_pass() -> None:
    async with limit(10), Overseer(containment="basic") as overseer:
        await overseer.add("server", "sleep", "60").start()
        first, second = await asyncio.gather(overseer.usage(), overseer.usage())
        assert first["server"] is second["server"]


async def test_caller_may_be_cancelled() -> None:
    """The others get their answer."""
    async with limit(10), Overseer(containment="basic") as overseer:
        await overseer.add("server", "sleep", "60").start()
        first, second = asyncio.ensure_future(overseer.usage()), asyncio.ensure_future(overseer.usage())
        await asyncio.sleep(0)
        first.cancel()
        assert 1 == (await second)["server"].processes


async def test_many_services_cost_little() -> None:
    """In the short form a tenth of the services, with a generous limit."""
    number = 1000 if LONG else 100
    async with limit(120), Overseer(containment="basic") as overseer:
        for index in range(number):
            overseer.add(f"s{index}", "sleep", "600")
        await overseer.start_all()
        held = 0.0
        await overseer.usage()
        # Processor time of the thread: the scheduler of a busy machine is not ours.
        before, begin = time.thread_time(), time.process_time()
        measuring = asyncio.ensure_future(overseer.usage())
        while not measuring.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            held, before = max(held, now - before), now
        spent = time.process_time() - begin
        assert [1] * number == [it.processes for it in measuring.result().values()]
        assert spent < (0.06 if LONG else 0.1)
        assert held < (0.005 if LONG else 0.05)
