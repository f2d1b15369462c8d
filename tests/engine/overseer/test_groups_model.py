"""Groups do what supervisors of Erlang/OTP do: random trees, failures and times, against a model."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from aioverseer import Backoff, Overseer, Restart, State
from aioverseer.core.state import Exit
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.otp_model import Child, Supervisor, Tree

AT_ONCE = Backoff(min=0, max=0)
TYPES: list[Any] = ["always", "on-failure", "never"]
STRATEGIES: list[Any] = ["one_for_one", "one_for_all", "rest_for_one"]


@st.composite
def trees(draw: st.DrawFn, strategy: Any) -> Supervisor:
    """A supervisor of this strategy, with workers and other supervisors below it."""
    numbers = itertools.count(1)

    def supervisor(depth: int, strategy: Any, above: Supervisor | None) -> Supervisor:
        type_: Any = draw(st.sampled_from(TYPES)) if above else "on-failure"
        made = Supervisor(
            name=f"g{next(numbers)}",
            strategy=strategy,
            intensity=draw(st.integers(0, 3)),
            period=draw(st.sampled_from([5.0, 600.0])),
            type=type_,
            auto_shutdown=draw(st.sampled_from(["never", "never", "any_significant", "all_significant"])),
            significant=significance(above, type_),
        )
        for _ in range(draw(st.integers(1, 4 - depth))):
            if depth < 2 and draw(st.integers(0, 3)) == 0:
                made.children.append(supervisor(depth + 1, draw(st.sampled_from(STRATEGIES)), made))
            else:
                type_ = draw(st.sampled_from(TYPES))
                made.children.append(Child(f"w{next(numbers)}", type_, significance(made, type_)))
        return made

    def significance(above: Supervisor | None, type_: Any) -> bool:
        return above is not None and above.auto_shutdown != "never" and type_ != "always" and draw(st.booleans())

    return supervisor(0, strategy, None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["crash", "crash", "crash", "die", "finish", "stop"]),
        st.integers(0, 99),
        st.sampled_from([0.0, 1.0, 4.0, 5.0, 700.0]),
    ),
    min_size=1,
    max_size=12,
)


def declare(overseer: Overseer, supervisor: Supervisor, parent: str = "") -> None:
    """Make the groups and services of a tree."""
    restart = Restart(
        supervisor.type, max_restarts=supervisor.intensity, within=supervisor.period, backoff=AT_ONCE, reset_after=0
    )
    overseer.group(
        supervisor.name,
        supervisor.strategy,
        restart=restart,
        parent=parent,
        auto_shutdown=supervisor.auto_shutdown,
        significant=supervisor.significant,
    )
    for child in supervisor.children:
        if isinstance(child, Supervisor):
            declare(overseer, child, supervisor.name)
        else:
            overseer.add(
                child.name,
                child.name,
                group=supervisor.name,
                restart=Restart(child.type, max_restarts=0),
                significant=child.significant,
            )


async def play(top: Supervisor, steps: list[tuple[str, int, float]]) -> None:
    """Do the same to a tree of groups and to the model, and compare after each step."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild())
    overseer = Overseer(clock=clock, launcher=launcher)
    declare(overseer, top)
    model = Tree(top)
    async with overseer:
        await overseer.start_all()
        for what, number, seconds in steps:
            await clock.advance(seconds)
            model.now += seconds
            alive = [worker for worker in top.workers() if worker.alive]
            if not alive or top.name in model.over:
                break
            worker = alive[number % len(alive)]
            events = overseer.events()
            model.done.clear()
            child = [one for one in launcher.children if one.spec.id == worker.name][-1]
            if what == "stop":
                await overseer.stop(worker.name)
                model.is_terminated(worker)
            else:
                exits = {"crash": Exit(code=1), "die": Exit(signal=9), "finish": Exit(code=0)}
                child.end(exits[what])
                model.terminates(worker, abnormally=what != "finish")
            for _ in range(20):
                await clock.settle()
            done: list[str] = []
            while (news := events.get_nowait()) is not None:
                if news.kind == "state" and news.state in (State.STOPPING, State.STARTING):
                    done.append(f"{'stop' if news.state is State.STOPPING else 'start'} {news.id}")
            assert model.done == done, (what, worker.name)
            running = [id for id in overseer if overseer[id].state is State.RUNNING]
            assert sorted(one.name for one in top.workers() if one.alive) == running
            assert all(overseer[id].state.is_final for id in overseer if id not in running)
            for name in model.over:
                event("a group has ended" if name == top.name else "an inner group has ended")
            event(f"{min(len(done), 4)} or more steps" if len(done) > 4 else f"{len(done)} steps")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_follows_the_documentation_of_otp(strategy: Any) -> None:
    """After any end, the model agrees on stopped, started and running members, and on their order."""

    @settings(max_examples=150, deadline=None)
    @given(trees(strategy), STEPS)
    def agree(top: Supervisor, steps: list[tuple[str, int, float]]) -> None:
        asyncio.run(play(top, steps))

    agree()
