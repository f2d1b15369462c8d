"""Groups: failures, updates and stops that come while another restart or end is in progress."""

from __future__ import annotations

from aioverseer import Backoff, Restart, Stop
from tests.engine.overseer.test_groups import NONE, STUBBORN, World

FAST = Restart(max_restarts=3, within=None, backoff=Backoff(min=1, max=1))
SLOWLY = Stop(timeout=10)


async def test_significant_inner_group_ends_its_outer_group() -> None:
    """The inner group ends by its own significant member, and nothing restarts it."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("outer", auto_shutdown="any_significant", restart=FAST)
        overseer.group(
            "inner",
            parent="outer",
            significant=True,
            auto_shutdown="any_significant",
            restart=Restart("never", max_restarts=0),
        )
        overseer.add("job", "job", group="inner", significant=True, restart=Restart("never"))
        overseer.add("helper", "helper", group="inner")
        overseer.add("web", "web", group="outer")
        await overseer.start_all()
        it.finish("job")
        await it.clock.advance(0)
        assert {"helper": "interrupted", "job": "finished", "web": "interrupted"} == it.states()


async def test_outer_restart_replaces_the_end_of_an_inner_group() -> None:
    """A stubborn member of the inner group is still being ended, and comes back with the outer group."""
    it = World(stubborn=STUBBORN)
    async with it.overseer as overseer:
        overseer.group("outer", "one_for_all", restart=FAST)
        overseer.group("inner", parent="outer", auto_shutdown="any_significant", restart=FAST)
        overseer.add("web", "web", group="outer")
        overseer.add("job", "job", group="inner", significant=True)
        overseer.add("stubborn", "stubborn", group="inner", stop=SLOWLY)
        await overseer.start_all()
        it.finish("job")
        await it.clock.advance(1)
        assert "stopping" == it.states()["stubborn"]
        it.crash("web")
        await it.clock.advance(60)
        assert {"job": "running", "stubborn": "running", "web": "running"} == it.states()
        await it.clock.run(overseer.stop_all())
        await it.clock.run(overseer.stop_all())


async def test_member_with_an_unknown_dependency_ends_alone() -> None:
    """The option was updated while the member was finished; its group restarts without it."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=FAST)
        overseer.add("job", "job", group="g")
        overseer.add("web", "web", group="g")
        await overseer.start_all()
        it.finish("job")
        await it.clock.advance(0)
        overseer.update("job", after="nobody")
        it.crash("web")
        await it.clock.advance(5)
        assert {"job": "fatal", "web": "running"} == it.states()
        assert "nobody" in it.reason("job")


async def test_member_that_crashes_while_its_group_ends_has_not_given_up() -> None:
    """A later member holds the end up; the earlier one ends by itself before it is asked to."""
    it = World(stubborn=STUBBORN)
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=FAST, auto_shutdown="any_significant")
        overseer.add("early", "early", group="g")
        overseer.add("job", "job", group="g", significant=True, restart=Restart("never"))
        overseer.add("stubborn", "stubborn", group="g", stop=SLOWLY)
        await overseer.start_all()
        it.finish("job")
        await it.clock.advance(1)
        it.crash("early")
        await it.clock.advance(20)
        assert {"early": "finished", "job": "finished", "stubborn": "interrupted"} == it.states()
        assert "'g'" in it.reason("early")
        assert 0 == overseer["early"].restarts


async def test_member_that_crashes_while_its_group_gives_up_is_part_of_that() -> None:
    """It is no further failure: the group has given up already."""
    it = World(stubborn=STUBBORN)
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=NONE)
        overseer.add("early", "early", group="g")
        overseer.add("bad", "bad", group="g")
        overseer.add("stubborn", "stubborn", group="g", stop=SLOWLY)
        await overseer.start_all()
        it.crash("bad")
        await it.clock.advance(1)
        it.crash("early")
        await it.clock.advance(20)
        assert overseer.group_status("g").gave_up
        assert {"bad": "fatal", "early": "fatal", "stubborn": "interrupted"} == it.states()


async def test_signal_to_all_during_a_restart_leaves_nobody_waiting() -> None:
    """A stop of all during the delay of a restart of a group ends all members, and none comes back."""
    it = World()
    async with it.overseer as overseer:
        overseer.group("g", "one_for_all", restart=Restart(backoff=Backoff(min=60, max=60)))
        overseer.add("a", "a", group="g")
        overseer.add("b", "b", group="g")
        await overseer.start_all()
        it.crash("a")
        await it.clock.advance(1)
        await overseer.stop_all()
        await it.clock.advance(3600)
        assert {"a": "interrupted", "b": "interrupted"} == it.states()


async def test_why_of_a_member_held_after_its_restart_was_replaced() -> None:
    """The end of the group waits for a stubborn member, and the held one says what it waits for."""
    it = World(stubborn=STUBBORN)
    async with it.overseer as overseer:
        overseer.group(
            "g", "one_for_all", restart=Restart(max_restarts=1, within=None, backoff=Backoff(min=50, max=50))
        )
        overseer.add("a", "a", group="g")
        overseer.add("stubborn", "stubborn", group="g", stop=SLOWLY)
        await overseer.start_all()
        it.crash("a")
        await it.clock.advance(20)
        assert "backoff" == it.states()["stubborn"]
        assert "to start it again" in str(overseer["a"].why())
        await it.clock.advance(40)
        it.crash("a")
        await it.clock.advance(1)
        assert "fatal" == it.states()["a"]
        assert "stopping" == it.states()["stubborn"]
        await it.clock.run(overseer.stop_all())


async def test_member_that_must_not_restart_ends_once_during_an_outer_restart() -> None:
    """A stubborn member holds the restart up, and the other one fails by itself before it is asked to end."""
    it = World(stubborn=STUBBORN)
    async with it.overseer as overseer:
        overseer.group("outer", "one_for_all", restart=FAST)
        overseer.group("inner", parent="outer", restart=Restart("never"))
        overseer.add("web", "web", group="outer")
        overseer.add("once", "once", group="inner")
        overseer.add("stubborn", "stubborn", group="outer", stop=SLOWLY)
        await overseer.start_all()
        it.crash("web")
        await it.clock.advance(1)
        assert "stopping" == it.states()["stubborn"]
        it.crash("once")
        await it.clock.advance(60)
        assert {"once": "finished", "stubborn": "running", "web": "running"} == it.states()
        await it.clock.run(overseer.stop_all())
