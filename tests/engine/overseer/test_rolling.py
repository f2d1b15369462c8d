"""A roll on scripted children: the old run serves until the new one is available, and one step exchanges them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioverseer import (
    Backoff,
    Exit,
    Overseer,
    OverseerError,
    RequestChannel,
    Restart,
    Roll,
    RollFailed,
    RollReport,
    SpecError,
    State,
    Stop,
    ready,
)
from aioverseer.core.options.spec import Spec
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher

LONG = bool(os.environ.get("AIOVERSEER_LONG"))
ONCE_MORE = Restart(max_restarts=1, backoff=Backoff(1.0, 1.0, jitter=False))
READY_AFTER_2 = FakeChild().runs(2).prints("up")
OLD = FakeChild().prints("up")


class Rig:
    """An overseer with scripted children, some services as a set, and all events."""

    def __init__(self, n: int, *scripts: FakeChild, **options: Any) -> None:
        self.clock = ManualClock()
        self.launcher = ScriptedLauncher(self.clock, *scripts)
        self.overseer = Overseer(clock=self.clock, launcher=self.launcher)
        options = {"restart": ONCE_MORE, "ready": ready.line("up"), **options}
        self.web = self.overseer.add_instances("web", "serve", instances=n, **options)
        self.ids = [service.id for service in self.web]
        self.rolls = self.overseer._assembly.rolls_of(self.web._instances)

    async def __aenter__(self) -> Self:
        await self.overseer.__aenter__()
        await self.clock.run(self.overseer.start_all())
        self.events = self.overseer.events()
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.clock.run(self.overseer.__aexit__(None, None, None))

    def script(self, *scripts: FakeChild) -> None:
        """Set the scripts of the new runs."""
        for id in self.ids:
            self.launcher.script(id, *scripts)

    async def begin(self, spec: Spec | None = None, *, by: str = "", **rules: Any) -> RollReport:
        """Perform a roll, with other rules."""
        if spec is not None:
            return await self.rolls.roll(spec.updated(roll=Roll(**rules)), by=by)
        self.overseer.update("web", roll=Roll(**rules))
        return await self.web.roll(by=by)

    async def roll(self, spec: Spec | None = None, **rules: Any) -> RollReport:
        """Perform a roll while the clock moves."""
        return await self.clock.run(self.begin(spec, **rules))

    def told(self, kind: str = "roll") -> list[tuple[str, int, str]]:
        """Return the events of a kind so far."""
        found = iter(self.events.get_nowait, None)
        return [(event.id, event.run, event.reason) for event in found if event.kind == kind]

    @property
    def pids(self) -> list[int | None]:
        """The pids of the services."""
        return [self.overseer[id].pid for id in self.ids]

    @property
    def live(self) -> list[int]:
        """The pids of all children that live."""
        return [child.pid for child in self.launcher.children if not child.has_ended]


def _exit(code: int) -> Exit:
    return Exit(code=code)


def new(spec: Spec) -> Spec:
    """Return the Spec of another version."""
    return spec.with_command(["serve", "--new"])


async def test_the_old_run_serves_until_one_step_makes_the_new_one_current() -> None:
    """No transition is told; both runs are, by events of kind roll."""
    async with Rig(1, OLD) as rig:
        web = rig.overseer["web.0"]
        old = web.pid
        rig.script(READY_AFTER_2)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1.9)
        assert (web.pid, web.state, len(rig.live)) == (old, State.RUNNING, 2)
        assert web.process is not None
        assert web.process.number == 1
        await rig.clock.advance(0.2)
        report = await rig.clock.run(task)
        assert (web.state, web.process.number, rig.live) == (State.RUNNING, 2, [web.pid])
        assert web.pid != old
        assert report.outcome == "done"
        assert (report.replaced, report.kept) == (("web.0",), ())
        pid = web.pid
        assert rig.told() == [
            ("web.0", 2, "run 2 is being started, to take the place of run 1"),
            ("web.0", 2, f"run 2 runs as pid {pid}, and is ready"),
            ("web.0", 2, "run 2 has taken over, and run 1 is being stopped"),
            ("web.0", 1, "run 1 has ended: its new run has taken over; was killed by SIGTERM"),
        ]
        assert [status.pid for status in web.history] == [old]
        assert web.restarts == 0


async def test_a_roll_tells_no_transition() -> None:
    """A watcher of states sees a service that runs all along."""
    async with Rig(3, OLD) as rig:
        await rig.roll()
        assert rig.told("state") == []
        assert len(rig.live) == 3


async def test_lines_of_both_runs_are_told_apart() -> None:
    """By their run; the numbers of lines go on over both."""
    async with Rig(1, OLD.runs(1).prints("old").repeats(FakeChild().runs(1).prints("old"))) as rig:
        lines = rig.overseer["web.0"].lines()
        rig.script(FakeChild().runs(2).prints("up").runs(1).prints("new"))
        await rig.roll(min_ready=2)
        found = [lines.get_nowait() for _ in range(lines.qsize())]
        assert {line.run for line in found if line.text == "old"} == {1}
        assert {line.run for line in found if line.text in ("up", "new")} == {2}
        assert [line.seq for line in found] == sorted(line.seq for line in found)


async def test_a_reader_of_runs_gets_both() -> None:
    """Each one ends with its own end."""
    async with Rig(1, OLD) as rig:
        web = rig.overseer["web.0"]
        runs = web.runs()
        rig.script(READY_AFTER_2)
        await rig.roll()
        first, second = runs.get_nowait(), runs.get_nowait()
        assert (first.number, second.number) == (1, 2)
        assert first.status().state is State.INTERRUPT
        assert second is web.process


async def test_a_new_spec_comes_with_the_new_run() -> None:
    """Until then a restart by policy runs the old version."""
    async with Rig(2, OLD) as rig:
        rig.script(READY_AFTER_2)
        task = asyncio.ensure_future(rig.begin(new(rig.web.spec)))
        await rig.clock.advance(1)
        assert [rig.overseer[id].spec.argv for id in rig.ids] == [("serve",), ("serve",)]
        await rig.clock.advance(1.5)
        assert [rig.overseer[id].spec.argv for id in rig.ids] == [("serve", "--new"), ("serve",)]
        await rig.clock.run(task)
        assert [rig.overseer[id].status().argv for id in rig.ids] == [("serve", "--new")] * 2


async def test_a_version_that_never_becomes_ready_is_rolled_back() -> None:
    """The old runs serve all along, and the reason is told."""
    async with Rig(2, OLD) as rig:
        before, spec = rig.pids, rig.web.spec
        rig.script(FakeChild().prints("cannot reach the database"))
        with pytest.raises(RollFailed) as caught:
            await rig.roll(new(spec), deadline=10)
        assert rig.pids == before == rig.live
        assert rig.web.spec.argv == spec.argv
        assert caught.value.report.outcome == "rolled back"
        assert caught.value.report.kept == ("web.0", "web.1")
        assert set(caught.value.report.failed) == {"web.0"}
        assert "is not available after 10 s" in str(caught.value)


async def test_a_version_that_crashes_is_rolled_back_with_its_last_lines() -> None:
    """When the budget of its policy is spent."""
    async with Rig(2, OLD) as rig:
        before = rig.pids
        rig.script(FakeChild().prints("Traceback", stream="stderr").runs(1).exits(3))
        with pytest.raises(RollFailed) as caught:
            await rig.roll(new(rig.web.spec))
        assert rig.pids == before == rig.live
        assert caught.value.lines == ("Traceback",)
        assert caught.value.status is not None
        assert caught.value.status.exit_code == 3
        assert caught.value.report.reason == (
            "web.0 exited with code 3 before it was ready, and its 1 restart within 60 s is spent"
        )
        assert [status.exit_code for status in rig.overseer["web.0"].history] == [3, 3]


async def test_those_that_were_replaced_get_their_old_spec_back() -> None:
    """Within the same bounds: no instance is missing meanwhile."""
    async with Rig(3, OLD) as rig:
        rig.launcher.script("web.0", READY_AFTER_2, OLD)
        rig.launcher.script("web.1", FakeChild().cannot_start())
        with pytest.raises(RollFailed) as caught:
            await rig.roll(new(rig.web.spec))
        assert caught.value.report.outcome == "rolled back"
        assert [rig.overseer[id].spec.argv for id in rig.ids] == [("serve",)] * 3
        assert [rig.overseer[id].status().argv for id in rig.ids] == [("serve",)] * 3
        assert rig.told("state") == []
        assert caught.value.report.kept == tuple(rig.ids)


async def test_a_roll_back_that_fails_too_says_so() -> None:
    """And leaves everything as it is."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", READY_AFTER_2, FakeChild().cannot_start())
        rig.launcher.script("web.1", FakeChild().cannot_start())
        with pytest.raises(RollFailed, match="the roll-back has failed") as caught:
            await rig.roll(new(rig.web.spec))
        assert caught.value.report.outcome == "left as it is"
        assert len(rig.live) == 2


