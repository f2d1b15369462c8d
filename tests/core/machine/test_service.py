from __future__ import annotations

import itertools
from collections.abc import Sequence
from signal import SIGKILL
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aioverseer.core.machine.actions import AskThrottle, SetTrigger, StartProcess, StopProcess
from aioverseer.core.machine.budget import Budget
from aioverseer.core.machine.inputs import (
    Admitted,
    DependenciesMet,
    DependencyFailed,
    Failed,
    HeldByGroup,
    ProcessEnded,
    ProcessEnding,
    Ready,
    ReleasedByGroup,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartDeferred,
    StartRequested,
    StoppedByGroup,
    StopRequested,
    SuccessorTakesOver,
    Throttled,
    TimerFired,
    Triggered,
)
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.table import Action, Arm, Disarm, IllegalInput, Input, Transition, rows
from aioverseer.core.options.backoff import Backoff
from aioverseer.core.options.restart import Restart
from aioverseer.core.state import Exit, State


class Middle:
    """Chance that is none: always the middle."""

    def random(self) -> float:
        """The middle of [0, 1)."""
        return 0.5

    def uniform(self, a: float, b: float, /) -> float:
        """The middle of two numbers."""
        return (a + b) / 2


POLICY = Restart(max_restarts=2, within=None, backoff=Backoff(min=1, max=8), reset_after=10)
ERROR = OSError("no such program")

INPUTS: dict[str, Input] = {
    "start": StartRequested(),
    "restart": RestartRequested(),
    "stop": StopRequested(),
    "kill": StopRequested(kill=True),
    "due": TimerFired(),
    "spawned": Spawned(pid=7),
    "failed": SpawnFailed(error=ERROR),
    "ready": Ready(),
    "done": ProcessEnded(exit=Exit(code=0)),
    "crashed": ProcessEnded(exit=Exit(code=1)),
    "killed": ProcessEnded(exit=Exit(signal=SIGKILL)),
    "never ran": ProcessEnded(exit=None),
    "broken": Failed(error=ERROR, live=True),
    "broken off": Failed(error=ERROR, live=False),
    "held": StartDeferred(why="waits for 'db' to be ready"),
    "released": DependenciesMet(),
    "barred": DependencyFailed(error=ERROR),
    "failing": ProcessEnding(why="it was not ready in time"),
    "group holds": HeldByGroup(why="restarts with group 'g' (one_for_all)", due=50.0),
    "group releases": ReleasedByGroup(),
    "group stops": StoppedByGroup(why="group 'g' gave up"),
    "throttled": Throttled(why="waits for its turn"),
    "admitted": Admitted(),
    "takes over": SuccessorTakesOver(ready_at=50.0),
    "takes over unready": SuccessorTakesOver(ready_at=None),
    "fires": Triggered(why="its time has come"),
    "fires to queue": Triggered(why="its time has come", overlap="queue"),
    "fires to replace": Triggered(why="its time has come", overlap="replace"),
}
_OF_OTHERS = (
    StartDeferred
    | DependenciesMet
    | DependencyFailed
    | ProcessEnding
    | HeldByGroup
    | ReleasedByGroup
    | StoppedByGroup
    | SuccessorTakesOver
)
WALKED = [given for given in INPUTS.values() if not isinstance(given, _OF_OTHERS | Triggered)]
"""Inputs of the random walk below: a service without dependencies and group, perhaps with a throttle."""
WALKED_WITH_TRIGGER = [given for given in INPUTS.values() if not isinstance(given, _OF_OTHERS)]

UP = "start, spawned, ready"
RUN = "start, fires, spawned, ready"
SPENT = f"{UP}, crashed, due, spawned, ready, crashed, due, spawned, ready"
PLACES: dict[str, str] = {
    # a place is a state, and where in it: what leads there. In front, "+" is a delay of 4 seconds, "%" a throttle,
    # "@" a schedule, "&" a socket that starts the service, "*" a run beside the current one, as its successor.
    "initial": "",
    "initial, with a delay": "+",
    "initial, stopped": "stop",
    "in its delay": "+, start",
    "starting": "start",
    "starting, spawned": "start, spawned",
    "starting, its budget spent": "start, failed, due, failed, due",
    "running": UP,
    "running, restarted": f"{UP}, crashed, due, spawned, ready",
    "running, its budget spent": SPENT,
    "backoff": f"{UP}, crashed",
    "backoff after a failed spawn": "start, failed",
    "second backoff": f"{UP}, crashed, due, failed",
    "stopping": f"{UP}, stop",
    "stopping in its delay": "+, start, stop",
    "stopping, to be killed": f"{UP}, kill",
    "stopping, then to be killed": f"{UP}, stop, kill",
    "stopping for a restart": f"{UP}, restart",
    "stopping for a restart, its budget spent": f"{SPENT}, restart",
    "stopping for a new start": f"{UP}, stop, start",
    "stopping for a new start, by a restart": f"{UP}, stop, restart",
    "stopping for a new start, its budget spent": f"{SPENT}, stop, start",
    "stopping for a new start, with a delay": "+, start, stop, start",
    "stopping, not to restart any more": f"{UP}, restart, stop",
    "stopping, because something raised": f"{UP}, broken",
    "stopping for a new start, although something raised": f"{UP}, broken, start",
    "interrupted by a stop": f"{UP}, stop, done",
    "interrupted in backoff": f"{UP}, crashed, stop",
    "finished": f"{UP}, done",
    "fatal": "start, stop, failed",
    "fatal, gave up": f"{SPENT}, crashed",
    "held": "held",
    "held, with a delay": "+, held",
    "held, then released": "held, released",
    "held, then stopped": "held, stop",
    "barred": "held, barred",
    "stopping with its group": f"{UP}, group holds",
    "stopping with its group, then for good": f"{UP}, group holds, stop",
    "stopping with its group, then waited for no more": f"{UP}, group holds, group releases",
    "stopping for a restart, then with its group": f"{UP}, restart, group holds",
    "stopping as its group ends": f"{UP}, group stops",
    "backoff with its group": f"{UP}, group holds, done",
    "stopping for a new start in its turn": f"{UP}, stop, held",
    "stopping for a new start in its turn, then at once": f"{UP}, stop, held, start",
    "held, after a stop": f"{UP}, stop, held, done",
    "backoff, then with its group": f"{UP}, crashed, group holds",
    "held, then in backoff with its group": "held, group holds",
    "interrupted by its group": f"{UP}, group stops, done",
    "deferred, then stopped by its group": "held, group stops",
    "backoff, with a throttle": f"%, {UP}, crashed",
    "asks the throttle": f"%, {UP}, crashed, due",
    "waits for the throttle": f"%, {UP}, crashed, due, throttled",
    "waits for the throttle, with its group": f"%, {UP}, group holds, done, group releases, throttled",
    "backoff with its group again": f"%, {UP}, crashed, due, throttled, group holds",
    "running, as the throttle let it": f"%, {UP}, crashed, due, throttled, admitted, spawned, ready",
    "stopping as it fails": f"{UP}, failing",
    "stopping as it fails, then to be killed": f"{UP}, failing, kill",
    "starting, with a successor": "*, start",
    "running, with a successor": f"*, {UP}",
    "running, its budget spent, with a successor": f"*, {SPENT}",
    "backoff, with a successor": f"*, {UP}, crashed",
    "backoff, as its successor takes over": f"*, {SPENT}, crashed",
    "running, as its successor has taken over": f"*, {UP}, crashed, takes over",
    "stopping for a restart, with a successor": f"*, {UP}, restart",
    "stopping in backoff, with a successor": f"*, {UP}, crashed, stop",
    "initial, with a schedule": "@",
    "waiting": "@, start",
    "waiting, after a run": f"@, {RUN}, done",
    "waiting, with a delay": "@+, start",
    "waiting, as it gave up": f"@, {RUN}, crashed, due, crashed, due, crashed",
    "waiting, a run is queued": f"@, {RUN}, fires to queue, done",
    "starting, with a schedule": "@, start, fires",
    "running, with a schedule": f"@, {RUN}",
    "running, with a schedule, started again": f"@, {RUN}, start",
    "running, with a queued run": f"@, {RUN}, fires to queue",
    "running, with a socket": f"&, {RUN}",
    "running, with a socket, its budget spent": f"&, {RUN}, crashed, due, crashed, due, spawned, ready",
    "running once, with a schedule": "@, fires, spawned, ready",
    "running once, then started": "@, fires, spawned, ready, start",
    "backoff, with a schedule": f"@, {RUN}, crashed",
    "stopping, with a schedule": f"@, {RUN}, stop",
    "stopping, to be replaced": f"@, {RUN}, fires to replace",
    "stopping, to run once": f"@, {RUN}, stop, fires",
    "stopping, to wait again": f"@, {RUN}, stop, start",
    "stopping as it fails, with a schedule": f"@, {RUN}, failing",
    "held, with a schedule": "@, held",
    "interrupted, with a schedule": "@, start, stop",
    "finished, with a schedule": "@, fires, spawned, ready, done",
    "fatal, with a schedule": "@, fires, failed, due, failed, due, failed",
}

