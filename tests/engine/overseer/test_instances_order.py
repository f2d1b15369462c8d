"""``after`` on a set of instances: dependents wait for all that are wanted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioverseer import After, DependencyCycle, NotReady, Overseer, Restart, Spec, SpecError, State, ready
from aioverseer.testing import EventRecorder, FakeChild
from tests.support.overseers import ended, scripted

SLOW = FakeChild().runs(5).prints("up")
UP = FakeChild().prints("up")
NEVER = Restart("never")


def add_web(overseer: Overseer, **options: Any) -> Any:
    """Add three instances that are ready with a line."""
    given: Any = {"instances": 3, "ready": ready.line("up"), **options}
    return overseer.add_instances("web", "serve", **given)


async def test_a_dependent_waits_for_all() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.1": [SLOW]})
    async with overseer:
        add_web(overseer)
        proxy = overseer.add("proxy", "proxy", after="web")
        started = asyncio.ensure_future(overseer.start_all())
        await clock.advance(1)
        assert "starting: waits for 'web' to be ready" in f"{proxy.state}: {proxy.status().reason}"
        assert "waits for 'web' to be ready (2 of 3 ready, 1 starting)" in str(proxy.why())
        assert [(one.kind, one.name) for one in proxy.why().awaits] == [("service", "web")]
        await clock.advance(5)
        await started
        assert "running" == str(proxy.state)


async def test_scale_down_ends_the_wait_for_what_is_taken_away() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.2": [FakeChild()]})
    async with overseer:
        web = add_web(overseer, ready_timeout=None)
        proxy = overseer.add("proxy", "proxy", after="web")
        for service in (web, proxy):
            assert State.INITIAL is service.state
        started = asyncio.ensure_future(overseer.start_all())
        await clock.advance(1)
        assert "starting" == str(proxy.state)
        await ended(web.scale(2), clock)
        assert "running" == str(proxy.state)
        await started


async def test_scale_up_during_the_wait_adds_to_it() -> None:
    overseer, clock, _ = scripted(SLOW, by_id={"proxy": [FakeChild()]})
    async with overseer:
        web = add_web(overseer)
        proxy = overseer.add("proxy", "proxy", after="web")
        started = asyncio.ensure_future(overseer.start_all())
        await clock.advance(3)
        scaled = asyncio.ensure_future(web.scale(4))
        await clock.advance(3)
        assert web.status().reason.startswith("3 of 4 ready, 1 starting; 'web.3': is being started")
        assert "starting" == str(proxy.state)
        await clock.advance(3)
        await asyncio.gather(started, scaled)
        assert "running" == str(proxy.state)


async def test_a_failed_instance_fails_the_dependent_by_name() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.1": [FakeChild().runs(2).exits(3)], "web.0": [SLOW]})
    async with overseer:
        add_web(overseer, restart=NEVER)
        proxy = overseer.add("proxy", "proxy", after="web")
        with pytest.raises(NotReady, match=r"'web\.1' is not ready"):
            await ended(overseer.start_all(), clock, 4)
        assert "fatal" == str(proxy.state)
        assert "it waited for 'web.1' to be ready, which exited with code 3" in proxy.status().reason


async def test_instances_that_were_stopped_are_not_waited_for() -> None:
    overseer, clock, _ = scripted(UP)
    async with overseer:
        web = add_web(overseer)
        await ended(web.start(), clock)
        await ended(web[1].stop(), clock)
        proxy = overseer.add("proxy", "proxy", after="web")
        cache = overseer.add("cache", "cache", after={"web": "started"})
        group = asyncio.ensure_future(overseer.supervise_all())
        await clock.advance(1)
        assert ["running", "running"] == [str(proxy.state), str(cache.state)]
        await overseer.stop_all(kill=True)
        await group


async def test_until_finished_and_success_need_all() -> None:
    job = FakeChild().runs(1).exits(0)
    overseer, clock, _ = scripted(
        job, by_id={"job.1": [FakeChild().runs(3).exits(1)], "a": [FakeChild()], "b": [FakeChild()]}
    )
    async with overseer:
        overseer.add_instances("job", "job", instances=2, restart=NEVER)
        a = overseer.add("a", "a", after={"job": "finished"})
        b = overseer.add("b", "b", after=After("job", "success"))
        with pytest.raises(NotReady, match=r"'b' .*it waited for 'job\.1' to end as a success"):
            await ended(overseer.start_all(), clock, 5)
        assert ["running", "fatal"] == [str(a.state), str(b.state)]


async def test_instances_come_after_others_and_stop_before_them() -> None:
    overseer, clock, _ = scripted(UP)
    async with overseer:
        seen = EventRecorder(overseer.events())
        overseer.add("db", "db")
        add_web(overseer, after="db", instances=2)
        overseer.add("proxy", "proxy", after="web")
        await ended(overseer.start_all(), clock)
        await ended(overseer.stop_all(), clock)
        ends = [event.id for event in seen.events if event.state is State.INTERRUPT]
        assert ["proxy", {"web.0", "web.1"}, "db"] == [ends[0], set(ends[1:3]), ends[3]]


async def test_new_instances_wait_for_what_the_set_is_after() -> None:
    overseer, clock, _ = scripted(UP)
    async with overseer:
        db = overseer.add("db", "db", ready=ready.line("up"))
        web = add_web(overseer, after="db", instances=1)
        await ended(overseer.start_all(), clock)
        await ended(db.stop(), clock)
        with pytest.raises(NotReady, match=r"'web\.1' cannot be started: it waited for 'db'"):
            await ended(web.scale(2), clock)


async def test_on_restart_follows_a_set_that_is_complete_again() -> None:
    overseer, clock, launcher = scripted(UP)
    async with overseer:
        web = add_web(overseer)
        proxy = overseer.add("proxy", "proxy", after=After("web", on_restart="restart"))
        await ended(overseer.start_all(), clock)
        await ended(web.restart(), clock)
        await clock.advance(1)
        assert 2 == len(launcher.of("proxy"))
        await ended(web.scale(4), clock)
        await ended(web[3].restart(), clock)
        await clock.advance(1)
        assert 3 == len(launcher.of("proxy"))
        assert "running" == str(proxy.state)


async def test_on_end_follows_the_last_instance() -> None:
    overseer, clock, _ = scripted(UP)
    async with overseer:
        web = add_web(overseer)
        proxy = overseer.add("proxy", "proxy", after=After("web", on_end="stop"))
        await ended(overseer.start_all(), clock)
        await ended(web.scale(2), clock)
        await ended(web[0].stop(), clock)
        assert "running" == str(proxy.state)
        await ended(web[1].stop(), clock)
        await clock.advance(1)
        assert "interrupted" == str(proxy.state)
        assert "'web' has ended" in proxy.status().reason


async def test_a_set_after_itself_is_a_cycle() -> None:
    overseer = Overseer()
    with pytest.raises(DependencyCycle):
        overseer.add_instances("web", "serve", after="web", instances=2)
    with pytest.raises(DependencyCycle):
        overseer.add_instances("web", "serve", after="web.1", instances=2)
    assert [] == overseer.list_all()
    with pytest.raises(SpecError):
        overseer.instances("web") if "web" in overseer else overseer.add(Spec.of("x", ["x"], instances=1))


async def test_a_cycle_through_a_set_is_found() -> None:
    async with Overseer() as overseer:
        overseer.add_instances("web", "serve", after="proxy", instances=2)
        overseer.add("proxy", "proxy", after="web")
        with pytest.raises(DependencyCycle, match=r"proxy -> web -> web\.0 -> proxy"):
            await overseer.start_all()


async def test_one_dependent_of_many_instances_looks_at_few() -> None:
    """Each member that becomes ready lets the tracker look at the next one, not at all of them."""
    overseer, clock, _ = scripted(FakeChild().prints("up"))
    looks = 0
    async with overseer:
        web = add_web(overseer, instances=300)
        overseer.add("proxy", "proxy", after="web")
        late = overseer._assembly.dependencies._late_member

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal looks
            looks += 1
            return late(*args, **options)

        overseer._assembly.dependencies._late_member = counted
        await ended(overseer.start_all(), clock)
        assert "300 of 300 ready" == web.status().reason
        assert looks <= 310
