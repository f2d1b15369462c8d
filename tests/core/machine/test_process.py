from __future__ import annotations

from collections.abc import Sequence
from signal import SIGCONT, SIGINT, SIGKILL, SIGTERM
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aioverseer.core.machine.actions import Launch, SendSignal, SignalOutside, SignalUnreached, Unstoppable
from aioverseer.core.machine.inputs import (
    Exited,
    Extend,
    InternalError,
    LaunchStopped,
    LeaderEnded,
    MainChanged,
    Ready,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFailed,
    StopRequested,
    TimerFired,
    Unhealthy,
)
from aioverseer.core.machine.process import ProcessMachine
from aioverseer.core.machine.table import Action, Arm, Disarm, IllegalInput, Input, Machine, Transition, rows
from aioverseer.core.options.containment import IN_BACKGROUND, Survivor
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, Step
from aioverseer.core.state import Exit, State, signal_name

LADDER = Stop(steps=[(SIGINT, 5), (SIGTERM, 3)])
ERROR = OSError("no such program")
BUG = ZeroDivisionError("oops")
LATE = TimeoutError("it was not ready in time")

INPUTS: dict[str, Input] = {
    "start": StartRequested(),
    "stop": StopRequested(),
    "kill": StopRequested(kill=True),
    "due": TimerFired(),
    "spawned": Spawned(pid=7),
    "failed": SpawnFailed(error=ERROR),
    "given_up": LaunchStopped(),
    "exited": Exited(exit=Exit(code=0)),
    "killed": Exited(exit=Exit(signal=SIGKILL)),
    "left": LeaderEnded(exit=Exit(code=0), left=(Survivor(pid=12, command="node"),)),
    "broken": InternalError(error=BUG),
    "ready": Ready(),
    "extend": Extend(seconds=60),
    "unhealthy": Unhealthy(error=LATE, why="it was not ready in time"),
    "another main": MainChanged(pid=9),
    "step failed": StepFailed(step=CloseStdin(5.0), why="it is closed", number=0),
}
WALKED = [INPUTS[name] for name in "start stop kill due spawned failed exited killed broken".split()]
"""Inputs of the random walk below: a run without probes."""

UP = "start spawned"
PLACES: dict[str, str] = {
    # a place is a state, and where in it: what leads there ("+" in front: with a delay of 4 seconds, "~": it has 30
    # seconds to become ready)
    "initial": "",
    "initial, with a delay": "+",
    "in its delay": "+ start",
    "launched": "start",
    "launched after its delay": "+ start due",
    "running": UP,
    "stopping before its spawn": "start stop",
    "stopping before its spawn, to be killed": "start kill",
    "stopping before its spawn, then to be killed": "start stop stop kill",
    "unstoppable before its spawn": "start stop due",
    "unstoppable before its spawn, to be killed": "start stop due kill",
    "first step": f"{UP} stop",
    "first step, stopped before its spawn": "start stop spawned",
    "second step": f"{UP} stop due",
    "last step": f"{UP} stop due due",
    "last step at once": f"{UP} kill",
    "last step cut short": f"{UP} stop kill",
    "last step, stopped before its spawn": "start stop kill spawned",
    "unstoppable": f"{UP} kill due",
    "last step again": f"{UP} kill due stop",
    "unstoppable again": f"{UP} kill due stop due",
    "interrupted in its delay": "+ start stop",
    "interrupted by a stop": f"{UP} stop exited",
    "interrupted by a signal": f"{UP} killed",
    "finished": f"{UP} exited",
    "fatal": "start failed",
    "launch given up": "start stop given_up",
    "fatal by a bug": f"{UP} kill due broken",
    "waiting to be ready": f"~ {UP}",
    "ready": f"~ {UP} ready",
    "stopped before it was ready": f"~ {UP} stop",
    "unhealthy": f"~ {UP} unhealthy",
    "unhealthy, then stopped": f"~ {UP} unhealthy stop",
    "unhealthy, unstoppable": f"{UP} unhealthy due due due",
    "ended before it was ready": f"~ {UP} exited",
    "fatal, as it was unhealthy": f"{UP} unhealthy exited",
    "left others": f"{UP} left",
    "left others before it was ready": f"~ {UP} left",
    "left others, stopped": f"{UP} left stop",
    "left others that are killed": f"{UP} left due",
    "stopped, left others": f"{UP} stop left",
    "stopped, left others, second step": f"{UP} stop left due",
    "stopped, left others that are killed": f"{UP} stop left due due",
    "unhealthy, left others": f"{UP} unhealthy left",
    "finished, had left others": f"{UP} left exited",
    "interrupted, had left others": f"{UP} stop left exited",
}

