"""The event recorder: assertions that show the events, and waits that end once the event cannot come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aioverseer import Backoff, Event, Overseer, Restart, SpecError, State, ThreadedOverseer
from aioverseer.testing import EventRecorder, FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def overseer(clock: ManualClock) -> AsyncIterator[Overseer]:
    """``web`` lives; ``job`` fails after two seconds."""
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"job": FakeChild().runs(2).exits(3)})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("job", "job", restart=Restart("never"))
        overseer.add("web", "web", after={"job": "started"})
        yield overseer


async def test_failed_assertions_show_the_events(clock: ManualClock) -> None:
    """Assertions about the states of one service, and about the order of several."""
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"job": FakeChild().runs(2).exits(3)})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        seen = EventRecorder(overseer.events())
        assert "there were no events" == str(seen)
        overseer.add("job", "job", restart=Restart("never"))
        overseer.add("web", "web", after={"job": "started"})
        await overseer.start_all()
        await clock.advance(5)
    seen.assert_states("job", "starting running finished")
    seen.assert_order("job running", "job finished", "web interrupted")
    with pytest.raises(AssertionError, match="job has been starting running finished, not starting fatal") as caught:
        seen.assert_states("job", "starting fatal")
    assert "+2.000 s  job  finished     exited with code 3" in str(caught.value)
    with pytest.raises(AssertionError, match="'web starting' did not come after 'job finished'"):
        seen.assert_order("job finished", "web starting")
    with pytest.raises(AssertionError, match="nobody has been nowhere, not running"):
        seen.assert_states("nobody", "running")
    seen.assert_never("job fatal", "web fatal")
    with pytest.raises(AssertionError, match="'job finished' has come, 2 s after the first event"):
        seen.assert_never("web fatal", "job finished")


async def test_times_are_those_of_the_clock(clock: ManualClock) -> None:
    """Each occurrence of the event has its time."""
    launcher = ScriptedLauncher(clock, FakeChild().exits(1))
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        seen = EventRecorder(overseer.events())
        policy = Restart(max_restarts=3, within=None, backoff=Backoff(min=60, max=3600, factor=3, jitter=False))
        overseer.add("web", "web", restart=policy)
        await clock.run(overseer.supervise("web"))
    seen.assert_times("web starting", 0, 60, 240, 780)
    seen.assert_times("web finished")
    with pytest.raises(AssertionError, match="'web starting' has come at 0 60 240 780 s, not at 0 60 s") as caught:
        seen.assert_times("web starting", 0, 60)
    assert "+780.000 s  web  fatal" in str(caught.value)
    with pytest.raises(AssertionError, match="'web fatal' has come at 780 s, not at no time"):
        seen.assert_times("web fatal")


@pytest.mark.parametrize("name", ["running", "web runing", "web", ""])
def test_invalid_event_name_is_refused(name: str) -> None:
    """A misspelt name would make an assertion that cannot fail."""
    seen = EventRecorder(NoEvents())
    for check in (seen.assert_never, seen.assert_order, seen.assert_times):
        with pytest.raises(SpecError, match="is no event: pass an id and a state"):
            check(name)


class NoEvents:
    """A stream without events."""

    def get_nowait(self) -> None:
        """Return None."""


async def test_until_finds_later_events_only(clock: ManualClock, overseer: Overseer) -> None:
    """Events that have come already count once; a function works as well as a name."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    assert "is ready" == (await seen.until("job running")).reason
    await clock.advance(2)
    finished = await seen.until(lambda event: event.status.exit_code == 3)
    assert ("job", State.FINISHED) == (finished.id, finished.state)
    await overseer["job"].start()
    again = await seen.until("job running")
    assert again.seq > finished.seq
    seen.assert_states("job", "starting running finished starting running")


async def test_cancelled_until_loses_no_event(clock: ManualClock, overseer: Overseer) -> None:
    """The event is found even if the events were read meanwhile."""
    seen = EventRecorder(overseer.events())
    waiting = asyncio.ensure_future(seen.until("job finished"))
    cancelled = asyncio.ensure_future(seen.until("job finished"))
    await overseer.start_all()
    await clock.advance(1)
    assert not waiting.done()
    cancelled.cancel()
    await clock.settle()
    assert cancelled.cancelled()
    await clock.advance(1)
    assert ["starting", "running", "finished"] == seen.states("job")
    assert 3 == (await waiting).status.exit_code


async def test_until_raises_at_once_after_another_final_state(clock: ManualClock, overseer: Overseer) -> None:
    """The error shows the events."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    await clock.advance(2)
    with pytest.raises(AssertionError, match="'job fatal' cannot come any more: job is finished, exited with code 3"):
        await seen.until("job fatal")
    await seen.until("job finished")
    # The final state was found, so a later run can bring the next event.
    starting = asyncio.ensure_future(overseer["job"].start())
    await seen.until("job running")
    await starting


async def test_until_raises_at_once_after_the_end_of_the_overseer(clock: ManualClock) -> None:
    """A wait under way ends too, for any event."""
    async with Overseer(clock=clock, launcher=ScriptedLauncher(clock)) as overseer:
        seen = EventRecorder(overseer.events())
        await overseer.add("web", "web").start()
        waiting = asyncio.ensure_future(seen.until("db running", timeout=None))
        await clock.settle()
    for wanted in (waiting, seen.until(never_comes)):
        with pytest.raises(AssertionError, match="cannot come any more: the overseer has ended") as caught:
            await wanted
        assert "web  interrupted" in str(caught.value)
    assert "what never_comes wants" in str(caught.value)


def never_comes(event: Event) -> bool:
    """Return False."""
    return False


async def test_until_has_a_limit(overseer: Overseer) -> None:
    """The limit is in real seconds; a timeout of the caller passes through."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    with pytest.raises(AssertionError, match=r"'web fatal' did not come within 0.01 s\n[^\0]*web  running"):
        await seen.until("web fatal", timeout=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await seen.until("web fatal")


async def test_until_in_a_manual_clock_run_takes_no_time(clock: ManualClock, overseer: Overseer) -> None:
    """The clock jumps to the event."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    await clock.run(seen.until("job finished"))
    assert 2 == clock.now()


def test_wait_until_is_for_threaded_overseers() -> None:
    """Each of the two methods names the other one in its error."""
    with ThreadedOverseer() as overseer:
        seen = EventRecorder(overseer.events())
        overseer.add("job", "sh", "-c", "exit 3", restart=Restart("never")).start()
        assert 3 == seen.wait_until("job finished").status.exit_code
        seen.assert_states("job", "starting running finished")
        overseer.add("web", "sleep", "60").start()
        overseer["job"].start().wait()
        with pytest.raises(AssertionError, match="'job fatal' cannot come any more: job is finished"):
            seen.wait_until("job fatal")
        with pytest.raises(SpecError, match="use wait_until"):
            asyncio.run(seen.until("web running"))
    with pytest.raises(AssertionError, match="the overseer has ended"):
        seen.wait_until("db running")


async def test_wait_until_refuses_events_of_an_overseer(overseer: Overseer) -> None:
    """It would block the event loop."""
    async with limit():
        with pytest.raises(SpecError, match="await until"):
            EventRecorder(overseer.events()).wait_until("web running")


async def test_time_limit_of_the_wanted_function_is_passed_on(overseer: Overseer) -> None:
    """Only the recorder's own limit means that the event did not come."""
    seen = EventRecorder(overseer.events())

    def wanted(event: Event) -> bool:
        raise TimeoutError("mine")

    await overseer.start("web")
    with pytest.raises(TimeoutError, match="mine"):
        await seen.until(wanted)
