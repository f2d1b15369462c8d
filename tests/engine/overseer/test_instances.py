"""Instances: several services of one program, and how many there are."""

from __future__ import annotations

import asyncio
import cProfile
from typing import Any

import pytest

from aioverseer import (
    CriticalServiceEnded,
    DuplicateService,
    Exit,
    Instances,
    InstancesStatus,
    NotReady,
    NotReadyInTime,
    Overseer,
    OverseerError,
    ProcessFailed,
    ProcessNotRunning,
    RequestChannel,
    Restart,
    ServiceIsLive,
    Spec,
    SpecError,
    State,
    UnknownService,
    ready,
)
from aioverseer.testing import FakeChild
from tests.support.overseers import ended, scripted

UP = FakeChild().prints("up")


def ids(instances: Instances) -> list[str]:
    """The names of the instances, in their order."""
    return [service.id for service in instances]


async def test_instances_are_services() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=3)
        assert ["web.0", "web.1", "web.2"] == ids(web) == overseer.list_all()
        assert 3 == len(web) == web.spec.instances
        assert web[1] is overseer["web.1"] is list(web)[1]
        assert [0, 1, 2] == [service.index for service in web]
        assert web is overseer.instances("web")
        assert "web" not in overseer
        assert "web.0" in overseer
        assert overseer.add("lone", "x").index is None
        await ended(web.start(), clock)
        assert [State.RUNNING] * 3 == [service.state for service in web]
        assert State.RUNNING is web.state
        assert "3 of 3 ready" == web.status().reason
    assert [State.INTERRUPT] * 3 == [service.state for service in web]


async def test_add_and_add_instances_refuse_the_other_kind() -> None:
    overseer = Overseer()
    with pytest.raises(SpecError, match=r"instances=4 is for several services: call add_instances"):
        overseer.add("web", "serve", instances=4)
    with pytest.raises(SpecError, match=r"pass instances=4, or call add"):
        overseer.add_instances("web", "serve")
    with pytest.raises(UnknownService, match=r"no instances 'web'.*: none"):
        overseer.instances("web")
    web = overseer.add_instances(Spec.of("web", ["serve"], instances=2))
    assert ["web.0", "web.1"] == ids(web)
    with pytest.raises(UnknownService, match=r"'web' is the name of 2 instances: call overseer.instances\('web'\)"):
        overseer["web"]


@pytest.mark.parametrize("taken", ["web", "web.0", "web.2"])
async def test_taken_names_are_refused(taken: str) -> None:
    overseer = Overseer()
    overseer.add(taken, "x")
    with pytest.raises(DuplicateService, match=repr(taken)):
        overseer.add_instances("web", "serve", instances=3)
    assert [taken] == overseer.list_all()
    overseer.remove(taken)
    overseer.add_instances("web", "serve", instances=3)
    with pytest.raises(DuplicateService):
        overseer.add(taken, "x")
    with pytest.raises(DuplicateService):
        overseer.add_instances("web", "serve", instances=1)


async def test_verbs_take_the_name_of_the_set() -> None:
    overseer, clock, launcher = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        assert web is await ended(overseer.start("web"), clock)
        first = [child.pid for child in launcher.children]
        assert web is await ended(overseer.restart("web"), clock)
        assert {2} == {service.process.number for service in web}
        assert set(first).isdisjoint(service.pid for service in web)
        status = overseer.status("web")
        assert isinstance(status, InstancesStatus)
        assert (2, 2, {State.RUNNING: 2}) == (status.wanted, status.ready, status.counts)
        seen = overseer.to_json("web")
        assert {
            "id": "web",
            "wanted": 2,
            "ready": 2,
            "counts": {"running": 2},
            "instances": ["web.0", "web.1"],
        }.items() <= (seen.items())
        assert ["web.0", "web.1"] == list(overseer.why())
        stopped = await ended(overseer.stop("web"), clock)
        assert stopped.state == web.state == State.INTERRUPT
        with pytest.raises(ProcessNotRunning, match="no instance of 'web' is running"):
            overseer.signal("web", 1)
        waiting = asyncio.ensure_future(overseer.supervise("web"))
        await clock.advance(1)
        assert "2 of 2 ready" == web.status().reason
        await ended(web.stop(), clock)
        assert State.INTERRUPT is (await waiting).state