GAVE_UP = "gave up: no such program, and its 2 restarts are spent"
BEGIN = "begin #{run}, -> starting"
RESTING = {
    "start": BEGIN,
    "restart": BEGIN,
    "stop": "",
    "kill": "",
    "held": "-> starting",
    **dict.fromkeys(["broken", "broken off", "group holds", "group stops"], ""),
}
LIVE = {
    "start": "",
    "restart": "end, -> stopping",
    "stop": "end, -> stopping",
    "kill": "end by kill, -> stopping",
    "broken": "end by kill, -> stopping",
    "broken off": "-> fatal",
    **dict.fromkeys(["group holds", "group stops"], "end, -> stopping"),
}
ENDS = {
    "failed": "arm {delay}, -> backoff",
    "done": "-> finished",
    "crashed": "arm {delay}, -> backoff",
    "killed": "arm {delay}, -> backoff",
    "never ran": "-> interrupted",
}
STARTING = {
    **LIVE,
    **ENDS,
    "spawned": "",
    "ready": "-> running",
    **dict.fromkeys(["held", "released", "barred"], ""),
    "failing": "-> stopping",
}
HELD = {
    "held": "",
    **dict.fromkeys(["start", "restart", "released"], "begin #1"),
    **dict.fromkeys(["stop", "kill"], "-> interrupted"),
    "barred": "-> fatal",
    "broken off": "-> fatal",
    "group holds": "-> backoff",
    "group stops": "-> interrupted",
}
RUNNING = {**LIVE, **ENDS, "failing": "-> stopping"}
BACKOFF = {
    "start": "disarm, begin #{run}, -> starting",
    "restart": "disarm, begin #{run}, -> starting",
    "due": "begin #{run}, -> starting",
    "stop": "disarm, -> interrupted",
    "kill": "disarm, -> interrupted",
    "broken": "disarm, -> fatal",
    "broken off": "disarm, -> fatal",
    "group holds": "disarm",
    "group releases": "disarm, begin #{run}, -> starting",
    "group stops": "disarm, -> interrupted",
}
WITH_THROTTLE = {**BACKOFF, "due": "askthrottle", "group releases": "disarm, askthrottle"}
ASKED = {**WITH_THROTTLE, "throttled": "reportthrottled", "admitted": BEGIN}
del ASKED["due"]
STOPPING = {
    "start": "",
    "restart": "",
    "stop": "end",
    "kill": "end by kill",
    "spawned": "",
    "ready": "",
    "failing": "",
    "failed": "-> fatal",
    "broken": "end by kill",
    "broken off": "-> fatal",
    **dict.fromkeys(["held", "group holds", "group releases", "group stops"], ""),
    **dict.fromkeys(["done", "crashed", "killed", "never ran"], "-> interrupted"),
}
TO_RESTART = {**STOPPING, **dict.fromkeys(["done", "crashed", "killed", "never ran"], BEGIN)}
TO_RESTART["failed"] = "arm {delay}, -> backoff"
WITH_GROUP = {**STOPPING, **dict.fromkeys(["done", "crashed", "killed", "never ran", "failed"], "-> backoff")}
ANEW = {**TO_RESTART, "failed": BEGIN}
IN_TURN = {**STOPPING, **dict.fromkeys(["done", "crashed", "killed", "never ran", "failed"], "-> starting")}


SUCCEEDED = {"takes over": "exchangeruns, -> running", "takes over unready": "exchangeruns, -> starting"}
SUCCEEDED_RUNNING = {
    **RUNNING,
    "done": "asksuccessor, -> backoff",
    "takes over": "exchangeruns",
    "takes over unready": "exchangeruns, -> starting",
}
SUCCEEDED_BACKOFF = {
    **BACKOFF,
    "takes over": "disarm, exchangeruns, -> running",
    "takes over unready": "disarm, exchangeruns, -> starting",
    **dict.fromkeys(["stop", "group stops"], "disarm, end, -> stopping"),
    **dict.fromkeys(["kill", "broken", "broken off"], "disarm, end by kill, -> stopping"),
}

