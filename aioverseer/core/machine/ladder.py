"""The position of one run on its stop ladder: the present step, the steps that were taken, and those that failed."""

from __future__ import annotations

from signal import SIGTERM, Signals

from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import EndUpstream, Step, StopStep

__all__ = ["Ladder"]


class Ladder:
    """The ladder of one run.

    Attributes:
        stop: The option.
        steps: The steps that are left to take or were taken, the last one being SIGKILL.
        index: Place of the present step.
        taken: Steps that were taken, in order.
        failures: One sentence about each step that could not be taken.
    """

    def __init__(self, stop: Stop, *, upstream: float = 0.0) -> None:
        """Begin at the first step.

        Args:
            stop: The option.
            upstream: Seconds that the programs before this one in a pipeline take to be stopped; 0 for none. They are
                stopped first, as the program ends in good order at the end of its input.
        """
        self.stop = stop
        self.steps: tuple[StopStep, ...] = (*([EndUpstream(upstream)] if upstream else ()), *stop.steps)
        self.index = 0
        self.taken: list[StopStep] = []
        self.failures: list[str] = []

    @property
    def present(self) -> StopStep:
        """The present step."""
        return self.steps[self.index]

    @property
    def following(self) -> StopStep | None:
        """The step after the present one; None after the last one."""
        return None if self.is_last else self.steps[self.index + 1]

    @property
    def is_last(self) -> bool:
        """Whether the present step is the last one, SIGKILL."""
        return self.index + 1 == len(self.steps)

    @property
    def is_killing(self) -> bool:
        """Whether the last step was taken."""
        return bool(self.taken) and self.is_last

    @property
    def has_no_signals(self) -> bool:
        """Whether no step before SIGKILL is a signal, although there are such steps."""
        steps = self.stop.steps
        return len(steps) > 1 and not any(isinstance(step, Step) for step in steps[:-1])

    @property
    def seconds(self) -> float:
        """Seconds that all steps take at most."""
        return sum(step.timeout for step in self.steps)

    @property
    def seconds_left(self) -> float:
        """Seconds that the present step and all later ones take at most."""
        return sum(step.timeout for step in self.steps[self.index :])

    @property
    def signals(self) -> list[Signals | int]:
        """The signals that were sent, in order."""
        return [step.signal for step in self.taken if isinstance(step, Step)]

    def begin(self, *, kill: bool) -> None:
        """Go to the first step, or with ``kill`` to the last one."""
        self.index = len(self.steps) - 1 if kill else 0

    def begin_for_leftovers(self, seconds: float) -> None:
        """Go to the first signal of the ladder, which SIGKILL follows.

        SIGTERM takes the place of a first step that is no signal: an input or a command is for the program itself.

        Args:
            seconds: Seconds between the two.
        """
        first, last = self.stop.steps[0], self.stop.steps[-1]
        signal = first.signal if isinstance(first, Step) else SIGTERM
        self.steps = (last,) if len(self.stop.steps) == 1 else (Step(signal, seconds), last)
        self.index = 0