IDLE = {"start": "", "stop": "", "kill": ""}
LAUNCHED = {
    "start": "",
    "stop": "arm 10, -> stopping",
    "kill": "arm 2, -> stopping",
    "spawned": "reportspawned, -> running",
    "failed": "-> fatal",
    "broken": "disarm, -> fatal",
}
ENDS_UNSPAWNED = {
    "failed": "disarm, -> fatal",
    "given_up": "disarm, -> interrupted",
    "broken": "disarm, -> fatal",
}
UNSPAWNED = {**IDLE, "due": "unstoppable", **ENDS_UNSPAWNED}
NEVER_SPAWNED = {**IDLE, "stop": "arm 2", "kill": "arm 2", **ENDS_UNSPAWNED}
ON_THE_LADDER = {
    **IDLE,
    "exited": "disarm, -> interrupted",
    "killed": "disarm, -> interrupted",
    "broken": "disarm, -> fatal",
    "ready": "",
    "extend": "",
    "unhealthy": "",
    "step failed": "",
    "another main": "",
}
LEFT = {**ON_THE_LADDER, "kill": "SIGKILL, arm 2", "due": "SIGKILL, arm 2", "exited": "disarm, -> finished"}
LEFT_DYING = {**ON_THE_LADDER, "due": "", "exited": "disarm, -> finished"}
STOPPED_LEFT = {**ON_THE_LADDER, "kill": "SIGKILL, arm 2", "due": "SIGTERM, SIGCONT, arm 3"}
FIRST = {
    **ON_THE_LADDER,
    "kill": "SIGKILL, arm 2",
    "due": "SIGTERM, SIGCONT, arm 3",
    "left": "SIGINT missed, SIGCONT missed",
}
LAST = {**ON_THE_LADDER, "due": "unstoppable"}
FAILING = {"exited": "disarm, -> fatal", "killed": "disarm, -> fatal"}
STUCK = {**ON_THE_LADDER, "stop": "SIGKILL, arm 2", "kill": "SIGKILL, arm 2"}

RUNNING = {
    "another main": "",
    "left": "SIGINT, SIGCONT, arm 2, -> stopping",
    "start": "",
    "stop": "SIGINT, SIGCONT, arm 5, -> stopping",
    "kill": "SIGKILL, arm 2, -> stopping",
    "exited": "-> finished",
    "killed": "-> interrupted",
    "broken": "disarm, -> fatal",
    "extend": "",
    "unhealthy": "SIGINT, SIGCONT, arm 5, -> stopping",
}
WAITING = {
    **RUNNING,
    "exited": "disarm, -> finished",
    "killed": "disarm, -> interrupted",
    "due": "readytimedout",
    "extend": "arm 60",
    "ready": "disarm, -> running",
}