async def test_scale_adds_and_takes_at_the_end() -> None:
    overseer, clock, _ = scripted(UP.ends_on(15, after=3))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2, ready=ready.line("up"))
        await ended(web.start(), clock)
        kept = [service.pid for service in web]
        assert web is await ended(web.scale(4), clock)
        assert ["web.0", "web.1", "web.2", "web.3"] == ids(web)
        assert [State.RUNNING] * 4 == [service.state for service in web]
        third = web[2]
        task = asyncio.ensure_future(web.scale(1))
        await clock.advance(1)
        assert ["web.0"] == ids(web)
        assert "stopping" == str(third.state)
        assert "web.2" in overseer  # until its end
        assert not task.done()
        await clock.advance(5)
        await task
        assert ["web.0"] == overseer.list_all()
        assert kept[:1] == [service.pid for service in web]
        assert "interrupted" == str(third.state)
        with pytest.raises(UnknownService):
            await third.start()
        await ended(web.scale(2), clock)
        assert third is not overseer["web.1"]
        assert 2 == web.spec.instances == web[1].spec.instances
        await overseer.stop_all(kill=True)


async def test_instances_that_were_not_started_are_only_counted() -> None:
    overseer, clock, launcher = scripted()
    web = overseer.add_instances("web", "serve", instances=2)
    await web.scale(3)
    async with overseer:
        await web.scale(1)
        assert ["web.0"] == ids(web) == overseer.list_all()
        await web.scale(3)
        assert not launcher.children
        await ended(overseer.start_all(), clock)
        assert "3 of 3 ready" == web.status().reason
        await ended(web.stop(), clock)
        await web.scale(4)
        assert State.INITIAL is web[3].state


async def test_scale_to_none_and_back() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        await ended(web.scale(0), clock)
        assert ([], "0 of 0 ready", State.INITIAL) == (list(web), web.status().reason, web.state)
        assert web
        await web.ready()
        await ended(web.scale(2), clock)
        assert "2 of 2 ready" == web.status().reason


async def test_a_service_that_is_being_taken_away_can_be_taken_back() -> None:
    overseer, clock, _ = scripted(FakeChild().ends_on(15, after=5))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        last = web[1]
        down = asyncio.ensure_future(web.scale(1))
        await clock.advance(1)
        up = asyncio.ensure_future(web.scale(2))
        await clock.advance(10)
        await asyncio.gather(up, down)
        assert last is web[1]
        assert (State.RUNNING, 2) == (last.state, last.process and last.process.number)
        await overseer.stop_all(kill=True)


async def test_a_service_that_is_taken_back_has_the_options_of_the_set() -> None:
    overseer, clock, launcher = scripted(FakeChild().ends_on(15, after=5))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        down = asyncio.ensure_future(web.scale(1))
        await clock.advance(1)
        overseer.update("web", "serve2")
        up = asyncio.ensure_future(web.scale(2))
        await clock.advance(10)
        await asyncio.gather(up, down)
        assert ("serve2",) == launcher.children[-1].spec.argv
        assert 2 == web[1].spec.instances
        await overseer.stop_all(kill=True)


async def test_a_service_that_was_taken_away_is_not_started_again() -> None:
    overseer, clock, _ = scripted(FakeChild().ends_on(15, after=5))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        down = asyncio.ensure_future(web.scale(1))
        await clock.advance(1)
        started = asyncio.ensure_future(overseer.start("web.1"))
        await clock.advance(60)
        await down
        assert ["web.0"] == overseer.list_all()
        with pytest.raises(OverseerError):
            await started
        await overseer.stop_all(kill=True)


async def test_scale_tells_of_an_instance_that_does_not_become_ready() -> None:
    never = Restart("never")
    overseer, clock, _ = scripted(UP, by_id={"web.2": [FakeChild().prints("no port").exits(1)]})
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2, ready=ready.line("up"), restart=never)
        await ended(web.start(), clock)
        with pytest.raises(NotReady, match=r"'web\.2' is not ready") as caught:
            await ended(web.scale(4), clock)
        assert ["no port"] == list(caught.value.lines)
        assert 4 == len(web)
        assert State.FINISHED is web[2].state
        assert State.RUNNING is web.state
        assert web.status().reason.startswith("3 of 4 ready, 1 finished; 'web.2': ")
        with pytest.raises(NotReady, match=r"'web\.2' is not ready"):
            await web.ready()
        assert await ended(web.scale(2), clock)
        await web.ready()


