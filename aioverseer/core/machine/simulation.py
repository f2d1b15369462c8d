"""Simulation of a restart policy: the decisions for a list of ends, without running a program or a clock.

The state machine of a real Service makes the decisions, so a simulation and a Service agree.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aioverseer.core.clock import Rng
from aioverseer.core.errors import SpawnError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.machine.inputs import ProcessEnded, Ready, Spawned, SpawnFailed, StartRequested, TimerFired
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.machine.simulated_times import SimulatedTimes
from aioverseer.core.machine.table import Arm
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.state import Exit, State, as_signal

__all__ = ["Ending", "SimulatedRun", "Timeline", "simulate"]

Ending: TypeAlias = "int | signal.Signals | None"
"""End of a simulated run: an exit code, a signal (``signal.SIGKILL``), or None if it cannot be started this time."""


@exported_from("aioverseer.testing")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """One simulated run and the decision after it.

    Attributes:
        number: Number of the run, from 1.
        started: Seconds from the first start to the start of this run.
        lasted: Seconds for which the run lived.
        exit: End of the run; None if it could not be started.
        ready: Seconds from its start until it was ready; None if it never was.
        state: State of the service after the run: BACKOFF, or a final state. With a schedule also WAITING, or STARTING
            after a run that was replaced.
        reason: Reason for the state, one sentence, as a Service gives it.
        delay: Seconds until the next run; None if there is none.
        left: Number of restarts that the budget allowed after the run; None is no limit.
    """

    number: int
    started: float
    lasted: float
    exit: Exit | None
    ready: float | None
    state: State
    reason: str
    delay: float | None
    left: int | None


@exported_from("aioverseer.testing")
@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Result of a simulation; ``print`` shows it as a table.

    Attributes:
        runs: Runs in order.
    """

    runs: tuple[SimulatedRun, ...]

    @property
    def state(self) -> State:
        """State of the service at the end; BACKOFF or WAITING if it would go on."""
        return self.runs[-1].state

    @property
    def reason(self) -> str:
        """Reason for that state, one sentence."""
        return self.runs[-1].reason

    @property
    def restarts(self) -> int:
        """Number of runs after the first one."""
        return len(self.runs) - 1

    @property
    def delays(self) -> tuple[float, ...]:
        """Seconds between the end of each run and the next run."""
        return tuple(run.delay for run in self.runs if run.delay is not None)

    @property
    def seconds(self) -> float:
        """Seconds from the first start to the last end."""
        return self.runs[-1].started + self.runs[-1].lasted

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.runs)

    def __iter__(self) -> Iterator[SimulatedRun]:
        """Iterate over the runs."""
        return iter(self.runs)

    def __str__(self) -> str:
        """Return a table, one line for each run."""
        head = f"{'run':>3} {'starts at':>12} {'ready after':>11} {'lasts':>10}  what follows"
        return "\n".join([head, *(_line(run) for run in self.runs)])


@exported_from("aioverseer.testing")
def simulate(
    policy: Restart,
    exits: Iterable[Ending | tuple[Ending, float] | tuple[Ending, float, float | None]],
    *,
    rng: Rng | None = None,
    ready_after: float = 0.0,
    schedule: Schedule | None = None,
    start: datetime = datetime(2030, 1, 1, tzinfo=UTC),
) -> Timeline:
    """Return the decisions of a Service under this policy for a list of ends. Takes no time.

    Args:
        policy: Option ``restart`` of the service.
        exits: End of each run: an exit code, a signal, or None if it cannot be started for want of memory or the like
            (a program that is not there gives up at once). A pair adds the seconds for which the run lives, otherwise
            0. A third value is the seconds until it is ready, or None for never. Values after the final end are
            ignored.
        rng: Source of random numbers for the jitter of the backoff, unless the backoff has its own. None uses the
            longest possible delay.
        ready_after: Seconds until a run without a third value is ready; a run that lives no longer is never ready.
        schedule: Option ``schedule`` of the service. A Cron without a zone is in UTC here. A run that is replaced ends
            at once by SIGTERM.
        start: Wall-clock time of the start, for a schedule.

    Raises:
        SpecError: For a value that is no end or no time, or for an empty list.
    """
    chance = _Longest() if rng is None else rng
    machine = ServiceMachine(policy=policy, rng=chance, delay=0.0)
    times = None if schedule is None else SimulatedTimes(schedule, start=start, rng=chance)
    machine.trigger = times
    machine.feed(StartRequested(), 0.0)
    runs: list[SimulatedRun] = []
    begun = 0.0 if times is None else times.begin_next(machine)
    for given in exits:
        if begun is None:
            break
        ended = _run(machine, times, _as_run(given, ready_after), begun)
        state, reason, left = machine.state, machine.reason, machine.left(ended.now)
        number, started = machine.runs, begun
        begun = _next_run(machine, times, ended)
        runs.append(
            SimulatedRun(
                number=number,
                started=started,
                lasted=ended.now - started,
                exit=ended.exit,
                ready=ended.ready,
                state=state,
                reason=reason,
                delay=None if begun is None else begun - ended.now,
                left=left,
            )
        )
    if not runs:
        raise SpecError("exits=[] simulates nothing: pass at least one end", option="exits", value=[])
    return Timeline(runs=tuple(runs))