EXPECTED: dict[str, dict[str, str]] = {
    # place: input: what is to be done. An input that is not here raises and changes nothing.
    "initial": {**IDLE, "start": "launch, -> starting"},
    "initial, with a delay": {**IDLE, "start": "arm 4, -> starting"},
    "in its delay": {
        "start": "",
        "stop": "disarm, -> interrupted",
        "kill": "disarm, -> interrupted",
        "due": "launch",
    },
    "launched": LAUNCHED,
    "launched after its delay": LAUNCHED,
    "running": RUNNING,
    "stopping before its spawn": {**UNSPAWNED, "kill": "arm 2", "spawned": "SIGINT, SIGCONT, arm 5"},
    "unstoppable before its spawn": {**NEVER_SPAWNED, "spawned": "SIGINT, SIGCONT, arm 5"},
    "unstoppable before its spawn, to be killed": {**UNSPAWNED, "spawned": "SIGKILL, arm 2"},
    "stopping before its spawn, to be killed": {**UNSPAWNED, "spawned": "SIGKILL, arm 2"},
    "stopping before its spawn, then to be killed": {**UNSPAWNED, "spawned": "SIGKILL, arm 2"},
    "first step": FIRST,
    "first step, stopped before its spawn": FIRST,
    "second step": {**FIRST, "due": "SIGKILL, arm 2", "left": "SIGTERM missed, SIGCONT missed"},
    "last step": LAST,
    "last step at once": LAST,
    "last step cut short": LAST,
    "last step, stopped before its spawn": LAST,
    "unstoppable": STUCK,
    "last step again": LAST,
    "unstoppable again": STUCK,
    "interrupted in its delay": IDLE,
    "interrupted by a stop": IDLE,
    "interrupted by a signal": IDLE,
    "finished": IDLE,
    "fatal": IDLE,
    "launch given up": IDLE,
    "fatal by a bug": IDLE,
    "waiting to be ready": WAITING,
    "ready": RUNNING,
    "stopped before it was ready": FIRST,
    "unhealthy": {**FIRST, **FAILING},
    "unhealthy, then stopped": FIRST,
    "unhealthy, unstoppable": {**STUCK, **FAILING},
    "ended before it was ready": IDLE,
    "fatal, as it was unhealthy": IDLE,
    "left others": LEFT,
    "left others before it was ready": LEFT,
    "left others, stopped": LEFT,
    "left others that are killed": LEFT_DYING,
    "stopped, left others": STOPPED_LEFT,
    "stopped, left others, second step": {**STOPPED_LEFT, "due": "SIGKILL, arm 2"},
    "stopped, left others that are killed": {**ON_THE_LADDER, "due": ""},
    "unhealthy, left others": {**STOPPED_LEFT, **FAILING},
    "finished, had left others": IDLE,
    "interrupted, had left others": IDLE,
}


def words(actions: Sequence[Action]) -> str:
    """The actions as one line of the tables above."""
    said: list[str] = []
    for action in actions:
        match action:
            case SendSignal():
                said.append(signal_name(action.signal) + (" to the leader" if action.leader_only else ""))
            case SignalOutside():
                pass  # it has a test of its own
            case SignalUnreached():
                said.append(f"{signal_name(action.signal)} missed")
            case Arm():
                said.append(f"arm {action.seconds:g}")
            case Transition():
                said.append(f"-> {action.state}")
            case _:
                said.append(type(action).__name__.lower())
    return ", ".join(said)


def led(path: str, *, ladder: Stop = LADDER) -> ProcessMachine:
    """A run that was fed these inputs, one second after the other."""
    names = path.split()
    run = ProcessMachine(
        ladder=ladder, delay=4.0 if "+" in names else 0.0, awaits_ready="~" in names, ready_timeout=30.0
    )
    for now, name in enumerate(name for name in names if name not in "+~"):
        run.feed(INPUTS[name], float(now))
    return run


def last_words(path: str, *, ladder: Stop = LADDER) -> str:
    """Actions that the last of these inputs causes."""
    *before, name = path.split()
    return words(led(" ".join(before), ladder=ladder).feed(INPUTS[name], 100.0))


def snapshot(machine: Machine[Any]) -> dict[str, Any]:
    """All that a machine knows, as it is now."""
    ladder = vars(machine.ladder) if isinstance(machine, ProcessMachine) else {}
    known = {**vars(machine), **ladder}
    return {name: list(value) if isinstance(value, list) else value for name, value in known.items()}


# --- every state, every input


def test_the_places_cover_the_table() -> None:
    """Every state of a run, and every rule, has a place above from which it is tried."""
    assert set(PLACES) == set(EXPECTED)
    tried = {(led(PLACES[place]).state, type(INPUTS[name])) for place, inputs in EXPECTED.items() for name in inputs}
    assert set(ProcessMachine.table) == tried
    assert set(State) - {State.WAITING, State.BACKOFF, State.UNKNOWN} == {state for state, _ in tried}
    assert {given for _, given in ProcessMachine.table} == {type(given) for given in INPUTS.values()}