async def test_an_old_run_that_crashes_meanwhile_is_restarted_by_its_policy() -> None:
    """With the old version, as the new one may never be available."""
    async with Rig(1, OLD) as rig:
        web = rig.overseer["web.0"]
        rig.script(FakeChild().runs(5).prints("up"), OLD)
        task = asyncio.ensure_future(rig.begin(new(rig.web.spec)))
        await rig.clock.advance(1)
        rig.launcher.children[0].end(_exit(1))
        await rig.clock.advance(2)
        assert web.state is State.RUNNING
        assert web.process is not None
        assert (web.process.number, web.status().argv) == (3, ("serve",))
        await rig.clock.run(task)
        assert (web.process.number, web.status().argv) == (2, ("serve", "--new"))
        assert len(rig.live) == 1


async def test_an_old_run_that_gives_up_leaves_its_place_at_once() -> None:
    """The new run is waited for as a start then."""
    async with Rig(1, OLD, restart=Restart("never")) as rig:
        web = rig.overseer["web.0"]
        rig.script(FakeChild().runs(5).prints("up"))
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        rig.launcher.children[0].end(_exit(1))
        await rig.clock.advance(0.1)
        assert web.state is State.STARTING
        assert (await rig.clock.run(task)).outcome == "done"
        assert [reason for _, _, reason in rig.told("state")] == [
            "exited with code 1; its new run takes its place",
            "its new run is not ready yet",
            "is ready",
        ]


