"""A stop stops: whatever the program, the system or the clock does, it comes to an end and tells the truth."""

from __future__ import annotations

import asyncio
import datetime
import errno
import itertools
import os
import signal
import time
from typing import Any

import pytest

from aioverseer import Backoff, Overseer, Process, Restart, Service, Spec, SpecError, State, Stop, StopFailed
from aioverseer._aio.clock import LoopClock
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.testing import FakeChild, ManualClock, RunningChild, ScriptedLauncher
from tests.support.programs import limit


class NeverThere(ScriptedLauncher):
    """A launcher whose spawn takes for ever, as from a file system that does not answer."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.cancelled = 0

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> RunningChild:
        """Wait to be cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled += 1
        raise AssertionError


async def test_stop_of_a_hanging_launch_ends_after_the_ladders_time() -> None:
    """StopFailed, and leaving takes the launch back."""
    clock = ManualClock()
    launcher = NeverThere(clock)
    overseer = Overseer(clock=clock, launcher=launcher)
    async with limit(10):
        await overseer.__aenter__()
        service = overseer.add("svc", "program", stop=Stop(timeout=3))
        starting = asyncio.ensure_future(service.start())
        await clock.settle()
        stopping = asyncio.ensure_future(service.stop())
        await clock.advance(4.9)
        assert not stopping.done()
        await clock.advance(0.2)
        with pytest.raises(StopFailed):
            await stopping
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await clock.advance(10)
        with pytest.raises(StopFailed, match="svc"):
            await leaving
        assert (1, State.FATAL) == (launcher.cancelled, service.state)
        await asyncio.wait([starting])
        starting.exception()


async def test_kill_without_time_is_not_reported_as_a_failure() -> None:
    """``(SIGKILL, 0)``: even SIGKILL takes a moment."""
    async with limit():
        process = await Process("sleep", "100", stop=Stop(steps=[(signal.SIGKILL, 0)])).start()
        status = await process.stop()
    assert (State.INTERRUPT, signal.SIGKILL) == (status.state, status.signal)
    assert Stop(steps=[(signal.SIGKILL, 3)]).total == 3


@pytest.mark.parametrize("option", [{"restart": Restart("always")}, {"group": "workers"}])
async def test_process_refuses_options_of_services(option: dict[str, Any]) -> None:
    """It runs once, whatever a policy says."""
    with pytest.raises(SpecError, match="Overseer"):
        Process("true", **option)


async def test_supervision_of_all_ends_although_nothing_ends_one() -> None:
    """It is reported: STOPPING, with the reason."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM, signal.SIGKILL))
    overseer = Overseer(clock=clock, launcher=launcher)
    async with limit():
        await overseer.__aenter__()
        overseer.add("dead", "program", stop=Stop(timeout=1))
        supervising = asyncio.ensure_future(overseer.supervise_all())
        await clock.settle()
        stopping = asyncio.ensure_future(overseer.stop_all())
        await clock.advance(3.5)
        assert (await stopping).outcomes["dead"].survived
        status = (await supervising)["dead"]
        assert State.STOPPING is status.state
        assert "still there" in status.reason
        for child in launcher.children:
            child.end(status_of_the_kernel())
        await overseer.__aexit__(None, None, None)


def status_of_the_kernel() -> Any:
    """The exit that finally comes."""
    from aioverseer import Exit

    return Exit(signal=signal.SIGKILL)


# --- signals of the host


async def test_signal_before_anything_was_started_ends_the_block() -> None:
    """Nothing is started then; the overseer can be used again."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().runs(1).exits(0))
    overseer = Overseer(clock=clock, launcher=launcher, handle_signals=True)
    overseer.add("svc", "program")
    async with limit():
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            async with overseer:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0)
                await overseer.supervise_all()
        assert [] == launcher.children
        async with overseer:
            assert overseer.received_signal is None
            supervising = asyncio.ensure_future(overseer.supervise_all())
            await clock.advance(2)
            assert State.FINISHED is (await supervising)["svc"].state