FIRES = ("fires", "fires to queue", "fires to replace")
ONCE = "begin #{run}, -> starting"
WITH_SCHEDULE = {
    **RESTING,
    **dict.fromkeys(["start", "restart"], "watch, -> waiting"),
    **dict.fromkeys(FIRES, ONCE),
}
WAITING = {
    **dict.fromkeys(["start", "restart", "held", "group holds"], ""),
    **dict.fromkeys(["stop", "kill", "group stops"], "disarmed, -> interrupted"),
    **dict.fromkeys(["broken", "broken off"], "disarmed, -> fatal"),
    **dict.fromkeys(FIRES, "begin #{run}, armed, -> starting"),
    "due": "begin #{run}, armed, -> starting",
}
OVERLAP = {"fires": "reportoverlap", "fires to queue": "reportoverlap", "fires to replace": "end, -> stopping"}
ARMED_LIVE = {
    **LIVE,
    "stop": "end, disarmed, -> stopping",
    "kill": "end by kill, disarmed, -> stopping",
    "broken": "end by kill, disarmed, -> stopping",
    "broken off": "disarmed, -> fatal",
    "group stops": "end, disarmed, -> stopping",
    **OVERLAP,
}
ARMED_ENDS = {
    **dict.fromkeys(["failed", "crashed", "killed"], "arm {delay}, -> backoff"),
    "done": "watch, -> waiting",
    "never ran": "disarmed, -> interrupted",
}
ARMED_RUNNING = {**ARMED_LIVE, **ARMED_ENDS, "failing": "-> stopping"}
UNARMED_RUNNING = {**LIVE, **ENDS, "failing": "-> stopping", **OVERLAP, "start": "armed"}
ARMED_BACKOFF = {
    **BACKOFF,
    **dict.fromkeys(["stop", "kill", "group stops"], "disarm, disarmed, -> interrupted"),
    **dict.fromkeys(["broken", "broken off"], "disarm, disarmed, -> fatal"),
    **dict.fromkeys(["fires", "fires to queue"], "reportoverlap"),
    "fires to replace": "disarm, begin #{run}, -> starting",
}
ARMED_STOPPING = {
    **STOPPING,
    **dict.fromkeys(["stop", "broken off", "group stops"], "disarmed"),
    "stop": "end, disarmed",
    "kill": "end by kill, disarmed",
    "broken": "end by kill, disarmed",
    "broken off": "disarmed, -> fatal",
    **dict.fromkeys(["fires", "fires to queue"], "reportoverlap"),
    "fires to replace": "",
}


def queued(table: dict[str, str]) -> dict[str, str]:
    """A table in which a queued run follows each wait at once."""
    return {name: said.replace("watch, ->", "arm 0, watch, ->") for name, said in table.items()}


def filled(table: dict[str, str], *, run: int = 0, delay: int = 1) -> dict[str, str]:
    """A table with the number of the next run and the seconds of the next backoff."""
    return {name: said.format(run=run, delay=delay) for name, said in table.items()}


def spent(table: dict[str, str]) -> dict[str, str]:
    """A table in which every backoff is a giving up."""
    return {name: "-> fatal" if "backoff" in said else said for name, said in table.items()}


def late(table: dict[str, str]) -> dict[str, str]:
    """A table in which the first start has its delay."""
    return {name: said.replace("begin #{run}", "begin #{run} in 4 s") for name, said in table.items()}


EXPECTED: dict[str, dict[str, str]] = {
    # place: input: what is to be done. An input that is not here raises and changes nothing.
    "initial": filled(RESTING, run=1),
    "initial, with a delay": filled(late(RESTING), run=1),
    "initial, stopped": filled(RESTING, run=1),
    "in its delay": filled(STARTING),
    "starting": filled(STARTING),
    "starting, spawned": filled(STARTING),
    "starting, its budget spent": spent(STARTING),
    "running": filled(RUNNING),
    "running, restarted": filled(RUNNING, delay=2),
    "running, its budget spent": spent(RUNNING),
    "backoff": filled(BACKOFF, run=2),
    "backoff after a failed spawn": filled(BACKOFF, run=2),
    "second backoff": filled(BACKOFF, run=3),
    "stopping": STOPPING,
    "stopping in its delay": STOPPING,
    "stopping, to be killed": {**STOPPING, "stop": "end by kill"},
    "stopping, then to be killed": {**STOPPING, "stop": "end by kill"},
    "stopping for a restart": filled(TO_RESTART, run=2),
    "stopping for a restart, its budget spent": filled(spent(TO_RESTART), run=4),
    "stopping for a new start": filled(ANEW, run=2),
    "stopping for a new start, by a restart": filled(ANEW, run=2),
    "stopping for a new start, its budget spent": filled(ANEW, run=4),
    "stopping for a new start, with a delay": filled(late(ANEW), run=2),
    "stopping for a new start in its turn": IN_TURN,
    "stopping for a new start in its turn, then at once": filled(ANEW, run=2),
    "held, after a stop": {name: said.replace("#1", "#2") for name, said in HELD.items()},
    "stopping, not to restart any more": STOPPING,
    "stopping, because something raised": {
        **STOPPING,
        "stop": "end by kill",
        **dict.fromkeys(["done", "crashed", "killed", "never ran"], "-> fatal"),
    },
    "stopping for a new start, although something raised": filled({**ANEW, "stop": "end by kill"}, run=2),
    "interrupted by a stop": filled(RESTING, run=2),
    "interrupted in backoff": filled(RESTING, run=2),
    "finished": filled(RESTING, run=2),
    "fatal": filled(RESTING, run=2),
    "fatal, gave up": filled(RESTING, run=4),
    "held": HELD,
    "held, with a delay": {name: said.replace("#1", "#1 in 4 s") for name, said in HELD.items()},
    "held, then released": filled(STARTING),
    "held, then stopped": filled(RESTING, run=1),
    "barred": filled(RESTING, run=1),
    "stopping with its group": WITH_GROUP,
    "stopping with its group, then for good": STOPPING,
    "stopping with its group, then waited for no more": filled(TO_RESTART, run=2),
    "stopping for a restart, then with its group": WITH_GROUP,
    "stopping as its group ends": STOPPING,
    "backoff with its group": filled(BACKOFF, run=2),
    "backoff, then with its group": filled(BACKOFF, run=2),
    # It has not begun: it waits for the others again, as before.
    "held, then in backoff with its group": {**filled(BACKOFF, run=1), "group releases": "disarm, -> starting"},
    "interrupted by its group": filled(RESTING, run=2),
    "deferred, then stopped by its group": filled(RESTING, run=1),
    "backoff, with a throttle": filled(WITH_THROTTLE, run=2),
    "asks the throttle": filled(ASKED, run=2),
    "waits for the throttle": filled(ASKED, run=2),
    "waits for the throttle, with its group": filled(ASKED, run=2),
    "backoff with its group again": filled(WITH_THROTTLE, run=2),
    "running, as the throttle let it": filled(RUNNING),
    "stopping as it fails": filled(TO_RESTART, run=2),
    "stopping as it fails, then to be killed": {**STOPPING, "stop": "end by kill"},
    "starting, with a successor": filled(
        {
            **STARTING,
            **SUCCEEDED,
            "takes over unready": "exchangeruns",
            "done": "asksuccessor, -> backoff",
        }
    ),
    "running, with a successor": filled(SUCCEEDED_RUNNING),
    "running, its budget spent, with a successor": {
        name: "asksuccessor, -> backoff" if "backoff" in said else said for name, said in SUCCEEDED_RUNNING.items()
    },
    "backoff, with a successor": filled(SUCCEEDED_BACKOFF, run=2),
    "backoff, as its successor takes over": filled(SUCCEEDED_BACKOFF, run=4),
    "running, as its successor has taken over": filled(SUCCEEDED_RUNNING),
    "stopping for a restart, with a successor": filled({**TO_RESTART, **SUCCEEDED}, run=2),
    "stopping in backoff, with a successor": STOPPING,
    "initial, with a schedule": filled(WITH_SCHEDULE, run=1),
    "waiting": filled(WAITING, run=1),
    "waiting, after a run": filled(WAITING, run=2),
    "waiting, with a delay": filled(late(WAITING), run=1),
    "waiting, as it gave up": filled(WAITING, run=4),
    "waiting, a run is queued": filled(WAITING, run=2),
    "starting, with a schedule": filled(
        {**STARTING, **ARMED_LIVE, **ARMED_ENDS, "ready": "-> running", "failing": "-> stopping"}
    ),
    "running, with a schedule": filled(ARMED_RUNNING),
    "running, with a schedule, started again": filled(ARMED_RUNNING),
    "running, with a queued run": filled(queued(ARMED_RUNNING)),
    "running, with a socket": filled(ARMED_RUNNING),
    "running, with a socket, its budget spent": {
        name: "disarmed, -> fatal" if "backoff" in said else said for name, said in ARMED_RUNNING.items()
    },
    "running once, with a schedule": filled(UNARMED_RUNNING),
    "running once, then started": filled(ARMED_RUNNING),
    "backoff, with a schedule": filled(ARMED_BACKOFF, run=2),
    "stopping, with a schedule": {
        **STOPPING,
        **dict.fromkeys(["start", "restart"], "armed"),
        **dict.fromkeys(FIRES, ""),
    },
    "stopping, to be replaced": filled(
        {
            **ARMED_STOPPING,
            **dict.fromkeys(["done", "crashed", "killed", "never ran", "failed"], BEGIN),
        },
        run=2,
    ),
    "stopping, to run once": filled(
        {
            **STOPPING,
            **dict.fromkeys(["fires", "fires to queue"], "reportoverlap"),
            "fires to replace": "",
            **dict.fromkeys(["done", "crashed", "killed", "never ran", "failed"], BEGIN),
        },
        run=2,
    ),
    "stopping, to wait again": {
        **ARMED_STOPPING,
        **dict.fromkeys(["done", "crashed", "killed", "never ran", "failed"], "watch, -> waiting"),
    },
    "stopping as it fails, with a schedule": filled(
        {
            **ARMED_STOPPING,
            **dict.fromkeys(["done", "crashed", "killed", "never ran"], BEGIN),
            "failed": "arm 1, -> backoff",
        },
        run=2,
    ),
    "held, with a schedule": {
        **HELD,
        **dict.fromkeys(["start", "restart", "released"], "watch, -> waiting"),
        **dict.fromkeys(FIRES, "begin #1"),
    },
    "interrupted, with a schedule": filled(WITH_SCHEDULE, run=1),
    "finished, with a schedule": filled(WITH_SCHEDULE, run=2),
    "fatal, with a schedule": filled(WITH_SCHEDULE, run=4),
}