@pytest.mark.parametrize("place", PLACES)
def test_every_input_in_every_place(place: str) -> None:
    """It does what the table says, or raises and changes nothing."""
    actual: dict[str, str] = {}
    for name, given in INPUTS.items():
        run = led(PLACES[place])
        before = snapshot(run)
        try:
            actions = run.feed(given, 100.0)
        except IllegalInput:
            assert before == snapshot(run)
            continue
        actual[name] = words(actions)
        moved = run.state is not before["state"]
        reports = [Transition(previous=before["state"], state=run.state, reason=run.reason)] if moved else []
        assert reports == [action for action in actions if isinstance(action, Transition)]
        assert reports == actions[len(actions) - len(reports) :]  # the transition comes last
        assert (100.0, 100.0 if moved else before["since"]) == (run.now, run.since)
    assert EXPECTED[place] == actual


def test_an_illegal_input_is_loud() -> None:
    """It is a bug of ours, so the message says where."""
    with pytest.raises(IllegalInput, match="process: Spawned has no rule in state running"):
        led(UP).feed(Spawned(pid=8), 9.0)


def test_each_rule_says_what_it_does() -> None:
    """The docs are made of it: one row for each rule, one line each."""
    said = list(rows(ProcessMachine))
    assert list(ProcessMachine.table) == [(state, given) for state, given, _ in said]
    assert [] == [row for row in said if not row[2].endswith(".") or "\n" in row[2]]


# --- the attributes afterwards


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("initial", "it has not been started"),
        ("in its delay", "waits 4 s before its start"),
        ("launched", "is being started"),
        ("launched after its delay", "is being started after its delay"),
        ("running", "runs as pid 7"),
        ("stopping before its spawn", "a stop was asked for while it was being started"),
        ("first step", "a stop was asked for; SIGINT was sent"),
        ("first step, stopped before its spawn", "a stop was asked for; SIGINT was sent"),
        ("second step", "a stop was asked for; SIGTERM was sent"),
        ("last step", "a stop was asked for; SIGKILL was sent"),
        ("unstoppable", "pid 7 is still there 2 s after SIGKILL"),
        ("last step again", "a stop was asked for; SIGKILL was sent"),
        ("interrupted in its delay", "a stop was asked for before it was started"),
        ("interrupted by a stop", "a stop was asked for; exited with code 0"),
        ("interrupted by a signal", "was killed by SIGKILL"),
        ("finished", "exited with code 0"),
        ("fatal", "could not be started: no such program"),
        ("launch given up", "a stop was asked for before it was started"),
        ("fatal by a bug", "was killed because of a bug of aioverseer: ZeroDivisionError('oops')"),
        ("waiting to be ready", "runs as pid 7, and is not ready yet"),
        ("ready", "runs as pid 7, and is ready"),
        ("unhealthy", "it was not ready in time; SIGINT was sent"),
        ("unhealthy, then stopped", "it was not ready in time; SIGINT was sent"),
        ("ended before it was ready", "exited with code 0 before it was ready"),
        ("fatal, as it was unhealthy", "it was not ready in time; exited with code 0"),
        ("left others", "exited with code 0; left 1 process behind: pid 12 (node); SIGINT was sent"),
        (
            "left others before it was ready",
            "exited with code 0 before it was ready; left 1 process behind: pid 12 (node); SIGINT was sent",
        ),
        (
            "stopped, left others, second step",
            "a stop was asked for; exited with code 0; left 1 process behind: pid 12 (node); SIGTERM was sent",
        ),
        (
            "finished, had left others",
            f"exited with code 0; left 1 process behind: pid 12 (node), ended by SIGINT; {IN_BACKGROUND}",
        ),
        (
            "interrupted, had left others",
            "a stop was asked for; exited with code 0; left 1 process behind: pid 12 (node), ended by SIGINT",
        ),
    ],
)
def test_the_reason_says_why_it_is_there(place: str, reason: str) -> None:
    """One sentence, in every state."""
    assert reason == led(PLACES[place]).reason