async def test_two_signals_at_once_are_one_wish() -> None:
    """As from a terminal and from a parent that passes it on; a later one kills."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild().ignores(signal.SIGTERM))
    overseer = Overseer(clock=clock, launcher=launcher, handle_signals=True)
    async with limit():
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            async with overseer:
                await overseer.add("svc", "program").start()
                try:
                    signal.raise_signal(signal.SIGINT)
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await clock.advance(0.01)
                    signal.raise_signal(signal.SIGTERM)
                    await clock.settle()
                    assert [signal.SIGTERM] == launcher.children[0].signals
                    await clock.advance(0.2)
                    signal.raise_signal(signal.SIGINT)
                    raise
        assert [signal.SIGTERM, signal.SIGKILL] == launcher.children[0].signals


# --- programs that do not want


@pytest.mark.parametrize(
    "script",
    [
        "kill -STOP $$",
        "trap '' HUP INT QUIT TERM USR1 USR2; while :; do sleep 100; done",
        "trap 'sleep 100 & sleep 100' TERM; while :; do sleep 100; done",
        "trap '' TERM; i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done; wait",
    ],
    ids=["is stopped", "ignores everything", "answers by more", "forks as fast as it can"],
)
async def test_program_that_does_not_want_ends_in_time(script: str) -> None:
    """Within its ladder and a second, with all that it has started."""
    async with limit(), Overseer() as overseer:
        service = await overseer.add(
            "svc", "sh", "-c", script, stop=Stop(timeout=0.2), restart=Restart("never")
        ).start()
        if "STOP" in script:
            await asyncio.to_thread(os.waitid, os.P_PID, service.pid or 0, os.WSTOPPED | os.WNOWAIT)
        began = time.monotonic()
        await service.stop()
        assert time.monotonic() - began < 0.2 + 1
        assert service.state.is_final


async def test_signal_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPERM at the seam: the ladder goes on, and says in the end that it is still there."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock)
    real = RunningChild.signal

    def refuse(self: RunningChild, number: int, *, leader_only: bool = False) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(RunningChild, "signal", refuse)
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        service = await overseer.add("svc", "program", stop=Stop(timeout=1)).start()
        with pytest.raises(PermissionError):
            service.signal(signal.SIGUSR1)
        stopping = asyncio.ensure_future(service.stop())
        await clock.advance(3.1)
        with pytest.raises(StopFailed):
            await stopping
        monkeypatch.setattr(RunningChild, "signal", real)
        assert State.INTERRUPT is (await service.stop()).state


async def test_uninterruptible_program_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported by the stop of all, by the log and by leaving; another service is not held up."""
    monkeypatch.setattr(
        "aioverseer._engine.process.run_task.FINAL_TIMEOUT", 0.05
    )  # for a run that is given up, on the loop's clock
    clock = ManualClock()
    scripts = {"dead": [FakeChild().ignores(signal.SIGTERM, signal.SIGKILL)]}
    launcher = ScriptedLauncher(clock, FakeChild(), by_id=scripts)
    overseer = Overseer(clock=clock, launcher=launcher)
    async with limit():
        await overseer.__aenter__()
        dead: Service = await overseer.add("dead", "program", stop=Stop(timeout=1)).start()
        good = await overseer.add("good", "program").start()
        leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
        await clock.settle()
        assert State.INTERRUPT is good.state
        await clock.advance(3.5)
        with pytest.raises(StopFailed, match="dead"):
            await leaving
        assert dead.state.is_final
    assert "still there" in caplog.text


# --- the host


class Jumping(LoopClock):
    """The wall clock is set days ahead and days back, by turns, and always further."""

    def __init__(self) -> None:
        self._days = itertools.count(1)

    def wall(self) -> datetime.datetime:
        """Not the time."""
        days = next(self._days)
        return super().wall() + datetime.timedelta(days=days if days % 2 else -days)


async def test_wall_clock_that_jumps_changes_labels_alone() -> None:
    """Durations, backoffs, budgets, probes and ladders go by monotonic time."""
    fails = Restart("on-failure", max_restarts=3, within=60, backoff=Backoff(0.01, 0.01))
    async with limit(), Overseer(clock=Jumping()) as overseer:
        overseer.add("fails", "false", restart=fails)
        deaf = overseer.add("deaf", "sh", "-c", "trap '' TERM; echo up; exec sleep 100", stop=Stop(timeout=0.2))
        lines = deaf.lines()
        await deaf.start()
        await lines.get()
        failed = await overseer.supervise("fails")
        assert (State.FATAL, 3) == (failed.state, failed.restarts)
        began = time.monotonic()
        stopped = await deaf.stop()
        assert 0.2 <= time.monotonic() - began < 5
        assert 0.2 <= stopped.runtime <= time.monotonic() - began + 20
        assert stopped.started_at is not None
        assert stopped.stopped_at is not None
        assert abs(stopped.stopped_at - stopped.started_at) > datetime.timedelta(hours=23)


async def test_loop_that_was_blocked_for_long_hurts_nobody() -> None:
    """Timers that came due meanwhile come at once, each once; what ended meanwhile is judged once."""
    async with limit(), Overseer() as overseer:
        lasts = await overseer.add("lasts", "sleep", "100", stop=Stop(timeout=0.2)).start()
        ends = await overseer.add("ends", "sleep", "0.1", restart=Restart("never")).start()
        ignores = overseer.add("deaf", "sh", "-c", "trap '' TERM; echo up; exec sleep 100", stop=Stop(timeout=0.2))
        lines = ignores.lines()
        await ignores.start()
        await lines.get()
        run = ignores.process
        stopping = asyncio.ensure_future(ignores.stop())
        await asyncio.sleep(0)
        time.sleep(0.5)  # nobody waits: this is the host that is blocked
        assert State.INTERRUPT is (await stopping).state
        assert (State.FINISHED, State.RUNNING) == ((await ends).state, lasts.state)
        assert run is not None
        assert (signal.SIGTERM, signal.SIGKILL) == run.signals_sent
