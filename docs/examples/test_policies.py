"""Twenty tests of restart policies, with days of simulated time.

Half of them test only the policy, with ``simulate``. The others run a whole overseer on a manual clock; they need
pytest-asyncio: ``pytest -o asyncio_mode=auto docs/examples/test_policies.py``.
"""

import asyncio
import signal

import pytest

from aioverseer import Backoff, Overseer, Restart, State, Stop, ready
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher, simulate

PATIENT = Restart(max_restarts=5, within=86_400, backoff=Backoff(min=60, max=3600, factor=3, jitter=True))
EAGER = Restart("always", max_restarts=None, backoff=Backoff(min=1, max=8, jitter=False))
HOUR = 3600.0


def test_backoff_grows_to_its_cap() -> None:
    assert simulate(PATIENT, [1] * 6).delays == (60, 180, 540, 1620, 3600)


def test_it_gives_up_after_five_restarts() -> None:
    timeline = simulate(PATIENT, [1] * 100)
    assert (timeline.restarts, timeline.state) == (5, State.FATAL)


def test_a_crash_every_hour_is_within_the_budget() -> None:
    assert simulate(Restart(max_restarts=3, within=HOUR), [(1, 1.5 * HOUR)] * 50).state is State.BACKOFF


def test_a_crash_every_ten_minutes_spends_the_budget() -> None:
    assert simulate(Restart(max_restarts=3, within=HOUR), [(1, 600)] * 50).state is State.FATAL


def test_success_is_not_restarted_on_failure() -> None:
    assert simulate(PATIENT, [1, 1, 0]).state is State.FINISHED


def test_success_is_restarted_always() -> None:
    assert simulate(EAGER, [0] * 10).state is State.BACKOFF


def test_a_long_run_resets_the_delay() -> None:
    assert simulate(EAGER, [1, 1, 1, (1, HOUR), 1]).delays == (1, 2, 4, 1, 2)


def test_a_prevented_exit_code_is_not_restarted() -> None:
    assert len(simulate(Restart("always", prevent_codes={78}), [78, 0])) == 1


def test_only_the_signal_is_restarted_on_abnormal() -> None:
    assert simulate(Restart("on-abnormal"), [signal.SIGSEGV, 1]).state is State.FINISHED


def test_a_failed_start_is_a_failure() -> None:
    assert simulate(PATIENT, [None] * 9).reason.startswith("gave up: cannot be started")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def overseer_of(clock: ManualClock, *children: FakeChild) -> Overseer:
    return Overseer(clock=clock, launcher=ScriptedLauncher(clock, *children))


async def test_it_is_restarted_after_an_hour(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().exits(1), FakeChild()) as overseer:
        web = await overseer.add("web", "web", restart=Restart(backoff=Backoff(min=HOUR, max=HOUR))).start()
        await clock.advance(HOUR - 1)
        assert web.status().state is State.BACKOFF
        await clock.advance(1)
        assert web.status().state is State.RUNNING


async def test_a_stop_during_the_backoff_is_immediate(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().exits(1)) as overseer:
        web = await overseer.add("web", "web", restart=Restart(backoff=Backoff(min=HOUR, max=HOUR))).start()
        await web.stop()
        assert web.status().state is State.INTERRUPT


async def test_a_week_without_a_crash(clock: ManualClock) -> None:
    async with overseer_of(clock) as overseer:
        web = await overseer.add("web", "web").start()
        await clock.advance(7 * 24 * HOUR)
        assert (web.state, web.restarts) == (State.RUNNING, 0)


async def test_a_crash_each_day_of_a_month(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().runs(24 * HOUR).exits(1)) as overseer:
        web = await overseer.add("web", "web", restart=EAGER).start()
        await clock.advance(30 * 24 * HOUR + 60)
        assert (web.state, web.restarts) == (State.RUNNING, 30)


async def test_sigkill_follows_after_the_timeout(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().ignores(signal.SIGTERM)) as overseer:
        web = await overseer.add("web", "web", stop=Stop(timeout=HOUR)).start()
        stopping = asyncio.create_task(web.stop())
        await clock.advance(HOUR - 1)
        assert web.status().state is State.STOPPING
        await clock.advance(2)
        await stopping
        assert web.status().signal == signal.SIGKILL


async def test_readiness_may_take_half_an_hour(clock: ManualClock) -> None:
    slow = FakeChild().runs(1700).prints("up")
    async with overseer_of(clock, slow) as overseer:
        db = overseer.add("db", "db", ready=ready.line("up"), ready_timeout=1800)
        starting = asyncio.create_task(db.start())
        await clock.advance(1699)
        assert db.status().state is State.STARTING
        await clock.advance(2)
        await starting
        assert db.status().state is State.RUNNING


async def test_a_program_that_is_not_ready_in_time_restarts(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().runs(1e9), FakeChild().prints("up")) as overseer:
        policy = Restart(backoff=Backoff(min=60, max=60))
        db = overseer.add("db", "db", ready=ready.line("up"), ready_timeout=1800, restart=policy)
        await clock.run(db.start())
        assert (db.state, db.restarts, clock.now()) == (State.RUNNING, 1, 1860)


async def test_web_waits_for_its_database(clock: ManualClock) -> None:
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"db": [FakeChild().runs(600).prints("up")]})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("db", "db", ready=ready.line("up"), ready_timeout=HOUR)
        web = overseer.add("web", "web", after="db")
        starting = asyncio.create_task(overseer.start_all())
        await clock.advance(599)
        assert web.pid is None
        await clock.advance(2)
        await starting
        assert web.status().state is State.RUNNING


async def test_the_reason_says_what_comes_next(clock: ManualClock) -> None:
    async with overseer_of(clock, FakeChild().exits(1)) as overseer:
        web = await overseer.add("web", "web", restart=Restart(backoff=Backoff(min=HOUR, max=HOUR))).start()
        await clock.settle()
        assert 0 < (web.why().due_in or 0) <= HOUR


async def test_a_delayed_start(clock: ManualClock) -> None:
    async with overseer_of(clock) as overseer:
        web = overseer.add("web", "web", delay_start=HOUR)
        starting = asyncio.create_task(web.start())
        await clock.advance(HOUR - 1)
        assert web.status().state is State.STARTING
        await clock.advance(1)
        await starting
        assert web.status().state is State.RUNNING