@pytest.mark.parametrize(
    ("path", "pid", "exit", "error", "sent"),
    [
        ("start", None, None, None, []),
        (UP, 7, None, None, []),
        (f"{UP} exited", 7, Exit(code=0), None, []),
        (f"{UP} killed", 7, Exit(signal=SIGKILL), None, []),
        (f"{UP} stop exited", 7, Exit(code=0), None, [SIGINT]),
        (f"{UP} stop due due due stop killed", 7, Exit(signal=SIGKILL), None, [SIGINT, SIGTERM, SIGKILL, SIGKILL]),
        ("start stop kill spawned killed", 7, Exit(signal=SIGKILL), None, [SIGKILL]),
        ("start failed", None, None, ERROR, []),
        ("start stop failed", None, None, ERROR, []),
        (f"{UP} broken", 7, None, BUG, []),
        (f"{UP} unhealthy killed", 7, Exit(signal=SIGKILL), LATE, [SIGINT]),
        (f"{UP} unhealthy stop killed", 7, Exit(signal=SIGKILL), None, [SIGINT]),
        (f"{UP} kill due broken", 7, None, BUG, [SIGKILL]),
        (f"{UP} kill due killed", 7, Exit(signal=SIGKILL), None, [SIGKILL]),
    ],
)
def test_attributes_of_a_run(
    path: str, pid: int | None, exit: Exit | None, error: BaseException | None, sent: list[int]
) -> None:
    """Pid, exit, error and the steps that were taken; none of them invented (B43, B50)."""
    run = led(path)
    assert (pid, exit, error, sent, False) == (run.pid, run.exit, run.error, run.ladder.signals, run.unstoppable)


def test_the_exit_is_set_before_the_transition() -> None:
    """A watcher of a final state finds the exit (B44)."""
    run = led(UP)
    assert [Transition(previous=State.RUNNING, state=State.FINISHED, reason="exited with code 3")] == run.feed(
        Exited(exit=Exit(code=3)), 9.0
    )
    assert Exit(code=3) == run.exit


# --- the time to become ready


def test_the_ready_timeout_is_extended_and_never_shortened() -> None:
    """The extension counts from now, and only if it ends later than the current limit."""
    run = led(f"~ {UP}")
    assert 31.0 == run.due
    assert "" == words(run.feed(Extend(seconds=5), 20.0))
    assert 31.0 == run.due
    assert "arm 20" == words(run.feed(Extend(seconds=20), 20.0))
    assert 40.0 == run.due
    run.feed(Ready(), 39.0)
    assert run.due is None


def test_without_a_limit_it_may_take_its_time() -> None:
    """No timer is armed, and what it asks for changes nothing."""
    run = ProcessMachine(ladder=LADDER, delay=0.0, awaits_ready=True, ready_timeout=None)
    run.feed(StartRequested(), 0.0)
    assert "reportspawned" == words(run.feed(Spawned(pid=7), 1.0))
    assert "" == words(run.feed(Extend(seconds=5), 2.0))
    assert (State.STARTING, None) == (run.state, run.due)


# --- the ladder


@pytest.mark.parametrize(
    ("ladder", "path", "expected"),
    [
        (Stop(), f"{UP} stop", "SIGTERM, SIGCONT, arm 10, -> stopping"),
        (Stop(), f"{UP} stop due", "SIGKILL, arm 2"),
        (Stop(SIGKILL, 7), f"{UP} stop", "SIGKILL, arm 7, -> stopping"),
        (Stop(SIGKILL, 7), f"{UP} stop stop", ""),
        (Stop(SIGKILL, 7), f"{UP} stop kill", ""),
        (Stop(SIGKILL, 7), f"{UP} stop due", "unstoppable"),
        (Stop(SIGKILL, 7), "start stop kill", ""),
        (Stop(SIGKILL, 7), "start stop spawned", "SIGKILL, arm 7"),
        (Stop(scope="leader"), f"{UP} stop", "SIGTERM to the leader, SIGCONT to the leader, arm 10, -> stopping"),
        (Stop(scope="leader"), f"{UP} stop due", "SIGKILL, arm 2"),
        (Stop(scope="leader"), f"{UP} kill", "SIGKILL, arm 2, -> stopping"),
        (LADDER, f"{UP} stop kill kill", ""),
        (LADDER, f"{UP} stop kill stop", ""),
        (LADDER, f"{UP} kill due", "unstoppable"),
        (LADDER, f"{UP} kill due kill due", "unstoppable"),
        (LADDER, f"{UP} kill due stop stop", ""),
        (LADDER, f"{UP} kill due stop kill", ""),
    ],
)
def test_the_ladder_is_climbed_once(ladder: Stop, path: str, expected: str) -> None:
    """Each step has its time; a kill goes to the last step, which takes the whole tree (B05)."""
    assert expected == last_words(path, ladder=ladder)


