"""Simulation: what a restart policy does with a row of ends, without running anything.

The very table that a Service asks is asked here, so both say the same. No clock and no child: time is a number that
is added up.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from aioverseer.core.clock import Rng
from aioverseer.core.errors import SpawnError, SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.machine.inputs import ProcessEnded, Ready, Spawned, SpawnFailed, StartRequested, TimerFired
from aioverseer.core.machine.service import ServiceMachine
from aioverseer.core.options.restart import Restart
from aioverseer.core.state import Exit, State, as_signal

__all__ = ["Ending", "SimulatedRun", "Timeline", "simulate"]

Ending: TypeAlias = "int | signal.Signals | None"
"""How a run ends: an exit code, a signal (``signal.SIGKILL``), or None when it cannot be started."""


@exported_from("aioverseer.testing")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """One run and what followed it.

    Attributes:
        number: Which run it is, from 1.
        started: Seconds from the first start.
        lasted: Seconds that it lived.
        exit: How it ended; None when it could not be started.
        ready: Seconds from its start until it was ready; None when it never was.
        state: Where the service was then: BACKOFF, or a final state.
        reason: Why, one sentence; the one that a Service gives.
        delay: Seconds until the next run; None when there is none.
        left: Restarts that the budget allowed afterwards; None is no limit.
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
    """What came of a simulation; ``print`` it.

    Attributes:
        runs: The runs in order.
    """

    runs: tuple[SimulatedRun, ...]

    @property
    def state(self) -> State:
        """Where the service is at the end: BACKOFF when it would go on."""
        return self.runs[-1].state

    @property
    def reason(self) -> str:
        """Why, one sentence."""
        return self.runs[-1].reason

    @property
    def restarts(self) -> int:
        """How many runs followed the first."""
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
) -> Timeline:
    """Return what a Service under this policy does when its runs end like this. Takes no time.

    Args:
        policy: The ``restart`` of the service.
        exits: How each run ends: an exit code, a signal, or None when it cannot be started; or a pair of that and the
            seconds that the run lives, 0 otherwise; or with a third value, the seconds that it takes to become ready,
            None for one that never is. What comes behind the final end is not looked at.
        rng: Source of chance for the jitter of the backoff; None takes the longest delay that chance allows.
        ready_after: Seconds to become ready, for the runs that do not say it; one that lives no longer never is.

    Raises:
        SpecError: For an end that cannot be, a time that is none, or no ends at all.
    """
    machine = ServiceMachine(policy=policy, rng=_Longest() if rng is None else rng, delay=0.0)
    runs: list[SimulatedRun] = []
    now = 0.0
    machine.feed(StartRequested(), now)
    for given in exits:
        ending, lasted, ready = _as_run(given, ready_after)
        exit, started = _as_exit(ending), now
        if exit is None:
            lasted, ready = 0.0, None
            machine.feed(SpawnFailed(error=SpawnError("cannot be started")), now)
        else:
            machine.feed(Spawned(pid=0), now)
            if ready is not None:
                machine.feed(Ready(), now + ready)
            now += lasted
            machine.feed(ProcessEnded(exit=exit), now)
        due = machine.due
        runs.append(
            SimulatedRun(
                number=machine.runs,
                started=started,
                lasted=lasted,
                exit=exit,
                ready=ready,
                state=machine.state,
                reason=machine.reason,
                delay=None if due is None else due - now,
                left=machine.left(now),
            )
        )
        if due is None:
            break
        now = due
        machine.feed(TimerFired(), now)
    if not runs:
        raise SpecError("exits=[] simulates nothing: pass at least one end", option="exits", value=[])
    return Timeline(runs=tuple(runs))


def _as_run(given: Any, ready_after: float) -> tuple[object, float, float | None]:
    """Return how a run ends, how long it lives, and after how long it is ready, None for never."""
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
    """Chance that always decides for the longest."""

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
    """Return days, hours, minutes and seconds, as far as there are any."""
    if seconds < _MINUTE:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{rest:02}"


_MINUTE = 60