async def test_a_cancelled_scale_takes_its_instances_away() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.2": [FakeChild().ends_on(15, after=3)]})
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=1, ready=ready.line("up"), ready_timeout=None)
        await ended(web.start(), clock)
        task = asyncio.ensure_future(web.scale(3))
        await clock.advance(5)
        assert [State.RUNNING, State.RUNNING, State.STARTING] == [service.state for service in web]
        task.cancel()
        await clock.advance(1)
        assert not task.done()
        await clock.advance(5)
        assert task.cancelled()
        assert ["web.0"] == ids(web) == overseer.list_all()


async def test_a_cancelled_scale_down_goes_on() -> None:
    overseer, clock, _ = scripted(FakeChild().ends_on(15, after=3))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        task = asyncio.ensure_future(web.scale(1))
        await clock.advance(1)
        task.cancel()
        await clock.advance(5)
        assert task.cancelled()
        assert ["web.0"] == overseer.list_all()
        await overseer.stop_all(kill=True)


async def test_scale_needs_names_that_are_free() -> None:
    overseer, clock, launcher = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=1)
        await ended(web.start(), clock)
        overseer.add("web.2", "other")
        with pytest.raises(DuplicateService, match=r"'web\.2'"):
            await web.scale(3)
        assert ["web.0", "web.2"] == overseer.list_all()
        assert 1 == len(web) == len(launcher.children) == web.spec.instances
        for wrong in (-1, 1.5, True, "2"):
            with pytest.raises(SpecError, match="scale"):
                await web.scale(wrong)


async def test_remove_takes_the_whole_set() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        await ended(web.start(), clock)
        with pytest.raises(ServiceIsLive, match=r"web\.0"):
            overseer.remove("web")
        await ended(web.stop(), clock)
        with pytest.raises(OverseerError, match=r"'web.1' is an instance of 'web': call remove\('web'\), or scale it"):
            overseer.remove("web.1")
        overseer.remove("web")
        assert [] == overseer.list_all()
        with pytest.raises(UnknownService):
            overseer.instances("web")
        with pytest.raises(UnknownService, match="removed"):
            await web.start()
        overseer.add("web", "x")


async def test_ready_and_wait_for_know_of_time() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.1": [FakeChild().runs(4).prints("up")]})
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2, ready=ready.line("up"))
        task = asyncio.ensure_future(web.start())
        with pytest.raises(
            NotReadyInTime, match=r"'web' is not ready: after 2 s web is starting.*1 of 2 ready"
        ) as caught:
            await ended(web.ready(2), clock, 3)
        assert "web" == caught.value.id
        two = await ended(web.wait_for(lambda status: status.ready == 2, 10), clock, 5)
        assert {State.RUNNING: 2} == two.counts
        await task
        with pytest.raises(NotReadyInTime, match="not what was waited for"):
            await ended(web.wait_for(lambda status: status.ready == 5, 1), clock)
        stop = asyncio.ensure_future(web.stop())
        with pytest.raises(NotReady, match="'web' is not backoff: it is interrupted"):
            await ended(web.wait_for(State.BACKOFF), clock)
        await stop


async def test_ready_waits_for_instances_that_are_added_meanwhile() -> None:
    overseer, clock, _ = scripted(FakeChild().runs(5).prints("up"))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=1, ready=ready.line("up"))
        start = asyncio.ensure_future(web.start())
        waiting = asyncio.ensure_future(web.ready())
        await clock.advance(3)
        scale = asyncio.ensure_future(web.scale(2))
        await clock.advance(3)
        assert start.done()
        assert not waiting.done()
        await clock.advance(5)
        await asyncio.gather(waiting, scale)


async def test_a_failed_instance_is_told_at_once_and_the_others_go_on() -> None:
    overseer, clock, _ = scripted(UP, by_id={"web.0": [FakeChild().exits(3)]})
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=3, ready=ready.line("up"), restart=Restart("never"))
        with pytest.raises(NotReady, match=r"'web\.0'"):
            await ended(web.start(), clock)
        await clock.advance(1)
        assert [State.FINISHED, State.RUNNING, State.RUNNING] == [service.state for service in web]
        why = str(web.why())
        assert "2 of 3 ready, 1 finished" in why
        assert "'web.0', which is finished: exited with code 3" in why