async def test_a_stop_in_the_middle_stops_both_runs() -> None:
    """It returns when both have gone, and the roll ends."""
    slow = FakeChild().on(signal.SIGTERM, FakeChild().runs(3).exits(0))
    async with Rig(1, OLD) as rig:
        rig.script(slow)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        status = await rig.clock.run(rig.overseer["web.0"].stop())
        assert status.state is State.INTERRUPT
        assert rig.live == []
        with pytest.raises(RollFailed, match="all its instances were stopped"):
            await rig.clock.run(task)


async def test_a_stop_while_the_old_run_ends_waits_for_it() -> None:
    """Its ladder has its time."""
    slow = OLD.on(signal.SIGTERM, FakeChild().runs(5).exits(0))
    async with Rig(1, slow, stop=Stop(timeout=10)) as rig:
        rig.script(OLD)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(0.5)
        assert len(rig.live) == 2
        began = rig.clock.now()
        await rig.clock.run(rig.overseer["web.0"].stop())
        assert rig.live == []
        assert rig.clock.now() - began > 4
        with pytest.raises(RollFailed):
            await rig.clock.run(task)


async def test_a_stop_in_backoff_stops_the_successor() -> None:
    """The old run has crashed, and waits to restart."""
    async with Rig(1, OLD, restart=Restart(max_restarts=1, backoff=Backoff(60, 60))) as rig:
        rig.script(FakeChild())
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        rig.launcher.children[0].end(_exit(1))
        await rig.clock.advance(1)
        assert rig.overseer["web.0"].state is State.BACKOFF
        status = await rig.clock.run(rig.overseer["web.0"].stop())
        assert (status.state, rig.live) == (State.INTERRUPT, [])
        with pytest.raises(RollFailed):
            await rig.clock.run(task)