def words(actions: Sequence[Action]) -> str:
    """The actions as one line of the tables above."""
    said: list[str] = []
    for action in actions:
        match action:
            case StartProcess():
                said.append(f"begin #{action.number}" + (f" in {action.delay:g} s" if action.delay else ""))
            case StopProcess():
                said.append("end by kill" if action.kill else "end")
            case Arm():
                said.append(f"arm {action.seconds:g}")
            case Transition():
                said.append(f"-> {action.state}")
            case SetTrigger():
                said.append("watch" if action.waiting else "armed" if action.armed else "disarmed")
            case _:
                said.append(type(action).__name__.lower())
    return ", ".join(said)


def feed(machine: ServiceMachine, path: str, *, at: float | None = None) -> list[str]:
    """Feed inputs by name, one second after the other or all at one time; what is to be done after each."""
    said: list[str] = []
    for name in path.split(", ") if path else []:
        machine_now = machine.now + 1.0 if at is None else at
        said.append(words(machine.feed(INPUTS[name], machine_now)))
    return said


class Occasions:
    """A trigger that fires when the test says so."""

    awaited = "its time"

    def __init__(self, *, outlives_give_up: bool = True) -> None:
        self.outlives_give_up = outlives_give_up


def led(path: str, policy: Restart = POLICY) -> ServiceMachine:
    """A machine that was fed these inputs; see ``PLACES`` for the signs in front."""
    signs = path[: len(path) - len(path.lstrip("+%@&*"))]
    machine = ServiceMachine(policy=policy, rng=Middle(), delay=4.0 if "+" in signs else 0.0)
    machine.has_throttle = "%" in signs
    machine.has_successor = machine.has_side_runs = "*" in signs
    if "@" in signs or "&" in signs:
        machine.trigger = Occasions(outlives_give_up="@" in signs)
    feed(machine, path.removeprefix(signs).removeprefix(", "))
    return machine


def snapshot(machine: ServiceMachine) -> dict[str, Any]:
    """All that a supervision knows, its budget included, as it is now."""
    known = dict(vars(machine))
    budget = known.pop("_budget")
    assert isinstance(budget, Budget)
    return known | {
        "budget": (id(budget), budget._attempt, budget._previous, tuple(budget._times)),
    }


# --- every state, every input


def test_the_places_cover_the_table() -> None:
    """Every state of a service, and every rule, has a place above from which it is tried."""
    assert set(PLACES) == set(EXPECTED)
    tried = {(led(PLACES[place]).state, type(INPUTS[name])) for place, inputs in EXPECTED.items() for name in inputs}
    assert set(ServiceMachine.table) == tried
    assert set(State) - {State.UNKNOWN} == {state for state, _ in tried}
    assert {given for _, given in ServiceMachine.table} == {type(given) for given in INPUTS.values()}


@pytest.mark.parametrize("end", ["released", "start", "restart", "stop", "kill", "barred", "broken off"])
def test_only_waiting_services_are_deferred(end: str) -> None:
    """However the waiting ended: else it would be decided upon again, in a state that has no rule for that."""
    assert led("held").deferred
    assert not led(f"held, {end}").deferred


