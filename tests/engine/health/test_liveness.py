"""Liveness of a running program: the checks, their failures, and the consequences."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioverseer import (
    Alive,
    Event,
    EventStream,
    Overseer,
    Process,
    ProcessFailed,
    Restart,
    Spec,
    SpecError,
    State,
    Stop,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import child, limit, opened

NOTIFY = """
import os, socket, sys, time
name = os.environ["NOTIFY_SOCKET"]
name = "\\0" + name[1:] if name[0] == "@" else name
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), name)
"""


class Probe:
    """A function of the user whose results the test sets."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: str = ""
        self.hangs = False

    async def __call__(self) -> None:
        """Return the result."""
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise OSError(self.error)


@asynccontextmanager
async def scripted(*scripts: FakeChild) -> AsyncGenerator[tuple[Overseer, ManualClock, ScriptedLauncher]]:
    """Return an overseer with a manual clock and scripted children."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *scripts)
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        yield overseer, clock, launcher


def all_events(events: EventStream) -> list[Event]:
    """Return all events so far."""
    seen: list[Event] = []
    while (event := events.get_nowait()) is not None:
        seen.append(event)
    return seen


async def test_failed_checks_in_a_row_restart_the_service() -> None:
    """After the third one. The run ends by the ladder, and every reason has the error."""
    probe = Probe()
    async with scripted(FakeChild()) as (overseer, clock, launcher):
        events = overseer.events()
        web = overseer.add("web", "web", alive=Alive(ready.check(probe), every=10), restart=Restart(max_restarts=1))
        await web.start()
        await clock.advance(25)
        assert (2, State.RUNNING) == (probe.calls, web.state)
        probe.error = "connection refused"
        await clock.advance(24)
        assert (4, State.RUNNING) == (probe.calls, web.state)
        await clock.advance(1.5)
        assert [15] == launcher.children[0].signals
        assert 1 == web.restarts
        backoff = next(event for event in all_events(events) if event.state is State.BACKOFF)
        assert "'web' is not alive: 3 checks in a row have failed: OSError: connection refused" in backoff.reason
        await clock.advance(100)
        status = web.status()
        assert (State.FATAL, 2) == (status.state, len(launcher.children))
        assert isinstance(status.error, Exception)


async def test_failure_between_successes_does_not_count() -> None:
    """Failures must come in a row."""
    probe = Probe()
    async with scripted(FakeChild()) as (overseer, clock, _):
        web = overseer.add("web", "web", alive=Alive(ready.check(probe), every=10, failures=2))
        await web.start()
        for _ in range(5):
            probe.error = "no"
            await clock.advance(10)
            probe.error = ""
            await clock.advance(10)
        assert (10, 0) == (probe.calls, web.restarts)


async def test_action_mark_reports_and_does_not_restart() -> None:
    """By an event and in why(), and again when the program is alive."""
    probe = Probe()
    async with scripted(FakeChild()) as (overseer, clock, _):
        events = overseer.events()
        alive = Alive(ready.check(probe), every=1, failures=2, successes=2, action="mark")
        web = overseer.add("web", "web", alive=alive)
        await web.start()
        probe.error = "no"
        await clock.advance(5)
        assert (State.RUNNING, 0) == (web.state, web.restarts)
        assert "not alive: 2 checks in a row have failed: OSError: no" in str(web.why())
        probe.error = ""
        await clock.advance(5)
        assert "not alive" not in str(web.why())
        told = [event.reason for event in all_events(events) if event.kind == "health"]
        assert [
            "is not alive: 2 checks in a row have failed: OSError: no",
            "is alive again: it answers again",
        ] == told


async def test_no_check_before_ready_or_after_the_end() -> None:
    """A slow start is limited by ready_timeout."""
    probe = Probe()
    script = FakeChild().runs(60).prints("up").runs(25).exits(0)
    async with scripted(script) as (overseer, clock, _):
        web = overseer.add("web", "web", ready=ready.line("up"), ready_timeout=None, alive=Alive(ready.check(probe)))
        starting = asyncio.ensure_future(web.start())
        await clock.advance(60)
        await starting
        assert 0 == probe.calls
        await clock.advance(25)
        assert (2, State.FINISHED) == (probe.calls, web.state)
        await clock.advance(100)
        assert 2 == probe.calls
        assert clock.next_timer() is None


async def test_check_that_hangs_is_a_failure() -> None:
    """It is cancelled after its timeout, and two checks never run at a time."""
    probe = Probe()
    probe.hangs = True
    async with scripted(FakeChild()) as (overseer, clock, _):
        web = overseer.add("web", "web", alive=Alive(ready.check(probe), every=2, timeout=3, action="mark"))
        await web.start()
        await clock.advance(11)
        assert "not alive: 3 checks in a row have failed: no answer within 3 s" in str(web.why())
        assert 3 <= probe.calls <= 4
        await clock.advance(2)  # it hangs while it is stopped
        await web.stop()


async def test_check_that_cannot_be_cancelled_fails_each_time() -> None:
    """Otherwise it would end all checks. Two checks never run at a time."""
    calls = 0
    let_go = asyncio.Event()

    async def look() -> None:
        nonlocal calls
        calls += 1
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    async with opened(let_go), scripted(FakeChild()) as (overseer, clock, _):
        web = overseer.add("web", "web", alive=Alive(ready.check(look), every=10, timeout=3, action="mark"))
        await web.start()
        await clock.advance(35)
        assert 1 == calls
        words = "not alive: 3 checks in a row have failed: an earlier check goes on although it was cancelled"
        assert words in str(web.why())
        let_go.set()
        await clock.advance(10)
        assert (2, False) == (calls, "not alive" in str(web.why()))


async def test_watchdog_fails_without_a_heartbeat() -> None:
    """It needs WATCHDOG=1 in each period. WATCHDOG=trigger fails at once."""
    script = FakeChild().repeats(FakeChild().runs(4).notifies("WATCHDOG=1"), times=5)
    async with scripted(script, FakeChild().runs(1).notifies("WATCHDOG=trigger"), FakeChild()) as world:
        overseer, clock, launcher = world
        web = overseer.add("web", "web", alive=Alive(ready.notify(), every=5, failures=2))
        await web.start()
        await clock.advance(34)
        assert 0 == web.restarts
        await clock.advance(2)  # the last came at 20 s: nothing from then to 30 s, nor to 35 s
        assert (1, [15]) == (web.restarts, launcher.children[0].signals)
        await clock.advance(1)
        assert [15] == launcher.children[1].signals
        reasons = [status.reason for status in web.history]
        assert "no WATCHDOG=1 within 5 s" in reasons[0]
        assert "it sent WATCHDOG=trigger" in reasons[1]


async def test_watchdog_of_a_real_program() -> None:
    """The program gets the period, and is ended when its heartbeat stops."""
    code = (
        NOTIFY
        + """