async def test_an_overseer_that_is_left_in_the_middle_leaves_nothing() -> None:
    """Both runs are stopped."""
    rig = Rig(2, OLD)
    async with rig:
        rig.script(FakeChild())
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        assert len(rig.live) == 3
    assert rig.live == []
    with pytest.raises(RollFailed, match="the overseer was left"):
        await task


async def test_pause_waits_for_resume() -> None:
    """Instances with a new run keep it, and the rest follows."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", READY_AFTER_2)
        rig.launcher.script("web.1", FakeChild().cannot_start(), FakeChild().cannot_start(), READY_AFTER_2)
        with pytest.raises(RollFailed) as caught:
            await rig.roll(new(rig.web.spec), on_failure="pause")
        assert caught.value.report.outcome == "paused"
        with pytest.raises(OverseerError, match=r"is paused, 1 of 2 instances are replaced: call resume_roll\(\)"):
            await rig.web.roll()
        with pytest.raises(OverseerError, match="is paused"):
            rig.overseer.update("web", "serve", "--newest")
        assert (caught.value.report.replaced, caught.value.report.kept) == (("web.0",), ("web.1",))
        first = rig.overseer["web.0"].pid
        report = await rig.clock.run(rig.web.resume_roll())
        assert report.outcome == "done"
        with pytest.raises(OverseerError, match="there is none to resume"):
            await rig.web.resume_roll()
        assert rig.overseer["web.0"].pid == first
        assert rig.overseer["web.1"].status().argv == ("serve", "--new")


async def test_a_paused_roll_can_be_taken_back() -> None:
    """The old Spec comes back."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", READY_AFTER_2, OLD)
        rig.launcher.script("web.1", FakeChild().cannot_start())
        with pytest.raises(RollFailed):
            await rig.roll(new(rig.web.spec), on_failure="pause")
        report = await rig.clock.run(rig.web.cancel_roll())
        assert (report.outcome, report.kept) == ("rolled back", ("web.0", "web.1"))
        assert [rig.overseer[id].status().argv for id in rig.ids] == [("serve",)] * 2


async def test_continue_goes_on_with_the_others() -> None:
    """The one that failed keeps its old run."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", FakeChild().cannot_start())
        rig.launcher.script("web.1", READY_AFTER_2)
        with pytest.raises(RollFailed) as caught:
            await rig.roll(on_failure="continue")
        assert caught.value.report.outcome == "left as it is"
        assert (caught.value.report.replaced, caught.value.report.kept) == (("web.1",), ("web.0",))


async def test_without_surge_an_old_run_ends_first() -> None:
    """The service stops and starts as in a restart, one after the other."""
    async with Rig(2, OLD) as rig:
        rig.script(READY_AFTER_2)
        report = await rig.roll(surge=0, unavailable=1)
        assert report.replaced == ("web.0", "web.1")
        assert [id for id, _, reason in rig.told("state") if reason == "is ready"] == ["web.0", "web.1"]
        assert len(rig.launcher.children) == 4


async def test_an_instance_that_was_stopped_stays_down_with_the_new_spec() -> None:
    """It is none of the roll's."""
    async with Rig(2, OLD) as rig:
        await rig.clock.run(rig.overseer["web.1"].stop())
        report = await rig.roll(new(rig.web.spec))
        assert (report.replaced, report.skipped) == (("web.0",), ("web.1",))
        assert rig.overseer["web.1"].state is State.INTERRUPT
        assert rig.overseer["web.1"].spec.argv == ("serve", "--new")