@pytest.mark.parametrize("place", PLACES)
def test_every_input_in_every_place(place: str) -> None:
    """It does what the table says, or raises and changes nothing."""
    actual: dict[str, str] = {}
    for name, given in INPUTS.items():
        machine = led(PLACES[place])
        before = snapshot(machine)
        try:
            actions = machine.feed(given, 100.0)
        except IllegalInput:
            assert before == snapshot(machine)
            continue
        actual[name] = words(actions)
        moved = machine.state is not before["state"]
        reports = [Transition(previous=before["state"], state=machine.state, reason=machine.reason)] if moved else []
        assert reports == [action for action in actions if isinstance(action, Transition)]
        assert reports == actions[len(actions) - len(reports) :]  # the transition comes last
        assert (100.0, 100.0 if moved else before["since"]) == (machine.now, machine.since)
    # All inputs come at 100 s, so a run that was ready has been so for long: its next backoff is the first.
    expected = {name: said.replace("arm 2", "arm 1") for name, said in EXPECTED[place].items()}
    assert expected == actual


def test_each_rule_says_what_it_does() -> None:
    """The docs are made of it: one row for each rule, one line each."""
    said = list(rows(ServiceMachine))
    assert list(ServiceMachine.table) == [(state, given) for state, given, _ in said]
    assert [] == [row for row in said if not row[2].endswith(".") or "\n" in row[2]]


# --- stops


@pytest.mark.parametrize("place", [place for place in PLACES if led(PLACES[place]).state.is_live])
def test_no_run_follows_a_stop(place: str) -> None:
    """Wherever it is when the stop comes, in its delay and in backoff too, however it ends then (B02, B04)."""
    for wish, end in itertools.product(["stop", "kill"], ["crashed", "killed", "failed", "never ran"]):
        machine = led(PLACES[place])
        said = feed(machine, wish)
        if machine.state is State.STOPPING:
            assert "end" in said[0]
            said += feed(machine, f"spawned, stop, {end}, stop, kill")
        assert machine.state in (State.INTERRUPT, State.FATAL)
        assert (False, None) == (machine.wanted, machine.due)
        assert "begin" not in ", ".join(said)


def test_a_stop_in_backoff_needs_no_late_timer() -> None:
    """It is over at once, and the timer is disarmed (B04)."""
    machine = led("start, failed")
    assert ["disarm, -> interrupted"] == feed(machine, "stop")
    assert "a stop was asked for while it waited to restart" == machine.reason
    with pytest.raises(IllegalInput):
        feed(machine, "due")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{UP}, stop, stop", "end"),  # a Process that is unstoppable takes it as one more SIGKILL
        (f"{UP}, stop, kill, kill", "end by kill"),
        (f"{UP}, kill, stop", "end by kill"),
        (f"{UP}, restart, stop", "end"),
        (f"{UP}, restart, kill", "end by kill"),
        (f"{UP}, kill, start, stop", "end by kill"),
        (f"{UP}, kill, start, done, stop", "end, -> stopping"),
        (f"{UP}, kill, start, done, spawned, ready, restart", "end, -> stopping"),
    ],
)
def test_a_kill_lasts_as_long_as_the_run(path: str, expected: str) -> None:
    """A kill lasts until the end of the run, and the next run starts afresh."""
    *before, name = path.split(", ")
    assert [expected] == feed(led(", ".join(before)), name)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "it has not been started"),
        ("start", "is being started"),
        ("+, start", "waits 4 s before its start"),
        (UP, "is ready"),
        (f"{UP}, crashed", "exited with code 1; restarts in 1 s (1 of 2 restarts left)"),
        (f"{UP}, crashed, due", "is being restarted after its backoff"),
        (f"{UP}, crashed, start", "is being restarted on request, before its backoff was over"),
        (f"{UP}, stop", "a stop was asked for"),
        (f"{UP}, restart", "a restart was asked for"),
        (f"{UP}, restart, done", "is being restarted on request"),
        (f"{UP}, stop, start, done", "is being started"),
        (f"{UP}, stop, killed", "a stop was asked for; was killed by SIGKILL"),
        (f"{UP}, restart, stop, killed", "a stop was asked for; was killed by SIGKILL"),
        ("+, start, stop, never ran", "a stop was asked for"),
        ("start, never ran", "was stopped before it was started"),
        (f"{UP}, done", "exited with code 0"),
        ("start, stop, failed", "no such program"),
        ("held", "waits for 'db' to be ready"),
        ("held, stop", "a stop was asked for before it was started"),
        ("held, barred", "no such program"),
        ("held, released", "is being started"),
        (f"%, {UP}, crashed, due, throttled", "waits for its turn"),
        (f"%, {UP}, crashed, due, throttled, admitted", "is being restarted after its backoff"),
        (f"%, {UP}, group holds, done, group releases, throttled, admitted", "is being restarted with its group"),
        (f"{UP}, failing", "it was not ready in time"),
        (f"{UP}, group holds, killed", "restarts with group 'g' (one_for_all)"),
        (f"{UP}, group holds, killed, group releases", "is being restarted with its group"),
        (f"{UP}, group stops, killed", "group 'g' gave up; was killed by SIGKILL"),
        (f"{SPENT}, killed", "gave up: was killed by SIGKILL, and its 2 restarts are spent"),
        ("@, start", "waits for its time"),
        ("@, start, fires", "is being started: its time has come"),
        (f"@, {RUN}, done", "exited with code 0; waits for its time"),
        ("@, start, fires, failed, due, failed, due, failed", f"{GAVE_UP}; waits for its time"),
        ("&, start, fires, failed, due, failed, due, failed", GAVE_UP),
        (f"@, {RUN}, fires to replace", "its time has come, and the run before it is replaced"),
        ("@, start, stop", "a stop was asked for while it waited"),
        ("@, start, group stops", "group 'g' gave up"),
    ],
)
def test_the_reason_says_why_it_is_there(path: str, reason: str) -> None:
    """One sentence, in every state."""
    assert reason == led(path).reason


def test_the_reason_for_giving_up_has_the_window() -> None:
    """Where there is one."""
    machine = led("start, failed", Restart(max_restarts=0, within=60))
    assert "gave up: no such program, and its 0 restarts within 60 s are spent" == machine.reason
    machine = led("start, failed", Restart(max_restarts=None, backoff=Backoff(min=0.25)))
    assert "no such program; restarts in 0.25 s" == machine.reason


# --- restarts


