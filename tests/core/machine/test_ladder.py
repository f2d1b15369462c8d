"""Steps of a ladder that are no signals: which action follows, and what their failure causes."""

from __future__ import annotations

from signal import SIGCONT, SIGINT, SIGKILL, SIGTERM

import pytest

from aioverseer.core.machine.actions import PerformStep, SendSignal, SignalOutside, SignalUnreached
from aioverseer.core.machine.inputs import (
    Exited,
    LeaderEnded,
    Spawned,
    StartRequested,
    StepFailed,
    StopRequested,
    TimerFired,
)
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Arm, IllegalInput, Input, Transition
from aioverseer.core.options.containment import Survivor
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, RunCommand
from aioverseer.core.state import Exit, State

CLOSE = CloseStdin(2.0)
QUIT = RunCommand(("db-cli", "shutdown"), 3.0)
LADDER = Stop(steps=[CLOSE, QUIT, (SIGINT, 5)])
LEFT = LeaderEnded(exit=Exit(code=0), left=(Survivor(pid=12, command="node"),))
STOP = StopRequested()


def stopped(*inputs: Input, ladder: Stop = LADDER) -> ProcessMachine:
    """Return a run that was started, and was then fed these inputs, one second after the other."""
    run = ProcessMachine(ladder=ladder, delay=0.0)
    for now, given in enumerate([StartRequested(), Spawned(pid=7), *inputs]):
        run.feed(given, float(now))
    return run


def failed(number: int | None, step: CloseStdin | RunCommand = CLOSE) -> StepFailed:
    return StepFailed(step=step, why="it is closed", number=number)


CONTINUE = SendSignal(signal=SIGCONT, leader_only=False)


def test_steps_are_performed_in_order_each_for_its_time() -> None:
    run = stopped()
    *actions, transition = run.feed(STOP, 2.0)
    assert [CONTINUE, PerformStep(number=0, step=CLOSE), Arm(seconds=2.0)] == actions
    assert isinstance(transition, Transition)
    assert "a stop was asked for; its standard input was closed" == run.reason
    assert ("pid 7 to end, or `db-cli shutdown` is run", 4.0) == run.ending
    assert [CONTINUE, PerformStep(number=1, step=QUIT), Arm(seconds=3.0)] == run.feed(TimerFired(), 4.0)
    assert "a stop was asked for; `db-cli shutdown` was run" == run.reason
    assert ("pid 7 to end, or is sent SIGINT", 7.0) == run.ending
    assert [SIGINT, SIGCONT] == [
        action.signal for action in run.feed(TimerFired(), 7.0) if isinstance(action, SendSignal)
    ]
    assert [SIGKILL] == [action.signal for action in run.feed(TimerFired(), 12.0) if isinstance(action, SendSignal)]
    assert [SIGINT, SIGKILL] == run.ladder.signals
    assert ["end of input", "`db-cli shutdown`", "SIGINT", "SIGKILL"] == [step.name for step in run.ladder.taken]


def test_only_signals_go_outside_of_the_group() -> None:
    run = stopped()
    assert not any(isinstance(action, SignalOutside) for action in run.feed(STOP, 2.0))
    run.feed(TimerFired(), 3.0)
    assert any(isinstance(action, SignalOutside) for action in run.feed(TimerFired(), 4.0))


def test_the_next_step_follows_a_failed_one_at_once() -> None:
    run = stopped(STOP)
    assert [CONTINUE, PerformStep(number=1, step=QUIT), Arm(seconds=3.0)] == run.feed(failed(0), 5.0)
    assert "a stop was asked for; end of input failed: it is closed; `db-cli shutdown` was run" == run.reason
    run.feed(failed(1, QUIT), 5.0)
    assert [SIGINT] == run.ladder.signals
    run.feed(Exited(exit=Exit(signal=SIGINT)), 6.0)
    assert run.reason == (
        "a stop was asked for; end of input failed: it is closed; `db-cli shutdown` failed: it is closed; "
        "was killed by SIGINT"
    )


@pytest.mark.parametrize("given", [failed(0), failed(None)])
def test_a_late_failure_is_recorded_and_takes_no_step(given: StepFailed) -> None:
    run = stopped(STOP, TimerFired())
    assert [] == run.feed(given, 9.0)
    assert (1, ["end of input failed: it is closed"]) == (run.ladder.index, run.ladder.failures)


def test_a_kill_skips_all_steps() -> None:
    run = stopped(STOP)
    assert [SendSignal(signal=SIGKILL, leader_only=False), Arm(seconds=2.0)] == run.feed(StopRequested(kill=True), 3.0)
    assert [] == run.feed(failed(0), 3.0)
    assert [SIGKILL] == run.ladder.signals


def test_a_failed_step_has_no_rule_in_a_running_program() -> None:
    with pytest.raises(IllegalInput):
        stopped().feed(failed(0), 3.0)


def test_leftovers_of_a_stopped_leader_get_the_signals_at_their_time() -> None:
    run = stopped(STOP)
    assert [] == run.feed(LEFT, 3.0)
    assert 0 == run.left_signal
    run.feed(TimerFired(), 4.0)
    run.feed(TimerFired(), 7.0)
    assert (SIGINT, [SIGINT]) == (run.left_signal, run.ladder.signals)


@pytest.mark.parametrize("scope", ["tree", "leader"])
def test_leftovers_get_sigterm_where_the_ladder_has_no_signal(scope: str) -> None:
    ladder = Stop(steps=[Stop.close_stdin(9)], scope=scope)  # type: ignore[arg-type]  # both are known
    run = stopped(STOP, ladder=ladder)
    actions = run.feed(LEFT, 3.0)
    assert SendSignal(signal=SIGTERM, leader_only=False) in actions
    assert Arm(seconds=2.0) in actions
    assert not any(isinstance(action, SignalUnreached) for action in actions)
    assert ["end of input", "SIGTERM"] == [step.name for step in run.ladder.taken]


def test_leftovers_of_a_leader_that_ends_by_itself_get_sigterm_first() -> None:
    run = stopped()
    assert SendSignal(signal=SIGTERM, leader_only=False) in run.feed(LEFT, 3.0)
    assert State.STOPPING is run.state
    run.feed(TimerFired(), 5.0)
    assert [SIGTERM, SIGKILL] == run.ladder.signals
