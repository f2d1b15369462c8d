"""Rolls of real programs to versions that fail: the old version serves all along, and is all there afterwards."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from aioverseer import Alive, Instances, Overseer, Restart, Roll, RollFailed, RollReport, State, ready
from tests.support.overseers import is_alive
from tests.support.programs import child, limit

NOTIFY = """
    import os, socket, sys, time
    def tell(text):
        address = os.environ["NOTIFY_SOCKET"]
        if address.startswith("@"):
            address = chr(0) + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.sendto(text.encode(), address)
"""
GOOD = child(f"""{NOTIFY}
    tell("READY=1")
    while True:
        tell("WATCHDOG=1")
        time.sleep(0.05)
""")
NEVER_READY = child("import time; print('cannot reach the database', flush=True); time.sleep(60)")
CRASHES = child(f"""{NOTIFY}
    tell("READY=1")
    time.sleep(0.3)
    sys.exit("Traceback: out of ideas")
""")
HANGS = child(f"""{NOTIFY}
    tell("READY=1")
    print("waits for a lock", flush=True)
    time.sleep(60)
""")


async def web_of(overseer: Overseer, **rules: Any) -> Instances:
    """Three instances of the good version that run."""
    web = overseer.add_instances(
        *("web", *GOOD),
        instances=3,
        ready=ready.notify(),
        alive=Alive(ready.notify(), every=0.4),
        restart=Restart("never"),
        roll=Roll(**rules),
    )
    return await web.start()


@pytest.mark.parametrize(
    ("version", "rules", "reason", "line"),
    [
        (NEVER_READY, {"deadline": 0.5}, "is not available after 0.5 s", "cannot reach the database"),
        (CRASHES, {"min_ready": 5}, "exited with code 1 before it was available", "Traceback: out of ideas"),
        (HANGS, {"min_ready": 5}, "is not alive", "waits for a lock"),
    ],
    ids=["never ready", "crashes", "hangs"],
)
async def test_the_old_version_serves_all_along(
    version: tuple[str, ...], rules: dict[str, Any], reason: str, line: str
) -> None:
    """The reason is told, with the last lines of the run that failed."""
    async with limit(20), Overseer() as overseer:
        web = await web_of(overseer, **rules)
        pids = [service.pid for service in web]
        events = web.events()
        overseer.update("web", *version)
        with pytest.raises(RollFailed, match=reason) as caught:
            await web.roll()
        assert caught.value.report.outcome == "rolled back"
        assert caught.value.lines == (line,)
        assert [service.pid for service in web] == pids
        assert all(map(is_alive, pids))
        told = list(iter(events.get_nowait, None))
        assert {event.kind for event in told} <= {"roll", "change", "health"}
        assert {event.state for event in told} == {State.RUNNING}
        started = [status.pid for service in web for status in service.history]
        assert not any(is_alive(pid) for pid in started)


async def test_a_roll_that_is_left_leaves_nothing() -> None:
    """Of either run."""
    async with limit(20):
        async with Overseer() as overseer:
            web = await web_of(overseer, min_ready=60)
            events = web.events()
            task: asyncio.Task[RollReport] = asyncio.ensure_future(web.roll())
            pids = [service.pid for service in web]
            while True:
                event = await anext(events)
                if event.kind == "roll" and "is ready" in event.reason:
                    break
            pids.append(int(event.reason.split("pid ")[1].split(",")[0]))
            assert all(map(is_alive, pids))
        with pytest.raises(RollFailed):
            await task
        assert not any(map(is_alive, pids))
        assert os.getpid() not in pids


async def test_the_old_run_ends_by_its_ladder_after_the_exchange() -> None:
    """It finishes its work, and its last line comes."""
    slow = child("""
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: None)
        print("up", flush=True)
        rest()
        print("finishes", flush=True)
    """)
    async with limit(20), Overseer() as overseer:
        web = overseer.add_instances("web", *slow, instances=1, ready=ready.line("up"))
        await web.start()
        lines = web[0].lines()
        await web.roll()
        assert web[0].history[0].exit_code == 0
        found = [(line.run, line.text) for line in [lines.get_nowait() for _ in range(lines.qsize())]]
        assert found == [(2, "up"), (1, "finishes")]