class _Ended:
    """End of a simulated run, at a time; ``queued`` tells that another one follows at once."""

    def __init__(self, now: float, *, exit: Exit | None, ready: float | None, queued: bool = False) -> None:
        self.now = now
        self.exit = exit
        self.ready = ready
        self.queued = queued


def _run(
    machine: ServiceMachine, times: SimulatedTimes | None, given: tuple[object, float, float | None], begun: float
) -> _Ended:
    """Feed the machine with one run."""
    ending, lasted, ready = given
    exit, end = _as_exit(ending), begun + lasted
    if exit is None:
        machine.feed(SpawnFailed(error=SpawnError("cannot be started")), begun)
        return _Ended(begun, exit=None, ready=None)
    machine.feed(Spawned(pid=0), begun)
    if ready is not None:
        if times is not None:
            times.pass_until(machine, begun + ready)
        machine.feed(Ready(), begun + ready)
    if times is not None:
        end = times.pass_until(machine, end)
        if machine.state is State.STOPPING:
            exit = Exit(signal=signal.SIGTERM)
    actions = machine.feed(ProcessEnded(exit=exit), end)
    queued = machine.state is State.WAITING and any(isinstance(action, Arm) for action in actions)
    return _Ended(end, exit=exit, ready=ready, queued=queued)


def _next_run(machine: ServiceMachine, times: SimulatedTimes | None, ended: _Ended) -> float | None:
    """Begin the next run, and return its time; None if none follows."""
    if machine.state is State.STARTING:  # the run was replaced
        return ended.now
    if ended.queued:
        machine.feed(TimerFired(), ended.now)
        return ended.now
    if machine.state is State.WAITING and times is not None:
        return times.begin_next(machine)
    due = machine.due
    if due is None:
        return None
    if times is not None:
        due = times.pass_until(machine, due)
    if machine.state is State.BACKOFF:
        machine.feed(TimerFired(), due)
    return due


def _as_run(given: Any, ready_after: float) -> tuple[object, float, float | None]:
    """Return the end of a run, the seconds for which it lives, and the seconds until it is ready, None for never."""
    whole: object = given
    match given:
        case (ending, lasted, ready):
            pass
        case (ending, lasted):
            ready = ready_after
        case tuple():
            raise SpecError(
                f"exits: {whole!r} is no run: pass an end, or a tuple of an end, the seconds that it lives, and the "
                "seconds until it is ready",
                option="exits",
                value=whole,
            )
        case ending:
            lasted, ready = 0.0, ready_after
    _check_seconds(lasted, "run")
    if ready is not None:
        _check_seconds(ready, "wait")
    return ending, lasted, ready if ready is not None and (lasted > ready or ready == 0) else None


class _Longest:
    """Random numbers that give the longest delay."""

    def random(self) -> float:
        return math.nextafter(1.0, 0.0)

    def uniform(self, a: float, b: float, /) -> float:
        return max(a, b)


def _as_exit(ending: object) -> Exit | None:
    match ending:
        case None:
            return None
        case signal.Signals():
            return Exit(signal=as_signal(ending))
        case bool():
            pass
        case int() if 0 <= ending <= _HIGHEST_CODE:
            return Exit(code=ending)
        case _:
            pass
    raise SpecError(
        f"exits: {ending!r} is no end of a run: pass an exit code from 0 to 255, a signal.Signals, or None for one "
        "that cannot be started",
        option="exits",
        value=ending,
    )


_HIGHEST_CODE = 255


def _check_seconds(value: object, what: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise SpecError(
            f"exits: a {what} of {value!r} s cannot be: pass seconds, 0 or more", option="exits", value=value
        )


def _line(run: SimulatedRun) -> str:
    ready = "never" if run.ready is None else _time(run.ready)
    return f"{run.number:>3} {_time(run.started):>12} {ready:>11} {_time(run.lasted):>10}  {run.state}: {run.reason}"


def _time(seconds: float) -> str:
    """Return a time as seconds, or as days, hours, minutes and seconds."""
    if seconds < _MINUTE:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{rest:02}"


_MINUTE = 60