assert os.environ["WATCHDOG_USEC"] == "200000"
print("up", flush=True)
for _ in range(10):
    say("WATCHDOG=1")
    time.sleep(0.05)
time.sleep(100)
"""
    )
    process = Process(*child(code), alive=Alive(ready.notify(), every=0.2, failures=2), stop=Stop(9, 2))
    async with limit(20):
        status = await process
    assert State.FATAL is status.state
    assert isinstance(status.error, ProcessFailed)
    assert "no WATCHDOG=1" in str(status.error)
    assert status.runtime > 0.5


async def test_blocked_host_is_no_failure() -> None:
    """A check that was late because the event loop was blocked does not count, and that is reported."""
    async with Overseer() as overseer, limit(20):
        events = overseer.events()
        slow = asyncio.Event()

        async def hang() -> None:
            slow.set()
            await asyncio.Event().wait()

        web = overseer.add("web", *child("import time\ntime.sleep(100)"), stop=Stop(9, 2))
        overseer.update("web", alive=Alive(ready.check(hang), every=0.05, timeout=0.1, failures=1))
        await web.start()
        await slow.wait()
        time.sleep(0.6)  # the host is blocked, on purpose
        while (event := await anext(events)).kind != "health":
            pass
        assert "the event loop of the host was blocked" in event.reason
        assert State.RUNNING is web.state


@pytest.mark.parametrize("kind", ["and", "or"])
async def test_composed_probe_for_liveness(kind: str) -> None:
    """Each check asks only the parts that matter."""
    one, two = Probe(), Probe()
    two.error = "no"
    a, b = ready.check(one), ready.check(two)
    async with scripted(FakeChild()) as (overseer, clock, _):
        alive = Alive(a & b if kind == "and" else b | a, every=1, failures=2, action="mark")
        web = overseer.add("web", "web", alive=alive)
        await web.start()
        await clock.advance(4.5)
        assert (kind == "and") == ("not alive" in str(web.why()))
        assert (4, 4) == (one.calls, two.calls)


async def test_watchdog_keeps_the_readiness_descriptor() -> None:
    """A scripted child may be ready by a descriptor and alive by the watchdog."""
    script = FakeChild().writes_ready().runs(60)
    async with scripted(script) as (overseer, clock, _):
        service = overseer.add("web", "x", ready=ready.fd(), ready_timeout=5, alive=Alive(ready.notify(), every=30))
        starting = asyncio.ensure_future(service.start())
        await clock.advance(1)
        async with limit(5, "the start"):
            await starting
        assert State.RUNNING is service.state


async def test_ladder_for_what_is_not_alive_takes_the_place_of_that_of_the_program() -> None:
    """A stop on request, and a start that takes too long, keep the ladder of the program."""
    probe = Probe()
    alive = Alive(ready.check(probe), every=1, failures=1, stop=Stop(signal.SIGABRT, 3))
    async with scripted(FakeChild()) as (overseer, clock, launcher):
        web = await overseer.add("web", "web", alive=alive, stop=Stop(signal.SIGINT, 5)).start()
        probe.error = "hangs"
        await clock.advance(1.5)
        assert [signal.SIGABRT] == launcher.children[0].signals
        probe.error = ""
        await clock.advance(30)
        assert State.RUNNING is web.state
        await web.stop()
        assert [signal.SIGINT] == launcher.children[-1].signals


async def test_dump_by_a_command_is_among_the_lines_of_the_service() -> None:
    probe = Probe()
    dump = Stop(steps=[Stop.command(["sh", "-c", "echo stack of {pid}; kill -9 {pid}"], 9), (signal.SIGABRT, 1)])
    alive = Alive(ready.check(probe), every=0.01, failures=1, stop=dump)
    async with limit(), Overseer() as overseer:
        web = await overseer.add("web", "sleep", "60", alive=alive, restart=Restart("never")).start()
        lines = web.lines()
        probe.error = "hangs"
        status = await web.wait()
        assert (f"stack of {web.pid}", "stderr") == ((line := await lines.get()).text, line.stream)
    assert "is not alive" in str(status.error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stop": signal.SIGABRT}, "is no ladder: pass a Stop"),
        ({"stop": Stop(), "action": "mark"}, 'is never used: action="mark" stops nothing'),
    ],
)
def test_ladder_that_is_none_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Alive(ready.tcp(80), **options)


async def test_ladder_that_does_not_fit_is_refused() -> None:
    """Its steps need an input, or a program."""
    ladder = Stop(steps=[Stop.close_stdin(5)])
    alive = Alive(ready.check(Probe()), stop=ladder)
    with pytest.raises(SpecError, match=r"alive has the step Stop.close_stdin"):
        Spec.of("web", ["web"], alive=alive)
    assert Spec.of("web", ["web"], alive=alive, stdin="pipe").alive is alive
    async with Overseer() as overseer:
        with pytest.raises(SpecError, match="steps for a program"):
            overseer.add_task("web", asyncio.Event().wait, alive=alive)