@pytest.mark.parametrize(
    ("when", "end", "state"),
    [
        ("on-failure", "crashed", State.BACKOFF),  # a code other than 0 is a failure (B15)
        ("on-failure", "killed", State.BACKOFF),
        ("on-failure", "failed", State.BACKOFF),
        ("on-failure", "done", State.FINISHED),
        ("always", "done", State.BACKOFF),
        ("on-abnormal", "crashed", State.FINISHED),
        ("on-abnormal", "failed", State.BACKOFF),
        ("never", "crashed", State.FINISHED),
        ("never", "killed", State.INTERRUPT),
        ("never", "failed", State.FATAL),
    ],
)
def test_the_policy_judges_each_end(when: Any, end: str, state: State) -> None:
    """Before it was ready as after; where it ends for good, the state says how (B15, B22)."""
    for path in ("start", "start, spawned", UP):
        machine = led(path, Restart(when))
        feed(machine, end)
        assert state is machine.state
        assert (state is State.BACKOFF, False) == (machine.wanted, machine.gave_up)
        assert (ERROR if end == "failed" else None) is machine.error


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("end", ["crashed", "killed", "failed"])
def test_so_many_restarts_are_one_run_more(most: int, end: str) -> None:
    """Zero is none and does not run over, one is two runs (B16, B17)."""
    machine = led("start", Restart(max_restarts=most, backoff=Backoff(min=1)))
    states = [machine.state]
    while machine.state is not State.FATAL:
        assert machine.runs <= most + 1
        feed(machine, "due" if machine.state is State.BACKOFF else end)
        states.append(machine.state)
    assert [State.STARTING, State.BACKOFF] * most + [State.STARTING, State.FATAL] == states
    assert (most + 1, most, True, False) == (machine.runs, machine.restarts, machine.gave_up, machine.wanted)


def test_a_crash_loop_has_no_final_state_before_its_end() -> None:
    """RUNNING, BACKOFF, STARTING, and so on; each backoff longer than the one before."""
    machine = led("", Restart(max_restarts=3, backoff=Backoff(min=1, max=3)))
    said: list[str] = []
    while not machine.state.is_final:
        said += feed(machine, f"{'due' if machine.due else 'start'}, spawned, ready, crashed")
    lives = [
        [f"begin #{run}, -> starting", "", "-> running", end]
        for run, end in enumerate(["arm 1, -> backoff", "arm 2, -> backoff", "arm 3, -> backoff", "-> fatal"], 1)
    ]
    assert [word for life in lives for word in life] == said


def test_rng_is_passed_in() -> None:
    """The jitter is the middle of 1 and 4."""
    policy = Restart(backoff=Backoff(min=1, max=8, jitter=True))
    assert 2.5 == led(f"{UP}, crashed, due, crashed, due, crashed", policy)._budget._previous


def test_rng_of_the_backoff_precedes_that_of_the_overseer() -> None:
    """The jitter is the end of 1 to 4, not the middle."""

    class Longest(Middle):
        def uniform(self, a: float, b: float, /) -> float:
            return b

    policy = Restart(backoff=Backoff(min=1, max=8, jitter=True, rng=Longest()))
    assert 4 == led(f"{UP}, crashed, due, crashed, due, crashed", policy)._budget._previous


def test_the_moment_of_the_restart_is_known() -> None:
    """In BACKOFF and only there."""
    machine = led(UP)
    machine.feed(INPUTS["crashed"], 50.0)
    assert (51.0, 1, None) == (machine.due, machine.left(50.0), machine.refills_in(50.0))
    feed(machine, "due")
    assert machine.due is None


@pytest.mark.parametrize(
    "again",
    ["stop, killed, start", "stop, start, killed", "stop, restart, killed", "stop, start, failed", "crashed, restart"],
)
def test_each_new_start_has_a_fresh_budget(again: str) -> None:
    """Whether it waited for the end of the stop or not; nothing leaks into it (B18, B20)."""
    machine = led(f"{SPENT}, {again}")
    assert (State.STARTING, True, False, 0) == (machine.state, machine.wanted, machine.gave_up, machine.restarts)
    assert 2 == machine.left(machine.now)
    assert ["arm 1, -> backoff"] == feed(machine, "crashed")


@pytest.mark.parametrize("again", ["stop, killed, start", "stop, start, killed", "stop, killed, restart"])
def test_a_new_start_has_its_delay_a_restart_has_none(again: str) -> None:
    """The delay is for the first start only (B21)."""
    machine = led("+")
    assert ["begin #1 in 4 s, -> starting"] == feed(machine, "start")
    assert "begin #2, -> starting" == feed(machine, "spawned, ready, restart, killed")[-1]
    assert "begin #3, -> starting" == feed(machine, "crashed, due")[-1]
    assert "begin #4 in 4 s, -> starting" in feed(machine, again)


@pytest.mark.parametrize(
    ("again", "expected"),
    [("start", "begin #2, -> starting"), ("restart", "begin #2, -> starting"), ("held", "-> starting")],
)
def test_start_while_leftovers_end_is_a_new_run(again: str, expected: str) -> None:
    """The leader has ended by itself, so no program does the work any more. The policy would not start another one."""
    machine = led(UP, Restart("never"))
    assert "-> stopping" == words(machine.feed(ProcessEnding(why="exited with code 0", ended=True), 10.0))
    assert [expected] == feed(machine, f"{again}, done")[1:]
    assert ("held" == again) is machine.deferred


def test_a_restart_by_wish_costs_no_budget() -> None:
    """It is counted as a restart of the service, not as one of the policy."""
    machine = led(UP)
    for number in range(1, 9):
        feed(machine, "restart, killed, spawned, ready")
        assert (number, number + 1, 2) == (machine.restarts, machine.runs, machine.left(machine.now))
    feed(machine, "crashed, start")
    assert (9, 1) == (machine.restarts, machine.left(machine.now))


@pytest.mark.parametrize(("ready_for", "expected"), [(9.5, "arm 2, -> backoff"), (10.0, "arm 1, -> backoff")])
@pytest.mark.parametrize(
    "end",
    [
        "crashed",
        "restart, killed, crashed",
        "restart, killed, restart, killed, crashed",
        "restart, killed, spawned, ready, restart, killed, crashed",
    ],
)
def test_a_steady_run_makes_the_next_backoff_the_first(end: str, ready_for: float, expected: str) -> None:
    """After ``reset_after`` seconds of ready time, whatever ended that run (B18)."""
    machine = led("start, failed, due, spawned", Restart(backoff=Backoff(min=1, max=8), reset_after=10))
    machine.feed(Ready(), 100.0)
    assert expected == feed(machine, end, at=100.0 + ready_for)[-1]
    longer = expected.replace("2", "4").replace("1", "2")
    assert longer == feed(machine, "due, crashed", at=100.0 + ready_for)[-1]


def test_time_before_it_was_ready_is_not_steady() -> None:
    """A run that starts for an hour and dies has not been ready at all."""
    for path in ("start, failed, due, spawned", f"{UP}, crashed, due, spawned"):
        assert ["arm 2, -> backoff"] == feed(led(path), "crashed", at=3600.0)