async def test_a_block_of_instances_stops_them() -> None:
    overseer, clock, _ = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)

        async def block() -> None:
            async with web as same:
                assert same is web
                assert State.RUNNING is web.state

        await ended(block(), clock)
        assert State.INTERRUPT is web.state


async def test_lines_and_events_of_all() -> None:
    overseer, clock, _ = scripted(FakeChild().prints("hello"))
    async with overseer:
        web = overseer.add_instances("web", "serve", instances=2)
        overseer.add("other", "x")
        events, lines = web.events(), web.lines()
        logs = overseer.logs(services="web")
        await ended(overseer.start_all(), clock)
        await ended(web.scale(3), clock)
        expected = [("web.0", "hello"), ("web.1", "hello"), ("web.2", "hello")]
        assert expected == [(line.id, line.text) for line in await lines.get_batch()]
        assert expected == [(line.id, line.text) for line in await logs.get_batch()]
        assert expected == [(line.id, line.text) for line in web.tail()]
        assert expected[1:] == [(line.id, line.text) for line in await web.lines(history=2).get_batch()]
        seen = []
        while (event := events.get_nowait()) is not None:
            seen.append((event.id, str(event.state)))
        assert {"web.0", "web.1", "web.2"} == {id for id, _ in seen}
        assert 6 == len(seen)
        with pytest.raises(SpecError, match="history"):
            web.lines(history=-1)
    assert [line.id async for line in lines] == []


async def test_update_changes_all_for_the_next_run() -> None:
    overseer, clock, launcher = scripted()
    async with overseer:
        web = overseer.add_instances("web", "serve", "{index}", instances=2)
        await ended(web.start(), clock)
        assert web is overseer.update("web", "serve2", "{index}", nice=5)
        with pytest.raises(OverseerError, match=r"call update\('web'\)"):
            overseer.update("web.0", nice=3)
        with pytest.raises(SpecError, match="call scale"):
            overseer.update("web", instances=3)
        assert ("serve", "0") == web[0].status().argv
        await ended(web.restart(), clock)
        assert ("serve2", "1") == web[1].status().argv
        assert 5 == launcher.children[-1].spec.nice
        await ended(web.scale(3), clock)
        assert ("serve2", "2") == web[2].status().argv


@pytest.mark.parametrize("wrong", [{"cwd": "{fd.http}"}, {"extra_env": {"A": "{fd.http}"}}])
async def test_unknown_placeholders_are_refused_when_added(wrong: dict[str, Any]) -> None:
    overseer = Overseer()
    with pytest.raises(SpecError, match=r"service 'web': \{fd.http\} in .* has no value: there are \{index\}, \{id\}"):
        overseer.add_instances("web", "serve", instances=2, **wrong)
    assert [] == overseer.list_all()
    with pytest.raises(UnknownService):
        overseer.instances("web")


def calls_of(count: int, *, as_set: bool) -> int:
    """Return the number of Python calls that it takes to add, start and stop so many services."""

    async def scenario() -> None:
        overseer, clock, _ = scripted()
        if as_set:
            overseer.add_instances("web", "serve", "--name={id}", instances=count)
        else:
            for index in range(count):
                overseer.add(f"web.{index}", "serve", f"--name=web.{index}")
        async with overseer:
            await ended(overseer.start_all(), clock)
            await ended(overseer.stop_all(), clock)

    profile = cProfile.Profile()
    profile.enable()
    asyncio.run(scenario())
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats())


def test_many_instances_cost_what_many_services_cost() -> None:
    """Counted in calls, which no load of the machine changes. The placeholders are their price."""
    calls_of(5, as_set=True)
    assert calls_of(200, as_set=True) < 1.6 * calls_of(200, as_set=False)
    assert calls_of(400, as_set=True) < 2.3 * calls_of(200, as_set=True)