def test_an_early_stop_is_not_lost() -> None:
    """Before the spawn there is no pid to signal, and after it the stop is obeyed (B01, B03)."""
    run = led("start stop")
    assert (State.STOPPING, None) == (run.state, run.pid)
    assert "SIGINT, SIGCONT, arm 5" == words(run.feed(Spawned(pid=7), 1.0))
    assert State.STOPPING is run.state


def test_a_stop_before_the_start_does_not_spoil_it() -> None:
    """It does nothing, so a later start and a later stop work (B09)."""
    assert "launch, -> starting" == last_words("stop start")
    assert "SIGINT, SIGCONT, arm 5, -> stopping" == last_words("stop start spawned stop")


# --- random walks


class Outside:
    """Model of the world, as the actions of a run change it: a launch, a child, a timer."""

    def __init__(self) -> None:
        self.launching = False
        self.child = False
        self.timer = False

    def legal(self, given: Input) -> bool:
        """Whether the world could send this now."""
        match given:
            case TimerFired():
                return self.timer
            case Spawned() | SpawnFailed():
                return self.launching
            case Exited():
                return self.child
            case InternalError():
                return self.launching or self.child
            case _:
                return True

    def sends(self, given: Input) -> None:
        """Something has happened out there."""
        match given:
            case TimerFired():
                self.timer = False
            case Spawned():
                self.launching, self.child = False, True
            case SpawnFailed() | InternalError():
                self.launching = self.child = False
            case Exited():
                self.child = False
            case _:
                pass

    def performs(self, action: Action) -> None:
        """Something is done out there."""
        match action:
            case Launch():
                assert not self.launching
                assert not self.child
                self.launching = True
            case SendSignal():
                assert self.child, "a signal for a program that is not there (B01)"
            case Arm():
                self.timer = True
            case Disarm():
                self.timer = False
            case _:
                pass


LADDERS = [LADDER, Stop(), Stop(SIGKILL, 1), Stop(steps=[(SIGCONT, 1), (SIGTERM, 0), (SIGINT, 1)], scope="leader")]