@pytest.mark.parametrize(
    ("path", "restarts"),
    [
        ("start", 0),
        ("start, failed", 0),
        ("start, failed, due", 1),
        ("start, failed, restart", 1),
        (f"{UP}, restart", 0),
        (f"{UP}, restart, killed", 1),
        (f"{UP}, crashed, due, stop, killed", 1),
        (f"{UP}, crashed, due, stop, killed, start", 0),
        (f"{UP}, crashed, due, stop, start, killed", 0),
        (f"{UP}, restart, start, restart, killed", 1),
        (f"{UP}, restart, stop, start, killed", 0),
        (f"{UP}, stop, start, killed, restart, killed", 1),
    ],
)
def test_restarts_are_runs_after_the_first(path: str, restarts: int) -> None:
    """Counted when the run begins, from zero at each new start."""
    assert restarts == led(path).restarts


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("start, failed", ERROR),
        ("start, failed, stop", ERROR),
        ("start, stop, failed", ERROR),
        ("start, failed, due", None),
        ("start, failed, due, spawned, ready, crashed", None),
        (f"{UP}, failed", ERROR),  # it could not be looked after any more
    ],
)
def test_the_error_is_that_of_the_last_run(path: str, error: BaseException | None) -> None:
    """It goes when the next run begins."""
    assert error is led(path).error


# --- new rules


def test_a_new_policy_judges_the_next_end_with_a_fresh_budget() -> None:
    """While it runs, and while it waits."""
    machine = led(SPENT)
    new = Restart("always", max_restarts=1, backoff=Backoff(min=5))
    machine.apply_policy(policy=new, delay=0.0)
    assert (new, 1) == (machine.policy, machine.left(machine.now))
    assert ["arm 5, -> backoff"] == feed(machine, "done")
    machine.apply_policy(policy=Restart("never"), delay=0.0)
    assert ["begin #4, -> starting", "-> finished"] == feed(machine, "due, crashed")


def test_the_same_policy_keeps_what_was_counted() -> None:
    """A change of something else is no way around the budget."""
    machine = led(SPENT)
    machine.apply_policy(policy=Restart(max_restarts=2, within=None, backoff=Backoff(min=1, max=8)), delay=0.0)
    assert ["-> fatal"] == feed(machine, "crashed")


def test_a_new_delay_is_for_the_next_start() -> None:
    """Not for a restart."""
    machine = led(UP)
    machine.apply_policy(policy=POLICY, delay=3.0)
    said = feed(machine, "crashed, due, done, start")
    assert ["begin #2, -> starting", "begin #3 in 3 s, -> starting"] == [word for word in said if "begin" in word]


# --- random walks


class Outside:
    """Model of the world, as the actions of the service change it: one run and its progress, and a timer."""

    def __init__(self) -> None:
        self.run: str | None = None  # "delayed", "launching", "up"
        self.cut = False  # its stop was requested
        self.probing = False
        self.timer = False
        self.asked: str | None = None  # "asked": the throttle answers before all else; "throttled": later

    def legal(self, given: Input) -> bool:
        """Whether the world could send this now."""
        if self.asked == "asked" or isinstance(given, Throttled | Admitted):
            return (isinstance(given, Throttled) and self.asked == "asked") or (
                isinstance(given, Admitted) and bool(self.asked)
            )
        match given:
            case TimerFired():
                return self.timer
            case Spawned():
                return self.run == "launching"
            case SpawnFailed():
                return self.run in ("launching", "up")  # from "up": something of ours went wrong
            case Ready():
                return self.probing
            case ProcessEnded(exit=None):
                return self.run == "delayed"
            case ProcessEnded():
                return self.run == "up"
            case Failed(live=True):
                return self.run is not None
            case _:
                return True

    def sends(self, given: Input) -> None:
        """Something has happened out there."""
        match given:
            case TimerFired():
                self.timer = False
            case Throttled():
                self.asked = "throttled"
            case Admitted():
                self.asked = None
            case Spawned():
                self.run = "up"
                self.probing = True
            case Ready():
                self.probing = False
            case SpawnFailed() | ProcessEnded() | Failed(live=False):
                self.run, self.cut, self.probing = None, False, False
            case _:
                pass

    def performs(self, action: Action) -> None:
        """Something is done out there."""
        match action:
            case StartProcess():
                assert self.run is None, "a run while there is one"
                self.run = "delayed" if action.delay else "launching"
            case StopProcess():
                assert self.run is not None
                self.cut = True
            case Arm():
                assert not self.timer
                self.timer = True
            case AskThrottle():
                assert not self.asked
                self.asked = "asked"
            case Disarm():
                assert self.timer or self.asked
                self.timer, self.asked = False, None
            case _:
                pass


POLICIES = [
    POLICY,
    Restart("always", max_restarts=1, within=None, backoff=Backoff(min=1, jitter="full")),
    Restart("always", max_restarts=0),
    Restart("never"),
    Restart("always", max_restarts=None, backoff=Backoff(min=0)),
    Restart("on-abnormal", max_restarts=3, within=None, reset_after=0, backoff=Backoff(jitter="decorrelated")),
    Restart("on-failure", max_restarts=2, within=5, force_codes={0}, prevent_codes={1}),
]