async def test_one_that_has_given_up_is_brought_back() -> None:
    """Before those that serve."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.1", FakeChild().exits(1))
        rig.launcher.of("web.1")[0].end(_exit(1))
        await rig.clock.advance(10)
        assert rig.overseer["web.1"].status().state is State.FATAL
        rig.launcher.script("web.1", OLD)
        report = await rig.roll()
        assert report.replaced == ("web.0", "web.1")
        assert rig.overseer["web.1"].state is State.RUNNING


async def test_a_cancelled_roll_ends_after_its_roll_back() -> None:
    slow = FakeChild().on(signal.SIGTERM, FakeChild().runs(3).exits(0))
    async with Rig(1, OLD) as rig:
        rig.script(slow)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        task.cancel()
        await rig.clock.advance(1)
        assert (len(rig.live), task.done()) == (2, False)
        await rig.clock.advance(3)
        assert (len(rig.live), task.done()) == (1, True)


async def test_a_cancelled_roll_takes_back_what_it_did() -> None:
    """The successor is stopped at once."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", READY_AFTER_2, OLD)
        rig.launcher.script("web.1", FakeChild())
        task = asyncio.ensure_future(rig.begin(new(rig.web.spec)))
        await rig.clock.advance(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rig.clock.run(task)
        assert len(rig.live) == 2
        assert [rig.overseer[id].status().argv for id in rig.ids] == [("serve",)] * 2


async def test_a_restart_by_request_in_the_middle_is_no_obstacle() -> None:
    """The old run restarts, and the new one takes over all the same."""
    async with Rig(1, OLD) as rig:
        rig.script(FakeChild().runs(5).prints("up"), OLD)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        await rig.clock.run(rig.overseer["web.0"].restart())
        assert (await rig.clock.run(task)).outcome == "done"
        assert len(rig.live) == 1


async def test_a_second_roll_names_the_first() -> None:
    """And changes nothing."""
    async with Rig(2, OLD) as rig:
        rig.script(READY_AFTER_2)
        task = asyncio.ensure_future(rig.begin(by="alice"))
        await rig.clock.advance(2.5)
        with pytest.raises(OverseerError, match="is under way, 1 of 2 instances are replaced, by alice: wait"):
            await rig.web.roll()
        assert (await rig.clock.run(task)).by == "alice"


async def test_an_update_and_a_roll_bring_a_new_version_and_take_it_back() -> None:
    """The old version is that of the present runs."""
    async with Rig(2, OLD) as rig:
        rig.overseer.update("web", "serve", "--new")
        rig.launcher.script("web.0", READY_AFTER_2, OLD)
        rig.launcher.script("web.1", FakeChild().cannot_start())
        with pytest.raises(RollFailed):
            await rig.roll()
        assert [service.status().argv for service in rig.web] == [("serve",)] * 2
        assert [service.spec.argv for service in rig.web] == [("serve",)] * 2
        rig.overseer.update("web", "serve", "--new")
        rig.script(OLD)
        await rig.roll()
        assert [service.status().argv for service in rig.web] == [("serve", "--new")] * 2
        assert rig.web.spec.argv == ("serve", "--new")


async def test_scale_in_the_middle() -> None:
    """New instances have the new version; a roll-back reaches them too."""
    async with Rig(3, OLD) as rig:
        rig.launcher.script("web.0", FakeChild().runs(4).prints("up"), OLD)
        rig.launcher.script("web.1", FakeChild().cannot_start())
        task = asyncio.ensure_future(rig.begin(new(rig.web.spec)))
        await rig.clock.advance(1)
        await rig.clock.run(rig.web.scale(2))
        await rig.clock.run(rig.web.scale(4))
        assert rig.web[3].status().argv == ("serve", "--new")
        with pytest.raises(RollFailed):
            await rig.clock.run(task)
        assert [service.status().argv for service in rig.web] == [("serve",)] * 4
        assert len(rig.live) == 4


async def test_scale_takes_away_the_one_that_is_being_rolled() -> None:
    """Both of its runs end, and the roll is done with the others."""
    async with Rig(2, OLD) as rig:
        rig.launcher.script("web.0", OLD)
        rig.launcher.script("web.1", FakeChild())
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        assert len(rig.live) == 3
        await rig.clock.run(rig.web.scale(1))
        report = await rig.clock.run(task)
        assert (report.outcome, report.replaced, len(rig.live)) == ("done", ("web.0",), 1)


async def test_a_successor_is_prepared_and_cleaned_up() -> None:
    """As each run: what ``prepare`` raises fails the new version, and the old one serves on."""
    numbers: list[int] = []
    cleaned: list[int | None] = []

    async def prepare(_service: Any, run: int) -> None:
        numbers.append(run)
        if run > 2:
            raise ValueError("no disk")

    async def cleanup(_service: Any, status: Any) -> None:
        cleaned.append(status.pid)

    async with Rig(1, OLD, prepare=prepare, cleanup=cleanup, restart=Restart("never")) as rig:
        old = rig.overseer["web.0"].pid
        await rig.roll()
        assert numbers == [1, 2]
        assert cleaned == [old]
        with pytest.raises(RollFailed, match="no disk"):
            await rig.roll()
        assert numbers == [1, 2, 3]
        assert rig.live == [rig.overseer["web.0"].pid]
        assert rig.overseer["web.0"].state is State.RUNNING


async def test_an_old_run_that_ends_during_a_preparation_is_replaced() -> None:
    """The preparation is given up, and the instance is started again with the new version."""
    gate = asyncio.Event()

    async def prepare(_service: Any, run: int) -> None:
        if run == 2:
            await gate.wait()

    async with Rig(1, OLD, prepare=prepare, restart=Restart("never")) as rig:
        task = asyncio.ensure_future(rig.begin(new(rig.web.spec)))
        await rig.clock.advance(1)
        rig.launcher.children[0].end(_exit(1))
        report = await rig.clock.run(task)
        assert (report.outcome, rig.web[0].status().argv) == ("done", ("serve", "--new"))
        assert len(rig.live) == 1


async def test_kill_reaches_an_old_run_that_ends() -> None:
    stubborn = OLD.on(signal.SIGTERM, FakeChild().runs(500).exits(0))
    async with Rig(1, stubborn, stop=Stop(timeout=1000)) as rig:
        rig.script(OLD)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(0.5)
        assert len(rig.live) == 2
        began = rig.clock.now()
        await rig.clock.run(rig.overseer["web.0"].stop(kill=True))
        assert rig.live == []
        assert rig.clock.now() - began < 4
        with pytest.raises(RollFailed):
            await rig.clock.run(task)


async def test_delay_of_a_first_start_is_not_that_of_a_successor() -> None:
    async with Rig(2, READY_AFTER_2, delay_start=100) as rig:
        assert (await rig.roll()).seconds < 10


async def test_restart_while_the_successor_becomes_available() -> None:
    """The run that was asked for takes the place, and the roll gives it a successor."""
    slow = OLD.on(signal.SIGTERM, FakeChild().runs(5).exits(0))
    async with Rig(1, slow, stop=Stop(timeout=10)) as rig:
        rig.script(READY_AFTER_2)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        await rig.clock.run(rig.overseer["web.0"].restart())
        assert (await rig.clock.run(task)).outcome == "done"
        assert [State.RUNNING] == [service.state for service in rig.web]
        assert len(rig.live) == 1


async def test_a_stop_in_the_middle_of_a_preparation_gives_it_up() -> None:
    """The service ends when nothing goes on any more."""
    gate = asyncio.Event()

    async def prepare(_service: Any, run: int) -> None:
        if run > 1:
            await gate.wait()

    async with Rig(1, OLD, prepare=prepare) as rig:
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        status = await rig.clock.run(rig.web.stop())
        assert status.state is State.INTERRUPT
        with pytest.raises(RollFailed, match="all its instances were stopped"):
            await rig.clock.run(task)
        assert rig.live == []


@pytest.mark.parametrize("probe", [ready.tcp(8000), ready.http("http://127.0.0.1:8000/")])
async def test_two_runs_with_one_address_are_refused(probe: Any) -> None:
    """Without a surge there is only one at a time."""
    overseer = Overseer(launcher=ScriptedLauncher(None))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=1, ready=probe)
        with pytest.raises(SpecError, match=r"two runs would listen on the same address.*\{port\}") as caught:
            await web.roll()
        assert caught.value.option == "roll"
        overseer.update("web", roll=Roll(surge=0, unavailable=1))
        assert (await web.roll()).outcome == "done"