class Walk(RuleBasedStateMachine):
    """Anything that the world could send, in any order; and now and then what it could not."""

    @initialize(ladder=st.sampled_from(LADDERS), delay=st.sampled_from([0.0, 4.0]))
    def begin(self, ladder: Stop, delay: float) -> None:
        """A run that was not started."""
        self.run = ProcessMachine(ladder=ladder, delay=delay)
        self.ladder = ladder
        self.outside = Outside()
        self.now = 0.0
        self.launches = 0
        self.stopped = False  # a stop was asked for that has to be obeyed
        self.steps: list[Step] = []  # the steps that may still be taken
        self.states = [State.INITIAL]

    @precondition(lambda self: self.run.state.is_final)
    @rule(ladder=st.sampled_from(LADDERS), delay=st.sampled_from([0.0, 4.0]))
    def begin_again(self, ladder: Stop, delay: float) -> None:
        """Another run: one is never reused."""
        self.begin(ladder, delay)

    @rule(given=st.sampled_from(WALKED))
    def refuse(self, given: Input) -> None:
        """An input that cannot come now raises and changes nothing."""
        if not self.outside.legal(given):
            before = snapshot(self.run)
            with pytest.raises(IllegalInput):
                self.run.feed(given, self.now)
            assert before == snapshot(self.run)

    @rule(number=st.integers(0, 99))
    def feed_any(self, number: int) -> None:
        """Feed one of the inputs that can come."""
        legal = [given for given in WALKED if self.outside.legal(given)]
        self.feed(legal[number % len(legal)])

    def feed(self, given: Input) -> None:
        """Feed one input, and perform what comes of it."""
        self.now += 1.0
        before = snapshot(self.run)
        self.outside.sends(given)
        unstoppable = self.run.unstoppable
        actions = self.run.feed(given, self.now)
        for place, action in enumerate(actions):
            self.outside.performs(action)
            self.launches += isinstance(action, Launch)
            if isinstance(action, Transition):
                assert place == len(actions) - 1
                assert (before["state"], self.run.state, self.run.reason) == (
                    action.previous,
                    action.state,
                    action.reason,
                )
                self.states.append(action.state)
        assert self.states[-1] is self.run.state
        if isinstance(given, StopRequested) and before["state"].is_live:
            if not self.stopped or unstoppable:
                self.steps = [step for step in self.ladder.steps if isinstance(step, Step)]
            if given.kill or unstoppable:
                self.steps = self.steps[-1:]
            self.stopped = True
        self._check_steps(actions)

    def _check_steps(self, actions: Sequence[Action]) -> None:
        """Each step of the ladder is taken once, in order; SIGKILL is the last signal unless it was of no use."""
        signals = [action.signal for action in actions if isinstance(action, SendSignal)]
        if signals:
            step = self.steps.pop(0)
            assert signals == ([SIGKILL] if step.signal == SIGKILL else [step.signal, SIGCONT])
            assert Arm(seconds=step.timeout) in actions
        if any(isinstance(action, Unstoppable) for action in actions) and self.run.pid is not None:
            assert [] == self.steps
            assert SIGKILL == self.run.ladder.signals[-1]

    @precondition(lambda self: self.outside.child and self.stopped)
    @rule()
    def outlive_the_ladder(self) -> None:
        """A program that dies of nothing is reported, after each step has had its time."""
        while self.outside.timer:
            self.feed(TimerFired())
        assert self.run.unstoppable
        assert [] == self.steps

    @invariant()
    def a_program_is_there_exactly_in_the_live_states(self) -> None:
        """Launched, running or stopping; and launched once."""
        run, outside = self.run, self.outside
        there = outside.launching or outside.child
        in_delay = run.state is State.STARTING and self.launches == 0
        assert there == (run.state in (State.STARTING, State.RUNNING, State.STOPPING) and not in_delay)
        assert outside.child == (run.state in (State.RUNNING, State.STOPPING) and run.pid is not None)
        assert self.launches <= 1

    @invariant()
    def a_timer_is_armed_exactly_where_it_is_needed(self) -> None:
        """In the delay, and in a stop, its spawn included, until the program is unstoppable."""
        run = self.run
        in_delay = run.state is State.STARTING and self.launches == 0
        on_a_step = run.state is State.STOPPING and not run.unstoppable
        assert self.outside.timer == (in_delay or on_a_step)

    @invariant()
    def a_stop_is_obeyed(self) -> None:
        """Once it was asked for, nothing but STOPPING and a final state follows."""
        assert not self.stopped or self.run.state is State.STOPPING or self.run.state.is_final

    @invariant()
    def no_state_comes_twice(self) -> None:
        """The states of one run only go forward, and it ends once."""
        assert self.states == sorted(set(self.states))
        assert sum(state.is_final for state in self.states) <= 1
        assert not (self.run.unstoppable and self.run.state is not State.STOPPING)


def test_random_walks() -> None:
    """The invariants hold for any inputs in any order."""
    run_state_machine_as_test(Walk, settings=settings(max_examples=200, stateful_step_count=20, deadline=None))


@pytest.mark.parametrize(
    ("ladder", "path", "planned"),
    [
        (Stop(), "start spawned stop", [(SIGTERM, 0.1, 8.0)]),
        (Stop(timeout=3.0), "start stop spawned", [(SIGTERM, 0.1, 1.5)]),
        (Stop(timeout=0.1), "start spawned stop", [(SIGTERM, 0.05, 0.05)]),
        (Stop(steps=[(SIGINT, 5), (SIGTERM, 1)]), "start spawned stop due", [(SIGTERM, 0.1, 0.5)]),
        (Stop(), "start spawned stop due", []),
        (Stop(), "start spawned kill", []),
        (Stop(), "start spawned left", []),
        (Stop(scope="leader"), "start spawned stop", []),
    ],
)
def test_step_goes_outside_of_the_group_while_the_leader_lives(
    ladder: Stop, path: str, planned: list[tuple[int, float, float]]
) -> None:
    """Soon in its session, in other sessions two seconds before the end of the step, or after half of it."""
    *before, last = path.split()
    run = led(" ".join(before), ladder=ladder)
    actions = run.feed(INPUTS[last], run.now + 1)
    found = [(it.signal, it.soon, it.late) for it in actions if isinstance(it, SignalOutside)]
    assert planned == found
