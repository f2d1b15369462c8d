"""The event recorder: assertions that show what happened, and waiting that ends when there is no hope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aioverseer import Backoff, Event, Overseer, Restart, SpecError, State, ThreadedOverseer
from aioverseer.testing import EventRecorder, FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test owns."""
    return ManualClock()


@pytest.fixture
async def overseer(clock: ManualClock) -> AsyncIterator[Overseer]:
    """``web`` lives; ``job`` ends badly after two seconds."""
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"job": FakeChild().runs(2).exits(3)})
    async with Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.add("job", "job", restart=Restart("never"))
        overseer.add("web", "web", after={"job": "started"})
        yield overseer


async def test_assertions_show_the_events_when_they_fail(clock: ManualClock) -> None:
    """States of one service, and the order of several."""
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
    with pytest.raises(AssertionError, match="'web starting' did not come behind 'job finished'"):
        seen.assert_order("job finished", "web starting")
    with pytest.raises(AssertionError, match="nobody has been nowhere, not running"):
        seen.assert_states("nobody", "running")
    seen.assert_never("job fatal", "web fatal")
    with pytest.raises(AssertionError, match="'job finished' has come, 2 s after the first event"):
        seen.assert_never("web fatal", "job finished")


async def test_times_are_those_of_the_clock(clock: ManualClock) -> None:
    """Each time that it came."""
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
def test_what_is_no_event_is_refused(name: str) -> None:
    """A slip would make an assertion that cannot fail."""
    seen = EventRecorder(iter_of_nothing())
    for check in (seen.assert_never, seen.assert_order, seen.assert_times):
        with pytest.raises(SpecError, match="is no event: pass an id and a state"):
            check(name)


class iter_of_nothing:  # noqa: N801  # reads as a function
    """No events."""

    def get_nowait(self) -> None:
        """There is none."""


async def test_until_tells_a_story(clock: ManualClock, overseer: Overseer) -> None:
    """What has come already counts, once; functions will do as well."""
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


async def test_until_waits_and_may_be_cancelled(clock: ManualClock, overseer: Overseer) -> None:
    """The event is not lost, also when somebody else has looked at it."""
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


async def test_until_raises_at_once_when_a_service_has_ended_otherwise(clock: ManualClock, overseer: Overseer) -> None:
    """With the timeline."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    await clock.advance(2)
    with pytest.raises(AssertionError, match="'job fatal' cannot come any more: job is finished, exited with code 3"):
        await seen.until("job fatal")
    await seen.until("job finished")
    # That was the end of that chapter: whoever starts it again is waited for.
    starting = asyncio.ensure_future(overseer["job"].start())
    await seen.until("job running")
    await starting


async def test_until_raises_at_once_when_all_has_ended(clock: ManualClock) -> None:
    """Whatever was waited for; those who wait already are told too."""
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
    """Nothing is wanted."""
    return False


async def test_until_has_a_limit(overseer: Overseer) -> None:
    """In real seconds; a limit of the caller's own passes through."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    with pytest.raises(AssertionError, match=r"'web fatal' did not come within 0.01 s\n[^\0]*web  running"):
        await seen.until("web fatal", timeout=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await seen.until("web fatal")


async def test_until_moves_with_the_clock_that_runs_it(clock: ManualClock, overseer: Overseer) -> None:
    """Time jumps to the event."""
    seen = EventRecorder(overseer.events())
    await overseer.start_all()
    await clock.run(seen.until("job finished"))
    assert 2 == clock.now()


def test_threads_wait_until_too() -> None:
    """For a ThreadedOverseer there is no await; each says which one to take."""
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


async def test_who_has_a_loop_awaits(overseer: Overseer) -> None:
    """The calling thread must not be held up."""
    async with limit():
        with pytest.raises(SpecError, match="await until"):
            EventRecorder(overseer.events()).wait_until("web running")
