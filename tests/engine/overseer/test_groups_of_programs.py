"""Groups with real programs."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from aioverseer import (
    Backoff,
    CriticalServiceEnded,
    GaveUp,
    Overseer,
    Restart,
    SpecError,
    State,
    Status,
    ThreadedOverseer,
)
from tests.support.programs import limit

AT_ONCE = Restart(max_restarts=1, within=60, backoff=Backoff(min=0, max=0))


async def grouped(overseer: Overseer, strategy: str) -> dict[str, int | None]:
    """Three members that run."""
    overseer.group("all", strategy, restart=AT_ONCE)  # type: ignore[arg-type]  # one of the parameters of a test
    for id in ("a", "b", "c"):
        overseer.add(id, "sleep", "100", group="all")
    await overseer.start_all()
    return {id: overseer[id].pid for id in overseer}


def is_another(pid: int | None) -> Callable[[Status], bool]:
    """Whether another run of it is running."""
    return lambda status: status.state is State.RUNNING and status.pid != pid


@pytest.mark.parametrize(
    ("strategy", "anew"), [("one_for_one", "b"), ("one_for_all", "a b c"), ("rest_for_one", "b c")]
)
async def test_a_killed_member_restarts_the_members_of_its_strategy(strategy: str, anew: str) -> None:
    """And nobody else; a second kill spends the budget of the group, and all end."""
    async with limit(30), Overseer() as overseer:
        pids = await grouped(overseer, strategy)
        overseer.signal("b", signal.SIGKILL)
        for id in anew.split():
            await overseer[id].wait_for(is_another(pids[id]))
        assert anew.split() == [id for id in overseer if overseer[id].pid != pids[id]]
        overseer.signal("b", signal.SIGKILL)
        ends = {id: await overseer[id].wait() for id in overseer}
    assert isinstance(ends["b"].error, GaveUp)
    assert "group 'all' gave up: 'b' was killed by SIGKILL" in ends["b"].reason
    assert [State.INTERRUPT] * 2 == [ends[id].state for id in ("a", "c")]
    assert all("group 'all' gave up" in ends[id].reason for id in ("a", "c"))


async def test_the_action_after_giving_up_can_be_chosen() -> None:
    """The end of the overseer, or a function."""
    told: list[GaveUp] = []
    async with limit(30), Overseer() as overseer:
        overseer.group("called", restart=Restart(max_restarts=0), on_give_up=told.append)
        overseer.add("job", "false", group="called")
        assert State.FATAL is (await overseer.supervise("job")).state
    assert ["called" in str(error) for error in told] == [True]
    overseer = Overseer()
    overseer.group("ends", restart=Restart(max_restarts=0), on_give_up="end")
    overseer.add("job", "false", group="ends")
    with pytest.raises(CriticalServiceEnded, match="'job' is fatal: group 'ends' gave up"):
        async with limit(30), overseer:
            await overseer.supervise_all()


async def test_a_stop_goes_before_the_strategy() -> None:
    """A member that is stopped is no failure, and stays stopped when the others come back."""
    async with limit(30), Overseer() as overseer:
        pids = await grouped(overseer, "one_for_all")
        await overseer.stop("a")
        overseer.signal("b", signal.SIGKILL)
        await overseer["c"].wait_for(is_another(pids["c"]))
        assert State.INTERRUPT is overseer["a"].state


def test_invalid_group_options_are_refused_by_name() -> None:
    """Before anything runs; threads have the same method."""
    with ThreadedOverseer() as overseer:
        with pytest.raises(SpecError, match="group 'x': strategy='all' is unknown"):
            overseer.group("x", "all")  # type: ignore[arg-type]  # the types forbid it
        overseer.group("x")
        with pytest.raises(SpecError, match="group 'x': name='x' is taken"):
            overseer.group("x")
        with pytest.raises(SpecError, match="parent='y' is no group"):
            overseer.group("z", parent="y")