async def test_each_run_has_a_port_of_its_own() -> None:
    """From the pool for n + s runs; an ended run gives its port back."""
    async with Rig(2, OLD, port=range(21000, 21003)) as rig:
        for _ in range(4):
            await rig.roll()
        assert len(rig.live) == 2


async def test_a_member_that_leaves_its_group_of_one_fate_takes_its_successor_along() -> None:
    """A restart of the group stops both runs; the roll goes on afterwards."""
    async with Rig(2, OLD, group="g") as rig:
        rig.overseer.group("g", "one_for_all", restart=Restart(max_restarts=5, backoff=Backoff(1, 1)))
        rig.launcher.script("web.0", FakeChild(), OLD)
        rig.launcher.script("web.1", OLD)
        task = asyncio.ensure_future(rig.begin())
        await rig.clock.advance(1)
        rig.launcher.of("web.1")[0].end(_exit(1))
        report = await rig.clock.run(task)
        assert report.outcome == "done"
        assert len(rig.live) == 2


class Hooks:
    """A ``prepare`` that takes a second, and a ``cleanup``, which note their runs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.prepared: list[int] = []
        self.ended: list[int | None] = []
        self.given_up: list[int] = []
        self.error = ""

    async def prepare(self, _service: object, run: int) -> dict[str, Any]:
        """Take a second, and set the probe of the run."""
        try:
            await self.clock.sleep(1)
        except asyncio.CancelledError:
            self.given_up.append(run)
            raise
        if self.error:
            raise OSError(self.error)
        self.prepared.append(run)
        return {"ready": ready.line(f"up {run}")}

    async def cleanup(self, _service: object, status: Any) -> None:
        """Note the end."""
        self.ended.append(status.pid)


def hooked(*scripts: FakeChild) -> tuple[Rig, Hooks]:
    """A set of one whose runs are prepared."""
    hooks = Hooks()
    rig = Rig(1, *scripts, prepare=hooks.prepare, cleanup=hooks.cleanup)
    hooks.clock = rig.clock
    return rig, hooks


async def test_successor_is_prepared_and_the_old_run_cleaned_up() -> None:
    """The options of ``prepare`` are those of the new run, and the old one serves meanwhile."""
    rig, hooks = hooked(FakeChild().prints("up 1"))
    async with rig:
        rig.script(FakeChild().prints("up 2"))
        old = rig.web[0].pid
        rolling = asyncio.create_task(rig.web.roll())
        await rig.clock.advance(0.5)
        assert (old, State.RUNNING, [1]) == (rig.web[0].pid, rig.web[0].state, hooks.prepared)
        assert 1 == len(rig.launcher.children)
        await rig.clock.advance(5)
        await rig.clock.run(rolling)
        assert ([1, 2], [old]) == (hooks.prepared, hooks.ended)
        assert (State.RUNNING, 2) == (rig.web[0].state, len(rig.launcher.children))


async def test_successor_that_cannot_be_prepared_fails_the_roll() -> None:
    rig, hooks = hooked(FakeChild().prints("up 1"))
    async with rig:
        old = rig.web[0].pid
        hooks.error = "disk is full"
        with pytest.raises(RollFailed, match="disk is full"):
            await rig.clock.run(rig.web.roll())
        assert (old, State.RUNNING, 1) == (rig.web[0].pid, rig.web[0].state, len(rig.launcher.children))
        hooks.error = ""
        rig.script(FakeChild().prints(*(f"up {run}" for run in range(9))))
        await rig.clock.run(rig.web.roll())
        assert old != rig.web[0].pid


@pytest.mark.parametrize("how", ["stop", "crash", "cancel"])
async def test_preparation_of_a_successor_is_given_up(how: str) -> None:
    """By a stop of the set, by the end of the old run for good, and by a cancelled roll."""
    rig, hooks = hooked(FakeChild().prints("up 1"), FakeChild().cannot_start())
    async with rig:
        rolling = asyncio.create_task(rig.web.roll())
        await rig.clock.advance(0.5)
        if how == "stop":
            await rig.clock.run(rig.web.stop())
        elif how == "crash":
            runner = rig.overseer._registry.services[rig.web[0].id]
            runner.apply_spec(runner.spec.updated(restart=Restart("never")))
            rig.web[0].signal(signal.SIGKILL)
            await rig.clock.advance(0.1)
        else:
            rolling.cancel()
        await rig.clock.advance(5)
        await asyncio.wait({rolling})
        assert ([2], 1) == (hooks.given_up, len(rig.launcher.children))
        assert rolling.cancelled() or isinstance(rolling.exception(), RollFailed)
        if how != "crash":  # the roll starts such an instance by itself
            assert [1] == hooks.prepared
            assert (State.RUNNING if how == "cancel" else State.INTERRUPT) is rig.web[0].state


async def test_questions_go_to_the_current_run_and_the_old_one_still_answers() -> None:
    """None is lost in a roll, and none is asked of a run that is not available yet."""
    slow = FakeChild().prints("up").answers(lambda line: f"{line} 1").on(signal.SIGTERM, FakeChild().runs(1).exits(0))
    async with Rig(1, slow, stdin="pipe") as rig:
        web = rig.overseer["web.0"]

        def key_of(line: str) -> str | None:
            return None if line == "up" else line.split(maxsplit=1)[0]

        async with RequestChannel(web, send="{}\n".format, key_of=key_of) as channel:
            rig.script(FakeChild().runs(2).prints("up").answers(lambda line: f"{line} 2"))
            task = asyncio.ensure_future(rig.begin())
            await rig.clock.advance(1)
            assert await rig.clock.run(channel.ask("a", "a")) == "a 1"
            await rig.clock.run(task)
            assert await rig.clock.run(channel.ask("b", "b")) == "b 2"


class Watch:
    """Counts runs and available instances of a set at each event."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    @property
    def available(self) -> int:
        """The number of instances that are ready."""
        return sum(service.state is State.RUNNING for service in self.rig.web)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    surge=st.sampled_from([0, 1, 2, "50%"]),
    unavailable=st.sampled_from([0, 1]),
)
@settings(max_examples=200 if LONG else 15, deadline=None, derandomize=not LONG, database=None)
def test_no_roll_passes_its_bounds(seed: int, n: int, surge: int | str, unavailable: int) -> None:
    """New runs fail in many ways, and old ones are killed or restarted meanwhile."""
    asyncio.run(walk(random.Random(seed), n, Roll(surge=surge or 1 - unavailable, unavailable=unavailable)))


