"""``simulate`` predicts what a Service does, and takes no time for it."""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Cron, Every, Exit, Overseer, Restart, Schedule, SpecError, State, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher, simulate

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
ENDS = st.one_of(st.none(), st.sampled_from([0, 1, 3, 78]), st.sampled_from([signal.SIGKILL, signal.SIGTERM]))
ENDED = (State.BACKOFF, State.INTERRUPT, State.FINISHED, State.FATAL)
RUNS = st.lists(
    st.tuples(ENDS, st.sampled_from([0.0, 0.5, 9.0, 11.0, 3600.0]), st.sampled_from([0.0, 0.25, 1.5, 60.0, None])),
    min_size=1,
    max_size=8,
)
"""Exit, seconds of life, and seconds until readiness, for each run."""
POLICIES = st.builds(
    Restart,
    st.sampled_from(["always", "on-failure", "on-abnormal", "never"]),
    max_restarts=st.sampled_from([None, 0, 1, 3]),
    within=st.sampled_from([None, 5.0, 60.0]),
    backoff=st.builds(
        Backoff,
        min=st.sampled_from([0.1, 2.0]),
        max=st.sampled_from([3.0, 60.0]),
        jitter=st.sampled_from([False, True, "full", "decorrelated"]),
    ),
    reset_after=st.sampled_from([0.0, 10.0]),
    success_codes=st.sampled_from([{0}, {0, 3}]),
    prevent_codes=st.sampled_from([(), (78,)]),
)


def scripted(end: int | signal.Signals | None, lives: float, ready_after: float | None) -> FakeChild:
    """Return a child with this end, life and time of readiness."""
    if end is None:
        return FakeChild().cannot_start("cannot be started")
    child = FakeChild()
    if ready_after is not None and ready_after <= lives:
        lives -= ready_after
        child = child.runs(ready_after).prints("up")
    child = child.runs(lives)
    return child.dies(end) if isinstance(end, signal.Signals) else child.exits(end)


@settings(max_examples=80, deadline=None)
@example(
    policy=Restart("always", max_restarts=None, within=None, backoff=Backoff(min=0.1, max=3.0, jitter="full")),
    runs=[(None, 0.0, 0.0), (None, 0.0, 0.0), (None, 0.0, 0.0), (0, 9.0, 1.5)],
    seed=0,
)
@given(policy=POLICIES, runs=RUNS, seed=st.integers(0, 3))
async def test_simulation_agrees_with_an_overseer(
    policy: Restart, runs: list[tuple[int | signal.Signals | None, float, float | None]], seed: int
) -> None:
    """States, sentences, times and readiness are the same, for any policy and any ends."""
    timeline = simulate(policy, runs, rng=random.Random(seed))
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *(scripted(*run) for run in runs), FakeChild())
    async with Overseer(clock=clock, rng=random.Random(seed), launcher=launcher) as overseer:
        service = overseer.add("svc", "svc", restart=policy, ready=ready.line("up"), ready_timeout=None)
        events = overseer.events()
        waiting = asyncio.ensure_future(overseer.supervise("svc"))
        begin = clock.wall()
        await clock.advance(timeline.seconds + 1e-9)  # sums of floats differ in the last bit
        seen = list(iter(events.get_nowait, None))
        await service.stop()
        await waiting
    ends = [event for event in seen if event.state.is_final or event.state is State.BACKOFF]
    assert [(run.state, run.reason) for run in timeline] == [(event.state, event.reason) for event in ends]
    times = [run.started + run.lasted for run in timeline]
    assert times == pytest.approx([(event.time - begin).total_seconds() for event in ends], abs=1e-5)
    ready_at = [run.started + run.ready for run in timeline if run.ready is not None]
    readied = [(event.time - begin).total_seconds() for event in seen if event.state is State.RUNNING]
    assert ready_at == pytest.approx(readied, abs=1e-5)


def test_simulation_takes_no_time_and_ends_with_the_policy() -> None:
    """Later exits are ignored, and without a random source each delay has its maximum."""
    begin = time.perf_counter()
    policy = Restart(max_restarts=3, within=None, backoff=Backoff(min=600, max=3600, factor=2, jitter=True))
    timeline = simulate(policy, [1] * 100)
    assert time.perf_counter() - begin < 1
    assert (600.0, 1200.0, 2400.0) == timeline.delays
    assert (4, 3, 4200.0, State.FATAL) == (len(timeline), timeline.restarts, timeline.seconds, timeline.state)
    assert "gave up: exited with code 1, and its 3 restarts are spent" == timeline.reason
    assert [3 - n - 1 for n in range(3)] + [0] == [run.left for run in timeline]


