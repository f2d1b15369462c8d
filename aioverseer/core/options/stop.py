"""Stop: the ladder of signals that stops a program."""

from __future__ import annotations

import signal as signals
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from signal import Signals
from typing import Literal, NamedTuple, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.meant import signal_hint
from aioverseer.core.options.numbers import no_seconds
from aioverseer.core.state import as_signal, signal_name

__all__ = ["FINAL_TIMEOUT", "Step", "Stop", "as_signal_number"]

FINAL_TIMEOUT = 2.0
"""Seconds to wait for the end after SIGKILL before the program is reported as unstoppable."""

LEAST_FINAL_TIMEOUT = 1.0
"""Least number of these seconds, whatever a ladder says."""


@exported_from("aioverseer")
class Step(NamedTuple):
    """One step of a ladder: send ``signal``, then wait up to ``timeout`` seconds for the end."""

    signal: Signals | int
    timeout: float


_USUAL_TIMEOUT = 10.0


def as_signal_number(value: object, option: str) -> Signals | int:
    """Check a signal that a user has passed.

    Args:
        value: A ``signal.Signals`` or a number from 1 to 64.
        option: Name of the option, for the error.

    Raises:
        SpecError: If the value is no signal.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:  # noqa: PLR2004  # Linux knows 64
        hint = signal_hint(value)
        raise SpecError(
            f"{option}={value!r} is no signal: {hint or 'pass a signal.Signals, for example signal.SIGTERM'}",
            option=option,
            value=value,
        )
    return as_signal(value)


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, init=False)
class Stop:
    """Ladder that stops a program: signals, and the time that each step waits for the end.

    SIGKILL is always the last step and is added if it is missing. The default is that of systemd and Docker: SIGTERM,
    ten seconds, SIGKILL.

    Attributes:
        steps: Signals to send, each with the seconds to wait before the next step.
        scope: ``"tree"`` signals everything that the program started and that can be reached. ``"leader"`` signals
            the program alone, up to the last step, which always signals everything.
    """

    steps: tuple[Step, ...]
    scope: Literal["tree", "leader"]

    def __init__(
        self,
        signal: int = signals.SIGTERM,
        timeout: float = _USUAL_TIMEOUT,
        *,
        steps: Iterable[Sequence[float]] | None = None,
        scope: Literal["tree", "leader"] = "tree",
    ) -> None:
        """Make a ladder of one signal and SIGKILL, or of the given steps.

        Args:
            signal: Signal that asks the program to end; ignored with ``steps``. A bare number without a timeout is
                refused, as it may be meant as seconds.
            timeout: Seconds before the next step; ignored with ``steps``.
            steps: Pairs of signal and seconds, for example ``[(SIGINT, 5), (SIGTERM, 5)]``. The step of SIGKILL waits
                at least one second before a program is reported as still there.
            scope: Reach of the steps before SIGKILL: ``"tree"`` or ``"leader"``.

        Raises:
            SpecError: For a value that is no signal, a number that may be meant as seconds, a negative time, an empty
                ladder, or an unknown scope.
        """
        # The default is recognised by identity: Stop(10) means seconds, Stop(10, 10.0) a signal and seconds.
        if type(signal) is int and timeout is _USUAL_TIMEOUT and steps is None:
            raise SpecError(_ambiguous(signal), option="stop.signal", value=signal)
        if isinstance(signal, list | tuple | Mapping) and steps is None:
            raise SpecError(
                f"stop.signal={signal!r} is no signal: for several write Stop(steps=[(signal.SIGINT, 5), ...])",
                option="stop.signal",
                value=signal,
            )
        pairs = [(signal, timeout)] if steps is None else _as_pairs(steps)
        ladder = [Step(as_signal_number(number, "stop.signal"), _as_seconds(seconds)) for number, seconds in pairs]
        if not ladder:
            raise SpecError("stop.steps is empty: name at least one (signal, seconds)", option="stop.steps")
        for step in ladder[:-1]:
            if step.signal == signals.SIGKILL:
                raise SpecError(
                    "stop.steps has a step after SIGKILL, which nothing survives: make SIGKILL the last",
                    option="stop.steps",
                    value=steps,
                )
        if ladder[-1].signal != signals.SIGKILL:
            ladder.append(Step(signals.SIGKILL, FINAL_TIMEOUT))
        # Even SIGKILL takes a moment. Without a minimum every program would be reported as still there.
        ladder[-1] = Step(signals.SIGKILL, max(ladder[-1].timeout, LEAST_FINAL_TIMEOUT))
        if scope not in ("tree", "leader"):
            raise SpecError(
                f'stop.scope={scope!r} is unknown: pass "tree" or "leader"', option="stop.scope", value=scope
            )
        object.__setattr__(self, "steps", tuple(ladder))
        object.__setattr__(self, "scope", scope)

    @property
    def total(self) -> float:
        """Seconds that the whole ladder takes at most."""
        return sum(step.timeout for step in self.steps)

    def __str__(self) -> str:
        """Return the ladder as words: ``SIGTERM, 10 s, SIGKILL``."""
        words: list[str] = []
        for step in self.steps[:-1]:
            words += [signal_name(step.signal), f"{step.timeout:g} s"]
        return ", ".join([*words, "SIGKILL"])


def _ambiguous(number: int) -> str:
    if not 1 <= number <= 64:  # noqa: PLR2004  # Linux knows 64
        return f"stop.signal={number!r} is no signal: for seconds write Stop(timeout={max(number, 0)})"
    name = signal_name(number)
    named = f"signal.{name}" if name.startswith("SIG") else f"{number}, 10"
    return (
        f"stop.signal={number!r} is the number of a signal, {name}: write Stop(timeout={number}) for seconds, or "
        f"Stop({named}) for the signal"
    )


def _as_pairs(steps: Iterable[Sequence[float]]) -> list[tuple[int, float]]:
    given: object = steps
    if not isinstance(steps, Iterable) or isinstance(steps, Mapping):
        raise SpecError(
            f"stop.steps={steps!r} is no list: pass pairs (signal, seconds), for example [(signal.SIGINT, 5)]",
            option="stop.steps",
            value=given,
        )
    pairs: list[tuple[int, float]] = []
    for step in steps:
        try:
            number, seconds = step
        except (TypeError, ValueError):
            raise SpecError(
                f"stop.steps holds {step!r}: each step is a pair (signal, seconds), for example (signal.SIGINT, 5)",
                option="stop.steps",
                value=step,
            ) from None
        pairs.append((number, seconds))  # type: ignore[arg-type]  # checked by as_signal_number
    return pairs


def _as_seconds(value: object) -> float:
    why = no_seconds(value)
    if isinstance(value, signals.Signals):
        why = "is a signal: write (signal, seconds), and Stop(steps=[(signal.SIGINT, 5), ...]) for several signals"
    if why is not None:
        raise SpecError(f"stop.timeout={value!r} {why}", option="stop.timeout", value=value)
    return float(cast("float", value))