async def walk(chance: random.Random, n: int, rules: Roll) -> None:
    """Roll some times, with trouble in between; look at the runs after each second."""
    async with Rig(n, OLD) as rig:
        watch = Watch(rig)
        for _ in range(3):
            scripts = [OLD, READY_AFTER_2, FakeChild().runs(1).exits(1), FakeChild().cannot_start(), FakeChild()]
            for service in rig.web:
                rig.launcher.script(service.id, *(chance.choice(scripts) for _ in range(4)), OLD)
            rules_now = Roll(surge=rules.surge, unavailable=rules.unavailable, deadline=8.0)
            rig.overseer.update("web", roll=rules_now)
            task = asyncio.ensure_future(rig.web.roll())
            down = 0
            while not task.done():
                await rig.clock.advance(chance.choice([0.1, 0.5, 1.0]))
                surge, unavailable = rules_now.bounds(len(rig.web))
                assert len(rig.live) <= len(rig.web) + surge
                if not down:
                    assert watch.available >= len(rig.web) - unavailable
                if chance.random() < 0.1 and rig.live:
                    victim = chance.choice([child for child in rig.launcher.children if not child.has_ended])
                    victim.end(_exit(1))
                    down += 1
                if chance.random() < 0.05:
                    down += 1
                    asyncio.ensure_future(chance.choice(list(rig.web)).restart()).add_done_callback(_retrieved)
            with contextlib.suppress(RollFailed):
                task.result()
            await rig.clock.run(rig.web.stop())
            rig.launcher.script("", OLD)
            for service in rig.web:
                rig.launcher.script(service.id, OLD)
            await rig.clock.run(rig.web.start())
            assert len(rig.live) == len(rig.web)


def _retrieved(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