def test_long_readiness_resets_the_backoff() -> None:
    """A run that was not ready for long does not."""
    policy = Restart(max_restarts=None, backoff=Backoff(min=1, max=60, jitter=False), reset_after=10)
    runs: list[Any] = [1, 1, (1, 3600), 1]
    assert (1.0, 2.0, 1.0, 2.0) == simulate(policy, runs).delays
    assert (1.0, 2.0, 4.0, 8.0) == simulate(policy, runs, ready_after=3600).delays
    # Seconds after readiness count. The third value of a run overrides ready_after.
    assert (1.0, 2.0, 4.0, 8.0) == simulate(policy, [1, 1, (1, 3600, 3591), 1]).delays
    assert (1.0, 2.0, 1.0, 2.0) == simulate(policy, [1, 1, (1, 3600, 3590), 1]).delays
    assert (1.0, 2.0, 4.0, 8.0) == simulate(policy, [1, 1, (1, 3600, None), 1]).delays
    assert [0, None, 2.5, None] == [run.ready for run in simulate(policy, [1, (1, 9, None), (1, 9, 2.5), None])]


def test_timeline_prints_as_a_table() -> None:
    """Each run has a line."""
    policy = Restart(max_restarts=2, backoff=Backoff(min=5, max=60, jitter=False))
    expected = """
run    starts at ready after      lasts  what follows
  1      0.000 s     0.500 s    2:30:00  backoff: exited with code 1; restarts in 5 s (1 of 2 restarts left)
  2      2:30:05       never    0.000 s  backoff: cannot be started; restarts in 10 s (0 of 2 restarts left)
  3      2:30:15     0:01:30 30 d 0:00:00  finished: exited with code 0
"""
    timeline = simulate(policy, [(1, 9000, 0.5), None, (0, 30 * 86400, 90)])
    assert expected.strip() == str(timeline)
    assert Exit(code=0) == timeline.runs[-1].exit


@pytest.mark.parametrize(
    ("exits", "message"),
    [
        ([], r"exits=\[\] simulates nothing"),
        ([256], "256 is no end of a run: pass an exit code from 0 to 255"),
        ([True], "True is no end of a run"),
        (["1"], "'1' is no end of a run"),
        ([(1, -1)], "a run of -1 s cannot be"),
        ([(1, 5, -1)], "a wait of -1 s cannot be"),
        ([(1,)], r"\(1,\) is no run: pass an end, or a tuple"),
    ],
)
def test_invalid_exits_are_refused(exits: list[int], message: str) -> None:
    """The message names the value."""
    with pytest.raises(SpecError, match=message):
        simulate(Restart(), exits)


@pytest.mark.timeout(150)  # most of it is the start of pytest
def test_suite_with_days_of_simulated_time_takes_less_than_a_second(tmp_path: Path) -> None:
    """The twenty tests of the docs run in a pytest of their own, whose report has their times.

    The fastest of three runs counts, as other processes of the machine take time too.
    """
    assert any(_seconds_of_the_policies(tmp_path) < 1 for _ in range(3))


def _seconds_of_the_policies(folder: Path) -> float:
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
    options = [f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "xdist")]
    options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-o", "addopts="]
    done = subprocess.run(
        [*command, *options, "--rootdir", str(folder), str(EXAMPLES / "test_policies.py")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    # Set-up and tear-down of the tests are included, the start of pytest is not.
    seconds = [float(case.attrib["time"]) for case in ElementTree.parse(report).findall(".//testcase")]
    assert 20 == len(seconds)
    return sum(seconds)


@pytest.mark.parametrize(
    "schedule",
    [
        Every(60),
        Every(60, first="at_start"),
        Every(60, overlap="queue"),
        Every(60, overlap="replace"),
        Cron("*/2 * * * *", timezone="Europe/Berlin"),
        Cron("*/2 * * * *", timezone="Europe/Berlin", overlap="queue"),
    ],
    ids=repr,
)
async def test_a_schedule_runs_as_that_of_an_overseer(schedule: Schedule) -> None:
    """The same runs at the same times, with the same reasons: over restarts, giving up, and runs that take too long."""
    policy = Restart(max_restarts=1, within=None, backoff=Backoff(min=20, max=50, factor=2))
    runs: list[tuple[int, float]] = [
        (0, 5.0),
        (0, 100.5),
        (1, 1.0),
        (1, 1.0),
        (1, 50.25),
        (0, 3.0),
        (0, 130.5),
        (0, 1.0),
    ]
    timeline = simulate(policy, runs, schedule=schedule)
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, *(FakeChild().runs(seconds).exits(code) for code, seconds in runs))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        service = overseer.add("job", "job", restart=policy, schedule=schedule)
        await service.start()
        await clock.run(service.wait_for(lambda _status: len(service.history) == len(runs)))
        begin = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
        starts = [(status.started_at - begin).total_seconds() for status in service.history if status.started_at]
        assert pytest.approx([run.started for run in timeline]) == starts
        assert [run.exit for run in timeline] == [status.exit for status in service.history]
        launcher.script("job", FakeChild().exits())
        service._runner.request_stop(kill=True)
        await clock.settle()


def test_a_schedule_in_a_timeline() -> None:
    """Its delays are until its next times."""
    timeline = simulate(Restart("never"), [0, (0, 5400), 1], schedule=Cron("@hourly"))
    assert (3600.0, 7200.0, 14400.0) == tuple(run.started for run in timeline)
    assert (3600.0, 1800.0, 3600.0) == timeline.delays
    assert State.WAITING is timeline.state
    assert "exited with code 1; waits for 2030-01-01 05:00 UTC" == timeline.reason