class Walk(RuleBasedStateMachine):
    """Anything that the world could send, in any order."""

    @initialize(policy=st.sampled_from(POLICIES), delay=st.sampled_from([0.0, 4.0]), has_throttle=st.booleans())
    def begin(self, policy: Restart, delay: float, *, has_throttle: bool) -> None:
        """A service that was not started."""
        self.machine = ServiceMachine(policy=policy, rng=Middle(), delay=delay)
        self.machine.has_throttle = has_throttle
        self.outside = Outside()
        self.policy = policy
        self.delay = delay
        self.now = 0.0
        self.wanted = False
        self.pending: str | None = None  # the run that somebody wished for, and waits for the end of this one
        self.restarts = 0
        self.paid: list[float] = []  # backoffs of this budget
        self.runs = 0

    @rule()
    def launch(self) -> None:
        """A delay is over, unless the stop of the run was requested."""
        if self.outside.run == "delayed" and not self.outside.cut:
            self.outside.run = "launching"

    @rule(policy=st.sampled_from(POLICIES), delay=st.sampled_from([0.0, 4.0]))
    def update(self, policy: Restart, delay: float) -> None:
        """New rules, at any time."""
        self.machine.apply_policy(policy=policy, delay=delay)
        self.delay = delay
        if policy != self.policy:
            self.policy, self.paid = policy, []

    @rule(number=st.integers(0, 99), seconds=st.sampled_from([0.0, 1.0, 20.0]))
    def feed(self, number: int, seconds: float) -> None:
        """Feed one of the inputs that can come, and perform what comes of it."""
        legal = [given for given in WALKED if self.outside.legal(given)]
        given = legal[number % len(legal)]
        self.now += seconds
        before = snapshot(self.machine)
        state = self.machine.state
        self.outside.sends(given)
        actions = self.machine.feed(given, self.now)
        self._wish(given, state)
        for place, action in enumerate(actions):
            self.outside.performs(action)
            if isinstance(action, StartProcess):
                self._begins(action, given, state)
            elif isinstance(action, Arm):
                self.paid.append(self.now)
            elif isinstance(action, Transition):
                assert place == len(actions) - 1
                assert (state, self.machine.state, self.machine.reason) == (
                    action.previous,
                    action.state,
                    action.reason,
                )
        assert (self.machine.state is not state) == any(isinstance(action, Transition) for action in actions)
        if isinstance(given, StopRequested) and state is State.BACKOFF:
            assert (State.INTERRUPT, [Disarm()]) == (self.machine.state, actions[:-1])
        if self.machine.state.is_final:
            self.wanted, self.pending = False, None
        if actions == [] and state.is_final:
            stopped = before["stopped_on_request"] or isinstance(given, StopRequested)
            assert {**before, "now": self.now, "stopped_on_request": stopped} == snapshot(self.machine)

    def _wish(self, given: Input, state: State) -> None:
        """Note who wants what."""
        match given:
            case StopRequested() | Failed():
                self.wanted, self.pending = False, None
            case StartRequested() | RestartRequested():
                if state is State.STOPPING:
                    self.pending = self.pending or "restart" if self.wanted else "start"
                elif not state.is_live:
                    self.pending = "start"
                elif state is State.BACKOFF or isinstance(given, RestartRequested):
                    self.pending = "restart"
                self.wanted = True
            case _:
                pass

    def _begins(self, action: StartProcess, given: Input, state: State) -> None:
        """Each run was wished for, or its backoff was paid."""
        self.runs += 1
        assert self.wanted, "a run that nobody wants (B02, B04)"
        if self.pending == "start":
            self.restarts, self.paid = 0, []
        else:
            assert self.pending == "restart" or (isinstance(given, TimerFired | Admitted) and state is State.BACKOFF)
            assert self.pending == "restart" or self.machine.has_throttle == isinstance(given, Admitted)
            self.restarts += 1
        assert (self.runs, self.delay if self.pending == "start" else 0.0) == (action.number, action.delay)
        self.pending = None

    @invariant()
    def a_run_is_there_exactly_in_the_states_that_say_so(self) -> None:
        """STARTING, RUNNING, STOPPING; a stop is requested in STOPPING alone."""
        state = self.machine.state
        assert (self.outside.run is not None) == (state in (State.STARTING, State.RUNNING, State.STOPPING))
        assert self.outside.cut == (state is State.STOPPING)
        assert state is not State.RUNNING or self.outside.run == "up"

    @invariant()
    def backoff_has_its_timer(self) -> None:
        """And nothing else has one; or it waits for the throttle."""
        asked = self.outside.asked is not None
        backoff = self.machine.state is State.BACKOFF
        assert (backoff, backoff) == (self.outside.timer or asked, self.machine.due is not None or asked)
        assert (asked, asked and self.outside.timer) == (bool(self.machine.restart_reason), False)

    @invariant()
    def what_is_wanted_is_known(self) -> None:
        """As it was asked for, and nothing in a final state; gave_up is FATAL."""
        machine = self.machine
        assert self.wanted == machine.wanted
        assert not (machine.wanted and machine.state.is_final)
        assert not machine.gave_up or machine.state is State.FATAL
        assert machine.state not in (State.STARTING, State.RUNNING, State.BACKOFF) or machine.wanted

    @invariant()
    def the_budget_is_kept(self) -> None:
        """No more backoffs than the policy allows, and restarts are counted."""
        within, most = self.policy.within, self.policy.max_restarts
        in_window = [when for when in self.paid if within is None or self.now - within < when]
        assert most is None or len(in_window) <= most
        assert (self.restarts, self.runs) == (self.machine.restarts, self.machine.runs)


def test_random_walks() -> None:
    """The invariants hold for any inputs in any order."""
    run_state_machine_as_test(Walk, settings=settings(max_examples=200, stateful_step_count=30, deadline=None))


class TriggeredWalk(RuleBasedStateMachine):
    """Anything that the world could send to a service with a trigger, in any order."""

    @initialize(policy=st.sampled_from(POLICIES), has_throttle=st.booleans(), outlives_give_up=st.booleans())
    def begin(self, policy: Restart, *, has_throttle: bool, outlives_give_up: bool) -> None:
        """A service that was not started."""
        self.machine = ServiceMachine(policy=policy, rng=Middle(), delay=0.0)
        self.machine.has_throttle = has_throttle
        self.machine.trigger = Occasions(outlives_give_up=outlives_give_up)
        self.outlives_give_up = outlives_give_up
        self.outside = Outside()
        self.now = 0.0
        self.told = SetTrigger(armed=False, waiting=False)
        self.stopped = False

    @rule(number=st.integers(0, 99), seconds=st.sampled_from([0.0, 1.0, 20.0]))
    def feed(self, number: int, seconds: float) -> None:
        """Feed one of the inputs that can come, and perform what comes of it."""
        legal = [given for given in WALKED_WITH_TRIGGER if self.outside.legal(given)]
        self.now += seconds
        given = legal[number % len(legal)]
        self._apply(given)
        if self.machine.state is State.WAITING and self.outside.timer:  # a run is queued, and begins at once
            self._apply(TimerFired())
            assert not self.outside.timer

    def _apply(self, given: Input) -> None:
        state = self.machine.state
        if isinstance(given, StopRequested):
            self.stopped = True
        elif isinstance(given, StartRequested | RestartRequested | Triggered):
            self.stopped = False
        self.outside.sends(given)
        for action in self.machine.feed(given, self.now):
            self.outside.performs(action)
            if isinstance(action, SetTrigger):
                self.told = action
            elif isinstance(action, StartProcess):
                assert not self.stopped
                assert state is not State.INITIAL or isinstance(given, Triggered), "started, not only armed"

    @invariant()
    def a_run_is_there_exactly_in_the_states_that_say_so(self) -> None:
        """And a service that waits has none, nor a timer."""
        state = self.machine.state
        assert (self.outside.run is not None) == (state in (State.STARTING, State.RUNNING, State.STOPPING))
        assert state is not State.WAITING or not (self.outside.timer or self.outside.asked)

    @invariant()
    def the_trigger_is_told_the_truth(self) -> None:
        """Armed only while the service is wanted, waiting only in WAITING."""
        machine = self.machine
        assert self.told == SetTrigger(armed=machine.is_armed, waiting=machine.state is State.WAITING)
        assert machine.state is not State.WAITING or (machine.wanted and machine.is_armed)
        assert not (self.told.armed and (machine.state.is_final or machine.state is State.INITIAL))

    @invariant()
    def only_some_triggers_outlive_a_give_up(self) -> None:
        """Schedules do, sockets do not."""
        state = self.machine.state
        assert not (self.machine.gave_up and state.is_live) or (self.outlives_give_up and state is State.WAITING)


def test_random_walks_with_a_trigger() -> None:
    """The invariants hold for any inputs in any order."""
    run_state_machine_as_test(TriggeredWalk, settings=settings(max_examples=100, stateful_step_count=30, deadline=None))