async def test_a_group_takes_its_instances_together() -> None:
    overseer, clock, launcher = scripted()
    async with overseer:
        overseer.group("site", "one_for_all")
        web = overseer.add_instances("web", "serve", instances=3, group="site")
        assert ["web.0", "web.1", "web.2"] == overseer.list_group("site")
        await ended(web.start(), clock)
        launcher.of("web.1")[0].end(Exit(code=1))
        await ended(web.wait_for(lambda status: status.restarts == 3 and status.ready == 3), clock)
        assert [2, 2, 2] == [len(launcher.of(service.id)) for service in web]
        await ended(web.scale(1), clock)
        await clock.advance(5)
        assert 2 == len(launcher.of("web.0")), "an instance that is taken away is no failure of its group"
        await ended(web.scale(2), clock)
        launcher.of("web.1")[-1].end(Exit(code=1))
        await ended(web.wait_for(lambda status: status.ready == 2), clock)
        assert 3 == len(launcher.of("web.0"))


async def test_a_critical_instance_that_is_taken_away_ends_nothing() -> None:
    overseer, clock, launcher = scripted()

    async def block() -> None:
        async with overseer:
            web = overseer.add_instances("web", "serve", instances=2, critical=True, restart=Restart("never"))
            await ended(web.start(), clock)
            await ended(web.scale(1), clock)
            assert "1 of 1 ready" == web.status().reason
            launcher.of("web.0")[0].end(Exit(code=3))
            await clock.sleep(1)

    with pytest.raises(CriticalServiceEnded, match=r"web\.0"):
        await block()


async def test_leaving_ends_a_scale_and_a_wait() -> None:
    """A scale in the middle learns of it; nothing is left under a name that was taken away."""
    overseer, clock, _ = scripted(FakeChild().ends_on(15, after=2))
    await overseer.__aenter__()
    web = overseer.add_instances("web", "serve", instances=3, ready=ready.line("never"), ready_timeout=None)
    idle = overseer.add_instances("idle", "serve", instances=1)
    start = asyncio.ensure_future(web.start())
    waits = [
        asyncio.ensure_future(work) for work in (web.ready(), web.wait_for(State.RUNNING), idle.ready(), idle.wait())
    ]
    await clock.advance(1)
    down, up = asyncio.ensure_future(web.scale(2)), asyncio.ensure_future(idle.wait_for(State.BACKOFF))
    await clock.advance(1)
    leaving = asyncio.ensure_future(overseer.__aexit__(None, None, None))
    await clock.advance(10)
    await leaving
    outcomes = await asyncio.gather(start, *waits, up, return_exceptions=True)
    assert [NotReady] * 3 + [OverseerError] * 3 == [type(outcome) for outcome in outcomes]
    assert web is await down
    assert ["idle.0", "web.0", "web.1"] == overseer.list_all()


async def test_the_status_of_a_set_is_a_status() -> None:
    overseer, clock, _ = scripted(
        FakeChild().exits(0), by_id={"job.1": [FakeChild().prints("no disk").runs(2).exits(7)]}
    )
    async with overseer:
        job = overseer.add_instances("job", "work", "{index}", instances=3, restart=Restart("never"))
        status = await ended(overseer.supervise("job"), clock)
        assert (State.FINISHED, 7, False) == (status.state, status.exit_code, status.ok)
        with pytest.raises(ProcessFailed, match=r"'job' .*is finished: 0 of 3 ready, 3 finished") as it:
            status.check()
        assert ["no disk"] == list(it.value.lines)
        await ended(job.scale(1), clock)
        assert job.status().check().ok


async def test_a_request_channel_takes_a_set() -> None:
    overseer, clock, _ = scripted(FakeChild().answers(lambda line: line))
    async with overseer:
        echo = overseer.add_instances("echo", "echo", instances=2, stdin="pipe")
        await ended(echo.start(), clock)
        async with RequestChannel(echo, send=lambda text: f"{text}\n", key_of=lambda line: line) as channel:
            asked = asyncio.gather(*(channel.ask(str(key), str(key)) for key in range(6)))
            assert [str(key) for key in range(6)] == await ended(asked, clock)
        assert {"echo.0", "echo.1"} == {line.id for line in echo.tail()}


def test_a_missing_instance_is_named() -> None:
    web = Overseer().add_instances("web", "serve", instances=2)
    assert web.name == "web"
    assert web[-1] is web[1]
    with pytest.raises(IndexError, match=r"instances 'web': there is no \[2\], as there are 2"):
        web[2]
